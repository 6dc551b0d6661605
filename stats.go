package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/pith-llm/pith/config"
)

type statsCommand struct {
	JSON bool `name:"json" help:"Print JSON."`

	config.Edge   `embed:"" group:"Settings"`
	config.Engine `embed:"" group:"Settings"`
}

// Help says what is counted.
func (statsCommand) Help() string {
	return "Reads the metrics at the admin address of a running 'pith serve'. Tokens are those of the texts of prompts, by the tokenizer of the " +
		"proxy's settings, once a request: a growing conversation counts its past again each time, as it is billed. Tools, images, what the wire adds " +
		"and answers are not counted, nor is what the upstream's prompt cache makes cheaper."
}

func (c *statsCommand) Run(ctx context.Context, std streams) error {
	if c.Admin == "" {
		return errors.New("no admin address: start 'pith serve' with --admin (such as 127.0.0.1:8788) and say the same here, or set PITH_ADMIN")
	}
	s, err := readStats(ctx, c.Admin)
	if err != nil {
		return err
	}
	if c.JSON {
		return writeJSON("-", std.stdout, s)
	}
	return s.writeText(std.stdout)
}

// stats is what a proxy has done since it started, from its metrics.
type stats struct {
	// Requests counts by dialect, then by what became of them.
	Requests map[string]map[string]int `json:"requests"`
	// Skips counts requests in which no text was looked at, Texts what became of texts, both by reason.
	Skips map[string]int `json:"skips"`
	Texts map[string]int `json:"texts"`
	// Kinds are the tokens of the texts that were looked at, by what they were taken for.
	Kinds map[string]kindTokens `json:"kinds"`
	// TokensIn and TokensOut are of all requests together; ObservedSaved would have been saved besides, if not for the mode.
	TokensIn      int `json:"tokens_in"`
	TokensOut     int `json:"tokens_out"`
	ObservedSaved int `json:"tokens_observed_saved"`
	Replays       int `json:"replays"`
	// OverheadSeconds and UpstreamSeconds are means over requests, of pith's own time before the upstream was asked and of
	// the time until it answered.
	OverheadSeconds float64 `json:"overhead_mean_seconds"`
	UpstreamSeconds float64 `json:"upstream_wait_mean_seconds"`
}

// kindTokens are the tokens of texts of one kind, as they came and as they were forwarded.
type kindTokens struct {
	In  int `json:"tokens_in"`
	Out int `json:"tokens_out"`
}

// readStats reads the metrics of the proxy with that admin address.
func readStats(ctx context.Context, admin string) (stats, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+reachable(admin)+"/metrics", nil)
	if err != nil {
		return stats{}, fmt.Errorf("admin: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return stats{}, fmt.Errorf("no pith answers at the admin address %s: is 'pith serve' running with --admin %s? %w", admin, admin, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return stats{}, fmt.Errorf("%s/metrics answers %s", admin, resp.Status)
	}
	return parseStats(resp.Body)
}

