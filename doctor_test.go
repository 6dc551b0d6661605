package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// doctor runs the command with a scorer that needs no model.
func doctor(t *testing.T, environ []string, args ...string) (says string, err error) {
	t.Helper()
	var out bytes.Buffer
	args = append([]string{"doctor", "--scoring-scorer=bm25", "--listen=127.0.0.1:0"}, args...)
	err = run(t.Context(), args, append(environ, "PITH_CACHE_DIR=off"), streams{strings.NewReader(""), &out, &out})
	return out.String(), err
}

func TestDoctorFindsNothingWrong(t *testing.T) {
	up := startSeen(t)
	listen, admin := startServe(t, nil, "--upstream="+up.URL)
	for name, args := range map[string][]string{
		"before pith runs": {"--admin=127.0.0.1:0"},
		"while it runs":    {"--listen=" + listen, "--admin=" + admin},
		"without admin":    {},
	} {
		says, err := doctor(t, nil, append(args, "--upstream="+up.URL+"/v1")...)
		if err != nil || strings.Contains(says, "WRONG") || strings.Count(says, "\n") != 7 {
			t.Errorf("%s: %v\n%s", name, err, says)
		}
	}
	if says, err := doctor(t, nil, "--upstream=embedded"); err != nil || !strings.Contains(says, "inside this binary") {
		t.Errorf("embedded: %v\n%s", err, says)
	}
	if len(up.received()) > 0 {
		t.Errorf("it sent %q", up.received())
	}
}

func TestDoctorSaysWhatIsWrongAndWhatToDo(t *testing.T) {
	up := startSeen(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	taken := strings.TrimPrefix(other.URL, "http://")
	answering := func(status int, date string) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if date != "" {
				w.Header().Set("Date", date)
			}
			w.WriteHeader(status)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	secure.Config.ErrorLog = nil
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	several := filepath.Join(t.TempDir(), "pith.yaml")
	if err := os.WriteFile(several, []byte("upstreams:\n  - name: other\n    url: http://127.0.0.1:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		environ []string
		args    []string
		want    string // a pattern for a line
		passes  bool
	}{
		{name: "no upstream", args: []string{"--upstream="}, want: `WRONG +settings +no upstream -> .*--upstream`},
		{name: "an upstream that is none", args: []string{"--upstream=ftp://x"}, want: `WRONG +settings .*http`},
		{name: "a setting out of range", args: []string{"--compression-rate=3"}, want: `WRONG +settings .*3`},
		{name: "a scorer that does not exist", args: []string{"--scoring-scorer=bm26"}, want: `WRONG +models .*bm26`},
		{name: "a tier that does not exist", args: []string{"--scoring-tier=avx1024"}, want: `WRONG +CPU .*avx1024.* -> .*auto`},
		{name: "plain instructions", args: []string{"--scoring-tier=generic"}, want: `warning +CPU .*bm25`, passes: true},
		{name: "a model that is none", args: []string{"--scoring-scorer=encoder", "--scoring-encoder=" + file}, want: `WRONG +models .*encoder.* -> .*embedded`},
		{name: "a folder that cannot be written", args: []string{"--cache-dir=" + file + "/in"}, want: `warning +models .* -> set cache.dir`, passes: true},
		{name: "a port in use", args: []string{"--listen=" + taken}, want: `WRONG +listen .*in use -> stop`},
		{name: "open to others without a token", args: []string{"--listen=0.0.0.0:0"}, want: `WRONG +listen .*PITH_ACCESS_KEY`},
		{name: "open to others with a token", environ: []string{"PITH_ACCESS_KEY=k"}, args: []string{"--listen=0.0.0.0:0"}, want: `ok +listen`, passes: true},
		{name: "an admin port in use", args: []string{"--admin=" + taken}, want: `WRONG +admin .*in use -> stop`},
		{name: "an admin address open to others", environ: []string{"PITH_ACCESS_KEY=k"}, args: []string{"--admin=0.0.0.0:0"}, want: `warning +admin .*no token`, passes: true},
		{name: "an upstream that does not run", args: []string{"--upstream=http://127.0.0.1:1"}, want: `WRONG +upstream .*refused -> see that it is running`},
		{name: "an upstream that speaks no TLS", args: []string{"--upstream=" + strings.Replace(up.URL, "http:", "https:", 1)}, want: `WRONG +upstream .* -> .*http://`},
		{name: "a certificate of nobody", args: []string{"--upstream=" + secure.URL}, want: `WRONG +upstream .* -> .*certificate authority`},
		{name: "an upstream that wants a key", args: []string{"--upstream=" + answering(401, "")}, want: `ok +upstream .*wants a key`, passes: true},
		{name: "a key that is refused", environ: []string{"PITH_UPSTREAM_KEY=k"}, args: []string{"--upstream=" + answering(401, "")}, want: `WRONG +upstream .*refuses .*PITH_UPSTREAM_KEY`},
		{name: "one of several upstreams that does not run", args: []string{"--config=" + several}, want: `WRONG +other .*refused`},
		{name: "a proxy for upstreams that does not run", args: []string{"--egress-proxy=http://127.0.0.1:1", "--upstream=http://upstream.invalid"}, want: `WRONG +upstream .*proxyconnect|WRONG +upstream .*refused`},
		{name: "an upstream with prices", args: []string{"--upstream=" + answering(200, ""), "--prompt-cache=paid"}, want: `ok +upstream .*; prompt cache paid`, passes: true},
		{name: "an upstream in trouble", args: []string{"--upstream=" + answering(503, "")}, want: `warning +upstream .*503`, passes: true},
		{name: "a wrong path", args: []string{"--upstream=" + answering(404, "")}, want: `warning +upstream .*404.*path`, passes: true},
		{name: "a clock that is off", args: []string{"--upstream=" + answering(200, time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat))}, want: `WRONG +clock .*1h0m.* -> set the clock`},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append([]string{"--upstream=" + up.URL}, c.args...)
			says, err := doctor(t, c.environ, args...)
			if (err == nil) != c.passes || !regexp.MustCompile(c.want).MatchString(says) {
				t.Errorf("%v, want %q\n%s", err, c.want, says)
			}
		})
	}
}

func TestClockBeforeTheSourceWasCommitted(t *testing.T) {
	built := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	if f := checkClock(built.Add(-time.Hour), time.Time{}, built); f.grade != wrong {
		t.Errorf("%+v", f)
	}
	if f := checkClock(built.Add(time.Hour), built.Add(time.Hour+time.Minute), built); f.grade != fine {
		t.Errorf("%+v", f)
	}
}
