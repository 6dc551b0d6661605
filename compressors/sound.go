package compressors

import (
	"context"
	"slices"
	"time"
)

// maxSoundRounds bounds how often a selection is made anew because code in it no longer follows its grammar. One or two
// rounds are usual.
const maxSoundRounds = 6

// fitSound is fit for the texts of a plan, with code that follows its grammar as far as its source does: where a selection
// tears what belongs together, such as a string of many lines, the items of the definitions that it tears become one item,
// or if that is not enough those of all that stands under one of the outermost, or all of the text, and the selection is made anew.
func (f *fitter) fitSound(ctx context.Context, p *Plan, byLikelihood bool) error {
	a := p.arrangement
	joined := make([]int, len(a.docs)) // how often the items of each text were joined
	for round := 0; ; round++ {
		f.docs, f.order, f.needs, f.free = a.docs, a.order, a.needs, len(a.order)
		if byLikelihood {
			f.order, f.free = a.likely, a.likelyItems
		}
		if err := f.fit(ctx); err != nil {
			return err
		}
		start := time.Now()
		torn := f.torn()
		f.parseTime += time.Since(start)
		if len(torn) == 0 {
			return nil
		}
		if round == maxSoundRounds {
			f.leaveOut(torn)
			return nil
		}
		docs := slices.Clone(a.docs)
		for _, i := range torn {
			var runs []int
			for len(runs) == 0 {
				switch joined[i]++; joined[i] {
				case 1:
					runs = docs[i].tornRuns(f.best[i].kept, docs[i].inDefinition)
				case 2:
					runs = docs[i].tornRuns(f.best[i].kept, docs[i].inRoot)
				default:
					runs = []int{0, len(docs[i].items)}
				}
			}
			docs[i] = docs[i].join(runs, p.probabilities)
		}
		a = p.arrange(docs)
	}
}

// torn returns the texts of code whose rendering has more syntax errors than the source.
func (f *fitter) torn() []int {
	var torn []int
	for i, d := range f.docs {
		r := &f.best[i]
		if d.grammar == nil || r.skip != NotSkipped || r.kept.next(-1, len(d.items)) == len(d.items) {
			continue
		}
		after, parsed := syntaxErrors(d.grammar, r.output)
		if !parsed || after == 0 {
			continue
		}
		if before, parsed := d.sourceErrors(); parsed && after > before {
			torn = append(torn, i)
		}
	}
	return torn
}

// leaveOut keeps nothing of the texts.
func (f *fitter) leaveOut(texts []int) {
	for _, i := range texts {
		d := f.docs[i]
		f.total -= f.best[i].tokens
		f.best[i] = f.renderText(d, newBitset(len(d.items)), false)
		f.total += f.best[i].tokens
	}
}

// inDefinition reports whether item i goes on with the definition, or with the statements side by side, that item first begins.
func (d *document) inDefinition(first, i int) bool {
	return d.items[i].Name == d.items[first].Name && d.items[i].Parent >= d.items[first].Parent
}

// inRoot reports whether item i stands under item first, which stands under none, or is led by it.
func (d *document) inRoot(first, i int) bool {
	return d.items[i].Parent >= first || i == first+1 && d.items[first].auxiliary && d.items[first].Kind == KindText
}

// tornRuns returns the first and the end of each run of items that belong together of which some are kept and some are not.
func (d *document) tornRuns(kept bitset, belongs func(first, i int) bool) []int {
	var runs []int
	for first := 0; first < len(d.items); {
		end, n := first, 0
		for end < len(d.items) && (end == first || belongs(first, end)) {
			if kept.has(end) {
				n++
			}
			end++
		}
		if n > 0 && n < end-first {
			runs = append(runs, first, end)
		}
		first = end
	}
	return runs
}

// join returns d with each run of items, given by its first and its end, as one item. It is worth what they are together if
// values are probabilities, else as much as the best.
func (d *document) join(runs []int, probabilities bool) *document {
	out := *d
	out.items = nil
	at := make([]int, len(d.items)) // the new item of each
	for i := 0; i < len(d.items); {
		end := i + 1
		if len(runs) > 0 && runs[0] == i {
			end, runs = runs[1], runs[2:]
		}
		item := d.items[i]
		if item.Parent >= 0 {
			item.Parent = at[item.Parent]
		}
		at[i] = len(out.items)
		for k := i + 1; k < end; k++ {
			at[k] = len(out.items)
			part := d.items[k]
			item.End = part.End
			item.tokens += part.tokens
			switch {
			case part.auxiliary:
			case item.auxiliary:
				item.value, item.auxiliary = part.value, false
			case probabilities:
				item.value += part.value
			default:
				item.value = max(item.value, part.value)
			}
			if d.scores[part.of].Value > d.scores[item.of].Value {
				item.of = part.of
			}
		}
		if end > i+1 {
			item.load, item.led = item.tokens, false
		}
		if end > i+1 && item.Kind == KindHeader {
			item.Kind = KindLines
		}
		out.items = append(out.items, item)
		i = end
	}
	return &out
}
