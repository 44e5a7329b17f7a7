package swarm

import (
	"maps"
	"slices"
	"strings"
)

// LookupEnv finds a variable in an environment such as the Env of a
// ContainerSpec: entries KEY=value, in order. Of several with one name the last
// counts, as in containers. An entry without = sets nothing: it takes a variable
// of the image away.
func LookupEnv(env []string, name string) (value string, found bool) {
	for _, entry := range slices.Backward(env) {
		if key, value, isSet := strings.Cut(entry, "="); isSet && key == name {
			return value, true
		}
	}
	return "", false
}

// PutEnv returns the environment with a variable set to a value: in the place of
// the first entry of that name, the others are dropped, or else at the end. The
// rest keeps its order, since tasks are replaced when that changes. The list given
// stays as it is.
func PutEnv(env []string, name, value string) []string {
	entry := name + "=" + value
	kept := make([]string, 0, len(env)+1)
	done := false
	for _, old := range env {
		switch {
		case envName(old) != name:
			kept = append(kept, old)
		case !done:
			kept, done = append(kept, entry), true
		}
	}
	if !done {
		kept = append(kept, entry)
	}
	return kept
}

// EnvMap is an environment by names, as [LookupEnv] finds them. It forgets the
// order: to change one variable of a service use [PutEnv].
func EnvMap(env []string) map[string]string {
	values := make(map[string]string, len(env))
	for _, entry := range env {
		if key, value, isSet := strings.Cut(entry, "="); isSet {
			values[key] = value
		}
	}
	return values
}

// EnvList is an environment in the form that a ContainerSpec takes, sorted by
// name, so that equal maps make equal specs.
func EnvList(values map[string]string) []string {
	env := make([]string, 0, len(values))
	for _, name := range slices.Sorted(maps.Keys(values)) {
		env = append(env, name+"="+values[name])
	}
	return env
}

func envName(entry string) string {
	name, _, _ := strings.Cut(entry, "=")
	return name
}
