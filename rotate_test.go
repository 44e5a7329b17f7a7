package swarm_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// kept is a secret or a config, in the words of the tests of both.
type kept struct {
	create func(name, data string, labels map[string]string) string
	ensure func(name, data string, labels map[string]string) (id, newName string, err error)
	rotate func(ctx context.Context, name, data string, opts *swarm.RotateOptions) (*swarm.Rotation, error)
	names  func() []string
	usedBy func(ref string) ([]swarm.Service, error)
	prune  func(prefix string) ([]string, error)
	mount  func(spec *swarm.ServiceSpec, id, name, file string)
	uses   func(service *swarm.Service) []string // "name as file"
	most   int
}

func onSecretsAndConfigs(t *testing.T, test func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept)) {
	onKept(t, "secrets", keptSecrets, test)
	onKept(t, "configs", keptConfigs, test)
}

func onKept(t *testing.T, kind string, kindOf func(*testing.T, *swarm.Client) kept, test func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept)) {
	t.Run(kind, func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			engine := swarmtest.Start(t)
			// Fails with bad data, or with such as is bad in one service.
			engine.Image("web:1", swarmtest.Image{Run: func(c *swarmtest.Container) int {
				for _, file := range []string{"/run/secrets/password", "/password"} {
					data, err := c.ReadFile(file)
					_, where, _ := strings.Cut(string(data), " in ")
					where, _, _ = strings.Cut(where, " ")
					if err == nil && strings.HasPrefix(string(data), "bad") && strings.HasSuffix(c.Service().Spec.Name, where) {
						return 1
					}
				}
				if c.Service().Spec.Mode.Kind() == swarm.ModeReplicatedJob {
					return 0
				}
				c.Wait()
				return 0
			}})
			client := engine.Client(swarm.WithCallTimeout(20 * time.Second))
			test(t, engine, client, kindOf(t, client))
		})
	})
}

func keptSecrets(t *testing.T, client *swarm.Client) kept {
	return kept{
		create: func(name, data string, labels map[string]string) string {
			id, err := client.Secrets.Create(t.Context(), swarm.SecretSpec{Name: name, Data: []byte(data), Labels: labels})
			require.NoError(t, err)
			return id
		},
		ensure: func(name, data string, labels map[string]string) (string, string, error) {
			secret, err := client.Secrets.Ensure(t.Context(), swarm.SecretSpec{Name: name, Data: []byte(data), Labels: labels})
			if err != nil {
				return "", "", err
			}
			for name, value := range labels {
				assert.Equal(t, value, secret.Spec.Labels[name])
			}
			return secret.ID, secret.Spec.Name, nil
		},
		rotate: func(ctx context.Context, name, data string, opts *swarm.RotateOptions) (*swarm.Rotation, error) {
			return client.Secrets.Rotate(ctx, name, []byte(data), opts)
		},
		names: func() []string {
			secrets, err := client.Secrets.List(t.Context(), nil)
			require.NoError(t, err)
			var names []string
			for _, secret := range secrets {
				names = append(names, secret.Spec.Name)
			}
			return names
		},
		usedBy: func(ref string) ([]swarm.Service, error) { return client.Secrets.UsedBy(t.Context(), ref) },
		prune: func(prefix string) ([]string, error) {
			return client.Secrets.Prune(t.Context(), &swarm.SecretListOptions{NamePrefixes: []string{prefix}})
		},
		mount: func(spec *swarm.ServiceSpec, id, name, file string) {
			ref := swarm.MountSecret(id, name)
			ref.File.Name = file
			spec.TaskTemplate.ContainerSpec.Secrets = append(spec.TaskTemplate.ContainerSpec.Secrets, ref)
		},
		uses: func(service *swarm.Service) []string {
			var uses []string
			for _, ref := range service.Spec.TaskTemplate.ContainerSpec.Secrets {
				secret, err := client.Secrets.Inspect(t.Context(), ref.SecretID)
				require.NoError(t, err)
				assert.Equal(t, secret.Spec.Name, ref.SecretName)
				uses = append(uses, ref.SecretName+" as "+ref.File.Name)
			}
			return uses
		},
		most: swarm.MaxSecretSize,
	}
}

