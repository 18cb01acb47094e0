"""DockerCoins on a real cluster: that of kubectl's current context, in new namespaces. Skipped if there is none.

DOCKERCOINS_LOAD_IMAGES     a command that loads the images, its arguments, onto the cluster's nodes, such as "kind load
                            docker-image"; unset: they are there already, or can be pulled. Set: nothing is skipped
DOCKERCOINS_FIGURE_SECONDS  how long scripts/lesson measures each number of workers (12)
"""

import contextlib
import json
import os
import re
import secrets
import shlex
import time

import pytest

import lesson
from compose import running
from docker_engine import REPO, pinned_image, run
from harness import eventually
from lesson_parts import measuring, platforms

SECONDS = float(os.environ.get("DOCKERCOINS_FIGURE_SECONDS") or 12)
SERVERS = ("rng", "hasher", "webui")
PROGRAMS = (*SERVERS, "worker")
REDIS = pinned_image("redis")
IMAGES = [f"dockercoins-cpp/{name}:v0.1" for name in PROGRAMS] + [REDIS]

# The pod "shell", from Redis's image, which is on the cluster and has a shell.
SHELL = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "shell", "labels": {"run": "shell"}}, "spec": {
    "securityContext": {"runAsNonRoot": True, "runAsUser": 999, "seccompProfile": {"type": "RuntimeDefault"}},
    "terminationGracePeriodSeconds": 0,
    "containers": [{"name": "shell", "image": REDIS, "imagePullPolicy": "IfNotPresent", "command": ["sleep", "3600"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}]}}

# In that pod: `get NAME` is GET http://NAME/, with wget (Alpine) or bash (Debian).
GET = r"""get() {
  if command -v wget >/dev/null; then
    wget -q -T 5 -O /dev/null "http://$1/"
  else
    bash -c 'exec 3<>"/dev/tcp/$0/80" && printf "GET / HTTP/1.0\r\n\r\n" >&3 && grep -q "HTTP/1.. [23]" <&3' "$1"
  fi
}
"""
HTTPING = GET + r"""
read -r begun _ </proc/uptime
for _ in 1 2 3 4 5; do get "$1" || exit 1; done
read -r ended _ </proc/uptime
echo "$begun $ended"
"""
POLL = GET + r'while :; do get "$1" && echo good || echo bad; sleep 0.1; done'


class Namespace(contextlib.ExitStack):
    """A new namespace, which ends with it. namespace("get", "pods"): output of kubectl in it."""

    def __init__(self, context):
        super().__init__()
        self.name = f"dockercoins-test-{secrets.token_hex(3)}"
        self.command = ["kubectl", f"--context={context}", f"--namespace={self.name}"]
        self("create", "namespace", self.name)
        self.callback(self, "delete", "namespace", self.name, "--timeout=150s")

    def __call__(self, *words, **options):
        return run(*self.command, *words, cwd=REPO, **options).stdout

    def get(self, *words):
        return json.loads(self("get", *words, "--output=json"))

    def await_pods(self, name, number):
        """Waits until it has that many, terminating ones included."""
        eventually(lambda: len(self.get("pods", f"--selector=app={name}")["items"]) == number, 60, 0.2, "the pods")

    def await_rollout(self, *names):
        for name in names:
            self("rollout", "status", name if "/" in name else f"deployment/{name}", "--timeout=150s")

    def scale(self, name, replicas):
        self("scale", "deployment", name, f"--replicas={replicas}")
        self.await_rollout(name)

    def speed(self, workers):
        """Hashes per second, measured as scripts/lesson does."""
        with lesson.Kubernetes(lesson.parse(["-n", self.name])) as application:
            time.sleep(3)
            return measuring.counter_rate(measuring.read_counter_for(application.url, 10), workers)

    def await_mining(self):
        logs = ("logs", "--selector=app=worker", "--since=3s", "--max-log-requests=20")
        eventually(lambda: "units of work done" in self(*logs, check=False), 60, 0.2, "a hash counted")

    def errors(self):
        """Errors and warnings of the workers."""
        return re.findall(".*(?:ERROR|WARNING).*", self(
            "logs", "--selector=app=worker", "--tail=-1", "--prefix", "--max-log-requests=20"))

    def httping(self, name):
        """Average seconds of five GET /, from inside the cluster."""
        begun, ended = self("exec", "shell", "--", "sh", "-c", HTTPING, "sh", name).split()
        return (float(ended) - float(begun)) / 5


@pytest.fixture(scope="module")
def context():
    """The current context of a cluster that responds and has the images."""
    command = os.environ.get("DOCKERCOINS_LOAD_IMAGES")
    try:
        name = platforms.run_command("kubectl", "config", "current-context").strip()
        platforms.run_command("kubectl", f"--context={name}", "--request-timeout=20s", "get", "nodes")
    except lesson.LessonError as reason:
        (pytest.fail if command else pytest.skip)(f"no cluster: {reason}")
    if command:
        run(*shlex.split(command), *IMAGES, timeout=900)
    return name


@pytest.fixture(scope="module")
def applied(context):
    """The manifest, in a namespace that enforces the restricted Pod Security Standard."""
    with Namespace(context) as namespace:
        namespace("label", "namespace", namespace.name, "pod-security.kubernetes.io/enforce=restricted",
                  "pod-security.kubernetes.io/warn=restricted")
        said = namespace("apply", "--validate=strict", "--filename=k8s/")
        assert said.count(" created\n") == 9 and "Warning" not in said, said
        namespace.await_rollout(*PROGRAMS, "redis")
        namespace("apply", "--filename=-", input=json.dumps(SHELL))
        namespace("wait", "--for=condition=Ready", "pod/shell", "--timeout=120s")
        namespace.await_mining()
        yield namespace


