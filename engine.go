package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"sync"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/config"
	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
	"github.com/pith-llm/pith/scoring/tokenizer"
)

// engine holds what compresses: the token counter and the models, each loaded on first use and shared by all scorers.
type engine struct {
	settings config.Engine
	counter  *tokenizer.Counter
	tier     kernels.Tier
	plan     scoring.Plan // what a call may cost
	lm       func() (*scoring.LM, error)
	encoder  func() (*scoring.Encoder, error)
	// combination is how the default scorer weighs its features; nil is the one in the repository.
	combination *scoring.Combination
}

// newEngine checks the settings. Models are loaded when a score first needs them, which logger is told of.
func newEngine(settings config.Engine, logger *slog.Logger) (*engine, error) {
	tier := kernels.Best()
	if settings.Scoring.Tier != "auto" {
		var err error
		if tier, err = kernels.ParseTier(settings.Scoring.Tier); err != nil {
			return nil, fmt.Errorf("scoring.tier: %w", err)
		}
		if !tier.Supported() {
			return nil, fmt.Errorf("scoring.tier: this CPU lacks %s; it has %s", tier, kernels.Best())
		}
	}
	planned, err := settings.Scoring.PlanTime(0)
	if err != nil {
		return nil, err
	}
	encoding, _ := vocabulary(settings.Compression.Tokenizer)
	counter, err := tokenizer.NewCounter(encoding)
	if err != nil {
		return nil, fmt.Errorf("compression.tokenizer: %w", err)
	}
	folder, err := settings.Cache.Folder()
	if err != nil {
		logger.Warn("no folder for prepared weights: every start prepares them", "error", err)
	}
	return &engine{
		settings: settings,
		counter:  counter,
		tier:     tier,
		plan:     scoring.Plan{Time: planned, Tier: tier},
		lm: sync.OnceValues(func() (*scoring.LM, error) {
			file, err := openModel(settings.Scoring.Decoder, models.Decoder)
			if err != nil {
				return nil, fmt.Errorf("scoring.decoder: %w", err)
			}
			precision := scoring.Int8
			if settings.Scoring.Precision == "f32" {
				precision = scoring.F32
			}
			return scoring.LoadLM(file, scoring.LMOptions{
				Precision: precision, Tier: tier, Workers: settings.Scoring.Workers,
				CacheDir: folder, IdleTimeout: settings.Scoring.IdleTimeout, Logger: logger,
			})
		}),
		encoder: sync.OnceValues(func() (*scoring.Encoder, error) {
			file, err := openModel(settings.Scoring.Encoder, models.Encoder)
			if err != nil {
				return nil, fmt.Errorf("scoring.encoder: %w", err)
			}
			return scoring.LoadEncoder(file, scoring.EncoderOptions{
				Tier: tier, Workers: settings.Scoring.Workers,
				CacheDir: folder, IdleTimeout: settings.Scoring.IdleTimeout, Logger: logger,
			})
		}),
	}, nil
}

// plannedShare of the deadline, one part in so many, is what a served turn may cost under the plan "auto": the rest is for a
// machine that is busy, or slow for its tier.
const plannedShare = 2

// servedPlan is what a call may cost that has a deadline to meet.
func (e *engine) servedPlan() scoring.Plan {
	planned, _ := e.settings.Scoring.PlanTime(e.settings.Compression.Deadline / plannedShare) // newEngine has refused what is no time
	return scoring.Plan{Time: planned, Tier: e.tier}
}

// vocabulary returns the encoding for a setting and by how much, as a share, its counts may be wrong. Claude, Gemini and
// their like publish none; o200k_base is the nearest known.
func vocabulary(setting string) (encoding string, margin float64) {
	if setting == "approximate" {
		return "o200k_base", 0.05
	}
	return setting, 0
}

// openModel opens the GGUF file at path, or the embedded one if path is empty.
func openModel(path, embedded string) (*gguf.File, error) {
	if path == "" {
		return gguf.Parse(embedded)
	}
	return gguf.Open(path)
}

// newScorer returns the named scorer of package scoring.
func (e *engine) newScorer(name string) (*scoring.Scorer, error) {
	return e.newScorerWith(name, e.settings.Scoring)
}

