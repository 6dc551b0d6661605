package models_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/pith-llm/pith/scoring/models"
)

func TestEmbeddedFilesAreTheOnesInTheReadme(t *testing.T) {
	for name, file := range map[string]struct{ content, sum string }{
		"decoder": {models.Decoder, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
		"encoder": {models.Encoder, "6f7d70ac6880add1fd8378980bbc12a94ea46220428ca86b0df7063fbe8c2ab6"},
	} {
		h := sha256.New()
		if _, err := io.Copy(h, strings.NewReader(file.content)); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != file.sum {
			t.Errorf("%s: sha256 %s, want %s", name, got, file.sum)
		}
	}
}
