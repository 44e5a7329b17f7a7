package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// pages are the documents whose code is checked.
var pages = []string{"README.md", "CONTRIBUTING.md"}

func TestTheCodeInThePagesIsCompiled(t *testing.T) {
	for _, page := range pages {
		text, err := fs.ReadFile(os.DirFS(root), page)
		require.NoError(t, err)
		noFindings(t, wrongBlocks(os.DirFS(root), page, string(text)))
	}
}

// block is a fenced piece of a page.
type block struct {
	line   int
	lang   string
	marker string // the comment in the line above: "examples/x/main.go" or "example_test.go: ExampleNew"
	text   string
}

var (
	fence  = regexp.MustCompile("^( *)```+(.*)$")
	marker = regexp.MustCompile(`^ *<!-- (.*) -->$`)
)

// blocks takes the fenced pieces out of a page.
func blocks(page string) []block {
	var all []block
	var open *block
	indent, previous := "", ""
	for i, line := range strings.Split(page, "\n") {
		match := fence.FindStringSubmatch(line)
		switch {
		case open == nil && match != nil:
			indent = match[1]
			open = &block{line: i + 1, lang: strings.TrimSpace(match[2])}
			if comment := marker.FindStringSubmatch(previous); comment != nil {
				open.marker = comment[1]
			}
		case open != nil && match != nil:
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent) + "\n"
		case strings.TrimSpace(line) != "":
			previous = line
			continue
		}
		if match != nil {
			previous = ""
		}
	}
	if open != nil {
		open.lang = "never closed"
		all = append(all, *open)
	}
	return all
}

// wrongBlocks finds Go code that is not, byte for byte, in the compiled file
// that its marker names, and commands that do not exist.
func wrongBlocks(tree fs.FS, page, text string) []string {
	var findings []string
	report := func(b block, line int, err error) {
		if err != nil {
			findings = append(findings, fmt.Sprintf("%s:%d: %v", page, b.line+line, err))
		}
	}
	for _, b := range blocks(text) {
		switch b.lang {
		case "go":
			report(b, 0, wrongGo(tree, b))
		case "sh", "bash", "console":
			for i, line := range strings.Split(b.text, "\n") {
				report(b, 1+i, wrongCommand(tree, line))
			}
		case "text", "json", "diff", "yaml":
		default:
			report(b, 0, fmt.Errorf("the block's language %q is not go, sh, text, json, diff or yaml", b.lang))
		}
	}
	return findings
}

// wrongGo compares a block with what its marker names: a function's body, or
// lines that follow each other in a file.
func wrongGo(tree fs.FS, b block) error {
	name, fn, isFunction := strings.Cut(b.marker, ": ")
	if !strings.HasSuffix(name, ".go") {
		return fmt.Errorf("a go block needs a line above it that says where it is compiled, like <!-- examples/x/main.go --> or <!-- example_test.go: ExampleNew -->")
	}
	if slices.Contains(strings.Split(name, "/"), "testdata") {
		return fmt.Errorf("%s is not compiled", name)
	}
	data, err := fs.ReadFile(tree, name)
	if err != nil {
		return err
	}
	if strings.Contains(string(data), "//go:build ignore") {
		return fmt.Errorf("%s is not compiled", name)
	}
	if !isFunction {
		if !hasLines(string(data), b.text) {
			return fmt.Errorf("the block is not in %s", name)
		}
		return nil
	}
	body, err := bodyOf(name, string(data), fn)
	if err != nil {
		return err
	}
	if body != b.text {
		return fmt.Errorf("the block is not the body of %s in %s, which is:\n%s", fn, name, body)
	}
	return nil
}

// hasLines reports whether lines follow each other in a file, all indented by
// the same.
func hasLines(file, lines string) bool {
	if strings.TrimSpace(lines) == "" {
		return false
	}
	for depth := range 4 {
		if strings.Contains("\n"+file, "\n"+indented(lines, depth)) {
			return true
		}
	}
	return false
}

