"""Our rules for the manifests. Each field is compared as a whole, so that an addition is noticed."""

import os
import re

import pytest
import yaml

from manifests import LESSONS, MAIN, REPO, objects, read, with_defaults

SERVERS = ("rng", "hasher", "webui")
PROGRAMS = (*SERVERS, "worker")
NAMES = (*PROGRAMS, "redis")
PODS = [(path, kind, name) for path in (MAIN, *LESSONS) for (kind, name), each in objects(path).items()
        if "template" in each["spec"]]
every_pod = pytest.mark.parametrize("path, kind, name", PODS)


def pod_of(path, kind, name):
    return objects(path)[kind, name]["spec"]["template"]["spec"]


def container_of(path, kind, name):
    [container] = pod_of(path, kind, name)["containers"]
    return container


def test_each_file_has_its_objects():
    assert set(objects(MAIN)) == ({("Deployment", name) for name in NAMES}
                                  | {("Service", name) for name in NAMES if name != "worker"})
    assert [os.path.basename(path) for path in LESSONS] == [
        "1-rng-daemonset.yaml", "2-rng-liveness.yaml", "3-network-policies.yaml", "4-redis-persistent.yaml",
        "5-worker-v0.2.yaml"]
    assert [set(objects(path)) for path in LESSONS] == [
        {("DaemonSet", "rng")}, {("Deployment", "rng")},
        {("NetworkPolicy", name) for name in ("nobody-by-default", "redis", *SERVERS)},
        {("PersistentVolumeClaim", "redis"), ("Deployment", "redis")}, {("Deployment", "worker")}]
    assert sorted(os.listdir(f"{REPO}/k8s")) == ["dockercoins.yaml"], "apply -f k8s/ applies all"


@pytest.mark.parametrize("path", [MAIN, *LESSONS])
def test_metadata_is_name_and_label_only_and_fits_any_namespace(path):
    for (kind, name), each in objects(path).items():
        labels = {} if kind == "NetworkPolicy" else {"labels": {"app": name}}
        assert each["metadata"] == {"name": name, **labels}
    assert "namespace:" not in read(path) and "namespaceSelector" not in read(path)
    assert ":latest" not in read(path) + read("README.md") + read("docs/trainer.md")


@every_pod
def test_the_number_of_pods_and_the_rollout_are_left_at_their_defaults(path, kind, name):
    spec = dict(objects(path)[kind, name]["spec"])
    # In a rollout, never two Redis on the same files.
    strategy = {"strategy": {"type": "Recreate"}} if path.endswith("4-redis-persistent.yaml") else {}
    template = spec.pop("template")
    assert spec == {"selector": {"matchLabels": {"app": name}}, **strategy}
    assert template["metadata"].pop("labels") == {"app": name}
    assert template["metadata"] == ({} if name == "redis" else {
        "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9797"}}), "Prometheus finds the pods"


