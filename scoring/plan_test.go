package scoring_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/kernels"
	"github.com/pith-llm/pith/scoring"
	"github.com/pith-llm/pith/scoring/gguf"
	"github.com/pith-llm/pith/scoring/models"
)

// report is a text of n segments, most of which say nothing of a harbour.
func report(n int) []scoring.Segment {
	segments := make([]scoring.Segment, n)
	for i := range segments {
		said := "The river rises in the hills and reaches the sea near the old town."
		if i%7 == 3 {
			said = "The harbour was dredged in that year, and ships came to it again."
		}
		text := fmt.Sprintf("Chapter %d. ", i) + strings.Repeat(fmt.Sprintf("In the year %d bread cost %d pence, and the mill stood still. ", 1000+i, i%13), 8) + said
		segments[i] = scoring.Segment{TextIndex: i / 50, Text: text, Tokens: len(text) / 4}
	}
	return segments
}

const dredged = "When was the harbour dredged?"

func planned(tier kernels.Tier, d time.Duration) scoring.Options {
	return scoring.Options{ModelTokens: 4000, Plan: scoring.Plan{Time: d, Tier: tier}}
}

// However much there is, the models read no more than the plan pays for at the speeds of its tier.
func TestPlanBoundsWhatIsRead(t *testing.T) {
	// Plans that pay for no more than some hundred tokens of the encoder: the tests run in plain Go too.
	for tier, d := range map[kernels.Tier]time.Duration{
		kernels.Generic: 600 * time.Millisecond, kernels.AVX2: 60 * time.Millisecond, kernels.AMX: 40 * time.Millisecond,
	} {
		for _, n := range []int{1, 100, 3000} {
			segments := report(n)
			bytes := 0
			for _, s := range segments {
				bytes += len(s.Text)
			}
			o := planned(tier, d)
			most, _ := o.Plan.Tokens(bytes)
			withDecoder := score(t, newScorer(t, "default", o), dredged, segments)
			o.ModelTokens = 0
			cheap := score(t, newScorer(t, "default", o), dredged, segments)
			if cheap.ModelTokens > most {
				t.Errorf("%v, %d segments: the encoder read %d tokens of %d", tier, n, cheap.ModelTokens, most)
			}
			speed := scoring.SpeedOf(tier)
			cost := float64(cheap.ModelTokens)/float64(speed.Encoder) + float64(withDecoder.ModelTokens-cheap.ModelTokens)/float64(speed.Decoder)
			if limit := float64(most) / float64(speed.Encoder); cost > limit+1e-3 {
				t.Errorf("%v, %d segments: both cost %.4f s of %.4f", tier, n, cost, limit)
			}
			if left := cheap.Cut + cheap.Unread; (left > 0) != (n > 1) || n == 3000 && cheap.Unread == 0 {
				t.Errorf("%v, %d segments: %d cut, %d unread", tier, n, cheap.Cut, cheap.Unread)
			}
			if most > 200 && n > 1 && !strings.Contains(segments[slices.Index(cheap.Values, slices.Max(cheap.Values))].Text, "dredged") {
				t.Errorf("%v, %d segments: the best says nothing of the harbour", tier, n)
			}
		}
	}
}

