package swarmtest

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
)

// inSwarm is an engine that is in a swarm, and a client of it that does not
// repeat requests.
func inSwarm(t *testing.T) (*Engine, *swarm.Client) {
	e := Start(t, WithoutSwarm())
	client := e.Client(swarm.WithRetry(swarm.RetryPolicy{ReadAttempts: 1, WriteAttempts: 1}))
	_, err := client.Swarm.Init(t.Context(), nil)
	require.NoError(t, err)
	return e, client
}

// servicesMade are the changes that made services.
func servicesMade(e *Engine) (made []Change) {
	for _, change := range e.Changes() {
		if change.Kind == "service" && change.Action == "create" {
			made = append(made, change)
		}
	}
	return made
}

func webSpec() swarm.ServiceSpec {
	return swarm.ServiceSpec{
		Name:         "web",
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "nginx:1.29"}},
		Mode:         swarm.Replicated(0),
	}
}

func TestJournalTellsWhatARequestHasDone(t *testing.T) {
	e, client := inSwarm(t)
	change, err := client.Services.Create(t.Context(), webSpec(), nil)
	require.NoError(t, err)
	require.NoError(t, client.Services.Remove(t.Context(), change.ID))

	requests := map[int]Request{}
	for i, request := range e.Requests() {
		assert.Equal(t, i+1, request.Number)
		assert.Equal(t, "node-1", request.Node)
		assert.True(t, request.Done)
		requests[request.Number] = request
	}
	made := servicesMade(e)
	require.Len(t, made, 1)
	assert.Equal(t, change.ID, made[0].ID)
	assert.Equal(t, "web", made[0].Name)
	assert.NotZero(t, made[0].Version)
	request := requests[made[0].Request]
	assert.Equal(t, http.MethodPost, request.Method)
	assert.True(t, strings.HasSuffix(request.Path, "/services/create"), request.Path)
	assert.Equal(t, http.StatusCreated, request.Status)

	changes := e.Changes()
	gone := changes[len(changes)-1]
	assert.Equal(t, "remove", gone.Action)
	assert.Equal(t, change.ID, gone.ID)
	assert.Equal(t, http.MethodDelete, requests[gone.Request].Method)
}

func TestWritesWhoseAnswerIsLostHappen(t *testing.T) {
	for name, effect := range map[string]Effect{
		"CutAnswer": CutAnswer(),
		"FailAfter": FailAfter(http.StatusInternalServerError, "rpc error: code = Unknown desc = raft: failed to process the request: node lost leader status"),
	} {
		t.Run(name, func(t *testing.T) {
			e, client := inSwarm(t)
			e.Inject(Fault{Method: http.MethodPost, Path: "/services/create", Effect: effect})
			_, err := client.Services.Create(t.Context(), webSpec(), nil)
			_, unknown := errors.AsType[*swarm.OutcomeUnknownError](err)
			assert.True(t, unknown, "%v", err)
			assert.Len(t, servicesMade(e), 1)
			_, err = client.Services.Inspect(t.Context(), "web")
			assert.NoError(t, err)
		})
	}
}

func TestWritesThatAreCutOffBeforeTheEngineDoNotHappen(t *testing.T) {
	e, client := inSwarm(t)
	e.Inject(Fault{Path: "/services/create", Times: 1, Effect: Cut()})
	_, err := client.Services.Create(t.Context(), webSpec(), nil)
	require.Error(t, err)
	assert.Empty(t, servicesMade(e))
}

func TestConflictsAreSomebodyElsesWrites(t *testing.T) {
	e, client := inSwarm(t)
	service, err := client.Services.Create(t.Context(), webSpec(), nil)
	require.NoError(t, err)
	info, err := client.System.Info(t.Context())
	require.NoError(t, err)

	writes := map[string]func() error{
		"service": func() error {
			found, err := client.Services.Inspect(t.Context(), service.ID)
			require.NoError(t, err)
			found.Spec.Labels = map[string]string{"a": "1"}
			_, err = client.Services.Update(t.Context(), found, nil)
			return err
		},
		"node": func() error {
			found, err := client.Nodes.Inspect(t.Context(), info.Swarm.NodeID)
			require.NoError(t, err)
			found.Spec.Labels = map[string]string{"a": "1"}
			return client.Nodes.Update(t.Context(), found)
		},
		"swarm": func() error {
			found, err := client.Swarm.Inspect(t.Context())
			require.NoError(t, err)
			found.Spec.Labels = map[string]string{"a": "1"}
			return client.Swarm.Update(t.Context(), found)
		},
	}
	for name, write := range writes {
		injection := e.Inject(Fault{Method: http.MethodPost, Effect: e.Conflict()})
		assert.ErrorIs(t, write(), swarm.ErrVersionConflict, name)
		injection.Remove()
		assert.NoError(t, write(), name)
	}
}

func TestModifyOutlivesConflicts(t *testing.T) {
	e, client := inSwarm(t)
	_, err := client.Services.Create(t.Context(), webSpec(), nil)
	require.NoError(t, err)
	conflicts := e.Inject(Fault{Path: "/services/*/update", Times: 3, Effect: e.Conflict()})
	change, err := client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
		s.Spec.Labels = map[string]string{"a": "1"}
		return nil
	}, nil)
	require.NoError(t, err)
	assert.True(t, change.Changed)
	assert.Equal(t, 3, conflicts.Hits())
}

func TestLostEventsAreMissingInTheMiddle(t *testing.T) {
	e, client := inSwarm(t)
	began := time.Now()
	for _, name := range []string{"one", "two", "three"} {
		_, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: name, Data: []byte("x")})
		require.NoError(t, err)
	}
	e.Inject(Fault{Path: "/events", Effect: LoseEvents(1, 1)})
	var seen []string
	for event, err := range client.Events.Watch(t.Context(), &swarm.EventOptions{
		Types: []swarm.EventType{swarm.EventSecret}, Since: began.Add(-time.Second), Until: time.Now(),
	}) {
		require.NoError(t, err)
		seen = append(seen, event.Actor.Attributes["name"])
	}
	assert.Equal(t, []string{"one", "three"}, seen)
}

func TestJournalTellsOfWhatIsOnOneNode(t *testing.T) {
	e, client := inSwarm(t)
	_, err := client.Volumes.Create(t.Context(), swarm.VolumeSpec{Name: "data"})
	require.NoError(t, err)
	changes := e.Changes()
	last := changes[len(changes)-1]
	assert.Equal(t, "node-1", last.Node)
	assert.Equal(t, "volume create data", last.Kind+" "+last.Action+" "+last.Name)
	assert.Zero(t, last.Version)
	requests := e.Requests()
	assert.Equal(t, "POST", requests[last.Request-1].Method)
	assert.True(t, strings.HasSuffix(requests[last.Request-1].Path, "/volumes/create"))
}

func TestImagesArePrintedWithoutTheirPasswords(t *testing.T) {
	image := Image{Digest: "sha256:1", Username: "me", Password: "hush"}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d"} {
		printed := fmt.Sprintf(verb, image) + fmt.Sprintf(verb, &image) + fmt.Sprintf(verb, []Image{image})
		assert.NotContains(t, printed, "hush", verb)
		assert.NotContains(t, printed, fmt.Sprintf("%x", "hush"), verb)
	}
	assert.Contains(t, fmt.Sprintf("%+v", image), "Username:me Password:(redacted)")
	assert.NotContains(t, fmt.Sprintf("%+v", Image{}), "redacted")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "image", image)
	assert.NotContains(t, log.String(), "hush")
}
