//go:build clients

package conformance

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/proxy"
)

// TestPrograms runs Codex and Claude Code from the folder of npm's commands that CLIENTS names:
//
//	npm install --prefix DIR @openai/codex@0.169.0 @anthropic-ai/claude-code@2.1.330
//	cd DIR && npm install-scripts approve @anthropic-ai/claude-code && npm rebuild
//	CLIENTS=DIR/node_modules/.bin go test -tags clients -run Programs -v ./proxy/conformance
func TestPrograms(t *testing.T) {
	commands := os.Getenv("CLIENTS")
	if commands == "" {
		t.Fatal("CLIENTS is empty: it must be the folder of the clients' commands")
	}
	const search = `grep -n '' notes.log`
	programs := map[string]struct {
		call  toolCall
		setUp func(t *testing.T, home, base string) (args, environment []string)
	}{
		"claude": {toolCall{"Bash", `{"command":"` + search + `","description":"Search"}`}, func(_ *testing.T, _, base string) ([]string, []string) {
			return []string{"-p", "--allowedTools", "Bash,Read,Grep", "--", task}, []string{
				"ANTHROPIC_BASE_URL=" + base, "ANTHROPIC_API_KEY=k", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
			}
		}},
		"codex": {toolCall{"exec_command", `{"cmd":"` + search + `"}`}, func(t *testing.T, home, base string) ([]string, []string) {
			settings := "model=\"m\"\nmodel_provider=\"pith\"\ncheck_for_update_on_startup=false\n[analytics]\nenabled=false\n[features]\nplugins=false\napps=false\n" +
				"[model_providers.pith]\nname=\"pith\"\nbase_url=\"" + base + "/v1\"\nenv_key=\"PITH_TEST_KEY\"\nwire_api=\"responses\"\n"
			if err := os.MkdirAll(filepath.Join(home, ".codex"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(home, ".codex", "config.toml"), []byte(settings), 0o600); err != nil {
				t.Fatal(err)
			}
			return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", task}, []string{"PITH_TEST_KEY=k"}
		}},
	}
	for name, program := range programs {
		for _, mode := range []proxy.Mode{proxy.ModeOn, proxy.ModeOff} {
			t.Run(name+", "+mode.String(), func(t *testing.T) {
				up := startUpstream(t, program.call)
				base, saved := startProxy(t, up.URL, mode)
				before := listenBefore(t, base)
				home, work := t.TempDir(), t.TempDir()
				if err := os.WriteFile(filepath.Join(work, "notes.log"), []byte(notes()), 0o600); err != nil {
					t.Fatal(err)
				}
				args, environment := program.setUp(t, home, before.URL)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				command := exec.CommandContext(ctx, filepath.Join(commands, name), args...)
				command.Dir = work
				command.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, environment...)
				shown, err := command.CombinedOutput()
				if err != nil || !strings.Contains(string(shown), answer) {
					t.Errorf("%v: %s", err, shown)
				}
				sent, got := before.sent(), up.received()
				replaced := 0
				for i := range min(len(sent), len(got)) {
					if !bytes.Equal(sent[i], got[i].body) {
						replaced++
						outside(t, sent[i], got[i].body)
					}
				}
				if len(sent) != len(got) || (replaced > 0) != (mode == proxy.ModeOn) {
					t.Errorf("%d requests were sent, %d came, %d were shortened", len(sent), len(got), replaced)
				}
				for _, r := range got {
					t.Logf("%s: %d bytes", r.path, len(r.body))
				}
				t.Logf("%d requests, %d shortened, %d tokens saved", len(got), replaced, saved())
			})
		}
	}
}

// outside checks that a request changed nowhere but inside the notes.
func outside(t *testing.T, sent, got []byte) {
	t.Helper()
	from, to := bytes.Index(sent, []byte("Line 0 speaks")), bytes.LastIndex(sent, []byte("anybody asks about."))
	if from < 0 || to < from {
		t.Fatal("a request changed and holds no tool result")
	}
	from -= len("1:")
	to += len("anybody asks about.")
	if !bytes.HasPrefix(got, sent[:from]) || !bytes.HasSuffix(got, sent[to:]) {
		t.Error("a request changed outside the tool's result")
	}
}
