package house

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exceptions are names that a rule does not hold for, each with the reason. One
// that excuses nothing is a finding too.
type exceptions map[string]string

// unused finds exceptions that nothing needed.
func (e exceptions) unused(used []string) []string {
	var findings []string
	for name := range e {
		if !slices.Contains(used, name) {
			findings = append(findings, name+" is an exception but needs none")
		}
	}
	slices.Sort(findings)
	return findings
}

// withoutEndpoint take a context but have no endpoint of their own.
var withoutEndpoint = exceptions{
	"Client.DialContext": "lends the connection and sends nothing over it",
}

func TestEveryMethodThatTalksToTheEngineNamesAnEndpointOfTheTable(t *testing.T) {
	noFindings(t, wrongEndpoints(public(t)[0], endpointTable(t), withoutEndpoint))
}

func TestWrongEndpointsAreFound(t *testing.T) {
	table := []string{"GET /things", "GET /things/{id}", "POST /things/create"}
	assert.Equal(t, []string{
		"rules.go:22: ThingClient.Inspect names GET /things/{name}, which is not in the table",
		"rules.go:25: ThingClient.Remove talks to the engine but has no line \"Engine endpoint: METHOD /path\"",
		"rules.go:28: ThingClient.Update: \"Engine endpoint: things\" is no method and path",
		"rules.go:35: Wait talks to the engine but has no line \"Engine endpoint: METHOD /path\"",
		"Nobody is an exception but needs none",
	}, relative("rules", wrongEndpoints(example(t, "rules"), table, exceptions{"Client.Dial": "sends nothing", "Nobody": "is not there"})))
}

// endpointTable reads the endpoints out of the table of versions.
func endpointTable(t *testing.T) []string {
	t.Helper()
	var table []string
	for _, file := range public(t)[0].files {
		ast.Inspect(file, func(n ast.Node) bool {
			if literal, ok := n.(*ast.BasicLit); ok && isTableFile(public(t)[0].at(file.Package)) {
				if text, err := strconv.Unquote(literal.Value); err == nil && isEndpoint.MatchString(text) {
					table = append(table, text)
				}
			}
			return true
		})
	}
	require.NotEmpty(t, table, "versions.go lists no endpoints")
	return table
}

func isTableFile(at string) bool { return strings.HasPrefix(at, "versions") }

var (
	isEndpoint   = regexp.MustCompile(`^(GET|HEAD|POST|PUT|DELETE) /[^ ]*$`)
	endpointLine = regexp.MustCompile(`(?m)^Engine endpoints?: (.*)$`)
)

// wrongEndpoints looks at every exported function and method that takes a
// context, which is what tells that it talks to the engine.
func wrongEndpoints(s *source, table []string, allowed exceptions) []string {
	var findings, used []string
	for _, fn := range exportedFunctions(s) {
		if !fn.takes("context.Context") {
			continue
		}
		if allowed[fn.name] != "" {
			used = append(used, fn.name)
			continue
		}
		lines := endpointLine.FindAllStringSubmatch(fn.decl.Doc.Text(), -1)
		if len(lines) == 0 {
			findings = append(findings, fn.at+": "+fn.name+" talks to the engine but has no line \"Engine endpoint: METHOD /path\"")
		}
		for _, line := range lines {
			for endpoint := range strings.SplitSeq(line[1], ", ") {
				switch {
				case !isEndpoint.MatchString(endpoint):
					findings = append(findings, fn.at+": "+fn.name+": \""+line[0]+"\" is no method and path")
				case !slices.Contains(table, endpoint):
					findings = append(findings, fn.at+": "+fn.name+" names "+endpoint+", which is not in the table")
				}
			}
		}
	}
	return append(findings, allowed.unused(used)...)
}

// function is an exported function, or an exported method of an exported type.
type function struct {
	at   string
	name string // with its type: "ServiceClient.Remove"
	decl *ast.FuncDecl
}

func exportedFunctions(s *source) []function {
	var functions []function
	for _, file := range s.files {
		for _, decl := range file.Decls {
			fn, ok := decl.(*ast.FuncDecl)
			if !ok || !fn.Name.IsExported() {
				continue
			}
			name := fn.Name.Name
			if fn.Recv != nil {
				if !ast.IsExported(receiverName(fn)) {
					continue
				}
				name = receiverName(fn) + "." + name
			}
			functions = append(functions, function{s.at(fn.Pos()), name, fn})
		}
	}
	return functions
}

// takes reports whether a function has a parameter of that type.
func (f function) takes(typ string) bool {
	return slices.Contains(f.parameters(), typ)
}

// parameters are the types of a function's parameters as written, for those
// that are a plain or a qualified name.
func (f function) parameters() []string {
	var all []string
	for _, field := range f.decl.Type.Params.List {
		text := ""
		switch typ := field.Type.(type) {
		case *ast.Ident:
			text = typ.Name
		case *ast.SelectorExpr:
			text = typ.X.(*ast.Ident).Name + "." + typ.Sel.Name
		}
		all = append(all, slices.Repeat([]string{text}, max(len(field.Names), 1))...)
	}
	return all
}

// withoutContext are methods of clients that ask the engine nothing, or take
// their context elsewhere.
var withoutContext = exceptions{
	"Client.Close": "closes what is idle and waits for nothing",
	"Client.Host":  "tells what New found out",
	"Client.Do":    "the request has the context, as in net/http",
}

