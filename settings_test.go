package main

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pith-llm/pith/config"
)

// settings lists the fields of a command's settings by their path in the settings file.
func settings(command *serveCommand) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	var add func(prefix string, v reflect.Value)
	add = func(prefix string, v reflect.Value) {
		for field, value := range v.Fields() {
			if field.Tag.Get("kong") == "-" {
				continue // no flag or variable can hold it
			}
			name := field.Tag.Get("name")
			if name == "" {
				for i, c := range field.Name {
					if i > 0 && c >= 'A' && c <= 'Z' {
						name += "_"
					}
					name += strings.ToLower(string(c))
				}
			}
			name = strings.ReplaceAll(name, "-", "_")
			if value.Kind() == reflect.Struct {
				add(prefix+name+".", value)
			} else {
				fields[prefix+name] = value
			}
		}
	}
	add("", reflect.ValueOf(command).Elem().FieldByName("Edge"))
	add("", reflect.ValueOf(command).Elem().FieldByName("Engine"))
	return fields
}

// otherValue returns a value, as text, that the setting does not have.
func otherValue(t *testing.T, name string, v reflect.Value) string {
	t.Helper()
	switch name { // those that take only certain words
	case "mode":
		return "observe"
	case "prompt_cache":
		return "paid"
	case "compression.policy":
		return "rate"
	case "compression.tokenizer":
		return "cl100k_base"
	case "scoring.precision":
		return "f32"
	}
	switch {
	case v.Type() == reflect.TypeFor[time.Duration]():
		return (time.Duration(v.Int()) + time.Second).String()
	case v.Kind() == reflect.Int:
		return fmt.Sprint(v.Int() + 1)
	case v.Kind() == reflect.Float64:
		return fmt.Sprint(v.Float() + 0.25)
	case v.Kind() == reflect.Bool:
		return fmt.Sprint(!v.Bool())
	case v.Kind() == reflect.String:
		return v.String() + "x"
	}
	t.Fatalf("%s: a setting of type %s", name, v.Type())
	return ""
}

// parseServe returns the serve command as the settings file, the environment and the flags fill it.
func parseServe(t *testing.T, environ []string, flags ...string) serveCommand {
	t.Helper()
	var cli commands
	if _, err := parse(t.Context(), &cli, append([]string{"serve"}, flags...), environ, streams{}); err != nil {
		t.Fatal(err)
	}
	return cli.Serve
}

func TestEverySettingComesFromFileEnvironmentAndFlag(t *testing.T) {
	defaults := parseServe(t, nil)
	for name, before := range settings(&defaults) {
		value := otherValue(t, name, before)
		section, key, inSection := strings.Cut(name, ".")
		content := name + ": " + value
		if inSection {
			content = section + ":\n  " + key + ": " + value
		}
		path := filepath.Join(t.TempDir(), "pith.yaml")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		variable := "PITH_" + strings.ToUpper(strings.ReplaceAll(name, ".", "_")) + "=" + value
		flag := "--" + strings.NewReplacer(".", "-", "_", "-").Replace(name) + "=" + value
		for source, command := range map[string]serveCommand{
			"file":        parseServe(t, []string{"PITH_CONFIG=" + path}),
			"environment": parseServe(t, []string{variable}),
			"flag":        parseServe(t, nil, flag),
		} {
			after := settings(&command)[name]
			if reflect.DeepEqual(after.Interface(), before.Interface()) {
				t.Errorf("%s: the %s changed nothing: it is %v", name, source, after)
			}
		}
	}
}

func TestFlagsWinOverTheEnvironmentOverTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pith.yaml")
	if err := os.WriteFile(path, []byte("listen: file:1\nmode: off\nscoring:\n  scorer: bm25\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"PITH_LISTEN=environment:1", "PITH_MODE=observe"}
	command := parseServe(t, environ, "--config", path, "--listen", "flag:1")
	if command.Listen != "flag:1" || command.Mode != "observe" || command.Scoring.Scorer != "bm25" {
		t.Errorf("listen %s, mode %s, scorer %s", command.Listen, command.Mode, command.Scoring.Scorer)
	}
}

func TestEverySettingOfAnUpstreamReachesTheProxy(t *testing.T) {
	command := parseServe(t, nil)
	e, err := newEngine(command.Engine, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	counts := newCounting(e)
	secrets := config.LoadSecrets([]string{"KEY=sk-1"})
	settings := config.Upstream{
		Name: "a", URL: "http://a", Path: "/a", Dialects: []string{"chat"}, Models: []string{"m"}, KeyEnv: "KEY", Tokenizer: "approximate", EgressProxy: "off", PromptCache: "paid", Documents: "FACTS>>...<<FACTS",
		ConnectTimeout: time.Second, HeaderTimeout: 2 * time.Second, IdleTimeout: 3 * time.Second, TotalTimeout: 4 * time.Second,
	}
	upstream := func(settings config.Upstream) string {
		u, err := counts.upstream(settings, secrets)
		if err != nil {
			t.Fatal(err)
		}
		proxied := u.Proxy != nil
		u.Proxy, u.Compressor, u.CountTokens = nil, nil, nil
		return fmt.Sprintf("%+v %v", u, proxied)
	}
	full := upstream(settings)
	for field := range reflect.TypeFor[config.Upstream]().Fields() {
		less := settings
		reflect.ValueOf(&less).Elem().FieldByIndex(field.Index).SetZero()
		if upstream(less) == full {
			t.Errorf("%s has no effect", field.Name)
		}
	}
	for _, settings := range []config.Upstream{{Dialects: []string{"x"}}, {KeyEnv: "NONE"}, {EgressProxy: "x"}, {Tokenizer: "x"}, {PromptCache: "x"}, {Documents: "x"}} {
		if _, err := counts.upstream(settings, secrets); err == nil {
			t.Errorf("%+v: no error", settings)
		}
	}
}