func keptConfigs(t *testing.T, client *swarm.Client) kept {
	return kept{
		create: func(name, data string, labels map[string]string) string {
			id, err := client.Configs.Create(t.Context(), swarm.ConfigSpec{Name: name, Data: []byte(data), Labels: labels})
			require.NoError(t, err)
			return id
		},
		ensure: func(name, data string, labels map[string]string) (string, string, error) {
			config, err := client.Configs.Ensure(t.Context(), swarm.ConfigSpec{Name: name, Data: []byte(data), Labels: labels})
			if err != nil {
				return "", "", err
			}
			for name, value := range labels {
				assert.Equal(t, value, config.Spec.Labels[name])
			}
			assert.Equal(t, data, string(config.Spec.Data))
			return config.ID, config.Spec.Name, nil
		},
		rotate: func(ctx context.Context, name, data string, opts *swarm.RotateOptions) (*swarm.Rotation, error) {
			return client.Configs.Rotate(ctx, name, []byte(data), opts)
		},
		names: func() []string {
			configs, err := client.Configs.List(t.Context(), nil)
			require.NoError(t, err)
			var names []string
			for _, config := range configs {
				names = append(names, config.Spec.Name)
			}
			return names
		},
		usedBy: func(ref string) ([]swarm.Service, error) { return client.Configs.UsedBy(t.Context(), ref) },
		prune: func(prefix string) ([]string, error) {
			return client.Configs.Prune(t.Context(), &swarm.ConfigListOptions{NamePrefixes: []string{prefix}})
		},
		mount: func(spec *swarm.ServiceSpec, id, name, file string) {
			ref := swarm.MountConfig(id, name)
			ref.File.Name = file
			spec.TaskTemplate.ContainerSpec.Configs = append(spec.TaskTemplate.ContainerSpec.Configs, ref)
		},
		uses: func(service *swarm.Service) []string {
			var uses []string
			for _, ref := range service.Spec.TaskTemplate.ContainerSpec.Configs {
				config, err := client.Configs.Inspect(t.Context(), ref.ConfigID)
				require.NoError(t, err)
				assert.Equal(t, config.Spec.Name, ref.ConfigName)
				uses = append(uses, ref.ConfigName+" as "+ref.File.Name)
			}
			return uses
		},
		most: swarm.MaxConfigSize,
	}
}

// user makes a service that has it as the file password, and waits for it.
func user(t *testing.T, client *swarm.Client, k kept, service, id, name string, edit func(*swarm.ServiceSpec)) {
	t.Helper()
	spec := imageSpec(service, "web:1")
	spec.UpdateConfig = swarm.UpdateConfig{Monitor: time.Second}
	k.mount(&spec, id, name, "password")
	if edit != nil {
		edit(&spec)
	}
	change, err := client.Services.Create(t.Context(), spec, nil)
	require.NoError(t, err)
	if edit == nil {
		require.NoError(t, client.Services.Wait(t.Context(), change.Rollout, nil))
	}
}

// usesOf are what a service uses, of the spec it has now.
func usesOf(t *testing.T, client *swarm.Client, k kept, service string) []string {
	t.Helper()
	found, err := client.Services.Inspect(t.Context(), service)
	require.NoError(t, err)
	return k.uses(found)
}

