//go:build integration

package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// docker runs the docker command against the engine and returns what it prints.
func docker(t *testing.T, e *engines.Engine, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), dockerCommand(t), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "DOCKER_HOST=" + e.Host}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), "docker %s: %s", strings.Join(args, " "), &stderr)
	return strings.TrimSpace(stdout.String())
}

func TestServiceOfTheDockerCommandIsReadWithoutLoss(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client, name := newClient(t, e), serviceName(t, "")
		t.Cleanup(func() { // after the service, which uses them
			for _, path := range []string{"/configs/", "/secrets/"} {
				assert.NoError(t, e.Call(context.WithoutCancel(t.Context()), http.MethodDelete, path+name, nil, nil))
			}
		})
		docker(t, e, "config", "create", name, "/etc/hostname")
		docker(t, e, "secret", "create", name, "/etc/hostname")
		args := []string{"service", "create", "--detach", "--no-resolve-image", "--name", name,
			"--replicas", "2", "--label", "a=1", "--label", "empty", "--container-label", "b=2",
			"--env", "B=2", "--env", "A=1", "--hostname", "h", "--workdir", "/tmp", "--user", "0:0", "--group", "12",
			"--mount", "type=tmpfs,target=/tmp,tmpfs-size=1m,tmpfs-mode=1777",
			"--mount", "type=volume,source=" + name + ",target=/data,volume-nocopy,volume-label=c=3",
			"--constraint", "node.platform.os==linux", "--placement-pref", "spread=node.labels.zone", "--replicas-max-per-node", "5",
			"--secret", "source=" + name + ",target=s,mode=0400", "--config", "source=" + name + ",target=/c,uid=1",
			"--limit-cpu", "0.5", "--limit-memory", "64m", "--limit-pids", "50", "--reserve-cpu", "0.001", "--reserve-memory", "8m",
			"--restart-condition", "on-failure", "--restart-delay", "1s", "--restart-max-attempts", "3", "--restart-window", "1m",
			"--update-parallelism", "2", "--update-delay", "1s", "--update-monitor", "1s", "--update-failure-action", "rollback",
			"--update-max-failure-ratio", "0.25", "--update-order", "start-first", "--rollback-parallelism", "0", "--rollback-order", "start-first",
			"--stop-grace-period", "1s", "--stop-signal", "SIGTERM", "--health-cmd", "/testimage healthcheck 0", "--no-healthcheck=false",
			"--health-interval", "5s", "--health-retries", "2", "--health-start-period", "1s", "--health-timeout", "2s",
			"--dns", "127.0.0.53", "--dns-option", "ndots:2", "--dns-search", "example.com", "--host", "db:10.0.0.1",
			"--log-driver", "json-file", "--log-opt", "max-size=1m", "--endpoint-mode", "dnsrr", "--publish", "mode=host,target=81",
			"--cap-add", "NET_ADMIN", "--cap-drop", "CHOWN", "--ulimit", "nofile=100:200", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0",
			"--init", "--read-only", "--isolation", "default"}
		args = append(args, engines.Image1, "-lines", "1")
		id := docker(t, e, args...)
		removeLater(t, client, id)

		service, err := client.Services.Inspect(t.Context(), id)
		require.NoError(t, err)
		var raw struct{ Spec any }
		require.NoError(t, json.Unmarshal(service.Raw, &raw))
		assert.Equal(t, withoutNulls(raw.Spec), withoutNulls(asJSON(t, service.Spec)))

		// The command was to run a shell that the image does not have: what counts
		// is that a label does not replace the tasks.
		before := taskIDs(t, client, id)
		update(t, client, id, func(s *swarm.ServiceSpec) { s.Labels["changed"] = "yes" })
		var after struct{ Spec any }
		service, err = client.Services.Inspect(t.Context(), id)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(service.Raw, &after))
		raw.Spec.(map[string]any)["Labels"].(map[string]any)["changed"] = "yes"
		assert.Equal(t, raw.Spec, after.Spec)
		assert.Subset(t, taskIDs(t, client, id), before)
	})
}

func taskIDs(t *testing.T, client *swarm.Client, service string) []string {
	t.Helper()
	tasks, err := client.Tasks.List(t.Context(), &swarm.TaskListOptions{Services: []string{service}, UpToDate: true})
	require.NoError(t, err)
	var ids []string
	for _, task := range tasks {
		ids = append(ids, task.ID)
	}
	return ids
}

// withoutNulls drops what is null, which means the same as absent.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if value == nil {
				delete(v, name)
			} else {
				v[name] = withoutNulls(value)
			}
		}
	case []any:
		for i := range v {
			v[i] = withoutNulls(v[i])
		}
	}
	return v
}

func TestDockerInspectPrintsServicesAsTheyWereWritten(t *testing.T) {
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		spec := fullSpec(serviceName(t, ""))
		create(t, client, spec)
		var printed []struct{ Spec any }
		require.NoError(t, json.Unmarshal([]byte(docker(t, e, "service", "inspect", spec.Name)), &printed))
		require.Len(t, printed, 1)
		assertCovers(t, printed[0].Spec, asJSON(t, spec), "")
	})
}
