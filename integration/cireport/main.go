// Cireport judges a test run: it reads the output of `go test -json` from its
// standard input, prints it readable, and fails if a test or package failed, if
// a test was skipped, or if no test ran. Of tests that pass it prints the lines
// that begin with "note: ", each once.
//
//	go test -json ./... | go run ./integration/cireport [-engines "20.10 26.1 28.5"] [-results FILE] [-failed FILE]
//
// With -engines it also fails unless every engine ran the same tests: those with
// the engine's name as an element of their own, as in TestCreate/28.5/global.
// With -results it adds a line for each test to a file: "pass PACKAGE TEST", or
// fail, or skip. With -failed it adds the names of the tests that failed to another,
// without their subtests, if nothing else is wrong: they may be run once more.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	engines := flag.String("engines", "", "names of the engines that must have run the same tests")
	results := flag.String("results", "", "file to add a line for each test to")
	failed := flag.String("failed", "", "file to add the name of each test that failed to")
	flag.Parse()
	r := newReport(os.Stdout)
	if err := r.read(os.Stdin); err != nil {
		log.Fatal("cireport: ", err)
	}
	problems := r.judge(strings.Fields(*engines))
	for _, problem := range problems {
		fmt.Println("FAIL:", problem)
	}
	for file, lines := range map[string][]string{*results: r.results, *failed: r.again(strings.Fields(*engines))} {
		if err := appendLines(file, lines); err != nil {
			log.Fatal("cireport: ", err)
		}
	}
	if len(problems) > 0 {
		os.Exit(1)
	}
}

func appendLines(name string, lines []string) error {
	if name == "" {
		return nil
	}
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Fprintln(file, line)
	}
	return file.Close()
}

// event is one line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of build output, instead of Package
	Test       string
	Output     string
	Elapsed    float64
}

// maxOutput is how much of one test's output is kept: its end.
const maxOutput = 64 << 10

// testID is a test, or with an empty name a package.
type testID struct{ pkg, test string }

type report struct {
	out      io.Writer
	output   map[testID]string // of what has not ended
	notes    map[string]bool   // that are printed
	counts   map[string]int    // passed tests by package
	tests    []testID          // that ran, in the order of their end
	results  []string          // "pass PACKAGE TEST", in the same order
	failed   []string
	skipped  []string
	packages []string // that failed

	unfinished bool // a package took tests with it, or failed without one
}

func newReport(out io.Writer) *report {
	return &report{out: out, output: map[testID]string{}, notes: map[string]bool{}, counts: map[string]int{}}
}

func (r *report) read(in io.Reader) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.readLine(line)
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (r *report) readLine(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		fmt.Fprintf(r.out, "%s", line) // go itself, about a build it cannot begin
		return
	}
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "output":
		r.keep(id, e.Output)
		r.printNote(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(id, e.Action)
		}
		delete(r.output, id)
	}
}

func (r *report) keep(id testID, output string) {
	kept := r.output[id] + output
	if len(kept) > maxOutput {
		kept = "…" + kept[len(kept)-maxOutput/2:]
	}
	r.output[id] = kept
}

// noteLine is what a program prints, or what t.Log makes of it.
var noteLine = regexp.MustCompile(`^(?:\s+\S+\.go:\d+: )?(note: .*)`)

func (r *report) printNote(line string) {
	if note := noteLine.FindStringSubmatch(line); note != nil && !r.notes[note[1]] {
		r.notes[note[1]] = true
		fmt.Fprintln(r.out, note[1])
	}
}

func (r *report) endTest(id testID, action string) {
	name := id.pkg + " " + id.test
	r.tests = append(r.tests, id)
	r.results = append(r.results, action+" "+name)
	switch action {
	case "pass":
		r.counts[id.pkg]++
	case "fail":
		r.failed = append(r.failed, name)
		fmt.Fprintf(r.out, "\n%s", r.output[id])
	case "skip":
		r.skipped = append(r.skipped, name)
		fmt.Fprintf(r.out, "\n%s", r.output[id])
	}
}

func (r *report) endPackage(e event) {
	switch {
	case e.Action == "fail":
		r.packages = append(r.packages, e.Package)
		r.unfinished = r.unfinished || !slices.ContainsFunc(r.failed, func(name string) bool { return strings.HasPrefix(name, e.Package+" ") })
		r.printUnfinished(e.Package)
		fmt.Fprintf(r.out, "FAIL  %-60s %4d passed %7.1fs\n", e.Package, r.counts[e.Package], e.Elapsed)
	case e.Action == "skip" || r.counts[e.Package] == 0:
		fmt.Fprintf(r.out, "none  %s\n", e.Package)
	default:
		fmt.Fprintf(r.out, "ok    %-60s %4d passed %7.1fs\n", e.Package, r.counts[e.Package], e.Elapsed)
	}
}

// printUnfinished prints what a package said itself (a panic, a race, a failed
// TestMain), and the tests that it took with it.
func (r *report) printUnfinished(pkg string) {
	for id, output := range r.output {
		if id.pkg == pkg {
			fmt.Fprintf(r.out, "\n%s", output)
			delete(r.output, id)
			r.unfinished = r.unfinished || id.test != ""
		}
	}
}

// judge returns what is wrong with the run.
func (r *report) judge(engines []string) []string {
	var problems []string
	for _, name := range r.failed {
		problems = append(problems, "test failed: "+name)
	}
	for _, name := range r.skipped {
		problems = append(problems, "test skipped: "+name)
	}
	for _, name := range r.packages {
		problems = append(problems, "package failed: "+name)
	}
	if len(r.tests) == 0 {
		problems = append(problems, "no test ran")
	}
	return append(problems, r.compareEngines(engines)...)
}

// again are the names of the tests that failed, without their subtests, if nothing
// else is wrong with the run; otherwise none.
func (r *report) again(engines []string) []string {
	failed := map[string]bool{}
	for _, name := range r.failed {
		_, test, _ := strings.Cut(name, " ")
		failed[wholeTest(test)] = true
	}
	rest := report{}
	for _, id := range r.tests {
		if !failed[wholeTest(id.test)] {
			rest.tests = append(rest.tests, id)
		}
	}
	if r.unfinished || len(r.skipped) > 0 || len(rest.compareEngines(engines)) > 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(failed))
}

func wholeTest(name string) string {
	whole, _, _ := strings.Cut(name, "/")
	return whole
}

// compareEngines returns the tests that some engine ran and another did not.
func (r *report) compareEngines(engines []string) []string {
	ran := map[string]map[string]bool{} // test, its engine taken out: engines
	for _, id := range r.tests {
		if engine, rest := takeOutEngine(id.test, engines); engine != "" {
			name := id.pkg + " " + rest
			if ran[name] == nil {
				ran[name] = map[string]bool{}
			}
			ran[name][engine] = true
		}
	}
	if len(engines) > 0 && len(ran) == 0 {
		return []string{"no test ran on an engine"}
	}
	var problems []string
	for name, by := range ran {
		for _, engine := range engines {
			if !by[engine] {
				problems = append(problems, fmt.Sprintf("%s did not run on %s", name, engine))
			}
		}
	}
	return problems
}

func takeOutEngine(test string, engines []string) (engine, rest string) {
	elements := strings.Split(test, "/")
	for i, element := range elements {
		for _, engine := range engines {
			if element == engine {
				elements[i] = "ENGINE"
				return engine, strings.Join(elements, "/")
			}
		}
	}
	return "", test
}
