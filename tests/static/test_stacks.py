"""The stacks for Docker Swarm, without an engine. (With one: tests/e2e/test_swarm.py.)"""

import pytest
import yaml

from manifests import read, with_defaults


def services(path):
    return yaml.safe_load(read(path))["services"]


@pytest.mark.parametrize("name, parts", [
    ("dockercoins.yml", {"rng", "hasher", "webui", "redis", "worker"}),
    ("dockercoins+healthcheck.yml", {"rng", "hasher", "webui"}), ("dockercoins+prometheus.yml", {"prometheus"})])
def test_a_stack_has_composes_images_and_ports_and_only_what_every_parser_of_stacks_knows(name, parts):
    """Docker 20.10 to 28 refuse what is newer than version 3.8. A bind mount would need the folder on every node."""
    stack = yaml.safe_load(read(f"stacks/{name}"))
    compose = services("docker-compose.yml") | services("docker-compose.metrics.yml")
    assert stack["version"] == "3.8" and set(stack) <= {"version", "services", "configs"}
    assert set(stack["services"]) == parts
    for service, each in stack["services"].items():
        theirs = compose[service]
        assert each.get("ports", []) == [with_defaults(port) for port in theirs.get("ports", [])]
        assert (each["image"], each.get("command")) == (theirs["image"], theirs.get("command"))
        assert set(each) <= {"image", "ports", "command", "volumes", "configs", "healthcheck", "deploy"}
        assert {volume["type"] for volume in each.get("volumes", [])} <= {"tmpfs"}


def test_health_checks_are_short_and_see_a_wrong_port_but_do_not_wait_in_a_queue():
    """The first one comes after one interval, and until then a task gets no request."""
    assert all("healthcheck" not in each for each in services("stacks/dockercoins.yml").values())
    urls = {"rng": [], "hasher": ["http://127.0.0.1/"], "webui": ["http://127.0.0.1/index.html"]}
    for name, each in services("stacks/dockercoins+healthcheck.yml").items():
        assert each["healthcheck"] == {"test": ["CMD", f"/{name}", "--healthcheck", *urls[name]], "interval": "2s"}


def test_prometheus_asks_each_task():
    assert yaml.safe_load(read("prometheus/swarm.yml")) == yaml.safe_load(
        read("prometheus/prometheus.yml").replace("names: [", "names: [tasks."))
