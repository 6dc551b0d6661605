package main

import (
	"bytes"
	"crypto/sha256"
	"os"
	"strconv"
	"testing"

	"github.com/pith-llm/pith/scoring/models"
)

// fileMemory is the resident memory of this process that files back, in KiB.
func fileMemory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := bytes.Cut(status, []byte("RssFile:"))
	n, err := strconv.Atoi(string(bytes.Fields(after)[0]))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestForgottenFilesTakeNoMemoryAndAreReadAgain(t *testing.T) {
	before := sha256.Sum256([]byte(models.Decoder))
	full := fileMemory(t)
	forget(models.Decoder)
	if freed := full - fileMemory(t); freed < len(models.Decoder)/1024*9/10 {
		t.Errorf("%d KiB were given back, of %d", freed, len(models.Decoder)/1024)
	}
	if sha256.Sum256([]byte(models.Decoder)) != before {
		t.Error("the file has changed")
	}
	forget("") // and what is too short for a page
	forget(models.Decoder[:100])
}
