package swarmtest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/internal/engine"
)

// Image is what there is behind an image reference. Its zero value is an image
// that can be pulled at once, and whose containers run until they are stopped.
type Image struct {
	// Run is what a container of the image does: it runs until it returns its exit
	// code, in a goroutine of its own. Nil runs until it is stopped, and exits with
	// 0.
	Run func(*Container) int
	// PullTime is how long a node takes to pull the image, once.
	PullTime time.Duration
	// PullError, if set, is what pulling fails with.
	PullError string
	// StartTime is how long a container takes to start.
	StartTime time.Duration
	// StartError, if set, is what starting a container fails with.
	StartError string
	// HealthyAfter is how long after its start a container without Run is healthy,
	// if its service has a health check. Negative: never. One with Run says so
	// itself, see [Container.SetHealthy].
	HealthyAfter time.Duration
	// Digest is what its registry knows the image by, "sha256:" and 64 hexadecimal
	// digits. Empty: one is made up from the reference.
	Digest string
	// Platforms are what the image is made for. Empty: for every node.
	Platforms []swarm.Platform
	// Username is the user that its registry demands. Empty: nobody.
	Username string
	// Password is that user's password.
	Password string
}

// Image says what is behind a reference, "web:1" or "registry.example.com/web:1",
// in the place of what was: nodes that have pulled it pull it again. It panics if
// the reference is none.
//
// Of images that nobody has described there are containers too, which run until
// they are stopped; [WithUnknownImages] and [WithoutUnknownImages] change that.
func (e *Engine) Image(ref string, image Image) {
	if err := e.world.SetImage(ref, image.inner()); err != nil {
		panic(fmt.Sprintf("swarmtest: %v", err))
	}
}

func (i *Image) inner() engine.Image {
	inner := engine.Image{
		PullTime:     i.PullTime,
		PullError:    i.PullError,
		StartTime:    i.StartTime,
		StartError:   i.StartError,
		HealthyAfter: i.HealthyAfter,
		Digest:       i.Digest,
		Platforms:    i.Platforms,
		Username:     i.Username,
		Password:     i.Password,
	}
	if run := i.Run; run != nil {
		inner.Run = func(c *engine.Container) int { return run(&Container{c}) }
	}
	return inner
}

// Format prints everything but the password, whatever the verb.
func (i Image) Format(f fmt.State, verb rune) {
	type plain Image // which has no Format
	if i.Password != "" {
		i.Password = "(redacted)"
	}
	_, _ = fmt.Fprintf(f, fmt.FormatString(f, verb), plain(i))
}

// LogValue keeps the password out of logs.
func (i Image) LogValue() slog.Value { return slog.StringValue(fmt.Sprintf("%+v", i)) }

// Container is the container of a task, as the function of its image sees it. What
// it writes is its log.
//
// A container that is to stop is told by [Container.Done], and that ends a
// [Container.Sleep] and a [Container.Wait]. If it still runs when the grace period
// of its service is over, it is killed: the engine thinks no more of it, and its
// goroutine ends as soon as it calls a method of the Container. A function that
// calls none has to end by itself, or it outlives the engine.
//
// On a manual clock containers compute one after the other, and the clock waits
// for each until it sleeps, waits or ends. A function that has to wait for
// something else, such as a channel of the test, does so within
// [Container.Outside].
type Container struct{ inner *engine.Container }

// ID is the container's ID: 64 hexadecimal digits.
func (c *Container) ID() string { return c.inner.ID() }

// Task is the container's task as it was when it started.
func (c *Container) Task() swarm.Task { return c.inner.Task() }

// Service is the task's service as it was when the container started.
func (c *Container) Service() swarm.Service { return c.inner.Service() }

// Node is the node that the container runs on as it was when it started.
func (c *Container) Node() swarm.Node { return c.inner.Node() }

// Args are the command of the task's spec and its arguments.
func (c *Container) Args() []string { return c.inner.Args() }

// Env are the environment variables of the task's spec, each as KEY=value, with
// their templates filled in.
func (c *Container) Env() []string { return c.inner.Env() }

// ReadFile reads a secret, such as /run/secrets/password, or a config, such as
// /etc/app.conf, that the service mounts. What is neither is [io/fs.ErrNotExist].
func (c *Container) ReadFile(name string) ([]byte, error) { return c.inner.ReadFile(name) }

// Now is the time by the engine's clock.
func (c *Container) Now() time.Time { return c.inner.Now() }

// Stdout is the container's standard output. Writing never fails.
func (c *Container) Stdout() io.Writer { return c.inner.Stdout() }

// Stderr is the container's standard error. Writing never fails.
func (c *Container) Stderr() io.Writer { return c.inner.Stderr() }

// Printf writes to the container's standard output.
func (c *Container) Printf(format string, args ...any) { c.inner.Printf(format, args...) }

// Sleep waits until d has passed on the engine's clock. It reports whether the
// container is to go on: when it is to stop, one Sleep ends early, and it and all
// after it return false.
func (c *Container) Sleep(d time.Duration) bool { return c.inner.Sleep(d) }

// Wait waits until the container is to stop.
func (c *Container) Wait() { c.inner.Wait() }

// Done is closed when the container is to stop.
func (c *Container) Done() <-chan struct{} { return c.inner.Done() }

// Context is done when the container is to stop.
func (c *Container) Context() context.Context { return c.inner.Context() }

// Outside calls f, which may wait for anything, such as the test. A manual clock
// does not wait for it. Of the container's methods f may call Done and Context.
func (c *Container) Outside(f func()) { c.inner.Outside(f) }

// SetHealthy says how the container is. It is asked for only if the service has a
// health check: a task is starting until its container is healthy, and one whose
// container says that it is not is stopped and has failed.
func (c *Container) SetHealthy(healthy bool) { c.inner.SetHealthy(healthy) }