func TestRotationGivesServicesNewDataInTheSameFile(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id, other := k.create("db", "one", map[string]string{"team": "a"}), k.create("other", "one", nil)
		user(t, client, k, "a", id, "db", nil)
		user(t, client, k, "b", id, "db", func(s *swarm.ServiceSpec) {
			k.mount(s, other, "other", "else")
			k.mount(s, id, "db", "again")
		})
		user(t, client, k, "c", other, "other", nil)
		rotation, err := k.rotate(t.Context(), "db", "two", nil)
		require.NoError(t, err)
		assert.Equal(t, "db-v2", rotation.Name)
		assert.True(t, rotation.Created)
		assert.Len(t, rotation.Moved, 2)
		assert.Empty(t, rotation.Removed)
		assert.Equal(t, []string{"db-v2 as password"}, usesOf(t, client, k, "a"))
		assert.Equal(t, []string{"db-v2 as password", "other as else", "db-v2 as again"}, usesOf(t, client, k, "b"))
		assert.Equal(t, []string{"other as password"}, usesOf(t, client, k, "c"))
		assert.ElementsMatch(t, []string{"db", "db-v2", "other"}, k.names())
		users, err := k.usedBy("db-v2")
		require.NoError(t, err)
		assert.Len(t, users, 2)
		users, err = k.usedBy("db")
		require.NoError(t, err)
		assert.Empty(t, users)
		_, err = k.usedBy("nothing")
		assert.ErrorIs(t, err, swarm.ErrNotFound)

		again, err := k.rotate(t.Context(), "db", "two", nil)
		require.NoError(t, err)
		assert.Equal(t, &swarm.Rotation{ID: rotation.ID, Name: "db-v2"}, again, "it has this data")

		rotation, err = k.rotate(t.Context(), "db", "three", &swarm.RotateOptions{Keep: new(1)})
		require.NoError(t, err)
		assert.Equal(t, "db-v3", rotation.Name)
		assert.Equal(t, []string{"db"}, rotation.Removed)
		rotation, err = k.rotate(t.Context(), "db", "four", &swarm.RotateOptions{Keep: new(0)})
		require.NoError(t, err)
		assert.Equal(t, []string{"db-v2", "db-v3"}, rotation.Removed)
		assert.Equal(t, []string{"db-v4 as password"}, usesOf(t, client, k, "a"))
		assert.ElementsMatch(t, []string{"db-v4", "other"}, k.names())
		_, name, err := k.ensure("db", "four", map[string]string{"team": "a"})
		require.NoError(t, err)
		assert.Equal(t, "db-v4", name, "labels came along")
	})
}

func TestFailedRotationPutsEverythingBack(t *testing.T) {
	nowhere := func(s *swarm.ServiceSpec) {
		s.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nowhere==yes"}}
	}
	for name, row := range map[string]struct {
		data string
		last func(*swarm.ServiceSpec)
		want error
	}{
		"paused":      {"bad", func(*swarm.ServiceSpec) {}, swarm.ErrRolloutPaused},
		"rolled back": {"bad", func(s *swarm.ServiceSpec) { s.UpdateConfig.FailureAction = "rollback" }, swarm.ErrRolledBack},
		"too late":    {"good", nowhere, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
				id := k.create("db", "one", nil)
				// In the order of names, which is that of the list: the first move, the
				// last does not take to it.
				user(t, client, k, "a", id, "db", func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "robust:1" })
				user(t, client, k, "b", id, "db", func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "robust:1" })
				user(t, client, k, "z", id, "db", row.last)
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				rotation, err := k.rotate(ctx, "db", row.data, &swarm.RotateOptions{Keep: new(0)})
				assert.Nil(t, rotation)
				assert.ErrorIs(t, err, row.want)
				assert.NotErrorIs(t, err, swarm.ErrInvalid)
				for _, service := range []string{"a", "b", "z"} {
					assert.Equal(t, []string{"db as password"}, usesOf(t, client, k, service), service)
				}
				assert.Equal(t, []string{"db"}, k.names())
			})
		})
	}
}

