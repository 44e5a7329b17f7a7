package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEveryRowOfTheComparisonsNamesItsTest(t *testing.T) {
	tests, err := comparedBy(os.DirFS(root))
	require.NoError(t, err)
	pages := map[string]string{}
	for page := range compared {
		pages[page] = readPage(t, page)
	}
	noFindings(t, wrongRows(pages, tests))
}

func readPage(t *testing.T, page string) string {
	t.Helper()
	text, err := fs.ReadFile(os.DirFS(root), page)
	require.NoError(t, err)
	return string(text)
}

func TestWhatIsNotInSwarmIsExplained(t *testing.T) {
	var names []string
	for page := range compared {
		for line := range strings.Lines(readPage(t, page)) {
			if cells, ok := rowCells(strings.TrimSpace(line)); ok && cells[len(cells)-1] == "not in Swarm" {
				names = append(names, strings.ReplaceAll(strings.Join(quoted.FindAllString(cells[0], -1), " "), "`", ""))
			}
		}
	}
	require.NotEmpty(t, names)
	noFindings(t, leftOut("docs/not-in-swarm.md", readPage(t, "docs/not-in-swarm.md"), strings.Join(names, " ")))
}

func TestTheComparisonsNameWhatThereIs(t *testing.T) {
	api := readAPI(readPage(t, "api.txt"))
	for page := range compared {
		noFindings(t, unknownNames(page, readPage(t, page), api))
	}
}

func TestNamesThatDoNotExistAreFound(t *testing.T) {
	api := readAPI(`swarm: field Client.Services *ServiceClient
swarm: field Service.Spec ServiceSpec
swarm: field ServiceSpec.Ports []PortConfig
swarm: field PortConfig.Name string
swarm: method (*ServiceClient) Scale(ctx context.Context) error
`)
	page := "| theirs | ours | what differs | test |\n|---|---|---|---|\n" +
		"| `x` | `client.Services.Scale(ctx)`, `spec.Ports`, `service.Spec.Ports.Name`, `PortConfig.Name` and `Scale` | | TestX |\n" +
		"| `y` | `client.Services.Grow(ctx)`, `spec.Port`, `service.Spec.Ports.Nam`, `PortConfig.Nam` | | TestX |\n"
	assert.Equal(t, []string{
		"p.md: there is no client.Services.Grow",
		"p.md: there is no spec.Port",
		"p.md: there is no service.Spec.Ports.Nam",
		"p.md: there is no PortConfig.Nam",
	}, unknownNames("p.md", page, api))
}

var (
	apiMember = regexp.MustCompile(`(?m)^swarm: (?:field (\w+\.\w+) [*\[\]]*(\S+)|method \(\*?(\w+)\) (\w+)\()`)
	memberOf  = regexp.MustCompile("`(\\w+)((?:\\.[A-Z]\\w+)+)")
)

// roots are the types of the variables in the pages.
var roots = map[string][]string{
	"client": {"Client"}, "spec": {"ServiceSpec"}, "task": {"TaskSpec", "Task"}, "container": {"ContainerSpec"}, "change": {"ServiceChange"},
	"service": {"Service"}, "node": {"Node"}, "n": {"Node"}, "s": {"Service"}, "errors": {"errors"}, "config": {"Config"}, "secret": {"Secret"}, "Spec": {"ConfigSpec"},
}

// readAPI reads the type of every member, empty for methods.
func readAPI(text string) map[string]string {
	api := map[string]string{"errors.Is": ""}
	for _, m := range apiMember.FindAllStringSubmatch(text, -1) {
		if m[1] != "" {
			api[m[1]] = m[2]
		} else {
			api[m[3]+"."+m[4]] = ""
		}
	}
	return api
}

