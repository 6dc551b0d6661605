package cache_test

import (
	"testing"

	"github.com/pith-llm/pith/cache"
)

func TestKeysOfDifferentPartsDiffer(t *testing.T) {
	long := make([]byte, 10_000)
	for i := range long {
		long[i] = 'x'
	}
	keys := map[string]cache.Key{
		"kind only":         cache.NewKey("a").Sum(),
		"other kind":        cache.NewKey("b").Sum(),
		"text":              cache.NewKey("a").Text("x", "1").Sum(),
		"other label":       cache.NewKey("a").Text("y", "1").Sum(),
		"other text":        cache.NewKey("a").Text("x", "2").Sum(),
		"empty text":        cache.NewKey("a").Text("x", "").Sum(),
		"label runs on":     cache.NewKey("a").Text("x1", "").Sum(),
		"two texts":         cache.NewKey("a").Text("x", "1").Text("y", "2").Sum(),
		"one text of both":  cache.NewKey("a").Text("x", "1y2").Sum(),
		"other order":       cache.NewKey("a").Text("y", "2").Text("x", "1").Sum(),
		"number":            cache.NewKey("a").Int("x", 1).Sum(),
		"negative":          cache.NewKey("a").Int("x", -1).Sum(),
		"text like number":  cache.NewKey("a").Text("x", "\x01\x00\x00\x00\x00\x00\x00\x00").Sum(),
		"key":               cache.NewKey("a").Key("x", cache.Key{1}).Sum(),
		"text like key":     cache.NewKey("a").Text("x", string(append([]byte{1}, make([]byte, 31)...))).Sum(),
		"long":              cache.NewKey("a").Text("x", string(long)).Sum(),
		"long, end differs": cache.NewKey("a").Text("x", string(long[1:])+"y").Sum(),
	}
	seen := map[cache.Key]string{}
	for name, key := range keys {
		if other, ok := seen[key]; ok {
			t.Errorf("%s and %s have the same key", name, other)
		}
		seen[key] = name
	}
	if again := cache.NewKey("a").Text("x", string(long)).Sum(); again != keys["long"] {
		t.Error("the same parts give another key")
	}
	if s := keys["text"].String(); len(s) != 64 {
		t.Errorf("%q is not 64 digits", s)
	}
}