func TestTwoRotationsAtOnceEndOnTheHigherVersion(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		for i := range 2 {
			user(t, client, k, fmt.Sprint("s", i), id, "db", nil)
		}
		rotations, errs := make([]*swarm.Rotation, 3), make([]error, 3)
		var group sync.WaitGroup
		for i := range rotations {
			group.Go(func() {
				time.Sleep(time.Duration(i) * 1500 * time.Millisecond) // in the middle of one another
				rotations[i], errs[i] = k.rotate(t.Context(), "db", fmt.Sprint("data", i), &swarm.RotateOptions{Keep: new(0)})
			})
		}
		group.Wait()
		for i := range rotations {
			require.NoError(t, errs[i])
		}
		for i := range 2 {
			assert.Equal(t, []string{"db-v4 as password"}, usesOf(t, client, k, fmt.Sprint("s", i)))
		}
		assert.Contains(t, k.names(), "db-v4")
		_, err := k.prune("db")
		require.NoError(t, err)
		_, name, err := k.ensure("db", "data2", nil)
		require.NoError(t, err)
		assert.Equal(t, "db-v4", name)
	})
}

func TestARotationThatFailsLeavesWhatAnotherHasMoved(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		user(t, client, k, "s0", id, "db", func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "robust:1" })
		user(t, client, k, "s1", id, "db", nil)
		time.Sleep(time.Minute)
		var bad error
		var group sync.WaitGroup
		group.Go(func() { _, bad = k.rotate(t.Context(), "db", "bad data", nil) })
		time.Sleep(500 * time.Millisecond) // s0 has the bad data, and s1 not yet
		rotation, err := k.rotate(t.Context(), "db", "good", nil)
		require.NoError(t, err)
		group.Wait()
		assert.ErrorIs(t, bad, swarm.ErrRolloutPaused)
		assert.Equal(t, "db-v3", rotation.Name)
		for i := range 2 {
			assert.Equal(t, []string{"db-v3 as password"}, usesOf(t, client, k, fmt.Sprint("s", i)))
		}
	})
}

func TestARotationThatFailsLeavesAnotherDone(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		for i := range 3 {
			user(t, client, k, fmt.Sprint("s", i), id, "db", nil)
		}
		var good error
		var group sync.WaitGroup
		group.Go(func() { _, good = k.rotate(t.Context(), "db", "good", &swarm.RotateOptions{Keep: new(0)}) })
		time.Sleep(500 * time.Millisecond)
		_, err := k.rotate(t.Context(), "db", "bad", nil)
		assert.ErrorIs(t, err, swarm.ErrRolloutPaused)
		group.Wait()
		require.NoError(t, good)
		for i := range 3 {
			assert.Equal(t, []string{"db-v2 as password"}, usesOf(t, client, k, fmt.Sprint("s", i)))
		}
		assert.Equal(t, []string{"db-v2"}, k.names(), "what failed is not newer")
		_, err = k.rotate(t.Context(), "db", "good again", &swarm.RotateOptions{Keep: new(0)})
		require.NoError(t, err)
		assert.Len(t, k.names(), 1)
	})
}

func TestRotationLeavesServicesThatSomebodyElseHasPointedElsewhere(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id, other := k.create("db", "one", nil), k.create("other", "one", nil)
		user(t, client, k, "s0", id, "db", nil)
		user(t, client, k, "s1", id, "db", nil)
		var failed error
		var group sync.WaitGroup
		group.Go(func() { _, failed = k.rotate(t.Context(), "db", "bad in s1", nil) })
		require.NoError(t, client.Services.WaitFor(t.Context(), "s0", func(s *swarm.ServiceSnapshot) (bool, error) {
			return k.uses(s.Service)[0] == "db-v2 as password", nil
		}))
		_, err := client.Services.Modify(t.Context(), "s0", func(s *swarm.Service) error {
			s.Spec.TaskTemplate.ContainerSpec.Secrets, s.Spec.TaskTemplate.ContainerSpec.Configs = nil, nil
			k.mount(&s.Spec, other, "other", "password")
			return nil
		}, nil)
		require.NoError(t, err)
		group.Wait()
		assert.ErrorIs(t, failed, swarm.ErrRolloutPaused)
		assert.Equal(t, []string{"other as password"}, usesOf(t, client, k, "s0"))
		assert.Equal(t, []string{"db as password"}, usesOf(t, client, k, "s1"))
		assert.ElementsMatch(t, []string{"db", "other"}, k.names())
	})
}

