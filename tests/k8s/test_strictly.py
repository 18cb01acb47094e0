"""Every manifest is what the Kubernetes API knows, to the letter; and a mistake would be found."""

import copy

import pytest

from api_models import problems
from manifests import LESSONS, MAIN, objects, one

ALL = [MAIN, *LESSONS]


@pytest.mark.parametrize("path", ALL)
def test_the_api_knows_every_field(path):
    found = {f"{each['kind']} {each['metadata']['name']}": problems(each) for each in objects(path)}
    assert not any(found.values()), found


def broken(kind, name, *where, to=None, path=MAIN):
    """That object, with one field set to another value, or away."""
    thing = copy.deepcopy(one(path, kind, name))
    at = thing
    for step in where[:-1]:
        at = at[step]
    if to is None:
        del at[where[-1]]
    else:
        at[where[-1]] = to
    return thing


POD = ("spec", "template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize("where, to, said", [
    ((*CONTAINER, "readynessProbe"), {}, "containers[0].readynessProbe: unknown field"),
    ((*CONTAINER, "readinessprobe"), {}, "readinessprobe: unknown field"),
    ((*POD, "securityContext", "runAsNonroot"), True, "securityContext.runAsNonroot: unknown field"),
    ((*POD, "allowPrivilegeEscalation"), False, "unknown field"),  # a container's, not a pod's
    (("spec", "replica"), 2, "Deployment.spec.replica: unknown field"),
    (("spec", "replicas"), "2", "Deployment.spec.replicas: '2' is not a int"),
    (("metadata", "labels", "app"), 5, "Deployment.metadata.labels.app: 5 is not a str"),
    ((*POD, "securityContext", "sysctls", 0, "value"), 80, "80 is not a str"),
    ((*POD, "enableServiceLinks"), "no", "'no' is not a bool"),
    ((*CONTAINER, "ports"), {"containerPort": 80}, "ports: {'containerPort': 80} is not a list"),
    ((*CONTAINER, "securityContext"), [], "securityContext: [] is not a mapping"),
    ((*CONTAINER, "lifecycle", "preStop", "sleep", "second"), 5, "preStop.sleep.second: unknown field"),
    ((*CONTAINER, "lifecycle", "preStop", "sleep", "seconds"), None, "preStop.sleep.seconds: missing"),
    ((*CONTAINER, "lifecycle", "preStop", "nap"), {}, "preStop.nap: unknown field"),
    ((*CONTAINER, "name"), None, "containers[0].name: missing"),
    (("spec", "selector"), None, "Deployment.spec.selector: missing"),
    (("spec", "template"), None, "Deployment.spec.template: missing"),
    (("apiVersion",), "apps/v1beta1", "apps/v1beta1 Deployment: not known"),
    (("kind",), "Deploiment", "apps/v1 Deploiment: not known"),
])
def test_a_mistake_is_found(where, to, said):
    found = problems(broken("Deployment", "rng", *where, to=to))
    assert len(found) == 1 and said in found[0], found


def test_a_daemon_set_has_no_replicas():
    """The course's first try at one."""
    found = problems(broken("DaemonSet", "rng", "spec", "replicas", to=1, path="k8s/lessons/1-rng-daemonset.yaml"))
    assert found == ["DaemonSet.spec.replicas: unknown field"]


def test_a_mistake_in_a_policy_is_found():
    path = "k8s/lessons/3-network-policies.yaml"
    found = problems(broken("NetworkPolicy", "redis", "spec", "ingress", 0, "form", to=[], path=path))
    assert found == ["NetworkPolicy.spec.ingress[0].form: unknown field"]
