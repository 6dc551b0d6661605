package scoring_test

import (
	"context"
	"fmt"

	"github.com/pith-llm/pith/scoring"
)

func ExampleScorer() {
	scorer, err := scoring.NewScorer("bm25", scoring.Options{})
	if err != nil {
		panic(err)
	}
	defer scorer.Close()
	scores, err := scorer.Score(context.Background(), "Where is the config parsed?", []scoring.Segment{
		{TextName: "store.go", Name: "Write", Text: "func (s *Store) Write(key string) error { return nil }"},
		{TextName: "config.go", Name: "parseConfig", Text: "func parseConfig(path string) (Config, error) { return Config{}, nil }"},
	})
	fmt.Println(scores.Values, err)
	// Output:
	// [0 1.2391] <nil>
}
