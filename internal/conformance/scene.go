package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// edit changes a spec.
type edit func(obj)

// set puts a value at a path such as "Mode.Replicated.Replicas". In a list a number
// is the next step.
func set(path string, value any) edit {
	return func(object obj) {
		steps := strings.Split(path, ".")
		for len(steps) > 1 {
			if elements, ok := object[steps[0]].(list); ok {
				i, _ := strconv.Atoi(steps[1])
				object, steps = elements[i].(obj), steps[2:]
				continue
			}
			next, ok := object[steps[0]].(obj)
			if !ok {
				next = obj{}
				object[steps[0]] = next
			}
			object, steps = next, steps[1:]
		}
		object[steps[0]] = value
	}
}

// drop takes out what is at a path.
func drop(path string) edit {
	return func(object obj) {
		steps := strings.Split(path, ".")
		for _, step := range steps[:len(steps)-1] {
			object, _ = object[step].(obj)
		}
		delete(object, steps[len(steps)-1])
	}
}

const (
	inTask      = "TaskTemplate."
	inContainer = "TaskTemplate.ContainerSpec."
)

func replicas(n int) edit          { return set("Mode", obj{"Replicated": obj{"Replicas": n}}) }
func mode(m obj) edit              { return set("Mode", m) }
func args(args ...string) edit     { return set(inContainer+"Args", args) }
func image(ref string) edit        { return set(inContainer+"Image", ref) }
func label(key, value string) edit { return set("Labels", obj{key: value}) }

// nowhere lets no node take the tasks.
var nowhere = set(inTask+"Placement.Constraints", list{"node.labels.nowhere==yes"})

// spec is a service without tasks, unless edited.
func (t *T) spec(edits ...edit) obj {
	spec := obj{
		"Name":         t.name(),
		"TaskTemplate": obj{"ContainerSpec": obj{"Image": t.target.Image}},
		"Mode":         obj{"Replicated": obj{"Replicas": 0}},
	}
	for _, edit := range edits {
		edit(spec)
	}
	return spec
}

// service creates one, without tasks unless edited, and returns its ID.
func (t *T) service(edits ...edit) (id string) {
	t.Helper()
	return t.create("/services", t.spec(edits...))
}

// running creates a service and waits until its tasks run.
func (t *T) running(n int, edits ...edit) (id string) {
	t.Helper()
	id = t.service(append([]edit{replicas(n)}, edits...)...)
	t.run(id, n)
	return id
}

func (t *T) secret(edits ...edit) (id string) {
	t.Helper()
	return t.create("/secrets", edited(obj{"Name": t.name(), "Data": "eA=="}, edits))
}

func (t *T) config(edits ...edit) (id string) {
	t.Helper()
	return t.create("/configs", edited(obj{"Name": t.name(), "Data": "eA=="}, edits))
}

func (t *T) network(edits ...edit) (id string) {
	t.Helper()
	return t.create("/networks", edited(obj{"Name": t.name(), "Driver": "overlay"}, edits))
}

func edited(object obj, edits []edit) obj {
	for _, edit := range edits {
		edit(object)
	}
	return object
}

// create makes an object of a kind such as "/services".
func (t *T) create(kind string, spec any) (id string) {
	t.Helper()
	a := t.send(post(kind+"/create", spec))
	require.Equal(t, http.StatusCreated, a.status, "%s", a)
	return decode[struct{ ID string }](t, a).ID
}

// port is one that no other behaviour publishes.
func (t *T) port() int { return 20000 + int(ports.Add(1))%9000 }

func version(object obj) int { return int(at(object, "Version.Index").(float64)) }

// update edits the spec of a service, secret, config or node.
func (t *T) update(path string, edits ...edit) {
	t.Helper()
	a := t.updateWith(path, "", edits...)
	require.Equal(t, http.StatusOK, a.status, "%s", a)
}

// updateWith adds to the query. It tries again when somebody else, perhaps the
// engine itself, has changed the object in between.
func (t *T) updateWith(path, query string, edits ...edit) *answer {
	t.Helper()
	for {
		object := t.get(path)
		spec := edited(object["Spec"].(obj), edits)
		a := t.send(post(fmt.Sprintf("%s/update?version=%d%s", path, version(object), query), spec))
		if !strings.HasSuffix(a.String(), outOfSequence) {
			return a
		}
	}
}

const outOfSequence = "update out of sequence"