// However much code there is, the encoder reads about as much of it, and what has the query's words comes first.
func TestEncoderReadsTheLikeliestCode(t *testing.T) {
	code := func(n int) []scoring.Segment {
		segments := make([]scoring.Segment, n)
		for i := range segments {
			name := fmt.Sprint("step", i)
			if i == n-1 {
				name = "dredgeHarbour"
			}
			text := fmt.Sprintf("func %s(in []int) (sum int) {\n\tfor _, v := range in {\n\t\tsum += v * %d\n\t}\n\treturn sum\n}\n", name, i)
			segments[i] = scoring.Segment{TextName: "steps.go", Name: name, Family: scoring.Code, Form: scoring.FormFunction, Tokens: 40, Text: text}
		}
		return segments
	}
	read := func(n int) int {
		scores := score(t, newScorer(t, "default", scoring.Options{}), "When was the harbour dredged?", code(n))
		if best := slices.Index(scores.Values, slices.Max(scores.Values)); best != n-1 || scores.Unread > 0 {
			t.Errorf("%d segments: %d is the best, %d are unread for a plan", n, best, scores.Unread)
		}
		return scores.ModelTokens
	}
	few, many, more := read(10), read(200), read(400)
	if few == 0 || many < 4*few || more > many+40 {
		t.Errorf("10, 200 and 400 functions cost %d, %d and %d tokens", few, many, more)
	}
}

// Where the decoder can read only a few of many segments it reads none.
func TestDecoderReadsNoSmallPart(t *testing.T) {
	for n, reads := range map[int]bool{1: true, 8: false} {
		var segments []scoring.Segment
		for range n {
			segments = append(segments, passages...)
		}
		scores := score(t, newScorer(t, "default", scoring.Options{ModelTokens: 250}), dredged, segments)
		if read := slices.ContainsFunc(scores.Stages, func(s scoring.Stage) bool { return s.Name == "decoder" }); read != reads {
			t.Errorf("of %d segments some were read: %t", len(segments), read)
		}
	}
}

// A plan that pays for nothing but the query leaves the words.
func TestPlanOfNothing(t *testing.T) {
	segments := report(10)
	scores := score(t, newScorer(t, "default", planned(kernels.Generic, time.Millisecond)), dredged, segments)
	if scores.Unread != len(segments) || scores.Values[3] <= scores.Values[4] {
		t.Errorf("%d segments unread, scores %v", scores.Unread, scores.Values)
	}
}

// A plan with room for everything changes nothing.
func TestAmplePlanIsNone(t *testing.T) {
	segments := report(2)
	want := score(t, newScorer(t, "default", scoring.Options{ModelTokens: 400}), dredged, segments)
	if !slices.ContainsFunc(want.Stages, func(s scoring.Stage) bool { return s.Name == "decoder" }) {
		t.Fatal("the decoder reads nothing")
	}
	o := planned(kernels.Generic, time.Hour)
	o.ModelTokens = 400
	got := score(t, newScorer(t, "default", o), dredged, segments)
	if !slices.Equal(got.Values, want.Values) || got.ModelTokens != want.ModelTokens || got.Cut+got.Unread > 0 {
		t.Errorf("got %v for %d tokens, want %v for %d", got.Values, got.ModelTokens, want.Values, want.ModelTokens)
	}
}

// Under a plan the scores are those of the query and the segments alone, whatever the cores, what is cached and what was
// scored before or at the same time.
func TestPlannedScoresDependOnNothingElse(t *testing.T) {
	segments := report(30)
	o := planned(kernels.AVX2, 75*time.Millisecond)
	s := newScorer(t, "default", o)
	want := score(t, s, dredged, segments)
	if want.Cut == 0 {
		t.Fatal("the plan leaves everything to be read")
	}
	same := func(name string, s *scoring.Scorer) {
		got := score(t, s, dredged, segments)
		if !slices.Equal(got.Values, want.Values) || got.ModelTokens != want.ModelTokens || got.Cut != want.Cut || got.Unread != want.Unread {
			t.Errorf("%s: other scores, or %d tokens in place of %d", name, got.ModelTokens, want.ModelTokens)
		}
	}
	same("again", s)
	score(t, s, dredged, report(45)) // a later turn
	score(t, s, "who sells bread?", segments[:15])
	same("after others", s)
	o.KVBytes, o.ScoreBytes = 1, 1
	same("without caches", newScorer(t, "default", o))
	unplanned := newScorer(t, "default", scoring.Options{ModelTokens: 500})
	score(t, unplanned, dredged, segments)
	same("with the caches of one that reads more", unplanned.WithPlan(o.Plan))
	for _, workers := range []int{1, 3} {
		o := planned(kernels.AVX2, 75*time.Millisecond)
		o.Encoder = func() (*scoring.Encoder, error) {
			file, err := gguf.Parse(models.Encoder)
			if err != nil {
				return nil, err
			}
			return scoring.LoadEncoder(file, scoring.EncoderOptions{Tier: kernels.Best(), Workers: workers})
		}
		same(fmt.Sprint(workers, " workers"), newScorer(t, "default", o))
	}
	var all []chan scoring.Scores
	for range 3 {
		done := make(chan scoring.Scores, 1)
		all = append(all, done)
		go func() {
			got, _ := s.Score(t.Context(), dredged, segments)
			done <- got
		}()
	}
	for _, done := range all {
		if got := <-done; !slices.Equal(got.Values, want.Values) {
			t.Error("at the same time as others: other scores")
		}
	}
}

