// Quickstart takes a service through its whole life on a swarm: it deploys it,
// waits until its tasks run, prints its logs, scales it, updates its image, rolls
// the update back and removes the service, saying what it does.
//
//	go run ./examples/quickstart
//
// runs on the embedded engine, without Docker, and
//
//	go run ./examples/quickstart -host unix:///var/run/docker.sock
//
// on a real one, of which it touches nothing but the service it makes.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// tour is one run of the program.
type tour struct {
	client *swarm.Client
	out    io.Writer
	name   string
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	host := flags.String("host", "", "the engine, for example unix:///var/run/docker.sock; it must be a swarm manager (default: the embedded engine)")
	image := flags.String("image", "busybox:1.36", "image to deploy")
	next := flags.String("next", "busybox:1.37", "image to update to")
	name := flags.String("name", "swarm-quickstart", "name of the service")
	timeout := flags.Duration("timeout", 5*time.Minute, "time for everything")
	if err := flags.Parse(args); err != nil {
		return err
	}
	command := flags.Args()
	if len(command) == 0 {
		command = []string{"sh", "-c", "trap exit TERM; i=0; while :; do i=$((i+1)); echo hello $i; sleep 1 & wait $!; done"}
	}

	client, end, err := connect(out, *host, *image, *next)
	if err != nil {
		return err
	}
	defer end()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()

	t := &tour{client: client, out: out, name: *name}
	if err := t.look(ctx); err != nil {
		return err
	}
	change, err := t.deploy(ctx, *image, command)
	if err != nil {
		return err
	}
	err = t.live(ctx, change, *next)
	return errors.Join(err, t.remove(ctx))
}

// connect makes a client of the engine at host, or of an embedded one, which has the
// images, if there is no host. Nothing is ever deployed to whatever the environment
// points at.
func connect(out io.Writer, host string, images ...string) (client *swarm.Client, end func(), err error) {
	if host != "" {
		if client, err = swarm.New(swarm.WithHost(host)); err != nil {
			return nil, nil, err
		}
		fmt.Fprintln(out, "running on the engine at", host)
		return client, func() { client.Close() }, nil
	}
	engine, err := swarmtest.NewEngine(swarmtest.WithNodes(1, 2))
	if err != nil {
		return nil, nil, err
	}
	for _, image := range images {
		engine.Image(image, swarmtest.Image{Run: hello})
	}
	fmt.Fprintln(out, "no -host given: running on the embedded engine")
	return engine.Client(), engine.Close, nil
}

// hello is what a container does in the embedded engine, whatever its command is.
func hello(c *swarmtest.Container) int {
	for i := 1; ; i++ {
		c.Printf("hello %d\n", i)
		if !c.Sleep(time.Second) {
			return 0
		}
	}
}

func (t *tour) say(format string, args ...any) {
	fmt.Fprintf(t.out, format+"\n", args...)
}

// look finds out whether there is a swarm to deploy to, before anything is made.
func (t *tour) look(ctx context.Context) error {
	version, err := t.client.System.Version(ctx)
	if errors.Is(err, swarm.ErrUnreachable) {
		return fmt.Errorf("no engine at %s: %w", t.client.Host(), err)
	}
	if err != nil {
		return err
	}
	services, err := t.client.Services.List(ctx, nil)
	switch {
	case errors.Is(err, swarm.ErrNoSwarm):
		return fmt.Errorf("the engine at %s is not in a swarm; make one of it with: docker swarm init", t.client.Host())
	case errors.Is(err, swarm.ErrNotManager):
		return fmt.Errorf("the engine at %s is a worker; name a manager with -host, or promote this one", t.client.Host())
	case errors.Is(err, swarm.ErrLocked):
		return fmt.Errorf("the swarm at %s is locked; unlock it with: docker swarm unlock", t.client.Host())
	case err != nil:
		return err
	}
	t.say("engine %s with API %s runs %d services", version.Version, version.APIVersion, len(services))
	return nil
}

func (t *tour) deploy(ctx context.Context, image string, command []string) (*swarm.ServiceChange, error) {
	t.say("deploying %s: 2 replicas of %s", t.name, image)
	change, err := t.client.Services.Create(ctx, swarm.ServiceSpec{
		Name: t.name,
		Mode: swarm.Replicated(2),
		TaskTemplate: swarm.TaskSpec{
			ContainerSpec: swarm.ContainerSpec{
				Image:           image,
				Args:            command,
				StopGracePeriod: new(2 * time.Second),
			},
		},
		UpdateConfig: swarm.UpdateConfig{Order: swarm.StartFirst, Monitor: time.Second},
	}, nil)
	if errors.Is(err, swarm.ErrNameConflict) {
		return nil, fmt.Errorf("there is a service %s already; choose another name with -name, or remove it", t.name)
	}
	if err != nil {
		return nil, err
	}
	for _, warning := range change.Warnings {
		t.say("warning: %s", warning)
	}
	return change, nil
}

// live is what happens between deploying and removing.
func (t *tour) live(ctx context.Context, deployed *swarm.ServiceChange, next string) error {
	if err := t.wait(ctx, deployed); err != nil {
		return err
	}
	if err := t.printLogs(ctx); err != nil {
		return err
	}

	t.say("scaling to 3 replicas")
	err := t.change(ctx, func(spec *swarm.ServiceSpec) { spec.Mode = swarm.Replicated(3) })
	if err != nil {
		return err
	}

	t.say("updating the image to %s", next)
	err = t.change(ctx, func(spec *swarm.ServiceSpec) { spec.TaskTemplate.ContainerSpec.Image = next })
	if err != nil {
		return err
	}

	t.say("rolling back")
	back, err := t.client.Services.Rollback(ctx, t.name, nil)
	if err != nil {
		return err
	}
	return t.wait(ctx, back)
}

// change changes the service and waits until the change is done.
func (t *tour) change(ctx context.Context, edit func(*swarm.ServiceSpec)) error {
	change, err := t.client.Services.Modify(ctx, t.name, func(service *swarm.Service) error {
		edit(&service.Spec)
		return nil
	}, nil)
	if err != nil {
		return err
	}
	return t.wait(ctx, change)
}

// wait says how a change gets on, until it is done or has failed.
func (t *tour) wait(ctx context.Context, change *swarm.ServiceChange) error {
	last := ""
	for progress, err := range t.client.Services.Watch(ctx, change.Rollout, nil) {
		if err != nil {
			return err
		}
		if line := progress.String(); line != last {
			t.say("  %s", line)
			last = line
		}
	}
	return nil
}

func (t *tour) printLogs(ctx context.Context) error {
	t.say("the last lines of each task:")
	logs, err := t.client.Services.Logs(ctx, t.name, &swarm.LogOptions{Tail: 3})
	if err != nil {
		return err
	}
	defer logs.Close()
	return logs.Copy(t.out, t.out)
}

// remove cleans up, also after a failure or an interrupt.
func (t *tour) remove(ctx context.Context) error {
	t.say("removing %s", t.name)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
	defer cancel()
	if err := t.client.Services.Remove(ctx, t.name); err != nil {
		return err
	}
	t.say("done")
	return nil
}
