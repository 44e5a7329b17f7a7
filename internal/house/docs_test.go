package house

import (
	"go/ast"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/assert"
)

func TestEverythingExportedIsDocumented(t *testing.T) {
	for _, s := range public(t) {
		noFindings(t, undocumented(s))
	}
}

func TestUndocumentedNamesAreFound(t *testing.T) {
	assert.Equal(t, []string{
		"docs.go: package docs has no comment",
		"docs.go:3: const Bare has no comment",
		"docs.go:7: const Grouped has no comment",
		"docs.go:11: var Repeated: the comment only repeats the name",
		"docs.go:13: type Naked has no comment",
		"docs.go:14: field Naked.Field has no comment",
		"docs.go:17: field Naked.Inner.Deep has no comment",
		"docs.go:24: field hidden.Promoted has no comment",
		"docs.go:29: field More.MaxSize: the comment only repeats the name",
		"docs.go:33: method Naked.Method has no comment",
		"docs.go:36: func Wrong: the comment does not begin with the name",
		"docs.go:40: method Face.Method has no comment",
		"docs.go:45: field Generic.Value has no comment",
	}, relative("docs", undocumented(example(t, "docs"))))
}

// undocumented finds exported names and fields without a comment, or with one
// that says nothing.
func undocumented(s *source) []string {
	d := &documentation{source: s, structs: map[string]*ast.StructType{}}
	packageComment := false
	for _, file := range s.files {
		packageComment = packageComment || file.Doc != nil
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if st, ok := spec.Type.(*ast.StructType); ok {
					d.structs[spec.Name.Name] = st
				}
			}
			return true
		})
	}
	if !packageComment && len(s.files) > 0 {
		at, _, _ := strings.Cut(s.at(s.files[0].Package), ":")
		d.findings = append(d.findings, at+": package "+s.name+" has no comment")
	}
	for _, file := range s.files {
		for _, decl := range file.Decls {
			d.decl(decl)
		}
	}
	return d.findings
}

type documentation struct {
	*source
	structs  map[string]*ast.StructType
	promoted []string // unexported structs whose fields were looked at
	findings []string
}

func (d *documentation) decl(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		d.function(decl)
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				d.values(decl, spec)
			case *ast.TypeSpec:
				d.typ(decl, spec)
			}
		}
	}
}

func (d *documentation) function(decl *ast.FuncDecl) {
	kind, name := "func", decl.Name.Name
	if decl.Recv != nil {
		receiver := receiverName(decl)
		if !ast.IsExported(receiver) {
			return
		}
		kind, name = "method", receiver+"."+name
	}
	if decl.Name.IsExported() {
		d.check(decl, kind, name, true, decl.Doc)
	}
}

// values wants a comment for each name; one for a group of constants is not
// enough.
func (d *documentation) values(decl *ast.GenDecl, spec *ast.ValueSpec) {
	comments := []*ast.CommentGroup{spec.Doc, spec.Comment}
	if !decl.Lparen.IsValid() {
		comments = append(comments, decl.Doc)
	}
	for _, name := range spec.Names {
		if name.IsExported() {
			d.check(name, decl.Tok.String(), name.Name, false, comments...)
		}
	}
}

func (d *documentation) typ(decl *ast.GenDecl, spec *ast.TypeSpec) {
	if !spec.Name.IsExported() {
		return
	}
	comments := []*ast.CommentGroup{spec.Doc}
	if !decl.Lparen.IsValid() {
		comments = append(comments, decl.Doc)
	}
	d.check(spec, "type", spec.Name.Name, true, comments...)
	d.members(spec.Name.Name, spec.Type)
}

// members looks at the fields of structs and the methods of interfaces, however
// deep inside a type they are.
func (d *documentation) members(owner string, typ ast.Expr) {
	switch typ := typ.(type) {
	case *ast.StructType:
		for _, field := range typ.Fields.List {
			d.field(owner, "field", field)
		}
	case *ast.InterfaceType:
		for _, method := range typ.Methods.List {
			if _, isMethod := method.Type.(*ast.FuncType); isMethod {
				d.field(owner, "method", method)
			}
		}
	case *ast.StarExpr:
		d.members(owner, typ.X)
	case *ast.ArrayType:
		d.members(owner, typ.Elt)
	case *ast.MapType:
		d.members(owner, typ.Value)
	case *ast.ParenExpr:
		d.members(owner, typ.X)
	}
}

