// Helper is a credential helper for tests. What it does stands in its name:
// docker-credential-KIND. It writes down what it was asked for in the file
// HELPER_LOG, and has its credentials in the file HELPER_STORE, by server.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

type credentials struct{ ServerURL, Username, Secret string }

func main() {
	asked, err := io.ReadAll(os.Stdin)
	check(err)
	log, err := os.OpenFile(os.Getenv("HELPER_LOG"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	check(err)
	_, err = fmt.Fprintf(log, "%s %q %d\n", strings.Join(os.Args[1:], " "), asked, os.Getpid())
	check(err)
	kind := strings.TrimPrefix(strings.TrimSuffix(filepath.Base(os.Args[0]), ".exe"), "docker-credential-")
	switch kind {
	case "fails":
		fail("canary: no access")
	case "hangs":
		hold()
		time.Sleep(time.Hour)
	case "orphan":
		hold()
		os.Stdout.WriteString(`{"ServerURL":"x","Username":"canary","Secret":"canary"}`)
	case "endless":
		for {
			_, err := os.Stdout.WriteString(strings.Repeat("canary ", 1000))
			check(err)
		}
	case "garbage":
		os.Stdout.WriteString("canary")
	case "empty":
		os.Stdout.WriteString("{}")
	case "elsewhere":
		answer(credentials{"https://elsewhere.example.com", "canary", "canary"})
	case "silent", "pass":
		answer(credentials{"", kind, "secret of " + kind})
	default:
		lookUp(strings.TrimSpace(string(asked)))
	}
}

// hold starts a child that holds the output open.
func hold() {
	child := exec.Command("sleep", "3600")
	child.Stdout = os.Stdout
	check(child.Start())
}

func lookUp(server string) {
	data, err := os.ReadFile(os.Getenv("HELPER_STORE"))
	check(err)
	var store map[string]credentials
	check(json.Unmarshal(data, &store))
	found, ok := store[server]
	if !ok {
		fail("credentials not found in native keychain")
	}
	found.ServerURL = server
	answer(found)
}

func answer(found credentials) { check(json.NewEncoder(os.Stdout).Encode(found)) }

func check(err error) {
	if err != nil {
		fail("canary: " + err.Error())
	}
}

func fail(text string) {
	fmt.Println(text)
	fmt.Fprintln(os.Stderr, text)
	os.Exit(1)
}
