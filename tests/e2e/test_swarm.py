"""The stacks for Docker Swarm, on a swarm of this machine alone.

A kernel without IPVS has neither virtual addresses nor ports that every node publishes. So the tests change the stacks:
a name has an address per task, a port is this machine's, and what is scaled or updated has no port.
"""

import json
import pathlib
import time

import pytest
import yaml

from compose import await_mining, await_targets, hashes, read
from harness import eventually
from lesson_parts import measuring

NAME = "dockercoins"


def changed(stack):
    for name, service in stack["services"].items():
        service["deploy"] = {**service.get("deploy", {}), "endpoint_mode": "dnsrr"}
        ports = [map(int, port.split(":")) for port in service.get("ports", []) if name in ("webui", "prometheus")]
        service["ports"] = [{"published": ours, "target": theirs, "mode": "host"} for ours, theirs in ports]
    return stack


@pytest.fixture(scope="module")
def swarm(built, docker):
    if docker("info", "--format", "{{.Swarm.LocalNodeState}}") != "inactive":
        pytest.skip("this machine is part of a swarm")
    docker("swarm", "init", "--advertise-addr", "127.0.0.1")
    yield
    docker("swarm", "leave", "--force")


@pytest.fixture
def deploy(swarm, checkout, docker):
    """deploy("dockercoins.yml"): `docker stack deploy` with those files. At the end nothing of it is left."""
    def deploy(*names):
        paths = [pathlib.Path(checkout, "stacks", f"changed-{name}") for name in names]
        for name, path in zip(names, paths):
            path.write_text(json.dumps(changed(yaml.safe_load(read(f"stacks/{name}")))))
        docker("stack", "deploy", "--resolve-image", "never", *(f"--compose-file={path}" for path in paths), NAME)

    yield deploy
    mine = ("--quiet", "--filter", f"label=com.docker.stack.namespace={NAME}")

    def removed():  # more than once: a network cannot go before the last task that uses it
        docker("stack", "rm", NAME, check=False)
        return docker("ps", "--all", *mine) + docker("network", "ls", *mine) == ""
    eventually(removed, 120, 1, "the stack's end")


@pytest.fixture
def service(docker):
    """service("update", "hasher", "--force"): `docker service`, which waits until the service is as it should be."""
    return lambda verb, name, *options, **more: docker("service", verb, *options, f"{NAME}_{name}", **more)


def test_the_first_hash_is_counted_soon_and_services_scale(deploy, docker, service, figure):
    begun = time.monotonic()
    deploy("dockercoins.yml")
    eventually(lambda: hashes() > 0, 60, 0.1, "the first hash")
    figure("stack deploy to the first hash, s", f"{time.monotonic() - begun:.1f}")
    assert time.monotonic() - begun < 15  # at most 5 s on an idle machine; 33 s if the images declare a health check
    docker("service", "scale", f"{NAME}_worker=10", f"{NAME}_rng=2")
    await_mining()
    speed = measuring.counter_rate(measuring.read_counter_for("http://localhost:8000", 10), 10)
    figure("ten workers and two rng on Swarm, hashes/s", f"{speed:.1f}")
    assert 15 < speed < 21  # 18.5 are predicted
    assert "ERROR" not in service("logs", "worker", "--raw")


@pytest.mark.release
def test_a_rolling_update_loses_no_request_and_one_to_a_wrong_port_is_rolled_back_by_itself(
        deploy, docker, service, figure):
    deploy("dockercoins.yml", "dockercoins+healthcheck.yml")
    eventually(lambda: hashes() > 0, 60, 0.1, "the first hash")
    docker("service", "scale", f"{NAME}_rng=2", f"{NAME}_hasher=2", f"{NAME}_worker=10")
    for name in ("rng", "hasher"):
        before = service("ps", name, "--quiet", "--filter", "desired-state=running").split()
        service("update", name, "--force")
        after = service("ps", name, "--quiet", "--filter", "desired-state=running").split()
        assert len(before) == len(after) == 2 and not set(before) & set(after)
    await_mining()
    assert "ERROR" not in service("logs", "worker", "--raw")
    begun = time.monotonic()
    service("update", "hasher", "--env-add", "PORT=81", check=False)
    figure("update to a wrong port, until it is rolled back, s", f"{time.monotonic() - begun:.0f}")
    state, variables = service("inspect", "hasher", "--format", "{{.UpdateStatus.State}} "
                               "{{json .Spec.TaskTemplate.ContainerSpec.Env}}").split()
    assert (state, variables) == ("rollback_completed", "null")
    await_mining()
    assert "ERROR" not in service("logs", "worker", "--raw")


@pytest.mark.release
def test_prometheus_asks_every_task(deploy, service):
    deploy("dockercoins.yml")
    deploy("dockercoins+prometheus.yml")
    service("update", "worker", "--replicas", "3")
    await_targets(3)
