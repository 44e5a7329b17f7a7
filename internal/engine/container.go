package engine

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	goruntime "runtime"
	"slices"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/frames"
)

// Container is the container of a task as its function sees it.
//
// A container that is to stop is told by [Container.Done], and that ends a
// [Container.Sleep] and a [Container.Wait]. If it still runs when the grace period
// of its service is over, it is killed: the engine thinks no more of it, and its
// goroutine ends as soon as it calls a method of the Container. One that calls
// none has to end by itself.
//
// On a [ManualClock] containers compute one after the other, and the clock waits
// for each until it sleeps, waits or ends. A function that has to wait for
// something else, such as a channel of the test, does so within
// [Container.Outside].
type Container struct {
	world  *World
	daemon *Daemon
	log    *logbook

	id      string
	pid     int
	task    *swarm.Task
	service *swarm.Service
	node    *swarm.Node
	// env are its variables, host is the hostname that it was given, and files are
	// what it can read, by path.
	env   []string
	host  string
	files map[string][]byte
	// run is the container's function. Nil: it does nothing until it is stopped.
	run func(*Container) int

	// done is closed when the container is to stop.
	done chan struct{}
	// told is true once a sleep has said that the container is to stop.
	stopping, told, killed bool
	// parked is what lets it go on, while it sleeps or waits.
	parked func()
	// listening is true while it may be waiting at Done.
	listening bool
	// outside is true while it waits for something that is not the engine's.
	outside bool
	// wake and grace call off the end of a sleep and of the grace period.
	wake, grace func()

	// health is what the container says of itself; nil as long as nothing.
	health *bool
	// unwell is true once it is stopped for its health.
	unwell bool
	// ended is true when it has ended, with that exit code.
	ended bool
	code  int
	// changed is called when it has ended or its health has changed.
	changed func()

	// created, started and finished are when it was, zero while it is not.
	created, started, finished time.Time
}

const (
	// killedCode is the exit code of a process that was killed, and lostCode
	// is that of one that went with its engine.
	killedCode, lostCode = 137, 255
	// defaultGrace is how long containers have for their end.
	defaultGrace = 10 * time.Second
)

// start begins the container. Its function runs in a goroutine of its own.
func (c *Container) start() {
	if c.run == nil {
		return
	}
	turn := make(chan struct{})
	c.world.turns.request(c, func() { close(turn) })
	go c.main(turn)
}

// main is the container's goroutine.
func (c *Container) main(turn <-chan struct{}) {
	code := killedCode
	defer func() {
		c.world.Do(func() {
			c.world.turns.release(c)
			c.end(code)
		})
	}()
	<-turn
	code = c.run(c)
}

// end notes that the container has ended.
func (c *Container) end(code int) {
	if c.ended {
		return
	}
	c.ended, c.code, c.finished = true, code, c.world.now()
	if c.grace != nil {
		c.grace()
	}
	c.log.end()
	c.tellEnd()
	c.changed()
}

// stop asks the container to end, and kills it if it has not when the grace
// period is over.
func (c *Container) stop() {
	if c.stopping || c.ended {
		return
	}
	c.stopping = true
	grace := defaultGrace
	if period := c.task.Spec.ContainerSpec.StopGracePeriod; period != nil {
		grace = *period
	}
	c.grace = c.world.after(grace, c.kill)
	c.event(swarm.ActionKill, attributes{"signal": "15"})
	c.tell()
}

// tell lets the function know, when it is its turn if it waits.
func (c *Container) tell() {
	switch {
	case c.parked != nil:
		goOn := c.parked
		c.parked = nil
		c.world.turns.request(c, func() { close(c.done); goOn() })
	case c.listening:
		c.listening = false
		c.world.turns.request(c, func() { close(c.done) })
	default:
		close(c.done)
		if c.run == nil {
			c.end(0)
		}
	}
}

// kill ends the container for the engine. Its function ends when it notices.
func (c *Container) kill() {
	if c.ended {
		return
	}
	c.killed = true
	c.end(killedCode)
	if c.stopping {
		c.unpark()
		return
	}
	c.stopping = true
	c.tell()
}

// park gives up the container's turn. What it returns is closed when it may go
// on.
func (c *Container) park() <-chan struct{} {
	turn := make(chan struct{})
	c.parked = func() { close(turn) }
	c.world.turns.release(c)
	return turn
}

// unpark lets a container that has given up its turn go on, when it is its turn.
func (c *Container) unpark() {
	if c.parked != nil {
		goOn := c.parked
		c.parked = nil
		c.world.turns.request(c, goOn)
	}
}

// do runs f under the world's lock, as a part of what the container computes. f
// returns what the container is to wait for, if it is to.
func (c *Container) do(f func() <-chan struct{}) {
	c.resume()
	var turn <-chan struct{}
	c.world.Do(func() { turn = f() })
	if turn != nil {
		<-turn
		c.resume()
	}
}

