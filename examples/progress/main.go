// Progress shows rollouts as people like to see them: in a terminal as a bar for
// each task, redrawn in place, elsewhere as a line whenever something has changed.
//
//	go run ./examples/progress
//
// deploys a service to the embedded engine, updates it, and then to an image that
// fails, which is rolled back. With
//
//	go run ./examples/progress -host unix:///var/run/docker.sock -service web
//
// it shows what is going on with a service of a real swarm, and changes nothing.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/swarmtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	show := lines(os.Stdout)
	if isTerminal(os.Stdout) {
		show = bars(os.Stdout)
	}
	err := run(ctx, os.Stdout, show, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "progress:", err)
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// display shows how a rollout gets on, and returns what it came to.
type display func(iter.Seq2[swarm.Progress, error]) error

// run is the program.
func run(ctx context.Context, out io.Writer, show display, args []string) error {
	flags := flag.NewFlagSet("progress", flag.ContinueOnError)
	host := flags.String("host", "", "the engine, for example unix:///var/run/docker.sock (default: the embedded engine)")
	service := flags.String("service", "", "the service whose rollout is shown; needed with -host")
	timeout := flags.Duration("timeout", 10*time.Minute, "how long to watch")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if *host == "" {
		return demonstrate(ctx, out, show)
	}
	client, err := swarm.New(swarm.WithHost(*host))
	if err != nil {
		return err
	}
	defer client.Close()
	rollout, err := client.Services.CurrentRollout(ctx, *service)
	if err != nil {
		return err
	}
	return show(client.Services.Watch(ctx, rollout, nil))
}

// demonstrate shows three rollouts on the embedded engine.
func demonstrate(ctx context.Context, out io.Writer, show display) error {
	engine, err := swarmtest.NewEngine(swarmtest.WithNodes(1, 2), swarmtest.WithUnknownImages(swarmtest.Image{
		PullTime: 200 * time.Millisecond, StartTime: 300 * time.Millisecond,
	}))
	if err != nil {
		return err
	}
	defer engine.Close()
	engine.Image("web:broken", swarmtest.Image{Run: func(*swarmtest.Container) int { return 1 }})
	client := engine.Client()

	fmt.Fprintln(out, "no -host given: deploying to the embedded engine")
	created, err := client.Services.Create(ctx, swarm.ServiceSpec{
		Name:         "web",
		Mode:         swarm.Replicated(4),
		TaskTemplate: swarm.TaskSpec{ContainerSpec: swarm.ContainerSpec{Image: "web:1"}},
		UpdateConfig: swarm.UpdateConfig{Parallelism: new(uint64(2)), Monitor: time.Second, FailureAction: swarm.RollbackOnFailure},
	}, nil)
	if err != nil {
		return err
	}
	if err := show(client.Services.Watch(ctx, created.Rollout, nil)); err != nil {
		return err
	}
	for _, image := range []string{"web:2", "web:broken"} {
		fmt.Fprintln(out, "updating the image to", image)
		change, err := client.Services.SetImage(ctx, "web", image, nil)
		if err != nil {
			return err
		}
		err = show(client.Services.Watch(ctx, change.Rollout, nil))
		switch {
		case errors.Is(err, swarm.ErrRolledBack):
			fmt.Fprintln(out, "failed:", err)
		case err != nil:
			return err
		}
	}
	return nil
}

// lines prints a line whenever it says something new.
func lines(out io.Writer) display {
	return func(rollout iter.Seq2[swarm.Progress, error]) error {
		last := ""
		for progress, err := range rollout {
			if err != nil {
				return err
			}
			if line := fmt.Sprintf("%s [%s]", progress, progress.Phase); line != last {
				fmt.Fprintln(out, line)
				last = line
			}
		}
		return nil
	}
}

// bars draws a bar for each task, over the ones before.
func bars(out io.Writer) display {
	return func(rollout iter.Seq2[swarm.Progress, error]) error {
		drawn := 0
		for progress, err := range rollout {
			if err != nil {
				return err
			}
			picture := draw(progress)
			if drawn > 0 {
				fmt.Fprintf(out, "\x1b[%dA\x1b[J", drawn) // up, and clear what is below
			}
			fmt.Fprint(out, picture)
			drawn = strings.Count(picture, "\n")
		}
		return nil
	}
}

// maxBars is how many tasks have bars of their own.
const maxBars = 20

// draw is a picture of a rollout: one bar for all, and one for each task.
func draw(progress swarm.Progress) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n%-14s %s\n", progress, progress.Phase, bar(progress.Running, progress.Desired))
	if len(progress.Tasks) > maxBars {
		return b.String()
	}
	for _, task := range progress.Tasks {
		fmt.Fprintf(&b, "  %-12s %s %s\n", label(&task), bar(steps(task.Status.State), 9), note(&task))
	}
	return b.String()
}

// label is the task's slot, or the beginning of its node's ID.
func label(task *swarm.Task) string {
	if task.Slot == 0 {
		return cmp.Or(swarm.ShortID(task.NodeID), "0")
	}
	return fmt.Sprint(task.Slot)
}

// bar is so much of the whole.
func bar(part, whole uint64) string {
	const width = 30
	if whole == 0 {
		part, whole = 1, 1
	}
	full := int(min(part, whole) * width / whole)
	return "[" + strings.Repeat("=", full) + strings.Repeat(" ", width-full) + "]"
}

// steps is how far a task has come, of nine.
func steps(state swarm.TaskState) uint64 {
	for i, passed := range []swarm.TaskState{swarm.TaskNew, swarm.TaskAllocated, swarm.TaskPending, swarm.TaskAssigned, swarm.TaskAccepted,
		swarm.TaskPreparing, swarm.TaskReady, swarm.TaskStarting} {
		if swarm.CompareTaskStates(state, passed) <= 0 {
			return uint64(i + 1)
		}
	}
	return 9
}

// note is the task's state, or what is wrong with it. Errors are other people's
// text: what could move the cursor is quoted.
func note(task *swarm.Task) string {
	if task.Status.Err == "" {
		return string(task.Status.State)
	}
	return strings.Trim(fmt.Sprintf("%+q", task.Status.Err), `"`)
}
