// Testimage is the one program of the test images. As a container's first
// process it handles TERM at once, so that tests do not wait for the engine to
// lose patience.
//
//	testimage                          run until TERM
//	testimage -lines 5 -every 100ms    print 5 numbered lines to each of stdout and
//	                                   stderr, then run until TERM; -lines -1: for ever
//	testimage -lines 1 -width 100000   the same, each line filled to 100000 bytes
//	testimage -exit 3 -after 2s        end with code 3 after 2 s, at once without -after,
//	                                   but not before all lines are printed
//	testimage -last text               print a text without a line feed to stdout after
//	                                   all lines
//	testimage -listen :8080            answer each TCP connection with "HOSTNAME IMAGE\n"
//	testimage -linger 5s               take 5 s to end after TERM
//	testimage -cat /run/secrets/x      print a file first; fail if it is not there
//	testimage healthcheck 0            a health check that succeeds; 1: that fails
//
// Line 3 is "stdout 3" or "stderr 3", after the value of SWARMTEST_LINE and a space if
// that is set. IMAGE is the image's tag.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == "healthcheck" {
		healthcheck(os.Args[2])
	}
	lines := flag.Int("lines", 0, "lines to print to stdout and to stderr; -1: no end")
	every := flag.Duration("every", 0, "pause between lines")
	width := flag.Int("width", 0, "bytes to fill a line to")
	exit := flag.Int("exit", -1, "exit code; -1: run until TERM")
	after := flag.Duration("after", 0, "time until the exit")
	last := flag.String("last", "", "text to print last, without a line feed")
	listen := flag.String("listen", "", "TCP address to answer on")
	linger := flag.Duration("linger", 0, "time to end after TERM")
	file := flag.String("cat", "", "file to print")
	flag.Parse()

	term := make(chan os.Signal, 1)
	signal.Notify(term, syscall.SIGTERM, syscall.SIGINT)
	if *file != "" {
		cat(*file)
	}
	if *listen != "" {
		serve(*listen)
	}
	printed := make(chan struct{})
	go func() {
		printLines(*lines, *every, *width)
		fmt.Print(*last)
		close(printed)
	}()
	var exits <-chan time.Time
	if *exit >= 0 {
		exits = exitTime(*after, printed)
	}
	select {
	case <-term:
		time.Sleep(*linger)
	case <-exits:
		os.Exit(*exit)
	}
}

func healthcheck(code string) {
	n, err := strconv.Atoi(code)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("healthcheck", n)
	os.Exit(n)
}

func cat(file string) {
	content, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	os.Stdout.Write(content)
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				log.Fatal(err)
			}
			fmt.Fprintln(conn, hostname, os.Getenv("SWARMTEST_IMAGE"))
			conn.Close()
		}
	}()
}

func printLines(count int, every time.Duration, width int) {
	for n := 1; count < 0 || n <= count; n++ {
		fmt.Fprintln(os.Stdout, line("stdout", n, width))
		fmt.Fprintln(os.Stderr, line("stderr", n, width))
		time.Sleep(every)
	}
}

func line(stream string, n, width int) string {
	text := fmt.Sprintf("%s %d", stream, n)
	if begin := os.Getenv("SWARMTEST_LINE"); begin != "" {
		text = begin + " " + text
	}
	if len(text) < width {
		text += " " + strings.Repeat("x", width-len(text)-1)
	}
	return text
}

// exitTime fires when the time is up and all lines are out.
func exitTime(after time.Duration, printed <-chan struct{}) <-chan time.Time {
	exits := make(chan time.Time, 1)
	go func() {
		timer := time.After(after)
		<-printed
		exits <- <-timer
	}()
	return exits
}
