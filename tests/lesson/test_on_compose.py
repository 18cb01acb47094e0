"""What scripts/lesson makes of Docker's answers. (On a real engine: tests/e2e/test_compose.py.)"""

import json
import subprocess
import types

import lesson
from lesson_parts import platforms
from lesson_parts.model import Delays, Rngs


def container(service, *variables, running=True, oneoff="False", aliases=()):
    labels = {"com.docker.compose.project": "p", "com.docker.compose.version": "1.29.2",
              "com.docker.compose.oneoff": oneoff}
    networks = {"other": {"Aliases": None}, "p_default": {"Aliases": [service, *aliases]}}
    return {"Id": f"id-{service}", "State": {"Running": running}, "Config": {"Labels": labels, "Env": list(variables)},
            "NetworkSettings": {"Networks": networks}}


def test_every_container_behind_the_name_rng_counts_whatever_its_service_is_called(monkeypatch):
    """And every one of them may have been started by a file that the lesson does not know."""
    webui = container("webui")
    project = [webui, container("rng", "DELAY_MS=200", "CONCURRENCY=2"), container("worker", "DELAY_MS="),
               container("rng2", "DELAY_MS=200", "CONCURRENCY=2", aliases=["rng"]), container("rng", running=False),
               container("rng", oneoff="True"), container("hasher", "PATH=/", "DELAY_MS=50")]
    answers = {"docker compose version --short": "2.26.1", "docker-compose version --short": "1.29.2",
               "docker compose ps -q webui": "w\n", "docker inspect w": json.dumps([webui]),
               "docker ps -q --filter label=com.docker.compose.project=p": "w\nx\ny\n",
               "docker inspect w x y": json.dumps(project), "docker-compose port rng 80": "0.0.0.0:8001\n",
               "docker exec id-rng2 /rng --metrics": "what rng2 has measured"}
    monkeypatch.setattr(platforms, "subprocess", types.SimpleNamespace(
        run=lambda command, **_: subprocess.CompletedProcess(command, 0, answers[" ".join(command)], "")))
    monkeypatch.setattr(platforms.shutil, "which", lambda name: True)
    application = platforms.Compose(lesson.parse([]))
    assert (application.rngs(), application.workers()) == (Rngs(2, 2), 1)
    assert application.delays() == Delays(worker=0.1, rng=0.2, hasher=0.05)
    assert application.containers("rng") == ["id-rng", "id-rng2"]
    assert application.metrics("rng", "id-rng2") == "what rng2 has measured"
    assert application.address("rng") == "http://localhost:8001/", "by the Compose that started it"
