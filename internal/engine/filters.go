package engine

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// filters are what a list is narrowed down by: the values of each, sorted.
type filters map[string][]string

// accept refuses filters that are not among those named.
func (c *call) accept(all filters, accepted ...string) error {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !slices.Contains(accepted, name) {
			return c.badFilter(name)
		}
	}
	return nil
}

func (c *call) badFilter(filter string) error {
	if c.daemon.release.oldJSON {
		return refuse(http.StatusBadRequest, "Invalid filter '%s'", filter)
	}
	return refuse(http.StatusBadRequest, "invalid filter '%s'", filter)
}

// parseFilters reads filters in both forms that there are: the values as the keys
// of an object, and as a list.
func (c *call) parseFilters() (filters, error) {
	text := []byte(c.r.URL.Query().Get("filters"))
	all := filters{}
	if len(text) == 0 {
		return all, nil
	}
	var sets map[string]map[string]bool
	err := json.Unmarshal(text, &sets)
	if err == nil {
		for name, values := range sets {
			all[name] = slices.Sorted(maps.Keys(values))
		}
		return all, nil
	}
	if json.Unmarshal(text, &all) != nil {
		if c.daemon.release.oldJSON {
			return nil, refuse(http.StatusBadRequest, "%v", err)
		}
		return nil, refuse(http.StatusBadRequest, "invalid filter")
	}
	for name, values := range all {
		slices.Sort(values)
		all[name] = slices.Compact(values)
	}
	return all, nil
}

// has reports whether there is a filter of that name, with values or not.
func (f filters) has(name string) bool {
	_, ok := f[name]
	return ok
}

// exact reports whether a value is one of the filter's, or there is none.
func (f filters) exact(name, value string) bool {
	return len(f[name]) == 0 || slices.Contains(f[name], value)
}

// prefix reports whether a value begins with one of the filter's, or there is
// none.
func (f filters) prefix(name, value string) bool {
	begins := func(prefix string) bool { return strings.HasPrefix(value, prefix) }
	return len(f[name]) == 0 || slices.ContainsFunc(f[name], begins)
}

// labels reports whether labels are as the filter wants them: each there is, with
// its value if the filter names one. Of several values for the same label only one
// counts.
func (f filters) labels(name string, labels map[string]string) bool {
	wanted := map[string]string{}
	for _, filter := range f[name] {
		label, value, _ := strings.Cut(filter, "=")
		wanted[label] = value
	}
	for label, value := range wanted {
		have, ok := labels[label]
		if !ok || value != "" && value != have {
			return false
		}
	}
	return true
}
