// Package config holds every setting of pith and says where each comes from: a flag first, then the environment
// (PITH_…), then a YAML file, then the default. One name serves all three: the setting `compression.min_tokens` of the
// file is the flag --compression-min-tokens and the variable PITH_COMPRESSION_MIN_TOKENS.
package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"time"
)

// Edge holds the settings of the HTTP side.
type Edge struct {
	Listen         string        `default:"127.0.0.1:8787" help:"Address to listen on; loopback unless you say otherwise."`
	Upstream       string        `help:"Base URL of the LLM API without /v1, such as http://127.0.0.1:8000, or 'embedded' for the model inside this binary."`
	Upstreams      []Upstream    `kong:"-"` // of the file, for more than one
	EgressProxy    string        `default:"environment" help:"Proxy through which upstreams are reached: environment (HTTPS_PROXY, HTTP_PROXY, NO_PROXY), off, or a URL such as http://proxy:3128 or socks5://proxy:1080."`
	PromptCache    string        `default:"auto" enum:"auto,unpriced,none,implicit,paid,explicit" help:"What a prompt costs that comes again, by which each saving is weighed: none (in full each time), implicit (the prefix is kept unasked and read at a discount), paid (written for more than plain input and read for little), explicit (kept only where the client says so), unpriced (every saving counts), or auto, by the upstream's host."`
	Mode           string        `default:"on" enum:"on,observe,off" help:"Compress (on), compress and report but forward the original (observe), or forward only (off)."`
	Documents      string        `help:"Where prompts of your own templates hold documents, one rule a line: the text in front of them, '...', the text behind them. Common templates and tags such as <documents> need none."`
	MaxBody        int           `name:"max-body-mib" default:"64" help:"Largest request body, in MiB; larger is answered 413."`
	ConnectTimeout time.Duration `default:"10s" help:"Time to connect to the upstream."`
	HeaderTimeout  time.Duration `default:"10m" help:"Time from the end of the request to the upstream's first byte."`
	IdleTimeout    time.Duration `default:"5m" help:"Longest silence inside an upstream answer."`
	TotalTimeout   time.Duration `default:"1h" help:"Longest time from a request's head to the end of its answer."`
	ClientTimeout  time.Duration `default:"1m" help:"Time for a client to send its head or the next part of a body, or to take the next part of the answer."`
	Requests       int           `default:"1024" help:"Requests answered at the same time; one more waits for the queue timeout and is then answered 429."`
	QueueTimeout   time.Duration `default:"1s" help:"Time that a request waits for its turn where too many are under way."`
	Admin          string        `help:"Address for /livez, /readyz, /metrics and /receipts/ID, such as 127.0.0.1:8788; none if empty. It asks for no token: keep it to yourself."`
	Traces         string        `help:"Base URL of an OpenTelemetry collector that speaks OTLP over HTTP, such as http://127.0.0.1:4318, which gets the spans of each prompt, without content; none if empty."`
	Receipts       int           `name:"receipts-mib" default:"8" help:"Memory for the receipts of the latest requests, in MiB, which the admin address hands out: hashes, offsets, scores and times, no texts. 0 keeps none."`
}

// Compression holds the settings of what is compressed and how far.
type Compression struct {
	Policy       string        `default:"balanced" enum:"balanced,threshold,rate" help:"How much is kept where the request names neither budget nor rate: what is likely to be needed, but at least the floor and at most the rate (balanced); all that is likely to be needed (threshold); the rate."`
	Rate         float64       `default:"0.4" help:"Share of a turn's tokens to keep, above 0 and up to 1; the most of it under the policy balanced."`
	Threshold    float64       `default:"0.02" help:"How likely a segment must be needed to be kept under the policies balanced and threshold, 0 to 1."`
	Floor        float64       `default:"0.1" help:"Share of a turn's tokens that the policy balanced keeps whatever is likely."`
	Dependencies float64       `default:"0.1" help:"Share of what is kept that definitions may take which kept code uses, by their signatures, 0 to 0.5; 0 pays no heed to what code needs."`
	MinTokens    int           `default:"400" help:"Texts with fewer tokens are left alone."`
	Tokenizer    string        `default:"o200k_base" enum:"o200k_base,cl100k_base,approximate" help:"Vocabulary of the upstream model, by which tokens are counted. approximate is for models whose vendor publishes none: o200k_base, wrong by up to 5 %, within which nothing is replaced."`
	FileReads    bool          `help:"Also compress what file-reading tools returned, although an edit may quote it."`
	Verify       bool          `help:"Prove of every output that nothing in it was invented; a violation forwards the original. For debugging: it costs time."`
	Deadline     time.Duration `default:"2s" help:"Longest compression of one request; past it the original is forwarded. 0 uses no model: scoring is bm25's."`
}

