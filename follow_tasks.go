package swarm

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"time"
)

// removed begins to end the log of what does not exist any more.
func (f *follower) removed() {
	if f.ending != nil {
		return
	}
	f.ending = &Error{Op: f.call.op, Object: f.call.object, Method: f.call.method, Path: f.call.to.path, kind: ErrRemoved}
	f.endBy = time.Now().Add(removalPatience)
	f.checkAt = time.Now()
}

// check looks after what no stream tells.
func (f *follower) check() {
	now := time.Now()
	f.checkAt = now.Add(checkEvery)
	if s := f.side; s != nil && now.Sub(s.heard) > catchUpPatience {
		f.ended(s, context.DeadlineExceeded)
	}
	if s := f.main; s != nil && f.ending == nil && now.After(s.rotate) {
		f.closeMain()
	}
	switch {
	case f.ending != nil:
		f.checkEnding()
		return
	case f.isPast() && f.begun && !f.listAt.IsZero():
		f.finish(io.EOF)
		return
	case !f.begun || f.main == nil:
		return // the list comes with opening it
	}
	if now.Before(f.listAt) && !f.endsWhenDone() {
		if err := f.exists(); errors.Is(err, ErrNotFound) {
			f.removed()
		}
		return
	}
	wasDone := f.allDone
	if err := f.list(); err != nil {
		if errors.Is(err, ErrNotFound) {
			f.removed()
		}
		return
	}
	for _, t := range f.tasks {
		quiet := t.started && time.Since(t.heard) >= quietTime
		if !t.drained && (t.terminal && t.started || quiet) && t.absent.IsZero() {
			t.quiet = quiet && !t.queued
			f.enqueue(t)
		}
	}
	if wasDone && f.allDone && f.endsWhenDone() {
		f.finish(io.EOF)
	}
}

// isPast reports whether the time has come that a log is to end at.
func (f *follower) isPast() bool {
	return !f.opts.Until.IsZero() && time.Now().After(f.opts.Until.Add(time.Second))
}

// endsWhenDone reports whether the log ends with its tasks. That of a task does.
func (f *follower) endsWhenDone() bool { return f.opts.UntilDone || !f.service }

// finish begins to end a log of which all is there that is wanted: all tasks catch up
// once more.
func (f *follower) finish(ending error) {
	f.finishing, f.ending, f.endBy = true, ending, time.Now().Add(removalPatience)
	for _, t := range f.tasks {
		if t.started && !t.drained {
			f.enqueue(t)
		}
	}
}

// endLater goes on with a log that is complete but for what its tasks catch up, as long
// as they do.
func (f *follower) endLater() {
	if f.finishing {
		f.endBy = time.Now().Add(removalPatience)
	}
}

// checkEnding waits for the last lines of what was removed: tasks write until they
// are stopped.
func (f *follower) checkEnding() {
	if f.finishing || f.main == nil {
		return
	}
	f.checkAt = time.Now().Add(endEvery)
	ctx, cancel := context.WithTimeout(f.ctx, catchUpPatience)
	defer cancel()
	ids := []string{}
	for id, t := range f.tasks {
		if id != "" && !t.terminal {
			ids = append(ids, id)
		}
	}
	running := false
	if len(ids) > 0 {
		tasks, err := f.client.Tasks.List(ctx, &TaskListOptions{IDs: ids})
		running = err != nil || slices.ContainsFunc(tasks, func(t Task) bool { return !t.Status.State.Terminal() })
	}
	if !running && time.Since(f.main.heard) > stallTime {
		f.endBy = time.Now()
	}
}

// isOver reports whether there is nothing left to read.
func (f *follower) isOver() bool {
	switch {
	case f.ending == nil:
		return false
	case !time.Now().Before(f.endBy):
		return true
	case f.finishing:
		return f.side == nil && len(f.queue) == 0
	}
	return f.main == nil && f.side == nil && f.nextInQueue() < 0
}

// leaveOff says, once, of which tasks it is not known whether their last lines were
// read.
func (f *follower) leaveOff() {
	if f.left {
		return
	}
	f.left = true
	for _, t := range f.tasks {
		behind := f.finishing && (t.queued || f.side != nil && f.side.task == t)
		lost := !f.finishing && t.started && !t.drained && (f.main == nil || t.live != f.main)
		if behind || lost {
			f.gap(t, nil)
		}
	}
}

// exists asks whether there is still what is followed.
func (f *follower) exists() error {
	ctx, cancel := context.WithTimeout(f.ctx, catchUpPatience)
	defer cancel()
	template := "/tasks/{id}"
	if f.service {
		template = "/services/{id}"
	}
	return f.client.do(ctx, &call{op: f.call.op, object: f.call.object, method: http.MethodGet, to: to(template, f.id), repeat: repeatRead, attempts: 1}, nil)
}

