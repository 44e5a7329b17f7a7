package mobycheck

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// words are our types whose constants are words of the API, and the moby types
// that have the same words, below github.com/moby/moby/api/types.
var words = map[string]string{
	"AppArmorMode":       "swarm.AppArmorMode",
	"DiskUsageType":      "system.DiskUsageObject",
	"EndpointMode":       "swarm.ResolutionMode",
	"EventAction":        "events.Action",
	"EventType":          "events.Type",
	"FailureAction":      "swarm.FailureAction",
	"Isolation":          "container.Isolation",
	"LocalNodeState":     "swarm.LocalNodeState",
	"MountConsistency":   "mount.Consistency",
	"MountType":          "mount.Type",
	"NodeAvailability":   "swarm.NodeAvailability",
	"NodeRole":           "swarm.NodeRole",
	"NodeState":          "swarm.NodeState",
	"Propagation":        "mount.Propagation",
	"Protocol":           "network.IPProtocol",
	"PublishMode":        "swarm.PortConfigPublishMode",
	"PublishState":       "volume.PublishState",
	"Reachability":       "swarm.Reachability",
	"RestartCondition":   "swarm.RestartPolicyCondition",
	"Runtime":            "swarm.RuntimeType",
	"SeccompMode":        "swarm.SeccompMode",
	"TaskState":          "swarm.TaskState",
	"UpdateOrder":        "swarm.UpdateOrder",
	"UpdateState":        "swarm.UpdateState",
	"VolumeAvailability": "volume.Availability",
	"VolumeScope":        "volume.Scope",
	"VolumeSharing":      "volume.SharingMode",
}

// wordsAlone are our types of words that moby has none for, each with its reason.
var wordsAlone = map[string]string{
	"EventAttribute": "names of attributes, plain strings there",
	"JobRemoval":     "no word of the API",
	"ModeKind":       "values of a filter, plain strings there",
	"NetworkType":    "values of a filter, plain strings there",
	"NodeMembership": "values of a filter, plain strings there",
	"Outcome":        "no word of the API",
	"PinMode":        "no word of the API",
	"RolloutKind":    "no word of the API",
	"RolloutPhase":   "no word of the API",
	"Scope":          "plain strings there",
	"ServiceState":   "no word of the API",
	"TLSStatus":      "words of the docker command",
}

// wordsChosen are our types that have only those of moby's words that a user of
// services meets.
var wordsChosen = map[string]bool{"EventAction": true}

// wordDifferences are those that are meant, each with its reason. Every one must
// still be there.
var wordDifferences = map[string]string{}

func TestWordsAreMobys(t *testing.T) {
	ours := constants(t, "github.com/swarm-go/swarm")
	theirs := map[string]map[string][]string{}
	used := map[string]bool{}
	for name, values := range ours {
		their, known := words[name]
		if !known {
			assert.Contains(t, wordsAlone, name, "%q are compared with nothing", values)
			used[name] = true
			continue
		}
		pkg, typ, _ := strings.Cut(their, ".")
		if theirs[pkg] == nil {
			theirs[pkg] = constants(t, "github.com/moby/moby/api/types/"+pkg)
		}
		require.NotEmpty(t, theirs[pkg][typ], their)
		differences := without(name, values, theirs[pkg][typ], "only here")
		if !wordsChosen[name] {
			differences = append(differences, without(name, theirs[pkg][typ], values, "only there")...)
		}
		for _, difference := range differences {
			assert.Contains(t, wordDifferences, difference, "words differ")
			used[difference] = true
		}
	}
	for difference := range wordDifferences {
		assert.True(t, used[difference], "is no difference any more: %s", difference)
	}
	for name := range wordsAlone {
		assert.True(t, used[name], "is gone or compared: %s", name)
	}
	for name := range words {
		assert.Contains(t, ours, name)
	}
}

func without(name string, values, others []string, where string) (missing []string) {
	for _, value := range values {
		if !slices.Contains(others, value) {
			missing = append(missing, fmt.Sprintf("%s %s: %s", name, value, where))
		}
	}
	return missing
}

// constants are the texts that a package has exported constants of, by the
// constants' type.
func constants(t *testing.T, pkg string) map[string][]string {
	t.Helper()
	files, err := exec.Command("go", "list", "-f", `{{range .GoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}`, pkg).Output()
	require.NoError(t, err, pkg)
	found := map[string][]string{}
	for file := range strings.Lines(string(files)) {
		syntax, err := parser.ParseFile(token.NewFileSet(), strings.TrimSuffix(file, "\n"), nil, parser.SkipObjectResolution)
		require.NoError(t, err, pkg)
		ast.Inspect(syntax, func(node ast.Node) bool {
			if spec, ok := node.(*ast.ValueSpec); ok {
				typ, value := constant(spec)
				if value != "" && !slices.Contains(found[typ], value) {
					found[typ] = append(found[typ], value)
				}
			}
			return true
		})
	}
	return found
}

// constant is the type of an exported constant and its text, both empty for
// anything else.
func constant(spec *ast.ValueSpec) (typ, value string) {
	if len(spec.Values) != 1 || !spec.Names[0].IsExported() {
		return "", ""
	}
	literal, ok := spec.Values[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", ""
	}
	if name, ok := spec.Type.(*ast.Ident); ok {
		return name.Name, strings.Trim(literal.Value, `"`)
	}
	return "", ""
}
