"""What the manifests promise beyond being valid: names, ports, images, and pods that are safe by default."""

import glob
import os
import re

import pytest
import yaml

from manifests import LESSONS, MAIN, NAMES, PROGRAMS, REPO, container_of, objects, one, pods_of, read

ALL = [MAIN, *LESSONS]
PODS = [(path, name) for path in ALL for name, _ in pods_of(path)]
every_pod = pytest.mark.parametrize("path, name", PODS)
WITH_PORT = ("rng", "hasher", "webui")


def pod_of(path, name):
    return dict(pods_of(path))[name]


def ports_of(pod):
    return {port["name"]: port["containerPort"] for port in container_of(pod)["ports"]}


def megabytes(quantity):
    assert re.fullmatch(r"\d+Mi", quantity), quantity
    return int(quantity[:-2])


def cpus(quantity):
    assert re.fullmatch(r"\d+m", quantity), quantity
    return int(quantity[:-1]) / 1000


# ------------------------------------------------------------------------------------------ what there is


def test_the_one_manifest_is_five_deployments_and_four_services():
    found = sorted((each["kind"], each["metadata"]["name"]) for each in objects(MAIN))
    assert found == sorted([("Deployment", name) for name in NAMES]
                           + [("Service", name) for name in NAMES if name != "worker"])
    assert sorted(glob.glob("*.y*ml", root_dir=f"{REPO}/k8s")) == ["dockercoins.yaml"], "apply -f k8s/ takes all"


@pytest.mark.parametrize("path", ALL)
def test_nothing_says_in_which_namespace_it_is(path):
    for each in objects(path):
        assert "namespace" not in each["metadata"]
        assert "ClusterRole" not in each["kind"]
    assert "namespace:" not in read(path) and "namespaceSelector" not in read(path)


@pytest.mark.parametrize("path", ALL)
def test_every_selector_is_app_and_the_name(path):
    for each in objects(path):
        name, spec = each["metadata"]["name"], each["spec"]
        if each["kind"] == "Service":
            assert spec["selector"] == {"app": name}
        elif "template" in spec:
            assert spec["selector"] == {"matchLabels": {"app": name}}
            assert spec["template"]["metadata"]["labels"] == {"app": name}
        if each["kind"] != "NetworkPolicy":
            assert each["metadata"] == {"name": name, "labels": {"app": name}}


@every_pod
def test_a_container_is_called_as_its_deployment(path, name):
    assert container_of(pod_of(path, name))["name"] == name


def test_the_rollout_strategy_and_the_number_of_pods_are_left_at_their_defaults():
    for name in NAMES:
        assert set(one(MAIN, "Deployment", name)["spec"]) == {"selector", "template"}


# ------------------------------------------------------------------------------------------ ports and images


def exposed(name):
    """The ports that the image says it listens on."""
    return [int(port) for port in re.findall(r"^EXPOSE (\d+)$", read(f"{name}/Dockerfile"), re.MULTILINE)]


def default_of(setting):
    """What the programs take when that is not set: the number in their --help."""
    found = {number for name in PROGRAMS
             for number in re.findall(rf'^ +" +{setting} .*\((\d+)\)\\n"', read(f"{name}/main.cpp"), re.MULTILINE)}
    assert len(found) == 1
    return int(found.pop())


@every_pod
def test_ports_are_those_that_the_image_listens_on(path, name):
    ports = ports_of(pod_of(path, name))
    if name == "redis":
        assert ports == {"redis": 6379}
        return
    assert ports.pop("admin") == default_of("ADMIN_PORT") == 9797
    assert list(ports.values()) == exposed(name) == ([] if name == "worker" else [default_of("PORT")])
    assert list(ports) == ([] if name == "worker" else ["http"])


@pytest.mark.parametrize("name, port", [("rng", 80), ("hasher", 80), ("webui", 80), ("redis", 6379)])
def test_a_service_has_the_port_of_its_pods(name, port):
    spec = one(MAIN, "Service", name)["spec"]
    [entry] = spec["ports"]
    assert entry["port"] == entry.get("targetPort", port) == port == ports_of(pod_of(MAIN, name))[entry["name"]]
    assert spec.get("type", "ClusterIP") == ("NodePort" if name == "webui" else "ClusterIP")
    assert "nodePort" not in entry, "a free one, so that several can run side by side"


def compose_images():
    services = yaml.safe_load(read("docker-compose.yml"))["services"]
    return {name: re.sub(r"\$\{\w+-([^}]*)\}", r"\1", service["image"]) for name, service in services.items()}