// newScorerWith returns the named scorer with other settings of what it may spend.
func (e *engine) newScorerWith(name string, settings config.Scoring) (*scoring.Scorer, error) {
	return scoring.NewScorer(name, scoring.Options{
		LM: e.lm, Encoder: e.encoder,
		KVBytes: int64(e.settings.Cache.KV) << 20, ScoreBytes: int64(e.settings.Cache.Scores) << 20,
		ModelTokens: settings.ModelTokens, Plan: e.plan, Combination: e.combination,
	})
}

// scorer returns the named scorer in the form that compressors wants.
func (e *engine) scorer(name string) (compressors.Scorer, error) {
	scorer, err := e.newScorer(name)
	if err != nil {
		return nil, err
	}
	return adapted(scorer), nil
}

// adapted puts a scorer into the form that compressors wants.
func adapted(scorer *scoring.Scorer) compressors.Scorer { return scorerAdapter{scorer} }

type scorerAdapter struct{ *scoring.Scorer }

// Score is scoring's in the types of compressors.
func (a scorerAdapter) Score(ctx context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
	scores, err := a.Scorer.Score(ctx, query, segmentsOf(candidates))
	if err != nil {
		return compressors.Scores{}, err
	}
	return convertScores(scores), nil
}

// piecesOf turns pieces into what package scoring reads.
func piecesOf(pieces []compressors.Piece) []scoring.Piece {
	out := make([]scoring.Piece, len(pieces))
	for i, p := range pieces {
		out[i] = scoring.Piece{Segment: p.Candidate, Index: p.Index, Count: p.Count, Tokens: p.Tokens, Text: p.Text}
	}
	return out
}

// segmentsOf turns candidates into what package scoring reads. Both packages number families and forms alike.
func segmentsOf(candidates []compressors.Candidate) []scoring.Segment {
	segments := make([]scoring.Segment, len(candidates))
	for at, c := range candidates {
		segments[at] = scoring.Segment{
			TextName: c.TextName, Name: c.SegmentName, TextIndex: c.TextIndex, Family: scoring.Family(c.Family),
			Form: scoring.Form(c.Kind), Enclosed: c.Parent >= 0, Tokens: c.Tokens, Defines: c.Defines, Text: c.Text,
		}
		for _, i := range c.Imports {
			segments[at].Imports = append(append(segments[at].Imports, i.Path), i.Names...)
		}
	}
	return segments
}

// convertScores turns a column a term into a list of terms a segment.
func convertScores(scores scoring.Scores) compressors.Scores {
	out := compressors.Scores{
		Scores: make([]compressors.Score, len(scores.Values)), Probabilities: scores.Probabilities,
		ModelTokens: scores.ModelTokens, Cut: scores.Cut, Unread: scores.Unread,
	}
	if scores.Probabilities {
		out.Refine = func(pieces []compressors.Piece) ([]float64, error) { return scores.Refine(piecesOf(pieces)) }
	}
	for i, value := range scores.Values {
		out.Scores[i].Value = value
		for _, term := range scores.Terms {
			if math.IsNaN(term.Values[i]) { // the cascade did not ask for it
				continue
			}
			out.Scores[i].Terms = append(out.Scores[i].Terms, compressors.Term{Name: term.Name, Value: term.Values[i]})
		}
	}
	for _, stage := range scores.Stages {
		out.Stages = append(out.Stages, compressors.Stage(stage))
	}
	return out
}

// compressor returns a compressor with the named scorer.
func (e *engine) compressor(scorerName string) (*compressors.Compressor, error) {
	scorer, err := e.scorer(scorerName)
	if err != nil {
		return nil, fmt.Errorf("scoring.scorer: %w", err)
	}
	return e.compressorWith(scorer, e.settings.Compression.MinTokens)
}

// compressorWith returns a compressor that leaves inputs of fewer than minTokens alone.
func (e *engine) compressorWith(scorer compressors.Scorer, minTokens int) (*compressors.Compressor, error) {
	c := e.settings.Compression
	options := compressors.Options{
		Scorer: scorer, CountTokens: e.counter.Count, DefaultRate: c.Rate, MinTokens: minTokens,
		Dependencies: c.Dependencies, Verify: c.Verify,
	}
	switch c.Policy {
	case "balanced":
		options.Threshold, options.Floor = c.Threshold, min(c.Floor, c.Rate)
	case "threshold":
		options.Threshold, options.DefaultRate = c.Threshold, 1
	}
	return compressors.New(options)
}
