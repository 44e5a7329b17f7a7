package conformance

import (
	"net/http"
	"slices"
	"strings"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// refused is a spec that is not taken, by release.
func refused(id, status string, text since[string], edits ...edit) Behaviour {
	return Behaviour{id, Swarm, func(t *T) {
		t.answers(post("/services/create", t.spec(edits...)), status+text.from(t))
	}}
}

func invalid(id, text string, edits ...edit) Behaviour {
	return refused(id, "400 rpc error: code = InvalidArgument desc = ", all(text), edits...)
}

// taken is a spec that is taken, and read back with this at a path.
func taken(id, path string, want any, edits ...edit) Behaviour {
	return Behaviour{id, Swarm, func(t *T) { t.has(t.serviceAt(t.service(edits...))["Spec"], path, want) }}
}

// stripped is a field that engines take out of the specs of older versions.
type stripped struct {
	path    string // of the field
	value   any
	version string // from which on it is there
	before  string // the version that is too old for it
	edits   []edit // what else it needs
	without any    // what is read back instead
}

var strippedFields = []stripped{
	{inContainer + "Sysctls", obj{"net.core.somaxconn": "1"}, "1.40", "1.39", nil, nil},
	{inTask + "Placement.MaxReplicas", 3, "1.40", "1.39", nil, nil},
	{inContainer + "CapabilityAdd", list{"CAP_NET_ADMIN"}, "1.41", "1.40", nil, nil},
	{inContainer + "CapabilityDrop", list{"CAP_CHOWN"}, "1.41", "1.40", nil, nil},
	{inContainer + "Ulimits", list{obj{"Name": "nofile", "Soft": 10, "Hard": 20}}, "1.41", "1.40", nil, nil},
	{inTask + "Resources.Limits.Pids", 5, "1.41", "1.40", nil, nil},
	{"Mode.ReplicatedJob", obj{"MaxConcurrent": 1, "TotalCompletions": 1}, "1.41", "1.40", []edit{drop("Mode"), job(1, 1), nowhere}, nil},
	{inContainer + "Privileges.Seccomp", obj{"Mode": "unconfined"}, "1.44", "1.43", nil, nil},
	{inContainer + "Privileges.AppArmor", obj{"Mode": "disabled"}, "1.44", "1.43", nil, nil},
	{inContainer + "Privileges.NoNewPrivileges", true, "1.44", "1.43", nil, false},
	{inContainer + "Healthcheck.StartInterval", 1_000_000_000, "1.44", "1.43", []edit{health("0")}, nil},
	{"Mode.GlobalJob", obj{}, "1.41", "1.40", []edit{drop("Mode"), nowhere, never}, nil},
	{inContainer + "OomScoreAdj", 7, "1.46", "1.45", nil, nil},
	{inContainer + "Mounts.0.TmpfsOptions.Options", list{list{"noexec"}}, "1.46", "1.45", []edit{tmpfs}, nil},
	{inTask + "Resources.SwapBytes", 64 << 20, "1.52", "1.51", []edit{set(inTask+"Resources.Limits.MemoryBytes", 64<<20)}, nil},
	{inTask + "Resources.MemorySwappiness", 30, "1.52", "1.51", nil, nil},
}

// tmpfs mounts memory.
func tmpfs(spec obj) {
	set(inContainer+"Mounts", list{obj{"Type": "tmpfs", "Target": "/mem", "TmpfsOptions": obj{"SizeBytes": 1 << 20}}})(spec)
}

// The field is there in the version that has it, where the engine speaks that, and
// not below.
func (s stripped) run(t *T) {
	edits := append(slices.Clone(s.edits), set(s.path, s.value))
	read := func(version string) any {
		a := t.send(request{method: http.MethodPost, path: "/services/create", version: version, body: t.spec(edits...)})
		require.Equal(t, http.StatusCreated, a.status, "%s", a)
		return at(t.serviceAt(decode[struct{ ID string }](t, a).ID)["Spec"], s.path)
	}
	if t.speaks(s.version) {
		assert.Equal(t, asJSON(t, s.value), read(s.version), s.version)
	}
	if t.speaks(s.before) {
		assert.Equal(t, s.without, read(s.before), s.before)
	}
	if !t.speaks(s.version) {
		assert.Nil(t, read(""), "an engine that does not know the field")
	}
}

var specs = slices.Concat(
	func() (all []Behaviour) {
		for _, s := range strippedFields {
			all = append(all, Behaviour{"A10.stripped-below-" + s.version + "." + s.path[strings.LastIndex(s.path, ".")+1:], Swarm, s.run})
		}
		return all
	}(),
	[]Behaviour{
		{"A10.service-networks", Swarm, func(t *T) {
			network := t.network()
			service := t.serviceAt(t.service(set("Networks", list{obj{"Target": network}})))
			t.has(service, "Spec.TaskTemplate.Networks", nil)
			t.has(service, "Spec.Networks.0.Target", since[any]{"20.10": network, "29.5": nil}.from(t))
			if t.speaks("1.43") {
				a := t.send(request{method: http.MethodPost, version: "1.43", path: "/services/create", body: t.spec(set("Networks", list{obj{"Target": network}}))})
				t.has(t.serviceAt(decode[struct{ ID string }](t, a).ID), "Spec.Networks.0.Target", network)
			}
		}},
		{"A10.update-at-an-old-version-loses-fields", Swarm, func(t *T) {
			id := t.service(set(inContainer+"CapabilityAdd", list{"CAP_NET_ADMIN"}))
			service := t.serviceAt(id)
			a := t.send(request{method: http.MethodPost, version: "1.40", body: service["Spec"],
				path: t.updatePath(id)})
			require.Equal(t, "200 json", a.String())
			t.has(t.serviceAt(id), "Spec.TaskTemplate.ContainerSpec.CapabilityAdd", nil)
		}},
		{"A10.reading-at-an-old-version-strips-nothing", Swarm, func(t *T) {
			id := t.service(set(inContainer+"CapabilityAdd", list{"CAP_NET_ADMIN"}))
			a := t.send(request{method: http.MethodGet, version: t.old("1.30"), path: "/services/" + id})
			t.has(decode[obj](t, a), "Spec.TaskTemplate.ContainerSpec.CapabilityAdd", list{"CAP_NET_ADMIN"})
		}},
		// What a config is for that has no file is then not said.
		{"A10.runtime-of-a-config-needs-1.40", Swarm, func(t *T) {
			spec := t.spec(set(inContainer+"Configs", list{obj{"ConfigID": t.fill("{config.id}"), "ConfigName": t.fill("{config.name}"), "Runtime": obj{}}}))
			if t.speaks("1.39") {
				t.answers(request{method: http.MethodPost, version: "1.39", path: "/services/create", body: spec},
					"400 invalid Config: either File or Runtime should be set")
			}
			t.has(t.serviceAt(t.create("/services", spec)), "Spec.TaskTemplate.ContainerSpec.Configs.0.Runtime", obj{})
		}},
		{"A10.credential-spec-of-a-config-needs-1.40", Swarm, func(t *T) {
			spec := t.spec(set(inContainer+"Privileges.CredentialSpec.Config", t.fill("{config.id}")), set(inContainer+"Configs", list{
				obj{"ConfigID": t.fill("{config.id}"), "ConfigName": t.fill("{config.name}"), "Runtime": obj{}}}))
			if t.speaks("1.39") {
				t.answers(request{method: http.MethodPost, version: "1.39", path: "/services/create", body: spec},
					`400 invalid CredentialSpec: must either provide "file", "registry", or "config" for credential spec`)
			}
			t.has(t.serviceAt(t.create("/services", spec)), "Spec.TaskTemplate.ContainerSpec.Privileges.CredentialSpec.Config", t.fill("{config.id}"))
		}},
		{"A10.templating-needs-1.37", Swarm, func(t *T) {
			for _, kind := range []string{"secrets", "configs"} {
				body := obj{"Name": t.name(), "Data": "eA==", "Templating": obj{"Name": "golang"}}
				if t.speaks("1.36") {
					t.answers(request{method: http.MethodPost, version: "1.36", path: "/" + kind + "/create", body: body},
						"400 "+kind[:len(kind)-1]+" templating is not supported on the specified API version: 1.36")
				}
				t.create("/"+kind, body)
			}
		}},

		refused("A15.job-with-rollback-config", "400 ", all("rpc error: code = InvalidArgument desc = Jobs may not have an update config"),
			job(1, 1), set("UpdateConfig", obj{"Parallelism": 1}), set("RollbackConfig", obj{"Parallelism": 1})),
		{"A15.job-with-rollback-config-only", Swarm, func(t *T) {
			t.has(t.serviceAt(t.service(job(1, 1), nowhere, set("RollbackConfig", obj{"Parallelism": 1}))), "Spec.RollbackConfig.Parallelism", 1)
		}},
		invalid("A15.duplicate-published-port", "EndpointSpec: duplicate published ports provided",
			publish(obj{"TargetPort": 80, "PublishedPort": 19001}, obj{"TargetPort": 81, "PublishedPort": 19001})),
		invalid("A15.cpu-too-small", "invalid cpu value 0.0009: Must be at least 0.001", set(inTask+"Resources.Limits.NanoCPUs", 900_000)),
		invalid("A15.reserved-cpu-too-small", "invalid cpu value 0.0009: Must be at least 0.001", set(inTask+"Resources.Reservations.NanoCPUs", 900_000)),
		invalid("A15.memory-too-small", "invalid memory value 4194303: Must be at least 4MiB", set(inTask+"Resources.Limits.MemoryBytes", 4<<20-1)),
		invalid("A15.restart-delay-below-zero", "TaskSpec: restart-delay cannot be negative", restart(obj{"Condition": "any", "Delay": -1})),
		invalid("A15.restart-window-below-zero", "TaskSpec: restart-window cannot be negative", restart(obj{"Condition": "any", "Window": -1})),
		invalid("A15.update-delay-below-zero", "TaskSpec: update-delay cannot be negative", set("UpdateConfig", obj{"Delay": -1})),
		invalid("A15.update-monitor-below-zero", "TaskSpec: update-monitor cannot be negative", set("UpdateConfig", obj{"Monitor": -1})),
		taken("A15.rollback-delay-is-not-checked", "RollbackConfig.Delay", -1, set("RollbackConfig", obj{"Delay": -1})),
		taken("A15.rollback-ratio-is-not-checked", "RollbackConfig.MaxFailureRatio", 1.5, set("RollbackConfig", obj{"MaxFailureRatio": 1.5})),
		invalid("A15.update-ratio-below-zero", "TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1",
			set("UpdateConfig", obj{"MaxFailureRatio": -0.5})),
		invalid("A15.health-interval-too-short", "ContainerSpec: Interval in HealthConfig cannot be less than 1ms",
			health("0"), set(inContainer+"Healthcheck.Interval", 999_999)),
		invalid("A15.health-timeout-too-short", "ContainerSpec: Timeout in HealthConfig cannot be less than 1ms",
			health("0"), set(inContainer+"Healthcheck.Timeout", 999_999)),
		invalid("A15.health-retries-below-zero", "ContainerSpec: Retries in HealthConfig cannot be negative",
			health("0"), set(inContainer+"Healthcheck.Retries", -1)),
		invalid("A15.two-secrets-at-one-file", "secret references 'secret' and 'other' have a conflicting target: 's'",
			set(inContainer+"Secrets", list{
				obj{"SecretID": "a", "SecretName": "secret", "File": obj{"Name": "s"}}, obj{"SecretID": "b", "SecretName": "other", "File": obj{"Name": "s"}}})),
		{"A15.changed-port-in-use", Swarm, func(t *T) {
			port := t.port()
			name := t.name()
			user := t.service(called(name), publish(obj{"TargetPort": 80, "PublishedPort": port}))
			a := t.updateWith("/services/"+t.service(), "", publish(obj{"TargetPort": 81, "PublishedPort": port}))
			assert.Equal(t, "400 rpc error: code = InvalidArgument desc = port '"+itoa(port)+"' is already in use by service '"+name+"' ("+user+") as an ingress port", a.String())
		}},
		{"A15.one-port-of-two-protocols", Swarm, func(t *T) {
			port := t.port()
			t.service(publish(obj{"TargetPort": 80, "PublishedPort": port}, obj{"TargetPort": 80, "PublishedPort": port, "Protocol": "udp"}))
		}},
		{"A15.host-ports-of-two-services", Swarm, func(t *T) {
			port := t.port()
			t.service(publish(obj{"TargetPort": 80, "PublishedPort": port, "PublishMode": "host"}))
			t.service(publish(obj{"TargetPort": 80, "PublishedPort": port, "PublishMode": "host"}))
		}},
		{"A15.ports-of-a-removed-service-are-free", Swarm, func(t *T) {
			port := publish(obj{"TargetPort": 80, "PublishedPort": t.port()})
			t.remove("/services/" + t.service(port))
			t.service(port)
		}},
		{"A15.update-checks-like-create", Swarm, func(t *T) {
			a := t.updateWith("/services/"+t.service(), "", set(inTask+"Resources.Limits.NanoCPUs", 1))
			assert.Equal(t, "400 rpc error: code = InvalidArgument desc = invalid cpu value 1e-09: Must be at least 0.001", a.String())
		}},

		{"A16.service-name-of-63", Swarm, func(t *T) {
			name := strings.Repeat("a", 63-len(t.name())) + t.name()
			t.has(t.serviceAt(t.service(called(name[:63]))), "Spec.Name", name[:63])
		}},
		{"A16.service-names", Swarm, func(t *T) {
			const text = "400 rpc error: code = InvalidArgument desc = name must be valid as a DNS name component"
			for _, bad := range []string{"-a", "a-", "_a", "a_", "a.b", "a/b", "a:b", "é"} {
				t.answers(post("/services/create", t.spec(called(bad))), text)
			}
			t.service(called(t.name() + "-_-A1"))
		}},
		{"A16.secret-and-config-names", Swarm, func(t *T) {
			const text = "400 rpc error: code = InvalidArgument desc = invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]"
			for _, kind := range []string{"secrets", "configs"} {
				for _, bad := range []string{"-a", "a.", "_a", "a/b", "é", strings.Repeat("a", 65)} {
					t.answers(post("/"+kind+"/create", obj{"Name": bad, "Data": "eA=="}), text)
				}
				long := t.name() + strings.Repeat("-_.z", 16)
				t.add(kind, called(long[:63]+"z"))
			}
		}},

		{"A24.defaults-are-not-shown", Swarm, func(t *T) {
			service := t.serviceAt(t.service())
			t.members(service, "ID", "Version", "CreatedAt", "UpdatedAt", "Spec", "Endpoint")
			t.members(service["Spec"], "Name", "Labels", "TaskTemplate", "Mode")
			t.members(at(service, "Spec.TaskTemplate"), "ContainerSpec", "ForceUpdate", "Runtime")
			t.has(service, "Spec.TaskTemplate.ContainerSpec", obj{"Image": t.target.Image, "Isolation": "default"})
			t.has(service, "Spec.TaskTemplate.Runtime", "container")
			t.has(service, "Spec.TaskTemplate.ForceUpdate", 0)
			t.has(service, "Spec.Labels", obj{})
			t.has(service, "Endpoint", obj{"Spec": obj{}})
		}},
		{"A24.defaults-are-inserted-if-asked-for", Swarm, func(t *T) {
			spec := t.get("/services/" + t.service() + "?insertDefaults=true")["Spec"]
			t.members(spec, "Name", "Labels", "TaskTemplate", "Mode", "UpdateConfig", "RollbackConfig")
			t.has(spec, "UpdateConfig", obj{"Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000, "MaxFailureRatio": 0, "Order": "stop-first"})
			t.has(spec, "RollbackConfig", obj{"Parallelism": 1, "FailureAction": "pause", "Monitor": 5_000_000_000, "MaxFailureRatio": 0, "Order": "stop-first"})
			t.has(spec, "TaskTemplate.RestartPolicy", obj{"Condition": "any", "Delay": 5_000_000_000, "MaxAttempts": 0})
			t.has(spec, "TaskTemplate.Placement", obj{})
			t.has(spec, "TaskTemplate.Resources", obj{})
			t.has(spec, "TaskTemplate.ContainerSpec.StopGracePeriod", 10_000_000_000)
			t.has(spec, "TaskTemplate.ContainerSpec.DNSConfig", obj{})
		}},
		{"A24.defaults-are-not-kept", Swarm, func(t *T) {
			id := t.service()
			before := t.serviceAt(id)
			t.get("/services/" + id + "?insertDefaults=1")
			assert.Equal(t, before, t.serviceAt(id))
		}},
		{"A24.defaults-complete-and-do-not-replace", Swarm, func(t *T) {
			id := t.service(set("UpdateConfig", obj{"Parallelism": 0, "Order": "start-first"}), set(inContainer+"StopGracePeriod", 1))
			spec := t.get("/services/" + id + "?insertDefaults=true")["Spec"]
			t.has(spec, "UpdateConfig", obj{"Parallelism": 0, "FailureAction": "pause", "Monitor": 5_000_000_000, "MaxFailureRatio": 0, "Order": "start-first"})
			t.has(spec, "TaskTemplate.ContainerSpec.StopGracePeriod", 1)
		}},
		{"specs.update-config-is-completed", Swarm, func(t *T) {
			spec := t.serviceAt(t.service(set("UpdateConfig", obj{"Order": "start-first"})))["Spec"]
			t.has(spec, "UpdateConfig", obj{"Parallelism": 0, "FailureAction": "pause", "MaxFailureRatio": 0, "Order": "start-first"})
		}},
		taken("specs.empty-objects-are-kept.Resources", "TaskTemplate.Resources", obj{}, set(inTask+"Resources", obj{})),
		taken("specs.empty-objects-are-kept.Limits", "TaskTemplate.Resources", obj{"Limits": obj{}}, set(inTask+"Resources", obj{"Limits": obj{}})),
		taken("specs.empty-objects-are-kept.Placement", "TaskTemplate.Placement", obj{}, set(inTask+"Placement", obj{})),
		taken("specs.empty-objects-are-kept.DNSConfig", "TaskTemplate.ContainerSpec.DNSConfig", obj{}, set(inContainer+"DNSConfig", obj{})),
		taken("specs.empty-objects-are-completed.EndpointSpec", "EndpointSpec", obj{"Mode": "vip"}, set("EndpointSpec", obj{})),
		taken("specs.empty-objects-are-completed.RestartPolicy", "TaskTemplate.RestartPolicy", obj{"Condition": "any", "MaxAttempts": 0},
			set(inTask+"RestartPolicy", obj{})),
		taken("specs.empty-lists-are-left-out", "TaskTemplate.ContainerSpec", obj{"Image": "i", "Isolation": "default"},
			image("i"), set(inContainer+"Env", list{}), set(inContainer+"Args", list{}), set(inContainer+"Mounts", list{})),
		taken("specs.unknown-publish-mode-is-ingress", "EndpointSpec.Ports.0.PublishMode", "ingress", publish(obj{"TargetPort": 80, "PublishMode": "zzz"})),
		taken("specs.unknown-protocol-is-tcp", "EndpointSpec.Ports.0.Protocol", "tcp", publish(obj{"TargetPort": 80, "Protocol": "zzz"})),
		taken("specs.bind-options-that-are-dropped", "TaskTemplate.ContainerSpec.Mounts.0.Consistency", nil,
			set(inContainer+"Mounts", list{obj{"Type": "bind", "Source": "/etc", "Target": "/a", "Consistency": "cached"}})),
		{"specs.read-back-as-written", Swarm, func(t *T) {
			spec := t.fullSpec()
			service := t.serviceAt(t.create("/services", spec))
			assert.Equal(t, asJSON(t, spec), service["Spec"])
		}},
		{"specs.written-back-unchanged-is-unchanged", Swarm, func(t *T) {
			id := t.create("/services", t.fullSpec())
			before := t.serviceAt(id)["Spec"]
			t.update("/services/" + id)
			assert.Equal(t, before, t.serviceAt(id)["Spec"])
		}},
		{"specs.privileges-are-completed", Swarm, func(t *T) {
			want := obj{"CredentialSpec": obj{"Config": "", "File": "spec.json", "Registry": ""},
				"SELinuxContext": obj{"Disable": true, "User": "u", "Role": "r", "Type": "t", "Level": "l"}}
			if t.speaks("1.44") {
				want["NoNewPrivileges"] = false
			}
			id := t.service(set(inContainer+"Privileges", obj{"CredentialSpec": obj{"File": "spec.json"}, "SELinuxContext": want["SELinuxContext"]}))
			t.has(t.serviceAt(id), "Spec.TaskTemplate.ContainerSpec.Privileges", want)
		}},
		{"specs.random-name", Swarm, func(t *T) {
			assert.Regexp(t, "^[a-z]+_[a-z]+$", at(t.serviceAt(t.service(drop("Name"))), "Spec.Name"))
		}},
		{"specs.names-of-members-have-any-case", Swarm, func(t *T) {
			id := t.create("/services", obj{"name": t.name(), "tasktemplate": obj{"CONTAINERSPEC": obj{"image": "i"}}, "Mode": obj{"Replicated": obj{"Replicas": 0}}})
			t.has(t.serviceAt(id), "Spec.TaskTemplate.ContainerSpec.Image", "i")
		}},
		{"A21.answers-of-services", Swarm, func(t *T) {
			a := t.send(post("/services/create", t.spec()))
			created := decode[obj](t, a)
			t.members(created, since[[]string]{"20.10": {"ID"}, "26.1": {"ID", "Warnings"}}.from(t)...)
			t.has(created, "Warnings", nil)
			id := created["ID"].(string)
			assert.Regexp(t, "^[0-9a-z]{25}$", id)
			assert.Equal(t, `{"Warnings":null}`, strings.TrimSpace(string(t.updateWith("/services/"+id, "").body)))
			t.answers(request{method: http.MethodDelete, path: "/services/" + id}, "200 empty")
		}},
	},
)

// fullSpec sets much of what a spec can hold, as engines write it.
func (t *T) fullSpec() obj {
	return t.spec(
		label("service", "label"),
		set("UpdateConfig", obj{"Parallelism": 3, "Delay": 1, "FailureAction": "rollback", "Monitor": 2, "MaxFailureRatio": 0.25, "Order": "start-first"}),
		set("RollbackConfig", obj{"Parallelism": 0, "Delay": 3, "FailureAction": "continue", "Monitor": 4, "MaxFailureRatio": 0.5, "Order": "start-first"}),
		set("EndpointSpec", obj{"Mode": "dnsrr", "Ports": list{
			obj{"Name": "dns", "Protocol": "udp", "TargetPort": 53, "PublishedPort": t.port(), "PublishMode": "host"}}}),
		set("TaskTemplate", obj{
			"ForceUpdate": 3, "Runtime": "container",
			"LogDriver": obj{"Name": "json-file", "Options": obj{"max-size": "1m"}},
			"Networks":  list{obj{"Target": t.network(), "Aliases": list{"db"}, "DriverOpts": obj{"a": "b"}}},
			"Placement": obj{"Constraints": list{"node.labels.tag==one"}, "MaxReplicas": 2,
				"Preferences": list{obj{"Spread": obj{"SpreadDescriptor": "node.labels.zone"}}},
				"Platforms":   list{obj{"Architecture": "amd64", "OS": "linux"}}},
			"Resources": obj{
				"Limits": obj{"NanoCPUs": 500_000_000, "MemoryBytes": 64 << 20, "Pids": 100},
				"Reservations": obj{"NanoCPUs": 100_000_000, "MemoryBytes": 32 << 20, "GenericResources": list{
					obj{"DiscreteResourceSpec": obj{"Kind": "gpu", "Value": 2}}, obj{"NamedResourceSpec": obj{"Kind": "fpga", "Value": "x"}}}}},
			"RestartPolicy": obj{"Condition": "on-failure", "Delay": 1, "MaxAttempts": 4, "Window": 60},
			"ContainerSpec": obj{
				"Image": t.target.Image, "Labels": obj{"a": "b"}, "Command": list{"/testimage"}, "Args": list{"-lines", "1"}, "Env": list{"B=2", "A=1"},
				"Hostname": "host", "Dir": "/tmp", "User": "1:2", "Groups": list{"12"}, "Init": true, "TTY": true, "OpenStdin": true, "ReadOnly": true,
				"StopSignal": "SIGINT", "StopGracePeriod": 3, "Isolation": "hyperv", "Hosts": list{"10.0.0.1 db"}, "Sysctls": obj{"net.core.somaxconn": "1"},
				"Healthcheck":   obj{"Test": list{"CMD", "true"}, "Interval": 1_000_000, "Timeout": 2_000_000, "Retries": 5, "StartPeriod": 3_000_000},
				"DNSConfig":     obj{"Nameservers": list{"127.0.0.53"}, "Search": list{"example.com"}, "Options": list{"ndots:2"}},
				"CapabilityAdd": list{"CAP_NET_ADMIN"}, "CapabilityDrop": list{"CAP_CHOWN"},
				"Secrets": list{t.secretReference(t.fill("{secret.id}"), t.fill("{secret.name}"))},
				"Configs": list{t.configReference(t.fill("{config.id}"), t.fill("{config.name}"))},
				"Ulimits": list{obj{"Name": "nofile", "Soft": 10, "Hard": 20}},
				"Mounts": list{
					obj{"Type": "volume", "Source": "data", "Target": "/data", "ReadOnly": true, "VolumeOptions": obj{"NoCopy": true,
						"Labels": obj{"volume": "label"}, "DriverConfig": obj{"Name": "local", "Options": obj{"type": "tmpfs"}}}},
					obj{"Type": "bind", "Source": "/etc", "Target": "/host", "BindOptions": obj{"Propagation": "rslave"}},
					obj{"Type": "tmpfs", "Target": "/mem", "TmpfsOptions": obj{"SizeBytes": 1 << 20, "Mode": 0o700}},
				},
			},
		}),
	)
}