func TestMethodsOfClientsTakeTheContextFirst(t *testing.T) {
	noFindings(t, lateContexts(public(t)[0], withoutContext))
}

func TestLateContextsAreFound(t *testing.T) {
	assert.Equal(t, []string{
		"rules.go:31: ThingClient.Count does not take a context first",
		"rules.go:41: Late takes a context, but not first",
	}, relative("rules", lateContexts(example(t, "rules"), exceptions{"ThingClient.Name": "asks nobody"})))
}

// lateContexts wants a context first of all methods of Client and its
// sub-clients, and of everything else that takes one.
func lateContexts(s *source, allowed exceptions) []string {
	var findings, used []string
	for _, fn := range exportedFunctions(s) {
		parameters := fn.parameters()
		first := len(parameters) > 0 && parameters[0] == "context.Context"
		owner, _, isMethod := strings.Cut(fn.name, ".")
		switch {
		case first:
		case fn.takes("context.Context"):
			findings = append(findings, fn.at+": "+fn.name+" takes a context, but not first")
		case isMethod && strings.HasSuffix(owner, "Client") && allowed[fn.name] != "":
			used = append(used, fn.name)
		case isMethod && strings.HasSuffix(owner, "Client"):
			findings = append(findings, fn.at+": "+fn.name+" does not take a context first")
		}
	}
	return append(findings, allowed.unused(used)...)
}

// Interfaces cannot grow, and setters make it unclear when a change counts.
var interfacesAndSetters = exceptions{}

func TestThereAreNoInterfacesAndNoSetters(t *testing.T) {
	noFindings(t, interfacesOrSetters(public(t)[0], interfacesAndSetters))
}

func TestInterfacesAndSettersAreFound(t *testing.T) {
	assert.Equal(t, []string{
		"rules.go:43: Doer is an interface",
		"rules.go:46: Thing.SetSize is a setter",
		"rules.go:47: SetDefault is a setter",
		"Other is an exception but needs none",
	}, relative("rules", interfacesOrSetters(example(t, "rules"), exceptions{"Listed": "is allowed to be", "Other": "is not there"})))
}

// interfacesOrSetters takes a function for a setter when its name begins with
// Set and it takes no context: with one it changes something at the engine.
func interfacesOrSetters(s *source, allowed exceptions) []string {
	var findings, used []string
	report := func(name, finding string) {
		if allowed[name] != "" {
			used = append(used, name)
			return
		}
		findings = append(findings, finding)
	}
	for _, file := range s.files {
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok && spec.Name.IsExported() {
				if _, ok := spec.Type.(*ast.InterfaceType); ok {
					report(spec.Name.Name, s.at(spec.Pos())+": "+spec.Name.Name+" is an interface")
				}
			}
			return true
		})
	}
	for _, fn := range exportedFunctions(s) {
		if isSetter.MatchString(fn.decl.Name.Name) && !fn.takes("context.Context") {
			report(fn.name, fn.at+": "+fn.name+" is a setter")
		}
	}
	return append(findings, allowed.unused(used)...)
}

var isSetter = regexp.MustCompile(`^Set[A-Z]`)

func TestEveryDirectDependencyIsExplainedInTheDesign(t *testing.T) {
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	require.NoError(t, err)
	design, err := os.ReadFile(filepath.Join(root, "DESIGN.md"))
	require.NoError(t, err)
	noFindings(t, unexplained(string(mod), string(design)))
}

func TestUnexplainedDependenciesAreFound(t *testing.T) {
	mod := "module x\n\nrequire example.org/one v1.0.0\n\nrequire (\n\tgithub.com/a/two/v2 v2.0.0\n\tgithub.com/a/three v1.0.0\n\tgithub.com/a/four v1.0.0 // indirect\n)\n"
	design := "# Design\n\nthree\n\n## Dependencies\n\nWe chose `a/two` (this), and no `a/threes`.\n\n### More\n\n`example.org/one`\n\n## Next\n\n`a/three`\n"
	assert.Equal(t, []string{"go.mod: github.com/a/three is not named under Dependencies in DESIGN.md"}, unexplained(mod, design))
	assert.Equal(t, []string{"DESIGN.md has no section Dependencies"}, unexplained(mod, "# Design\n"))
}

var (
	requirement  = regexp.MustCompile(`(?m)^(?:require\s+|\t)(\S+\.\S+/\S+) v\S+( // indirect)?$`)
	majorVersion = regexp.MustCompile(`/v\d+$`)
)

// unexplained finds direct dependencies that the design does not name, in
// backquotes, with or without github.com in front.
func unexplained(mod, design string) []string {
	_, section, found := strings.Cut(design, "\n## Dependencies\n")
	if !found {
		return []string{"DESIGN.md has no section Dependencies"}
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var findings []string
	for _, match := range requirement.FindAllStringSubmatch(mod, -1) {
		name := majorVersion.ReplaceAllString(match[1], "")
		short := strings.TrimPrefix(name, "github.com/")
		if match[2] == "" && !strings.Contains(section, "`"+name+"`") && !strings.Contains(section, "`"+short+"`") {
			findings = append(findings, "go.mod: "+name+" is not named under Dependencies in DESIGN.md")
		}
	}
	return findings
}
