package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// Node is a JSON value that keeps the order of members and the spelling of
// numbers and strings.
type Node struct {
	Kind    Kind
	Literal []byte   // scalars: as they were written
	Members []Member // objects
	Items   []Node   // arrays

	index map[string]int // of Members, once there are many
}

// Kind is what a [Node] is.
type Kind byte

// The kinds of JSON values.
const (
	Scalar Kind = iota
	Object
	Array
)

// Member is one name and its value in an object.
type Member struct {
	Name  string
	Value Node
}

// maxDepth bounds nesting, and with it the stack.
const maxDepth = 1000

// Parse reads exactly one JSON value.
func Parse(data []byte) (Node, error) {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	n, err := parse(decoder, 0)
	if err != nil {
		return Node{}, elementError(err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return Node{}, fmt.Errorf("%w: data after the value", errShape)
	}
	return n, nil
}

func parse(decoder *json.Decoder, depth int) (Node, error) {
	if depth > maxDepth {
		return Node{}, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	token, err := decoder.Token()
	if err != nil {
		return Node{}, err
	}
	switch token {
	case json.Delim('{'):
		return parseObject(decoder, depth)
	case json.Delim('['):
		return parseArray(decoder, depth)
	}
	literal, err := Marshal(token)
	return Node{Literal: literal}, err
}

func parseObject(decoder *json.Decoder, depth int) (Node, error) {
	n := Node{Kind: Object}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return Node{}, err
		}
		value, err := parse(decoder, depth+1)
		if err != nil {
			return Node{}, err
		}
		n.set(name.(string), value)
	}
	_, err := decoder.Token()
	return n, err
}

func parseArray(decoder *json.Decoder, depth int) (Node, error) {
	n := Node{Kind: Array}
	for decoder.More() {
		item, err := parse(decoder, depth+1)
		if err != nil {
			return Node{}, err
		}
		n.Items = append(n.Items, item)
	}
	_, err := decoder.Token()
	return n, err
}

// Get returns the member of that name.
func (n Node) Get(name string) (Node, bool) {
	if i := n.find(name); i >= 0 {
		return n.Members[i].Value, true
	}
	return Node{}, false
}

func (n Node) find(name string) int {
	if n.index != nil {
		if i, ok := n.index[name]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(n.Members, func(m Member) bool { return m.Name == name })
}

// IsNull reports a JSON null.
func (n Node) IsNull() bool {
	return n.Kind == Scalar && string(n.Literal) == "null"
}

// isAbsent reports a null, or no value at all.
func (n Node) isAbsent() bool {
	return n.Kind == Scalar && (n.Literal == nil || n.IsNull())
}

// fewMembers is the size up to which looking through an object is cheaper than
// an index. Above it a hostile object would cost quadratic time.
const fewMembers = 16

func (n *Node) set(name string, value Node) {
	if i := n.find(name); i >= 0 {
		n.Members[i].Value = value
		return
	}
	n.Members = append(n.Members, Member{name, value})
	switch {
	case n.index != nil:
		n.index[name] = len(n.Members) - 1
	case len(n.Members) > fewMembers:
		n.index = make(map[string]int, 2*len(n.Members))
		for i, m := range n.Members {
			n.index[m.Name] = i
		}
	}
}

// Equal reports whether two values are the same, whatever the order of their
// objects' members. Numbers are compared as they are written.
func (n Node) Equal(o Node) bool {
	if n.Kind != o.Kind || len(n.Members) != len(o.Members) {
		return false
	}
	for _, m := range n.Members {
		other, ok := o.Get(m.Name)
		if !ok || !m.Value.Equal(other) {
			return false
		}
	}
	return bytes.Equal(n.Literal, o.Literal) && slices.EqualFunc(n.Items, o.Items, Node.Equal)
}

// Append writes the value as JSON to b.
func (n Node) Append(b []byte) []byte {
	switch n.Kind {
	case Object:
		b = append(b, '{')
		for i, m := range n.Members {
			if i > 0 {
				b = append(b, ',')
			}
			name, _ := Marshal(m.Name) // a string cannot fail
			b = append(append(b, name...), ':')
			b = m.Value.Append(b)
		}
		return append(b, '}')
	case Array:
		b = append(b, '[')
		for i, item := range n.Items {
			if i > 0 {
				b = append(b, ',')
			}
			b = item.Append(b)
		}
		return append(b, ']')
	}
	return append(b, n.Literal...)
}

// With returns the object with a member set.
func (n Node) With(name string, value Node) Node {
	changed := n.Without("")
	changed.set(name, value)
	return changed
}

// Without returns the object without the member of that name.
func (n Node) Without(name string) Node {
	changed := Node{Kind: Object}
	for _, m := range n.Members {
		if m.Name != name {
			changed.set(m.Name, m.Value)
		}
	}
	return changed
}
