// Package program is the program of the test images, for embedded engines.
package program

import (
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/swarm-go/swarm"
)

// Container is what [Run] runs in.
type Container interface {
	Args() []string
	Task() swarm.Task
	Stdout() io.Writer
	Stderr() io.Writer
	Now() time.Time
	Sleep(time.Duration) bool
	Wait()
	SetHealthy(bool)
}

// Run does in an embedded engine's container what the program of the images
// does that real engines run (see integration/testimage). It returns the exit code.
func Run(c Container) int {
	flags := flag.NewFlagSet("program", flag.ContinueOnError)
	flags.SetOutput(c.Stderr())
	lines := flags.Int("lines", 0, "")
	every := flags.Duration("every", 0, "")
	width := flags.Int("width", 0, "")
	exit := flags.Int("exit", -1, "")
	after := flags.Duration("after", 0, "")
	last := flags.String("last", "", "")
	if flags.Parse(c.Args()) != nil {
		return 2
	}
	begun := c.Now()
	if !checkHealth(c) {
		return 0
	}
	for n := 1; *lines < 0 || n <= *lines; n++ {
		printLine(c.Stdout(), "stdout", n, *width)
		printLine(c.Stderr(), "stderr", n, *width)
		if !c.Sleep(*every) {
			return 0
		}
	}
	fmt.Fprint(c.Stdout(), *last)
	if *exit < 0 {
		c.Wait()
		return 0
	}
	if left := *after - c.Now().Sub(begun); left > 0 && !c.Sleep(left) {
		return 0
	}
	return *exit
}

func printLine(w io.Writer, stream string, n, width int) {
	line := fmt.Sprintf("%s %d", stream, n)
	if len(line) < width {
		line += " " + strings.Repeat("x", width-len(line)-1)
	}
	fmt.Fprintln(w, line)
}

// checkHealth does what the program's own health check does, once. It reports
// whether the container is to go on.
func checkHealth(c Container) bool {
	check := c.Task().Spec.ContainerSpec.Healthcheck
	if check == nil || !slices.Contains(check.Test, "healthcheck") {
		return true
	}
	if !c.Sleep(check.Interval) {
		return false
	}
	c.SetHealthy(check.Test[len(check.Test)-1] == "0")
	return true
}
