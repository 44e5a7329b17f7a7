package swarm

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	frontID = "f000000000000000000000001"
	backID  = "b000000000000000000000001"
)

// sentAndStored are a spec and what engines make of it.
func sentAndStored(t *testing.T) (sent, has ServiceSpec) {
	decode := func(text string) (spec ServiceSpec) {
		require.NoError(t, json.Unmarshal([]byte(text), &spec))
		return spec
	}
	return decode(`{"Name":"web","Labels":{},"TaskTemplate":{
			"ContainerSpec":{"Image":"web","Env":["A=1"],"Args":[],"Privileges":{"Seccomp":{}},
				"Mounts":[{"Target":"/a"},{"Target":"/b","Type":"volume","Source":"b","Consistency":"cached"},
					{"Target":"/c","Source":"/c","BindOptions":{"NonRecursive":true,"CreateMountpoint":true}},
					{"Target":"/d","Source":"/d","BindOptions":{"CreateMountpoint":true}}]},
			"RestartPolicy":{"Delay":1000},
			"Networks":[{"Target":"front","Aliases":["www"]},{"Target":"` + backID + `"}]},
		"UpdateConfig":{"Delay":1000},
		"EndpointSpec":{"Ports":[{"TargetPort":80},{"TargetPort":53,"Protocol":"UDP","PublishMode":"nowhere"}]}}`),
		decode(`{"Name":"web","Labels":{},"TaskTemplate":{"Runtime":"container","ForceUpdate":0,
			"ContainerSpec":{"Image":"web:latest@` + testDigest + `","Env":["A=1"],"Isolation":"default",
				"Privileges":{"NoNewPrivileges":false,"CredentialSpec":null,"SELinuxContext":null,"Seccomp":{"Mode":"default"}},
				"Mounts":[{"Target":"/a","Type":"bind"},{"Target":"/b","Type":"volume","Source":"b"},
					{"Target":"/c","Type":"bind","Source":"/c","BindOptions":{"Propagation":"rprivate","NonRecursive":true}},
					{"Target":"/d","Type":"bind","Source":"/d"}]},
			"RestartPolicy":{"Condition":"any","Delay":1000,"MaxAttempts":0},
			"Placement":{"Platforms":[{"Architecture":"amd64","OS":"linux"}]},
			"Networks":[{"Target":"` + frontID + `","Aliases":["www"]},{"Target":"` + backID + `"}]},
		"Mode":{"Replicated":{"Replicas":1}},
		"UpdateConfig":{"Parallelism":1,"Delay":1000,"FailureAction":"pause","MaxFailureRatio":0,"Order":"stop-first"},
		"EndpointSpec":{"Mode":"vip","Ports":[{"TargetPort":80,"Protocol":"tcp","PublishMode":"ingress"},
			{"TargetPort":53,"Protocol":"udp","PublishMode":"ingress"}]}}`)
}

const testDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestASpecIsRecognisedWithWhatEnginesFillIn(t *testing.T) {
	sent, has := sentAndStored(t)
	assert.True(t, isSpec(has, sent, nil))
	assert.True(t, isSpec(has, sent, map[string]string{frontID: "front", backID: "back"}))
	assert.True(t, isSpec(has, has, nil))
	assert.True(t, isSpec(sent, sent, nil))
	for name, modes := range map[string][2]ServiceMode{
		"job without numbers":    {{ReplicatedJob: &ReplicatedJobMode{}}, ReplicatedJob(1, 1)},
		"job with one":           {{ReplicatedJob: &ReplicatedJobMode{MaxConcurrent: new(uint64(3))}}, ReplicatedJob(3, 3)},
		"job with the other":     {{ReplicatedJob: &ReplicatedJobMode{TotalCompletions: new(uint64(3))}}, ReplicatedJob(3, 1)},
		"replicas not mentioned": {{Replicated: &ReplicatedService{}}, Replicated(1)},
		"global job":             {GlobalJob(), GlobalJob()},
	} {
		assert.True(t, isSpec(ServiceSpec{Mode: modes[1]}, ServiceSpec{Mode: modes[0]}, nil), name)
	}
	assert.True(t, isSpec(ServiceSpec{Mode: Global(), TaskTemplate: TaskSpec{Runtime: RuntimePlugin}},
		ServiceSpec{TaskTemplate: TaskSpec{Runtime: RuntimePlugin}}, nil))
}