@every_pod
def test_a_pod_has_what_it_needs_and_nothing_else(path, kind, name):
    """Except for the fields that the tests below check."""
    pod, container = pod_of(path, kind, name), container_of(path, kind, name)
    for field in ("automountServiceAccountToken", "enableServiceLinks", "securityContext", "containers"):
        del pod[field]
    for field in ("name", "image", "imagePullPolicy", "ports", "readinessProbe", "resources", "securityContext"):
        del container[field]
    persistent = path.endswith("4-redis-persistent.yaml")
    more = {"args": ["--appendonly", "yes"]} if persistent else {}
    if name in (*SERVERS, "redis"):  # by then the cluster sends nothing more, and the queue, a second long, has drained
        more["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    if path.endswith("2-rng-liveness.yaml"):  # waits in the queue; the timeout is the default, one second
        more["livenessProbe"] = {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5,
                                 "initialDelaySeconds": 30}
    if name == "redis":
        volume = {"persistentVolumeClaim": {"claimName": "redis"}} if persistent else {"emptyDir": {}}
        assert pod.pop("volumes") == [{"name": "data", **volume}]
        more["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    assert (pod, container) == ({}, more)


@every_pod
def test_ports_are_those_of_the_image(path, kind, name):
    expected = [{"name": "redis", "containerPort": 6379}]
    if name != "redis":
        exposed = re.findall(r"^EXPOSE (\d+)$", read(f"{name}/Dockerfile"), re.MULTILINE)
        assert exposed == (["80"] if name in SERVERS else [])
        [admin] = re.findall(r'"ADMIN_PORT", "(\d+)"', read("common/settings.h"))
        expected = [*({"name": "http", "containerPort": int(port)} for port in exposed),
                    {"name": "admin", "containerPort": int(admin)}]
    assert container_of(path, kind, name)["ports"] == expected


@pytest.mark.parametrize("name", [*SERVERS, "redis"])
def test_a_service_leads_to_the_port_of_its_pods(name):
    """webui's also to a free port of the nodes, so that several applications can run side by side."""
    port = {"name": "redis", "port": 6379} if name == "redis" else {"name": "http", "port": 80}
    node_port = {"type": "NodePort"} if name == "webui" else {}
    assert objects(MAIN)["Service", name]["spec"] == {"selector": {"app": name}, "ports": [port], **node_port}


@every_pod
def test_images_are_those_of_compose(path, kind, name):
    expected = yaml.safe_load(with_defaults(read("docker-compose.yml")))["services"][name]["image"]
    assert expected == ("redis:7.2.11-alpine" if name == "redis" else f"dockercoins-cpp/{name}:v0.1")
    if path.endswith("5-worker-v0.2.yaml"):
        expected = expected.replace("v0.1", "v0.2")
    container = container_of(path, kind, name)
    assert (container["name"], container["image"]) == (name, expected)
    assert container["imagePullPolicy"] == "IfNotPresent"


@every_pod
def test_the_restricted_pod_security_standard_holds_and_more(path, kind, name):
    """Its rules, one by one: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    # 999 and 1000 are redis in the official image on Alpine; 65532 is what our programs become.
    user, group = (999, 1000) if name == "redis" else (65532, 65532)
    more = {"fsGroup": group} if name == "redis" else {}
    if name in SERVERS:  # any user may listen on port 80
        more = {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]}
    pod = pod_of(path, kind, name)
    assert pod["securityContext"] == {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": group,
                                      "seccompProfile": {"type": "RuntimeDefault"}, **more}
    assert container_of(path, kind, name)["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)


@every_pod
def test_requests_and_limits_fit_the_measurements(path, kind, name):
    """At most 1, 2, 5, 5 and 8 MiB for worker, rng, hasher, webui and Redis, and 1.2 ms of CPU per hash for all.
    The start of the container counts, too: so at least 32 MiB."""
    of_others = {"worker": ("5m", "4Mi", "100m", "32Mi"), "redis": ("10m", "16Mi", "500m", "256Mi")}
    cpu, memory, most_cpu, most_memory = of_others.get(name, ("10m", "8Mi", "500m", "64Mi"))
    assert container_of(path, kind, name)["resources"] == {
        "requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": most_cpu, "memory": most_memory}}


@every_pod
def test_readiness_probes_do_not_wait_for_the_work(path, kind, name):
    how = {"tcpSocket": {"port": "redis"}} if name == "redis" else {"httpGet": {"path": "/readyz", "port": "admin"}}
    assert container_of(path, kind, name)["readinessProbe"] == {**how, "periodSeconds": 2}


@pytest.mark.parametrize("path", LESSONS)
def test_an_exercise_says_what_to_do(path):
    head = read(path).partition("\n---\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"kubectl apply -f {path}" in head
    assert head.startswith("# Spoiler: ") and f"](../{path})" in read("docs/trainer.md")


def test_the_persistent_redis_has_a_volume():
    claim = objects("lessons/4-redis-persistent.yaml")["PersistentVolumeClaim", "redis"]
    assert claim["spec"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}


def test_each_policy_allows_its_clients_only():
    def policy(name, port, *clients):
        rule = {"ports": [{"port": port}]}
        if clients:
            rule["from"] = [{"podSelector": {"matchLabels": labels}} for labels in clients]
        return {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"], "ingress": [rule]}

    worker, shell = {"app": "worker"}, {"run": "shell"}
    found = {name: each["spec"] for (_, name), each in objects("lessons/3-network-policies.yaml").items()}
    assert found == {"nobody-by-default": {"podSelector": {}, "policyTypes": ["Ingress"]},
                     "redis": policy("redis", 6379, worker, {"app": "webui"}),
                     "rng": policy("rng", 80, worker, shell),
                     "hasher": policy("hasher", 80, worker, shell),
                     "webui": policy("webui", 80)}
