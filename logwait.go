package swarm

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// A log that is not followed ends by itself. But engines wait for a node without end
// if it is down (20.10), or if its session with the managers was replaced at the wrong
// moment.
const (
	// silencePatience is how long nothing may come at least, and half of what it may be
	// at most, until the nodes are asked one by one.
	silencePatience = 30 * time.Second
	// answerPatience is how long a node may take to answer then.
	answerPatience = 10 * time.Second
	// maxAsked is how many nodes are asked at the same time.
	maxAsked = 8
)

// awaitedBody is the body of a log that is not followed. It ends with an error that
// names nodes if these are what it waits for.
type awaitedBody struct {
	io.ReadCloser
	ctx    context.Context
	cancel func() // of the request
	// silent asks for nodes that do not answer, and is nil if there are none.
	silent func(context.Context) error
	// beat is odd while somebody reads, and grows with each read.
	beat atomic.Int64

	mu    sync.Mutex
	timer *time.Timer
	asked sync.WaitGroup
	ended bool
	found error
}

// await wraps the body of a log.
func await(ctx context.Context, body io.ReadCloser, cancel func(), silent func(context.Context) error) *awaitedBody {
	b := &awaitedBody{ReadCloser: body, ctx: ctx, cancel: cancel, silent: silent}
	b.look(0)
	return b
}

func (b *awaitedBody) Read(p []byte) (int, error) {
	b.beat.Add(1)
	n, err := b.ReadCloser.Read(p)
	b.beat.Add(1)
	if err != nil && err != io.EOF {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.found != nil {
			err = b.found
		}
	}
	return n, err
}

// look looks after a while whether anything has come since the given beat.
func (b *awaitedBody) look(since int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ended {
		return
	}
	b.asked.Add(1)
	b.timer = time.AfterFunc(silencePatience, func() {
		defer b.asked.Done()
		beat := b.beat.Load()
		if beat == since && beat%2 == 1 {
			b.ask(beat)
		}
		b.look(beat)
	})
}

// ask ends the log if there are nodes that do not answer, and nothing has come
// meanwhile.
func (b *awaitedBody) ask(beat int64) {
	err := b.silent(b.ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	if err != nil && b.beat.Load() == beat && !b.ended {
		b.found, b.ended = err, true
		b.cancel()
	}
}

// Close closes the body.
func (b *awaitedBody) Close() error {
	b.mu.Lock()
	b.ended = true
	if b.timer.Stop() {
		b.asked.Done()
	}
	b.mu.Unlock()
	return b.ReadCloser.Close()
}

// silentNodes asks each node that has tasks of a service, or the task, for one line. Its
// error names those that do not answer, and their tasks. It is nil if there are none, or
// if it cannot be found out.
func (c *Client) silentNodes(ctx context.Context, call *call, template, ref string) error {
	tasks, err := c.logTasks(ctx, template, ref)
	if err != nil {
		return nil
	}
	byNode := map[string][]string{}
	for _, task := range tasks {
		if task.NodeID != "" && task.Status.ContainerStatus != nil {
			byNode[task.NodeID] = append(byNode[task.NodeID], task.ID)
		}
	}
	silent := &LogsIncompleteError{}
	var mu sync.Mutex
	var group sync.WaitGroup
	turns := make(chan struct{}, maxAsked)
	for node, ids := range byNode {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			if c.answers(ctx, ids[0]) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			silent.Nodes, silent.Tasks = append(silent.Nodes, node), append(silent.Tasks, ids...)
		})
	}
	group.Wait()
	if len(silent.Nodes) == 0 || ctx.Err() != nil {
		return nil
	}
	slices.Sort(silent.Nodes)
	slices.Sort(silent.Tasks)
	return &Error{Op: call.op, Object: call.object, Method: call.method, Path: call.to.path, Err: silent}
}

// answers reports whether the log of a task can be had from its node. It is true if
// that cannot be found out.
func (c *Client) answers(ctx context.Context, task string) bool {
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	logs, err := c.Tasks.Logs(ctx, task, &LogOptions{Tail: 1})
	if err == nil {
		err = logs.Copy(nil, nil)
	}
	return !errors.Is(err, ErrLogsIncomplete) && !errors.Is(err, context.DeadlineExceeded)
}
