package rollouts

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"sync"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm"
)

// oracle knows the truth of a service by the engine's own JSON. It uses nothing
// of the library's: not its types, not what it thinks of tasks.
type oracle struct {
	http    *http.Client
	service string
	// revision is in the environment of what is wanted.
	revision string

	mu sync.Mutex
	// places is how many tasks there shall be where nodes decide that.
	places  int
	samples []sample
}

// addPlaces notes that nodes have come or gone.
func (o *oracle) addPlaces(n int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.places += n
}

// sample is whether everything was as wanted at a moment.
type sample struct {
	at     time.Time
	wanted bool
}

type obj = map[string]any

// sampleEvery is how often the oracle looks.
const sampleEvery = 250 * time.Millisecond

// get reads an object or a list. What is not there is nil.
func (o *oracle) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	response, err := o.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusNotFound:
		return nil
	case response.StatusCode != http.StatusOK:
		return fmt.Errorf("GET %s: %s: %s", path, response.Status, body)
	}
	return json.Unmarshal(body, into)
}

// truth is what the engine has of a service.
type truth struct {
	service obj
	tasks   []obj
	ready   map[string]bool // the nodes that are there
}

// hasFailed reports whether there is a task that has failed or could not begin.
func (t *truth) hasFailed() bool {
	return slices.ContainsFunc(t.tasks, func(task obj) bool {
		return at(task, "Status", "State") == "failed" || at(task, "Status", "State") == "rejected"
	})
}

func (o *oracle) look(ctx context.Context) (truth, error) {
	t := truth{ready: map[string]bool{}}
	if err := o.get(ctx, "/v1.41/services/"+o.service, &t.service); err != nil || t.service == nil {
		return t, err
	}
	filter, _ := json.Marshal(map[string][]string{"service": {o.service}}) // strings always encode
	if err := o.get(ctx, "/v1.41/tasks?filters="+url.QueryEscape(string(filter)), &t.tasks); err != nil {
		return t, err
	}
	var nodes []obj
	err := o.get(ctx, "/v1.41/nodes", &nodes)
	for _, node := range nodes {
		t.ready[at(node, "ID").(string)] = at(node, "Status", "State") == "ready"
	}
	return t, err
}

// during takes samples while somebody waits, and notes when that came to its end.
func (o *oracle) during(wait func() error) (ended time.Time, err error) {
	ctx, stop := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		o.watch(ctx)
	}()
	err = wait()
	ended = time.Now()
	stop()
	<-watched
	return ended, err
}

// watch takes samples until it is told to stop.
func (o *oracle) watch(ctx context.Context) {
	for ctx.Err() == nil {
		began := time.Now()
		if t, err := o.look(ctx); err == nil {
			wanted := o.asWanted(t)
			o.mu.Lock()
			o.samples = append(o.samples, sample{began, wanted})
			o.mu.Unlock()
		}
		select {
		case <-ctx.Done():
		case <-time.After(sampleEvery):
		}
	}
}

// at is what stands in JSON at a path, nil if nothing does.
func at(value any, path ...string) any {
	for _, name := range path {
		object, _ := value.(obj)
		value = object[name]
	}
	return value
}

func number(value any) int {
	n, _ := value.(float64)
	return int(n)
}

// asWanted reports whether exactly those tasks run, or have completed, that shall.
func (o *oracle) asWanted(t truth) bool {
	spec := at(t.service, "Spec")
	if t.service == nil || !o.isOurs(t) {
		return false
	}
	mode, _ := at(spec, "Mode").(obj)
	o.mu.Lock()
	total := o.places
	o.mu.Unlock()
	if job, ok := mode["ReplicatedJob"]; ok {
		total = number(at(job, "TotalCompletions"))
	}
	if mode["ReplicatedJob"] != nil || mode["GlobalJob"] != nil {
		return o.completed(t) >= total
	}
	if replicated := mode["Replicated"]; replicated != nil {
		total = number(at(replicated, "Replicas"))
	}
	places, others := map[any]bool{}, 0
	condition := at(spec, "TaskTemplate", "RestartPolicy", "Condition")
	for _, task := range t.tasks {
		node, _ := at(task, "NodeID").(string)
		state, desired := at(task, "Status", "State"), at(task, "DesiredState")
		current := sameSpec(at(task, "Spec"), at(spec, "TaskTemplate"))
		place := any(node)
		if slot := at(task, "Slot"); slot != nil {
			place = slot
		}
		switch {
		case state == "complete" && (condition == "none" || condition == "on-failure") && current:
			places[place] = true
		case state != "running" || !t.ready[node]:
		case desired == "running" && current:
			places[place] = true
		default:
			others++
		}
	}
	return len(places) == total && others == 0
}