func TestOldVersionsAreKeptAsTheNewestRotationSays(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		user(t, client, k, "s0", id, "db", nil)
		var older *swarm.Rotation
		var failed error
		var group sync.WaitGroup
		group.Go(func() {
			older, failed = k.rotate(t.Context(), "db", "two", &swarm.RotateOptions{Keep: new(0)})
		})
		time.Sleep(500 * time.Millisecond)
		_, err := k.rotate(t.Context(), "db", "three", nil)
		require.NoError(t, err)
		group.Wait()
		require.NoError(t, failed)
		assert.Empty(t, older.Removed)
		assert.ElementsMatch(t, []string{"db", "db-v2", "db-v3"}, k.names())
	})
}

// Whatever request fails, or is done and its answer lost or called a conflict: all
// services move, or none, and nothing else stays behind.
func TestRotationsAreWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	for i, effect := range []swarmtest.Effect{swarmtest.Refuse(500, "no room"), swarmtest.CutAnswer(), asksTwice} {
		for skip := range 4 {
			for kind, kindOf := range map[string]func(*testing.T, *swarm.Client) kept{"secrets": keptSecrets, "configs": keptConfigs} {
				onKept(t, fmt.Sprintf("%s, effect %d after %d", kind, i, skip), kindOf, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
					id := k.create("db", "one", nil)
					user(t, client, k, "a", id, "db", nil)
					user(t, client, k, "b", id, "db", nil)
					fault := engine.Inject(swarmtest.Fault{Method: "POST", Skip: skip, Times: 1, Effect: effect})
					rotation, err := k.rotate(t.Context(), "db", "two", nil)
					assert.Equal(t, 1, fault.Hits())
					want, names := "db as password", []string{"db"}
					if rotation != nil {
						want, names = "db-v2 as password", []string{"db", "db-v2"}
					}
					assert.Equal(t, i > 0, err == nil, "%v", err)
					assert.Equal(t, []string{want}, usesOf(t, client, k, "a"), "%v", err)
					assert.Equal(t, []string{want}, usesOf(t, client, k, "b"), "%v", err)
					assert.ElementsMatch(t, names, k.names(), "%v", err)
				})
			}
		}
	}
}

// Data that is there already is taken, also where it was told twice that it is.
func TestRotationsKnowTheirOwnMarks(t *testing.T) {
	for i, effect := range []swarmtest.Effect{swarmtest.CutAnswer(), asksTwice} {
		onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
			user(t, client, k, "a", k.create("db", "one", nil), "db", nil)
			_, _, err := k.ensure("db", "two", nil)
			require.NoError(t, err)
			fault := engine.Inject(swarmtest.Fault{Method: "POST", Times: 1, Effect: effect})
			rotation, err := k.rotate(t.Context(), "db", "two", nil)
			require.NoError(t, err)
			assert.Equal(t, 1, fault.Hits(), i)
			assert.Equal(t, "db-v2", rotation.Name, i)
			assert.ElementsMatch(t, []string{"db", "db-v2"}, k.names(), i)
		})
	}
}

// A call that has ended while the version was made leaves none behind.
func TestRotationsThatEndWhileTheyBeginLeaveNothing(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
		user(t, client, k, "a", k.create("db", "one", nil), "db", nil)
		ctx, cancel := context.WithCancel(t.Context())
		engine.Inject(swarmtest.Fault{Method: "POST", Times: 1, Effect: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				next.ServeHTTP(httptest.NewRecorder(), r)
				cancel()
				<-r.Context().Done()
			})
		}})
		_, err := k.rotate(ctx, "db", "two", nil)
		assert.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, []string{"db"}, k.names())
		assert.Equal(t, []string{"db as password"}, usesOf(t, client, k, "a"))
	})
}

