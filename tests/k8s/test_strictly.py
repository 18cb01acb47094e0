"""The Kubernetes API knows every field of every manifest, offline, and a mistake would be found.

The API's models come with Debian's python3-kubernetes. They refuse a field that is missing; what they do not know, and
what is of another type, does not come back from them as it went in.
"""

import copy
import json
import types

import kubernetes.client
import pytest

from manifests import LESSONS, MAIN, objects

POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


def as_known(thing):
    """What the API's model of its kind makes of an object."""
    version = {"apps/v1": ("DaemonSet", "Deployment"), "networking.k8s.io/v1": ("NetworkPolicy",),
               "v1": ("PersistentVolumeClaim", "Service")}
    assert thing["kind"] in version.get(thing["apiVersion"], ()), "not known"
    client = kubernetes.client.ApiClient()
    found = client.deserialize(types.SimpleNamespace(data=json.dumps(thing)), f"V1{thing['kind']}")
    return client.sanitize_for_serialization(found)


def without_newer(thing):
    """Debian 12's models are those of API 1.22, which does not know preStop.sleep."""
    thing = copy.deepcopy(thing)
    for container in thing["spec"].get("template", {}).get("spec", {}).get("containers", ()):
        sleep = container.get("lifecycle", {}).get("preStop", {}).pop("sleep", None)
        assert sleep is None or set(sleep) == {"seconds"} and isinstance(sleep["seconds"], int)
    return thing


@pytest.mark.parametrize("path", [MAIN, *LESSONS])
def test_the_api_knows_every_field(path):
    for thing in map(without_newer, objects(path).values()):
        assert as_known(thing) == thing


@pytest.mark.parametrize("path, kind, where, to", [
    (MAIN, "Deployment", (*CONTAINER, "readynessProbe"), {}), (MAIN, "Deployment", ("spec", "replicas"), "2"),
    (MAIN, "Deployment", (*CONTAINER, "ports"), {"containerPort": 80}),
    (MAIN, "Deployment", (*CONTAINER, "lifecycle", "preStop", "sleep"), {"second": 5}),
    (MAIN, "Deployment", ("spec", "selector"), None), (MAIN, "Deployment", ("apiVersion",), "apps/v1beta1"),
    ("lessons/3-network-policies.yaml", "NetworkPolicy", ("spec", "ingress", 0, "form"), [])])
def test_a_mistake_is_found(path, kind, where, to):
    """The object of rng with one field changed or removed."""
    thing = at = copy.deepcopy(objects(path)[kind, "rng"])
    for step in where[:-1]:
        at = at[step]
    at[where[-1]] = to
    if to is None:
        del at[where[-1]]
    with pytest.raises((AssertionError, ValueError)):
        assert as_known(without_newer(thing)) == thing
