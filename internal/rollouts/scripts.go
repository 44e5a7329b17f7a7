package rollouts

import (
	"context"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// Script is a rollout and what has to come of waiting for it.
type Script struct {
	// Name tells what happens.
	Name string
	// Run makes the service and the change that is waited for.
	Run func(s *scene) swarm.Rollout
	// During disturbs the rollout, After so long: 400ms if that is zero.
	During func(s *scene)
	After  time.Duration
	// Want is what the wait ends with, WantJob where the service is a job,
	// WantGlobal, unless nil, where nodes decide how many tasks there are, and
	// WantReplicatedJob, unless nil, with that mode.
	Want, WantJob, WantGlobal, WantReplicatedJob error
	// Calm tells that no task is new, so that there is nothing to monitor.
	Calm bool
	// Important scripts are played on real engines too, those that are ForJobs
	// also with jobs: of the others several are the same to a job. EmbeddedOnly
	// scripts need what real engines have not got.
	Important, ForJobs, EmbeddedOnly bool
}

type edit = func(*swarm.ServiceSpec)

var deadline = context.DeadlineExceeded

func args(args ...string) edit {
	return func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Args = args }
}

func image(ref string) edit {
	return func(s *swarm.ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = ref }
}

func restart(condition swarm.RestartCondition, attempts uint64) edit {
	return func(s *swarm.ServiceSpec) {
		s.TaskTemplate.RestartPolicy = &swarm.RestartPolicy{Condition: condition, Delay: new(500 * time.Millisecond)}
		if attempts > 0 {
			s.TaskTemplate.RestartPolicy.MaxAttempts = new(attempts)
		}
	}
}

// onFailure is what a service's update does when tasks fail. Jobs have none: they
// are not tried again.
func onFailure(action swarm.FailureAction) edit {
	return func(s *swarm.ServiceSpec) {
		if isJob(s) {
			restart(swarm.RestartNone, 0)(s)
			return
		}
		s.UpdateConfig.FailureAction = action
	}
}

func isJob(s *swarm.ServiceSpec) bool { return s.Mode.ReplicatedJob != nil || s.Mode.GlobalJob != nil }

// forServices is an edit that jobs are left out of.
func forServices(edit edit) edit {
	return func(s *swarm.ServiceSpec) {
		if !isJob(s) {
			edit(s)
		}
	}
}

func startFirst(s *swarm.ServiceSpec) { s.UpdateConfig.Order = swarm.StartFirst }

func nowhere(s *swarm.ServiceSpec) {
	s.TaskTemplate.Placement = &swarm.Placement{Constraints: []string{"node.labels.nowhere==yes"}}
}

// sick is a health check that fails. A job's container ends well when it is
// stopped for that, so there it fails by itself.
func sick(s *swarm.ServiceSpec) {
	if isJob(s) {
		crashing("200ms")(s)
		return
	}
	s.TaskTemplate.ContainerSpec.Healthcheck = &swarm.Healthcheck{Test: []string{"CMD", "/testimage", "healthcheck", "1"},
		Interval: 200 * time.Millisecond, Retries: 1}
}

// replicas sets the number of tasks where there is one.
func replicas(n uint64) edit {
	return func(s *swarm.ServiceSpec) {
		switch {
		case s.Mode.Replicated != nil:
			s.Mode = swarm.Replicated(n)
		case s.Mode.ReplicatedJob != nil:
			s.Mode = swarm.ReplicatedJob(n, n)
		}
	}
}

// creating is a script that begins with nothing.
func creating(edits ...edit) func(s *scene) swarm.Rollout {
	return func(s *scene) swarm.Rollout {
		spec := s.spec()
		for _, edit := range edits {
			edit(&spec)
		}
		return s.create(spec)
	}
}

// changing is a script that begins with a service that is all right.
func changing(edits ...edit) func(s *scene) swarm.Rollout {
	return func(s *scene) swarm.Rollout {
		s.deploy()
		return s.change(edits...)
	}
}

// crashing ends a container with code 3 after a while; a job's too.
func crashing(after string) edit { return args("-exit", "3", "-after", after) }

// long is a change that takes a while: jobs run for a time.
func long(s *swarm.ServiceSpec) {
	if isJob(s) {
		args("-exit", "0", "-after", "5s")(s)
	}
}

