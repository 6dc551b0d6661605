package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pith.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoadTakesTheEnvironmentBeforeTheFile(t *testing.T) {
	path := writeFile(t, `
listen: 127.0.0.1:9000
compression:
  rate: 0.25   # a quarter
  min_tokens: 100
scoring:
  scorer: bm25
`)
	source, err := Load(path, []string{"PITH_COMPRESSION_RATE=0.5", "HOME=/nowhere", "PITH_UPSTREAM_KEY=secret", "PITH_CONFIG=" + path})
	if err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]string{
		"listen": "127.0.0.1:9000", "compression-rate": "0.5", "compression-min-tokens": "100", "scoring-scorer": "bm25",
	} {
		if got, ok := source.Lookup(flag); !ok || got != want {
			t.Errorf("%s = %q, %v; want %q", flag, got, ok, want)
		}
	}
	if got, ok := source.Lookup("upstream"); ok {
		t.Errorf("upstream = %q, want it unset", got)
	}
}

func TestLoadNamesWhatItDoesNotKnow(t *testing.T) {
	for name, c := range map[string]struct {
		content string
		environ []string
		want    []string
	}{
		"unknown key at the top":    {content: "listen: x\nlissten: y\n", want: []string{"pith.yaml:2", `"lissten"`}},
		"unknown key in a section":  {content: "scoring:\n  scorer: lm\n  colour: x\n", want: []string{"pith.yaml:3", `"colour"`, "scorer"}},
		"a section inside another":  {content: "scoring:\n  cache:\n    kv_mib: 3\n", want: []string{"pith.yaml:2", `"cache"`}},
		"a list for a value":        {content: "listen: [a, b]\n", want: []string{"pith.yaml:1", "one value"}},
		"a value for a section":     {content: "scoring: lm\n", want: []string{"pith.yaml:1", "keys and values"}},
		"not YAML":                  {content: "listen: [a\n", want: []string{"pith.yaml:1"}},
		"the same key twice":        {content: "listen: a\nlisten: b\n", want: []string{"pith.yaml:2"}},
		"unknown variable":          {environ: []string{"PITH_LISSTEN=x"}, want: []string{"PITH_LISSTEN"}},
		"two documents in one file": {content: "listen: a\n---\nlisten: b\n", want: []string{"2 YAML documents"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Load(writeFile(t, c.content), c.environ)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("error %q does not mention %q", err, want)
				}
			}
		})
	}
}

func TestLoadAcceptsAnEmptyFile(t *testing.T) {
	for _, content := range []string{"", "# nothing\n", "scoring:\n"} {
		if _, err := Load(writeFile(t, content), nil); err != nil {
			t.Errorf("%q: %v", content, err)
		}
	}
}