@every_pod
def test_images_are_those_of_compose(path, name):
    container = container_of(pod_of(path, name))
    expected = compose_images()[name]
    if path.endswith("5-worker-v0.2.yaml"):
        expected = expected.replace("v0.1", "v0.2")
    assert container["image"] == expected
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert ":" in container["image"] and not container["image"].endswith(":latest")
    assert "command" not in container


@pytest.mark.parametrize("path", ["README.md", "k8s/README.md", *ALL])
def test_nobody_is_told_of_an_image_called_latest(path):
    assert ":latest" not in read(path)


# ------------------------------------------------------------------------------------------ safe by default


@every_pod
def test_the_restricted_pod_security_standard_holds(path, name):
    """Its rules, one by one: https://kubernetes.io/docs/concepts/security/pod-security-standards/"""
    pod = pod_of(path, name)
    container = container_of(pod)
    own = container["securityContext"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "hostUsers", "ephemeralContainers"} & set(pod)
    assert not any("hostPort" in port or "hostIP" in port for port in container["ports"])
    kinds = {kind for volume in pod.get("volumes", []) for kind in set(volume) - {"name"}}
    assert kinds <= {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim",
                     "projected", "secret"}
    assert "privileged" not in own and "procMount" not in own and "seLinuxOptions" not in own
    assert own["allowPrivilegeEscalation"] is False
    assert own["capabilities"] == {"drop": ["ALL"]}
    assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"runAsUser", "runAsNonRoot", "seccompProfile"} & set(own), "the pod's hold"
    assert {entry["name"] for entry in pod["securityContext"].get("sysctls", [])} <= {
        "net.ipv4.ip_unprivileged_port_start"}


@every_pod
def test_more_than_the_standard_asks_for(path, name):
    pod = pod_of(path, name)
    context = pod["securityContext"]
    assert container_of(pod)["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    # 999 and 1000 are redis in the official image on Alpine; 65532 is what our programs become.
    assert (context["runAsUser"], context["runAsGroup"]) == ((999, 1000) if name == "redis" else (65532, 65532))


@every_pod
def test_who_listens_on_port_80_may(path, name):
    sysctls = pod_of(path, name)["securityContext"].get("sysctls", [])
    wanted = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]
    assert sysctls == (wanted if name in WITH_PORT else [])


def test_redis_can_write_where_it_works_and_nowhere_else():
    for path in (MAIN, "k8s/lessons/4-redis-persistent.yaml"):
        pod = pod_of(path, "redis")
        assert container_of(pod)["volumeMounts"] == [{"name": "data", "mountPath": "/data"}]
        assert [volume["name"] for volume in pod["volumes"]] == ["data"]
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsGroup"]
    for name in PROGRAMS:
        assert "volumes" not in pod_of(MAIN, name)


@every_pod
def test_requests_and_limits_fit_what_was_measured(path, name):
    """At most 1, 2, 5 and 5 MiB of a worker, rng, hasher and webui, and 1.2 ms of CPU a hash for all."""
    resources = container_of(pod_of(path, name))["resources"]
    requests, limits = resources["requests"], resources["limits"]
    measured = {"worker": 1, "rng": 2, "hasher": 5, "webui": 5, "redis": 8}[name]
    assert measured * 1.5 <= megabytes(requests["memory"]) <= 16
    # A container's start, by the runtime, counts too, and takes more than a worker ever does.
    assert megabytes(limits["memory"]) >= 32
    assert cpus(requests["cpu"]) <= 0.01 and cpus(limits["cpu"]) >= 0.1


# ------------------------------------------------------------------------------------------ starting and stopping


@every_pod
def test_readiness_is_asked_where_the_work_does_not_hinder(path, name):
    probe = container_of(pod_of(path, name))["readinessProbe"]
    if name == "redis":
        assert probe["tcpSocket"] == {"port": "redis"}
    else:
        assert probe["httpGet"] == {"path": "/readyz", "port": "admin"}


@pytest.mark.parametrize("path", ALL)
def test_prometheus_is_told_where_to_ask(path):
    for each in objects(path):
        name, template = each["metadata"]["name"], each["spec"].get("template")
        if template and name in PROGRAMS:
            port = ports_of(template["spec"])["admin"]
            assert template["metadata"]["annotations"] == {"prometheus.io/scrape": "true",
                                                           "prometheus.io/port": str(port)}