func indented(lines string, depth int) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		if line != "\n" {
			b.WriteString(strings.Repeat("\t", depth))
		}
		b.WriteString(line)
	}
	return b.String()
}

// bodyOf is the body of a function with one tab less, without the output that
// an example ends with.
func bodyOf(name, data, fn string) (string, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, data, parser.ParseComments)
	if err != nil {
		return "", err
	}
	for _, decl := range file.Decls {
		decl, ok := decl.(*ast.FuncDecl)
		if !ok || decl.Name.Name != fn || decl.Recv != nil {
			continue
		}
		body := data[fset.Position(decl.Body.Lbrace).Offset+1 : fset.Position(decl.Body.Rbrace).Offset]
		body, _, _ = strings.Cut(body, "\n\t// Output:")
		body, _, _ = strings.Cut(body, "\n\t// Unordered output:")
		var b strings.Builder
		for line := range strings.SplitSeq(strings.Trim(body, "\n"), "\n") {
			b.WriteString(strings.TrimPrefix(line, "\t") + "\n")
		}
		return b.String(), nil
	}
	return "", fmt.Errorf("%s has no function %s", name, fn)
}

// programs are what a reader may be asked to have; everything else must be in
// the repository.
var programs = []string{"cd", "curl", "docker", "export", "git", "go", "sudo", "unset"}

