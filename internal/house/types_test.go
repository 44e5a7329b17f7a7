package house

import (
	"fmt"
	"go/types"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestTheAPISpeaksOfStandardAndOwnTypesOnly(t *testing.T) {
	for _, s := range public(t) {
		noFindings(t, foreignTypes(s.types, module))
	}
}

func TestForeignTypesAreFound(t *testing.T) {
	s := example(t, "foreign")
	assert.Equal(t, []string{
		"field promoted.Hidden: testing.T is from a package for tests",
		"field state.Dialer: golang.org/x/net/proxy.Dialer is a dependency's type",
		"func Take: github.com/stretchr/testify/assert.Assertions is from a package for tests",
		"func Wire: github.com/swarm-go/swarm/internal/wire.Node is internal, nobody can name it",
		"method Deep.Give: github.com/stretchr/testify/assert.TestingT is from a package for tests",
		"var Default: golang.org/x/net/proxy.Dialer is a dependency's type",
	}, foreignTypes(s.types, module))
}

// foreignTypes finds what the exported API of a package is made of beside the
// standard library and the public packages of this module. It follows
// unexported types, which an exported alias, field or result may lead to.
func foreignTypes(pkg *types.Package, own string) []string {
	w := &walker{pkg: pkg, own: own, seen: map[types.Type]bool{}}
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.TypeName:
			w.where = "type " + name
			w.walk(obj.Type())
			if named, ok := obj.Type().(*types.Named); ok {
				w.inside(named)
			}
		case *types.Func:
			w.where = "func " + name
			w.walk(obj.Type())
		default:
			w.where = "var " + name
			w.walk(obj.Type())
		}
	}
	slices.Sort(w.findings)
	return slices.Compact(w.findings)
}

type walker struct {
	pkg      *types.Package
	own      string
	where    string
	seen     map[types.Type]bool
	findings []string
}

func (w *walker) walk(t types.Type) {
	switch t := t.(type) {
	case *types.Alias:
		w.name(t.Obj())
		w.walk(types.Unalias(t))
	case *types.Named:
		w.named(t)
	case *types.Pointer:
		w.walk(t.Elem())
	case *types.Slice:
		w.walk(t.Elem())
	case *types.Array:
		w.walk(t.Elem())
	case *types.Chan:
		w.walk(t.Elem())
	case *types.Map:
		w.walk(t.Key())
		w.walk(t.Elem())
	case *types.Signature:
		w.tuple(t.Params())
		w.tuple(t.Results())
	case *types.Struct:
		w.fields(t, w.where[strings.IndexByte(w.where, ' ')+1:])
	case *types.Interface:
		for method := range t.ExplicitMethods() {
			w.walk(method.Type())
		}
		for embedded := range t.EmbeddedTypes() {
			w.walk(embedded)
		}
	case *types.Union:
		for term := range t.Terms() {
			w.walk(term.Type())
		}
	case *types.TypeParam:
		w.walk(t.Constraint())
	}
}

func (w *walker) tuple(tuple *types.Tuple) {
	for v := range tuple.Variables() {
		w.walk(v.Type())
	}
}

// fields follows exported and embedded fields: what is private is nobody's
// business.
func (w *walker) fields(t *types.Struct, owner string) {
	before := w.where
	for field := range t.Fields() {
		if field.Exported() || field.Embedded() {
			w.where = "field " + owner + "." + field.Name()
			w.walk(field.Type())
		}
	}
	w.where = before
}

func (w *walker) named(t *types.Named) {
	for argument := range t.TypeArgs().Types() {
		w.walk(argument)
	}
	w.name(t.Obj())
	if t.Obj().Pkg() == w.pkg && !t.Obj().Exported() {
		w.inside(t)
	}
}

// name judges the package that a type is from.
func (w *walker) name(obj *types.TypeName) {
	if obj.Pkg() == nil {
		return
	}
	path := obj.Pkg().Path()
	var problem string
	switch {
	case isForTests(path):
		problem = "is from a package for tests"
	case isOwn(path, w.own) && isInternal(path) && !strings.Contains(path, "/testdata/"):
		problem = "is internal, nobody can name it"
	case isOwn(path, w.own), isStandard(path):
		return
	default:
		problem = "is a dependency's type"
	}
	w.findings = append(w.findings, fmt.Sprintf("%s: %s.%s %s", w.where, path, obj.Name(), problem))
}

// inside looks at what a type of ours consists of.
func (w *walker) inside(t *types.Named) {
	if w.seen[t] {
		return
	}
	w.seen[t] = true
	before := w.where
	name := t.Obj().Name()
	if st, ok := t.Underlying().(*types.Struct); ok {
		w.fields(st, name)
	} else {
		w.walk(t.Underlying())
	}
	for selection := range exportedMethods(t) {
		w.where = "method " + name + "." + selection.Obj().Name()
		w.walk(selection.Obj().Type())
	}
	for parameter := range t.TypeParams().TypeParams() {
		w.where = "type " + name
		w.walk(parameter)
	}
	w.where = before
}

func isOwn(path, own string) bool { return path == own || strings.HasPrefix(path, own+"/") }

// isStandard knows the standard library by its paths, whose first element has
// no dot.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// forTests are packages that have no place in a program that uses the library.
var forTests = []string{"testing", "net/http/httptest", "github.com/stretchr/testify", "go.uber.org/goleak"}

func isForTests(path string) bool {
	return slices.ContainsFunc(forTests, func(test string) bool { return isOwn(path, test) })
}

func TestNothingForTestsGetsIntoPrograms(t *testing.T) {
	for _, s := range public(t) {
		noFindings(t, testImports(s))
	}
}

func TestImportsOfTestPackagesAreFound(t *testing.T) {
	assert.Equal(t, []string{
		"other.go:8: imports testing/iotest, which is for tests",
		"package imports, perhaps through others, net/http/httptest, which is for tests",
	}, relative("imports", slices.DeleteFunc(testImports(example(t, "imports")), func(finding string) bool {
		// What those import differs between Go releases.
		return strings.HasSuffix(finding, " flag") || strings.Contains(finding, ", testing, ")
	})))
}

// testImports finds what a program would link: by what the compiler saw here,
// and by the imports of files for other systems.
func testImports(s *source) []string {
	var findings []string
	for _, dep := range s.deps {
		if isForTests(dep) {
			findings = append(findings, "package "+s.name+", perhaps through others, "+dep+", which is for tests")
		}
	}
	for _, file := range s.files {
		for _, spec := range file.Imports {
			if path := strings.Trim(spec.Path.Value, `"`); isForTests(path) {
				findings = append(findings, s.at(spec.Pos())+": imports "+path+", which is for tests")
			}
		}
	}
	slices.Sort(findings)
	return findings
}