// list asks for the tasks and notes what has become of them.
func (f *follower) list() error {
	ctx, cancel := context.WithTimeout(f.ctx, 2*catchUpPatience)
	defer cancel()
	var tasks []Task
	var err error
	if f.service {
		tasks, err = f.client.Tasks.List(ctx, &TaskListOptions{Services: []string{f.id}})
	} else {
		tasks, err = f.client.Tasks.InspectAll(ctx, f.id)
	}
	if err != nil {
		return err
	}
	f.listAt = time.Now().Add(listEvery)
	listed := map[string]bool{}
	places := map[taskPlace]*placeTasks{}
	f.hadTasks = f.hadTasks || len(tasks) > 0
	f.allDone = f.hadTasks
	for _, task := range tasks {
		listed[task.ID] = true
		known := f.tasks[task.ID] != nil
		addPlace(places, &task, known)
		t := f.task(&logOrigin{task: task.ID, node: task.NodeID})
		t.node = cmp.Or(task.NodeID, t.node)
		t.terminal = task.Status.State.Terminal()
		t.started = t.started || task.Status.ContainerStatus != nil && task.Status.ContainerStatus.ContainerID != ""
		f.allDone = f.allDone && t.terminal
		if task.Status.State == TaskOrphaned && t.started && !t.drained && (f.side == nil || f.side.task != t) {
			f.giveUp(t, known || f.opts.Tail == 0 && task.Status.Timestamp.After(f.opts.Since))
		}
	}
	f.comparePlaces(places)
	f.checkDrivers(tasks)
	var absent []*followedTask
	for _, t := range f.tasks {
		if t.id == "" || listed[t.id] {
			continue
		}
		switch {
		case t.drained:
			f.remove(t)
		case f.main == nil || t.live != f.main:
			f.forget(t)
		case t.absent.IsZero():
			t.absent = time.Now()
		case time.Since(t.absent) > goneTime:
			absent = append(absent, t)
		}
	}
	f.bury(ctx, absent)
	return nil
}

// checkDrivers ends a log of which nothing more can come: all tasks that have not ended
// have a log driver that keeps nothing.
func (f *follower) checkDrivers(tasks []Task) {
	var unreadable error
	for _, task := range tasks {
		if task.Status.State.Terminal() {
			continue
		}
		if task.Spec.LogDriver == nil {
			return
		}
		if unreadable = task.Spec.LogDriver.readable(f.call); unreadable == nil {
			return
		}
	}
	if unreadable != nil && f.ending == nil {
		f.finish(unreadable)
	}
}

func addPlace(places map[taskPlace]*placeTasks, task *Task, known bool) {
	place := taskPlace{slot: task.Slot}
	if task.Slot == 0 {
		place.node = task.NodeID
	}
	p := places[place]
	if p == nil {
		p = &placeTasks{first: task.CreatedAt}
		places[place] = p
	}
	p.count++
	p.known = p.known || known
	if task.CreatedAt.Before(p.first) {
		p.first = task.CreatedAt
	}
	if task.CreatedAt.After(p.newest) {
		p.newest = task.CreatedAt
	}
}

// comparePlaces looks for tasks that have come and gone while nothing was heard. Swarms
// remember a few tasks of each place and forget the oldest first: so if there are
// several, and none that was known before, there may have been others between.
func (f *follower) comparePlaces(places map[taskPlace]*placeTasks) {
	for place, now := range places {
		before := f.places[place]
		if f.blind && f.service && before != nil && now.count > 1 && !now.known {
			f.addGap(&LogGap{After: before.newest, Before: now.first}, &logOrigin{service: f.id, node: place.node})
		}
	}
	f.places, f.blind = places, false
}

// bury forgets tasks that are no longer there, though the main session had all of their
// logs until then. They have come to their end while that was read, unless they were
// on nodes that nothing comes from, or may not.
func (f *follower) bury(ctx context.Context, absent []*followedTask) {
	lost := map[string]bool{}
	for _, t := range absent {
		if _, asked := lost[t.node]; !asked && t.node != "" {
			node, err := f.client.Nodes.Inspect(ctx, t.node)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return // it is asked again with the next list
			}
			lost[t.node] = err != nil || node.Status.State != NodeReady || f.mayBeMute(node)
		}
		if lost[t.node] && t.started {
			f.gap(t, nil)
		}
		f.remove(t)
	}
}

// mayBeMute reports whether nobody knows if the main session has what a node sends: the
// node has changed, as it does when its session with the managers is replaced, and
// nothing has come from it since.
func (f *follower) mayBeMute(node *Node) bool {
	for _, t := range f.tasks {
		if t.node == node.ID && t.came.After(node.UpdatedAt) {
			return false
		}
	}
	return node.UpdatedAt.After(f.main.opened)
}
