package tokenizer_test

import (
	"fmt"

	"github.com/pith-llm/pith/scoring/tokenizer"
)

func ExampleCounter() {
	counter, err := tokenizer.NewCounter("o200k_base")
	if err != nil {
		panic(err)
	}
	fmt.Println(counter.Count("…12 lines…"))
	for _, id := range counter.Encode(nil, "handleXyzzy(ctx)") {
		text, err := counter.Decode([]int32{id})
		fmt.Printf("%q %v\n", text, err)
	}
	// Output:
	// 4
	// "handle" <nil>
	// "X" <nil>
	// "yz" <nil>
	// "zy" <nil>
	// "(ctx" <nil>
	// ")" <nil>
}
