package swarm

import (
	"net/url"
	"slices"
	"strings"

	"github.com/swarm-go/swarm/internal/wire"
)

// filters are the engine's list filters: values of one key are alternatives, all
// keys must hold.
type filters map[string]map[string]bool

func (f filters) add(key string, values ...string) {
	for _, value := range values {
		if f[key] == nil {
			f[key] = map[string]bool{}
		}
		f[key][value] = true
	}
}

// addLabels asks for all of the labels; an empty value asks for presence.
func (f filters) addLabels(labels map[string]string) { f.addLabelsBy("label", labels) }

func (f filters) addLabelsBy(filter string, labels map[string]string) {
	for key, value := range labels {
		if value != "" {
			key += "=" + value
		}
		f.add(filter, key)
	}
}

func (f filters) query() url.Values {
	if len(f) == 0 {
		return url.Values{}
	}
	encoded, _ := wire.Marshal(f) // strings and booleans cannot fail
	return url.Values{"filters": {string(encoded)}}
}

// matches is what engines cannot ask for: exact values beside prefixes, which
// managers compare without regard to case. Without either everything matches.
func matches(value string, exact, prefixes []string) bool {
	return matchesBy(value, exact, prefixes, func(value, prefix string) bool {
		return len(value) >= len(prefix) && strings.EqualFold(value[:len(prefix)], prefix)
	})
}

// matchesCase is matches for the names of networks and volumes, of which there are
// two that differ in case alone.
func matchesCase(value string, exact, prefixes []string) bool {
	return matchesBy(value, exact, prefixes, strings.HasPrefix)
}

func matchesBy(value string, exact, prefixes []string, begins func(value, prefix string) bool) bool {
	if len(exact) == 0 && len(prefixes) == 0 || slices.Contains(exact, value) {
		return true
	}
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return begins(value, prefix) })
}
