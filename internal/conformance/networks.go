package conformance

import (
	"errors"
	"net/http"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func on(networks ...any) edit {
	var targets list
	for _, network := range networks {
		targets = append(targets, obj{"Target": network})
	}
	return set(inTask+"Networks", targets)
}

// withPort waits until the engine has given a service its ports.
func (t *T) withPort(id string) obj {
	t.Helper()
	var service obj
	t.eventually("port", func() error {
		if service = t.serviceAt(id); at(service, "Endpoint.Ports.0.PublishedPort") == nil {
			return errors.New("it has none")
		}
		return nil
	})
	return service
}

// withAddress waits until the engine has given a service its virtual addresses.
func (t *T) withAddress(id string) obj {
	t.Helper()
	var service obj
	t.eventually("address", func() error {
		if service = t.serviceAt(id); at(service, "Endpoint.VirtualIPs.0") == nil {
			return errors.New("it has none")
		}
		return nil
	})
	return service
}

var networks = []Behaviour{
	{"A7.network-names-become-ids", Swarm, func(t *T) {
		name := t.name()
		id := t.network(called(name))
		t.has(t.serviceAt(t.service(on(name))), "Spec.TaskTemplate.Networks", list{obj{"Target": id}})
	}},
	{"A7.network-id-prefixes-become-ids", Swarm, func(t *T) {
		id := t.network()
		t.has(t.serviceAt(t.service(on(id[:12]))), "Spec.TaskTemplate.Networks.0.Target", id)
	}},
	{"A7.network-names-become-ids-on-update", Swarm, func(t *T) {
		name := t.name()
		id := t.network(called(name))
		service := t.service()
		t.update("/services/"+service, on(name))
		t.has(t.serviceAt(service), "Spec.TaskTemplate.Networks.0.Target", id)
	}},
	{"A7.networks-of-a-node-are-refused", Swarm, func(t *T) {
		name := t.name()
		t.network(called(name), set("Driver", "bridge"))
		t.answers(post("/services/create", t.spec(on(name))),
			"403 The network "+name+" cannot be used with services. Only networks scoped to the swarm can be used, such as those created with the overlay driver.")
	}},
	{"A7.host-network-is-taken", Swarm, func(t *T) {
		target := at(t.serviceAt(t.service(on("host"))), "Spec.TaskTemplate.Networks.0.Target")
		assert.Regexp(t, "^[0-9a-z]{25}$", target, "the swarm's own name of it, not the node's")
	}},
	{"A7.ingress-network-is-refused", Swarm, func(t *T) {
		t.answers(post("/services/create", t.spec(on("ingress"))), "400 rpc error: code = InvalidArgument desc = Service cannot be explicitly attached to the ingress network \"ingress\"")
	}},
	{"networks.virtual-address-of-each", Swarm, func(t *T) {
		one, other := t.network(), t.network()
		service := t.withAddress(t.service(on(one, other)))
		addresses := map[any]bool{}
		for _, address := range at(service, "Endpoint.VirtualIPs").(list) {
			t.members(address, "NetworkID", "Addr")
			assert.Regexp(t, `^10\.\d+\.\d+\.\d+/24$`, at(address, "Addr"))
			addresses[at(address, "NetworkID")] = true
		}
		assert.Equal(t, map[any]bool{one: true, other: true}, addresses)
		t.has(service, "Endpoint.Spec", obj{})
	}},
	{"networks.no-virtual-address-with-dnsrr", Swarm, func(t *T) {
		id := t.running(1, on(t.network()), set("EndpointSpec", obj{"Mode": "dnsrr"}))
		service := t.serviceAt(id)
		t.has(service, "Endpoint", obj{"Spec": obj{}})
	}},
	{"networks.tasks-have-an-address-on-each", Swarm, func(t *T) {
		network := t.network()
		task := t.tasks(t.running(1, on(network)))[0]
		require.Len(t, task["NetworksAttachments"], 1)
		t.has(task, "NetworksAttachments.0.Network.ID", network)
		assert.Regexp(t, `^10\.\d+\.\d+\.\d+/24$`, at(task, "NetworksAttachments.0.Addresses.0"))
	}},
	{"networks.in-use-by-a-service", Swarm, func(t *T) {
		network := t.network()
		service := t.service(on(network))
		t.answers(request{method: http.MethodDelete, path: "/networks/" + network},
			"400 rpc error: code = FailedPrecondition desc = network "+network+" is in use by service "+service)
		t.remove("/services/" + service)
		t.remove("/networks/" + network)
	}},
	{"networks.created-ones", Swarm, func(t *T) {
		name := t.name()
		a := t.send(post("/networks/create", obj{"Name": name, "Driver": "overlay", "Labels": obj{"a": "b"}, "Attachable": true}))
		created := decode[obj](t, a)
		t.members(created, "Id", "Warning")
		id := created["Id"].(string)
		assert.Regexp(t, "^[0-9a-z]{25}$", id)
		var network obj
		t.eventually("allocation", func() error {
			if network = t.get("/networks/" + id); network["Driver"] == "" {
				return errors.New("it has no driver yet")
			}
			return nil
		})
		for path, want := range map[string]any{"Name": name, "Scope": "swarm", "Driver": "overlay", "Attachable": true, "Ingress": false, "Internal": false, "Labels": obj{"a": "b"}} {
			t.has(network, path, want)
		}
		assert.Regexp(t, `^10\.\d+\.\d+\.0/24$`, at(network, "IPAM.Config.0.Subnet"))
		a = t.send(request{method: http.MethodDelete, path: "/networks/" + id})
		assert.Equal(t, "204 empty", a.String())
	}},
	{"networks.list-of-the-swarm", Swarm, func(t *T) {
		name := t.name()
		id := t.network(called(name))
		found := t.list("/networks?" + filter("name", name, "scope", "swarm"))
		require.Len(t, found, 1)
		t.has(found[0], "Id", id)
		assert.Empty(t, t.list("/networks?"+filter("name", name, "scope", "local")))
	}},
	{"networks.cannot-be-changed", Swarm, func(t *T) {
		t.answers(post("/networks/"+t.network()+"/update", obj{}), "404 page not found")
	}},

	{"endpoints.published-port-is-chosen-from-30000", Swarm, func(t *T) {
		service := t.withPort(t.service(publish(obj{"TargetPort": 80})))
		port := at(service, "Endpoint.Ports.0.PublishedPort").(float64)
		assert.GreaterOrEqual(t, port, 30000.0)
		assert.LessOrEqual(t, port, 32767.0)
		t.has(service, "Endpoint.Ports.0", obj{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "ingress"})
		t.has(service, "Spec.EndpointSpec.Ports.0", obj{"Protocol": "tcp", "TargetPort": 80, "PublishMode": "ingress"})
		t.has(service, "Endpoint.Spec.Ports.0", obj{"Protocol": "tcp", "TargetPort": 80, "PublishMode": "ingress"})
	}},
	{"endpoints.chosen-ports-differ", Swarm, func(t *T) {
		one := t.withPort(t.service(publish(obj{"TargetPort": 80})))
		other := t.withPort(t.service(publish(obj{"TargetPort": 80})))
		assert.NotEqual(t, at(one, "Endpoint.Ports.0.PublishedPort"), at(other, "Endpoint.Ports.0.PublishedPort"))
	}},
	{"endpoints.chosen-port-stays-over-updates", Swarm, func(t *T) {
		id := t.service(publish(obj{"TargetPort": 80}))
		port := at(t.withPort(id), "Endpoint.Ports.0.PublishedPort")
		t.update("/services/"+id, label("a", "b"))
		t.settle()
		t.has(t.serviceAt(id), "Endpoint.Ports.0.PublishedPort", port)
	}},
	{"endpoints.published-ports-have-an-address-on-ingress", Swarm, func(t *T) {
		service := t.withAddress(t.service(publish(obj{"TargetPort": 80})))
		t.has(service, "Endpoint.VirtualIPs.0.NetworkID", t.get("/networks/ingress")["Id"])
	}},
	{"endpoints.given-port", Swarm, func(t *T) {
		port := t.port()
		service := t.withPort(t.service(publish(obj{"TargetPort": 80, "PublishedPort": port, "Name": "web"})))
		t.has(service, "Endpoint.Ports", list{obj{"Name": "web", "Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "ingress"}})
	}},
	{"endpoints.ports-go-with-the-spec", Swarm, func(t *T) {
		id := t.service(publish(obj{"TargetPort": 80}))
		t.withPort(id)
		t.update("/services/"+id, drop("EndpointSpec"))
		t.eventually("no ports", func() error {
			if at(t.serviceAt(id), "Endpoint.Ports") != nil {
				return errors.New("there are ports")
			}
			return nil
		})
	}},
	{"endpoints.host-port-is-of-the-task", Swarm, func(t *T) {
		port := t.port()
		id := t.running(1, publish(obj{"TargetPort": 80, "PublishedPort": port, "PublishMode": "host"}))
		// Once more for IPv6, where the machine has it.
		t.has(t.tasks(id)[0], "Status.PortStatus.Ports.0", obj{"Protocol": "tcp", "TargetPort": 80, "PublishedPort": port, "PublishMode": "host"})
	}},
	{"endpoints.target-port-may-be-missing", Swarm, func(t *T) {
		a := t.send(post("/services/create", t.spec(publish(obj{"PublishedPort": t.port()}))))
		assert.Equal(t, "201 json", a.String())
	}},
}
