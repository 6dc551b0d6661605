package config

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFolderOfPreparedWeights(t *testing.T) {
	user, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"auto": filepath.Join(user, "pith"), "off": "", "": "", "some/where": "some/where",
	} {
		if got, err := (Cache{Dir: dir}).Folder(); err != nil || got != want {
			t.Errorf("%q is the folder %q (%v), want %q", dir, got, err, want)
		}
	}
}
