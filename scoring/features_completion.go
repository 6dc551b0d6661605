package scoring

import (
	"math"
	"path"
	"strings"
)

// current is the text that a query of code continues.
type current struct {
	text   int // -1 without one
	before int // bytes of the text before the cursor
}

// current looks for the text that ends with the query's last lines, or else holds them. Where none does, the query goes on
// where the last text ends: the lines before the cursor are not there to be compressed, and so are no segments.
func (c *call) current() current {
	found := current{text: -1}
	tail := strings.TrimRight(c.query.text, " \t\r\n")
	if !c.query.code || tail == "" {
		return found
	}
	if n := strings.LastIndexByte(tail[:max(0, len(tail)-80)], '\n'); n >= 0 {
		tail = tail[n+1:] // some last lines are enough, and the query may begin before the text does
	}
	texts := c.wholeTexts()
	for t, text := range texts {
		if at := strings.LastIndex(text, tail); at >= 0 {
			found = current{text: t, before: at + len(tail)}
		}
	}
	if last := c.texts - 1; found.text < 0 && c.segments[len(c.segments)-1].Family == Code {
		found = current{text: last, before: len(texts[last])}
	}
	return found
}

// wholeTexts puts the segments together again.
func (c *call) wholeTexts() []string {
	parts := make([]strings.Builder, c.texts)
	for i, s := range c.segments {
		parts[c.textOf[i]].WriteString(s.Text)
	}
	texts := make([]string, c.texts)
	for t := range parts {
		texts[t] = parts[t].String()
	}
	return texts
}

// imports sets what the current text imports, and how near to its cursor its own segments are. Imports are read as names:
// no path is resolved, since every language has its own way and most of the files are not there.
func (c *call) imports(rows []row, now current, defined [][]string) {
	imported, elsewhere := map[string]bool{}, map[string]bool{}
	folder := ""
	for i, s := range c.segments {
		if c.textOf[i] != now.text {
			continue
		}
		folder = path.Dir(s.TextName)
		for _, name := range s.Imports {
			for _, part := range identifiers(name) {
				imported[part] = true
			}
		}
		if len(s.Imports) > 0 && s.Form == FormImport {
			continue
		}
		for line := range strings.Lines(s.Text) {
			into := elsewhere
			if s.Form == FormImport || isImportLine(line) {
				into = imported
			}
			for _, name := range identifiers(line) {
				into[name] = true
			}
		}
	}
	for _, name := range identifiers(c.query.short) {
		elsewhere[name] = true
	}
	at := 0
	for i, s := range c.segments {
		r := &rows[i]
		if c.textOf[i] == now.text {
			r.set(FeatureCurrent, 1)
			r.set(FeatureDistance, min(1, math.Abs(float64(now.before-at-len(s.Text)))/float64(max(1, now.before))))
			at += len(s.Text)
			continue
		}
		dir, stem := path.Dir(s.TextName), path.Base(s.TextName)
		stem, _, _ = strings.Cut(stem, ".")
		r.set(FeatureImported, 0.6*number(imported[stem])+0.4*number(imported[path.Base(dir)]))
		r.set(FeatureSameFolder, number(dir == folder))
		for _, name := range defined[i] {
			if imported[name] {
				r.set(FeatureImportedName, 1)
				if !elsewhere[name] {
					r.set(FeatureImportUnused, 1)
				}
			}
		}
		if owner, _, ok := strings.Cut(s.Name, "."); ok && imported[owner] && r[FeatureImportedName] == 0 {
			r.set(FeatureImportedName, 0.5)
		}
	}
}

// isImportLine tells the lines by which languages name what they take from other files.
func isImportLine(line string) bool {
	word, _, _ := strings.Cut(strings.TrimLeft(line, " \t"), " ")
	switch word {
	case "import", "from", "use", "using", "#include", "require", "require_relative", "include", "mod", "extern":
		return true
	}
	return strings.Contains(line, "require(")
}

// maxNearLines is how many lines before the cursor tell what comes next.
const maxNearLines = 24

// nearCursor sets what the names of segments of other texts have in common with the lines before the cursor.
func (c *call) nearCursor(rows []row, now current, defined [][]string) {
	held := map[string]bool{}
	here := ""
	for i, s := range c.segments {
		if c.textOf[i] == now.text {
			here = s.TextName
			for _, name := range identifiers(s.Text) {
				held[name] = true
			}
		}
	}
	for _, name := range identifiers(c.query.short) {
		held[name] = true
	}
	near := nearWords(c.query.short)
	herePath := wordsOf(here)
	var ofPath, ofStem map[string]bool
	for i, s := range c.segments {
		if c.textOf[i] == now.text {
			continue
		}
		if i == 0 || c.textOf[i] != c.textOf[i-1] {
			stem, _, _ := strings.Cut(path.Base(s.TextName), ".")
			ofPath, ofStem = wordsOf(s.TextName), wordsOf(stem)
		}
		r := &rows[i]
		r.set(FeaturePathNear, inCommon(herePath, ofPath))
		for _, name := range defined[i] {
			r.set(FeatureNewName, max(float64(r[FeatureNewName]), number(!held[name])))
		}
		name := lastName(s.Name)
		if name == "" && len(defined[i]) == 1 {
			name = defined[i][0]
		}
		r.set(FeatureNameNear, near.share(wordsOf(name)))
		owner := ofStem
		if at := strings.LastIndexAny(s.Name, ".:"); at > 0 {
			owner = wordsOf(lastName(strings.TrimRight(s.Name[:at], ".:")))
		}
		r.set(FeatureOwnerNear, near.share(owner))
	}
}

// nearLines are the words of the lines before a cursor, the last first.
type nearLines []map[string]bool

func nearWords(text string) nearLines {
	lines := strings.Split(strings.TrimRight(text, " \t\r\n"), "\n")
	var near nearLines
	for i := len(lines) - 1; i >= 0 && len(near) < maxNearLines; i-- {
		near = append(near, wordsOf(lines[i]))
	}
	return near
}

// share returns the largest share of words that one line holds, less the further it is from the cursor.
func (n nearLines) share(words map[string]bool) float64 {
	best := 0.0
	if len(words) == 0 {
		return 0
	}
	for i, line := range n {
		found := 0
		for word := range words {
			if line[word] {
				found++
			}
		}
		best = max(best, float64(found)/float64(len(words))/(1+float64(i)/4))
	}
	return best
}

// wordsOf returns the words of a name or line, identifiers of several parts in parts alone.
func wordsOf(text string) map[string]bool {
	words := map[string]bool{}
	for _, name := range identifiers(text) {
		last := ""
		parts := 0
		eachWord(name, func(word []byte) {
			if parts++; parts == 1 {
				last = string(word)
				return
			}
			words[string(word)] = true
		})
		if parts == 1 {
			words[last] = true
		}
	}
	return words
}

// inCommon returns the share of the words of a and b that both hold (Jaccard 1901).
func inCommon(a, b map[string]bool) float64 {
	both := 0
	for word := range a {
		if b[word] {
			both++
		}
	}
	if len(a)+len(b) == 0 {
		return 0
	}
	return float64(both) / float64(len(a)+len(b)-both)
}