// A conflict that the engine has made of the rotation's own work, and that could not
// be looked into: the service has moved all the same.
func TestServicesMovedInSpiteOfAConflictAreWaitedForAndPutBack(t *testing.T) {
	for data, moves := range map[string]bool{"good": true, "bad in b": false} {
		onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
			id := k.create("db", "one", nil)
			user(t, client, k, "a", id, "db", nil)
			user(t, client, k, "b", id, "db", nil)
			engine.Inject(swarmtest.Fault{Method: "POST", Path: "/services/*/update", Times: 1, Effect: func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					engine.Inject(swarmtest.Fault{Method: "GET", Path: "/services/*", Times: 1, Effect: swarmtest.Refuse(500, "no time")})
					asksTwice(next).ServeHTTP(w, r)
				})
			}})
			rotation, err := k.rotate(t.Context(), "db", data, nil)
			if moves {
				require.NoError(t, err)
				assert.Len(t, rotation.Moved, 2)
				return
			}
			assert.ErrorIs(t, err, swarm.ErrRolloutPaused)
			assert.Equal(t, []string{"db as password"}, usesOf(t, client, k, "a"))
			assert.Equal(t, []string{"db as password"}, usesOf(t, client, k, "b"))
			assert.Equal(t, []string{"db"}, k.names())
		})
	}
}

func TestEnsureLeavesWhatARotationMayTakeBack(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
		user(t, client, k, "a", k.create("db", "one", nil), "db", nil)
		engine.Inject(swarmtest.Fault{Method: "POST", Path: "/services/*/update", Times: 1, Effect: swarmtest.Delay(10 * time.Second)})
		var failed error
		var group sync.WaitGroup
		group.Go(func() { _, failed = k.rotate(t.Context(), "db", "bad", nil) })
		time.Sleep(5 * time.Second)
		require.Contains(t, k.names(), "db-v2")
		_, name, err := k.ensure("db", "bad", nil)
		require.NoError(t, err)
		group.Wait()
		assert.ErrorIs(t, failed, swarm.ErrRolloutPaused)
		assert.Contains(t, k.names(), name)
	})
}

func TestOldVersionsAreNotKeptForWhatWasOnlyEnsured(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		user(t, client, k, "a", k.create("db", "one", nil), "db", nil)
		var rotation *swarm.Rotation
		var failed error
		var group sync.WaitGroup
		group.Go(func() { rotation, failed = k.rotate(t.Context(), "db", "two", &swarm.RotateOptions{Keep: new(0)}) })
		time.Sleep(100 * time.Millisecond)
		_, _, err := k.ensure("db", "three", nil)
		require.NoError(t, err)
		group.Wait()
		require.NoError(t, failed)
		assert.Equal(t, []string{"db"}, rotation.Removed)
		assert.ElementsMatch(t, []string{"db-v2", "db-v3"}, k.names())
	})
}

func TestEnsureIsDoneOnce(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
		id, name, err := k.ensure("db", "one", map[string]string{"a": "1"})
		require.NoError(t, err)
		assert.Equal(t, "db", name)
		changes := len(engine.Changes())
		again, name, err := k.ensure("db", "one", map[string]string{"a": "1"})
		require.NoError(t, err)
		assert.Equal(t, id, again)
		assert.Equal(t, "db", name)
		assert.Len(t, engine.Changes(), changes, "nothing was to be done")
		again, _, err = k.ensure("db", "one", map[string]string{"b": "2"})
		require.NoError(t, err)
		assert.Equal(t, id, again, "but for the labels")

		k.create("db-v2", "somebody else's", nil)
		k.create("db-v02", "somebody else's", nil)
		k.create("db-vx", "somebody else's", nil)
		k.create("dbase", "somebody else's", nil)
		other, name, err := k.ensure("db", "two", nil)
		require.NoError(t, err)
		assert.Equal(t, "db-v3", name)
		assert.NotEqual(t, id, other)
		_, name, err = k.ensure("db", "one", nil)
		require.NoError(t, err)
		assert.Equal(t, "db-v4", name, "what counts is the newest")

		names := make([]string, 5)
		var group sync.WaitGroup
		for i := range names {
			group.Go(func() {
				var err error
				_, names[i], err = k.ensure("together", "data", nil)
				assert.NoError(t, err)
			})
		}
		group.Wait()
		assert.Equal(t, []string{"together", "together", "together", "together", "together"}, names)
	})
}