// Scoring holds the settings of relevance.
type Scoring struct {
	Scorer      string `default:"default" help:"How segments are scored: bm25, encoder, lm, a sum such as bm25+lm, or default (a cascade of the three)."`
	Decoder     string `help:"GGUF file of the decoder; the embedded SmolLM2-135M-Instruct if empty."`
	Encoder     string `help:"GGUF file of the encoder; the embedded bge-small-en-v1.5 if empty."`
	Precision   string `default:"int8" enum:"int8,f32" help:"Arithmetic of the decoder: int8, or f32 (the reference, several times slower)."`
	ModelTokens int    `default:"4000" help:"Tokens that the decoder may read for one turn, counted as if nothing were cached; 0 does without it."`
	Plan        string `default:"auto" help:"What the default scorer may cost for one turn, as time by a fixed table of the tier's speeds on two cores with nothing cached, so that it depends on no machine: such as 1s, or off. The encoder reads the beginnings of segments, and the decoder fewer, where more would cost more. auto is half of compression.deadline where requests are served, and off for files and measurements."`
	Tier        string `default:"auto" help:"CPU instructions to use: auto, or one of the tiers that 'pith version' lists. Replicas that must agree to the byte pin one."`
	Workers     int    `default:"0" help:"Threads of a forward pass; 0 means one a core."`

	IdleTimeout time.Duration `default:"0s" help:"Give up the models' memory when nothing was scored for so long, and load them again when something is; 0 keeps them."`
}

// PlanTime returns the time that Plan stands for, 0 for none; auto is what it is where it is not set.
func (s Scoring) PlanTime(auto time.Duration) (time.Duration, error) {
	switch s.Plan {
	case "auto":
		return auto, nil
	case "off":
		return 0, nil
	}
	d, err := time.ParseDuration(s.Plan)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("scoring.plan is %q: it must be auto, off or a time such as 1s", s.Plan)
	}
	return d, nil
}

// Cache holds the bounds of what is remembered.
type Cache struct {
	Dir    string `default:"auto" help:"Folder for weights prepared for this CPU, a file of 140 MB for the embedded decoder, which makes the next start faster: auto is pith in the user's cache folder, off is none."`
	KV     int    `name:"kv-mib" default:"512" help:"Memory for the K/V of scored segments, in MiB."`
	Scores int    `name:"scores-mib" default:"64" help:"Memory for scores, encoder vectors and token counts, in MiB."`
}

// Folder returns the folder that Dir stands for; empty is none.
func (c Cache) Folder() (string, error) {
	switch c.Dir {
	case "", "off":
		return "", nil
	case "auto":
		user, err := os.UserCacheDir()
		if err != nil {
			return "", err
		}
		return filepath.Join(user, "pith"), nil
	}
	return c.Dir, nil
}

// Engine holds the settings that decide what becomes of a text; pith compress, eval, demo and serve share them.
type Engine struct {
	Compression Compression `embed:"" prefix:"compression-"`
	Scoring     Scoring     `embed:"" prefix:"scoring-"`
	Cache       Cache       `embed:"" prefix:"cache-"`
}

// names lists every setting's flag name, such as "compression-min-tokens".
func names() []string {
	var all []string
	for _, t := range []reflect.Type{reflect.TypeFor[Edge](), reflect.TypeFor[Engine]()} {
		all = appendNames(all, "", t)
	}
	return all
}

func appendNames(all []string, prefix string, t reflect.Type) []string {
	for field := range t.Fields() {
		switch {
		case field.Tag.Get("kong") == "-":
		case field.Type.Kind() == reflect.Struct:
			all = appendNames(all, prefix+field.Tag.Get("prefix"), field.Type)
		case field.Tag.Get("name") != "":
			all = append(all, prefix+field.Tag.Get("name"))
		default:
			all = append(all, prefix+kebab(field.Name))
		}
	}
	return all
}

// kebab turns a Go field name into a flag's: MinTokens into min-tokens.
func kebab(name string) string {
	var out []byte
	for i := range len(name) {
		c := name[i]
		if c >= 'A' && c <= 'Z' {
			if i > 0 {
				out = append(out, '-')
			}
			c += 'a' - 'A'
		}
		out = append(out, c)
	}
	return string(out)
}
