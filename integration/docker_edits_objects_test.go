//go:build integration

package integration

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/swarm-go/swarm"
	"github.com/swarm-go/swarm/integration/engines"
)

// usable is what services use, by name: N1 and N2 are networks, S1 and S2 secrets,
// C1 and C2 configs.
type usable struct {
	ids   map[string]string
	names *strings.Replacer
}

func makeUsable(t *testing.T, client *swarm.Client) usable {
	t.Helper()
	u, prefix := usable{ids: map[string]string{}}, serviceName(t, "")
	named := func(short string) string { return prefix + strings.ToLower(short) } // the docker command looks for networks in lower case
	for _, n := range []string{"1", "2"} {
		u.ids["N"+n] = createNetwork(t, client, swarm.NetworkSpec{Name: named("N" + n)})
		u.ids["S"+n] = createSecret(t, client, swarm.SecretSpec{Name: named("S" + n), Data: []byte("x")})
		u.ids["C"+n] = createConfig(t, client, swarm.ConfigSpec{Name: named("C" + n), Data: []byte("x")})
	}
	var pairs []string
	for short := range u.ids {
		pairs = append(pairs, "{"+short+"}", named(short))
	}
	u.names = strings.NewReplacer(pairs...)
	return u
}

func (u usable) name(short string) string { return u.names.Replace("{" + short + "}") }

func (u usable) secret(short string) swarm.SecretReference {
	return swarm.MountSecret(u.ids[short], u.name(short))
}

func (u usable) config(short string) swarm.ConfigReference {
	return swarm.MountConfig(u.ids[short], u.name(short))
}

// dockerEditsOfObjects are as dockerEdits, with names in braces. Our edits differ where
// the docker command loses something: a port that is removed and added at once, a
// secret for a file that there is already, an alias for a network that the service is
// in.
var dockerEditsOfObjects = []struct {
	flags string
	edit  func(s *swarm.ServiceSpec, u usable)
}{
	{"--env-add A=1 --env-add B=2 --env-add A=3 --label-add a=1 --label-add b=2 --container-label-add c=3 --container-label-add d=4" +
		" --mount-add type=volume,source=v,target=/v --mount-add type=tmpfs,target=/t,tmpfs-size=1m" +
		" --publish-add mode=host,target=80,published=18901 --publish-add mode=host,target=80,published=18901,protocol=udp --publish-add target=82" +
		" --network-add {N1} --network-add name={N2},alias=web --secret-add {S1} --secret-add source={S2},target=key,uid=1,gid=2,mode=0400" +
		" --config-add {C1} --config-add source={C2},target=/etc/c,mode=0440",
		func(s *swarm.ServiceSpec, u usable) {
			s.PutEnv("A", "1")
			s.PutEnv("B", "2")
			s.PutEnv("A", "3")
			s.PutLabel("a", "1")
			s.PutLabel("b", "2")
			s.PutContainerLabel("c", "3")
			s.PutContainerLabel("d", "4")
			s.PutMount(swarm.Mount{Type: swarm.MountVolume, Source: "v", Target: "/v"})
			s.PutMount(swarm.Mount{Type: swarm.MountTmpfs, Target: "/t", TmpfsOptions: &swarm.TmpfsOptions{SizeBytes: 1 << 20}})
			s.AddPort(hostPort(80, swarm.ProtocolTCP))
			s.AddPort(hostPort(80, swarm.ProtocolUDP))
			s.AddPort(swarm.PortConfig{Protocol: swarm.ProtocolTCP, TargetPort: 82, PublishMode: swarm.PublishIngress})
			s.PutNetwork(swarm.NetworkAttachmentConfig{Target: u.ids["N1"]})
			s.PutNetwork(swarm.NetworkAttachmentConfig{Target: u.ids["N2"], Aliases: []string{"web"}})
			s.PutSecret(u.secret("S1"))
			key := u.secret("S2")
			key.File.Name, key.File.UID, key.File.GID, key.File.Mode = "key", "1", "2", 0o400
			s.PutSecret(key)
			s.PutConfig(u.config("C1"))
			file := u.config("C2")
			file.File.Name, file.File.Mode = "/etc/c", 0o440
			s.PutConfig(file)
		}},
	{"--env-add A=4 --env-rm B --label-add a=2 --label-rm b --container-label-add c=4 --container-label-rm d" +
		" --mount-add type=bind,source=/,target=/v,readonly --mount-rm /t --publish-add mode=host,target=80,published=18901 --publish-rm 82" +
		" --network-rm {N1} --secret-rm {S2} --config-rm {C1}",
		func(s *swarm.ServiceSpec, u usable) {
			s.PutEnv("A", "4")
			s.DropEnv("B")
			s.PutLabel("a", "2")
			s.DropLabel("b")
			s.PutContainerLabel("c", "4")
			s.DropContainerLabel("d")
			s.PutMount(swarm.Mount{Type: swarm.MountBind, Source: "/", Target: "/v", ReadOnly: true})
			s.DropMount("/t")
			s.AddPort(hostPort(80, swarm.ProtocolTCP))
			s.DropPort(82, swarm.ProtocolTCP, swarm.PublishIngress)
			s.DropNetwork(u.name("N1"))
			s.DropNetwork(u.ids["N1"])
			s.DropSecret(u.name("S2"))
			s.DropConfig(u.name("C1"))
		}},
	{"--env-rm A --label-rm a --container-label-rm c --mount-rm /v --publish-rm mode=host,target=80 --publish-rm mode=host,target=80,protocol=udp" +
		" --network-rm {N2} --secret-rm {S1} --config-rm {C2}",
		func(s *swarm.ServiceSpec, u usable) {
			s.DropEnv("A")
			s.DropLabel("a")
			s.DropContainerLabel("c")
			s.DropMount("/v")
			s.DropPort(80, swarm.ProtocolTCP, swarm.PublishHost)
			s.DropPort(80, swarm.ProtocolUDP, swarm.PublishHost)
			s.DropNetwork(u.ids["N2"])
			s.DropSecret(u.ids["S1"])
			s.DropConfig(u.ids["C2"])
		}},
}