func TestRotationRefusesWhatEnginesWouldBeforeAnythingIsSent(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
		requests := len(engine.Requests())
		for name, data := range map[string]string{"": "x", "-x": "x", "x-": "x", "a/b": "x", "a b": "x", strings.Repeat("x", 65): "x",
			"empty": "", "big": strings.Repeat("x", k.most+1), "a\nb": "x"} {
			_, err := k.rotate(t.Context(), name, data, nil)
			assert.ErrorIs(t, err, swarm.ErrInvalid, name)
			_, _, err = k.ensure(name, data, nil)
			assert.ErrorIs(t, err, swarm.ErrInvalid, name)
		}
		_, err := k.rotate(t.Context(), "db", "x", &swarm.RotateOptions{Keep: new(-1)})
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.Len(t, engine.Requests(), requests)

		_, err = k.rotate(t.Context(), "db", "x", nil)
		assert.ErrorIs(t, err, swarm.ErrNotFound)
		long := strings.Repeat("x", 64)
		k.create(long, "one", nil)
		_, err = k.rotate(t.Context(), long, "two", nil)
		assert.ErrorIs(t, err, swarm.ErrInvalid)
		assert.ErrorContains(t, err, "longer than 64")
		assert.Equal(t, []string{long}, k.names())
	})
}

func TestJobsKeepTheirDataUnlessTheyMayRunAgain(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		user(t, client, k, "job", id, "db", func(s *swarm.ServiceSpec) {
			s.Mode = swarm.ReplicatedJob(1, 0)
			s.UpdateConfig = swarm.UpdateConfig{}
			s.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: swarm.RestartOnFailure}
		})
		rotation, err := k.rotate(t.Context(), "db", "two", &swarm.RotateOptions{Keep: new(0)})
		require.NoError(t, err)
		assert.Equal(t, []string{"job"}, rotation.Jobs)
		assert.Empty(t, rotation.Moved)
		assert.Equal(t, []string{"db as password"}, usesOf(t, client, k, "job"))
		assert.ElementsMatch(t, []string{"db", "db-v2"}, k.names(), "what is used stays")
		rotation, err = k.rotate(t.Context(), "db", "two", &swarm.RotateOptions{RerunJobs: true, Keep: new(0)})
		require.NoError(t, err)
		assert.Len(t, rotation.Moved, 1)
		assert.Equal(t, []string{"db"}, rotation.Removed)
		assert.Equal(t, []string{"db-v2 as password"}, usesOf(t, client, k, "job"))
	})
}

func TestPruneLeavesWhatIsUsedOrWouldBe(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, _ *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		k.create("db-free", "one", nil)
		k.create("other", "one", nil)
		user(t, client, k, "a", id, "db", nil)
		_, err := k.rotate(t.Context(), "db", "two", nil)
		require.NoError(t, err)
		removed, err := k.prune("db")
		require.NoError(t, err)
		assert.Equal(t, []string{"db-free"}, removed, "a rollback would need db")
		require.NoError(t, client.Services.Remove(t.Context(), "a"))
		removed, err = k.prune("db")
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"db", "db-v2"}, removed)
		assert.Equal(t, []string{"other"}, k.names())
	})
}

