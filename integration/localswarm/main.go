// Localswarm starts a real Docker Engine, the manager of a swarm of its own with
// the test images in it, for trying things out; and stops it. It needs Linux,
// root and Debian's apt, and touches no other Docker on the machine.
//
//	go run ./integration/localswarm up [-version 28.5]
//	go run ./integration/localswarm down
//
// up prints the host for -host, DOCKER_HOST or SWARM_TEST_HOST.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/swarm-go/swarm/integration/engines"
)

// dir is where the engine writes. It has one engine at most.
const dir = "/var/lib/swarm-local"

const usage = "usage: localswarm up [-version 20.10|26.1|28.5], or localswarm down"

func main() {
	if err := run(context.Background(), dir, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "localswarm:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dir string, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	flags := flag.NewFlagSet("localswarm "+args[0], flag.ExitOnError)
	switch args[0] {
	case "up":
		version := flags.String("version", "28.5", "engine version: 20.10, 26.1 or 28.5")
		flags.Parse(args[1:])
		return up(ctx, dir, *version, stdout)
	case "down":
		flags.Parse(args[1:])
		return engines.StopDetached(ctx, dir)
	}
	return fmt.Errorf("unknown command %q; %s", args[0], usage)
}

func up(ctx context.Context, dir, version string, stdout io.Writer) error {
	e, err := engines.StartDetached(ctx, dir, version)
	if err != nil {
		return err
	}
	if err := prepare(ctx, e); err != nil {
		engines.StopDetached(ctx, dir)
		return err
	}
	fmt.Fprintf(os.Stderr, "engine %s, API %s, with the images %s, %s and %s; stop it with: go run ./integration/localswarm down\n",
		e.Version, e.APIVersion, engines.Image1, engines.Image2, engines.Image3)
	fmt.Fprintln(stdout, e.Host)
	return nil
}

func prepare(ctx context.Context, e *engines.Engine) error {
	if err := e.InitSwarm(ctx); err != nil {
		return err
	}
	return e.LoadImages(ctx)
}
