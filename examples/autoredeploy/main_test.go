package main

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	first  = "sha256:1111111111111111111111111111111111111111111111111111111111111111"
	second = "sha256:2222222222222222222222222222222222222222222222222222222222222222"
	third  = "sha256:3333333333333333333333333333333333333333333333333333333333333333"
)

// world is a swarm with services, one of them looked after.
type world struct {
	*redeployer
	engine *swarmtest.Engine
	said   *bytes.Buffer
}

func newWorld(t *testing.T) *world {
	engine := swarmtest.Start(t, swarmtest.WithoutUnknownImages())
	engine.Image("web:1", swarmtest.Image{Digest: first})
	said := &bytes.Buffer{}
	w := &world{&redeployer{client: engine.Client(), log: slog.New(slog.NewTextHandler(said, nil)), every: time.Minute, patience: time.Minute}, engine, said}
	w.create(t, "web", "web:1", map[string]string{labelWanted: "true"})
	w.create(t, "other", "web:1", nil)
	w.create(t, "no", "web:1", map[string]string{labelWanted: "false"})
	return w
}

func (w *world) create(t *testing.T, name, image string, labels map[string]string) {
	t.Helper()
	spec := swarm.ServiceSpec{Name: name, Labels: labels, TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: image}}}
	change, err := w.client.Services.Create(t.Context(), spec, &swarm.ServiceCreateOptions{Pin: swarm.PinRequired})
	require.NoError(t, err)
	require.NoError(t, w.client.Services.Wait(t.Context(), change.Rollout, nil))
}

func (w *world) image(t *testing.T, name string) string {
	t.Helper()
	service, err := w.client.Services.Inspect(t.Context(), name)
	require.NoError(t, err)
	return service.Spec.TaskTemplate.ContainerSpec.Image
}

func TestServicesFollowTheirTags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		changes := len(w.engine.Changes())
		require.NoError(t, w.look(t.Context()))
		assert.Len(t, w.engine.Changes(), changes, "the tag has not moved")

		w.engine.Image("web:1", swarmtest.Image{Digest: second})
		w.dryRun = true
		require.NoError(t, w.look(t.Context()))
		assert.Len(t, w.engine.Changes(), changes, "a dry run")
		assert.Contains(t, w.said.String(), "image has changed")

		w.dryRun = false
		require.NoError(t, w.look(t.Context()))
		assert.Equal(t, "web:1@"+second, w.image(t, "web"))
		assert.Contains(t, w.said.String(), "redeployed")
		assert.Equal(t, "web:1@"+first, w.image(t, "other"))
		assert.Equal(t, "web:1@"+first, w.image(t, "no"))
		changes = len(w.engine.Changes())
		require.NoError(t, w.look(t.Context()))
		assert.Len(t, w.engine.Changes(), changes, "nothing more to do")
	})
}

func TestImagesThatFailAreTakenBackAndNotTriedAgain(t *testing.T) {
	for name, edit := range map[string]func(*swarm.ServiceSpec){
		"paused":       func(*swarm.ServiceSpec) {},
		"rolled back":  func(s *swarm.ServiceSpec) { s.UpdateConfig.FailureAction = swarm.RollbackOnFailure },
		"never starts": func(s *swarm.ServiceSpec) { s.UpdateConfig.FailureAction = swarm.ContinueOnFailure },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				_, err := w.client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
					edit(&s.Spec)
					return nil
				}, nil)
				require.NoError(t, err)
				w.engine.Image("web:1", swarmtest.Image{Digest: second, Run: func(c *swarmtest.Container) int {
					if strings.HasSuffix(c.Service().Spec.TaskTemplate.ContainerSpec.Image, second) {
						return 3
					}
					c.Wait()
					return 0
				}})
				err = w.look(t.Context())
				assert.ErrorContains(t, err, "service web: rollout of web")
				assert.ErrorContains(t, err, "non-zero exit (3)")
				assert.NotContains(t, err.Error(), "put back: ", "that has worked")
				assert.Equal(t, "web:1@"+first, w.image(t, "web"))
				changes := len(w.engine.Changes())
				require.NoError(t, w.look(t.Context()))
				assert.Len(t, w.engine.Changes(), changes)
				assert.Contains(t, w.said.String(), "still the image that failed")

				w.engine.Image("web:1", swarmtest.Image{Digest: third})
				require.NoError(t, w.look(t.Context()))
				assert.Equal(t, "web:1@"+third, w.image(t, "web"))
				w.engine.Image("web:1", swarmtest.Image{Digest: second})
				require.NoError(t, w.look(t.Context()))
				assert.Equal(t, "web:1@"+second, w.image(t, "web"), "the tag has moved on, and back")
			})
		})
	}
}

