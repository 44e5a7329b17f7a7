package house

import (
	"fmt"
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

// pattern is something that must not be written, in files whose names end in
// suffix. The patterns are broken up so as not to find themselves.
type pattern struct {
	suffix string
	what   *regexp.Regexp
	why    string
}

var patterns = []pattern{
	{".go", regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`), "is for an issue, not for the code"},
	{".go", regexp.MustCompile(`\b[tbfm]\.Skip` + `(f|Now)?\(`), "a test that is left out proves nothing"},
	{"", regexp.MustCompile(`(^|[^\w.~*-])/(wo` + `rk|ro` + `ot)/`), "is a path of one machine"},
	{"", regexp.MustCompile(`/ho` + `me/[a-z]`), "is a path of one machine; say $HOME, ~ or a temporary folder"},
	{"", regexp.MustCompile(`\.lib` + `rary/`), "is a path of one machine"},
	{"", regexp.MustCompile(`sha` + `red/(DESIGN|reference|recipes)`), "is a path of one machine"},
}

// pathsAllowed are files that may name such paths.
var pathsAllowed = exceptions{}

func TestNoFileHasForbiddenWords(t *testing.T) {
	findings, err := forbidden(os.DirFS(root), pathsAllowed)
	require.NoError(t, err)
	noFindings(t, findings)
}

func TestForbiddenWordsAreFound(t *testing.T) {
	tree := fstest.MapFS{
		"a.go":            {Data: []byte("package a\n// TO" + "DO: all\nvar XX" + "XL = 1\n")},
		"b_test.go":       {Data: []byte("\tt.Skip" + "f(\"x\")\n\tb.Skip" + "Now()\n\tskip.Skip" + "per()")},
		"c.md":            {Data: []byte("TO" + "DO is fine here.\nSee /wo" + "rk/main and `/ro" + "ot/.ssh`, x/wo" + "rk/y\n")},
		"d/e.json":        {Data: []byte(`{"Dir":"/ho` + `me/me/x"}`)},
		"f.md":            {Data: []byte("/ro" + "ot/x")},
		".git/config":     {Data: []byte("/wo" + "rk/main")},
		".ci/run":         {Data: []byte("cd /wo" + "rk/main\n")},
		"internal/g.http": {Data: []byte("nothing\n")},
	}
	findings, err := forbidden(tree, exceptions{"f.md": "is an example", "g.md": "is not there"})
	require.NoError(t, err)
	assert.Equal(t, []string{
		`.ci/run:1: "/wo` + `rk/" is a path of one machine`,
		`a.go:2: "TO` + `DO" is for an issue, not for the code`,
		`b_test.go:1: "t.Skip` + `f(" a test that is left out proves nothing`,
		`b_test.go:2: "b.Skip` + `Now(" a test that is left out proves nothing`,
		`c.md:2: "/ro` + `ot/" is a path of one machine`,
		`c.md:2: "/wo` + `rk/" is a path of one machine`,
		`d/e.json:1: "/ho` + `me/m" is a path of one machine; say $HOME, ~ or a temporary folder`,
		`g.md is an exception but needs none`,
	}, findings)
}

// forbidden looks for the patterns in every file of the tree but git's own and
// what .gitignore keeps out.
func forbidden(tree fs.FS, allowed exceptions) ([]string, error) {
	var findings, used []string
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case slices.Contains([]string{".git", ".cache"}, name):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case !entry.Type().IsRegular(), slices.Contains([]string{".test", ".out", ".prof"}, path.Ext(name)):
			return nil
		}
		data, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		found := forbiddenIn(name, string(data))
		if len(found) > 0 && allowed[name] != "" {
			used = append(used, name)
			return nil
		}
		findings = append(findings, found...)
		return nil
	})
	slices.Sort(findings)
	return append(findings, allowed.unused(used)...), err
}

func forbiddenIn(name, data string) []string {
	var findings []string
	for _, p := range patterns {
		if !strings.HasSuffix(name, p.suffix) {
			continue
		}
		for _, at := range p.what.FindAllStringIndex(data, -1) {
			line := 1 + strings.Count(data[:at[0]], "\n")
			text := strings.TrimLeft(data[at[0]:at[1]], " \t\n\"'`(=:")
			findings = append(findings, fmt.Sprintf("%s:%d: %q %s", name, line, text, p.why))
		}
	}
	return findings
}
