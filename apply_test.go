package swarm_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/specchanges"
	"github.com/swarm-go/swarm/swarmtest"
)

func TestApplyTwiceSendsNothing(t *testing.T) {
	for _, release := range []swarmtest.Release{swarmtest.Engine2010, swarmtest.Newest} {
		synctest.Test(t, func(t *testing.T) {
			client := swarmtest.Start(t, swarmtest.WithRelease(release)).Client()
			objects, err := specchanges.MakeObjects(t.Context(), client)
			require.NoError(t, err)
			changes := objects.Changes()
			for i := 0; i < len(changes); i += swarm.OneIn {
				change := changes[i]
				if change.Needs > 41 {
					continue // of the newer releases alone
				}
				spec := objects.Base("web")
				change.Make(&spec)
				_, err := client.Services.Apply(t.Context(), spec, nil)
				require.NoError(t, err, change.Name)
				again, err := client.Services.Apply(t.Context(), spec, nil)
				require.NoError(t, err, change.Name)
				assert.False(t, again.Changed, change.Name)
			}
		})
	}
}

func TestApplyMakesTheServiceWhatTheSpecSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := swarmtest.Start(t).Client()
		network, err := client.Networks.Create(t.Context(), swarm.NetworkSpec{Name: "backend"})
		require.NoError(t, err)
		spec := editable()
		spec.TaskTemplate.ContainerSpec.Secrets, spec.TaskTemplate.ContainerSpec.Configs, spec.TaskTemplate.ContainerSpec.Privileges = nil, nil, nil
		spec.TaskTemplate.Networks = []swarm.NetworkAttachmentConfig{{Target: "backend"}}
		created, err := client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.True(t, created.Changed)
		assert.Equal(t, swarm.RolloutCreate, created.Rollout.Kind)
		require.NoError(t, client.Services.Wait(t.Context(), created.Rollout, nil))
		_, err = client.Services.Redeploy(t.Context(), "web", nil)
		require.NoError(t, err)
		_, err = client.Services.SetImage(t.Context(), "web", "web:1@sha256:"+digits, nil)
		require.NoError(t, err)
		before, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)

		spec.DropEnv("B")
		spec.DropLabel("a")
		changed, err := client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.True(t, changed.Changed)
		assert.Equal(t, created.ID, changed.ID)
		after, err := client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, []swarm.SpecDifference{
			{Path: "Labels.a", Old: `"1"`},
			{Path: "TaskTemplate.ContainerSpec.Env", Old: `["A=1","B=2","A=3"]`, New: `["A=1","A=3"]`},
		}, swarm.DiffSpec(before.Spec, after.Spec), "all else is as it was: defaults, digest, the force counter, the network's ID")
		assert.Equal(t, network.ID, after.Spec.TaskTemplate.Networks[0].Target)

		spec.TaskTemplate.ContainerSpec.Image = "web:2"
		_, err = client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		after, err = client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, "web:2", after.Spec.TaskTemplate.ContainerSpec.Image)
	})
}

const digits = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestApplyWithoutAModeIsOneReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := swarmtest.Start(t).Client()
		spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(3)}
		spec.TaskTemplate.ContainerSpec.Image = "web:1"
		_, err := client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		spec.Mode = swarm.ServiceMode{}
		change, err := client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.Equal(t, swarm.Replicated(1), change.Rollout.Spec.Mode)
		change, err = client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.False(t, change.Changed)
	})
}

func TestApplyRefusesWhatCannotBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		job := swarm.ServiceSpec{Name: "job", Mode: swarm.ReplicatedJob(1, 0)}
		job.TaskTemplate.ContainerSpec.Image = "job:1"
		_, err := client.Services.Apply(t.Context(), job, nil)
		require.NoError(t, err)
		again, err := client.Services.Apply(t.Context(), job, nil)
		require.NoError(t, err)
		assert.False(t, again.Changed)
		sent := len(engine.Requests())

		changed := job
		changed.PutEnv("A", "1")
		_, err = client.Services.Apply(t.Context(), changed, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid, "it would run again")
		changed.Mode = swarm.Global()
		_, err = client.Services.Apply(t.Context(), changed, nil)
		assert.ErrorIs(t, err, swarm.ErrImmutable)
		_, err = client.Services.Apply(t.Context(), swarm.ServiceSpec{}, nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		for _, request := range engine.Requests()[sent:] {
			assert.Equal(t, http.MethodGet, request.Method)
		}
		job.PutEnv("A", "1")
		again, err = client.Services.Apply(t.Context(), job, &swarm.ServiceModifyOptions{RerunJob: true})
		require.NoError(t, err)
		assert.EqualValues(t, 1, again.Rollout.JobIteration)
	})
}

