package house

import (
	"flag"
	"fmt"
	"go/ast"
	"go/types"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the exported API to api.txt")

func TestExportedAPIIsTheOneInAPITxt(t *testing.T) {
	var lines []string
	for _, s := range public(t) {
		lines = append(lines, declarations(s.types)...)
	}
	slices.Sort(lines)
	file := filepath.Join(root, "api.txt")
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644))
	}
	recorded, err := os.ReadFile(file)
	require.NoError(t, err)
	if diff := difference(strings.Split(strings.TrimSuffix(string(recorded), "\n"), "\n"), lines); len(diff) > 0 {
		t.Errorf("the exported API is not the one in api.txt:\n\n%s\n\nIf this is meant, say why in the commit, and run\n\tgo test ./internal/house -update",
			strings.Join(diff, "\n"))
	}
}

func TestDeclarationsListWhatAUserCanName(t *testing.T) {
	assert.Equal(t, []string{
		`api: const Fast Speed = "fast"`,
		`api: const Limit untyped int = 3`,
		`api: field Choice.Of T`,
		`api: field Options.Embedded (embedded)`,
		`api: field Options.Inner struct{Deep int}`,
		`api: field Options.Inner.Deep int`,
		`api: field Options.Promoted bool`,
		`api: field Options.Size int64`,
		`api: func New(opts ...Setting) (*Options, error)`,
		`api: method (*Options) Run(ctx context.Context, ref string) (iter.Seq2[Speed, error], error)`,
		`api: method (Embedded) Close() error`,
		`api: method (Reader) Read(p []byte) (n int, err error)`,
		`api: method (Speed) String() string`,
		`api: type Alias = map[string]Options`,
		`api: type Choice[T any] struct`,
		`api: type Embedded struct`,
		`api: type Options struct`,
		`api: type Reader interface`,
		`api: type Setting func(*hidden)`,
		`api: type Speed string`,
		`api: var ErrNone error`,
	}, declarations(example(t, "api").types))
}

func TestADifferenceShowsLinesThatCameAndWent(t *testing.T) {
	assert.Equal(t, []string{"- b", "+ b2", "+ d"}, difference([]string{"a", "b", "c"}, []string{"a", "b2", "c", "d"}))
	assert.Equal(t, []string{"+ b"}, difference([]string{"a"}, []string{"a", "b"}))
	assert.Empty(t, difference([]string{"a"}, []string{"a"}))
}

// difference compares sorted lists.
func difference(old, now []string) []string {
	var diff []string
	for len(old)+len(now) > 0 {
		switch {
		case len(now) == 0 || len(old) > 0 && old[0] < now[0]:
			diff, old = append(diff, "- "+old[0]), old[1:]
		case len(old) == 0 || now[0] < old[0]:
			diff, now = append(diff, "+ "+now[0]), now[1:]
		default:
			old, now = old[1:], now[1:]
		}
	}
	return diff
}

// declarations lists the exported API of a package, one declaration a line.
func declarations(pkg *types.Package) []string {
	l := &lister{pkg: pkg}
	for _, name := range pkg.Scope().Names() {
		if obj := pkg.Scope().Lookup(name); obj.Exported() {
			l.object(obj)
		}
	}
	slices.Sort(l.lines)
	return l.lines
}

type lister struct {
	pkg   *types.Package
	lines []string
}

func (l *lister) add(format string, args ...any) {
	l.lines = append(l.lines, path.Base(l.pkg.Path())+": "+fmt.Sprintf(format, args...))
}

// qualify leaves out the package's own name.
func (l *lister) qualify(pkg *types.Package) string {
	if pkg == l.pkg {
		return ""
	}
	return pkg.Name()
}

func (l *lister) text(t types.Type) string { return types.TypeString(t, l.qualify) }

// signature is a function's type without the word func.
func (l *lister) signature(obj types.Object) string {
	return strings.TrimPrefix(l.text(obj.Type()), "func")
}

func (l *lister) object(obj types.Object) {
	switch obj := obj.(type) {
	case *types.Const:
		l.add("const %s %s = %s", obj.Name(), l.text(obj.Type()), obj.Val().ExactString())
	case *types.Var:
		l.add("var %s %s", obj.Name(), l.text(obj.Type()))
	case *types.Func:
		l.add("func %s%s", obj.Name(), l.signature(obj))
	case *types.TypeName:
		l.typ(obj)
	}
}

func (l *lister) typ(obj *types.TypeName) {
	if obj.IsAlias() {
		l.add("type %s = %s", obj.Name(), l.text(types.Unalias(obj.Type())))
		return
	}
	named := obj.Type().(*types.Named)
	switch underlying := named.Underlying().(type) {
	case *types.Struct:
		l.add("type %s struct", l.text(named))
		l.fields(obj.Name(), underlying)
	case *types.Interface:
		l.add("type %s interface", l.text(named))
	default:
		l.add("type %s %s", l.text(named), l.text(underlying))
	}
	l.methods(named)
}

func (l *lister) fields(owner string, st *types.Struct) {
	for field := range st.Fields() {
		inner, isStruct := field.Type().(*types.Struct)
		switch {
		case field.Embedded() && field.Exported():
			l.add("field %s.%s (embedded)", owner, l.text(field.Type()))
		case field.Embedded():
			if promoted, ok := deref(field.Type()).Underlying().(*types.Struct); ok {
				l.fields(owner, promoted)
			}
		case field.Exported():
			l.add("field %s.%s %s", owner, field.Name(), l.text(field.Type()))
			if isStruct {
				l.fields(owner+"."+field.Name(), inner)
			}
		}
	}
}

// methods lists the methods of a type, also those it has from embedded types
// that nobody can name.
func (l *lister) methods(named *types.Named) {
	value := types.NewMethodSet(named)
	for selection := range exportedMethods(named) {
		obj := selection.Obj()
		if len(selection.Index()) > 1 && ast.IsExported(deref(obj.Type().(*types.Signature).Recv().Type()).(*types.Named).Obj().Name()) {
			continue // listed with the type embedded
		}
		receiver := named.Obj().Name()
		if value.Lookup(obj.Pkg(), obj.Name()) == nil {
			receiver = "*" + receiver
		}
		l.add("method (%s) %s%s", receiver, obj.Name(), l.signature(obj))
	}
}

// exportedMethods are the methods of a type and of pointers to it.
func exportedMethods(named *types.Named) func(yield func(*types.Selection) bool) {
	return func(yield func(*types.Selection) bool) {
		var t types.Type = named
		if !types.IsInterface(t) {
			t = types.NewPointer(t)
		}
		for selection := range types.NewMethodSet(t).Methods() {
			if selection.Obj().Exported() && !yield(selection) {
				return
			}
		}
	}
}

func deref(t types.Type) types.Type {
	if pointer, ok := types.Unalias(t).(*types.Pointer); ok {
		return types.Unalias(pointer.Elem())
	}
	return types.Unalias(t)
}
