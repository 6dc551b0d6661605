package scoring

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Tree is a decision tree over features. Node 0 is its root.
type Tree struct {
	Nodes []TreeNode
}

// TreeNode is a node: a leaf if Low is 0, else a question that rows whose Feature is below Threshold answer with Low, the
// others with High, both after the node itself.
type TreeNode struct {
	Feature   Feature
	Threshold float32
	Low, High int
	// Value is what a leaf adds, in log-odds; at a question, the mean of what the rows that came by in the fit add.
	Value float32
}

// String writes the tree on one line: a node is its value, and for a question "feature<threshold ? low : high" after it.
func (t Tree) String() string {
	var b strings.Builder
	var write func(i int)
	write = func(i int) {
		n := t.Nodes[i]
		b.WriteString(strconv.FormatFloat(float64(n.Value), 'g', 4, 32))
		if n.Low > 0 {
			fmt.Fprintf(&b, " %s<%s ? ", n.Feature, strconv.FormatFloat(float64(n.Threshold), 'g', -1, 32))
			write(n.Low)
			b.WriteString(" : ")
			write(n.High)
		}
	}
	write(0)
	return b.String()
}

// ParseTree is the inverse of String.
func ParseTree(text string) (Tree, error) {
	p := treeParser{words: strings.Fields(text)}
	if err := p.node(0); err != nil {
		return Tree{}, fmt.Errorf("tree %.60q: %w", text, err)
	}
	if len(p.words) > 0 {
		return Tree{}, fmt.Errorf("tree %.60q: %q stands after its end", text, p.words[0])
	}
	return p.tree, nil
}

// maxTreeDepth bounds what is parsed.
const maxTreeDepth = 64

type treeParser struct {
	words []string
	tree  Tree
}

func (p *treeParser) next() string {
	if len(p.words) == 0 {
		return ""
	}
	word := p.words[0]
	p.words = p.words[1:]
	return word
}

func (p *treeParser) node(depth int) error {
	if depth > maxTreeDepth {
		return errors.New("it is too deep")
	}
	value, err := strconv.ParseFloat(p.next(), 32)
	if err != nil {
		return err
	}
	at := len(p.tree.Nodes)
	p.tree.Nodes = append(p.tree.Nodes, TreeNode{Value: float32(value)})
	if len(p.words) == 0 || p.words[0] == ":" {
		return nil
	}
	name, limit, ok := strings.Cut(p.next(), "<")
	n := TreeNode{Value: float32(value)}
	if n.Feature, err = featureNamed(name); err != nil {
		return err
	}
	threshold, err := strconv.ParseFloat(limit, 32)
	if !ok || err != nil {
		return fmt.Errorf("%q is no threshold", limit)
	}
	n.Threshold = float32(threshold)
	if word := p.next(); word != "?" {
		return fmt.Errorf("%q in place of ?", word)
	}
	n.Low = len(p.tree.Nodes)
	if err := p.node(depth + 1); err != nil {
		return err
	}
	if word := p.next(); word != ":" {
		return fmt.Errorf("%q in place of a colon", word)
	}
	n.High = len(p.tree.Nodes)
	p.tree.Nodes[at] = n
	return p.node(depth + 1)
}

func featureNamed(name string) (Feature, error) {
	for f, known := range featureNames {
		if known == name {
			return Feature(f), nil
		}
	}
	return 0, fmt.Errorf("no feature is named %q", name)
}

// value returns what the tree adds for r. If parts is not nil, each step from a node to the next is added to the part of
// the feature that was asked (Saabas 2014): the root's value and the parts add up to the value.
func (t *Tree) value(r *row, parts *row) float32 {
	n := &t.Nodes[0]
	for n.Low > 0 {
		to := n.High
		if r[n.Feature] < n.Threshold {
			to = n.Low
		}
		if parts != nil {
			parts[n.Feature] += t.Nodes[to].Value - n.Value
		}
		n = &t.Nodes[to]
	}
	return n.Value
}