// unknownNames finds members in the second cell of rows that do not exist.
func unknownNames(page, text string, api map[string]string) (findings []string) {
	for line := range strings.Lines(text) {
		cells, ok := rowCells(line)
		if !ok || len(cells) < 2 {
			continue
		}
		for _, m := range memberOf.FindAllStringSubmatch(cells[1], -1) {
			types, known := roots[m[1]]
			if !known {
				types = []string{m[1]}
			}
			path := strings.Split(m[2], ".")[1:]
			if !slices.ContainsFunc(types, func(typ string) bool { return leads(api, typ, path) }) {
				findings = append(findings, page+": there is no "+m[1]+m[2])
			}
		}
	}
	return findings
}

func leads(api map[string]string, typ string, path []string) bool {
	for _, step := range path {
		next, found := api[typ+"."+step]
		if !found {
			return false
		}
		typ = next
	}
	return true
}

// compared are the names that a page must have a row for, as code.
var compared = map[string]string{
	"docs/from-docker-py.md": `
		services.create services.get services.list insert_defaults status id name label mode runtime
		Service.id Service.short_id Service.name Service.version Service.attrs Service.reload Service.remove Service.tasks Service.update
		Service.logs Service.scale Service.force_update node desired-state details follow stdout stderr since timestamps tail is_tty
		create_service inspect_service inspect_task remove_service service_logs services tasks update_service endpoint_config
		image command args constraints preferences maxreplicas platforms container_labels labels endpoint_spec env hostname init
		isolation log_driver log_driver_options mounts networks resources restart_policy secrets configs stop_grace_period
		update_config rollback_config user workdir groups tty open_stdin read_only stop_signal healthcheck hosts dns_config
		privileges cap_add cap_drop sysctls force_update fetch_current_spec
		TaskTemplate ContainerSpec DriverConfig Mount Resources UpdateConfig RollbackConfig RestartPolicy EndpointSpec ServiceMode
		SecretReference ConfigReference Placement PlacementPreference DNSConfig Privileges NetworkAttachmentConfig Healthcheck
		target source type consistency propagation no_copy driver_config subpath tmpfs_size tmpfs_mode parse_mount_string
		cpu_limit mem_limit cpu_reservation mem_reservation generic_resources parallelism delay failure_action monitor
		max_failure_ratio order condition max_attempts window ports replicas concurrency secret_id secret_name config_id config_name
		filename uid gid nameservers search options credentialspec_file credentialspec_registry selinux_disable selinux_user
		selinux_role selinux_type selinux_level aliases test interval timeout retries start_period
		create_config inspect_config remove_config configs.list data templating names
		create_secret inspect_secret remove_secret secrets.list driver
		swarm.init swarm.join swarm.leave swarm.unlock swarm.update get_unlock_key inspect_swarm create_swarm_spec init_swarm join_swarm
		leave_swarm unlock_swarm update_swarm advertise_addr listen_addr force_new_cluster default_addr_pool subnet_size data_path_addr
		data_path_port task_history_retention_limit snapshot_interval keep_old_snapshots log_entries_for_slow_followers heartbeat_tick
		election_tick dispatcher_heartbeat_period node_cert_expiry external_ca SwarmExternalCA url protocol ca_cert signing_ca_cert
		signing_ca_key ca_force_rotate autolock_managers remote_addrs join_token force rotate_worker_token rotate_manager_token
		rotate_manager_unlock_key nodes.get nodes.list membership role Node.update Node.remove Node.reload Node.attrs Node.version
		inspect_node remove_node update_node Labels Availability Role`,
	"docs/from-aiodocker.md": `
		services.list services.create services.update services.delete services.inspect services.logs
		tasks.list tasks.inspect configs.list configs.create configs.inspect configs.update configs.delete
		secrets.list secrets.create secrets.inspect secrets.update secrets.delete nodes.list nodes.inspect nodes.update nodes.remove
		swarm.init swarm.inspect swarm.join swarm.leave docker.auth docker.version docker.close docker.events.subscribe
		docker.events.stop docker.volumes.create docker.volumes.list DockerVolume.show DockerVolume.delete
		url connector session timeout ssl_context api_version context filters id label mode name names node service desired-state
		membership role node.label task_template labels update_config rollback_config networks endpoint_spec auth registry image
		version rollback details follow stdout stderr since timestamps is_tty tail data b64 templating driver node_id spec force
		advertise_addr data_path_port default_addr_pool listen_addr force_new_cluster subnet_size swarm_spec remote_addrs join_token
		data_path_addr`,
	"docs/from-docker-cloud.md": `
		uuid resource_uri image_name image name nickname public_dns state net pid synchronized deployed_datetime started_datetime
		stopped_datetime destroyed_datetime target_num_containers current_num_containers running_num_containers stopped_num_containers
		stack containers container_ports container_envvars labels working_dir user hostname domainname mac_address cgroup_name
		cgroup_parent tty stdin_open dns dns_search cap_add cap_drop devices extra_hosts security_opt entrypoint run_command
		sequential_deployment cpu_shares cpuset memory memory_swap linked_from_service linked_to_service from_service to_service
		bindings autorestart autodestroy roles link_variables privileged read_only deployment_strategy tags autoredeploy
		host_path container_path rewritable volumes_from protocol inner_port outer_port port_name endpoint_uri published key value
		EMPTIEST_NODE HIGH_AVAILABILITY EVERY_NODE bridge host OFF ON_FAILURE ALWAYS
		start stop scale redeploy reuse_volumes logs tail follow GET POST PATCH DELETE
		Starting Running Scaling Redeploying Stopping Stopped Terminating Terminated`,
}

