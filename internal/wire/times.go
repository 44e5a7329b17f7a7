package wire

import (
	"reflect"
	"strings"
	"time"
)

// Unmarshal decodes exactly one JSON value. An instant that is none is left
// zero: one odd value must not make a whole list fail.
func Unmarshal(data []byte, v any) error {
	err := unmarshal(data, v)
	if err == nil || IsSyntax(err) {
		return err
	}
	tree, parseErr := Parse(data)
	if parseErr != nil {
		return err
	}
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() || !dropOddTimes(&tree, target.Type().Elem(), 0) {
		return err
	}
	target.Elem().SetZero()
	return unmarshal(tree.Append(nil), v)
}

var timeType = reflect.TypeFor[time.Time]()

// dropOddTimes makes null of what cannot be decoded into a time, and reports
// whether there was any.
func dropOddTimes(n *Node, t reflect.Type, depth int) (dropped bool) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case depth > maxDepth:
	case t == timeType:
		return new(time.Time).UnmarshalJSON(n.Append(nil)) != nil && n.makeNull()
	case n.Kind == Array && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array):
		for i := range n.Items {
			dropped = dropOddTimes(&n.Items[i], t.Elem(), depth+1) || dropped
		}
	case n.Kind == Object && t.Kind() == reflect.Map:
		for i := range n.Members {
			dropped = dropOddTimes(&n.Members[i].Value, t.Elem(), depth+1) || dropped
		}
	case n.Kind == Object && t.Kind() == reflect.Struct:
		for i := range n.Members {
			if field, ok := fieldOf(t, n.Members[i].Name); ok {
				dropped = dropOddTimes(&n.Members[i].Value, field, depth+1) || dropped
			}
		}
	}
	return dropped
}

func (n *Node) makeNull() bool {
	*n = Node{Literal: []byte("null")}
	return true
}

// fieldOf is the type of the field that a member is decoded into.
func fieldOf(t reflect.Type, member string) (reflect.Type, bool) {
	for _, field := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" {
			name = field.Name
		}
		if field.IsExported() && !field.Anonymous && strings.EqualFold(name, member) {
			return field.Type, true
		}
	}
	return nil, false
}
