package scoring

import (
	"math"
	"strings"
)

// structure sets the features of what texts say of each other, and of place and form. best are the best segments by the
// cheap sum.
func (c *call) structure(rows []row, best []int) {
	c.form(rows)
	c.titles(rows, best)
	defined := make([][]string, len(c.segments))
	for i := range c.segments {
		if c.segments[i].Family == Code {
			defined[i] = definitions(&c.segments[i])
		}
	}
	c.uses(rows, best, defined)
	c.users(rows, defined)
	if current := c.current(); current.text >= 0 {
		c.imports(rows, current, defined)
		c.nearCursor(rows, current, defined)
	}
}

// places sets FeatureTextPlace and FeatureLocalPlace by a sum for each segment.
func (c *call) places(rows []row, sums []float64) {
	best := make([]float64, c.texts)
	for t := range best {
		best[t] = math.Inf(-1)
	}
	for i, v := range sums {
		best[c.textOf[i]] = max(best[c.textOf[i]], v)
	}
	ofText := reciprocalRanks(best)
	above := make([]int, c.texts) // segments of each text that came before in the order of the sums
	for _, i := range descending(sums) {
		t := c.textOf[i]
		above[t]++
		rows[i].set(FeatureTextPlace, ofText[t])
		rows[i].set(FeatureLocalPlace, 1/float64(above[t]))
	}
}

// users sets FeatureUsers.
func (c *call) users(rows []row, defined [][]string) {
	users := map[string]int{}
	for _, names := range defined {
		for _, name := range names {
			users[name] = 0
		}
	}
	if len(users) == 0 {
		return
	}
	for i := range c.segments {
		seen := map[string]bool{}
		for _, name := range identifiers(c.segments[i].Text) {
			if n, ok := users[name]; ok && !seen[name] {
				seen[name] = true
				users[name] = n + 1
			}
		}
	}
	for i, names := range defined {
		most := 0
		for _, name := range names {
			most = max(most, users[name]-1) // itself is no user
		}
		rows[i].set(FeatureUsers, min(1, math.Log2(float64(1+most))/8))
	}
}

// form sets what is known of a segment without its words.
func (c *call) form(rows []row) {
	total, textTokens, at := 0, make([]int, c.texts), make([]int, len(c.segments))
	for i, s := range c.segments {
		at[i] = textTokens[c.textOf[i]]
		textTokens[c.textOf[i]] += s.Tokens
		total += s.Tokens
	}
	size := math.Log2(float64(1+len(c.query.focus))) / 16
	for i, s := range c.segments {
		r, t := &rows[i], c.textOf[i]
		r.set(FeatureTokens, math.Log2(float64(1+s.Tokens))/10)
		r.set(FeaturePosition, float64(at[i])/float64(max(1, textTokens[t])))
		r.set(FeatureTextAt, float64(t)/float64(max(1, c.texts-1)))
		r.set(FeatureTexts, math.Log2(float64(c.texts))/6)
		r.set(FeatureSegments, math.Log2(float64(len(c.segments)))/10)
		r.set(FeatureShare, math.Sqrt(float64(s.Tokens)/float64(max(1, total))))
		r.set(FeatureForm, float64(s.Form)/10)
		r.set(FeatureEnclosed, number(s.Enclosed))
		r.set(FeatureLines, min(2, float64(len(s.Text))/float64(1+strings.Count(s.Text, "\n"))/100))
		r.set(FeatureQuerySize, size)
		r.set(FeatureQueryCode, number(c.query.code))
	}
}

// titles sets whether the names of texts stand in the best segments of others, and the reverse: how a question of several
// hops goes from one document to the next.
func (c *call) titles(rows []row, best []int) {
	title := make([]string, c.texts)
	for i, s := range c.segments {
		if s.Family == Prose {
			title[c.textOf[i]] = bareTitle(s.TextName)
		}
	}
	for i, s := range c.segments {
		t := c.textOf[i]
		for place, b := range best {
			other := c.textOf[b]
			if other == t {
				continue
			}
			weight := 1 / (1 + float64(place)/4)
			if title[t] != "" && strings.Contains(c.segments[b].Text, title[t]) {
				rows[i].set(FeatureNamedByBest, max(float64(rows[i][FeatureNamedByBest]), weight))
			}
			if title[other] != "" && strings.Contains(s.Text, title[other]) {
				rows[i].set(FeatureNamesBest, max(float64(rows[i][FeatureNamesBest]), weight))
			}
		}
	}
}

// bareTitle returns a document's title without what tells it from others in brackets; empty if it is too short to be found
// by chance alone.
func bareTitle(name string) string {
	name, _, _ = strings.Cut(name, " (")
	if name = strings.TrimSpace(name); len(name) < 4 {
		return ""
	}
	return name
}