func TestTheComparisonsLeaveNothingOut(t *testing.T) {
	for page, names := range compared {
		noFindings(t, leftOut(page, readPage(t, page), names))
	}
}

func TestWhatAComparisonLeavesOutIsFound(t *testing.T) {
	page := "| theirs | ours | what differs | test |\n|---|---|---|---|\n| `x.create(image, node.label=…)` | `y` | | TestX |\n"
	assert.Equal(t, []string{"p.md: no row for imag", "p.md: no row for y"}, leftOut("p.md", page, "x.create image node.label imag y"))
}

var quoted = regexp.MustCompile("`[^`]*`")

// leftOut finds names that stand in the first cell of no row.
func leftOut(page, text, names string) (findings []string) {
	theirs := " "
	for line := range strings.Lines(text) {
		if cells, ok := rowCells(line); ok {
			theirs += strings.Join(quoted.FindAllString(cells[0], -1), " ") + " "
		}
	}
	for name := range strings.FieldsSeq(names) {
		if !regexp.MustCompile(`[^\w-]` + regexp.QuoteMeta(name) + `[^\w-]`).MatchString(theirs) {
			findings = append(findings, page+": no row for "+name)
		}
	}
	return findings
}

func TestRowsWithoutATestAreFound(t *testing.T) {
	tests := map[string][]string{"TestWhole": nil, "TestRows": {"a", "b", "unnamed"}}
	page := `# Title

| theirs | ours | what differs | test |
|---|---|---|---|
| 1 | x | | TestWhole |
| 2 | x | | TestRows/a |
| 3 | x | | TestRows/b |
| 4 | | | not yet |
| 5 | | [why](not-in-swarm.md) | not in Swarm |
| 6 | | | not in Swarm |
| 7 | x | | |
| 8 | x | | TestMissing |
| 9 | x | | TestRows/missing |
| 10 | x | | TestRows |
| 11 | | | TestWhole |
| 12 | x | TestWhole |
| 1 | x | | TestWhole |
`
	assert.Equal(t, []string{
		"p.md:10: no link to not-in-swarm.md",
		`p.md:11: "" is no test`,
		"p.md:12: there is no TestMissing in integration/",
		"p.md:13: TestRows has no row missing",
		"p.md:14: TestRows has rows; which one is it?",
		"p.md:15: a test, but nothing of ours",
		"p.md:16: 3 cells instead of 4",
		"p.md:17: 1 was there before",
		"no page names TestRows/unnamed",
	}, wrongRows(map[string]string{"p.md": page}, tests))
}