// Scripts are all scripts.
var Scripts = []Script{
	{Name: "create", Run: creating()},
	{Name: "create-image-missing", Run: func(s *scene) swarm.Rollout {
		spec := s.spec()
		spec.TaskTemplate.ContainerSpec.Image = s.Missing
		return s.create(spec)
	}, Want: deadline, WantJob: deadline, Important: true, ForJobs: true},
	{Name: "create-nowhere", Run: creating(nowhere), Want: deadline, WantJob: deadline, WantGlobal: swarm.ErrNoEligibleNode},
	{Name: "create-one-shot", Run: creating(args("-exit", "0", "-after", "100ms"), restart(swarm.RestartNone, 0))},
	{Name: "create-crashing-for-good", Run: creating(crashing("100ms"), restart(swarm.RestartNone, 0)),
		Want: swarm.ErrTasksFailed, WantJob: swarm.ErrJobFailed, Important: true, ForJobs: true},
	{Name: "create-crashing-some-times", Run: creating(crashing("50ms"), restart(swarm.RestartOnFailure, 2)),
		Want: swarm.ErrTasksFailed, WantJob: swarm.ErrJobFailed},
	{Name: "create-crashing-for-ever", Run: creating(crashing("300ms")), Want: deadline, WantJob: deadline, Important: true},
	{Name: "create-unhealthy", Run: creating(sick), Want: deadline, WantJob: deadline},
	{Name: "image-comes-later", Run: func(s *scene) swarm.Rollout {
		s.Embedded.Image("late:1", swarmtest.Image{PullError: "not yet"})
		return creating(image("late:1"))(s)
	}, During: func(s *scene) { s.Embedded.Image("late:1", swarmtest.Image{Run: Program}) }, After: 2 * time.Second, EmbeddedOnly: true},

	{Name: "update", Run: changing()},
	{Name: "update-start-first", Run: changing(forServices(startFirst)), Important: true, ForJobs: true},
	{Name: "update-all-at-once", Run: changing(forServices(func(s *swarm.ServiceSpec) { s.UpdateConfig.Parallelism = new(uint64(0)) }))},
	{Name: "update-with-pauses", Run: changing(forServices(func(s *swarm.ServiceSpec) { s.UpdateConfig.Delay = 1500 * time.Millisecond }))},
	{Name: "update-paused", Run: changing(crashing("50ms"), onFailure(swarm.PauseOnFailure)),
		Want: swarm.ErrRolloutPaused, WantJob: swarm.ErrJobFailed, Important: true, ForJobs: true},
	{Name: "update-rolled-back", Run: changing(crashing("50ms"), onFailure(swarm.RollbackOnFailure)),
		Want: swarm.ErrRolledBack, WantJob: swarm.ErrJobFailed, Important: true},
	{Name: "update-unhealthy", Run: changing(sick, onFailure(swarm.RollbackOnFailure)),
		Want: swarm.ErrRolledBack, WantJob: swarm.ErrJobFailed, Important: true},
	{Name: "update-unhealthy-start-first", Run: changing(sick, forServices(startFirst), onFailure(swarm.PauseOnFailure)),
		Want: swarm.ErrRolloutPaused, WantJob: swarm.ErrJobFailed},
	{Name: "update-crashing-within-the-monitor", Run: changing(crashing("500ms"), onFailure(swarm.RollbackOnFailure)),
		Want: swarm.ErrRolledBack, WantJob: swarm.ErrJobFailed, Important: true},
	{Name: "update-crashing-after-the-monitor", Run: func(s *scene) swarm.Rollout {
		s.deploy(replicas(1))
		return s.change(forServices(crashing("15s")), long, onFailure(swarm.RollbackOnFailure))
	}, Important: true},
	{Name: "update-image-missing", Run: func(s *scene) swarm.Rollout {
		s.deploy()
		return s.change(image(s.Missing), onFailure(swarm.RollbackOnFailure))
	}, Want: swarm.ErrRolledBack, WantJob: swarm.ErrJobFailed, Important: true},
	{Name: "update-continuing", Run: changing(crashing("50ms"), forServices(onFailure(swarm.ContinueOnFailure))),
		Want: deadline, WantJob: deadline},
	{Name: "update-continuing-with-nothing-running", Run: changing(crashing("50ms"), onFailure(swarm.ContinueOnFailure), restart(swarm.RestartNone, 0)),
		Want: swarm.ErrTasksFailed, WantJob: swarm.ErrJobFailed, Important: true},
	{Name: "update-nowhere", Run: changing(nowhere), Want: deadline, WantJob: deadline, WantGlobal: swarm.ErrNoEligibleNode},
	{Name: "update-label-only", Run: func(s *scene) swarm.Rollout {
		s.deploy()
		return s.modify(func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} })
	}, Calm: true},
	{Name: "scale-up", Run: func(s *scene) swarm.Rollout {
		s.deploy()
		return s.modify(replicas(4), func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} })
	}},
	{Name: "scale-down", Run: func(s *scene) swarm.Rollout {
		s.deploy()
		return s.modify(replicas(1), func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} })
	}, Calm: true},
	{Name: "scale-to-zero", Run: func(s *scene) swarm.Rollout {
		s.deploy()
		return s.modify(replicas(0), func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"a": "b"} })
	}, Calm: true, Important: true},
	{Name: "scale-from-zero", Run: func(s *scene) swarm.Rollout {
		s.deploy(replicas(0))
		return s.change(replicas(2))
	}},
	{Name: "rollback", Run: func(s *scene) swarm.Rollout {
		changing()(s)
		s.until(func(t truth) bool {
			return s.oracle.asWanted(t) && at(t.service, "UpdateStatus", "State") != "updating"
		})
		return s.rollback()
	}, Important: true},
	{Name: "rollback-of-a-paused-update", Run: func(s *scene) swarm.Rollout {
		changing(crashing("50ms"), onFailure(swarm.PauseOnFailure))(s)
		s.until(func(t truth) bool {
			return s.isJob() && t.hasFailed() || at(t.service, "UpdateStatus", "State") == "paused"
		})
		return s.rollback()
	}},
	{Name: "rollback-that-fails", Run: rollbackToBroken, Want: swarm.ErrRollbackPaused, WantJob: swarm.ErrJobFailed, EmbeddedOnly: true},
	{Name: "update-rolled-back-in-vain", Run: func(s *scene) swarm.Rollout {
		s.Embedded.Image("breaks:1", swarmtest.Image{Run: Program})
		s.deploy(image("breaks:1"))
		s.Embedded.Image("breaks:1", swarmtest.Image{PullError: "gone"})
		return s.change(image(s.Image), crashing("50ms"), onFailure(swarm.RollbackOnFailure))
	}, Want: swarm.ErrRollbackPaused, WantJob: swarm.ErrJobFailed, EmbeddedOnly: true},

	{Name: "removed-while-waiting", Run: changing(forServices(nowhere), long), During: func(s *scene) {
		require.NoError(s.t, s.Client.Services.Remove(context.Background(), s.name))
	}, Want: swarm.ErrRemoved, WantJob: swarm.ErrRemoved, WantGlobal: swarm.ErrRemoved, Important: true, ForJobs: true},
	{Name: "two-writers", Run: changing(long), During: func(s *scene) {
		s.modify(func(spec *swarm.ServiceSpec) {
			spec.TaskTemplate.ContainerSpec.Env = []string{"REVISION=other"}
		})
	}, Want: swarm.ErrSuperseded, WantJob: swarm.ErrSuperseded, Important: true, ForJobs: true},
	{Name: "two-writers-of-labels", Run: changing(long), During: func(s *scene) {
		s.modify(func(spec *swarm.ServiceSpec) { spec.Labels = map[string]string{"writer": "other"} })
	}, Want: swarm.ErrSuperseded, WantJob: swarm.ErrSuperseded},
	{Name: "two-writers-one-after-the-other", Run: func(s *scene) swarm.Rollout {
		first := changing()(s)
		revision := s.oracle.revision
		s.change()
		s.oracle.revision = revision
		return first
	}, Want: swarm.ErrSuperseded, WantJob: swarm.ErrSuperseded},
	{Name: "somebody-else-waits", Run: func(s *scene) swarm.Rollout {
		changing()(s)
		rollout, err := s.Client.Services.CurrentRollout(s.t.Context(), s.name)
		require.NoError(s.t, err)
		return rollout
	}},
	// Nobody takes the place of a task of a replicated job on a node that is down.
	{Name: "node-down-mid-way", Run: changing(long), During: func(s *scene) {
		s.worker().Stop()
		s.oracle.addPlaces(-1)
	}, After: 50 * time.Millisecond, EmbeddedOnly: true, WantReplicatedJob: deadline},
	{Name: "node-drained-mid-way", Run: changing(long, forServices(onFailure(swarm.ContinueOnFailure))), During: func(s *scene) {
		require.NoError(s.t, s.Client.Nodes.Drain(context.Background(), s.worker().ID(), nil))
		s.oracle.addPlaces(-1)
	}, After: 50 * time.Millisecond, EmbeddedOnly: true},
	{Name: "node-joins-mid-way", Run: changing(long), During: func(s *scene) {
		_, err := s.Embedded.AddNode(swarmtest.NodeOptions{})
		require.NoError(s.t, err)
		s.oracle.addPlaces(1)
	}, After: 50 * time.Millisecond, EmbeddedOnly: true},
}

// rollbackToBroken rolls back to a spec whose image is gone.
func rollbackToBroken(s *scene) swarm.Rollout {
	s.Embedded.Image("breaks:1", swarmtest.Image{Run: Program})
	s.deploy(image("breaks:1"), onFailure(swarm.PauseOnFailure))
	s.change(image(s.Image))
	s.until(func(t truth) bool {
		return s.oracle.asWanted(t) && at(t.service, "UpdateStatus", "State") != "updating"
	})
	s.Embedded.Image("breaks:1", swarmtest.Image{PullError: "gone"})
	return s.rollback()
}