func hostPort(target uint32, protocol swarm.Protocol) swarm.PortConfig {
	return swarm.PortConfig{Protocol: protocol, TargetPort: target, PublishedPort: 18901, PublishMode: swarm.PublishHost}
}

func TestEditsOfObjectsMakeWhatTheDockerCommandMakes(t *testing.T) {
	t.Parallel()
	onEveryEngine(t, func(t *testing.T, e *engines.Engine) {
		client := newClient(t, e)
		used := makeUsable(t, client)
		var ids []string
		for _, whose := range []string{"ours", "theirs"} {
			spec := testSpec(serviceName(t, whose))
			spec.Mode = swarm.Replicated(0)
			ids = append(ids, create(t, client, spec))
		}
		for _, row := range dockerEditsOfObjects {
			update(t, client, ids[0], func(s *swarm.ServiceSpec) { row.edit(s, used) })
			args := append([]string{"service", "update", "--detach", "--no-resolve-image"}, strings.Fields(used.names.Replace(row.flags))...)
			docker(t, e, append(args, ids[1])...)
			for _, part := range []string{"Labels", "TaskTemplate", "EndpointSpec.Ports"} {
				ours, theirs := inOneOrder(specPart(t, e, ids[0], part)), inOneOrder(specPart(t, e, ids[1], part))
				assert.Equal(t, theirs, ours, "%s: %s", part, row.flags)
			}
		}
		service, err := client.Services.Inspect(t.Context(), ids[0])
		require.NoError(t, err)
		assert.Empty(t, service.Spec.Labels)
		assert.Empty(t, service.Spec.TaskTemplate.ContainerSpec.Mounts)
		assert.Empty(t, service.Spec.EndpointSpec.Ports)
		assert.Empty(t, service.Spec.TaskTemplate.Networks)
	})
}
