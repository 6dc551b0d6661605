package proxy

import (
	"slices"

	"github.com/pith-llm/pith/compressors"
)

// gate decides which texts go up shortened: those of which that costs less. It reads settings and the talk up to the end of a
// turn, never marks, ids or clocks, so that the decision on a text is the same each time that the text comes again.
type gate struct {
	cache  CacheClass
	margin float64 // by how much counts may be wrong, as a share
}

// stakes is what a turn's texts have in common for the gate.
type stakes struct {
	// further is how many requests are expected to bring the text again.
	further int
	// again is how likely the model asks for what is left out, in thousandths, if nothing of a text is kept.
	again int
	// context is the talk up to the end of the turn, in tokens.
	context int
}

// What is expected of a turn. A completion is not answered; a question to a document is followed by some more; a tool's result
// stays in front of the model for the rest of its task, and the tool can be called again. They are assumptions about clients
// and no measurements: a deviation by half moves the saving that is asked for by about as much.
func (t turn) stakes() stakes {
	s := stakes{context: t.talked / bytesPerToken}
	switch t.kind {
	case turnQuestion:
		s.further, s.again = 3, 10
	case turnTools:
		s.further, s.again = 10, 30
	case turnPrompt:
	}
	return s
}

const (
	// bytesPerToken estimates the tokens of a talk: its texts are not all counted by the upstream's tokenizer.
	bytesPerToken = 4
	// askingTokens is what a model writes to ask for a text again, a hundred tokens of output, in tokens of plain input.
	askingTokens = 500
	// lapses is how often in a thousand texts what became of one is forgotten or fails, so that what follows it is written anew.
	lapses = 1
	// latencyRate is the price of pith's own time for a token of a text, in thousandths of a token of plain input: some 0.2 ms
	// without anything cached, at a dollar for an hour of waiting and three for a million tokens.
	latencyRate = 20
)

// Worth is what sending a text shortened brings and costs, in thousandths of the price of a token of plain input. All are
// estimates from constants and the talk up to the end of the turn.
type Worth struct {
	// Saved is the price of the tokens that are saved, now and in the requests that are expected to bring the text again.
	Saved int `json:"saved"`
	// Again is what it costs to ask for what is left out, times how likely that is.
	Again int `json:"again"`
	// Lapse is what it costs to write anew what follows the text, which is taken to be as long as what came before, if the text
	// ever has to go up whole after all.
	Lapse int `json:"lapse"`
	// Latency is the price of pith's own time.
	Latency int `json:"latency"`
}

// Net is what sending the text shortened brings, all in all; only above 0 it is done.
func (w Worth) Net() int { return w.Saved - w.Again - w.Lapse - w.Latency }

// worth prices a text of in tokens of which out are kept, the markers among them.
func (g gate) worth(in, out int, s stakes) Worth {
	saved, rates := in-out, g.cache.rates()
	each := rates.write + s.further*rates.read
	again := askingTokens*1000 + s.context*rates.read + saved*each
	return Worth{
		Saved:   saved * each,
		Again:   again * s.again / 1000 * saved / in,
		Lapse:   s.context * rates.lapse * lapses / 1000,
		Latency: in * latencyRate,
	}
}

// pass returns the result of a turn with the texts whole that are not worth sending shortened, and what each text that the compressor
// shortened is worth; none if nothing is known of prices, or the texts are shortened to a budget of tokens that
// the request states.
func (g gate) pass(texts []compressors.Text, result compressors.Result, budget compressors.Budget, s stakes) (compressors.Result, []*Worth) {
	priced := g.cache > CacheUnpriced && budget.Tokens == 0
	if !priced && g.margin == 0 {
		return result, nil
	}
	result.Texts = slices.Clone(result.Texts) // others remember it
	worth := make([]*Worth, len(result.Texts))
	for i := range result.Texts {
		text := &result.Texts[i]
		if !replaces(*text) {
			continue
		}
		reason := compressors.NotSkipped
		if out := float64(text.TokensOut) * (1 + g.margin); out >= float64(text.TokensIn) {
			reason = compressors.SkipNoSaving
		} else if priced {
			w := g.worth(text.TokensIn, int(out), s)
			if worth[i] = &w; w.Net() <= 0 {
				reason = compressors.SkipNotWorthIt
			}
		}
		if reason != compressors.NotSkipped {
			result.TokensOut += text.TokensIn - text.TokensOut
			text.Output, text.TokensOut, text.Skip = texts[i].Content, text.TokensIn, reason
			text.Parts = []compressors.Part{{Start: 0, End: len(text.Output)}}
		}
	}
	return result, worth
}