// wrongRows finds rows of the tables in pages that name no test, and rows of
// tests that no page names.
func wrongRows(pages map[string]string, tests map[string][]string) (findings []string) {
	named := map[string]bool{}
	for _, page := range slices.Sorted(maps.Keys(pages)) {
		seen := map[string]bool{}
		for i, line := range strings.Split(pages[page], "\n") {
			if strings.HasPrefix(line, "## ") {
				clear(seen)
			}
			cells, ok := rowCells(line)
			if !ok {
				continue
			}
			if problem := wrongRow(cells, tests); problem != "" {
				findings = append(findings, fmt.Sprintf("%s:%d: %s", page, i+1, problem))
			} else if seen[cells[0]] {
				findings = append(findings, fmt.Sprintf("%s:%d: %s was there before", page, i+1, cells[0]))
			}
			seen[cells[0]] = true
			named[cells[len(cells)-1]] = true
		}
	}
	var unnamed []string
	for test, rows := range tests {
		for _, row := range rows {
			if !named[test+"/"+row] {
				unnamed = append(unnamed, "no page names "+test+"/"+row)
			}
		}
	}
	slices.Sort(unnamed)
	return append(findings, unnamed...)
}

// rowCells are the cells of a line, if it is a row of a table and neither its
// head nor the line below that.
func rowCells(line string) (cells []string, ok bool) {
	if !strings.HasPrefix(line, "| ") || strings.HasSuffix(line, "| test |") {
		return nil, false
	}
	for cell := range strings.SplitSeq(strings.Trim(line, "|"), "|") {
		cells = append(cells, strings.TrimSpace(cell))
	}
	return cells, true
}

var testName = regexp.MustCompile(`^(Test\w+)(?:/([a-z0-9-]+))?$`)

func wrongRow(cells []string, tests map[string][]string) string {
	if len(cells) != 4 {
		return fmt.Sprintf("%d cells instead of 4", len(cells))
	}
	ours, differs, test := cells[1], cells[2], cells[3]
	switch test {
	case "not yet":
		return ""
	case "not in Swarm":
		if !strings.Contains(differs, "(not-in-swarm.md)") {
			return "no link to not-in-swarm.md"
		}
		return ""
	}
	name := testName.FindStringSubmatch(test)
	if name == nil {
		return fmt.Sprintf("%q is no test", test)
	}
	rows, found := tests[name[1]]
	switch {
	case !found:
		return "there is no " + name[1] + " in integration/"
	case name[2] != "" && !slices.Contains(rows, name[2]):
		return name[1] + " has no row " + name[2]
	case name[2] == "" && len(rows) > 0:
		return name[1] + " has rows; which one is it?"
	case ours+differs == "":
		return "a test, but nothing of ours"
	}
	return ""
}

// comparedBy are the tests on real engines, with the rows of those that exercise
// the comparisons row by row.
func comparedBy(files fs.FS) (map[string][]string, error) {
	names, err := fs.Glob(files, "integration/*_test.go")
	if err != nil {
		return nil, err
	}
	tests := map[string][]string{}
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, decl := range file.Decls {
			test, ok := decl.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(test.Name.Name, "Test") {
				continue
			}
			tests[test.Name.Name] = nil
			if path.Base(name) == "coverage_test.go" {
				tests[test.Name.Name] = rowKeys(test)
			}
		}
	}
	return tests, nil
}

// rowTypes are the maps of coverage_test.go whose keys are rows.
var rowTypes = []string{"facts", "choices", "rows"}

func rowKeys(test *ast.FuncDecl) (keys []string) {
	ast.Inspect(test, func(n ast.Node) bool {
		table, ok := n.(*ast.CompositeLit)
		if !ok || table.Type == nil || !slices.Contains(rowTypes, typeName(table.Type)) {
			return true
		}
		for _, element := range table.Elts {
			if pair, ok := element.(*ast.KeyValueExpr); ok {
				if literal, ok := pair.Key.(*ast.BasicLit); ok {
					key, _ := strconv.Unquote(literal.Value)
					keys = append(keys, key)
				}
			}
		}
		return true
	})
	return keys
}