// A name may be the beginning of the ID of another service, or of several.
func TestApplyTakesNoOtherServiceForItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := swarmtest.Start(t).Client()
		spec := swarm.ServiceSpec{Mode: swarm.Replicated(0)}
		spec.TaskTemplate.ContainerSpec.Image = "web:1"
		initials := map[string]int{}
		for range 60 {
			other, err := client.Services.Create(t.Context(), spec, nil)
			require.NoError(t, err)
			initials[other.ID[:1]]++
		}
		names := map[bool]string{} // by whether it begins one ID or several
		for initial, count := range initials {
			names[count > 1] = initial
		}
		require.NotEmpty(t, names[true])
		for _, name := range names {
			spec.Name = name
			change, err := client.Services.Apply(t.Context(), spec, nil)
			require.NoError(t, err)
			assert.Equal(t, swarm.RolloutCreate, change.Rollout.Kind)
		}
	})
}

func TestAppliesThatRaceMakeOneService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		const count = 10
		changes := make([]*swarm.ServiceChange, count)
		var group sync.WaitGroup
		for i := range count {
			group.Go(func() {
				spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(uint64(i % 2))}
				spec.TaskTemplate.ContainerSpec.Image = "web:1"
				var err error
				changes[i], err = engine.Client().Services.Apply(t.Context(), spec, nil)
				assert.NoError(t, err)
			})
		}
		group.Wait()
		created := 0
		for _, change := range changes {
			assert.Equal(t, changes[0].ID, change.ID)
			if change.Rollout.Kind == swarm.RolloutCreate {
				created++
			}
		}
		assert.Equal(t, 1, created)
	})
}

// A service that is removed between two requests is created again.
func TestApplyBeginsAgainWhenTheServiceGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(0)}
		spec.TaskTemplate.ContainerSpec.Image = "web:1"
		first, err := client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		engine.Inject(swarmtest.Fault{Method: http.MethodPost, Path: "/services/*/update", Times: 1, Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.NoError(t, engine.Client().Services.Remove(t.Context(), "web"))
				next.ServeHTTP(w, r)
			})
		}})
		spec.PutLabel("a", "1")
		second, err := client.Services.Apply(t.Context(), spec, nil)
		require.NoError(t, err)
		assert.NotEqual(t, first.ID, second.ID)
		assert.Equal(t, swarm.RolloutCreate, second.Rollout.Kind)
	})
}

func TestApplyKeepsTheDigestUnlessANewOneIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		image := func(digit string) {
			engine.Image("web:1", swarmtest.Image{Digest: "sha256:" + strings.Repeat(digit, 64), Platforms: linux("amd64")})
		}
		image("1")
		spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(1)}
		spec.TaskTemplate.ContainerSpec.Image = "web:1"
		pin := &swarm.ServiceModifyOptions{Pin: swarm.PinRequired}
		apply := func(opts *swarm.ServiceModifyOptions) (string, bool) {
			change, err := client.Services.Apply(t.Context(), spec, opts)
			require.NoError(t, err)
			return change.Rollout.Spec.TaskTemplate.ContainerSpec.Image, change.Changed
		}
		pinned, changed := apply(pin)
		assert.Equal(t, "web:1@sha256:"+strings.Repeat("1", 64), pinned)
		assert.True(t, changed)
		for _, opts := range []*swarm.ServiceModifyOptions{nil, pin} {
			same, changed := apply(opts)
			assert.Equal(t, pinned, same)
			assert.False(t, changed)
		}
		image("2")
		_, changed = apply(nil)
		assert.False(t, changed)
		newer, changed := apply(pin)
		assert.Equal(t, "web:1@sha256:"+strings.Repeat("2", 64), newer)
		assert.True(t, changed)
	})
}

func TestRedeployPinsToTheNewestDigestOfTheTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := swarmtest.Start(t)
		client := engine.Client()
		old, latest := strings.Repeat("1", 64), strings.Repeat("2", 64)
		engine.Image("web:1", swarmtest.Image{Digest: "sha256:" + latest, Platforms: linux("amd64")})
		spec := swarm.ServiceSpec{Name: "web", Mode: swarm.Replicated(1)}
		spec.TaskTemplate.ContainerSpec.Image = "web:1@sha256:" + old
		_, err := client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		for pin, want := range map[swarm.PinMode]string{swarm.PinOff: old, swarm.PinRequired: latest} {
			_, err = client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
				s.Spec.TaskTemplate.ContainerSpec.Image = "web:1@sha256:" + old
				return nil
			}, nil)
			require.NoError(t, err)
			change, err := client.Services.Redeploy(t.Context(), "web", &swarm.ServiceModifyOptions{Pin: pin})
			require.NoError(t, err)
			assert.Equal(t, "web:1@sha256:"+want, change.Rollout.Spec.TaskTemplate.ContainerSpec.Image)
		}
	})
}
