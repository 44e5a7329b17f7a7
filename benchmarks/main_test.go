package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	serveIfAsked()
	os.Exit(m.Run())
}

func TestAllContendersReadTheWholeLog(t *testing.T) {
	table, err := measure(1, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.Count(table, "\n"), 2+len(contests)*len(sizes); got != want {
		t.Errorf("%d lines in the table, not %d:\n%s", got, want, table)
	}
}

func TestTheTableReplacesTheOneBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "README.md")
	if err := insert(file, "new\n"); err == nil {
		t.Error("there is no such file")
	}
	for content, want := range map[string]string{
		"a\n" + begin + "old\n" + end + "b\n": "a\n" + begin + "new\n" + end + "b\n",
		"a\n":                                 "",
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		err := insert(file, "new\n")
		got, _ := os.ReadFile(file)
		if want == "" && err == nil || want != "" && string(got) != want {
			t.Errorf("%q became %q, %v", content, got, err)
		}
	}
}
