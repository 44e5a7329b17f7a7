// Package rollouts is changes of services, as scripts that run on real engines and
// on the embedded one, and an oracle that says what has really become of each.
//
// A script makes a service, changes it, and may disturb the rollout. What
// swarm.ServiceClient.Wait says of it is held against what the script expects, and
// against the oracle, which reads the engine's JSON and nothing of the library's.
package rollouts

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

// Target is an engine to run scripts on. Its images are as in
// internal/conformance.
type Target struct {
	// Client is a client of the engine.
	Client *swarm.Client
	// HTTP speaks to the same engine without the library, whatever the host.
	HTTP *http.Client
	// Image and Missing are references of an image that is there, and of one that
	// is not and cannot be pulled.
	Image, Missing string
	// Prefix is what the names of services begin with.
	Prefix string
	// Nodes is how many nodes take tasks.
	Nodes int
	// Monitor is how long new tasks are looked at, by the engine and by waits.
	Monitor time.Duration
	// Patience is how much longer than the embedded engine this one may take.
	Patience time.Duration
	// Embedded is the embedded engine that it is, nil for a real one.
	Embedded *swarmtest.Engine
}

// Modes are the modes that every script is run with.
var Modes = []swarm.ModeKind{swarm.ModeReplicated, swarm.ModeGlobal, swarm.ModeReplicatedJob, swarm.ModeGlobalJob}

// scene is a script that is being played.
type scene struct {
	*Target
	t      *testing.T
	mode   swarm.ModeKind
	name   string
	oracle *oracle
	count  int // of the revisions
	later  []func()
}

// maxPlays is how often a script is played whose failures the engine misses.
const maxPlays = 3

// Play runs a script in a mode. A real engine with too much to do hears late of
// tasks that end, and then shows them running where they were to fail; there the
// script is played again.
func Play(t *testing.T, target Target, script Script, mode swarm.ModeKind) {
	for range maxPlays {
		if play(t, target, script, mode) {
			return
		}
	}
	require.Fail(t, "the engine misses failures each time", script.Name)
}

// play reports whether the engine has noticed what was to fail.
func play(t *testing.T, target Target, script Script, mode swarm.ModeKind) (noticed bool) {
	s := &scene{Target: &target, t: t, mode: mode, name: fmt.Sprintf("%s%s-%s", target.Prefix, script.Name, mode),
		oracle: &oracle{http: target.HTTP, places: target.Nodes}}
	defer s.clear()
	rollout := script.Run(s)
	ctx, cancel := context.WithTimeout(t.Context(), s.timeout(script))
	defer cancel()
	s.oracle.service = rollout.ServiceID
	disturbed := make(chan struct{})
	go func() {
		defer close(disturbed)
		if script.During != nil {
			time.Sleep(cmpDuration(script.After, 400*time.Millisecond))
			script.During(s)
		}
	}()
	ended, err := s.oracle.during(func() error { return target.Client.Services.Wait(ctx, rollout, nil) })
	<-disturbed
	window := target.Monitor - sampleEvery
	if script.Calm || s.isJob() {
		window = 0
	}
	s.oracle.check(t, script.Name, err, ended, window)
	want := script.want(mode)
	if target.Embedded == nil && s.oracle.missed(want, err) {
		t.Logf("the engine has missed what was to fail: %v", err)
		return false // the wait has seen what the oracle has
	}
	if want == nil {
		require.NoError(t, err, script.Name)
	} else {
		require.ErrorIs(t, err, want, script.Name)
	}
	return true
}

// Hold holds the verdict of a wait for a service, all of whose tasks are replaced
// by such with that variable, against the truth.
func Hold(t *testing.T, target Target, serviceID, variable string, wait func() error) error {
	o := &oracle{http: target.HTTP, service: serviceID, revision: variable, places: target.Nodes}
	ended, err := o.during(wait)
	o.check(t, serviceID, err, ended, target.Monitor-sampleEvery)
	return err
}

func cmpDuration(d, otherwise time.Duration) time.Duration {
	if d == 0 {
		return otherwise
	}
	return d
}

// want is what the wait ends with in a mode.
func (s *Script) want(mode swarm.ModeKind) error {
	job, global := mode == swarm.ModeReplicatedJob || mode == swarm.ModeGlobalJob, mode == swarm.ModeGlobal || mode == swarm.ModeGlobalJob
	switch {
	case mode == swarm.ModeReplicatedJob && s.WantReplicatedJob != nil:
		return s.WantReplicatedJob
	case global && s.WantGlobal != nil:
		return s.WantGlobal
	case job:
		return s.WantJob
	}
	return s.Want
}

// timeout is long for a wait that has to come to an end, and short for one that
// must not.
func (s *scene) timeout(script Script) time.Duration {
	if errors.Is(script.want(s.mode), context.DeadlineExceeded) {
		return 2*time.Second + s.Monitor + s.Patience/10
	}
	return 20*time.Second + s.Patience
}

// clear removes what the script has made.
func (s *scene) clear() {
	for _, f := range s.later {
		f()
	}
	err := s.Client.Services.Remove(context.WithoutCancel(s.t.Context()), s.name)
	if !errors.Is(err, swarm.ErrNotFound) {
		require.NoError(s.t, err)
	}
}

