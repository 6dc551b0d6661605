package scoring_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring"
)

func TestWords(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"parseConfig", "parseconfig parse config"},
		{"parse_config __init__ _x", "parse_config parse config init x"},
		{"HTTPServer XMLHttpRequest iOS", "httpserver http server xmlhttprequest xml http request ios i os"},
		{"utf8 sha256sum v2 1905", "utf8 utf 8 sha256sum sha 256 sum v2 v 2 1905"},
		{"SCREAMING_CASE kebab-case", "screaming_case screaming case kebab case"},
		{"queries boxes buses class status is his", "query boxe buse class status is his"},
		{"s.users[0].Name()", "s user 0 name"},
		{"Größe naïve ÉCOLE école", "größe naïve école école"},
		{"你好世界 中 テスト", "你好 好世 世界 中 テス スト"},
		{"it's don't", "it s don t"},
		{"", ""},
		{"__ _ - !?", ""},
		{"a\xffb", "a b"},
	} {
		if got := strings.Join(scoring.Words(c.text), " "); got != c.want {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestBM25FollowsTheFormula(t *testing.T) {
	documents := []string{"red fox red", "blue whale swims far away", "fox", ""}
	got := scoring.BM25("red Fox fox", documents)
	mean := (3.0 + 5 + 1 + 0) / 4
	term := func(n, length, holders float64) float64 {
		idf := math.Log(1 + (4-holders+0.5)/(holders+0.5))
		return idf * n * 2.5 / (n + 1.5*(0.25+0.75*length/mean))
	}
	want := []float64{term(2, 3, 1) + term(1, 3, 2), 0, term(1, 1, 2), 0}
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-12 {
			t.Errorf("document %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

func TestBM25FindsIdentifiersAndIgnoresFunctionWords(t *testing.T) {
	documents := []string{
		"def read_file(path): what is it that this does? what is this for?",
		"class ConfigParser: def parseConfig(self): ...",
		"def load(): return config",
	}
	scores := scoring.BM25("what is it that parses the config?", documents)
	if best := slices.Index(scores, slices.Max(scores)); best != 1 || scores[0] != 0 {
		t.Errorf("got %v", scores)
	}
	if scores := scoring.BM25("what is this", documents); scores[0] == 0 {
		t.Error("a query of function words alone matches nothing")
	}
	for _, empty := range [][]string{nil, {"", ""}} {
		if scores := scoring.BM25("query", empty); len(scores) != len(empty) || slices.Contains(scores, math.NaN()) {
			t.Errorf("%d empty documents give %v", len(empty), scores)
		}
	}
}

func BenchmarkBM25(b *testing.B) {
	documents := make([]string, 200)
	for i := range documents {
		documents[i] = strings.Repeat("func (s *Server) handleRequest(ctx context.Context) error { return s.upstream.Do(ctx) }\n", 20)
	}
	b.SetBytes(int64(200 * len(documents[0])))
	for b.Loop() {
		scoring.BM25("which function sends the request to the upstream server?", documents)
	}
}
