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
	read, tokens, err := c.readings(ctx, which)
	if err != nil {
		return err
	}
	c.out.ModelTokens += tokens
	alone := read.alone.logProbs
	n := len(alone)
	if n == 0 {
		return nil
	}
	// What a token gains on average over the segments read, and how surprising it is.
	average := make([]float64, n)
	for _, g := range read.given {
		for j, v := range g.logProbs {
			average[j] += float64(v) / float64(len(which))
		}
	}
	surprise, total := make([]float64, n), 0.0
	for j, v := range alone {
		surprise[j] = -float64(v)
		total += surprise[j]
	}
	means, certainties := make([]float64, len(which)), make([]float64, len(which))
	best, surest := math.Inf(-1), math.Inf(-1)
	for k, g := range read.given {
		means[k] = mean(g.logProbs) - mean(alone)
		best = max(best, means[k])
		certainties[k] = -float64(g.entropy)
		surest = max(surest, certainties[k])
	}
	ranks, certaintyRanks := reciprocalRanks(means), reciprocalRanks(certainties)
	for k, i := range which {
		r := &rows[i]
		clipped, contrast, weighted, peak := 0.0, 0.0, 0.0, 0.0
		for j, v := range read.given[k].logProbs {
			gain := float64(v) - float64(alone[j])
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
		r.set(FeatureCertainty, certainties[k])
		r.set(FeatureCertaintyRank, certaintyRanks[k])
		r.set(FeatureCertaintyGap, certainties[k]-surest)
		r.set(FeatureCertaintyGain, certainties[k]+float64(read.alone.entropy))
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