func (s *scene) isJob() bool {
	return s.mode == swarm.ModeReplicatedJob || s.mode == swarm.ModeGlobalJob
}

// spec is a service of the mode that runs as those arguments say. Without any, a
// service runs until it is stopped, and a job is done soon.
func (s *scene) spec(args ...string) swarm.ServiceSpec {
	spec := swarm.ServiceSpec{Name: s.name, TaskTemplate: swarm.TaskSpec{
		ContainerSpec: swarm.ContainerSpec{Image: s.Image, Args: args, Env: []string{s.revise()}},
		RestartPolicy: &swarm.RestartPolicy{Condition: swarm.RestartAny, Delay: new(500 * time.Millisecond)},
	}}
	switch s.mode {
	case swarm.ModeReplicated:
		spec.Mode = swarm.Replicated(2)
	case swarm.ModeGlobal:
		spec.Mode = swarm.Global()
	case swarm.ModeReplicatedJob:
		spec.Mode = swarm.ReplicatedJob(2, 2)
	case swarm.ModeGlobalJob:
		spec.Mode = swarm.GlobalJob()
	}
	if s.isJob() {
		spec.TaskTemplate.RestartPolicy.Condition = swarm.RestartOnFailure
		if args == nil {
			spec.TaskTemplate.ContainerSpec.Args = []string{"-exit", "0", "-after", "100ms"}
		}
		return spec
	}
	spec.UpdateConfig = swarm.UpdateConfig{Monitor: s.Monitor, FailureAction: swarm.PauseOnFailure}
	spec.RollbackConfig = swarm.UpdateConfig{Monitor: s.Monitor, FailureAction: swarm.PauseOnFailure}
	return spec
}

// revise names the next spec that is wanted.
func (s *scene) revise() string {
	s.count++
	s.oracle.revision = fmt.Sprintf("REVISION=%d", s.count)
	return s.oracle.revision
}

// create makes the service.
func (s *scene) create(spec swarm.ServiceSpec) swarm.Rollout {
	s.t.Helper()
	change, err := s.Client.Services.Create(s.t.Context(), spec, nil)
	require.NoError(s.t, err)
	s.oracle.service = change.ID
	return change.Rollout
}

// deploy makes the service and waits until the oracle says that it is as wanted.
func (s *scene) deploy(edits ...func(*swarm.ServiceSpec)) {
	s.t.Helper()
	spec := s.spec()
	for _, edit := range edits {
		edit(&spec)
	}
	s.create(spec)
	s.until(s.oracle.asWanted)
}

// until waits for what the oracle sees.
func (s *scene) until(is func(truth) bool) {
	s.t.Helper()
	for range 300 + s.Patience/(100*time.Millisecond) {
		truth, err := s.oracle.look(s.t.Context())
		require.NoError(s.t, err)
		if is(truth) {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	require.FailNow(s.t, "the scene could not be set", s.name)
}

// change makes the next revision of the service, with these edits.
func (s *scene) change(edits ...func(*swarm.ServiceSpec)) swarm.Rollout {
	s.t.Helper()
	revision := s.revise()
	return s.modify(append(edits, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Env = []string{revision} })...)
}

// modify changes the service and leaves the revision as it is.
func (s *scene) modify(edits ...func(*swarm.ServiceSpec)) swarm.Rollout {
	s.t.Helper()
	change, err := s.Client.Services.Modify(s.t.Context(), s.name, func(service *swarm.Service) error {
		for _, edit := range edits {
			edit(&service.Spec)
		}
		return nil
	}, &swarm.ServiceModifyOptions{RerunJob: true})
	require.NoError(s.t, err)
	return change.Rollout
}

// rollback puts the service back. What is wanted is the revision before.
func (s *scene) rollback() swarm.Rollout {
	s.t.Helper()
	change, err := s.Client.Services.Rollback(s.t.Context(), s.name, &swarm.ServiceUpdateOptions{RerunJob: true})
	require.NoError(s.t, err)
	s.oracle.revision = fmt.Sprintf("REVISION=%d", s.count-1)
	return change.Rollout
}

// worker is a node that is no manager and has a task of the service; embedded
// engines alone.
func (s *scene) worker() *swarmtest.Node {
	truth, err := s.oracle.look(context.Background())
	require.NoError(s.t, err)
	for _, node := range s.Embedded.Nodes()[1:] {
		for _, task := range truth.tasks {
			if at(task, "NodeID") == node.ID() {
				return node
			}
		}
	}
	return s.Embedded.Nodes()[1]
}

// Program is what containers of the embedded engine run: the arguments -exit and
// -after and the health check of integration/testimage.
func Program(c *swarmtest.Container) int {
	code, after := -1, time.Duration(0)
	args := c.Args()
	for i := 0; i+1 < len(args); i += 2 {
		switch args[i] {
		case "-exit":
			fmt.Sscan(args[i+1], &code)
		case "-after":
			after, _ = time.ParseDuration(args[i+1])
		}
	}
	if check := c.Task().Spec.ContainerSpec.Healthcheck; check != nil {
		if !c.Sleep(check.Interval) {
			return 0
		}
		c.SetHealthy(check.Test[len(check.Test)-1] == "0")
	}
	if code < 0 {
		c.Wait()
		return 0
	}
	if !c.Sleep(after) {
		return 0
	}
	return code
}
