package wire

// Patch applies the difference between before and after, two encodings of the
// same Go type, to raw, the JSON that before was decoded from. What the Go type
// does not know stays as it is in raw: members that before lacks, and those
// inside array elements that after kept (see pairElements).
func Patch(raw, before, after Node) Node {
	switch {
	case before.Equal(after):
		return raw
	case before.Kind == Object && after.Kind == Object && (raw.Kind == Object || raw.isAbsent()):
		return patchObject(raw, before, after) // before may hold defaults for what raw lacks
	case raw.Kind == Array && before.Kind == Array && after.Kind == Array && len(raw.Items) == len(before.Items):
		return patchArray(raw, before, after)
	}
	return after
}

func patchObject(raw, before, after Node) Node {
	patched := Node{Kind: Object}
	for _, m := range raw.Members {
		_, known := before.Get(m.Name)
		_, kept := after.Get(m.Name)
		if kept || !known {
			patched.set(m.Name, m.Value)
		}
	}
	for _, m := range after.Members {
		old, had := before.Get(m.Name)
		if had && old.Equal(m.Value) {
			continue // also where raw spells it otherwise, or leaves out a default
		}
		rawValue, inRaw := raw.Get(m.Name)
		switch {
		case !had && (!inRaw || rawValue.IsNull()):
			patched.set(m.Name, m.Value) // also if it is empty
			continue
		case !had:
			old = Node{Kind: m.Value.Kind} // an object of unknown members alone decodes to nothing
		}
		patched.set(m.Name, Patch(rawValue, old, m.Value))
	}
	return patched
}

func patchArray(raw, before, after Node) Node {
	patched := Node{Kind: Array, Items: make([]Node, len(after.Items))}
	pairs := pairElements(before.Items, after.Items)
	for i, item := range after.Items {
		if j := pairs[i]; j >= 0 {
			item = Patch(raw.Items[j], before.Items[j], item)
		}
		patched.Items[i] = item
	}
	return patched
}

// pairElements says for each element of after which element of before it was,
// or -1. Equal elements belong together, first at the same place, then
// anywhere; what is left is paired by key.
func pairElements(before, after []Node) []int {
	pairs := make([]int, len(after))
	taken := make([]bool, len(before))
	for i := range after {
		pairs[i] = -1
		if i < len(before) && before[i].Equal(after[i]) {
			pairs[i], taken[i] = i, true
		}
	}
	pairBy(pairs, taken, before, after, func(n Node) string { return string(n.Append(nil)) })
	pairBy(pairs, taken, before, after, elementKey)
	return pairs
}

// pairBy pairs what has the same name and no partner yet, in order. An empty
// name has no partner.
func pairBy(pairs []int, taken []bool, before, after []Node, name func(Node) string) {
	free := map[string][]int{}
	for j, item := range before {
		if n := name(item); !taken[j] && n != "" {
			free[n] = append(free[n], j)
		}
	}
	for i, item := range after {
		if pairs[i] >= 0 {
			continue
		}
		n := name(item)
		if candidates := free[n]; len(candidates) > 0 {
			pairs[i], taken[candidates[0]] = candidates[0], true
			free[n] = candidates[1:]
		}
	}
}

// keys are the members that tell the elements of one array apart, for each kind
// of element that specs have. The first set whose first member an element has
// is its key.
var keys = [][]string{
	{"SecretID"},
	{"ConfigID"},
	{"TargetPort", "Protocol", "PublishMode"},
	{"Target"},
	{"ID"},
	{"Name"},
	{"name"}, // privileges of plugins
	{"Key"},  // secrets of volumes
	{"Spread"},
	{"DiscreteResourceSpec"},
	{"NamedResourceSpec"},
	{"URL"},
}

// elementKey is the text of an element's key, empty if it has none.
func elementKey(n Node) string {
	for _, key := range keys {
		if _, ok := n.Get(key[0]); !ok {
			continue
		}
		text := []byte{}
		for _, name := range key {
			value, _ := n.Get(name) // members of a key may be absent
			text = append(value.Append(append(text, name...)), ' ')
		}
		return string(text)
	}
	return ""
}
