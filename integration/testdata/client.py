# What a program does that uses the docker library for Python.
import json

import docker
from docker.types import (ConfigReference, EndpointSpec, NetworkAttachmentConfig, Resources, RestartPolicy,
                          SecretReference, ServiceMode, UpdateConfig)

client = docker.from_env(timeout=20)


def show(what, value):
    print(what, json.dumps(value, indent=1, sort_keys=True))


def refused(what, call):
    try:
        call()
    except docker.errors.APIError as error:
        print(what, type(error).__name__, error.status_code, error.explanation)
    else:
        print(what, "is not refused")


def wait(service, count, image):
    """Wait until so many tasks run that image, and no others."""
    while True:
        tasks = [t for t in service.tasks() if t["Status"]["State"] not in ("shutdown", "complete", "failed", "rejected")]
        fit = [t for t in tasks if t["Status"]["State"] == t["DesiredState"] == "running"
               and t["Spec"]["ContainerSpec"]["Image"] == image]
        if len(tasks) == len(fit) == count:
            return


def change(service, how):
    """Change a service, again if the engine has written it in between."""
    while True:
        service.reload()
        try:
            return how()
        except docker.errors.APIError as error:
            if "update out of sequence" not in error.explanation:
                raise


refused("outside a swarm", client.services.list)
client.swarm.init(advertise_addr="127.0.0.1", task_history_retention_limit=2)
client.swarm.reload()
show("swarm", client.swarm.attrs["Spec"])
show("nodes", [(n.attrs["Spec"], n.attrs["Status"]["State"]) for n in client.nodes.list()])

secret = client.secrets.create(name="py-secret", data=b"hidden", labels={"a": "1"})
config = client.configs.create(name="py-config", data=b"shown")
network = client.networks.create("py-net", driver="overlay", attachable=True)
while not network.attrs["Driver"]:  # a manager names it when it allocates the network, a moment later
    network.reload()
refused("secret again", lambda: client.secrets.create(name="py-secret", data=b"again"))
show("secrets", [s.attrs["Spec"] for s in client.secrets.list()])
show("configs", [c.attrs["Spec"] for c in client.configs.list()])
show("network", {k: network.attrs[k] for k in ("Name", "Scope", "Driver", "Attachable", "Ingress", "Labels")})

service = client.services.create(
    "swarmtest-image:1", name="py", args=["-lines", "2"], env=["A=1"], labels={"a": "1"}, container_labels={"b": "2"},
    mode=ServiceMode("replicated", 2), networks=[NetworkAttachmentConfig(network.id)],
    endpoint_spec=EndpointSpec(ports={8080: 80}), constraints=["node.role==manager"],
    mounts=["py-data:/data:rw"], resources=Resources(mem_limit=64 << 20), stop_grace_period=2_000_000_000,
    restart_policy=RestartPolicy(condition="any", delay=1_000_000),
    update_config=UpdateConfig(parallelism=1, monitor=100_000_000),
    secrets=[SecretReference(secret.id, "py-secret")], configs=[ConfigReference(config.id, "py-config")])
wait(service, 2, "swarmtest-image:1")
service.reload()
show("service", service.attrs)
show("list", [s.name for s in client.services.list(filters={"label": "a=1"})])
show("tasks", sorted((t["Slot"], t["DesiredState"], t["Status"]["State"]) for t in service.tasks()))
refused("name taken", lambda: client.services.create("swarmtest-image:1", name="py"))
refused("secret in use", secret.remove)
refused("config in use", config.remove)
refused("network in use", network.remove)
refused("no service", lambda: client.services.get("missing"))
refused("bad filter", lambda: client.services.list(filters={"nonsense": "1"}))

show("update", change(service, lambda: service.update(image="swarmtest-image:2", env=["B=2"], fetch_current_spec=True)))
wait(service, 2, "swarmtest-image:2")
service.reload()
show("updated", service.attrs["Spec"])
show("previous", service.attrs["PreviousSpec"])
show("scale", change(service, lambda: service.scale(3)))
wait(service, 3, "swarmtest-image:2")
service.reload()
show("scaled", service.attrs["Spec"]["Mode"])
refused("old version", lambda: client.api.update_service(service.id, 1, service.attrs["Spec"]["TaskTemplate"], name="py"))

logs = client.services.create("swarmtest-image:1", name="py-logs", args=["-lines", "3"])
wait(logs, 1, "swarmtest-image:1")
lines = set()
while len(lines) < 6:
    lines = set(b"".join(logs.logs(stdout=True, stderr=True)).split(b"\n")) - {b""}
show("logs", sorted(line[8:].decode() if line[0] < 3 else line.decode() for line in lines))

everywhere = client.services.create("swarmtest-image:1", name="py-global", mode=ServiceMode("global"))
wait(everywhere, 1, "swarmtest-image:1")
refused("scale a global service", lambda: client.api.update_service(
    everywhere.id, everywhere.version, everywhere.attrs["Spec"]["TaskTemplate"], name="py-global", mode=ServiceMode("replicated", 2)))
for s in (service, logs, everywhere):
    show("remove", s.remove())
refused("removed already", service.remove)
while client.api.tasks():
    pass
for o in (secret, config, network):
    o.remove()
show("left", [len(client.services.list()), len(client.secrets.list()), len(client.configs.list())])
refused("leave", client.swarm.leave)
show("leave", client.swarm.leave(force=True))
