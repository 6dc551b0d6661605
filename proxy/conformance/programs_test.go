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
	setUp setUp
}

type setUp func(t *testing.T, home, work, base string) (args, environment []string)

// search is what the agents are told to run.
const search = `grep -n '' notes.log`

// programs are the clients in a folder laid out as .ci/clients does.
func programs(t *testing.T, folder string) []program {
	scripts, err := filepath.Abs("testdata")
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(folder, "node_modules/.bin")
	node, python := filepath.Join(bin, "node"), filepath.Join(folder, "venv/bin/python")
	npm := func(module string) []string {
		return []string{node, "-p", "require('" + filepath.Join(folder, "node_modules", module, "package.json") + "').version"}
	}
	pypi := func(distribution string) []string {
		return []string{python, "-c", "import importlib.metadata; print(importlib.metadata.version('" + distribution + "'))"}
	}
	// library is a script on a library; it gets the base URL with a path behind it, the task, and more.
	library := func(name, runner, script string, version []string, path string, more ...string) program {
		return program{
			name,
			[]string{runner, filepath.Join(scripts, script)},
			version,
			toolCall{name: "search", arguments: `{"q":"treasure"}`},
			notes(),
			func(_ *testing.T, _, _, base string) ([]string, []string) {
				return append([]string{base + path, task}, more...), nil
			},
		}
	}
	// chats is a command that calls no tools: what it prints stands in the user's messages.
	chats := func(name, command, input string, setUp setUp) program {
		return program{name, []string{command}, []string{command, "--version"}, toolCall{name: "none"}, input, setUp}
	}
	// agent is a command that calls its tool name with arguments.
	agent := func(name, command, tool, arguments string, setUp setUp) program {
		return program{name, []string{command}, []string{command, "--version"}, toolCall{name: tool, arguments: arguments}, "", setUp}
	}
	described := `{"command":"` + search + `","description":"Search"}`
	return []program{
		library("openai (PyPI), chat", python, "openai_client.py", pypi("openai"), "/v1", "chat"),
		library("openai (PyPI), responses", python, "openai_client.py", pypi("openai"), "/v1", "responses"),
		library("anthropic (PyPI)", python, "anthropic_client.py", pypi("anthropic"), ""),
		library("langchain-openai, chat", python, "langchain_client.py", pypi("langchain-openai"), "/v1", "chat"),
		library("langchain-openai, responses", python, "langchain_client.py", pypi("langchain-openai"), "/v1", "responses"),
		library("llama-index-llms-openai-like", python, "llamaindex_client.py", pypi("llama-index-llms-openai-like"), "/v1"),
		library("litellm", python, "litellm_client.py", pypi("litellm"), "/v1"),
		library("openai (npm), chat", node, "openai_client.mjs", npm("openai"), "/v1", "chat", folder),
		library("openai (npm), responses", node, "openai_client.mjs", npm("openai"), "/v1", "responses", folder),
		library("@anthropic-ai/sdk", node, "anthropic_client.mjs", npm("@anthropic-ai/sdk"), "", folder),
		library("@ai-sdk/openai-compatible", node, "ai_client.mjs", npm("@ai-sdk/openai-compatible"), "/v1", "chat", folder),
		library("@ai-sdk/openai", node, "ai_client.mjs", npm("@ai-sdk/openai"), "/v1", "responses", folder),
		agent("Codex", filepath.Join(bin, "codex"), "exec_command", `{"cmd":"`+search+`"}`, setUpCodex),
		agent("Claude Code", filepath.Join(bin, "claude"), "Bash", described, setUpClaude),
		agent("opencode", filepath.Join(bin, "opencode"), "bash", described, setUpOpencode),
		agent("Continue", filepath.Join(bin, "cn"), "Bash", `{"command":"`+search+`"}`, setUpContinue),
		agent("llm", filepath.Join(folder, "venv/bin/llm"), "search", `{"q":"treasure"}`, setUpLLM),
		chats("aider, a command's output", filepath.Join(folder, "venv-aider/bin/aider"), task+"\n/run "+search+"\n"+task+"\n"+task+"\n", setUpAider),
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

func setUpContinue(t *testing.T, home, _, base string) ([]string, []string) {
	settings := filepath.Join(home, "pith.yaml")
	write(t, settings, "name: pith\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: m\n    provider: openai\n    model: m\n    apiBase: "+base+"/v1\n    apiKey: k\n"+
		"    capabilities: [tool_use]\n")
	return []string{"-p", "--auto", "--config", settings, task}, nil
}

func setUpLLM(t *testing.T, home, work, base string) ([]string, []string) {
	write(t, filepath.Join(home, "extra-openai-models.yaml"), "- model_id: m\n  model_name: m\n  api_base: "+base+"/v1\n  supports_tools: true\n")
	functions := filepath.Join(work, "search.py")
	write(t, functions, "def search(q: str) -> str:\n    return open(\"notes.log\").read()\n")
	return []string{"-m", "m", "--functions", functions, task}, []string{"LLM_USER_PATH=" + home}
}

func setUpAider(_ *testing.T, _, _, base string) ([]string, []string) {
	return []string{
		"--model", "openai/m", "--openai-api-base", base + "/v1", "--openai-api-key", "k", "--no-check-update", "--analytics-disable",
		"--no-show-model-warnings", "--yes-always", "--no-git", "--no-pretty", "--no-fancy-input",
	}, []string{"LITELLM_LOCAL_MODEL_COST_MAP=True", "TERM=dumb"}
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

// TestPrograms runs real clients from the folder that CLIENTS names: npm's packages in node_modules, PyPI's in venv and
// venv-aider, as .ci/clients installs them. A client that is not there has a row in the table that says so; without any the
// test fails.
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
				command.Env = append([]string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "LITELLM_LOCAL_MODEL_COST_MAP=True"}, environment...)
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
