//go:build clients

package conformance

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/proxy"
)

// program is a real client: a script on a library, or a command.
type program struct {
	name string
	// command and version are run in the folder of clients; version prints it.
	command, version []string
	call             toolCall
	// input is what it reads; setUp writes its settings and returns more arguments and variables.
	input string
	setUp func(t *testing.T, home, work, base string) (args, environment []string)
}

// search is what the agents are told to run.
const search = `grep -n '' notes.log`

// programs are the clients in a folder laid out as .ci/run does.
func programs(t *testing.T, folder string) []program {
	scripts, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	python, bin := filepath.Join(folder, "venv/bin/python"), filepath.Join(folder, "node_modules/.bin")
	node := filepath.Join(bin, "node")
	version := func(module string) []string {
		return []string{python, "-c", "import " + module + "; print(" + module + ".__version__)"}
	}
	packaged := []string{node, "-p", "require('" + folder + "/node_modules/openai/package.json').version"}
	function := toolCall{name: "search", arguments: `{"q":"treasure"}`}
	library := func(path string, more ...string) func(*testing.T, string, string, string) ([]string, []string) {
		return func(_ *testing.T, _, _, base string) ([]string, []string) {
			return append([]string{base + path, task}, more...), nil
		}
	}
	return []program{
		{"openai (PyPI), chat", []string{python, filepath.Join(scripts, "openai_client.py")}, version("openai"), function, notes(), library("/v1", "chat")},
		{"openai (PyPI), responses", []string{python, filepath.Join(scripts, "openai_client.py")}, version("openai"), function, notes(), library("/v1", "responses")},
		{"anthropic (PyPI)", []string{python, filepath.Join(scripts, "anthropic_client.py")}, version("anthropic"), function, notes(), library("")},
		{"openai (npm), chat", []string{node, filepath.Join(scripts, "openai_client.mjs")}, packaged, function, notes(), library("/v1", "chat", folder)},
		{"openai (npm), responses", []string{node, filepath.Join(scripts, "openai_client.mjs")}, packaged, function, notes(), library("/v1", "responses", folder)},
		{
			"Codex",
			[]string{filepath.Join(bin, "codex")},
			[]string{filepath.Join(bin, "codex"), "--version"},
			toolCall{name: "exec_command", arguments: `{"cmd":"` + search + `"}`},
			"", setUpCodex,
		},
		{
			"Claude Code",
			[]string{filepath.Join(bin, "claude")},
			[]string{filepath.Join(bin, "claude"), "--version"},
			toolCall{name: "Bash", arguments: `{"command":"` + search + `","description":"Search"}`},
			"", setUpClaude,
		},
		{
			"opencode",
			[]string{filepath.Join(bin, "opencode")},
			[]string{filepath.Join(bin, "opencode"), "--version"},
			toolCall{name: "bash", arguments: `{"command":"` + search + `","description":"Search"}`},
			"", setUpOpencode,
		},
	}
}

func setUpCodex(t *testing.T, home, _, base string) ([]string, []string) {
	write(t, filepath.Join(home, ".codex", "config.toml"), "model=\"m\"\nmodel_provider=\"pith\"\ncheck_for_update_on_startup=false\n[analytics]\nenabled=false\n[features]\nplugins=false\napps=false\n"+
		"[model_providers.pith]\nname=\"pith\"\nbase_url=\""+base+"/v1\"\nenv_key=\"PITH_TEST_KEY\"\nwire_api=\"responses\"\n")
	return []string{"exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", task}, []string{"PITH_TEST_KEY=k"}
}

func setUpClaude(_ *testing.T, _, _, base string) ([]string, []string) {
	return []string{"-p", "--allowedTools", "Bash,Read,Grep", "--", task}, []string{
		"ANTHROPIC_BASE_URL=" + base, "ANTHROPIC_API_KEY=k", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1",
	}
}

func setUpOpencode(t *testing.T, _, work, base string) ([]string, []string) {
	write(t, filepath.Join(work, "opencode.json"), `{"autoupdate":false,"share":"disabled","model":"p/m","small_model":"p/m","provider":{"p":{"npm":"@ai-sdk/openai-compatible",`+
		`"options":{"baseURL":"`+base+`/v1","apiKey":"k"},"models":{"m":{"tool_call":true,"limit":{"context":128000,"output":8000}}}}}}`)
	return []string{"run", task}, []string{"OPENCODE_DISABLE_AUTOUPDATE=1", "OPENCODE_DISABLE_MODELS_FETCH=1", "OPENCODE_DISABLE_LSP_DOWNLOAD=1"}
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestPrograms runs real clients from the folder that CLIENTS names: npm's packages in node_modules, PyPI's in venv, as
// .ci/run installs them. A client that is not there has a row in the table that says so; without any the test fails.
//
//	CLIENTS=DIR go test -tags clients -run 'Libraries|Programs' -v ./proxy/conformance
func TestPrograms(t *testing.T) {
	folder := os.Getenv("CLIENTS")
	if folder == "" {
		t.Fatal("CLIENTS is empty: it must be the folder of the clients")
	}
	ran := 0
	for _, p := range programs(t, folder) {
		version, err := exec.CommandContext(t.Context(), p.version[0], p.version[1:]...).Output()
		if err != nil {
			table.add(p.name, "-", "-", 0, 0, 0, "not installed here: not run")
			continue
		}
		ran++
		number := regexp.MustCompile(`\d+\.\d+\.\d+`).FindString(string(version))
		for _, mode := range []proxy.Mode{proxy.ModeOn, proxy.ModeOff} {
			t.Run(p.name+", "+mode.String(), func(t *testing.T) {
				b := newBench(t, p.call, mode)
				home, work := t.TempDir(), t.TempDir()
				write(t, filepath.Join(work, "notes.log"), notes())
				args, environment := p.setUp(t, home, work, b.before.URL)
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				command := exec.CommandContext(ctx, p.command[0], append(p.command[1:], args...)...)
				command.Dir, command.Stdin = work, strings.NewReader(p.input)
				command.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH")}, environment...)
				shown, err := command.CombinedOutput()
				if err != nil || !strings.Contains(string(shown), answer) {
					t.Errorf("%v: %s", err, shown)
				}
				b.check(t, p.name, number)
			})
		}
	}
	if ran == 0 {
		t.Errorf("no client is installed in %s", folder)
	}
}
