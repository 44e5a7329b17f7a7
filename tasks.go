package swarm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"slices"

	"github.com/swarm-go/swarm/internal/wire"
)

// TaskClient reads tasks, of which services consist.
type TaskClient struct{ client *Client }

// Inspect reads a task by ID or unique prefix of one. A task that does not exist,
// or that the swarm has forgotten, is [ErrNotFound].
//
// Engine endpoint: GET /tasks/{id}
func (t *TaskClient) Inspect(ctx context.Context, id string) (*Task, error) {
	return inspectObject(ctx, t.client, &call{op: "inspect task", object: id, to: to("/tasks/{id}", id)}, decodeTask)
}

// InspectAll reads several tasks, each by ID or unique prefix of one, and returns
// them in the order of the IDs. Those that do not exist are left out, and the
// error is [ErrNotFound] and names all of them; so is a prefix of several IDs,
// which is [ErrAmbiguousRef]. Any other error ends it without a result.
//
// Engine endpoint: GET /tasks/{id}
func (t *TaskClient) InspectAll(ctx context.Context, ids ...string) ([]Task, error) {
	return inspectAll(ids, func(id string) (*Task, error) { return t.Inspect(ctx, id) })
}

// inspectAll reads the objects that refs name as far as they do, and joins the
// errors of those that do not.
func inspectAll[T any](refs []string, inspect func(ref string) (*T, error)) (found []T, err error) {
	var unknown []error
	for _, ref := range refs {
		object, err := inspect(ref)
		switch {
		case err == nil:
			found = append(found, *object)
		case errors.Is(err, ErrNotFound), errors.Is(err, ErrAmbiguousRef):
			unknown = append(unknown, err)
		default:
			return nil, err
		}
	}
	return found, errors.Join(unknown...)
}

func decodeTask(raw json.RawMessage) (Task, error) {
	task := Task{}
	if err := wire.Unmarshal(raw, &task); err != nil {
		return Task{}, err
	}
	task.Raw = raw
	return task, requireID(task.ID)
}

// TaskListOptions choose tasks. What is left out does not restrict; the
// alternatives inside one field are joined by "or", the fields by "and".
type TaskListOptions struct {
	// IDs are full IDs.
	IDs []string
	// IDPrefixes are beginnings of IDs; a task matches IDs or IDPrefixes.
	IDPrefixes []string
	// NamePrefixes are beginnings of task names, "web.1".
	NamePrefixes []string
	// Services are IDs, names or unique ID prefixes of services. One that does not
	// exist makes the list fail with [ErrNotFound].
	Services []string
	// Nodes are IDs, names or unique ID prefixes of nodes. One that does not exist
	// makes the list fail with [ErrNotFound].
	Nodes []string
	// Labels are labels that the task must have, all of them; an empty value asks
	// for presence.
	Labels map[string]string
	// DesiredStates are the states the swarm wants tasks in. Engines know
	// [TaskRunning], [TaskShutdown] and [TaskAccepted] here; others are
	// [ErrInvalid].
	DesiredStates []TaskState
	// UpToDate leaves out tasks of an older spec of their service. It is in no
	// published API document. Needs API 1.29.
	UpToDate bool
	// Runtime is what the tasks run; the zero value means containers. Needs API
	// 1.31.
	Runtime Runtime
}

func (o *TaskListOptions) query() (url.Values, error) {
	if o == nil {
		o = &TaskListOptions{}
	}
	f := filters{}
	f.add("id", slices.Concat(o.IDs, o.IDPrefixes)...)
	f.add("name", o.NamePrefixes...)
	f.add("service", o.Services...)
	f.add("node", o.Nodes...)
	f.addLabels(o.Labels)
	for _, state := range o.DesiredStates {
		if !slices.Contains([]TaskState{TaskRunning, TaskShutdown, TaskAccepted}, state) {
			return nil, fmt.Errorf("tasks cannot be chosen by desired state %q", state)
		}
		f.add("desired-state", string(state))
	}
	if o.UpToDate {
		f.add("_up-to-date", "true")
	}
	if o.Runtime != "" {
		if !slices.Contains(runtimes, o.Runtime) {
			return nil, fmt.Errorf("unknown runtime %q", o.Runtime)
		}
		f.add("runtime", string(o.Runtime))
	}
	return f.query(), nil
}

// List returns the tasks that opts choose, all that the swarm remembers if opts
// is nil. It is [TaskClient.All] in one slice.
//
// Engine endpoint: GET /tasks
func (t *TaskClient) List(ctx context.Context, opts *TaskListOptions) ([]Task, error) {
	return listAll(ctx, t.client, func(ctx context.Context) iter.Seq2[Task, error] { return t.All(ctx, opts) })
}

// All yields the tasks that opts choose, all that the swarm remembers if opts is
// nil, each as it is read: memory does not grow with their number. The iterator
// ends, or yields one error as its last pair.
//
// Engine endpoint: GET /tasks
func (t *TaskClient) All(ctx context.Context, opts *TaskListOptions) iter.Seq2[Task, error] {
	const op = "list tasks"
	return func(yield func(Task, error) bool) {
		query, err := opts.query()
		if err != nil {
			yield(Task{}, invalid(op, "", "%v", err))
			return
		}
		call := &call{op: op, method: http.MethodGet, to: to("/tasks"), query: query, repeat: repeatRead}
		for task, err := range decoded(t.client.elements(ctx, call), call, decodeTask) {
			if err == nil && opts != nil && !matches(task.ID, opts.IDs, opts.IDPrefixes) {
				continue
			}
			if !yield(task, err) || err != nil {
				return
			}
		}
	}
}