def test_there_is_no_liveness_probe_but_in_its_lesson():
    for path, name in PODS:
        container = container_of(pod_of(path, name))
        assert "startupProbe" not in container
        assert ("livenessProbe" in container) == path.endswith("2-rng-liveness.yaml")


@every_pod
def test_servers_let_the_line_drain_before_they_stop_and_workers_end_at_once(path, name):
    pod = pod_of(path, name)
    lifecycle = container_of(pod).get("lifecycle")
    if name not in WITH_PORT:
        assert lifecycle is None
        return
    assert list(lifecycle) == ["preStop"] and list(lifecycle["preStop"]) == ["sleep"]
    # With ten workers the line is a second long; after the sleep a service needs another one to end.
    sleep = lifecycle["preStop"]["sleep"]["seconds"]
    assert 3 <= sleep <= pod.get("terminationGracePeriodSeconds", 30) - 5


# ------------------------------------------------------------------------------------------ the lessons


def without(spec, *where):
    """Takes a field out of a spec; returns it."""
    for step in where[:-1]:
        spec = spec[step]
    return spec.pop(where[-1])


POD = ("template", "spec")
CONTAINER = (*POD, "containers", 0)


@pytest.mark.parametrize("path, kind, name, changed", [
    ("1-rng-daemonset", "DaemonSet", "rng", []),
    ("2-rng-liveness", "Deployment", "rng", [(*CONTAINER, "livenessProbe")]),
    ("4-redis-persistent", "Deployment", "redis", [("strategy",), (*CONTAINER, "args"), (*POD, "volumes")]),
    ("5-worker-v0.2", "Deployment", "worker", [(*CONTAINER, "image")]),
])
def test_a_lesson_changes_one_thing(path, kind, name, changed):
    before = one(MAIN, "Deployment", name)["spec"]
    after = one(f"k8s/lessons/{path}.yaml", kind, name)["spec"]
    for where in changed:
        new = without(after, *where)
        assert where in (("strategy",), (*CONTAINER, "args"), (*CONTAINER, "livenessProbe")) or \
            without(before, *where) != new
    assert after == before


@pytest.mark.parametrize("path", LESSONS)
def test_a_lesson_says_what_to_do_and_what_to_see(path):
    head = read(path).partition("\n---\n")[0]
    assert all(line.startswith("#") for line in head.splitlines())
    assert f"kubectl apply -f {path}" in head
    assert os.path.basename(path) in read("k8s/README.md")


def test_the_liveness_probe_of_the_lesson_stands_in_line():
    probe = container_of(pod_of("k8s/lessons/2-rng-liveness.yaml", "rng"))["livenessProbe"]
    assert probe["httpGet"] == {"path": "/", "port": "http"}
    assert probe.get("timeoutSeconds", 1) == 1


def test_a_redis_with_a_volume_is_never_two():
    """A rolling update would start the new one on the old one's files."""
    path = "k8s/lessons/4-redis-persistent.yaml"
    redis, claim = one(path, "Deployment", "redis"), one(path, "PersistentVolumeClaim", "redis")
    assert redis["spec"]["strategy"] == {"type": "Recreate"}
    assert container_of(pod_of(path, "redis"))["args"] == ["--appendonly", "yes"]
    [volume] = pod_of(path, "redis")["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


# ------------------------------------------------------------------------------------------ the policies


def allowed(labels, name):
    """Whether a pod with these labels may connect to the port that the pods called `name` serve on."""
    refused = False
    for policy in objects("k8s/lessons/3-network-policies.yaml"):
        spec = policy["spec"]
        assert spec["policyTypes"] == ["Ingress"]
        if spec["podSelector"].get("matchLabels", {"app": name}) != {"app": name}:
            continue
        refused = True
        for rule in spec.get("ingress", []):
            peers = [peer["podSelector"]["matchLabels"].items() for peer in rule.get("from", [])]
            if rule["ports"] == [{"port": 6379 if name == "redis" else 80}] and (
                    "from" not in rule or any(peer <= labels.items() for peer in peers)):
                return True
    return not refused


@pytest.mark.parametrize("client, servers", [
    ({"app": "worker"}, {"redis", "rng", "hasher", "webui"}),
    ({"app": "webui"}, {"redis", "webui"}),
    ({"run": "class"}, {"rng", "hasher", "webui"}),
    ({"run": "other"}, {"webui"}),
    ({"app": "rng"}, {"webui"}),
    ({}, {"webui"}),
])
def test_the_policies_let_those_in_who_have_business_there(client, servers):
    assert {name for name in ("redis", "rng", "hasher", "webui", "worker") if allowed(client, name)} == servers
