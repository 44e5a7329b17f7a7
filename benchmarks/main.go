package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
)

func main() {
	serveIfAsked()
	rounds := flag.Int("rounds", 9, "how often everything is measured")
	megabytes := flag.Int("mb", 4, "how much text of a log is read each time, in MB")
	readme := flag.String("readme", "", "file to put the table into, between the lines that mark it")
	host := flag.String("host", "", "real engine to measure on instead")
	service := flag.String("service", "", "service of that engine to inspect, and whose log is read")
	flag.Parse()
	table, err := tables(*rounds, *megabytes<<20, *host, *service)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(table)
	if *readme == "" {
		return
	}
	if err := insert(*readme, table); err != nil {
		log.Fatal(err)
	}
}

// tables measures what is asked for.
func tables(rounds, bytes int, host, service string) (string, error) {
	if host != "" {
		return measureReal(rounds, host, service)
	}
	speed, err := measure(rounds, bytes)
	if err != nil {
		return "", err
	}
	memory, err := measureMemory()
	return speed + "\n" + memory, err
}

const (
	begin = "<!-- benchmarks: go run . -readme ../README.md -->\n"
	end   = "<!-- end of benchmarks -->\n"
)

// insert puts the table into a file, in the place of the one that is there.
func insert(file, table string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the table: it goes between %q and %q", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+table+end+after), 0o644)
}
