package scoring

import (
	"fmt"
	"time"

	"github.com/pith-llm/pith/kernels"
)

// Speed is how many tokens a second each model reads.
type Speed struct {
	Encoder, Decoder int
}

// speeds are what a Plan reckons with, by tier: the embedded models on two cores. Those of avx2, avx512-bf16 and amx are what
// `pith bench score --tier NAME` shows on AMD Zen 3, Zen 4 and Intel Sapphire Rapids, rounded down; the others
// are guesses on the safe side, from the tier below. A change of this table changes what is forwarded.
var speeds = [...]Speed{
	kernels.Generic:    {500, 100},
	kernels.NEONDot:    {1_250, 250},
	kernels.NEONI8MM:   {2_000, 400},
	kernels.AVX2:       {4_500, 800},
	kernels.AVXVNNI:    {4_500, 800},
	kernels.AVX512VNNI: {10_000, 2_000},
	kernels.AVX512BF16: {12_000, 2_400},
	kernels.AMX:        {19_000, 9_000},
}

// SpeedOf returns the speeds that a Plan reckons with on a tier.
func SpeedOf(tier kernels.Tier) Speed { return speeds[tier] }

const (
	// textSpeed is how many bytes a second a Plan reckons with for all but the models: segments, words, selection, parsing.
	// Code takes most.
	textSpeed = 2 << 20
	// modelShare of a Plan's time, one part in so many, is the models' however long the texts are.
	modelShare = 4
)

// Plan bounds what the default scorer has its models read for one call. It reckons with the nominal speeds of a tier, two
// cores and empty caches: what is read is a function of the call's query and texts and of the plan, not of the machine, its load, its
// cores or what is cached. The zero value is without bound.
type Plan struct {
	// Time is what a call may take by this reckoning; 0 is without bound.
	Time time.Duration
	// Tier is the one whose speeds are reckoned with.
	Tier kernels.Tier
}

// Validate names what is out of range.
func (p Plan) Validate() error {
	if p.Time < 0 {
		return fmt.Errorf("plan is %v: it must not be negative", p.Time)
	}
	if int(p.Tier) >= len(speeds) {
		return fmt.Errorf("plan: the speed of %v is not known", p.Tier)
	}
	return nil
}

// Tokens returns how many tokens the encoder, or else the decoder, may read of texts of so many bytes at most.
func (p Plan) Tokens(bytes int) (encoder, decoder int) {
	m := p.purse(bytes)
	return m.encoder(), m.decoder()
}

// purse is the nominal time that is left for the models.
type purse struct {
	left  time.Duration
	speed Speed
}

func (p Plan) purse(bytes int) purse {
	texts := time.Duration(bytes) * (time.Second / textSpeed)
	return purse{left: max(p.Time-texts, p.Time/modelShare), speed: SpeedOf(p.Tier)}
}

// encoder and decoder return how many tokens can be paid.
func (p purse) encoder() int { return tokensIn(p.left, p.speed.Encoder) }
func (p purse) decoder() int { return tokensIn(p.left, p.speed.Decoder) }

func tokensIn(d time.Duration, speed int) int {
	return int(d.Microseconds() * int64(speed) / 1_000_000)
}

// pay takes what the encoder reads.
func (p *purse) pay(encoderTokens int) {
	p.left = max(0, p.left-time.Duration(encoderTokens)*time.Second/time.Duration(p.speed.Encoder))
}
