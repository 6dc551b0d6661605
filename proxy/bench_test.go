package proxy

import (
	"fmt"
	"strings"
	"testing"
)

// BenchmarkShorten measures what the proxy adds to a request whose turns are remembered: parsing, finding spans, keys,
// splicing and the last check, over a conversation of n bytes.
func BenchmarkShorten(b *testing.B) {
	for _, turns := range []int{1, 10, 100} {
		var body strings.Builder
		body.WriteString(`{"model":"m","messages":[`)
		for i := range turns {
			if i > 0 {
				body.WriteString(`,{"role":"assistant","content":"ok"},`)
			}
			fmt.Fprintf(&body, `{"role":"user","content":%s}`, encode(b, asking(essay(60, fmt.Sprint("mill ", i)))))
		}
		body.WriteString(`]}`)
		b.Run(fmt.Sprintf("n=%d", body.Len()), func(b *testing.B) {
			s, err := NewServer(Options{Upstream: "http://127.0.0.1:1", Compressor: realCompressor(b), CountTokens: countTokens})
			if err != nil {
				b.Fatal(err)
			}
			request := []byte(body.String())
			b.SetBytes(int64(len(request)))
			b.ReportAllocs()
			for b.Loop() {
				if !s.shorten(b.Context(), s.upstreams[0].shortener, dialectChat, request, policy{}).edited {
					b.Fatal("nothing was shortened")
				}
			}
		})
	}
}