// tasks lists those of a service, the oldest first.
func (t *T) tasks(service string, filters ...string) []obj {
	t.Helper()
	tasks := t.list("/tasks?" + filter(append([]string{"service", service}, filters...)...))
	slices.SortStableFunc(tasks, func(a, b obj) int { return t.when(a["CreatedAt"]).Compare(t.when(b["CreatedAt"])) })
	return tasks
}

// when reads an instant. Engines leave zeros out at its end, so that their texts
// are not in the order of the instants.
func (t *T) when(text any) time.Time {
	t.Helper()
	require.IsType(t, "", text)
	at, err := time.Parse(time.RFC3339Nano, text.(string))
	require.NoError(t, err)
	return at
}

// filter is the query of a list, of keys and values in turn.
func filter(keysAndValues ...string) string {
	filters := map[string][]string{}
	for i := 0; i < len(keysAndValues); i += 2 {
		filters[keysAndValues[i]] = append(filters[keysAndValues[i]], keysAndValues[i+1])
	}
	encoded, err := json.Marshal(filters)
	if err != nil {
		panic(err) // strings are always JSON
	}
	return "filters=" + url.QueryEscape(string(encoded))
}

func state(task obj) string { return at(task, "Status.State").(string) }

func desired(task obj) string { return task["DesiredState"].(string) }

// run waits until n tasks of a service run, and no more are wanted.
func (t *T) run(service string, n int) []obj {
	t.Helper()
	return t.until(service, func(tasks []obj) bool {
		return len(tasks) == n && !slices.ContainsFunc(tasks, func(task obj) bool { return state(task) != "running" })
	}, "desired-state", "running")
}

// hasTasks waits until a service has its tasks, in whatever state.
func (t *T) hasTasks(service string, n int) []obj {
	t.Helper()
	return t.until(service, func(tasks []obj) bool { return len(tasks) == n })
}

// forgotten waits until the tasks that a service had beside n are forgotten: engines
// crash if it is removed at that moment.
func (t *T) forgotten(service string, n int) {
	t.Helper()
	t.hasTasks(service, n)
}

// until waits for the tasks of a service to be as wanted.
func (t *T) until(service string, as func([]obj) bool, filters ...string) []obj {
	t.Helper()
	var tasks []obj
	t.eventually("tasks", func() error {
		if tasks = t.tasks(service, filters...); as(tasks) {
			return nil
		}
		return fmt.Errorf("service %s has %s", service, brief(tasks))
	})
	return tasks
}

// brief is what a failure shows of tasks.
func brief(tasks []obj) string {
	var text strings.Builder
	for _, task := range tasks {
		fmt.Fprintf(&text, "[%v slot %v %s, wanted %s: %v %v]", task["ID"], task["Slot"], state(task), desired(task),
			at(task, "Status.Message"), at(task, "Status.Err"))
	}
	return text.String()
}

// updateEnds waits for the end of an update, and returns how it ended.
func (t *T) updateEnds(service string) (state string) {
	t.Helper()
	t.eventually("end of the update", func() error {
		state, _ = at(t.get("/services/"+service), "UpdateStatus.State").(string)
		switch state {
		case "", "updating", "rollback_started":
			return fmt.Errorf("update status %q", state)
		}
		return nil
	})
	return state
}

// fill replaces placeholders in a row of a table. Something is made the first time
// that it is named: {secret.id} and {secret.name} are of the same secret.
func (t *T) fill(text string) string {
	t.Helper()
	return placeholder.ReplaceAllStringFunc(text, func(found string) string {
		kind, member, _ := strings.Cut(strings.Trim(found, "{}"), ".")
		if t.scene[kind] == nil {
			build, known := t.scenery()[kind]
			require.True(t, known, "placeholder %s", found)
			t.scene[kind] = build(t)
		}
		switch value := t.scene[kind][member].(type) {
		case string:
			return value
		case int:
			return strconv.Itoa(value)
		default:
			require.NotNil(t, value, "placeholder %s", found)
			encoded, err := json.Marshal(value)
			require.NoError(t, err)
			return string(encoded)
		}
	})
}

// JSON has no such braces.
var placeholder = regexp.MustCompile(`\{[a-z]+(\.[a-z]+)?\}`)

