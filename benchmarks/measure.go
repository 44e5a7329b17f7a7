package main

import (
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// sizes are the lengths of lines. Those whose frames are a multiple of 32 bytes long
// hide how slow some demultiplexers are; so there are 117 and 120.
var sizes = []int{40, 117, 120, 1024, 16384}

// contest is one row for each size: the contenders read the same log. The first is
// ours, the second the one that the others are compared with.
type contest struct {
	name       string
	contenders []contender
}

// contender reads a log to its end and returns how many bytes of text there were.
type contender struct {
	name string
	read func(log *input) (int64, error)
}

// cost is what a turn of a contender took.
type cost struct {
	wall, cpu     time.Duration
	reads         reads
	allocs, bytes uint64
}

// spend runs work and returns what it took of this process.
func spend(work func() error) (cost, error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	reads, cpu, began := readSoFar(), cpuTime(), time.Now()
	err := work()
	c := cost{wall: time.Since(began), cpu: cpuTime() - cpu, reads: readSoFar().since(reads)}
	runtime.ReadMemStats(&after)
	c.allocs, c.bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	return c, err
}

// cpuTime is the processor time that this process has used.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage) // it cannot fail
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// reads are calls of read, and the bytes that came of them.
type reads struct{ calls, bytes uint64 }

// readSoFar is what the kernel has counted for this process; nothing where it does not
// say.
func readSoFar() (r reads) {
	text, _ := os.ReadFile("/proc/self/io")
	fmt.Sscanf(string(text), "rchar: %d\nwchar: %d\nsyscr: %d", &r.bytes, new(uint64), &r.calls)
	return r
}

func (r reads) since(before reads) reads {
	return reads{r.calls - before.calls, r.bytes - before.bytes}
}

// perMegabyte is 0 for a log that came from no kernel.
func (r reads) perMegabyte() float64 {
	if r.bytes < 1e5 {
		return 0
	}
	return float64(r.calls) / (float64(r.bytes) / 1e6)
}

// measure lets all contenders take turns, and returns the table.
func measure(rounds, bytes int) (string, error) {
	var table strings.Builder
	table.WriteString("| logs | line | this library | moby | others |\n|---|---|---|---|---|\n")
	for _, contest := range contests {
		for _, size := range sizes {
			row, err := contest.measure(rounds, size, bytes)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&table, "| %s | %d B | %s |\n", contest.name, size, row)
		}
	}
	return table.String(), nil
}

// measure measures one row.
func (c *contest) measure(rounds, size, bytes int) (string, error) {
	log, err := newInput(size, bytes)
	if err != nil {
		return "", err
	}
	defer log.close()
	costs, err := takeTurns(rounds, len(c.contenders), func(i int) error {
		n, err := c.contenders[i].read(log)
		if err == nil && n != log.text {
			err = fmt.Errorf("read %d bytes of text, not %d", n, log.text)
		}
		if err != nil {
			return fmt.Errorf("%s, %s: %w", c.name, c.contenders[i].name, err)
		}
		return nil
	})
	if err != nil {
		return "", err
	}
	cells := make([]string, len(c.contenders))
	for i, contender := range c.contenders {
		cells[i] = contender.name + " " + log.cell(costs, i)
	}
	cells[0], cells[1] = log.cell(costs, 0), log.cell(costs, 1)
	return strings.Join(append(cells[:2], strings.Join(cells[2:], "; ")), " | "), nil
}

// takeTurns lets n contenders take turns. The first round does not count.
func takeTurns(rounds, n int, turn func(i int) error) ([][]cost, error) {
	costs := make([][]cost, n)
	for round := range rounds + 1 {
		for i := range n {
			runtime.GC() // nobody pays for the garbage of another
			c, err := spend(func() error { return turn(i) })
			if err != nil {
				return nil, err
			}
			if round > 0 {
				costs[i] = append(costs[i], c)
			}
		}
	}
	return costs, nil
}

// cell is what a contender cost beside the second.
func (l *logs) cell(costs [][]cost, i int) string {
	speed := float64(l.text) / 1e6 / median(costs[i], func(c cost) float64 { return c.wall.Seconds() })
	text := fmt.Sprintf("%.0f MB/s", speed)
	if i != 1 {
		text += fmt.Sprintf(", %s, CPU %s", times(costs, i, wall), times(costs, i, cpu))
	}
	if n := median(costs[i], func(c cost) float64 { return c.reads.perMegabyte() }); n > 0 {
		text += fmt.Sprintf(", %.0f reads/MB", n)
	}
	return text
}

func wall(c cost) float64 { return c.wall.Seconds() }
func cpu(c cost) float64  { return c.cpu.Seconds() }

// times is how many times as long the second takes.
func times(costs [][]cost, i int, of func(cost) float64) string {
	n := ratio(costs[1], costs[i], of)
	return strconv.FormatFloat(n, 'f', min(2, max(0, 2-int(math.Log10(max(n, 1))))), 64) + "x"
}

// ratio is what a costs beside b: the median over the rounds.
func ratio(a, b []cost, of func(cost) float64) float64 {
	ratios := make([]float64, len(a))
	for round := range ratios {
		ratios[round] = of(a[round]) / of(b[round])
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func median(costs []cost, of func(cost) float64) float64 {
	values := make([]float64, len(costs))
	for i, c := range costs {
		values[i] = of(c)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
