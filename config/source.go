package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// envPrefix starts the name of every variable that pith reads.
const envPrefix = "PITH_"

// Source answers for the settings that no flag has set.
type Source struct {
	values    map[string]string // by flag name
	upstreams []Upstream
}

// Load reads settings from environ (entries "NAME=value", as of os.Environ) and from the YAML file at path, unless path
// is empty; the environment wins. A key that no setting has is an error that names it and, in a file, its line. Two
// kinds of variable are not settings: PITH_CONFIG, the file's own path, and names that end in _KEY, which hold secrets.
func Load(path string, environ []string) (*Source, error) {
	s := &Source{values: map[string]string{}}
	if path != "" {
		if err := s.readFile(path); err != nil {
			return nil, err
		}
	}
	return s, s.readEnvironment(environ)
}

// Secrets are the keys that only the environment may hold: a file is copied and a flag is seen by everybody.
type Secrets struct {
	// Access is the token that clients must bring, from PITH_ACCESS_KEY; Upstream the API key for the upstream, from
	// PITH_UPSTREAM_KEY.
	Access, Upstream string

	variables map[string]string // the whole environment, in which upstreams name their keys
}

// LoadSecrets reads the keys from environ.
func LoadSecrets(environ []string) Secrets {
	secrets := Secrets{variables: map[string]string{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		secrets.variables[name] = value
		switch name {
		case envPrefix + "ACCESS_KEY":
			secrets.Access = value
		case envPrefix + "UPSTREAM_KEY":
			secrets.Upstream = value
		}
	}
	return secrets
}

// Lookup returns the value of the setting with the given flag name, if the environment or the file has one.
func (s *Source) Lookup(flag string) (string, bool) {
	v, ok := s.values[flag]
	return v, ok
}

func (s *Source) readEnvironment(environ []string) error {
	byVariable := map[string]string{}
	for _, name := range names() {
		byVariable[envPrefix+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))] = name
	}
	var unknown []string
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, envPrefix) || variable == envPrefix+"CONFIG" || strings.HasSuffix(variable, "_KEY") {
			continue
		}
		if name, ok := byVariable[variable]; ok {
			s.values[name] = value
		} else {
			unknown = append(unknown, variable)
		}
	}
	if len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("environment: unknown setting %s; 'pith serve --help' lists the settings", strings.Join(unknown, ", "))
	}
	return nil
}

func (s *Source) readFile(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	file, err := parser.ParseBytes(content, 0)
	if err != nil {
		if syntax := yaml.Error(nil); errors.As(err, &syntax) {
			return fmt.Errorf("%s:%d: %s", path, syntax.GetToken().Position.Line, syntax.GetMessage())
		}
		return fmt.Errorf("%s: %w", path, err)
	}
	if len(file.Docs) > 1 {
		return fmt.Errorf("%s: %d YAML documents: put all settings in one", path, len(file.Docs))
	}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if err := s.readMapping(path, "", doc.Body); err != nil {
			return err
		}
	}
	return nil
}

// readMapping takes the settings of one mapping; section is the flag-name prefix of what stands in it.
func (s *Source) readMapping(path, section string, node ast.Node) error {
	var pairs []*ast.MappingValueNode
	switch node := node.(type) {
	case *ast.MappingNode:
		pairs = node.Values
	case *ast.MappingValueNode:
		pairs = []*ast.MappingValueNode{node}
	case *ast.NullNode, *ast.CommentGroupNode:
		return nil
	default:
		return fmt.Errorf("%s:%d: want keys and values, found %q", path, node.GetToken().Position.Line, node.String())
	}
	known := names()
	for _, pair := range pairs {
		token := pair.Key.GetToken()
		flag := section + strings.ReplaceAll(token.Value, "_", "-")
		where := fmt.Sprintf("%s:%d", path, token.Position.Line)
		switch {
		case flag == "upstreams":
			if err := s.readUpstreams(path, pair.Value); err != nil {
				return err
			}
		case slices.Contains(known, flag):
			scalar, ok := pair.Value.(ast.ScalarNode)
			if !ok {
				return fmt.Errorf("%s: %s wants one value, found %q", where, token.Value, pair.Value.String())
			}
			s.values[flag] = fmt.Sprint(scalar.GetValue())
		case slices.ContainsFunc(known, func(name string) bool { return strings.HasPrefix(name, flag+"-") }) && section == "":
			if err := s.readMapping(path, flag+"-", pair.Value); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%s: unknown key %q; known here: %s", where, token.Value, strings.Join(keysIn(section), ", "))
		}
	}
	return nil
}

// keysIn lists the YAML keys that may stand in a section; "" is the top of the file.
func keysIn(section string) []string {
	sections := []string{"compression", "scoring", "cache"}
	var keys []string
	for _, name := range names() {
		rest, ok := strings.CutPrefix(name, section)
		if !ok || (section == "" && slices.ContainsFunc(sections, func(s string) bool { return strings.HasPrefix(name, s+"-") })) {
			continue
		}
		keys = append(keys, strings.ReplaceAll(rest, "-", "_"))
	}
	if section == "" {
		keys = append(append(keys, "upstreams"), sections...)
	}
	return keys
}