var assignment = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*=\S*$`)

// wrongCommand looks at one line of a shell block: the program is known or in
// the repository, folders given to go exist, flags given to "go run" are
// declared there.
func wrongCommand(tree fs.FS, line string) error {
	line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "$ "), " #")
	words := strings.Fields(line)
	for len(words) > 0 && (assignment.MatchString(words[0]) || words[0] == "sudo") {
		words = words[1:]
	}
	switch {
	case len(words) == 0, strings.HasPrefix(words[0], "#"):
		return nil
	case words[0] == "go":
		return wrongGoCommand(tree, words[1:])
	case strings.Contains(words[0], "/"):
		return runnable(tree, words[0])
	case !slices.Contains(programs, words[0]):
		return fmt.Errorf("no command %q", words[0])
	}
	return nil
}

func runnable(tree fs.FS, name string) error {
	info, err := fs.Stat(tree, path.Clean(name))
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular() || info.Mode().Perm()&0o100 == 0:
		return fmt.Errorf("%s cannot be run", name)
	}
	return nil
}

func wrongGoCommand(tree fs.FS, words []string) error {
	if len(words) == 0 || !slices.Contains([]string{"build", "doc", "generate", "get", "install", "mod", "run", "test", "vet", "version", "work"}, words[0]) {
		return fmt.Errorf("no command \"go %s\"", strings.Join(words, " "))
	}
	for i, word := range words[1:] {
		switch {
		case words[0] == "get" && !strings.HasPrefix(word, "-") && !strings.HasPrefix(word, module):
			return fmt.Errorf("\"go get %s\" is not this module", word)
		case strings.HasPrefix(word, "./"):
			folder := path.Clean(strings.TrimSuffix(word, "..."))
			if _, err := fs.Stat(tree, folder); err != nil {
				return err
			}
			if words[0] == "run" {
				return undeclaredFlag(tree, folder, words[i+2:])
			}
		}
	}
	return nil
}

// undeclaredFlag wants each flag's name as a string in the program's source.
func undeclaredFlag(tree fs.FS, folder string, args []string) error {
	files, err := fs.Glob(tree, folder+"/*.go")
	if err != nil {
		return err
	}
	var code strings.Builder
	for _, file := range files {
		data, err := fs.ReadFile(tree, file)
		if err != nil {
			return err
		}
		code.Write(data)
	}
	for _, arg := range args {
		name, isFlag := strings.CutPrefix(arg, "-")
		name, _, _ = strings.Cut(strings.TrimPrefix(name, "-"), "=")
		if isFlag && !strings.Contains(code.String(), `"`+name+`"`) {
			return fmt.Errorf("%s has no flag -%s", folder, name)
		}
	}
	return nil
}

func TestWrongBlocksAreFound(t *testing.T) {
	tree := fstest.MapFS{
		"examples/one/main.go": {Data: []byte("package main\n\nfunc main() {\n\tflag.String(\"host\", \"\", \"\")\n\tif a {\n\n\t\tb()\n\t}\n}\n")},
		"example_test.go":      {Data: []byte("package x_test\n\nfunc ExampleNew() {\n\tclient := New()\n\tif a {\n\t\tb()\n\t}\n\t// Output:\n\t// x\n}\n")},
		"testdata/x.go":        {Data: []byte("package x\n")},
		"old.go":               {Data: []byte("//go:build ignore\n\npackage x\n")},
		".ci/run":              {Data: []byte("#!/bin/sh\n"), Mode: 0o755},
		".ci/data":             {Data: []byte("x\n"), Mode: 0o644},
	}
	right := []string{
		"<!-- examples/one/main.go -->\n```go\nif a {\n\n\tb()\n}\n```\n",
		"<!-- examples/one/main.go -->\n\n```go\npackage main\n\nfunc main() {\n```\n",
		"1. so\n\n   <!-- example_test.go: ExampleNew -->\n   ```go\n   client := New()\n   if a {\n   \tb()\n   }\n   ```\n",
		"```sh\n# a comment\nA=b go test ./... # all\n./.ci/run long\n$ go run ./examples/one -host x --host=y\ngo get " + module + "@latest\n\ncd examples\n```\n",
		"```text\nany thing\n```\n",
	}
	for _, text := range right {
		assert.Empty(t, wrongBlocks(tree, "page", text), text)
	}
	wrong := map[string]string{
		"```go\nclient := New()\n```\n":                                             "page:1: a go block needs a line above it",
		"<!-- example_test.go: ExampleNew -->\ntext\n```go\nclient := New()\n```\n": "page:3: a go block needs a line above it",
		"<!-- examples/one/main.go -->\n```go\nif a {\n\tb()\n}\n```\n":             "page:2: the block is not in examples/one/main.go",
		"<!-- examples/one/main.go -->\n```go\nackage main\n```\n":                  "page:2: the block is not in",
		"<!-- examples/one/main.go -->\n```go\n```\n":                               "page:2: the block is not in",
		"<!-- examples/two/main.go -->\n```go\nx\n```\n":                            "page:2: open examples/two/main.go",
		"<!-- testdata/x.go -->\n```go\npackage x\n```\n":                           "page:2: testdata/x.go is not compiled",
		"<!-- old.go -->\n```go\npackage x\n```\n":                                  "page:2: old.go is not compiled",
		"<!-- example_test.go: ExampleNew -->\n```go\nclient := New()\n```\n":       "page:2: the block is not the body of ExampleNew",
		"<!-- example_test.go: ExampleOld -->\n```go\nclient := New()\n```\n":       "page:2: example_test.go has no function ExampleOld",
		"```\nx\n```\n":                             "page:1: the block's language \"\"",
		"```text\nx\n":                              "page:1: the block's language \"never closed\"",
		"```sh\n\nmake\n```":                        "page:3: no command \"make\"",
		"```sh\ngo run ./examples/two\n```":         "examples/two: file does not exist",
		"```sh\ngo run ./examples/one -port 1\n```": "page:2: examples/one has no flag -port",
		"```sh\ngo tset ./...\n```":                 "page:2: no command \"go tset",
		"```sh\ngo get example.org/other\n```":      "page:2: \"go get example.org/other\"",
		"```sh\nX=1 ./.ci/walk\n```":                ".ci/walk: file does not exist",
		"```sh\n./.ci/data\n```":                    "page:2: ./.ci/data cannot be run",
	}
	for text, finding := range wrong {
		findings := wrongBlocks(tree, "page", text)
		if assert.Len(t, findings, 1, text) {
			assert.Contains(t, findings[0], finding, text)
		}
	}
}
