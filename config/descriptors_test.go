package config

import (
	"maps"
	"os"
	"strconv"
	"testing"
)

func TestDescriptorsAreThoseOfThisProcess(t *testing.T) {
	own := "LISTEN_PID=" + strconv.Itoa(os.Getpid())
	for name, c := range map[string]struct {
		environ []string
		want    Descriptors
	}{
		"none":                  {[]string{"HOME=/"}, nil},
		"of systemd":            {[]string{"LISTEN_FDS=1", own, "LISTEN_FDNAMES=pith.socket"}, Descriptors{"listen": 3}},
		"of systemd, named":     {[]string{"LISTEN_FDS=2", own, "LISTEN_FDNAMES=admin:pith.socket"}, Descriptors{"admin": 3, "listen": 4}},
		"of systemd, no names":  {[]string{"LISTEN_FDS=1", own}, Descriptors{"listen": 3}},
		"of another process":    {[]string{"LISTEN_FDS=1", "LISTEN_PID=1"}, nil},
		"not a number":          {[]string{"LISTEN_FDS=x", own}, nil},
		"of the one before":     {WithDescriptors([]string{"LISTEN_FDS=1", "LISTEN_PID=1"}, []string{"listen", "ready"}), Descriptors{"listen": 3, "ready": 4}},
		"of the one before, 3":  {WithDescriptors(nil, []string{"admin", "listen", "ready"}), Descriptors{"admin": 3, "listen": 4, "ready": 5}},
		"fewer names than said": {[]string{"LISTEN_FDS=2", "LISTEN_FDNAMES=admin"}, Descriptors{"admin": 3, "listen": 4}},
	} {
		if got := LoadDescriptors(c.environ); !maps.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