// uses sets whether a segment defines what the best segments or the query use.
func (c *call) uses(rows []row, best []int, defined [][]string) {
	definers := map[string]int{}
	for _, names := range defined {
		for _, name := range names {
			definers[name]++
		}
	}
	if len(definers) == 0 {
		return
	}
	used := map[string]float64{} // by the best segments
	for place, b := range best {
		own := map[string]bool{}
		for _, name := range defined[b] {
			own[name] = true
		}
		for _, name := range identifiers(c.segments[b].Text) {
			if n := definers[name]; n > 0 && !own[name] {
				used[name] = max(used[name], 1/(1+float64(place)/4)/math.Sqrt(float64(n)))
			}
		}
	}
	asked := map[string]float64{} // by the query
	if c.query.code {
		lines := strings.Split(strings.TrimRight(c.query.short, "\n"), "\n")
		for i, line := range lines {
			near := 1 / (1 + float64(len(lines)-1-i)/4)
			for _, name := range identifiers(line) {
				if n := definers[name]; n > 0 && !keywords[name] {
					asked[name] = max(asked[name], near/math.Sqrt(float64(n)))
				}
			}
		}
	}
	for i, names := range defined {
		for _, name := range names {
			rows[i].set(FeatureDefinesUsed, max(float64(rows[i][FeatureDefinesUsed]), used[name]))
			rows[i].set(FeatureQueryUses, max(float64(rows[i][FeatureQueryUses]), asked[name]))
		}
	}
}

// lastName returns the last part of a qualified name.
func lastName(name string) string { return name[strings.LastIndexAny(name, ".:")+1:] }

// definitions returns the names that a segment of code defines: those that it is known to, or else as far as its own name
// and the beginnings of its lines show: what precedes "=" or ":" without indentation, and what follows a defining keyword.
func definitions(s *Segment) []string {
	if len(s.Defines) > 0 || len(s.Imports) > 0 {
		return s.Defines
	}
	var names []string
	add := func(name string) {
		if len(name) >= 2 && !keywords[name] && len(names) < 64 {
			names = append(names, name)
		}
	}
	if name := lastName(s.Name); name != "" && s.Form != FormLines {
		add(name)
	}
	if s.Form == FormFunction || s.Form == FormMethod || s.Form == FormImport {
		return names
	}
	for line := range strings.Lines(s.Text) {
		trimmed := strings.TrimLeft(line, " \t")
		if trimmed == "" || len(line)-len(trimmed) > 4 {
			continue
		}
		words := identifiers(trimmed[:min(len(trimmed), 120)])
		for i, word := range words {
			if definers[word] && i+1 < len(words) {
				for _, next := range words[i+1:] {
					if !keywords[next] {
						add(next)
						break
					}
				}
				break
			}
			if !keywords[word] {
				rest := trimmed[strings.Index(trimmed, word)+len(word):]
				if rest = strings.TrimLeft(rest, " \t"); i == 0 && (strings.HasPrefix(rest, "=") && !strings.HasPrefix(rest, "==") || strings.HasPrefix(rest, ":")) {
					add(word)
				}
				break
			}
		}
	}
	return names
}

// definers are the words that a definition's name follows, in the common languages.
var definers = wordSet(`func function def class struct enum interface trait type const let var val static fn impl object
	record union typedef namespace module macro_rules define`)

// keywords are no names.
var keywords = wordSet(`func function def class struct enum interface trait type const let var val static fn impl object
	record union typedef namespace module define if else for while do switch case default break continue return yield
	import from export package use using require include extern pub public private protected internal final abstract
	override virtual inline async await new delete this self super null nil None true false True False void int string
	bool boolean float double char byte long short unsigned signed auto mut ref where in is not and or as try catch
	except finally throw throws raise with lambda match loop go defer select chan map range fallthrough goto readonly
	declare get set constructor extends implements typeof instanceof crate mod dyn unsafe template typename operator
	friend constexpr noexcept explicit pass global nonlocal del assert elif`)

func wordSet(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// identifiers returns the identifiers of text in order, as they are spelled: runs of letters, digits and underscores that
// do not start with a digit.
func identifiers(text string) []string {
	var found []string
	start := -1
	for i := 0; i <= len(text); i++ {
		var b byte
		if i < len(text) {
			b = text[i]
		}
		letter := b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '_' || b >= 0x80
		switch {
		case start < 0 && letter:
			start = i
		case start >= 0 && !letter && (b < '0' || b > '9'):
			found = append(found, text[start:i])
			start = -1
		case start < 0 && b >= '0' && b <= '9':
			for i+1 < len(text) && (text[i+1] >= '0' && text[i+1] <= '9' || text[i+1] >= 'a' && text[i+1] <= 'z' || text[i+1] >= 'A' && text[i+1] <= 'Z' || text[i+1] == '_') {
				i++
			}
		}
	}
	return found
}