// parseStats reads metrics in Prometheus's text format.
func parseStats(r io.Reader) (stats, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return stats{}, fmt.Errorf("these are no metrics: %w", err)
	}
	if families["pith_tokens_in_total"] == nil {
		return stats{}, errors.New("these are not pith's metrics: pith_tokens_in_total is missing")
	}
	s := stats{Requests: map[string]map[string]int{}, Skips: map[string]int{}, Texts: map[string]int{}, Kinds: map[string]kindTokens{}}
	for _, m := range families["pith_requests_total"].GetMetric() {
		dialect := label(m, "dialect")
		if s.Requests[dialect] == nil {
			s.Requests[dialect] = map[string]int{}
		}
		s.Requests[dialect][label(m, "outcome")] += int(m.GetCounter().GetValue())
	}
	for _, m := range families["pith_skips_total"].GetMetric() {
		s.Skips[label(m, "reason")] += int(m.GetCounter().GetValue())
	}
	for _, m := range families["pith_texts_total"].GetMetric() {
		s.Texts[label(m, "outcome")] += int(m.GetCounter().GetValue())
	}
	for _, m := range families["pith_text_tokens_in_total"].GetMetric() {
		s.Kinds[label(m, "kind")] = kindTokens{In: int(m.GetCounter().GetValue())}
	}
	for _, m := range families["pith_text_tokens_out_total"].GetMetric() {
		kind := s.Kinds[label(m, "kind")]
		kind.Out = int(m.GetCounter().GetValue())
		s.Kinds[label(m, "kind")] = kind
	}
	for name, value := range map[string]*int{
		"pith_tokens_in_total": &s.TokensIn, "pith_tokens_out_total": &s.TokensOut, "pith_observed_saved_tokens_total": &s.ObservedSaved, "pith_replays_total": &s.Replays,
	} {
		for _, m := range families[name].GetMetric() {
			*value += int(m.GetCounter().GetValue())
		}
	}
	s.OverheadSeconds, s.UpstreamSeconds = mean(families["pith_overhead_seconds"]), mean(families["pith_upstream_wait_seconds"])
	return s, nil
}

func label(m *dto.Metric, name string) string {
	for _, pair := range m.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

// mean is the mean of a histogram, 0 of none.
func mean(family *dto.MetricFamily) float64 {
	sum, count := 0.0, 0.0
	for _, m := range family.GetMetric() {
		sum += m.GetHistogram().GetSampleSum()
		count += float64(m.GetHistogram().GetSampleCount())
	}
	if count == 0 {
		return 0
	}
	return sum / count
}

// writeText writes a table for people.
func (s stats) writeText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintf(table, "tokens in\t%d\n", s.TokensIn)
	fmt.Fprintf(table, "tokens out\t%d\n", s.TokensOut)
	fmt.Fprintf(table, "saved\t%d\t%s\n", s.TokensIn-s.TokensOut, percent(s.TokensIn-s.TokensOut, s.TokensIn))
	if s.ObservedSaved > 0 {
		fmt.Fprintf(table, "not saved, for mode observe\t%d\n", s.ObservedSaved)
	}
	for _, kind := range slices.SortedFunc(maps.Keys(s.Kinds), func(a, b string) int {
		return cmp.Or(s.Kinds[b].In-s.Kinds[a].In, strings.Compare(a, b))
	}) {
		tokens := s.Kinds[kind]
		fmt.Fprintf(table, "saved of %s\t%d\t%s of %d\n", kind, tokens.In-tokens.Out, percent(tokens.In-tokens.Out, tokens.In), tokens.In)
	}
	for _, dialect := range slices.Sorted(maps.Keys(s.Requests)) {
		name := dialect
		if name == "none" {
			name = "forwarded unread"
		}
		total := 0
		for _, n := range s.Requests[dialect] {
			total += n
		}
		fmt.Fprintf(table, "requests, %s\t%d\t%s\n", name, total, counts(s.Requests[dialect]))
	}
	fmt.Fprintf(table, "texts\t\t%s\n", counts(s.Texts))
	fmt.Fprintf(table, "requests without texts\t\t%s\n", counts(s.Skips))
	if s.Replays > 0 {
		fmt.Fprintf(table, "sent again, the shortened one refused\t%d\n", s.Replays)
	}
	fmt.Fprintf(table, "pith's own time, mean\t%.1f ms\tthe upstream's until it answers: %.0f ms\n", 1000*s.OverheadSeconds, 1000*s.UpstreamSeconds)
	return table.Flush()
}

// counts lists what was counted, the most first.
func counts(by map[string]int) string {
	if len(by) == 0 {
		return "none"
	}
	names := slices.Sorted(maps.Keys(by))
	slices.SortStableFunc(names, func(a, b string) int { return by[b] - by[a] })
	entries := make([]string, len(names))
	for i, name := range names {
		entries[i] = fmt.Sprintf("%s %d", name, by[name])
	}
	return strings.Join(entries, ", ")
}
