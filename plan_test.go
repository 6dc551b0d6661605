package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/compressors"
	"github.com/pith-llm/pith/kernels"
)

func TestPlanFollowsTheDeadline(t *testing.T) {
	for _, c := range []struct {
		flags         string
		served, asked time.Duration
	}{
		{"", time.Second, 0},
		{"--compression-deadline=5s", 2500 * time.Millisecond, 0},
		{"--scoring-plan=off", 0, 0},
		{"--scoring-plan=300ms", 300 * time.Millisecond, 300 * time.Millisecond},
	} {
		e, _ := logged(t, strings.Fields("--cache-dir=off "+c.flags)...)
		if served := newCounting(e).engine.plan.Time; served != c.served || e.plan.Time != c.asked {
			t.Errorf("%q: planned %v where requests are served and %v elsewhere, want %v and %v", c.flags, served, e.plan.Time, c.served, c.asked)
		}
	}
	for _, plan := range []string{"1", "-1s", "0s", "much"} {
		if _, err := newEngine(parseServe(t, nil, "--scoring-plan="+plan).Engine, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "scoring.plan") {
			t.Errorf("plan %q: %v", plan, err)
		}
	}
}

// Under the defaults a turn of many documents costs no more on avx2 than the deadline leaves, and it is shortened.
func TestServedTurnsCostWhatTheDeadlineAllows(t *testing.T) {
	e, _ := logged(t, "--cache-dir=off")
	plan := newCounting(e).engine.plan
	plan.Tier = kernels.AVX2
	encoder, decoder := plan.Tokens(0)
	if decoder >= e.settings.Scoring.ModelTokens || decoder > 1000 || encoder > 10_000 {
		t.Errorf("by default a turn may cost %d tokens of the encoder, %d of the decoder", encoder, decoder)
	}
	e, _ = logged(t, "--cache-dir=off", "--compression-deadline=200ms", "--scoring-tier="+kernels.Best().String())
	compressor, _, err := newCounting(e).by("o200k_base")
	if err != nil {
		t.Fatal(err)
	}
	in := compressors.Input{Query: "When was the harbour dredged?"}
	for i := range 200 {
		in.Texts = append(in.Texts, compressors.Text{
			Name: fmt.Sprintf("Report %d", i),
			Content: fmt.Sprintf("In the year %d bread cost %d pence, and the mill stood still. ", 1000+i, i%13) +
				strings.Repeat("The river rises in the hills and reaches the sea near the old town. ", 6),
		})
	}
	in.Texts[77].Content += "The harbour was dredged in that year."
	result, err := compressor.Compress(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	most, _ := newCounting(e).engine.plan.Tokens(0)
	if result.ModelTokens > most || result.Cut == 0 || result.TokensOut >= result.TokensIn {
		t.Errorf("%d tokens read, the plan has %d; %d segments cut; %d tokens of %d kept", result.ModelTokens, most, result.Cut, result.TokensOut, result.TokensIn)
	}
	if !strings.Contains(result.Texts[77].Output, "harbour was dredged") {
		t.Error("the answer is lost")
	}
}

// Who asks is told what the plan left out.
func TestReadingIsReported(t *testing.T) {
	var out strings.Builder
	command := parseCompress(t, "-q", "When was the harbour dredged?", "--scoring-plan=20ms", "--rate=0.3", "--cache-dir=off", "--explain")
	text := strings.Repeat("The river rises in the hills and reaches the sea near the old town. It does so in all years but those of drought.\n\n", 120)
	if err := command.Run(t.Context(), streams{stdin: strings.NewReader(text + "The harbour was dredged in 1962.\n"), stdout: io.Discard, stderr: &out}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "scoring.plan left them the beginnings of") {
		t.Errorf("no word of the plan:\n%.2000s", out.String())
	}
}

func parseCompress(t *testing.T, flags ...string) compressCommand {
	t.Helper()
	var cli commands
	if _, err := parse(t.Context(), &cli, append([]string{"compress"}, flags...), nil, streams{}); err != nil {
		t.Fatal(err)
	}
	return cli.Compress
}