// platforms are those of the first image.
var platforms = []swarm.Platform{{Architecture: "amd64", OS: "linux"}}

// during changes a service while it is being redeployed with an image that does not
// run, and returns what came of the redeployment.
func (w *world) during(t *testing.T, ctx context.Context, change func(*swarm.ServiceSpec)) error {
	t.Helper()
	w.engine.Image("web:1", swarmtest.Image{Digest: second, Platforms: []swarm.Platform{{OS: "linux"}}, Run: func(c *swarmtest.Container) int {
		if strings.HasSuffix(c.Service().Spec.TaskTemplate.ContainerSpec.Image, second) {
			c.Sleep(3 * time.Second)
			return 3
		}
		c.Wait()
		return 0
	}})
	done := make(chan error)
	go func() { done <- w.look(ctx) }()
	require.NoError(t, w.client.Services.WaitFor(t.Context(), "web", func(s *swarm.ServiceSnapshot) (bool, error) {
		return strings.HasSuffix(s.Service.Spec.TaskTemplate.ContainerSpec.Image, second), nil
	}))
	_, err := w.client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
		change(&s.Spec)
		return nil
	}, nil)
	require.NoError(t, err)
	return <-done
}

func TestWhatOthersChangeMeanwhileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		err := w.during(t, t.Context(), func(s *swarm.ServiceSpec) {
			s.TaskTemplate.Placement.Constraints = []string{"node.role==manager"}
		})
		assert.ErrorContains(t, err, "service web: rollout of web")
		assert.Equal(t, "web:1@"+first, w.image(t, "web"))
		service, err := w.client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.Equal(t, &swarm.Placement{Constraints: []string{"node.role==manager"}, Platforms: platforms}, service.Spec.TaskTemplate.Placement)
		assert.Equal(t, second, service.Spec.Labels[labelFailed])
	})
}

func TestImagesOfOthersAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Image("other:1", swarmtest.Image{Digest: third})
		require.NoError(t, w.during(t, t.Context(), func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "other:1" }))
		assert.Equal(t, "other:1", w.image(t, "web"))
		assert.Contains(t, w.said.String(), "left alone")
	})
}

func TestAnEndInTheMiddleIsNoFailureOfTheImage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithCancel(t.Context())
		err := w.during(t, ctx, func(*swarm.ServiceSpec) { cancel() })
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, "web:1@"+first, w.image(t, "web"))
		service, err := w.client.Services.Inspect(t.Context(), "web")
		require.NoError(t, err)
		assert.NotContains(t, service.Spec.Labels, labelFailed)
		assert.Equal(t, &swarm.Placement{Platforms: platforms}, service.Spec.TaskTemplate.Placement)
	})
}

func TestImagesThatAreNotPinnedAreGivenTheirDigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, err := w.client.Services.SetImage(t.Context(), "web", "web:1", nil)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, w.look(t.Context()))
		assert.Equal(t, "web:1@"+first, w.image(t, "web"))
		changes := len(w.engine.Changes())
		require.NoError(t, w.look(t.Context()))
		assert.Len(t, w.engine.Changes(), changes)
	})
}

func TestServicesBeingChangedAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		change, err := w.client.Services.Modify(t.Context(), "web", func(s *swarm.Service) error {
			s.Spec.Mode = swarm.Replicated(2)
			s.Spec.UpdateConfig.Delay = time.Minute
			s.Spec.TaskTemplate.ContainerSpec.Args = []string{"changed"}
			return nil
		}, nil)
		require.NoError(t, err)
		time.Sleep(10 * time.Second)
		w.engine.Image("web:1", swarmtest.Image{Digest: second})
		require.NoError(t, w.look(t.Context()))
		assert.Equal(t, "web:1@"+first, w.image(t, "web"))
		assert.Contains(t, w.said.String(), "is being changed, left alone")
		require.NoError(t, w.client.Services.Wait(t.Context(), change.Rollout, nil))
		w.patience = time.Hour
		require.NoError(t, w.look(t.Context()))
		assert.Equal(t, "web:1@"+second, w.image(t, "web"))
	})
}

func TestServicesChangedSinceTheLookAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Image("other:1", swarmtest.Image{Digest: third})
		w.engine.Image("web:1", swarmtest.Image{Digest: second})
		w.engine.Inject(swarmtest.Fault{Path: "/distribution/*/json", Times: 1, Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_, err := w.client.Services.SetImage(t.Context(), "web", "other:1", nil)
				assert.NoError(t, err)
				next.ServeHTTP(rw, r)
			})
		}})
		require.NoError(t, w.look(t.Context()))
		assert.Equal(t, "other:1", w.image(t, "web"))
		assert.Contains(t, w.said.String(), "left alone")
	})
}

func TestJobsAreLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		spec := swarm.ServiceSpec{Name: "job", Labels: map[string]string{labelWanted: "true"}, Mode: swarm.ReplicatedJob(1, 1),
			TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}}}
		_, err := w.client.Services.Create(t.Context(), spec, nil)
		require.NoError(t, err)
		w.engine.Image("web:1", swarmtest.Image{Digest: second})
		require.NoError(t, w.look(t.Context()))
		assert.Equal(t, "web:1@"+second, w.image(t, "web"))
		assert.Equal(t, "web:1", w.image(t, "job"))
	})
}

func TestALostAnswerIsFoundOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for digest, runs := range map[string]bool{second: true, third: false} {
			w.engine.Image("web:1", swarmtest.Image{Digest: digest, Run: func(c *swarmtest.Container) int {
				if strings.HasSuffix(c.Service().Spec.TaskTemplate.ContainerSpec.Image, third) {
					return 3
				}
				c.Wait()
				return 0
			}})
			before := w.image(t, "web")
			fault := w.engine.Inject(swarmtest.Fault{Method: "POST", Times: 3, Effect: swarmtest.CutAnswer()})
			err := w.look(t.Context())
			assert.Equal(t, 3, fault.Hits())
			if runs {
				require.NoError(t, err)
				assert.Equal(t, "web:1@"+digest, w.image(t, "web"))
				continue
			}
			assert.ErrorContains(t, err, "non-zero exit (3)")
			assert.Equal(t, before, w.image(t, "web"))
			assert.Contains(t, w.said.String(), "putting it back")
		}
	})
}

func TestRegistriesThatFailDoNotStopTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.engine.Image("app:1", swarmtest.Image{Digest: first})
		w.create(t, "app", "app:1", map[string]string{labelWanted: "true"})
		w.create(t, "zap", "web:1@"+first, map[string]string{labelWanted: "true"})
		w.engine.Image("app:1", swarmtest.Image{PullError: "the registry is closed"})
		w.engine.Image("web:1", swarmtest.Image{Digest: second})
		err := w.look(t.Context())
		assert.ErrorContains(t, err, "service app: ")
		assert.ErrorContains(t, err, "the registry is closed")
		assert.Equal(t, "web:1@"+second, w.image(t, "web"))
		assert.Equal(t, "web:1@"+second, w.image(t, "zap"))
		assert.Equal(t, "app:1@"+first, w.image(t, "app"))
	})
}

func TestLooksComeAgainAndAgainWithJitter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		before := len(w.engine.Requests())
		assert.ErrorIs(t, w.watch(ctx), context.DeadlineExceeded)
		var times []time.Time
		for _, request := range w.engine.Requests()[before:] {
			if request.Query != "" && request.Method == "GET" {
				times = append(times, request.Time)
			}
		}
		assert.Greater(t, len(times), 49)
		assert.Less(t, len(times), 77)
		pauses := map[time.Duration]bool{}
		for i := range times[1:] {
			pause := times[i+1].Sub(times[i])
			assert.GreaterOrEqual(t, pause, 48*time.Second)
			assert.LessOrEqual(t, pause, 73*time.Second)
			pauses[pause] = true
		}
		assert.Greater(t, len(pauses), 40)
	})
}

func TestTheProgramLooksOnce(t *testing.T) {
	engine := swarmtest.Start(t, swarmtest.WithListen("tcp://127.0.0.1:0"))
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out, []string{"-host", engine.Host(), "-once", "-dry-run", "-registry-auth"}))
	assert.Empty(t, out.String())
	assert.ErrorContains(t, run(t.Context(), &out, []string{"-every", "0s"}), "must be positive")
	assert.ErrorContains(t, run(t.Context(), &out, []string{"-host", "gopher://x"}), "unknown scheme")
}
