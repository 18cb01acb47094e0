"""scripts/lesson on Kubernetes, with a fake kubectl. (On Compose: tests/e2e/test_compose.py.)"""

import json
import subprocess

import pytest

import lesson
from harness import eventually
from lesson_parts import measuring, platforms
from lesson_parts.model import Delays, LessonError, Rngs

GROUP1 = "kubectl --context=a-context --namespace=group1"


class Kubectl:
    """Replaces `subprocess` in scripts/lesson: prints what `answers` has for a command, and records each command."""

    PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL

    def __init__(self):
        self.commands = []
        self.forwards = []
        self.answers = {"kubectl config current-context": "a-context\n",
                        f"{GROUP1} get deployment worker --output=json": '{"spec": {"replicas": 2}}'}

    def set_pods(self, service, *pods):
        self.answers[f"{GROUP1} get pods --selector=app={service} --output=json"] = json.dumps({"items": pods})

    def run(self, command, **_):
        self.commands.append(" ".join(command))
        found = self.answers.get(self.commands[-1])
        return subprocess.CompletedProcess(command, found is None, found or "", "Warning: so\nError: not found\n")

    def Popen(self, command, **options):
        """A port-forward that prints its port."""
        self.commands.append(" ".join(command))
        port = {"service/rng": 4711, "service/webui": 4712}.get(command[-2])
        script = f"echo 'Forwarding from 127.0.0.1:{port} -> 80'; yes 'Handling' | head -n 9999; exec sleep 99"
        self.forwards.append(subprocess.Popen(["sh", "-c", script if port else "echo no such service"], **options))
        return self.forwards[-1]


@pytest.fixture
def kubectl(monkeypatch):
    fake = Kubectl()
    monkeypatch.setattr(platforms, "subprocess", fake)
    monkeypatch.setattr(platforms.shutil, "which", lambda name: name == "kubectl")
    return fake


def kubernetes(*words):
    return platforms.Kubernetes(lesson.parse(["-n", *words]))


def pod(name, phase="Running", env=(), **metadata):
    return {"metadata": {"name": name, **metadata}, "status": {"phase": phase},
            "spec": {"containers": [{"name": "it", "env": env} if env else {}]}}


@pytest.mark.parametrize("command, said", [
    (["sh", "-c", "echo out; exit 3"], "'sh -c echo out; exit 3' failed: out"),
    (["sh", "-c", "exit 3"], "'sh -c exit 3' failed: 3"),
    (["/no/where"], "'/no/where' cannot be run: No such file or directory")])
def test_a_command_that_fails_is_quoted_with_the_last_line_that_it_printed(command, said):
    with pytest.raises(LessonError) as error:
        platforms.run_command(*command)
    assert str(error.value) == said


@pytest.mark.parametrize("words, context, options, where", [
    (["group2"], "a\n", " --context=a --namespace=group2", "Kubernetes, context a, namespace group2"),
    ([], "a\n", " --context=a --namespace=group3", "Kubernetes, context a, namespace group3"),
    ([], "", "", "Kubernetes, namespace default")])
def test_it_looks_in_the_current_context_and_the_given_namespace(kubectl, words, context, options, where):
    kubectl.answers = {"kubectl config current-context": context,
                       "kubectl --context=a config view --minify --output=jsonpath={..namespace}": "group3"}
    with pytest.raises(LessonError) as error:
        kubernetes(*words)
    assert str(error.value) == (
        f"'kubectl{options} get deployment worker --output=json' failed: Error: not found (looked for the application "
        f"in {where}; 'kubectl apply -f k8s/' starts it)")


def test_what_runs_on_kubernetes(kubectl, monkeypatch):
    delay = {"name": "DELAY_MS", "value": "300"}
    two = {"name": "CONCURRENCY", "value": "2"}
    kubectl.set_pods("rng", pod("rng-0", env=[two]), pod("rng-1", env=[{**delay, "value": "100"}, two]),
                     pod("rng-2", "Pending", env=[two]), pod("rng-3", env=[delay], deletionTimestamp="2026-11-21"),
                     pod("rng-4", "Failed"), pod("rng-5", "Succeeded"))
    kubectl.set_pods("worker", pod("worker-0", env=[delay, {"name": "SECRET", "valueFrom": {}}]))
    kubectl.set_pods("hasher", pod("hasher-0"))
    kubectl.answers[f"{GROUP1} exec rng-1 -- /rng --metrics"] = "what rng-1 has measured"
    application = kubernetes("group1", "--url", "http://x")
    assert (application.workers(), application.rngs(), application.url) == (2, Rngs(3, 2), "http://x")
    assert application.containers("rng") == ["rng-0", "rng-1"]
    assert application.metrics("rng", "rng-1") == "what rng-1 has measured"
    assert application.delays() == Delays(worker=0.3, rng=0.1, hasher=0.1)
    monkeypatch.setattr(platforms.shutil, "which", lambda _: None)
    with pytest.raises(LessonError, match="^kubectl is not installed.$"):
        kubernetes()


def test_waits_for_a_terminating_pod(kubectl, clock):
    """The original's worker keeps mining for 30 s after TERM."""
    change = [f"{GROUP1} scale deployment worker --replicas=2",
              f"{GROUP1} rollout status deployment worker --timeout=120s"]
    kubectl.answers.update(dict.fromkeys(change, ""))
    kubectl.set_pods("worker", pod("worker-0"), pod("worker-1"), pod("worker-2", deletionTimestamp="2026-11-21"))
    application = kubernetes("group1")
    with pytest.raises(LessonError, match="^Scaled to 2 workers, but 3 are running: see 'kubectl get pods'.$"):
        application.scale(2)
    assert kubectl.commands[2:4] == change
    assert (len(kubectl.commands), clock[0]) == (4 + 242, pytest.approx(220.5)), "twice a second, for 120 s"


def test_a_broken_port_forward_is_started_again_and_stopped_at_the_end(kubectl, monkeypatch, clock):
    """The detour is the median response time of webui's page through it."""
    times = [9, 9, 0.1, 0.2, 9, 9, 0.3, 0.4, 0.5]

    def get(url, timeout):
        assert (url, timeout) == ("http://127.0.0.1:4712/index.html", 10)
        if not times:
            raise OSError("gone")
        clock[0] += times.pop()

    monkeypatch.setattr(measuring, "http_get", get)
    forward = f"{GROUP1} port-forward --address=127.0.0.1 service/"
    with kubernetes("group1") as application:
        assert [application.address("rng") for _ in range(2)] == ["http://127.0.0.1:4711/"] * 2
        assert application.url == "http://127.0.0.1:4712/"
        assert kubectl.commands[2:] == [f"{forward}rng :80", f"{forward}webui :80"]
        assert application.detour() == pytest.approx(0.5)
        for call, said in ((application.detour, "The web UI does not answer through 'kubectl port-forward': gone"),
                           (lambda: application.address("hasher"),
                            "hasher cannot be reached through 'kubectl port-forward': no such service")):
            with pytest.raises(LessonError, match=f"^{said}$"):
                call()
        kubectl.forwards[0].kill()
        eventually(lambda: kubectl.commands[-1] == f"{forward}rng 4711:80", 20)
    eventually(lambda: all(process.poll() is not None for process in kubectl.forwards), 20)
    assert len(kubectl.forwards) == 4
