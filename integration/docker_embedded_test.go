//go:build integration

package integration

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/swarm-go/swarm/integration/engines"
)

// command is a docker command and what is written to it.
type command struct {
	args  string // separated by spaces
	stdin string
	// fails says that it must fail.
	fails bool
	// sorted says that its lines come in any order: logs do, and tasks that are
	// named after a node.
	sorted bool
}

// dockerScript is run on an engine that is in no swarm.
var dockerScript = []command{
	{args: "service ls", fails: true},
	{args: "swarm ca", fails: true},
	{args: "swarm init --advertise-addr 127.0.0.1"},
	{args: "swarm init --advertise-addr 127.0.0.1", fails: true},
	{args: "swarm join --token SWMTKN-1-bad 127.0.0.1:2377", fails: true},
	{args: "service ls"},
	{args: "node ls"},
	{args: "stack ls"},

	{args: "secret create --label a=1 web-secret -", stdin: "hidden"},
	{args: "secret create web-secret -", stdin: "again", fails: true},
	{args: "secret create spare -", stdin: "hidden"},
	{args: "secret create empty -", fails: true},
	{args: "secret create bad/name -", stdin: "hidden", fails: true},
	{args: "secret ls"},
	{args: "secret ls --filter label=a"},
	{args: "secret ls --filter nonsense=a", fails: true},
	{args: "secret inspect web-secret"},
	{args: "secret inspect --pretty web-secret"},
	{args: "secret inspect missing", fails: true},
	{args: "config create --label a=1 web-config -", stdin: "shown"},
	{args: "config create web-config -", stdin: "again", fails: true},
	{args: "config ls"},
	{args: "config inspect web-config"},
	{args: "config inspect --pretty web-config"},
	{args: "config inspect missing", fails: true},
	{args: "config rm missing", fails: true},

	{args: "network create --driver overlay --attachable --label a=1 --subnet 10.20.0.0/24 --opt encrypted web-net"},
	{args: "network create --driver overlay web-net", fails: true},
	{args: "network create --driver overlay other-net"},
	{args: "network ls --filter driver=overlay"},
	{args: "network inspect other-net"},
	{args: "network inspect missing", fails: true},

	{args: "service create --detach --name full --no-resolve-image --update-order start-first --hostname h --user 0:0 --workdir /tmp" +
		" --stop-grace-period 2s --health-cmd nonsense --health-interval 1h --restart-delay 1ms --log-driver json-file --init" +
		" --host db:10.0.0.1 --dns 127.0.0.53 --replicas 0 --cap-add NET_ADMIN --ulimit nofile=100:200 --limit-pids 50 --read-only" +
		" --placement-pref spread=node.labels.zone --replicas-max-per-node 5 --endpoint-mode dnsrr --publish mode=host,target=81" +
		" --stop-signal SIGTERM --tty --group 12 --sysctl net.ipv4.ip_unprivileged_port_start=0 " + engines.Image1},
	{args: "service inspect full"},
	{args: "service inspect --pretty full"},
	{args: "service rm full"},
	{args: "service create --name web --no-resolve-image --replicas 2 --env A=1 --label a=1 --container-label b=2" +
		" --publish 8080:80 --mount type=tmpfs,target=/tmp --mount type=volume,source=web-data,target=/data" +
		" --constraint node.role==manager --secret source=web-secret,target=s,mode=0400 --config source=web-config,target=/c" +
		" --network web-net --limit-memory 64m --reserve-cpu 0.001 --update-monitor 100ms --update-delay 1ms --rollback-monitor 100ms " +
		engines.Image1 + " -lines 2"},
	{args: "service create --detach --no-resolve-image --name web " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --name other --publish 8080:80 " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --name bad_name! " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --constraint node.role=manager " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --secret missing " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --config missing " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --network missing " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --name bridged --replicas 0 --network bridge " + engines.Image1},
	{args: "service create --detach --no-resolve-image --mount type=volume,target=/a --mount type=tmpfs,target=/a " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --mode global --replicas 2 " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --limit-memory 1k " + engines.Image1, fails: true},
	{args: "service create --detach --no-resolve-image --update-parallelism 1 --update-order nonsense " + engines.Image1, fails: true},
	{args: "service create --name everywhere --no-resolve-image --mode global --update-monitor 100ms " + engines.Image1},
	{args: "service create --name once --no-resolve-image --mode replicated-job --replicas 3 --max-concurrent 1 " + engines.Image1 + " -lines 1 -exit 0"},
	{args: "service create --name everywhere-once --no-resolve-image --mode global-job " + engines.Image1 + " -exit 0"},
	{args: "service create --detach --name nowhere --no-resolve-image --constraint node.labels.zone==moon " + engines.Image1},
	{args: "service create --detach --name broken --no-resolve-image --restart-condition none --replicas 1 " + engines.Image1 + " -exit 3"},
	{args: "service create --detach --name imageless --no-resolve-image --restart-condition none missing:1"},

	{args: "service ls"},
	{args: "service ls --filter mode=global"},
	{args: "service ls --filter label=a=1 --quiet"},
	{args: "service ls --filter nonsense=1", fails: true},
	{args: "service ps web"},
	{args: "service ps --no-trunc web"},
	{args: "service ps everywhere once everywhere-once nowhere broken imageless", sorted: true},
	{args: "service ps --no-trunc --format {{.Name}}|{{.CurrentState}}|{{.Error}} nowhere broken imageless"},
	{args: "service ps --filter desired-state=running web broken"},
	{args: "service ps web missing", fails: true},
	{args: "service ps missing", fails: true},
	{args: "service inspect web"},
	{args: "service inspect --pretty web"},
	{args: "service inspect everywhere"},
	{args: "service inspect once"},
	{args: "service inspect --pretty once"},
	{args: "service inspect --pretty everywhere"},
	{args: "service inspect everywhere-once"},
	{args: "service inspect missing", fails: true},
	{args: "network inspect --verbose web-net --format {{.Name}}|{{.Driver}}|{{.Attachable}}|{{.Options}}|{{len(.Services)}}", fails: true},
	{args: "network inspect web-net --format {{.Name}}|{{.Driver}}|{{.Attachable}}|{{.Labels}}|{{.Scope}}|{{.IPAM.Config}}"},
	{args: "secret rm web-secret", fails: true},
	{args: "config rm web-config", fails: true},
	{args: "network rm web-net", fails: true},
	{args: "volume ls"},
	{args: "volume inspect web-data --format {{.Name}}|{{.Driver}}|{{.Scope}}|{{.Options}}"},

	{args: "service logs --raw once", sorted: true},
	{args: "service logs once", sorted: true},
	{args: "service logs --no-task-ids once", sorted: true},
	{args: "service logs --timestamps once", sorted: true},
	{args: "service logs --tail 4 web", sorted: true},
	{args: "service logs --tail 0 web"},
	{args: "service logs --details once", sorted: true},
	{args: "service logs --no-trunc --no-resolve once", sorted: true},
	{args: "service logs missing", fails: true},

	{args: "service update --no-resolve-image --image " + engines.Image2 + " --env-rm A --env-add B=2 web"},
	{args: "service ps web"},
	{args: "service update --quiet --label-add c=3 --label-rm a --container-label-add d=4 web"},
	{args: "service update --quiet --replicas 3 web"},
	{args: "service inspect web"},
	{args: "service inspect --pretty web"},
	{args: "service rollback web"},
	{args: "service inspect --pretty web"},
	{args: "service rollback --quiet everywhere", fails: true},
	{args: "service scale web=1"},
	{args: "service ps --filter desired-state=running web"},
	{args: "service scale everywhere=2", fails: true},
	{args: "service scale once=4"},
	{args: "service scale --detach web=2 missing=1", fails: true},
	{args: "service update --quiet --force everywhere"},
	{args: "service update --quiet --force once"},
	{args: "service update --detach --replicas 2 everywhere", fails: true},
	{args: "service update --detach --network-add web-net web", fails: true},
	{args: "service update --detach --publish-add 8080:80 everywhere", fails: true},
	{args: "service update --detach --secret-add missing everywhere", fails: true},
	{args: "service update --detach --constraint-add nonsense everywhere", fails: true},
	{args: "service update --detach missing", fails: true},
	{args: "service update --quiet --publish-rm 80 --secret-rm web-secret --config-rm web-config --network-rm web-net web"},
	{args: "service inspect web"},
	{args: "service ls"},
	{args: "node ps self", sorted: true},
	{args: "node ps missing", fails: true},

	{args: "node ls --filter role=worker"},
	{args: "node ls --format {{.Status}}|{{.Availability}}|{{.ManagerStatus}}|{{.Self}}|{{.TLSStatus}}"},
	{args: "node inspect self --format {{.Spec}}|{{.Status}}|{{.ManagerStatus}}|{{.Description.Platform}}|{{.Description.Engine.EngineVersion}}"},
	{args: "node update --label-add zone=moon SELF"},
	{args: "service ps nowhere"},
	{args: "node update --label-rm missing SELF", fails: true},
	{args: "node update --availability pause SELF"},
	{args: "node ls"},
	{args: "node update --availability active SELF"},
	{args: "node update --role worker SELF", fails: true},
	{args: "node demote SELF", fails: true},
	{args: "node promote SELF"},
	{args: "node rm SELF", fails: true},
	{args: "node inspect missing", fails: true},

	{args: "stack deploy --resolve-image never --detach=false --compose-file testdata/stack.yaml shop"},
	{args: "stack ls"},
	{args: "stack services shop"},
	{args: "stack ps shop"},
	{args: "stack deploy --resolve-image never --detach=true --compose-file testdata/stack.yaml shop"},
	{args: "service inspect shop_front"},
	{args: "config ls --filter label=com.docker.stack.namespace=shop"},
	{args: "stack rm shop"},
	{args: "stack rm missing"},
	{args: "stack ps shop", fails: true},
	{args: "stack services shop"},

	{args: "service rm web nowhere broken imageless bridged"},
	{args: "service rm web once", fails: true},
	{args: "service rm everywhere everywhere-once"},
	{args: "service ls"},
	{args: "secret rm web-secret spare"},
	{args: "config rm web-config"},
	{args: "network rm web-net other-net"},
	{args: "secret ls"},
	{args: "config ls"},

	{args: "swarm join-token worker"},
	{args: "swarm join-token --quiet manager"},
	{args: "swarm join-token --rotate worker"},
	{args: "swarm join-token nonsense", fails: true},
	{args: "swarm unlock-key", fails: true},
	{args: "swarm update --task-history-limit 3 --dispatcher-heartbeat 6s --cert-expiry 48h"},
	{args: "swarm update --cert-expiry 1s", fails: true},
	{args: "info --format {{.Swarm.LocalNodeState}}|{{.Swarm.Nodes}}|{{.Swarm.Managers}}|{{.Swarm.Cluster.Spec.Raft.SnapshotInterval}}|{{.Swarm.Cluster.Spec.Dispatcher}}|{{.Swarm.Cluster.Spec.CAConfig}}"},
	{args: "swarm update --autolock"},
	{args: "swarm unlock-key"},
	{args: "swarm unlock-key --quiet --rotate"},
	{args: "swarm unlock", stdin: "SWMKEY-1-nonsense", fails: true},
	{args: "swarm update --autolock=false"},
	{args: "swarm ca"},
	{args: "swarm ca --rotate --detach"},
	{args: "swarm ca --ca-cert missing.pem", fails: true},
	{args: "swarm leave", fails: true},
	{args: "swarm leave --force"},
	{args: "swarm leave", fails: true},
	{args: "node ls", fails: true},
}

// moving are the commands that make services move.
var moving = regexp.MustCompile(`^(service|stack|node) (create|update|scale|rollback|rm|deploy) `)

func TestDockerCommandCannotTellTheEmbeddedEngineApart(t *testing.T) {
	sideBySide(t, func(t *testing.T, c *contender) {
		// Each release's own, but 20.10's, which cannot wait for a stack.
		binary := dockerCommandOf(t, max(c.release, "26.1"))
		for _, command := range dockerScript {
			args := strings.ReplaceAll(command.args, "SELF", c.info.Name)
			c.run(t, command.stdin, binary, strings.Fields(args)...)
			if moving.MatchString(command.args) {
				c.settle(t)
			}
		}
	}, func(t *testing.T, real, embedded *contender) {
		for i, command := range dockerScript[:min(len(real.answers), len(embedded.answers))] {
			want := real.answers[i]
			assert.Equal(t, command.fails, want.code != 0, "docker %s: %s", command.args, want.text)
			got := embedded.answers[i]
			if command.sorted {
				want.text, got.text = sortLines(want.text), sortLines(got.text)
			}
			assert.Equal(t, want.text, got.text, "docker %s", command.args)
		}
	})
}

func sortLines(text string) string {
	return strings.Join(slices.Sorted(strings.Lines(text)), "")
}