// resume takes the turn back that Done may have given up. It ends the goroutine
// of a container that was killed.
func (c *Container) resume() {
	var turn <-chan struct{}
	var killed bool
	c.world.Do(func() {
		killed = c.killed
		if c.listening && !killed {
			c.listening = false
			turn = c.park()
			c.unpark()
		}
	})
	if killed {
		goruntime.Goexit()
	}
	if turn != nil {
		<-turn
	}
}

// Sleep waits until d has passed on the engine's clock. It reports whether the
// container is to go on: when it is to stop, one Sleep ends early, and it and all
// after it return false.
func (c *Container) Sleep(d time.Duration) bool {
	c.do(func() <-chan struct{} {
		if c.stopping && !c.told {
			return nil
		}
		c.wake = c.world.after(d, c.unpark)
		return c.park()
	})
	goOn := true
	c.world.Do(func() {
		if c.wake != nil {
			c.wake()
		}
		if c.stopping {
			goOn, c.told = false, true
		}
	})
	return goOn
}

// Wait waits until the container is to stop.
func (c *Container) Wait() {
	c.do(func() <-chan struct{} {
		if c.stopping {
			return nil
		}
		return c.park()
	})
	c.world.Do(func() { c.told = true })
}

// Done is closed when the container is to stop. On a [ManualClock] a container
// that has called it counts as waiting, until it calls another method or is to
// stop.
func (c *Container) Done() <-chan struct{} {
	c.do(func() <-chan struct{} {
		if !c.stopping && !c.outside {
			c.listening = true
			c.world.turns.release(c)
		}
		return nil
	})
	return c.done
}

// Context is done when the container is to stop. Asking it for that is as calling
// [Container.Done].
func (c *Container) Context() context.Context {
	return containerContext{Context: context.Background(), container: c}
}

// containerContext is a context that is done when its container is to stop.
type containerContext struct {
	context.Context
	container *Container
}

// Done is the container's.
func (c containerContext) Done() <-chan struct{} { return c.container.Done() }

// Err is [context.Canceled] when the container is to stop.
func (c containerContext) Err() error {
	select {
	case <-c.container.done:
		return context.Canceled
	default:
		return nil
	}
}

// Outside calls f, which may wait for anything, such as the test. The clock does
// not wait for it. Of the container's methods f may call Done and Context.
func (c *Container) Outside(f func()) {
	var turn <-chan struct{}
	c.resume()
	c.world.Do(func() {
		c.outside = true
		c.world.turns.release(c)
	})
	f()
	c.world.Do(func() {
		c.outside = false
		turn = c.park()
		c.unpark()
	})
	<-turn
	c.resume()
}

// SetHealthy says how the container is. It is asked for only if the service has a
// health check: a task is starting until its container is healthy, and one whose
// container says that it is not is stopped and has failed.
func (c *Container) SetHealthy(healthy bool) {
	c.do(func() <-chan struct{} {
		c.setHealthy(healthy)
		return nil
	})
}

func (c *Container) setHealthy(healthy bool) {
	if !c.ended && (c.health == nil || *c.health != healthy) {
		c.health = new(healthy)
		c.tellHealth()
		c.changed()
	}
}

// Stdout is the container's standard output, which is its log.
func (c *Container) Stdout() io.Writer { return containerWriter{c, frames.Stdout} }

// Stderr is the container's standard error, which is its log too.
func (c *Container) Stderr() io.Writer { return containerWriter{c, frames.Stderr} }

// Printf writes to the container's standard output.
func (c *Container) Printf(format string, args ...any) { fmt.Fprintf(c.Stdout(), format, args...) }

// containerWriter writes to the log of a container.
type containerWriter struct {
	container *Container
	stream    frames.Stream
}

// Write never fails.
func (w containerWriter) Write(p []byte) (int, error) {
	w.container.do(func() <-chan struct{} {
		w.container.log.write(w.stream, p)
		return nil
	})
	return len(p), nil
}

// ID is the container's ID.
func (c *Container) ID() string { return c.id }

// Task is the container's task as it was when it started.
func (c *Container) Task() swarm.Task { return *c.task }

// Service is the task's service as it was when the container started.
func (c *Container) Service() swarm.Service { return *c.service }

// Node is the node that the container runs on as it was when it started.
func (c *Container) Node() swarm.Node { return *c.node }

// Args are the command of the task's spec and its arguments.
func (c *Container) Args() []string {
	spec := &c.task.Spec.ContainerSpec
	return slices.Concat(spec.Command, spec.Args)
}

// Env are the environment variables of the task's spec, each as KEY=value, with
// their templates filled in.
func (c *Container) Env() []string { return slices.Clone(c.env) }

// ReadFile reads a secret, such as /run/secrets/password, or a config, such as
// /etc/app.conf. What is neither is [fs.ErrNotExist].
func (c *Container) ReadFile(name string) ([]byte, error) {
	data, found := c.files[path.Clean(name)]
	if !found {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return slices.Clone(data), nil
}

// Now is the time by the engine's clock.
func (c *Container) Now() time.Time { return c.world.now() }
