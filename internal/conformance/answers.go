package conformance

import (
	"net/http"
	"regexp"
	"strings"

	"github.com/stretchr/testify/assert"
)

// row is one request, and its answer by release. Request, body and answer may have
// placeholders, see [T.fill].
type row struct {
	name        string
	request     string // method and path
	version     string // of the API, for those about versions
	body        string
	contentType string // if not application/json
	auth        string // of X-Registry-Auth
	needs       Needs
	want        since[string] // as answer.String has it
}

const (
	empty      = " " // a header that is there and has no value
	none       = "none"
	aService   = `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}}}`
	notManager = `This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.`
)

// registryRefused is what comes of asking a registry that is not there.
const registryRefused = `500 Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused`

// pullRefused is the same for pulls, which newer engines leave to containerd.
var pullRefused = since[string]{"20.10": registryRefused,
	"29.5": `500 failed to resolve reference "127.0.0.1:1/x:1": failed to do request: Head "https://127.0.0.1:1/v2/x/manifests/1": dial tcp 127.0.0.1:1: connect: connection refused`}

// noStream is what comes of asking for logs of neither stream.
var noStream = since[string]{"20.10": "500 Bad parameters: you must choose at least one stream", "29.5": "400 must specify at least one of 'stdout' or 'stderr'"}

var answers = func() (all []Behaviour) {
	for _, row := range answerRows {
		all = append(all, Behaviour{"answer." + row.name, row.needs, row.run})
	}
	return append(all, Behaviour{"answer.after_leave_services", OutsideSwarm, func(t *T) {
		t.initSwarm()
		t.leaveSwarm()
		t.answers(request{method: http.MethodGet, path: "/services"}, "503 "+notManager)
	}})
}()

func (r row) run(t *T) {
	want := t.fill(r.want.from(t)) // first: it may speak of what is in the way
	method, path, _ := strings.Cut(t.fill(r.request), " ")
	req := request{method: method, path: path, version: r.version, header: http.Header{}}
	switch {
	case r.contentType == "":
		req.header.Set("Content-Type", "application/json")
	case r.contentType != none:
		req.header.Set("Content-Type", r.contentType)
	}
	if r.auth != "" {
		req.header.Set("X-Registry-Auth", r.auth)
	}
	if r.body != "" {
		req.body = t.fill(r.body)
	}
	got := matches.ReplaceAllString(t.send(req).String(), "(# matches")
	assert.Equal(t, want, got, "%s", r.request)
}

// How many services have an ID that begins so depends on all others.
var matches = regexp.MustCompile(`\(\d+ matches`)

