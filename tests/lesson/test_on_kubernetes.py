"""scripts/lesson on Kubernetes: against the real programs, with a fake kubectl in between."""

import contextlib
import json
import os
import re
import signal
import subprocess
import threading

import pytest

import lesson
from fake_kubectl import FakeCluster
from harness import Redis, Service, eventually, run

MEASURED = (0, 1)  # exit status; whether the lesson holds when the machine is busy is not what most of these ask
SCRIPT = os.path.join(os.path.dirname(lesson.__file__), "lesson")


@pytest.fixture
def application(tmp_path):
    """application(...): a FakeCluster with one pod of everything, in the namespace class1."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis())
        urls = {"REDIS_URL": redis.url}

        def start(service):
            settings = {"DELAY_MS": None if service == "webui" else delays[service]}
            if service in ("worker", "webui"):
                settings.update(urls)
            pod = stack.enter_context(Service(service, admin=True, **settings))
            pod.metrics = lambda: run(service, "--metrics", ADMIN_PORT=pod.admin_port).stdout
            if service == "worker":
                pod.wait_for_line(r"^INFO:worker:", 10)
            return pod

        def make(**options):
            delays.update({name: env["DELAY_MS"] for name, env in options.get("env", {}).items()})
            cluster = stack.enter_context(FakeCluster(tmp_path, "class1", start, **options))
            for service in ("rng", "hasher"):
                cluster.scale(service, 1)
                urls[f"{service.upper()}_URL"] = f"http://127.0.0.1:{cluster.pods(service)[0].port}"
            for service in ("webui", "worker"):
                cluster.scale(service, 1)
            return cluster

        delays = {"rng": "100", "hasher": "100", "worker": "100"}
        yield make


def start_lesson(cluster, *options):
    return subprocess.Popen([SCRIPT, *options], env=cluster.environment, text=True, stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def take(cluster, *options):
    """(exit status, the JSON, what was shown)"""
    with start_lesson(cluster, "--json", *options) as process:
        out, shown = process.communicate(timeout=120)
    return process.returncode, json.loads(out) if out else None, shown


def forwards(cluster):
    """The processes of this cluster's port-forwards."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit():
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
                with open(f"/proc/{entry}/environ", "rb") as file:
                    ours = f"FAKE_CLUSTER={cluster.socket}".encode() in file.read().split(b"\0")
                if ours and b"port-forward" in words:
                    found.append(int(entry))
    return found


def test_the_lesson_holds_and_leaves_nothing_behind(application):
    cluster = application()
    cluster.scale("worker", 2)
    status, result, shown = take(cluster, "-n", "class1", "--workers", "1,10", "--seconds", "8")
    assert (status, result["holds"]) == (0, True), shown
    assert "The lesson holds: 1 and 10 workers give" in result["verdict"]
    assert "Kubernetes, context a-context, namespace class1\n" in shown
    assert "1 worker: measuring" in shown and shown.count(" ok\n") == 2
    assert [words[-1] for words in cluster.asked("scale")] == ["--replicas=1", "--replicas=10", "--replicas=2"]
    assert cluster.replicas("worker") == 2
    assert len(cluster.asked("rollout")) == 3
    assert sorted(words[-2] for words in cluster.asked("port-forward")) == [
        "service/hasher", "service/rng", "service/webui"], "one each"
    assert not forwards(cluster)


def test_explain_asks_every_pod(application):
    cluster = application()
    cluster.scale("worker", 6)
    eventually(lambda: all(" units of work done" in pod.log for pod in cluster.pods("worker")))
    with start_lesson(cluster, "explain", "-n", "class1", "--seconds", "5") as process:
        out, shown = process.communicate(timeout=60)
    assert process.returncode == 0, shown
    assert out.startswith("Where the time of one hash goes, with 6 workers and 1 rng:\n")
    assert "rng is the limit" in out.splitlines()[-1]
    assert len(cluster.asked("exec")) == 2 * (6 + 1), "before and after"
    assert not forwards(cluster)


def test_the_namespace_may_be_the_contexts_own(application):
    cluster = application()
    status, result, shown = take(cluster, "-n", "--workers", "1", "--seconds", "5")
    assert status in MEASURED, shown
    assert "namespace class1\n" in shown


def test_in_a_pod_there_is_no_context(application):
    cluster = application()
    cluster.context = ""
    status, _, shown = take(cluster, "-n", "class1", "--workers", "1", "--seconds", "5")
    assert status in MEASURED, shown


