"""What scripts/lesson makes of an application's containers. (For real: test_compose.py and test_kubernetes.py.)"""

import contextlib
import json
import subprocess
import time

import pytest

import lesson
from harness import eventually
from lesson_parts import platforms
from lesson_parts.measuring import get
from lesson_parts.model import Delays, LessonError, Rngs

KUBECTL = "kubectl --context=a-context --namespace=group1"


@pytest.fixture
def answers(monkeypatch):
    """{command: its output}; any other command fails."""
    found = {"kubectl config current-context": "a-context\n",
             f"{KUBECTL} get deployment worker --output=json": '{"spec": {"replicas": 2}}'}
    monkeypatch.setattr(platforms.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(
        command, " ".join(command) not in found, found.get(" ".join(command), ""), "Warning: so\nError: not found\n"))
    monkeypatch.setattr(platforms.shutil, "which", lambda name: True)
    return found


def test_pods_that_end_are_not_asked_but_may_still_be_mining(answers, clock):
    """The original's worker keeps mining for 30 s after TERM."""
    kubernetes = platforms.Kubernetes(lesson.parse(["-n", "group1"]))
    for service in ("rng", "hasher", "worker"):
        answers[f"{KUBECTL} get pods --selector=app={service} --output=json"] = json.dumps({"items": [
            {"metadata": {"name": f"{service}-{number}", **metadata}, "status": {"phase": phase}, "spec": {
                "containers": [{"env": [{"name": "CONCURRENCY", "value": "2"}, {"name": "DELAY_MS", "value": delay}]}]}}
            for number, (phase, delay, metadata) in enumerate([
                ("Running", "200", {}), ("Pending", "200", {}), ("Running", "300", {"deletionTimestamp": "2026-11-21"}),
                ("Failed", "300", {}), ("Succeeded", "300", {})])]})
    assert (kubernetes.rngs(), kubernetes.containers("rng")) == (Rngs(2, 2), ["rng-0"])
    assert (kubernetes.workers(), kubernetes.delays()) == (2, Delays(0.2, 0.2, 0.2))
    answers |= {f"{KUBECTL} scale deployment worker --replicas=2": "",
                f"{KUBECTL} rollout status deployment worker --timeout=120s": ""}
    with pytest.raises(LessonError, match="^There are not 2 workers: see 'kubectl get pods'.$"):
        kubernetes.scale(2)
    assert clock[0] == pytest.approx(220, abs=1), "after 120 s"


def test_where_nothing_runs_it_says_where_it_looked(answers):
    del answers[f"{KUBECTL} get deployment worker --output=json"]
    with pytest.raises(LessonError, match=f"^'{KUBECTL} get deployment worker .*' failed: Error: not found$"):
        platforms.Kubernetes(lesson.parse(["-n", "group1"])).workers()
    answers |= {"docker compose version": "", "docker compose ps -q webui": ""}
    with pytest.raises(LessonError, match=r"The application does not run in .*\(if it runs on Kubernetes, add -n "):
        platforms.Compose(lesson.parse([]))


def test_a_port_forward_that_ends_is_started_again_and_none_is_left(tmp_path, monkeypatch):
    (tmp_path / "kubectl").write_text("""#!/bin/sh
case "$*" in
  *current-context) echo a-context ;;
  *"port-forward --address=127.0.0.1 service/rng "*)
    for port; do :; done
    exec timeout --foreground 2 python3 -m http.server --bind 127.0.0.1 --directory "${0%/*}" "${port%:80}" ;;
  *) echo '{"spec": {"replicas": 2}}' ;;
esac
""")
    (tmp_path / "kubectl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def responds():
        with contextlib.suppress(LessonError):
            return bool(get(url, 2))

    with platforms.Kubernetes(lesson.parse(["-n", "group1"])) as application:
        url = application.address("rng")
        assert responds()
        eventually(lambda: not responds(), 20, what="an end")
        eventually(responds, 20, what="another forward")
    time.sleep(0.5)
    assert not responds()