func (d *documentation) field(owner, kind string, field *ast.Field) {
	names := field.Names
	if len(names) == 0 {
		embedded := typeName(field.Type)
		if !ast.IsExported(embedded) {
			d.promote(embedded)
			return
		}
		names = []*ast.Ident{{Name: embedded, NamePos: field.Pos()}}
	}
	for _, name := range names {
		if name.IsExported() {
			full := owner + "." + name.Name
			d.check(name, kind, full, false, field.Doc, field.Comment)
			d.members(full, field.Type)
		}
	}
}

// promote looks at an unexported struct embedded in an exported one, whose
// fields can be used from outside.
func (d *documentation) promote(name string) {
	if st := d.structs[name]; st != nil && !slices.Contains(d.promoted, name) {
		d.promoted = append(d.promoted, name)
		d.members(name, st)
	}
}

func (d *documentation) check(node ast.Node, kind, full string, nameFirst bool, comments ...*ast.CommentGroup) {
	var text string
	for _, comment := range comments {
		text += comment.Text() // nil has none
	}
	name := full[strings.LastIndexByte(full, '.')+1:]
	var problem string
	switch {
	case strings.TrimSpace(text) == "":
		problem = " has no comment"
	case saysNothing(name, text):
		problem = ": the comment only repeats the name"
	case nameFirst && !regexp.MustCompile(`^((A|An|The) )?`+name+`\b`).MatchString(text):
		problem = ": the comment does not begin with the name"
	default:
		return
	}
	d.findings = append(d.findings, d.at(node.Pos())+": "+kind+" "+full+problem)
}

func receiverName(decl *ast.FuncDecl) string {
	return typeName(decl.Recv.List[0].Type)
}

// typeName is the name of a type without pointer, package and parameters.
func typeName(expr ast.Expr) string {
	switch expr := expr.(type) {
	case *ast.Ident:
		return expr.Name
	case *ast.StarExpr:
		return typeName(expr.X)
	case *ast.SelectorExpr:
		return expr.Sel.Name
	case *ast.IndexExpr:
		return typeName(expr.X)
	case *ast.IndexListExpr:
		return typeName(expr.X)
	}
	return ""
}

// fillers carry no meaning of their own in a first sentence.
var fillers = strings.Fields("a an and are be does field for gets has have holds in is it its of on or represents returns sets that the this to type value with")

// saysNothing reports a comment whose first sentence has no word that is not in
// the name already.
func saysNothing(name, comment string) bool {
	known := append(words(name), fillers...)
	known = append(known, stem(strings.ToLower(name)))
	for _, word := range words(firstSentence(comment)) {
		if !slices.Contains(known, word) {
			return false
		}
	}
	return true
}

func firstSentence(comment string) string {
	text := strings.Join(strings.Fields(comment), " ")
	if i := strings.Index(text, ". "); i >= 0 {
		return text[:i]
	}
	return text
}

// words splits prose and camel case into lower-case words without plural s.
func words(s string) []string {
	var out []string
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		out = append(out, stem(strings.ToLower(field)))
		for _, part := range camel.FindAllString(field, -1) {
			out = append(out, stem(strings.ToLower(part)))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

var camel = regexp.MustCompile(`[A-Z]+[a-z0-9]*|[a-z0-9]+`)

func stem(word string) string {
	if len(word) > 3 {
		return strings.TrimSuffix(word, "s")
	}
	return word
}

func TestACommentThatOnlyRepeatsTheNameSaysNothing(t *testing.T) {
	for name, comment := range map[string]string{
		"Name":         "Name is the name.",
		"Labels":       "Labels",
		"TaskTemplate": "The task template. With a second sentence that says more.",
		"Scale":        "Scale scales.",
	} {
		assert.True(t, saysNothing(name, comment), comment)
	}
	for name, comment := range map[string]string{
		"Name":    "Name is unique within the swarm.",
		"ID":      "ID is the service's ID.",
		"Tail":    "Tail: 0 is all lines.",
		"MaxSize": "MaxSize is the maximum size.",
	} {
		assert.False(t, saysNothing(name, comment), comment)
	}
}
