"""The Kubernetes API knows the manifests, and they keep our rules: whole objects, so that an addition is noticed."""

import json
import os
import types

import kubernetes.client
import pytest
import yaml

from manifests import LESSONS, MAIN, REPO, objects, read, with_defaults

SERVERS = ("rng", "hasher", "webui")
VERSIONS = {"NetworkPolicy": "networking.k8s.io/v1", "PersistentVolumeClaim": "v1", "Service": "v1"}
# At most 1, 2, 5, 5 and 8 MiB were measured for worker, rng, hasher, webui and Redis, and 1.2 ms of CPU per hash for
# all. The start of the container counts, too: so the limit is at least 32 MiB.
RESOURCES = {"worker": "5m 4Mi 100m 32Mi", "redis": "10m 16Mi 500m 256Mi",
             **dict.fromkeys(SERVERS, "10m 8Mi 500m 64Mi")}


def test_each_file_has_its_objects():
    assert set(objects(MAIN)) == {("Deployment", "worker"), *(
        (kind, name) for kind in ("Deployment", "Service") for name in (*SERVERS, "redis"))}
    assert [(os.path.basename(path), set(objects(path))) for path in LESSONS] == [
        ("1-rng-daemonset.yaml", {("DaemonSet", "rng")}), ("2-rng-liveness.yaml", {("Deployment", "rng")}),
        ("3-network-policies.yaml", {("NetworkPolicy", name) for name in ("nobody-by-default", "redis", *SERVERS)}),
        ("4-redis-persistent.yaml", {("PersistentVolumeClaim", "redis"), ("Deployment", "redis")}),
        ("5-worker-v0.2.yaml", {("Deployment", "worker")})]
    assert sorted(os.listdir(f"{REPO}/k8s")) == ["dockercoins.yaml"], "apply -f k8s/ applies all"


@pytest.mark.parametrize("path", [MAIN, *LESSONS])
def test_the_api_knows_every_field_and_metadata_fits_any_namespace(path):
    """By the models of Debian's python3-kubernetes. A field that is unknown, or of another type, does not come back."""
    client = kubernetes.client.ApiClient()
    assert "namespace:" not in read(path) and "namespaceSelector" not in read(path)
    assert ":latest" not in read(path) + read("README.md") + read("docs/trainer.md")
    for (kind, name), thing in objects(path).items():
        assert thing["apiVersion"] == VERSIONS.get(kind, "apps/v1")
        assert thing["metadata"] == {"name": name, **({} if kind == "NetworkPolicy" else {"labels": {"app": name}})}
        for container in thing["spec"].get("template", {}).get("spec", {}).get("containers", ()):
            # Debian 12's models are those of API 1.22, which does not know it.
            container.get("lifecycle", {}).get("preStop", {}).pop("sleep", None)
        known = client.deserialize(types.SimpleNamespace(data=json.dumps(thing)), f"V1{kind}")
        assert client.sanitize_for_serialization(known) == thing


def workload(name):
    """The spec of a Deployment without what is special in an exercise. One pod and its rollout are the defaults.

    Its pod holds https://kubernetes.io/docs/concepts/security/pod-security-standards/, the restricted one, and more.
    """
    image = yaml.safe_load(with_defaults(read("docker-compose.yml")))["services"][name]["image"]
    assert image == ("redis:7.2.11-alpine" if name == "redis" else f"dockercoins-cpp/{name}:v0.1")
    http, admin = {"name": "http", "containerPort": 80}, {"name": "admin", "containerPort": 9797}
    cpu, memory, most_cpu, most_memory = RESOURCES[name].split()
    container = {
        "name": name, "image": image, "imagePullPolicy": "IfNotPresent",
        "ports": [http, admin] if name in SERVERS else [admin],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "admin"}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"cpu": most_cpu, "memory": most_memory}},
        "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]}}}
    security = {"runAsNonRoot": True, "runAsUser": 65532, "runAsGroup": 65532,  # what our programs become
                "seccompProfile": {"type": "RuntimeDefault"}}
    pod = {"automountServiceAccountToken": False, "enableServiceLinks": False, "securityContext": security,
           "containers": [container]}
    annotations = {"annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "9797"}}
    if name != "worker":  # by then the cluster sends nothing more, and the queue, a second long, has drained
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": 5}}}
    if name in SERVERS:  # any user may listen on port 80
        security["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]
    if name == "redis":  # 999 and 1000 are redis in the official image on Alpine
        security |= {"runAsUser": 999, "runAsGroup": 1000, "fsGroup": 1000}
        pod["volumes"] = [{"name": "data", "emptyDir": {}}]
        container |= {"ports": [{"name": "redis", "containerPort": 6379}],
                      "readinessProbe": {"tcpSocket": {"port": "redis"}, "periodSeconds": 2},
                      "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
        annotations = {}
    return {"selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}, **annotations}, "spec": pod}}


@pytest.mark.parametrize("path, kind, name", [
    (path, kind, name) for path in (MAIN, *LESSONS) for (kind, name), each in objects(path).items()
    if "template" in each["spec"]])
def test_a_workload_has_what_it_needs_and_nothing_else(path, kind, name):
    expected = workload(name)
    pod = expected["template"]["spec"]
    [only] = pod["containers"]
    if path.endswith("2-rng-liveness.yaml"):  # waits in the queue; the timeout is the default, one second
        only["livenessProbe"] = {
            "httpGet": {"path": "/", "port": "http"}, "periodSeconds": 5, "initialDelaySeconds": 30}
    if path.endswith("4-redis-persistent.yaml"):
        claim = objects(path)["PersistentVolumeClaim", "redis"]["spec"]
        assert claim == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
        only["args"] = ["--appendonly", "yes"]
        pod["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "redis"}}]
        expected["strategy"] = {"type": "Recreate"}  # in a rollout, never two Redis on the same files
    if path.endswith("5-worker-v0.2.yaml"):
        only["image"] = only["image"].replace("v0.1", "v0.2")
    assert objects(path)[kind, name]["spec"] == expected


def test_a_service_leads_to_the_port_of_its_pods():
    """webui's also to a free port of the nodes, so that several applications can run side by side."""
    for name in (*SERVERS, "redis"):
        port = {"name": "redis", "port": 6379} if name == "redis" else {"name": "http", "port": 80}
        expected = {"selector": {"app": name}, "ports": [port], **({"type": "NodePort"} if name == "webui" else {})}
        assert objects(MAIN)["Service", name]["spec"] == expected


@pytest.mark.parametrize("path", LESSONS)
def test_an_exercise_says_what_to_do(path):
    head = read(path).partition("\n---\n")[0]
    assert head.startswith("# Spoiler: ") and all(line.startswith("#") for line in head.splitlines())
    assert f"kubectl apply -f {path}" in head and f"](../{path})" in read("docs/trainer.md")


def test_each_policy_allows_its_clients_only():
    def policy(name, port, *clients):
        allowed = {"from": [{"podSelector": {"matchLabels": labels}} for labels in clients]} if clients else {}
        return {"podSelector": {"matchLabels": {"app": name}}, "policyTypes": ["Ingress"],
                "ingress": [{"ports": [{"port": port}], **allowed}]}

    worker, shell = {"app": "worker"}, {"run": "shell"}
    assert {name: each["spec"] for (_, name), each in objects("lessons/3-network-policies.yaml").items()} == {
        "nobody-by-default": {"podSelector": {}, "policyTypes": ["Ingress"]},
        "redis": policy("redis", 6379, worker, {"app": "webui"}), "webui": policy("webui", 80),
        "rng": policy("rng", 80, worker, shell), "hasher": policy("hasher", 80, worker, shell)}