// scenery makes what placeholders name. The member of a placeholder without one is "".
func (t *T) scenery() map[string]func(t *T) obj {
	return map[string]func(t *T) obj{
		"new":     func(t *T) obj { return obj{"": t.name()} },
		"image":   func(t *T) obj { return obj{"": t.target.Image} },
		"api":     func(t *T) obj { return obj{"": t.target.APIVersion} },
		"addr":    func(t *T) obj { return obj{"": t.target.Addr} },
		"service": func(t *T) obj { return t.madeService(t.service()) },
		"secret":  func(t *T) obj { return t.made("/secrets/" + t.secret()) },
		"config":  func(t *T) obj { return t.made("/configs/" + t.config()) },
		"network": func(t *T) obj { return t.madeNetwork() },
		"node":    func(t *T) obj { return t.made("/nodes/" + t.node()) },
		"swarm":   func(t *T) obj { return t.made("/swarm") },
		// A service that uses {secret}, {config}, {network} and {port}.
		"user": func(t *T) obj {
			port, _ := strconv.Atoi(t.fill("{port.number}"))
			user := t.made("/services/" + t.service(
				set(inContainer+"Secrets", list{t.secretReference(t.fill("{secret.id}"), t.fill("{secret.name}"))}),
				set(inContainer+"Configs", list{t.configReference(t.fill("{config.id}"), t.fill("{config.name}"))}),
				set(inTask+"Networks", list{obj{"Target": t.fill("{network.id}")}}),
				publish(obj{"TargetPort": 80, "PublishedPort": port})))
			user["secret"], user["config"], user["network"] = t.fill("{secret.name}"), t.fill("{config.name}"), t.fill("{network.name}")
			return user
		},
		// A service that is no more.
		"gone": func(t *T) obj {
			gone := t.madeService(t.service())
			t.remove("/services/" + gone["id"].(string))
			return gone
		},
		// A service that has changed since.
		"updated": func(t *T) obj {
			before := t.madeService(t.service())
			t.update("/services/"+before["id"].(string), label("a", "b"))
			return before
		},
		"big": func(t *T) obj {
			return obj{"megabyte": strings.Repeat("eHh4", 1_100_000/3), "kilobytes": strings.Repeat("eHh4", 513_000/3)}
		},
		"port": func(t *T) obj { return obj{"number": t.port()} },
		// A letter that the IDs of more than one service begin with.
		"ambiguous": func(t *T) obj {
			first := map[string]bool{}
			for {
				letter := t.service()[:1]
				if first[letter] {
					return obj{"": letter}
				}
				first[letter] = true
			}
		},
	}
}

// made is what placeholders say of an object.
func (t *T) made(path string) obj {
	t.Helper()
	object := t.get(path)
	return obj{"id": object["ID"], "name": at(object, "Spec.Name"), "version": version(object), "spec": object["Spec"]}
}

func (t *T) madeService(id string) obj {
	t.Helper()
	service := t.made("/services/" + id)
	service["prefix"] = id[:len(id)-1]
	return service
}

// initSwarm makes the engine a manager until the behaviour ends.
func (t *T) initSwarm(edits ...edit) (node string) {
	t.Helper()
	body := edited(obj{"ListenAddr": "0.0.0.0:2377", "AdvertiseAddr": t.target.Addr}, edits)
	node = decode[string](t, t.send(post("/swarm/init", body)))
	t.Cleanup(t.leaveSwarm)
	return node
}

func (t *T) leaveSwarm() {
	t.Helper()
	a := t.send(post("/swarm/leave?force=1", nil))
	assert.Contains(t, []string{"200 empty", "503 This node is not part of a swarm"}, a.String())
}

func (t *T) madeNetwork() obj {
	object := t.get("/networks/" + t.network())
	return obj{"id": object["Id"], "name": object["Name"]}
}

func (t *T) secretReference(id, name string) obj {
	return obj{"SecretID": id, "SecretName": name, "File": obj{"Name": "s", "UID": "0", "GID": "0", "Mode": 0o444}}
}

func (t *T) configReference(id, name string) obj {
	return obj{"ConfigID": id, "ConfigName": name, "File": obj{"Name": "/c", "UID": "0", "GID": "0", "Mode": 0o444}}
}

func publish(ports ...obj) edit { return set("EndpointSpec.Ports", ports) }

// node is the ID of the engine's own.
func (t *T) node() string {
	t.Helper()
	return at(t.get("/info"), "Swarm.NodeID").(string)
}

func itoa(n int) string { return strconv.Itoa(n) }

// updatePath is where a service is changed at its present version.
func (t *T) updatePath(id string) string {
	t.Helper()
	return fmt.Sprintf("/services/%s/update?version=%d", id, version(t.serviceAt(id)))
}