func TestPruneLeavesWhatARotationIsAboutToUse(t *testing.T) {
	onSecretsAndConfigs(t, func(t *testing.T, engine *swarmtest.Engine, client *swarm.Client, k kept) {
		id := k.create("db", "one", nil)
		user(t, client, k, "a", id, "db", nil)
		fault := engine.Inject(swarmtest.Fault{Method: "POST", Path: "/services/*", Times: 1, Effect: swarmtest.Delay(10 * time.Second)})
		defer fault.Remove()
		var failed error
		var group sync.WaitGroup
		group.Go(func() { _, failed = k.rotate(t.Context(), "db", "two", nil) })
		time.Sleep(5 * time.Second)
		require.Contains(t, k.names(), "db-v2")
		removed, err := k.prune("db")
		require.NoError(t, err)
		assert.Empty(t, removed)
		group.Wait()
		require.NoError(t, failed)
		assert.Equal(t, []string{"db-v2 as password"}, usesOf(t, client, k, "a"))
	})
}

func TestSecretsWithADriverAreNotRotated(t *testing.T) {
	engine, client := newScriptedEngine(t, "1.51")
	_, err := client.Secrets.Ensure(t.Context(), swarm.SecretSpec{Name: "driven", Driver: &swarm.Driver{Name: "vault"}})
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	engine.answer("GET /secrets", says(200, `[{"ID":"s1","Spec":{"Name":"driven","Driver":{"Name":"vault"}}}]`))
	_, err = client.Secrets.Rotate(t.Context(), "driven", []byte("data"), nil)
	assert.ErrorIs(t, err, swarm.ErrInvalid)
	assert.ErrorContains(t, err, "it has a driver")
}

func TestEnsureTellsTemplatesApart(t *testing.T) {
	client := swarmtest.Start(t).Client()
	secret := func(templating *swarm.Driver) string {
		found, err := client.Secrets.Ensure(t.Context(), swarm.SecretSpec{Name: "s", Data: []byte("data"), Templating: templating})
		require.NoError(t, err)
		return found.Spec.Name
	}
	config := func(templating *swarm.Driver) string {
		found, err := client.Configs.Ensure(t.Context(), swarm.ConfigSpec{Name: "c", Data: []byte("data"), Templating: templating})
		require.NoError(t, err)
		return found.Spec.Name
	}
	assert.Equal(t, "s", secret(nil))
	assert.Equal(t, "c", config(nil))
	for _, same := range []*swarm.Driver{{Name: "golang"}, {Name: "golang", Options: map[string]string{}}, {Name: "golang"}} {
		assert.Equal(t, "s-v2", secret(same))
		assert.Equal(t, "c-v2", config(same))
	}
}

func TestHashesOfSecretsAreSalted(t *testing.T) {
	client := swarmtest.Start(t).Client()
	labels := map[string]bool{}
	for _, name := range []string{"a", "b"} {
		secret, err := client.Secrets.Ensure(t.Context(), swarm.SecretSpec{Name: name, Data: []byte("the same")})
		require.NoError(t, err)
		for _, value := range secret.Spec.Labels {
			assert.NotContains(t, value, "the same")
			labels[value] = true
		}
	}
	assert.Len(t, labels, 4, "two names, two hashes")
	// A label that somebody else has written cannot keep a client busy.
	secret, err := client.Secrets.Inspect(t.Context(), "a")
	require.NoError(t, err)
	for name, value := range secret.Spec.Labels {
		secret.Spec.Labels[name] = strings.Replace(value, "sha256:", "sha256:1000000000", 1)
	}
	require.NoError(t, client.Secrets.SetLabels(t.Context(), "a", secret.Spec.Labels))
	again, err := client.Secrets.Ensure(t.Context(), swarm.SecretSpec{Name: "a", Data: []byte("the same")})
	require.NoError(t, err)
	assert.Equal(t, "a-v2", again.Spec.Name)
}
