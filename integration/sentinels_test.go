//go:build integration

package integration

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// producedBy names, for each Err variable of the library, a test that gets it
// from real engines of every version.
var producedBy = map[string]string{
	"ErrNotFound":         "TestServiceErrorsAreTyped",
	"ErrNameConflict":     "TestServiceErrorsAreTyped",
	"ErrVersionConflict":  "TestChangesOfASwarmAreGuardedByItsVersion",
	"ErrInvalid":          "TestServiceErrorsAreTyped",
	"ErrInUse":            "TestServiceErrorsAreTyped",
	"ErrImmutable":        "TestServiceErrorsAreTyped",
	"ErrUnauthorized":     "TestWrongPasswordOfARegistryIsUnauthorized",
	"ErrCredentials":      "TestPrivateImagesArePinnedAndRunOnOtherNodes",
	"ErrForbidden":        "TestErrorsOfNetworks",
	"ErrUnsupported":      "TestEndpointThatThereIsNotIsUnsupported",
	"ErrNotManager":       "TestSwarmLifeOfSeveralNodes",
	"ErrNoSwarm":          "TestLocalStateIsInactiveOutsideASwarm",
	"ErrAlreadyInSwarm":   "TestSwarmIsMadeWithEveryOption",
	"ErrNoLeader":         "TestSwarmWithoutALeaderSaysSo",
	"ErrLocked":           "TestLockedManagerWorksWithItsKeyAlone",
	"ErrNotLocked":        "TestLockedManagerWorksWithItsKeyAlone",
	"ErrInvalidUnlockKey": "TestLockedManagerWorksWithItsKeyAlone",
	"ErrInProgress":       "TestJoinThatReachesNobodyGoesOnAndFails",
	"ErrUnavailable":      "TestSwarmWithoutALeaderSaysSo",
	"ErrUnreachable":      "TestEngineThatIsGoneIsUnreachable",
	"ErrProtocol":         "TestContainerdIsNoEngine",
	"ErrAmbiguousRef":     "TestPrefixOfSeveralIDsIsAmbiguous",
	"ErrClosed":           "TestEngineThatIsGoneIsUnreachable",
	"ErrLogsIncomplete":   "TestLogsOfANodeThatIsDownAreIncomplete",
	"ErrLogsNotReadable":  "TestLogsThatNoDriverKeepsAreNotReadable",
	"ErrRolledBack":       "TestWaitTellsAFailedUpdateFromADoneOne",
	"ErrRolloutPaused":    "TestWaitTellsAFailedUpdateFromADoneOne",
	"ErrRollbackPaused":   "TestRollbackThatFailsIsPaused",
	"ErrSuperseded":       "TestWaitTellsWhatBecameOfTheService",
	"ErrRemoved":          "TestWaitTellsWhatBecameOfTheService",
	"ErrTasksFailed":      "TestWaitKnowsEveryMode",
	"ErrJobFailed":        "TestWaitKnowsEveryMode",
	"ErrNoEligibleNode":   "TestWaitKnowsEveryMode",
}

// neverProduced are the Err variables, and the causes of others, that no test can
// get from a real engine, with the reason.
var neverProduced = map[string]string{
	"ErrUnavailable, certificates have expired": "a certificate is good for an hour at least, and the kernel has no clock of its own for an engine",
	"ErrUnavailable, Manager is being prepared": "engines say so for less than a millisecond",
}

func TestEverySentinelIsProducedByARealEngine(t *testing.T) {
	functions := testFunctions(t)
	exported := sentinels(t)
	for _, name := range exported {
		if neverProduced[name] != "" {
			continue
		}
		test, ok := producedBy[name]
		if assert.True(t, ok, "%s has neither a test nor a reason for having none", name) {
			require.Contains(t, functions, test, name)
			assert.True(t, mentions(functions, test, name, map[string]bool{}), "%s does not speak of swarm.%s", test, name)
		}
	}
	for name := range maps.Keys(producedBy) {
		assert.Contains(t, exported, name, "there is no such error")
	}
	for what := range maps.Keys(neverProduced) {
		name, _, _ := strings.Cut(strings.ReplaceAll(what, ",", " "), " ")
		assert.Contains(t, exported, name, "there is no such error")
	}
}

