// Engine runs an embedded engine until it is interrupted: a swarm without Docker
// for the docker command, or for any program that speaks the Engine API.
//
//	go run ./examples/engine -listen unix:///tmp/swarm.sock
//	docker -H unix:///tmp/swarm.sock service create --name web --replicas 3 nginx
//	docker -H unix:///tmp/swarm.sock service logs --follow web
//
// Containers of every image run until they are stopped, and write a line now and
// then.
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

	"github.com/swarm-go/swarm/swarmtest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Stdout, os.Args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	listen := flags.String("listen", "tcp://127.0.0.1:2375", "where to listen: unix:///path or tcp://127.0.0.1:port")
	release := flags.String("release", string(swarmtest.Newest), "the engine to be like: 20.10, 26.1, 28.5 or newest")
	managers := flags.Int("managers", 1, "number of managers")
	workers := flags.Int("workers", 2, "number of workers")
	if err := flags.Parse(args); err != nil {
		return err
	}
	engine, err := swarmtest.NewEngine(
		swarmtest.WithListen(*listen),
		swarmtest.WithRelease(swarmtest.Release(*release)),
		swarmtest.WithNodes(*managers, *workers),
		swarmtest.WithUnknownImages(swarmtest.Image{Run: talk}),
	)
	if err != nil {
		return err
	}
	defer engine.Close()
	fmt.Fprintf(out, "an engine with %d managers and %d workers listens; use it with\n\n\tdocker -H %s node ls\n\nand end it with Ctrl-C\n",
		*managers, *workers, engine.Host())
	<-ctx.Done()
	fmt.Fprintln(out, "bye")
	return nil
}

// talk is what runs in every container.
func talk(c *swarmtest.Container) int {
	for i := 1; ; i++ {
		c.Printf("%s says hello for the %d. time\n", c.Service().Spec.Name, i)
		if !c.Sleep(10 * time.Second) {
			return 0
		}
	}
}