@pytest.fixture
def as_applied(applied):
    """The same, with one pod each."""
    for name in PROGRAMS:
        applied.scale(name, 1)
    applied.await_pods("worker", 1)
    return applied


def test_applying_it_again_changes_nothing_and_logs_ports_and_flags_work(as_applied):
    as_applied.scale("worker", 2)
    assert as_applied("apply", "--filename=k8s/").count(" unchanged\n") == 9
    assert as_applied.get("deployment", "worker")["spec"]["replicas"] == 2
    assert not as_applied.errors()
    assert "units of work done, updating hash counter" in as_applied("logs", "deployment/worker")
    [port] = as_applied.get("service", "webui")["spec"]["ports"]
    assert port["nodePort"] > 0 and port["port"] == 80
    for name in PROGRAMS:  # in images without a shell
        as_applied("exec", f"deployment/{name}", "--", f"/{name}", "--healthcheck")
        assert "dockercoins_build_info{" in as_applied("exec", f"deployment/{name}", "--", f"/{name}", "--metrics")


def test_the_lesson(as_applied, figure):
    as_applied.scale("worker", 2)
    shown = run("scripts/lesson", "-n", as_applied.name, "--seconds", f"{SECONDS:g}", cwd=REPO, timeout=900).stdout
    figure("lesson on Kubernetes", shown)
    assert "\nThe lesson holds: 1, 2, 3 and 10 workers give " in shown
    as_applied.await_pods("worker", 2)  # restored


def test_httping_by_short_name_finds_the_bottleneck_and_workers_end_at_once(as_applied, figure):
    as_applied.scale("worker", 10)
    time.sleep(5)  # the queue fills
    at_rng, at_hasher = map(as_applied.httping, ("rng", "hasher"))
    figure("httping of rng and hasher from a pod with 10 workers, ms", f"{at_rng * 1000:.0f}, {at_hasher * 1000:.0f}")
    assert 0.62 < at_rng < 0.95 and at_hasher < 0.05
    begun = time.monotonic()
    as_applied.scale("worker", 1)
    as_applied.await_pods("worker", 1)
    figure("from 10 workers to 1, until the last pod has gone, s", f"{time.monotonic() - begun:.1f}")
    assert time.monotonic() - begun < 20  # the original takes 30 s or more


def test_a_rolling_restart_loses_no_loop(as_applied, tmp_path):
    for name in SERVERS:
        as_applied.scale(name, 2)
    as_applied.scale("worker", 10)
    as_applied.await_mining()
    with running([*as_applied.command, "exec", "shell", "--", "sh", "-c", POLL, "sh", "webui"], tmp_path / "polled"):
        for name in SERVERS:
            as_applied("rollout", "restart", f"deployment/{name}")
            as_applied.await_rollout(name)
            as_applied.await_pods(name, 2)  # a rollout is complete before the last old pod has ended
    polled = (tmp_path / "polled").read_text().split()
    assert not as_applied.errors()
    assert polled.count("good") > 20 and "bad" not in polled


def test_one_rng_per_node_raises_the_limit(as_applied, figure):
    as_applied.scale("worker", 10)
    try:
        as_applied("apply", "--validate=strict", "--filename=lessons/1-rng-daemonset.yaml")
        as_applied.await_rollout("daemonset/rng")
        nodes = as_applied.get("daemonset", "rng")["status"]["desiredNumberScheduled"]
        both = as_applied.speed(10)
        figure(f"ten workers, {nodes + 1} rng (DaemonSet and Deployment), hashes/s", f"{both:.1f}")
        assert both > 15  # 18.5 are predicted for two
        as_applied("delete", "deployment", "rng")
        as_applied.await_pods("rng", nodes)
        alone = as_applied.speed(10)
        figure(f"ten workers, {nodes} rng (DaemonSet), hashes/s", f"{alone:.1f}")
        assert 9 < alone < 10.5 if nodes == 1 else alone > 15
        assert not as_applied.errors()
    finally:
        as_applied("apply", "--filename=k8s/")
        as_applied.await_rollout("rng")
        as_applied("delete", "daemonset", "rng", "--ignore-not-found")


def test_the_courses_commands_deploy_it_side_by_side(context, applied):
    """create deployment and expose, also if only root may listen on port 80."""
    with Namespace(context) as namespace:
        namespace("create", "deployment", "redis", f"--image={REDIS}")
        for name in PROGRAMS:
            namespace("create", "deployment", name, f"--image=dockercoins-cpp/{name}:v0.1")
        eventually(lambda: "Waiting for redis:6379" in namespace("logs", "deployment/worker", check=False), 120, 1,
                   "a worker that waits without errors")
        for name, *options in ("redis", "--port=6379"), ("rng", "--port=80"), ("hasher", "--port=80"), (
                "webui", "--port=80", "--type=NodePort"):
            namespace("expose", "deployment", name, *options)
        namespace.await_rollout(*PROGRAMS, "redis")
        namespace.await_mining()
        namespace.scale("worker", 3)
        assert 9 < namespace.speed(3) < 10.6
        assert not namespace.errors()
