package proxy

import (
	"fmt"
	"net/url"
	"strings"
)

// CacheClass says how an upstream bills a prompt whose beginning it has seen before.
type CacheClass uint8

// The classes. The zero value is CacheAuto.
const (
	CacheAuto     CacheClass = iota // by the host of the upstream; CacheUnpriced if it is not known
	CacheUnpriced                   // nothing is known: what the compressor takes for a saving is one
	CacheNone                       // every request pays for its whole prompt
	CacheImplicit                   // the prefix is kept without being asked for, and read at a discount: OpenAI, Gemini, DeepSeek
	CachePaid                       // all of a prompt is written, for more than plain input, and read for little: Anthropic with cache_control on the last block
	CacheExplicit                   // only what the client marks or names is kept: Bedrock's cachePoint, Gemini's cachedContents
)

var cacheClassNames = [...]string{"auto", "unpriced", "none", "implicit", "paid", "explicit"}

// String returns the class's name in settings, logs and receipts.
func (c CacheClass) String() string {
	if int(c) < len(cacheClassNames) {
		return cacheClassNames[c]
	}
	return fmt.Sprintf("CacheClass(%d)", uint8(c))
}

// ParseCacheClass is the inverse of String; nothing is CacheAuto.
func ParseCacheClass(name string) (CacheClass, error) {
	if name == "" {
		return CacheAuto, nil
	}
	for c, known := range cacheClassNames {
		if name == known {
			return CacheClass(c), nil
		}
	}
	return CacheAuto, fmt.Errorf("prompt cache is %q: it must be one of %s", name, strings.Join(cacheClassNames[:], ", "))
}

// CacheClassOf is the class that CacheAuto stands for at an upstream's base URL.
func CacheClassOf(base string) CacheClass {
	at, err := url.Parse(base)
	if err != nil {
		return CacheUnpriced
	}
	switch at.Hostname() {
	case "api.anthropic.com":
		return CachePaid
	case "api.openai.com", "generativelanguage.googleapis.com", "api.deepseek.com", "api.x.ai", "api.moonshot.ai":
		return CacheImplicit
	}
	return CacheUnpriced
}

// rates are what a token of a prompt costs, in thousandths of one of plain input.
type rates struct {
	write int // when it comes first
	read  int // each time that it comes again
	lapse int // more than read, when what was kept is no longer of use
}

// rates are what vendors charged in 2026: readers of an implicit cache pay a tenth to a half of plain input, those of
// Anthropic's a tenth, and writing it for five minutes costs a quarter more than plain input. Whether a client marks a text is
// not looked at, since marks move between turns: of CacheExplicit each rate is the one that makes the saving smaller.
func (c CacheClass) rates() rates {
	switch c {
	case CacheImplicit:
		return rates{write: 1000, read: 250, lapse: 750}
	case CachePaid:
		return rates{write: 1250, read: 100, lapse: 1150}
	case CacheExplicit:
		return rates{write: 1000, read: 100, lapse: 1150}
	case CacheNone, CacheAuto, CacheUnpriced:
	}
	return rates{write: 1000, read: 1000}
}
