package proxy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"github.com/pith-llm/pith/compressors"
)

// Mode says what the proxy does with what it could shorten.
type Mode uint8

// The modes. The zero value is ModeOn.
const (
	ModeOn      Mode = iota // forward the shortened request
	ModeObserve             // shorten and report, forward the original
	ModeOff                 // forward the original
)

// String returns the mode's name in headers and settings.
func (m Mode) String() string {
	switch m {
	case ModeObserve:
		return "observe"
	case ModeOff:
		return "off"
	default:
		return "on"
	}
}

// ParseMode is the inverse of String.
func ParseMode(name string) (Mode, error) {
	for _, m := range [...]Mode{ModeOn, ModeObserve, ModeOff} {
		if name == m.String() {
			return m, nil
		}
	}
	return ModeOn, fmt.Errorf("mode is %q: it must be on, observe or off", name)
}

// maxQuery bounds the query that a header may state, in bytes.
const maxQuery = 8 << 10

// policy is what the request's headers say over the options. The headers never reach the upstream.
type policy struct {
	mode   Mode
	query  string
	budget compressors.Budget
	// documents asks for the list of documents; it changes nothing that is forwarded.
	documents bool
	// before is what was said before the body begins, nil if nothing was.
	before *dialogue
}

// headerPrefix begins every header of pith's own.
const headerPrefix = "x-pith-"

// policy is what the options say, before a request's headers.
func (s *Server) policy() policy { return policy{mode: s.options.Mode, budget: s.options.Budget} }

// isOwn reports whether a header is pith's own.
func isOwn(name []byte) bool {
	return len(name) >= len(headerPrefix) && strings.EqualFold(string(name[:len(headerPrefix)]), headerPrefix)
}

// policyError is a header whose value makes no sense.
type policyError struct {
	header string
	reason string
}

func (e *policyError) Error() string { return "header " + e.header + ": " + e.reason }

// readPolicy reads the X-Pith headers. Its error is a *policyError.
func readPolicy(h *fasthttp.RequestHeader, p policy) (policy, error) {
	seen := map[string]bool{}
	for key, raw := range h.All() {
		if !isOwn(key) {
			continue
		}
		name, value := strings.ToLower(string(key)), strings.TrimSpace(string(raw))
		var header string
		var err error
		switch name {
		case "x-pith-mode":
			header = "X-Pith-Mode"
			p.mode, err = ParseMode(value)
		case "x-pith-query":
			header = "X-Pith-Query"
			p.query = value
			switch {
			case value == "":
				err = fmt.Errorf("it must not be empty")
			case len(value) > maxQuery:
				err = fmt.Errorf("it is %d bytes long, the limit is %d", len(value), maxQuery)
			case !utf8.ValidString(value):
				err = fmt.Errorf("it must be UTF-8")
			}
		case "x-pith-budget":
			header = "X-Pith-Budget"
			p.budget.Tokens, err = strconv.Atoi(value)
			if err != nil || p.budget.Tokens < 1 {
				err = fmt.Errorf("it must be a number of tokens above 0")
			}
		case "x-pith-rate":
			header = "X-Pith-Rate"
			p.budget.Rate, err = strconv.ParseFloat(value, 64)
			if err != nil || !(p.budget.Rate > 0 && p.budget.Rate <= 1) {
				err = fmt.Errorf("it must be a number above 0 and up to 1")
			}
		case "x-pith-report":
			header = "X-Pith-Report"
			p.documents = true
			if value != "documents" {
				err = fmt.Errorf("it must be documents")
			}
		default:
			continue
		}
		if err == nil && seen[name] {
			err = fmt.Errorf("it is given twice")
		}
		if err != nil {
			return p, &policyError{header, err.Error()}
		}
		seen[name] = true
	}
	if p.budget.Tokens > 0 && p.budget.Rate > 0 {
		if seen["x-pith-budget"] == seen["x-pith-rate"] {
			return p, &policyError{"X-Pith-Budget", "X-Pith-Rate is given too: choose one"}
		}
		if seen["x-pith-budget"] {
			p.budget.Rate = 0
		} else {
			p.budget.Tokens = 0
		}
	}
	return p, nil
}