def test_a_pod_that_lingers_is_waited_for(application):
    """The original's worker mines on for 30 s after it was told to end."""
    linger = threading.Event()
    cluster = application(linger=linger)
    cluster.scale("worker", 3)
    with start_lesson(cluster, "-n", "class1", "--workers", "1", "--seconds", "5") as process:
        looked = ["get", "pods", "--selector=app=worker", "--output=json"]
        eventually(lambda: cluster.commands.count(looked) >= 3, 10, what="a second look, and a third")
        assert not any("--selector=app=rng" in words for words in cluster.commands), "it goes on meanwhile"
        linger.set()
        out, shown = process.communicate(timeout=60)
    assert process.returncode in MEASURED, out + shown


def test_the_prediction_follows_the_pods_delays(application):
    cluster = application(env={"worker": {"DELAY_MS": "300"}, "hasher": {"DELAY_MS": "50"}})
    status, result, shown = take(cluster, "-n", "class1", "--workers", "2", "--seconds", "5")
    assert status in MEASURED, shown
    assert result["delay_ms"] == {"worker": 300, "rng": 100, "hasher": 50}
    assert round(result["steps"][0]["speed"]["predicted"], 2) == 4.44


def test_a_cluster_that_is_far_away_does_not_spoil_the_times(application):
    status, result, shown = take(application(latency=0.1), "-n", "class1", "--workers", "1", "--seconds", "6")
    assert status in MEASURED, shown
    assert result["steps"][0]["hasher_ms"]["measured"] < 20


def test_a_port_forward_that_breaks_is_started_again(application):
    cluster = application()
    with start_lesson(cluster, "--json", "-n", "class1", "--workers", "1", "--seconds", "8") as process:
        [hasher] = cluster.pods("hasher")
        eventually(lambda: "GET / " in "".join(hasher.access_lines()), 20, what="the first time at hasher")
        for pid in forwards(cluster):
            os.kill(pid, signal.SIGKILL)
        out, shown = process.communicate(timeout=60)
    assert process.returncode in MEASURED, out + shown
    assert len(cluster.asked("port-forward")) == 6
    assert not forwards(cluster)


def test_two_rng_are_named_as_the_reason(application):
    cluster = application()
    cluster.scale("rng", 2)
    sentence = lesson.verdict([lesson.Step(10, lesson.Delays(), 18.0, 0.2, 0.0)], 2)[1]
    assert "2 rng share the work" in sentence
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cluster.environment.items():
            patch.setenv(name, value)
        with lesson.Kubernetes(lesson.parse(["-n", "class1"])) as platform:
            assert platform.servers() == 2
            assert 0 < platform.detour() < 0.5


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_puts_the_workers_back_and_ends_its_port_forwards(application, sig):
    cluster = application()
    with start_lesson(cluster, "-n", "class1", "--workers", "3") as process:
        eventually(lambda: len(forwards(cluster)) == 3, 20, what="three port-forwards")
        process.send_signal(sig)
        _, shown = process.communicate(timeout=20)
    assert process.returncode == 130 and shown.endswith("lesson: interrupted\n")
    assert cluster.replicas("worker") == 1
    assert not forwards(cluster)


@pytest.mark.parametrize("options, said", [
    (["-n", "class2"], r'deployments.apps "worker" not found \(asked for the application in Kubernetes, context '
                       r"a-context, namespace class2; 'kubectl apply -f k8s/' starts it\)$"),
    (["-n", "class1", "--url", "http://127.0.0.1:9"], r"The web UI does not answer at http://127.0.0.1:9: "),
])
def test_no_application_is_said_clearly(application, options, said):
    cluster = application()
    status, result, shown = take(cluster, *options)
    assert (status, result) == (2, None)
    assert shown.startswith("lesson: ") and re.search(said, shown.rstrip()), shown
    assert not cluster.asked("scale")


def test_a_service_that_is_not_there_is_said_clearly(application):
    cluster = application()
    cluster.scale("webui", 0)
    status, _, shown = take(cluster, "-n", "class1")
    assert status == 2
    assert "webui cannot be reached through 'kubectl port-forward': Error from server (NotFound)" in shown


def test_without_kubectl_it_says_so(tmp_path):
    (tmp_path / "python3").symlink_to("/usr/bin/python3")
    (tmp_path / "env").symlink_to("/usr/bin/env")
    shown = subprocess.run([SCRIPT, "-n", "x"], env={"PATH": str(tmp_path)}, capture_output=True, text=True,
                           check=False)
    assert (shown.returncode, shown.stderr) == (2, "lesson: kubectl is not installed.\n")