var answerRows = []row{
	// Versions of the API in the path.
	{name: "apiversion_1.10", request: "GET /info", version: "1.10",
		want: since[string]{"20.10": "400 (text/plain; charset=utf-8) client version 1.10 is too old. Minimum supported API version is 1.12, please upgrade your client to a newer version", "26.1": "400 client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "28.5": "400 (text/plain; charset=utf-8) client version 1.10 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "29.5": "400 (text/plain; charset=utf-8) client version 1.10 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_1.12", request: "GET /info", version: "1.12",
		want: since[string]{"20.10": "200 json", "26.1": "400 client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "28.5": "400 (text/plain; charset=utf-8) client version 1.12 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "29.5": "400 (text/plain; charset=utf-8) client version 1.12 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_1.20", request: "GET /info", version: "1.20",
		want: since[string]{"20.10": "200 json", "26.1": "400 client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "28.5": "400 (text/plain; charset=utf-8) client version 1.20 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "29.5": "400 (text/plain; charset=utf-8) client version 1.20 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_1.23", request: "GET /info", version: "1.23",
		want: since[string]{"20.10": "200 json", "26.1": "400 client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "28.5": "400 (text/plain; charset=utf-8) client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "29.5": "400 (text/plain; charset=utf-8) client version 1.23 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_1.24", request: "GET /info", version: "1.24",
		want: since[string]{"20.10": "200 json", "29.5": "400 client version 1.24 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_1.39", request: "GET /info", version: "1.39",
		want: since[string]{"20.10": "200 json", "29.5": "400 client version 1.39 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_1.44", request: "GET /info", version: "1.44",
		want: since[string]{"20.10": "400 client version 1.44 is too new. Maximum supported API version is {api}", "26.1": "200 json"}},
	{name: "apiversion_1.99", request: "GET /info", version: "1.99",
		want: all("400 client version 1.99 is too new. Maximum supported API version is {api}")},
	{name: "apiversion_2.0", request: "GET /info", version: "2.0",
		want: all("400 client version 2.0 is too new. Maximum supported API version is {api}")},
	{name: "apiversion_9.9", request: "GET /info", version: "9.9",
		want: all("400 client version 9.9 is too new. Maximum supported API version is {api}")},
	{name: "apiversion_malformed_1", request: "GET /info", version: "1",
		want: since[string]{"20.10": "400 (text/plain; charset=utf-8) client version 1 is too old. Minimum supported API version is 1.12, please upgrade your client to a newer version", "26.1": "400 client version 1 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "28.5": "400 (text/plain; charset=utf-8) client version 1 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version", "29.5": "400 (text/plain; charset=utf-8) client version 1 is too old. Minimum supported API version is 1.40, please upgrade your client to a newer version"}},
	{name: "apiversion_malformed_x", request: "GET /info", version: "x",
		want: all("404 page not found")},
	{name: "apiversion_malformed_1.41.1", request: "GET /info", version: "1.41.1",
		want: since[string]{"20.10": "400 client version 1.41.1 is too new. Maximum supported API version is {api}", "26.1": "200 json"}},
	{name: "page_not_found", request: "GET /nosuchpage",
		want: all("404 page not found")},
	{name: "method_not_allowed", request: "DELETE /services",
		want: all("404 page not found")},
	{name: "method_not_allowed_put", request: "PUT /services/create",
		want: all("404 page not found")},
	// In no swarm.
	{name: "noswarm_services", request: "GET /services", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_service", request: "GET /services/x", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_nodes", request: "GET /nodes", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_swarm", request: "GET /swarm", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_secrets", request: "GET /secrets", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_configs", request: "GET /configs", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_tasks", request: "GET /tasks", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_service_create", request: "POST /services/create", body: `{"Name":"a","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}}}`, needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_service_logs", request: "GET /services/x/logs?stdout=1", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_unlockkey", request: "GET /swarm/unlockkey", needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_leave", request: "POST /swarm/leave", needs: OutsideSwarm,
		want: all("503 This node is not part of a swarm")},
	{name: "noswarm_unlock", request: "POST /swarm/unlock", body: `{"UnlockKey":"SWMKEY-1-x"}`, needs: OutsideSwarm,
		want: all("503 " + notManager)},
	{name: "noswarm_overlay_create", request: "POST /networks/create", body: `{"Name":"o","Driver":"overlay"}`, needs: OutsideSwarm,
		want: since[string]{"20.10": "500 " + notManager, "26.1": "403 " + notManager}},
	{name: "noswarm_secret_create", request: "POST /secrets/create", body: `{"Name":"s","Data":"eA=="}`, needs: OutsideSwarm,
		want: all("503 " + notManager)},
	// Making, joining and leaving a swarm.
	{name: "init_bad_addr", request: "POST /swarm/init", body: `{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"nosuch0"}`, needs: OutsideSwarm,
		want: all("400 advertise address must be a non-zero IP address or network interface (with optional port number)")},
	{name: "init_bad_json", request: "POST /swarm/init", body: "{", needs: OutsideSwarm,
		want: since[string]{"20.10": "400 unexpected EOF", "26.1": "400 invalid JSON: unexpected EOF"}},
	{name: "join_bad_token", request: "POST /swarm/join", body: `{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"{addr}","RemoteAddrs":["{addr}:2377"],"JoinToken":"foo"}`, needs: OutsideSwarm,
		want: all("500 invalid join token")},
	{name: "init_again", request: "POST /swarm/init", body: `{"ListenAddr":"0.0.0.0:2377","AdvertiseAddr":"127.0.0.1"}`,
		want: all(`503 This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.`)},
	{name: "join_again", request: "POST /swarm/join", body: `{"ListenAddr":"0.0.0.0:2377","RemoteAddrs":["127.0.0.1:2377"],"JoinToken":"SWMTKN-1-x-y"}`,
		want: all(`503 This node is already part of a swarm. Use "docker swarm leave" to leave this swarm and join another one.`)},
	{name: "leave_manager_noforce", request: "POST /swarm/leave", needs: AloneInSwarm,
		want: all("503 You are attempting to leave the swarm on a node that is participating as a manager. Removing the last manager erases all current state of the swarm. Use `--force` to ignore this message. ")},
	// Secrets.
	{name: "secret_create_dup", request: "POST /secrets/create", body: `{"Name":"{secret.name}","Data":"eA=="}`,
		want: all("409 rpc error: code = AlreadyExists desc = secret {secret.name} already exists")},
	{name: "secret_create_badname", request: "POST /secrets/create", body: `{"Name":"bad name!","Data":"eA=="}`,
		want: all("400 rpc error: code = InvalidArgument desc = invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]")},
	{name: "secret_create_noname", request: "POST /secrets/create", body: `{"Data":"eA=="}`,
		want: all("400 rpc error: code = InvalidArgument desc = name must be provided")},
	{name: "secret_create_empty", request: "POST /secrets/create", body: `{"Name":"{new}"}`,
		want: all("400 rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes")},
	{name: "secret_create_toobig_1.1MB", request: "POST /secrets/create", body: `{"Name":"{new}","Data":"{big.megabyte}"}`,
		want: all("400 rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes")},
	{name: "secret_inspect_missing", request: "GET /secrets/nope",
		want: all("404 secret nope not found")},
	{name: "secret_list_badfilter", request: "GET /secrets?filters=%7B%22bad%22%3A%20%5B%22x%22%5D%7D",
		want: since[string]{"20.10": "400 Invalid filter 'bad'", "26.1": "400 invalid filter 'bad'"}},
	{name: "secret_update_labels", request: "POST /secrets/{secret.id}/update?version={secret.version}", body: `{"Name":"{secret.name}","Labels":{"a":"c"}}`,
		want: all("200 empty")},
	{name: "secret_update_stale_version", request: "POST /secrets/{secret.id}/update?version=1", body: `{"Name":"{secret.name}","Labels":{"a":"d"}}`,
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "secret_update_data", request: "POST /secrets/{secret.id}/update?version={secret.version}", body: `{"Name":"{secret.name}","Data":"b3RoZXI="}`,
		want: all("400 rpc error: code = InvalidArgument desc = only updates to Labels are allowed")},
	{name: "secret_create_501KB", request: "POST /secrets/create", body: `{"Name":"{new}","Data":"{big.kilobytes}"}`,
		want: all("400 rpc error: code = InvalidArgument desc = secret data must be larger than 0 and less than 512000 bytes")},
	{name: "secret_delete_missing", request: "DELETE /secrets/nope",
		want: all("404 secret nope not found")},
	// Configs.
	{name: "config_create_dup", request: "POST /configs/create", body: `{"Name":"{config.name}","Data":"eA=="}`,
		want: all("409 rpc error: code = AlreadyExists desc = config {config.name} already exists")},
	{name: "config_create_badname", request: "POST /configs/create", body: `{"Name":"bad name!","Data":"eA=="}`,
		want: all("400 rpc error: code = InvalidArgument desc = invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]")},
	{name: "config_create_noname", request: "POST /configs/create", body: `{"Data":"eA=="}`,
		want: all("400 rpc error: code = InvalidArgument desc = name must be provided")},
	{name: "config_create_empty", request: "POST /configs/create", body: `{"Name":"{new}"}`,
		want: all("400 rpc error: code = InvalidArgument desc = config data must be larger than 0 and less than 1024000 bytes")},
	{name: "config_create_toobig_1.1MB", request: "POST /configs/create", body: `{"Name":"{new}","Data":"{big.megabyte}"}`,
		want: all("400 rpc error: code = InvalidArgument desc = config data must be larger than 0 and less than 1024000 bytes")},
	{name: "config_inspect_missing", request: "GET /configs/nope",
		want: all("404 config nope not found")},
	{name: "config_list_badfilter", request: "GET /configs?filters=%7B%22bad%22%3A%20%5B%22x%22%5D%7D",
		want: since[string]{"20.10": "400 Invalid filter 'bad'", "26.1": "400 invalid filter 'bad'"}},
	{name: "config_update_stale_version", request: "POST /configs/{config.id}/update?version=1", body: `{"Name":"{config.name}","Labels":{"a":"d"},"Data":"eA=="}`,
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "config_update_data", request: "POST /configs/{config.id}/update?version={config.version}", body: `{"Name":"{config.name}","Data":"b3RoZXI="}`,
		want: all("400 rpc error: code = InvalidArgument desc = only updates to Labels are allowed")},
	{name: "config_delete_missing", request: "DELETE /configs/nope",
		want: all("404 config nope not found")},
	// Creating services.
	{name: "service_create_ok", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","StopGracePeriod":1000000000,"Secrets":[{"File":{"Name":"s","UID":"0","GID":"0","Mode":292},"SecretID":"{secret.id}","SecretName":"{secret.name}"}],"Configs":[{"File":{"Name":"/c","UID":"0","GID":"0","Mode":292},"ConfigID":"{config.id}","ConfigName":"{config.name}"}]}},"Mode":{"Replicated":{"Replicas":0}},"Labels":{"team":"x"}}`,
		want: all("201 json")},
	{name: "service_create_tty", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","TTY":true}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("201 json")},
	{name: "service_create_global", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Placement":{"Constraints":["node.labels.nowhere==yes"]}},"Mode":{"Global":{}}}`,
		want: all("201 json")},
	{name: "service_create_duplicate", request: "POST /services/create", body: `{"Name":"{service.name}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("409 rpc error: code = AlreadyExists desc = name conflicts with an existing object: service {service.name} already exists")},
	{name: "service_create_badname", request: "POST /services/create", body: `{"Name":"bad name!","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = name must be valid as a DNS name component")},
	{name: "service_create_longname", request: "POST /services/create", body: `{"Name":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = name must be 63 characters or fewer")},
	{name: "service_create_noname", request: "POST /services/create", body: `{"Name":"","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("201 json")},
	{name: "service_create_noimage", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":""}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = ContainerSpec: image reference must be provided")},
	{name: "service_create_badimage_ref", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"UPPER:bad:ref"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all(`400 rpc error: code = InvalidArgument desc = ContainerSpec: "UPPER:bad:ref" is not a valid repository/tag`)},
	{name: "service_create_nonexistent_image", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"nosuch/image:1"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("201 json")},
	{name: "service_create_no_containerspec", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{}}`,
		want: all("400 mismatched Runtime and *Spec fields")},
	{name: "service_create_empty_object", request: "POST /services/create", body: "{}",
		want: all("400 mismatched Runtime and *Spec fields")},
	{name: "service_create_missing_secret", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Secrets":[{"File":{"Name":"s","UID":"0","GID":"0","Mode":292},"SecretID":"doesnotexist0000000000000","SecretName":"nosecret"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = secret not found: nosecret")},
	{name: "service_create_secret_noid", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Secrets":[{"File":{"Name":"s","UID":"0","GID":"0","Mode":292},"SecretID":"","SecretName":"{secret.name}"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = malformed secret reference")},
	{name: "service_create_secret_wrongname", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Secrets":[{"File":{"Name":"s","UID":"0","GID":"0","Mode":292},"SecretID":"{secret.id}","SecretName":"othername"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = secret not found: othername")},
	{name: "service_create_secret_nofile", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Secrets":[{"SecretID":"{secret.id}","SecretName":"{secret.name}"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = malformed secret reference, no target provided")},
	{name: "service_create_missing_config", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Configs":[{"File":{"Name":"/c","UID":"0","GID":"0","Mode":292},"ConfigID":"doesnotexist0000000000000","ConfigName":"noconfig"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = config not found: noconfig")},
	{name: "service_create_missing_network", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Networks":[{"Target":"nonet"}]},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("500 network nonet not found")},
	{name: "service_create_bridge_network", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Networks":[{"Target":"bridge"}]},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("201 json")},
	{name: "service_create_bad_constraint", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Placement":{"Constraints":["node.role"]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("500 rpc error: code = Unknown desc = constraint expected one operator from ==, !=")},
	{name: "service_create_bad_constraint_key", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Placement":{"Constraints":["node.nosuch==x"]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("201 json")},
	{name: "service_create_two_modes", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":1},"Global":{}}}`,
		want: all("400 must specify only one service mode")},
	{name: "service_create_job_updateconfig", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":1}},"UpdateConfig":{"Parallelism":1}}`,
		want: all("400 rpc error: code = InvalidArgument desc = Jobs may not have an update config")},
	{name: "service_create_port_ok", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}},"EndpointSpec":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":{port.number}}]}}`,
		want: all("201 json")},
	{name: "service_create_port_conflict", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"EndpointSpec":{"Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":{port.number}}]}}`,
		want: all("400 rpc error: code = InvalidArgument desc = port '{port.number}' is already in use by service '{user.name}' ({user.id}) as an ingress port")},
	{name: "service_create_dnsrr_ingress", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"EndpointSpec":{"Mode":"dnsrr","Ports":[{"Protocol":"tcp","TargetPort":80,"PublishedPort":{port.number}}]}}`,
		want: all("400 rpc error: code = InvalidArgument desc = EndpointSpec: port published with ingress mode can't be used with dnsrr mode")},
	{name: "service_create_dup_mount", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Mounts":[{"Type":"tmpfs","Target":"/a"},{"Type":"tmpfs","Target":"/a"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = ContainerSpec: duplicate mount point: /a")},
	{name: "service_create_bad_mount", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Mounts":[{"Type":"bind","Target":"/a"}]}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("201 json")},
	{name: "service_create_neg_resources", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Resources":{"Limits":{"NanoCPUs":1}}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = invalid cpu value 1e-09: Must be at least 0.001")},
	{name: "service_create_bad_restart", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"RestartPolicy":{"Condition":"never"}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all(`400 invalid RestartCondition: "never"`)},
	{name: "service_create_neg_update", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"UpdateConfig":{"MaxFailureRatio":2.0}}`,
		want: all("400 rpc error: code = InvalidArgument desc = TaskSpec: update-maxfailureratio cannot be less than 0 or bigger than 1")},
	{name: "service_create_bad_failure_action", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"UpdateConfig":{"FailureAction":"explode"}}`,
		want: all("400 unrecognized update failure action explode")},
	{name: "service_create_bad_json", request: "POST /services/create", body: `{"Name":"x",`,
		want: since[string]{"20.10": "400 unexpected EOF", "26.1": "400 invalid JSON: unexpected EOF"}},
	{name: "service_create_wrong_type", request: "POST /services/create", body: `{"Name":5}`,
		want: since[string]{"20.10": "400 json: cannot unmarshal number into Go struct field ServiceSpec.Name of type string", "26.1": "400 invalid JSON: json: cannot unmarshal number into Go struct field ServiceSpec.Annotations.Name of type string", "28.5": "400 invalid JSON: json: cannot unmarshal number into Go struct field ServiceSpec.Name of type string", "29.5": "400 invalid JSON: json: cannot unmarshal number into Go struct field serviceWithLegacy.ServiceSpec.Annotations.Name of type string"}},
	{name: "service_create_trailing_json", request: "POST /services/create", body: `{"Name":"x"} {"a":1}`,
		want: since[string]{"20.10": "400 mismatched Runtime and *Spec fields", "26.1": "400 unexpected content after JSON"}},
	{name: "service_create_no_body", request: "POST /services/create", contentType: "none",
		want: since[string]{"20.10": "400 got EOF while reading request body", "26.1": "400 mismatched Runtime and *Spec fields"}},
	{name: "service_create_empty_body", request: "POST /services/create",
		want: since[string]{"20.10": "400 got EOF while reading request body", "26.1": "400 mismatched Runtime and *Spec fields"}},
	{name: "service_create_unknown_field", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Replicated":{"Replicas":0}},"Bogus":1}`,
		want: all("201 json")},
	{name: "service_create_content_type_text", request: "POST /services/create", body: aService, contentType: "text/plain",
		want: since[string]{"20.10": "201 json", "26.1": "400 unsupported Content-Type header (text/plain): must be 'application/json'"}},
	{name: "service_create_content_type_missing", request: "POST /services/create", body: aService, contentType: "none",
		want: since[string]{"20.10": "201 json", "26.1": "400 malformed Content-Type header (): mime: no media type"}},
	// Registry credentials that are none are ignored.
	{name: "registry_auth_notbase64", request: "POST /services/create", body: aService, auth: "!!!notbase64",
		want: all("201 json")},
	{name: "registry_auth_pull_notbase64", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: "!!!notbase64",
		want: pullRefused},
	{name: "registry_auth_distribution_notbase64", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: "!!!notbase64",
		want: all(registryRefused)},
	{name: "registry_auth_notjson", request: "POST /services/create", body: aService, auth: "bm90anNvbg==",
		want: all("201 json")},
	{name: "registry_auth_pull_notjson", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: "bm90anNvbg==",
		want: pullRefused},
	{name: "registry_auth_distribution_notjson", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: "bm90anNvbg==",
		want: all(registryRefused)},
	{name: "registry_auth_empty", request: "POST /services/create", body: aService, auth: empty,
		want: all("201 json")},
	{name: "registry_auth_pull_empty", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: empty,
		want: pullRefused},
	{name: "registry_auth_distribution_empty", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: empty,
		want: all(registryRefused)},
	{name: "registry_auth_emptyobj", request: "POST /services/create", body: aService, auth: "e30=",
		want: all("201 json")},
	{name: "registry_auth_pull_emptyobj", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: "e30=",
		want: pullRefused},
	{name: "registry_auth_distribution_emptyobj", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: "e30=",
		want: all(registryRefused)},
	{name: "registry_auth_ok", request: "POST /services/create", body: aService, auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAiLCJzZXJ2ZXJhZGRyZXNzIjoicmVnLmV4YW1wbGUifQ==",
		want: all("201 json")},
	{name: "registry_auth_pull_ok", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAiLCJzZXJ2ZXJhZGRyZXNzIjoicmVnLmV4YW1wbGUifQ==",
		want: pullRefused},
	{name: "registry_auth_distribution_ok", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InAiLCJzZXJ2ZXJhZGRyZXNzIjoicmVnLmV4YW1wbGUifQ==",
		want: all(registryRefused)},
	{name: "registry_auth_std_base64_padding", request: "POST /services/create", body: aService, auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6IsO/w74/Pj8+In0=",
		want: all("201 json")},
	{name: "registry_auth_pull_std_base64_padding", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6IsO/w74/Pj8+In0=",
		want: pullRefused},
	{name: "registry_auth_distribution_std_base64_padding", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6IsO/w74/Pj8+In0=",
		want: all(registryRefused)},
	{name: "registry_auth_urlsafe_nopad", request: "POST /services/create", body: aService, auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InBwIn0",
		want: all("201 json")},
	{name: "registry_auth_pull_urlsafe_nopad", request: "POST /images/create?fromImage=127.0.0.1:1/x&tag=1", auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InBwIn0",
		want: pullRefused},
	{name: "registry_auth_distribution_urlsafe_nopad", request: "GET /distribution/127.0.0.1:1/x:1/json", auth: "eyJ1c2VybmFtZSI6InUiLCJwYXNzd29yZCI6InBwIn0",
		want: all(registryRefused)},
	// Reading.
	{name: "service_inspect_missing", request: "GET /services/nope",
		want: all("404 service nope not found")},
	{name: "service_inspect_ambiguous_trynothing", request: "GET /services/{service.prefix}",
		want: all("200 json")},
	{name: "service_inspect_baddefaults", request: "GET /services/{service.name}?insertDefaults=maybe",
		want: all(`400 invalid value for insertDefaults: maybe: strconv.ParseBool: parsing "maybe": invalid syntax`)},
	{name: "service_list_badstatus", request: "GET /services?status=maybe",
		want: all(`400 invalid value for status: maybe: strconv.ParseBool: parsing "maybe": invalid syntax`)},
	{name: "service_list_badfilter", request: "GET /services?filters=%7B%22bad%22%3A%20%5B%22x%22%5D%7D",
		want: since[string]{"20.10": "400 Invalid filter 'bad'", "26.1": "400 invalid filter 'bad'"}},
	{name: "service_list_badfilter_json", request: "GET /services?filters={",
		want: since[string]{"20.10": "400 unexpected end of JSON input", "26.1": "400 invalid filter"}},
	{name: "service_list_badfilter_string", request: "GET /services?filters=%22x%22",
		want: since[string]{"20.10": "400 json: cannot unmarshal string into Go value of type map[string]map[string]bool", "26.1": "400 invalid filter"}},
	{name: "task_inspect_missing", request: "GET /tasks/nope",
		want: all("404 task nope not found")},
	{name: "task_list_badfilter", request: "GET /tasks?filters=%7B%22bad%22%3A%20%5B%22x%22%5D%7D",
		want: since[string]{"20.10": "400 Invalid filter 'bad'", "26.1": "400 invalid filter 'bad'"}},
	{name: "task_list_filter_badservice", request: "GET /tasks?filters=%7B%22service%22%3A%20%5B%22nope%22%5D%7D",
		want: all("404 service nope not found")},
	{name: "task_list_filter_bad_desired", request: "GET /tasks?filters=%7B%22desired-state%22%3A%20%5B%22zzz%22%5D%7D",
		want: all("500 Invalid desired-state filter: 'zzz'")},
	// Updating services.
	{name: "service_update_wrong_version", request: "POST /services/{service.id}/update?version=1", body: "{service.spec}",
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "service_update_future_version", request: "POST /services/{service.id}/update?version=99999", body: "{service.spec}",
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "service_update_no_version", request: "POST /services/{service.id}/update", body: "{service.spec}",
		want: all(`400 invalid service version '': strconv.ParseUint: parsing "": invalid syntax`)},
	{name: "service_update_bad_version", request: "POST /services/{service.id}/update?version=abc", body: "{service.spec}",
		want: all(`400 invalid service version 'abc': strconv.ParseUint: parsing "abc": invalid syntax`)},
	{name: "service_update_missing", request: "POST /services/nope/update?version=1", body: aService,
		want: all("404 service nope not found")},
	{name: "service_update_rename", request: "POST /services/{service.id}/update?version={service.version}", body: aService,
		want: all("501 rpc error: code = Unimplemented desc = renaming services is not supported")},
	{name: "service_update_mode", request: "POST /services/{service.id}/update?version={service.version}", body: `{"Name":"{service.name}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"}},"Mode":{"Global":{}}}`,
		want: all("501 rpc error: code = Unimplemented desc = service mode change is not allowed")},
	{name: "service_update_rollback_none", request: "POST /services/{service.id}/update?version={service.version}&rollback=previous", body: "{service.spec}",
		want: all("400 rpc error: code = FailedPrecondition desc = service {service.id} does not have a previous spec")},
	{name: "service_update_rollback_bad", request: "POST /services/{service.id}/update?version={service.version}&rollback=sideways", body: "{service.spec}",
		want: all("500 unrecognized rollback option sideways")},
	{name: "service_update_badauthfrom", request: "POST /services/{service.id}/update?version={service.version}&registryAuthFrom=nowhere", body: "{service.spec}",
		want: since[string]{"20.10": "500 unsupported registryAuthFrom value", "29.5": "400 invalid registryAuthFrom 'nowhere'"}},
	{name: "service_update_badjson", request: "POST /services/{service.id}/update?version={service.version}", body: "{",
		want: since[string]{"20.10": "400 unexpected EOF", "26.1": "400 invalid JSON: unexpected EOF"}},
	{name: "service_update_registry_auth_malformed", request: "POST /services/{service.id}/update?version={service.version}", body: "{service.spec}", auth: "!!!",
		want: all("200 json")},
	{name: "service_update_noimage", request: "POST /services/{service.id}/update?version={service.version}", body: `{"Name":"{service.name}","TaskTemplate":{"ContainerSpec":{}},"Mode":{"Replicated":{"Replicas":0}}}`,
		want: all("400 rpc error: code = InvalidArgument desc = ContainerSpec: image reference must be provided")},
	{name: "service_update_ok", request: "POST /services/{service.id}/update?version={service.version}", body: "{service.spec}",
		want: all("200 json")},
	{name: "service_update_stale_after_ok", request: "POST /services/{updated.id}/update?version={updated.version}", body: "{updated.spec}",
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "service_update_failing", request: "POST /services/{service.id}/update?version={service.version}", body: `{"Name":"{service.name}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Command":["/nosuchbinary"]}},"Mode":{"Replicated":{"Replicas":0}},"UpdateConfig":{"Parallelism":0,"Monitor":500000000,"FailureAction":"pause"}}`,
		want: all("200 json")},
	// Jobs.
	{name: "service_create_job", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"RestartPolicy":{"Condition":"none"},"Placement":{"Constraints":["node.labels.nowhere==yes"]}},"Mode":{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":2}}}`,
		want: all("201 json")},
	{name: "service_create_globaljob", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"RestartPolicy":{"Condition":"none"},"Placement":{"Constraints":["node.labels.nowhere==yes"]}},"Mode":{"GlobalJob":{}}}`,
		want: all("201 json")},
	{name: "service_create_badjob", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}","Args":["-exit","3"]},"RestartPolicy":{"Condition":"none"},"Placement":{"Constraints":["node.labels.nowhere==yes"]}},"Mode":{"ReplicatedJob":{"MaxConcurrent":1,"TotalCompletions":1}}}`,
		want: all("201 json")},
	// Logs.
	{name: "logs_nostream", request: "GET /services/{service.name}/logs",
		want: noStream},
	{name: "logs_missing", request: "GET /services/nope/logs?stdout=1",
		want: all("404 service nope not found")},
	{name: "logs_badsince", request: "GET /services/{service.name}/logs?stdout=1&since=abc",
		want: since[string]{"20.10": `500 could not parse since timestamp: strconv.ParseInt: parsing "abc": invalid syntax`, "29.5": `400 invalid value for "since": invalid timestamp "abc": invalid seconds "abc": invalid syntax`}},
	{name: "logs_badtail", request: "GET /services/{service.name}/logs?stdout=1&tail=abc",
		want: all(`500 tail value must be a positive integer or "all"`)},
	{name: "logs_task_missing", request: "GET /tasks/nope/logs?stdout=1",
		want: all("404 task nope not found")},
	{name: "logs_container_missing", request: "GET /containers/nope/logs?stdout=1",
		want: all("404 No such container: nope")},
	{name: "secret_delete_inuse", request: "DELETE /secrets/{user.secret}",
		want: all("400 rpc error: code = InvalidArgument desc = secret '{secret.name}' is in use by the following service: {user.name}")},
	{name: "config_delete_inuse", request: "DELETE /configs/{user.config}",
		want: all("400 rpc error: code = InvalidArgument desc = config '{config.name}' is in use by the following service: {user.name}")},
	// Nodes.
	{name: "node_inspect_self", request: "GET /nodes/self",
		want: all("404 node self not found")},
	{name: "node_inspect_missing", request: "GET /nodes/nope",
		want: all("404 node nope not found")},
	{name: "node_list_badfilter", request: "GET /nodes?filters=%7B%22bad%22%3A%20%5B%22x%22%5D%7D",
		want: since[string]{"20.10": "400 Invalid filter 'bad'", "26.1": "400 invalid filter 'bad'"}},
	{name: "node_update_stale", request: "POST /nodes/{node.id}/update?version=1", body: `{"Labels":{},"Role":"manager","Availability":"active"}`,
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "node_update_badavail", request: "POST /nodes/{node.id}/update?version={node.version}", body: `{"Role":"manager","Availability":"zzz"}`, needs: AloneInSwarm,
		want: all(`400 invalid Availability: "zzz"`)},
	{name: "node_demote_last", request: "POST /nodes/{node.id}/update?version={node.version}", body: `{"Role":"worker","Availability":"active"}`, needs: AloneInSwarm,
		want: all("400 rpc error: code = FailedPrecondition desc = attempting to demote the last manager of the swarm")},
	{name: "node_delete_self", request: "DELETE /nodes/{node.id}",
		want: all("400 rpc error: code = FailedPrecondition desc = node {node.id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal")},
	{name: "node_delete_self_force", request: "DELETE /nodes/{node.id}?force=1",
		want: all("400 rpc error: code = FailedPrecondition desc = node {node.id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal")},
	{name: "node_delete_missing", request: "DELETE /nodes/nope",
		want: all("404 node nope not found")},
	// Networks.
	{name: "network_create_dup", request: "POST /networks/create", body: `{"Name":"{network.name}","Driver":"overlay","CheckDuplicate":true}`,
		want: all("409 network with name {network.name} already exists")},
	{name: "network_inspect_missing", request: "GET /networks/nope",
		want: all("404 network nope not found")},
	{name: "service_create_on_ov1", request: "POST /services/create", body: `{"Name":"{new}","TaskTemplate":{"ContainerSpec":{"Image":"{image}"},"Networks":[{"Target":"{network.name}","Aliases":["al"]}]},"Mode":{"Replicated":{"Replicas":0}},"EndpointSpec":{"Mode":"vip"}}`,
		want: all("201 json")},
	{name: "network_delete_inuse", request: "DELETE /networks/{user.network}",
		want: all("400 rpc error: code = FailedPrecondition desc = network {network.id} is in use by service {user.id}")},
	{name: "network_delete_missing", request: "DELETE /networks/nope",
		want: all("404 network nope not found")},
	// The swarm.
	{name: "swarm_update_stale", request: "POST /swarm/update?version=1", body: "{swarm.spec}",
		want: all("500 rpc error: code = Unknown desc = update out of sequence")},
	{name: "swarm_update_noversion", request: "POST /swarm/update", body: "{swarm.spec}", needs: AloneInSwarm,
		want: all(`400 invalid swarm version '': strconv.ParseUint: parsing "": invalid syntax`)},
	{name: "swarm_rotate_worker", request: "POST /swarm/update?version={swarm.version}&rotateWorkerToken=1", body: "{swarm.spec}", needs: AloneInSwarm,
		want: all("200 empty")},
	{name: "swarm_unlock_notlocked", request: "POST /swarm/unlock", body: `{"UnlockKey":"SWMKEY-1-x"}`,
		want: all("409 swarm is not locked")},
	// Removing services.
	{name: "service_delete_missing", request: "DELETE /services/nope",
		want: all("404 service nope not found")},
	{name: "service_delete_ok", request: "DELETE /services/{service.id}",
		want: all("200 empty")},
	{name: "service_delete_again", request: "DELETE /services/{gone.id}",
		want: all("404 service {gone.id} not found")},
	// Events.
	{name: "events_bad_since", request: "GET /events?since=abc&until=1",
		want: since[string]{"20.10": `500 strconv.ParseInt: parsing "abc": invalid syntax`, "29.5": `400 invalid value for 'since': invalid timestamp "abc": invalid seconds "abc": invalid syntax`}},
	{name: "events_since_after_until", request: "GET /events?since=20&until=10",
		want: all("400 `since` time (20) cannot be after `until` time (10)")},
	// One ID prefix of several services.
	{name: "service_inspect_ambiguous", request: "GET /services/{ambiguous}",
		want: all("400 service {ambiguous} is ambiguous (# matches found)")},
	{name: "service_delete_ambiguous", request: "DELETE /services/{ambiguous}",
		want: all("400 service {ambiguous} is ambiguous (# matches found)")},
	{name: "service_update_ambiguous", request: "POST /services/{ambiguous}/update?version=1", body: aService,
		want: all("400 service {ambiguous} is ambiguous (# matches found)")},
	{name: "logs_ambiguous", request: "GET /services/{ambiguous}/logs?stdout=1",
		want: all("400 service {ambiguous} is ambiguous (# matches found)")},
}