// sentinels are the names of the library's Err variables.
func sentinels(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, file := range parseFiles(t, "../*.go") {
		for _, decl := range file.Decls {
			group, ok := decl.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR {
				continue
			}
			for _, spec := range group.Specs {
				for _, name := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(name.Name, "Err") {
						names = append(names, name.Name)
					}
				}
			}
		}
	}
	require.NotEmpty(t, names)
	slices.Sort(names)
	return names
}

// testFunctions are the functions of this package by their names.
func testFunctions(t *testing.T) map[string]*ast.FuncDecl {
	t.Helper()
	functions := map[string]*ast.FuncDecl{}
	for _, file := range parseFiles(t, "*_test.go") {
		for _, decl := range file.Decls {
			if function, ok := decl.(*ast.FuncDecl); ok && function.Recv == nil {
				functions[function.Name.Name] = function
			}
		}
	}
	return functions
}

func parseFiles(t *testing.T, pattern string) []*ast.File {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	require.NoError(t, err)
	var files []*ast.File
	for _, path := range paths {
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		files = append(files, file)
	}
	return files
}

// mentions tells whether a function, or one that it uses, speaks of swarm.NAME.
func mentions(functions map[string]*ast.FuncDecl, function, name string, seen map[string]bool) bool {
	declared := functions[function]
	if declared == nil || seen[function] {
		return false
	}
	seen[function] = true
	found := false
	ast.Inspect(declared, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.SelectorExpr:
			of, ok := n.X.(*ast.Ident)
			found = found || ok && of.Name == "swarm" && n.Sel.Name == name
		case *ast.Ident:
			found = found || mentions(functions, n.Name, name, seen)
		}
		return !found
	})
	return found
}

func TestEngineThatIsGoneIsUnreachable(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		// One attempt may still take the connection that there was.
		client := newClient(t, e, swarm.WithRetry(swarm.RetryPolicy{ReadAttempts: 2}))
		require.NoError(t, client.System.Ping(t.Context()))
		require.NoError(t, e.Kill(t.Context()))
		assert.ErrorIs(t, client.System.Ping(t.Context()), swarm.ErrUnreachable)
		require.NoError(t, e.Start(t.Context()))
		require.NoError(t, client.System.Ping(t.Context()))
		require.NoError(t, client.Close())
		assert.ErrorIs(t, client.System.Ping(t.Context()), swarm.ErrClosed)
	})
}

// An engine starts a containerd, which listens on a socket too.
func TestContainerdIsNoEngine(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		socket := filepath.Join(filepath.Dir(e.Host), "docker", "containerd", "containerd.sock")
		client, err := swarm.New(swarm.WithHost("unix://" + strings.TrimPrefix(socket, "unix:")))
		require.NoError(t, err)
		defer client.Close()
		_, err = client.Services.List(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrProtocol)
	})
}

func TestEndpointThatThereIsNotIsUnsupported(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "/no/such/endpoint", nil)
		require.NoError(t, err)
		_, err = newClient(t, e).Do(request)
		assert.ErrorIs(t, err, swarm.ErrUnsupported)
		_, err = newClient(t, e, swarm.WithAPIVersion("1.99")).Services.List(t.Context(), nil)
		assert.ErrorIs(t, err, swarm.ErrUnsupported)
	})
}

func TestWrongPasswordOfARegistryIsUnauthorized(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		listener, err := e.Listen(t.Context(), "tcp", "127.0.0.1:5000")
		require.NoError(t, err)
		registry := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, _ := r.BasicAuth(); user != "me" || password != "right" {
				w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
				w.WriteHeader(http.StatusUnauthorized)
			}
		})}
		go registry.Serve(listener)
		defer registry.Close()
		client := newClient(t, e)
		auth := swarm.RegistryAuth{Username: "me", Password: "right", ServerAddress: "127.0.0.1:5000"}
		_, err = client.System.CheckAuth(t.Context(), auth)
		require.NoError(t, err)
		auth.Password = "s3cret"
		_, err = client.System.CheckAuth(t.Context(), auth)
		assert.ErrorIs(t, err, swarm.ErrUnauthorized)
		assert.NotContains(t, err.Error(), "s3cret")
	})
}

