package compressors_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/pith-llm/pith/compressors"
)

// A scorer that knows a relevant segment when it names what the query names.
func ExampleCompressor_Compress() {
	scorer := compressors.ScorerFunc(func(_ context.Context, query string, candidates []compressors.Candidate) (compressors.Scores, error) {
		var s compressors.Scores
		for _, c := range candidates {
			s.Scores = append(s.Scores, compressors.Score{Value: float64(strings.Count(c.Text, query))})
		}
		return s, nil
	})
	compressor, err := compressors.New(compressors.Options{
		Scorer:      scorer,
		CountTokens: func(s string) int { return (len(s) + 3) / 4 },
		MinTokens:   1,
	})
	if err != nil {
		panic(err)
	}
	source := `import os

def load(path):
    with open(path) as f:
        return f.read()

def save(path, text):
    with open(path, "w") as f:
        f.write(text)

def remove(path):
    if os.path.exists(path):
        os.remove(path)
`
	result, err := compressor.Compress(context.Background(), compressors.Input{
		Query:  "save",
		Texts:  []compressors.Text{{Name: "files.py", Content: source}},
		Budget: compressors.Budget{Tokens: 32},
	})
	if err != nil {
		panic(err)
	}
	fmt.Printf("%d of %d tokens\n%s", result.TokensOut, result.TokensIn, result.Texts[0].Output)
	fmt.Println(compressors.Verify(source, result.Texts[0].Output))
	// Output:
	// 30 of 57 tokens
	// import os
	//
	// # …4 lines…
	// def save(path, text):
	//     with open(path, "w") as f:
	//         f.write(text)
	//
	// # …3 lines…
	// <nil>
}
