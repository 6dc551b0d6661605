package compressors

import (
	"path"
	"slices"
	"strings"
)

// maxDependency is the most tokens that one definition may cost, with the markers and the opening of the class around it.
const maxDependency = 96

// minDefined is the fewest bytes of a name that is looked up: one letter may be anything.
const minDefined = 2

// divideDefinitions makes of each item that is a definition with a Signature its comment, its signature, its body and what
// closes it. The body is chosen in place of the whole, and the others are kept with it, so that a choice by value is the same.
func (d *document) divideDefinitions(count func(string) int) {
	whole := d.items
	d.items = make([]item, 0, len(whole))
	at := make([]int, len(whole)) // the item that is now the parent of what each is the parent of
	for i, it := range whole {
		if it.Parent >= 0 {
			it.Parent = at[it.Parent]
		}
		at[i] = len(d.items)
		s := it.Signature
		if s == nil {
			d.items = append(d.items, it)
			continue
		}
		body := it
		part := func(start, end int, kind SegmentKind) item {
			p := it
			p.Start, p.End, p.Kind, p.value, p.load, p.auxiliary = start, end, kind, 0, 0, true
			p.tokens = min(count(d.text[start:end]), body.tokens)
			body.tokens -= p.tokens
			return p
		}
		if it.Start < s.Start {
			d.items = append(d.items, part(it.Start, s.Start, KindText))
			body.led = true
		}
		at[i] = len(d.items)
		d.items = append(d.items, part(s.Start, s.BodyStart, KindHeader))
		var closing []item
		if s.BodyEnd < it.End {
			closing = append(closing, part(s.BodyEnd, it.End, KindClosing))
			closing[0].Parent = at[i]
		}
		body.Start, body.End, body.Parent = s.BodyStart, s.BodyEnd, at[i]
		d.items = append(append(d.items, body), closing...)
	}
}

// dependencies are what the code of a turn's texts needs of each other. It goes by names, without types.
type dependencies struct {
	docs []*document
	// share is how much of what is kept definitions may take.
	share float64
	// definers are the items that are enough to define a name, by name.
	definers map[string][]place
	// uses are the names that each item of each text uses; imports are what each text imports.
	uses    [][][]string
	imports [][]Import
}

// place is an item of a turn.
type place struct{ text, item int }

// newDependencies returns the dependencies of docs; nil where there is no code that defines anything, or share is 0.
func newDependencies(docs []*document, share float64) *dependencies {
	if share <= 0 {
		return nil
	}
	n := &dependencies{
		docs: docs, share: share,
		definers: map[string][]place{}, uses: make([][][]string, len(docs)), imports: make([][]Import, len(docs)),
	}
	for text, d := range docs {
		if d.grammar == nil {
			continue
		}
		for _, s := range d.segments {
			n.imports[text] = append(n.imports[text], s.Imports...)
		}
		n.uses[text] = make([][]string, len(d.items))
		at := 0
		for i, it := range d.items {
			for d.segments[at].End <= it.Start {
				at++
			}
			for j := at; j < len(d.segments) && d.segments[j].Start < it.End; j++ {
				n.add(place{text, i}, &d.segments[j])
			}
		}
	}
	if len(n.definers) == 0 {
		return nil
	}
	return n
}

// add notes what the part of s that stands in an item uses and defines.
func (n *dependencies) add(p place, s *Segment) {
	d := n.docs[p.text]
	it := &d.items[p.item]
	defines, uses := s.Defines, s.Uses
	if divided := s.Start < it.Start || it.End < s.End; divided {
		switch inSignature := func(name string) bool { return slices.Contains(s.Signature.Defines, name) }; {
		case it.Kind == KindHeader:
			defines, uses = s.Signature.Defines, s.Signature.Uses
		case it.auxiliary:
			return
		default: // the body
			defines = slices.DeleteFunc(slices.Clone(defines), inSignature)
		}
	}
	n.uses[p.text][p.item] = append(n.uses[p.text][p.item], uses...)
	for _, name := range defines {
		if len(name) >= minDefined {
			n.definers[name] = append(n.definers[name], p)
		}
	}
}

// find returns the item that defines name for a text: the only one in that text, else in what it imports, else in its folder,
// else anywhere. It returns false if a kept one does, or if it cannot be told from others.
func (n *dependencies) find(s *selection, name string, text int) (place, bool) {
	const tiers = 4
	var found [tiers]place
	var count [tiers]int
	for _, p := range n.definers[name] {
		if s.kept[p.text].has(p.item) {
			return place{}, false
		}
		tier := tiers - 1
		switch {
		case p.text == text:
			tier = 0
		case n.importsFrom(text, p.text, name):
			tier = 1
		case path.Dir(n.docs[p.text].name) == path.Dir(n.docs[text].name):
			tier = 2
		}
		found[tier] = p
		count[tier]++
	}
	for tier, c := range count {
		if c > 0 {
			return found[tier], c == 1
		}
	}
	return place{}, false
}

// importsFrom reports whether a text imports name from another, which a module's last part names or the folder of.
func (n *dependencies) importsFrom(text, other int, name string) bool {
	file := n.docs[other].name
	stem := strings.TrimSuffix(path.Base(file), path.Ext(file))
	folder := path.Base(path.Dir(file))
	return slices.ContainsFunc(n.imports[text], func(i Import) bool {
		last := i.Path[strings.LastIndexAny(i.Path, "./:\\")+1:]
		return last == folder ||
			last == stem && (len(i.Names) == 0 || slices.Contains(i.Names, name) || slices.Contains(i.Names, "*"))
	})
}

// support keeps what defines the names that the kept items use, those of order first, and that nothing kept defines.
func (s *selection) support(order []ranked, needs *dependencies, limit int) {
	for _, r := range order {
		if !s.kept[r.text].has(r.item) || needs.uses[r.text] == nil {
			continue
		}
		for _, name := range needs.uses[r.text][r.item] {
			if p, ok := needs.find(s, name, r.text); ok {
				s.keep(p.text, p.item, min(limit, s.cost+maxDependency))
			}
		}
	}
}