// completed counts the tasks of the job's current run that are done.
func (o *oracle) completed(t truth) (count int) {
	run := number(at(t.service, "JobStatus", "JobIteration", "Index"))
	for _, task := range t.tasks {
		if at(task, "Status", "State") == "complete" && number(at(task, "JobIteration", "Index")) == run {
			count++
		}
	}
	return count
}

// isOurs reports whether the service has the spec that the script's change has
// given it.
func (o *oracle) isOurs(t truth) bool {
	env, _ := at(t.service, "Spec", "TaskTemplate", "ContainerSpec", "Env").([]any)
	return slices.Contains(env, any(o.revision))
}

// sameSpec compares the spec of a task with that of its service, of which engines
// tell the runtime too.
func sameSpec(task, template any) bool {
	without := func(value any) obj {
		object, _ := value.(obj)
		rest := obj{}
		for name, member := range object {
			if name != "Runtime" {
				rest[name] = member
			}
		}
		return rest
	}
	return reflect.DeepEqual(without(task), without(template))
}

// check holds the end of a wait against the truth.
func (o *oracle) check(t assert.TestingT, name string, err error, ended time.Time, window time.Duration) {
	truth, lookErr := o.look(context.Background())
	if !assert.NoError(t, lookErr) {
		return
	}
	state := at(truth.service, "UpdateStatus", "State")
	wanted := o.asWanted(truth)
	var rollout *swarm.RolloutError
	if err != nil && !assert.ErrorAs(t, err, &rollout) {
		return
	}
	why := fmt.Sprintf("%s said %v; status %v, tasks %s", name, err, state, brief(truth.tasks))
	if err == nil {
		assert.True(t, wanted, "false success: %s", why)
		job := at(truth.service, "JobStatus") != nil // whose rollbacks engines never call complete
		assert.False(t, !job && slices.Contains([]any{"updating", "rollback_started", "paused", "rollback_paused"}, state), "false success: %s", why)
		assert.True(t, o.lasted(ended, window), "success too soon: %s", why)
		return
	}
	switch rollout.Err {
	case swarm.ErrRolledBack:
		assert.Equal(t, "rollback_completed", state, why)
		assert.False(t, o.isOurs(truth), why)
	case swarm.ErrRolloutPaused:
		assert.Equal(t, "paused", state, why)
	case swarm.ErrRollbackPaused:
		assert.Equal(t, "rollback_paused", state, why)
	case swarm.ErrRemoved:
		assert.Nil(t, truth.service, why)
	case swarm.ErrSuperseded:
		assert.False(t, o.isOurs(truth) && at(truth.service, "Spec", "Labels", "writer") == nil, why)
	case swarm.ErrNoEligibleNode:
		assert.False(t, slices.ContainsFunc(truth.tasks, func(task obj) bool { return at(task, "DesiredState") == "running" }), why)
	case swarm.ErrTasksFailed, swarm.ErrJobFailed:
		assert.False(t, wanted, "false failure: %s", why)
		assert.True(t, truth.hasFailed(), why)
	default:
		assert.ErrorIs(t, err, context.DeadlineExceeded, why)
		assert.False(t, wanted && o.lasted(ended, window+2*time.Second) && state != "updating", "false failure: %s", why)
	}
}

// lasted reports whether everything was as wanted for so long before a moment.
func (o *oracle) lasted(until time.Time, window time.Duration) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, sample := range o.samples {
		if !sample.wanted && sample.at.After(until.Add(-window)) && sample.at.Before(until) {
			return false
		}
	}
	return len(o.samples) > 0
}

// missed reports whether an engine has called an update complete that was to fail,
// or has shown tasks running that were to fail: where it has too much to do it
// hears too late of tasks that end.
func (o *oracle) missed(want, got error) bool {
	t, err := o.look(context.Background())
	switch want {
	case swarm.ErrRolledBack, swarm.ErrRolloutPaused:
		return err == nil && at(t.service, "UpdateStatus", "State") == "completed"
	case swarm.ErrTasksFailed:
		return err == nil && got == nil && o.asWanted(t)
	}
	return false
}

func brief(tasks []obj) string {
	var lines []string
	for _, task := range tasks {
		lines = append(lines, fmt.Sprintf("%v %v/%v %v %v", at(task, "Slot"), at(task, "DesiredState"), at(task, "Status", "State"),
			at(task, "Spec", "ContainerSpec", "Env"), at(task, "Status", "Err")))
	}
	slices.Sort(lines)
	return fmt.Sprintf("%q", lines)
}
