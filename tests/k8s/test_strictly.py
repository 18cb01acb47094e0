"""The Kubernetes API knows every field of every manifest, and a mistake would be found."""

import copy

import pytest

from api_models import problems
from manifests import LESSONS, MAIN, objects

POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize("path", [MAIN, *LESSONS])
def test_the_api_knows_every_field(path):
    found = {name: problems(each) for name, each in objects(path).items()}
    assert not any(found.values()), found


@pytest.mark.parametrize("path, kind, where, to, said", [
    (MAIN, "Deployment", (*CONTAINER, "readynessProbe"), {}, "containers[0].readynessProbe: unknown field"),
    (MAIN, "Deployment", ("spec", "replicas"), "2", "Deployment.spec.replicas: '2' is not a int"),
    (MAIN, "Deployment", (*CONTAINER, "ports"), {"containerPort": 80}, "{'containerPort': 80} is not a list"),
    (MAIN, "Deployment", (*CONTAINER, "lifecycle", "preStop", "sleep", "seconds"), None, "sleep.seconds: missing"),
    (MAIN, "Deployment", ("spec", "selector"), None, "Deployment.spec.selector: missing"),
    (MAIN, "Deployment", ("apiVersion",), "apps/v1beta1", "apps/v1beta1 Deployment: not known"),
    ("lessons/3-network-policies.yaml", "NetworkPolicy", ("spec", "ingress", 0, "form"), [],
     "NetworkPolicy.spec.ingress[0].form: unknown field"),
])
def test_a_mistake_is_found(path, kind, where, to, said):
    """The object of rng with one field changed or removed."""
    thing = at = copy.deepcopy(objects(path)[kind, "rng"])
    for step in where[:-1]:
        at = at[step]
    if to is None:
        del at[where[-1]]
    else:
        at[where[-1]] = to
    [found] = problems(thing)
    assert said in found