func TestPrefixOfSeveralIDsIsAmbiguous(t *testing.T) {
	onEveryOwnEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		require.NoError(t, e.InitSwarm(t.Context()))
		first := map[byte]bool{}
		for range 37 { // as many as there are letters and digits, and one
			change, err := client.Services.Create(t.Context(), swarm.ServiceSpec{Mode: swarm.Replicated(0),
				TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: engines.Image1}}}, nil)
			require.NoError(t, err)
			if !first[change.ID[0]] {
				first[change.ID[0]] = true
				continue
			}
			_, err = client.Services.Inspect(t.Context(), change.ID[:1])
			assert.ErrorIs(t, err, swarm.ErrAmbiguousRef)
			return
		}
		t.Fatal("no two IDs begin alike")
	})
}

func TestLogsThatNoDriverKeepsAreNotReadable(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""))
		spec.TaskTemplate.ContainerSpec.Args = []string{"-lines", "3"}
		spec.TaskTemplate.LogDriver = &swarm.Driver{Name: "none"}
		id := deploy(t, client, spec)
		tasks, err := client.Services.Tasks(t.Context(), id)
		require.NoError(t, err)
		path := "/containers/" + tasks[0].Status.ContainerStatus.ContainerID + "/logs?stdout=1"
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
		require.NoError(t, err)
		_, err = client.Do(request)
		assert.ErrorIs(t, err, swarm.ErrLogsNotReadable)

		request, err = http.NewRequestWithContext(t.Context(), http.MethodGet, "/services/"+id+"/logs?stdout=1", nil)
		require.NoError(t, err)
		response, err := client.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		said, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		assert.Empty(t, said, "of services engines do not say it")
		assert.ErrorIs(t, logsError(client.Services.Logs(t.Context(), id, nil)), swarm.ErrLogsNotReadable)
	})
}

func TestLogsOfANodeThatIsDownAreIncomplete(t *testing.T) {
	t.Parallel()
	if withoutLab(t) {
		return
	}
	for _, version := range testEngines() {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			nodes := startMembers(t, version, version)
			formSwarm(t, 1, nodes)
			manager, worker := nodes[0], nodes[1]
			require.NoError(t, manager.LoadImages(t.Context()))
			require.NoError(t, worker.LoadImages(t.Context()))
			spec := testSpec("printer", "-lines", "3")
			spec.Mode = swarm.Global()
			change, err := manager.client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			require.NoError(t, wait(t, manager.client, change.Rollout))
			id := worker.nodeID(t)
			tasks, err := manager.client.Tasks.List(t.Context(), &swarm.TaskListOptions{Nodes: []string{id}})
			require.NoError(t, err)
			require.Len(t, tasks, 1)
			eventually(t, func(c *assert.CollectT) {
				logs, err := manager.client.Tasks.Logs(t.Context(), tasks[0].ID, nil)
				stdout, stderr := readLogs(t, logs, err)
				assert.Equal(c, 6, strings.Count(stdout+stderr, "\n"))
			})
			require.NoError(t, worker.Kill(t.Context()))
			eventually(t, func(c *assert.CollectT) { assert.Equal(c, swarm.NodeDown, manager.node(t, id).Status.State) })

			// 20.10 may wait for that node without end; the library asks all of them then.
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			logs, err := manager.client.Services.Logs(ctx, change.ID, nil)
			require.NoError(t, err)
			lines := map[string]int{}
			for entry, err := range logs.Entries() {
				if err == nil {
					lines[entry.NodeID]++
					continue
				}
				assert.ErrorIs(t, err, swarm.ErrLogsIncomplete)
				var incomplete *swarm.LogsIncompleteError
				require.ErrorAs(t, err, &incomplete)
				assert.Equal(t, swarm.LogsIncompleteError{Nodes: []string{id}, Tasks: []string{tasks[0].ID}}, *incomplete)
				lines[""]++
			}
			assert.Equal(t, map[string]int{manager.nodeID(t): 6, "": 1}, lines)
		})
	}
}

func TestRollbackThatFailsIsPaused(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := testSpec(serviceName(t, ""), "-exit", "3", "-after", "100ms")
		spec.RollbackConfig = swarm.UpdateConfig{FailureAction: swarm.PauseOnFailure, Monitor: 3 * time.Second}
		spec.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartNone}
		change, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		removeLater(t, client, change.ID)
		updated := update(t, client, change.ID, func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Args = nil })
		require.NoError(t, wait(t, client, updated.Rollout))
		back, err := client.Services.Rollback(t.Context(), change.ID, nil)
		require.NoError(t, err)
		assert.ErrorIs(t, wait(t, client, back.Rollout), swarm.ErrRollbackPaused)
	})
}
