package engine

import "sync"

// turns says which containers may compute. On a real clock all may at any time.
// On one that is moved by hand they take turns, in the order they became able to,
// so that what they do has one order; and whoever moves the clock can wait until
// none has anything to do.
type turns struct {
	serial bool
	// current is whose turn it is, and queue is who comes next.
	current *Container
	queue   []turn
	// idle is told when there is nobody left.
	idle *sync.Cond
}

// turn is what begins when a container's turn comes.
type turn struct {
	container *Container
	begin     func()
}

// request calls begin, which must not wait, when it is the container's turn.
func (t *turns) request(container *Container, begin func()) {
	if !t.serial {
		begin()
		return
	}
	t.queue = append(t.queue, turn{container, begin})
	t.next()
}

// release ends a container's turn, or its waiting for one.
func (t *turns) release(container *Container) {
	if !t.serial {
		return
	}
	kept := t.queue[:0]
	for _, waiting := range t.queue {
		if waiting.container != container {
			kept = append(kept, waiting)
		}
	}
	t.queue = kept
	if t.current == container {
		t.current = nil
	}
	t.next()
}

func (t *turns) next() {
	if t.current == nil && len(t.queue) > 0 {
		first := t.queue[0]
		t.queue = t.queue[1:]
		t.current = first.container
		first.begin()
	}
	if t.current == nil {
		t.idle.Broadcast()
	}
}

// open lets all compute at once, from now on.
func (t *turns) open() {
	t.serial = false
	t.current = nil
	for _, waiting := range t.queue {
		waiting.begin()
	}
	t.queue = nil
	t.idle.Broadcast()
}

// wait waits until no container computes. The world is locked, but not while it
// waits.
func (t *turns) wait() {
	for t.current != nil {
		t.idle.Wait()
	}
}
