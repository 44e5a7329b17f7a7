package house

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

const module = "github.com/swarm-go/swarm"

// root is the repository, as seen from this package's folder.
const root = "../.."

// source is one package: its files as written, for every system and build tag
// but without tests, and its types as the compiler on this system saw them.
type source struct {
	path  string
	name  string
	dir   string // relative to the repository
	fset  *token.FileSet
	files []*ast.File
	types *types.Package
	deps  []string // everything it imports, and what that imports
}

// at is a position as findings show it.
func (s *source) at(pos token.Pos) string {
	p := s.fset.Position(pos)
	return fmt.Sprintf("%s:%d", filepath.ToSlash(filepath.Join(s.dir, filepath.Base(p.Filename))), p.Line)
}

// listed is what "go list" says of a package.
type listed struct {
	ImportPath, Name, Dir, Export  string
	GoFiles, IgnoredGoFiles, Deps  []string
	Error                          *struct{ Err string }
	Module                         *struct{ Path string }
	Standard, DepOnly, ForTestOnly bool
}

func goList(args ...string) ([]listed, error) {
	cmd := exec.Command("go", append([]string{"list", "-e", "-export", "-deps",
		"-json=ImportPath,Name,Dir,Export,GoFiles,IgnoredGoFiles,Deps,Error,Module,Standard,DepOnly"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, &stderr)
	}
	var all []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
}

// load reads the packages that the patterns name.
func load(patterns ...string) ([]*source, error) {
	all, err := goList(patterns...)
	if err != nil {
		return nil, err
	}
	exports := map[string]string{}
	for _, p := range all {
		exports[p.ImportPath] = p.Export
	}
	fset := token.NewFileSet()
	imports := importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s was not compiled", path)
		}
		return os.Open(exports[path])
	})
	top, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	var sources []*source
	for _, p := range all {
		if p.DepOnly || len(p.GoFiles)+len(p.IgnoredGoFiles) == 0 {
			continue
		}
		if p.Error != nil && p.Name != "main" { // of programs only the source is looked at
			return nil, fmt.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		s := &source{path: p.ImportPath, name: p.Name, fset: token.NewFileSet(), deps: p.Deps}
		if s.dir, err = filepath.Rel(top, p.Dir); err != nil {
			return nil, err
		}
		if err := s.parse(slices.Concat(p.GoFiles, p.IgnoredGoFiles)); err != nil {
			return nil, err
		}
		if s.name != "main" {
			if s.types, err = imports.Import(p.ImportPath); err != nil {
				return nil, fmt.Errorf("types of %s: %w", p.ImportPath, err)
			}
		}
		sources = append(sources, s)
	}
	return sources, nil
}

func (s *source) parse(names []string) error {
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(s.fset, filepath.Join(root, s.dir, name), nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if file.Name.Name == s.name { // not a "main" to be ignored beside a library
			s.files = append(s.files, file)
		}
	}
	return nil
}

func isInternal(path string) bool {
	elements := strings.Split(strings.TrimPrefix(path, module+"/"), "/")
	return slices.Contains(elements, "internal") || elements[0] == "integration" // our tests' own tools
}

// everything is the whole module, read once.
var everything = sync.OnceValues(func() ([]*source, error) { return load("./...") })

// public are the packages that a user can import.
func public(t *testing.T) []*source {
	t.Helper()
	all, err := everything()
	require.NoError(t, err)
	var public []*source
	for _, s := range all {
		if s.name != "main" && !isInternal(s.path) {
			public = append(public, s)
		}
	}
	require.NotEmpty(t, public)
	require.Equal(t, module, public[0].path)
	return public
}

// example reads one package of testdata.
func example(t *testing.T, name string) *source {
	t.Helper()
	sources, err := load("./internal/house/testdata/" + name)
	require.NoError(t, err)
	require.Len(t, sources, 1)
	return sources[0]
}

// relative shortens findings about an example, whose paths are long.
func relative(name string, findings []string) []string {
	short := make([]string, len(findings))
	for i, finding := range findings {
		short[i] = strings.TrimPrefix(finding, "internal/house/testdata/"+name+"/")
	}
	return short
}

// noFindings fails with one finding a line.
func noFindings(t *testing.T, findings []string) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}

func TestLoadFindsThePublicPackagesByItself(t *testing.T) {
	all, err := everything()
	require.NoError(t, err)
	var paths []string
	for _, s := range all {
		paths = append(paths, s.path)
	}
	require.Contains(t, paths, module)
	require.Contains(t, paths, module+"/internal/wire")
	for _, s := range public(t) {
		require.NotContains(t, s.path, "internal")
		require.NotEmpty(t, s.files)
	}
}