// Pieces are rated by what was read for the segments, cached or not; of a segment that was not read there is nothing.
func TestPiecesAreRatedByWhatWasRead(t *testing.T) {
	segments := report(300)
	var pieces []scoring.Piece
	for i := range segments {
		sentences := strings.SplitAfter(segments[i].Text, ". ")
		for j, sentence := range sentences {
			pieces = append(pieces, scoring.Piece{Segment: i, Index: j, Count: len(sentences), Tokens: len(sentence) / 4, Text: sentence})
		}
	}
	refine := func(o scoring.Options) []float64 {
		scores := score(t, newScorer(t, "default", o), dredged, segments)
		if o.Plan.Time > 0 && scores.Unread == 0 {
			t.Fatal("everything is read")
		}
		needs, err := scores.Refine(pieces)
		if err != nil || len(needs) != len(pieces) {
			t.Fatalf("%d probabilities for %d pieces: %v", len(needs), len(pieces), err)
		}
		return needs
	}
	o := planned(kernels.AVX2, 200*time.Millisecond)
	want := refine(o)
	o.KVBytes, o.ScoreBytes = 1, 1
	if !slices.Equal(refine(o), want) {
		t.Error("other probabilities without caches")
	}
	if _, err := score(t, newScorer(t, "encoder", scoring.Options{}), dredged, segments[:2]).Refine(pieces[:1]); err == nil {
		t.Error("the encoder alone rates pieces")
	}
}

// Every tier has a speed, and a faster tier is not planned to read less.
func TestSpeeds(t *testing.T) {
	for tier := kernels.Generic; tier <= kernels.AMX; tier++ {
		s := scoring.SpeedOf(tier)
		if s.Encoder <= 0 || s.Decoder <= 0 || s.Decoder > s.Encoder {
			t.Errorf("%v: %+v", tier, s)
		}
		if tier > kernels.AVX2 && s.Encoder < scoring.SpeedOf(tier-1).Encoder {
			t.Errorf("%v is planned slower than %v", tier, tier-1)
		}
	}
	for _, p := range []scoring.Plan{{Time: -1}, {Time: 1, Tier: kernels.AMX + 1}} {
		if _, err := scoring.NewScorer("default", scoring.Options{Encoder: encoders[scoring.Int8], LM: lmInt8, Plan: p}); err == nil {
			t.Errorf("%+v is accepted", p)
		}
	}
}

// A text without words, such as a blank line, has no tokens to match.
func TestBlankSegments(t *testing.T) {
	for _, at := range []int{0, 1} {
		segments := slices.Insert(slices.Clone(passages), at, scoring.Segment{Text: " \n\n"})
		scores := score(t, newScorer(t, "default", scoring.Options{}), curie, segments)
		if best := slices.Index(scores.Values, slices.Max(scores.Values)); segments[best].TextName != "Marie Curie" {
			t.Errorf("a blank segment at %d: got %v", at, scores.Values)
		}
	}
}