// What the spec did not have that was sent, and engines do not fill in.
func TestWhatIsNewInASpecIsOfAnotherWriter(t *testing.T) {
	for name, edit := range map[string]func(*ServiceSpec){
		"label":           func(s *ServiceSpec) { s.PutLabel("by", "somebody") },
		"container label": func(s *ServiceSpec) { s.PutContainerLabel("by", "somebody") },
		"env":             func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Env = []string{"A=1", "B=2"} },
		"args":            func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Args = []string{"x"} },
		"hostname":        func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Hostname = "x" },
		"user":            func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.User = "root" },
		"read-only":       func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.ReadOnly = true },
		"init":            func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Init = new(false) },
		"isolation":       func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Isolation = IsolationHyperV },
		"grace period":    func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.StopGracePeriod = new(10 * time.Second) },
		"seccomp":         func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Privileges.Seccomp.Mode = SeccompUnconfined },
		"read-only mount": func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Mounts[0].ReadOnly = true },
		"mount propagation": func(s *ServiceSpec) {
			s.TaskTemplate.ContainerSpec.Mounts[0].BindOptions = &BindOptions{Propagation: PropagationRPrivate}
		},
		"memory limit": func(s *ServiceSpec) {
			s.TaskTemplate.Resources = &ResourceRequirements{Limits: &Limits{MemoryBytes: 1 << 30}}
		},
		"no restarts":      func(s *ServiceSpec) { s.TaskTemplate.RestartPolicy.Condition = RestartNone },
		"restart attempts": func(s *ServiceSpec) { s.TaskTemplate.RestartPolicy.MaxAttempts = new(uint64(1)) },
		"restart window":   func(s *ServiceSpec) { s.TaskTemplate.RestartPolicy.Window = new(time.Second) },
		"restart policy":   func(s *ServiceSpec) { s.TaskTemplate.RestartPolicy = DefaultRestartPolicy() },
		"max replicas":     func(s *ServiceSpec) { s.TaskTemplate.Placement.MaxReplicas = 1 },
		"constraint":       func(s *ServiceSpec) { s.TaskTemplate.Placement.Constraints = []string{"node.role==worker"} },
		"log driver":       func(s *ServiceSpec) { s.TaskTemplate.LogDriver = &Driver{Name: "none"} },
		"force":            func(s *ServiceSpec) { s.TaskTemplate.ForceUpdate = 1 },
		"image":            func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "web:2@" + testDigest },
		"platforms alone":  func(s *ServiceSpec) { s.TaskTemplate.ContainerSpec.Image = "web" },
		"published port":   func(s *ServiceSpec) { s.EndpointSpec.Ports[0].PublishedPort = 8080 },
		"publish mode":     func(s *ServiceSpec) { s.EndpointSpec.Ports[0].PublishMode = PublishHost },
		"port dropped":     func(s *ServiceSpec) { s.EndpointSpec.Ports = s.EndpointSpec.Ports[:1] },
		"endpoint mode":    func(s *ServiceSpec) { s.EndpointSpec.Mode = EndpointDNSRR },
		"replicas":         func(s *ServiceSpec) { s.Mode = Replicated(2) },
		"order":            func(s *ServiceSpec) { s.UpdateConfig.Order = StartFirst },
		"monitor":          func(s *ServiceSpec) { s.UpdateConfig.Monitor = time.Second },
		"rollback config":  func(s *ServiceSpec) { s.RollbackConfig = DefaultRollbackConfig() },
		"network": func(s *ServiceSpec) {
			s.PutNetwork(NetworkAttachmentConfig{Target: "0000000000000000000000000"})
		},
		"network dropped": func(s *ServiceSpec) { s.TaskTemplate.Networks = s.TaskTemplate.Networks[:1] },
		"other network":   func(s *ServiceSpec) { s.TaskTemplate.Networks[1].Target = "0000000000000000000000000" },
		"network renamed": func(s *ServiceSpec) { s.TaskTemplate.Networks[0].Target = "1111111111111111111111111" },
		"alias":           func(s *ServiceSpec) { s.TaskTemplate.Networks[0].Aliases = []string{"www", "w3"} },
		"alias dropped":   func(s *ServiceSpec) { s.TaskTemplate.Networks[0].Aliases = nil },
		"driver option":   func(s *ServiceSpec) { s.TaskTemplate.Networks[1].DriverOpts = map[string]string{"a": "b"} },
	} {
		sent, has := sentAndStored(t)
		edit(&has)
		assert.False(t, isSpec(has, sent, map[string]string{frontID: "front", "1111111111111111111111111": "other"}), name)
	}
	sent, has := sentAndStored(t)
	sent.TaskTemplate.RestartPolicy = nil
	has.TaskTemplate.RestartPolicy = &RestartPolicy{Condition: RestartAny, MaxAttempts: new(uint64(0))}
	assert.False(t, isSpec(has, sent, nil), "a restart policy where there was none, though it changes nothing")
}

// Old requests name networks at the service, where new engines do not leave them.
func TestNetworksCountWhereverTheyAreNamed(t *testing.T) {
	networks := []NetworkAttachmentConfig{{Target: "front"}}
	sent := ServiceSpec{Networks: networks}
	assert.True(t, isSpec(ServiceSpec{TaskTemplate: TaskSpec{Networks: networks}}, sent, nil))
	assert.True(t, isSpec(ServiceSpec{Networks: networks}, sent, nil))
	assert.False(t, isSpec(ServiceSpec{}, sent, nil))
}

// A name is sent, and an ID comes back: whose, the tasks tell.
func TestAnotherNetworkIsSeenWhenTasksNameIt(t *testing.T) {
	task := aTask("a", 1, 1, TaskRunning)
	s := seen(Replicated(1), nil, "", task)
	s.Service.Spec.TaskTemplate.Networks = []NetworkAttachmentConfig{{Target: frontID}}
	j := judgeOf(s)
	j.rollout.Spec.TaskTemplate.Networks = []NetworkAttachmentConfig{{Target: "front"}}
	require.NoError(t, j.judge(s, time.Now()).err)
	attachTo := func(name string) {
		s.Tasks[0].NetworksAttachments = []NetworkAttachment{{Network: AttachedNetwork{ID: frontID, Spec: AttachedNetworkSpec{Name: name}}}}
	}
	attachTo("front")
	require.NoError(t, j.judge(s, time.Now()).err)
	j.networks = nil
	attachTo("other")
	assert.ErrorIs(t, j.judge(s, time.Now()).err, ErrSuperseded)
}
