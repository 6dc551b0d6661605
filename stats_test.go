package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// statsPage is a page of metrics as the admin address answers it.
const statsPage = `# TYPE pith_requests_total counter
pith_requests_total{dialect="chat",outcome="answered"} 7
pith_requests_total{dialect="chat",outcome="client_gone"} 1
pith_requests_total{dialect="none",outcome="answered"} 2
# TYPE pith_tokens_in_total counter
pith_tokens_in_total 1.2e+06
# TYPE pith_tokens_out_total counter
pith_tokens_out_total 300000
# TYPE pith_observed_saved_tokens_total counter
pith_observed_saved_tokens_total 40
# TYPE pith_skips_total counter
pith_skips_total{reason="no_span"} 3
pith_skips_total{reason="off"} 5
# TYPE pith_texts_total counter
pith_texts_total{outcome="shortened"} 9
pith_texts_total{outcome="small"} 11
# TYPE pith_text_tokens_in_total counter
pith_text_tokens_in_total{kind="code"} 400
pith_text_tokens_in_total{kind="log"} 1000
# TYPE pith_text_tokens_out_total counter
pith_text_tokens_out_total{kind="code"} 300
pith_text_tokens_out_total{kind="log"} 200
# TYPE pith_replays_total counter
pith_replays_total 1
# TYPE pith_overhead_seconds histogram
pith_overhead_seconds_bucket{le="0.1"} 4
pith_overhead_seconds_bucket{le="+Inf"} 4
pith_overhead_seconds_sum 0.05
pith_overhead_seconds_count 4
`

func TestStatsShowsWhatWasSaved(t *testing.T) {
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(statsPage)) }))
	defer admin.Close()
	address := strings.TrimPrefix(admin.URL, "http://")
	stdout, _, err := pith(t, "", "stats", "--admin", address)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"tokens in", "1200000", "saved", "900000", "75 %", "not saved, for mode observe", "40", "requests, chat", "answered 7, client_gone 1",
		"requests, forwarded unread", "small 11, shortened 9", "off 5, no_span 3", "the shortened one refused", "12.5 ms", "saved of log", "800", "80 % of 1000", "25 % of 400",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	stdout, _, err = pith(t, "", "stats", "--admin", address, "--json")
	if err != nil {
		t.Fatal(err)
	}
	var s stats
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	if s.TokensIn-s.TokensOut != 900_000 || s.Requests["chat"]["answered"] != 7 || s.Texts["small"] != 11 || s.Skips["off"] != 5 || s.Kinds["log"] != (kindTokens{1000, 200}) {
		t.Errorf("%+v", s)
	}
}

func TestStatsSaysWhyItShowsNothing(t *testing.T) {
	stranger := httptest.NewServer(http.NotFoundHandler())
	defer stranger.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("up 1\n")) }))
	defer other.Close()
	for name, c := range map[string]struct{ admin, want string }{
		"no address":          {"", "--admin"},
		"nobody there":        {"127.0.0.1:1", "is 'pith serve' running"},
		"not pith":            {strings.TrimPrefix(stranger.URL, "http://"), "404"},
		"metrics of others":   {strings.TrimPrefix(other.URL, "http://"), "not pith's metrics"},
		"address without end": {"127.0.0.1:http:", "admin"},
	} {
		if _, _, err := pith(t, "", "stats", "--admin="+c.admin); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
