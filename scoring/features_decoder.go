package scoring

import (
	"context"
	"math"
	"time"
)

// decoded sets the features of the decoder for the segments which.
func (c *call) decoded(ctx context.Context, rows []row, which []int) error {
	if len(which) == 0 {
		return nil
	}
	defer c.stage("decoder", time.Now())
	gains, tokens, err := c.tokenGains(ctx, which)
	if err != nil {
		return err
	}
	c.out.ModelTokens += tokens
	n := len(gains.alone)
	if n == 0 {
		return nil
	}
	// What a token gains on average over the segments read, and how surprising it is.
	average := make([]float64, n)
	for _, g := range gains.given {
		for j, v := range g {
			average[j] += float64(v) / float64(len(which))
		}
	}
	surprise, total := make([]float64, n), 0.0
	for j, v := range gains.alone {
		surprise[j] = -float64(v)
		total += surprise[j]
	}
	means := make([]float64, len(which))
	best := math.Inf(-1)
	for k := range which {
		means[k] = mean(gains.given[k]) - mean(gains.alone)
		best = max(best, means[k])
	}
	ranks := reciprocalRanks(means)
	for k, i := range which {
		r := &rows[i]
		clipped, contrast, weighted, peak := 0.0, 0.0, 0.0, 0.0
		for j, v := range gains.given[k] {
			gain := float64(v) - float64(gains.alone[j])
			clipped += max(0, gain) / float64(n)
			contrast += max(0, float64(v)-average[j]) / float64(n)
			weighted += gain * surprise[j] / max(total, 1e-9)
			peak = max(peak, gain)
		}
		r.set(FeatureGain, within(means[k], 4))
		r.set(FeatureGainRank, ranks[k])
		r.set(FeatureGainGap, within(means[k]-best, 4))
		r.set(FeatureClipped, within(clipped, 4))
		r.set(FeatureContrast, within(contrast, 4))
		r.set(FeatureSurprise, within(weighted, 8))
		r.set(FeaturePeak, min(2, peak/8))
	}
	return nil
}

func within(v, limit float64) float64 { return max(-limit, min(limit, v)) }

// unread marks the features of the decoder as not there.
func (r *row) unread() {
	for f := firstDecoderFeature; f < firstPieceFeature; f++ {
		r[f] = float32(math.NaN())
	}
}
