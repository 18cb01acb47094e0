"""What scripts/lesson asks of Compose and of Kubernetes, and what it makes of the answers."""

import os

import pytest

import lesson
from fake_platforms import Cluster, Docker
from harness import eventually
from lesson import LessonError


def running(**env):
    return {service: [env.get(service, ["PATH=/"])] for service in ("webui", "rng", "hasher", "worker")}


def compose(*words):
    return lesson.Compose(lesson.parse(words))


# ------------------------------------------------------------------------------------------ Compose


@pytest.mark.parametrize("started_by, versions, command", [
    ("2.26.1", {}, "docker compose"), ("1.29.2", {}, "docker-compose"), ("3.1", {}, "docker compose"),
    ("2.1", {"docker compose": None}, "docker-compose"), ("1.29.2", {"docker-compose": None}, "docker compose"),
    ("v5", {"docker-compose": "v5.0"}, "docker compose")])
def test_the_compose_that_started_the_project_is_asked(monkeypatch, started_by, versions, command):
    docker = Docker(monkeypatch, running(), started_by, **versions)
    assert compose().workers() == 1
    assert docker.commands[-2:] == [f"{command} ps -q worker", "docker inspect worker-0 worker-ended worker-once"]


@pytest.mark.parametrize("name", ["docker-compose.yml", "docker-compose.yaml", "compose.yaml", "compose.yml", None])
def test_the_project_is_that_of_this_folder_or_of_the_checkout(monkeypatch, tmp_path, name):
    docker = Docker(monkeypatch, running())
    monkeypatch.chdir(tmp_path)
    compose()
    monkeypatch.setenv("COMPOSE_FILE", "" if name else "other.yml")
    (tmp_path / (name or "nothing")).touch()
    compose()
    assert docker.folders == {None, lesson.REPOSITORY, str(tmp_path)}


def test_what_runs_on_compose(monkeypatch):
    docker = Docker(monkeypatch, running(worker=["DELAY_MS=400", "X=a=b"], hasher=None))
    application = compose()
    assert (application.url, application.servers(), application.detour()) == ("http://localhost:8000", 1, 0.0)
    assert application.delays() == lesson.Delays(worker=0.4, rng=0.1, hasher=0.1)
    assert application.containers("rng") == ["rng-0"]
    assert application.metrics("rng", "rng-0") == "what rng-0 says of /rng --metrics"
    application.scale(3)
    assert "docker compose up -d --no-deps --no-build --no-recreate --scale worker=3 worker" in docker.commands
    assert application.workers() == 3
    assert application.address("rng") == "http://localhost:8001/"
    assert compose("--url", "http://there:80").address("hasher") == "http://there:8002/"
    assert compose("--url", "http://[::1]:80").address("hasher") == "http://[::1]:8002/"


def test_workers_that_do_not_come_are_waited_for_half_a_minute(monkeypatch, clock):
    Docker(monkeypatch, running())
    with pytest.raises(LessonError, match="^60 workers were asked for, 50 run: see the logs of worker.$"):
        compose().scale(60)
    assert clock[0] == pytest.approx(130, abs=0.5)


@pytest.mark.parametrize("published", ["\n", "", ":0\n", "0.0.0.0:x"])
def test_a_service_that_is_not_published_is_said_clearly(monkeypatch, published):
    Docker(monkeypatch, running()).published["rng"] = published
    with pytest.raises(LessonError, match="^rng is not published on a port, so its time cannot be measured.$"):
        compose().address("rng")


def test_no_compose_or_no_application_is_said_clearly(monkeypatch):
    Docker(monkeypatch, {"webui": []})
    with pytest.raises(LessonError) as error:
        compose()
    assert str(error.value) == (f"The application does not run in {os.getcwd()}: start it with 'docker compose up -d' "
                                "first.")
    Docker(monkeypatch, {}, **{"docker compose": None, "docker-compose": None})
    with pytest.raises(LessonError, match="^Neither 'docker compose' nor 'docker-compose' is installed.$"):
        compose()


@pytest.mark.parametrize("command, said", [
    (["sh", "-c", "echo one >&2; echo two >&2; exit 3"], "'sh -c echo one >&2; echo two >&2; exit 3' failed: two"),
    (["sh", "-c", "echo out; exit 3"], "'sh -c echo out; exit 3' failed: out"),
    (["sh", "-c", "exit 3"], "'sh -c exit 3' failed: 3"),
    (["/no/where"], "'/no/where' cannot be run: No such file or directory")])
def test_a_command_that_fails_is_quoted_with_its_last_words(command, said):
    with pytest.raises(LessonError) as error:
        lesson.run_command(*command)
    assert str(error.value) == said
    assert lesson.run_command("pwd", folder="/usr") == "/usr\n"


# ------------------------------------------------------------------------------------------ Kubernetes


def kubernetes(*words):
    return lesson.Kubernetes(lesson.parse(["-n", *words]))


@pytest.mark.parametrize("words, context, where", [
    (["class1"], "a-context", "Kubernetes, context a-context, namespace class1"),
    ([], "a-context", "Kubernetes, context a-context, namespace class1"),
    (["class1"], "", "Kubernetes, namespace class1")])
def test_the_context_and_the_namespace_are_asked_for_once(monkeypatch, words, context, where):
    cluster = Cluster(monkeypatch)
    cluster.context = context
    assert kubernetes(*words).where == where


def test_no_application_on_the_cluster_is_said_clearly(monkeypatch):
    cluster = Cluster(monkeypatch)
    with pytest.raises(LessonError) as error:
        kubernetes("class2")
    assert str(error.value) == (
        "'kubectl --context=a-context --namespace=class2 get deployment worker --output=json' failed: Error from server "
        '(NotFound): deployments.apps "worker" not found (asked for the application in Kubernetes, context a-context, '
        "namespace class2; 'kubectl apply -f k8s/' starts it)")
    cluster.answer = lambda *words: (1, "") if "config" in words else OSError(2, "No such file")
    with pytest.raises(LessonError, match=r"cannot be run: No such file \(asked for .* in Kubernetes, namespace default;"):
        kubernetes()
    monkeypatch.setattr(lesson.shutil, "which", lambda _: None)
    with pytest.raises(LessonError, match="^kubectl is not installed.$"):
        kubernetes()


def test_what_runs_on_kubernetes(monkeypatch):
    cluster = Cluster(monkeypatch)
    cluster.pods["rng"] += [cluster.pod("rng-1", DELAY_MS="100"), cluster.pod("rng-2", phase="Pending"),
                            cluster.pod("rng-3", ending=True, DELAY_MS="7"), cluster.pod("rng-4", phase="Failed"),
                            cluster.pod("rng-5", phase="Succeeded")]
    cluster.pods["worker"] = [cluster.pod("worker-0", DELAY_MS="300")]
    cluster.pods["worker"][0]["spec"]["containers"][0]["env"].append({"name": "SECRET", "valueFrom": {}})
    application = kubernetes("class1")
    assert (application.workers(), application.servers()) == (1, 3)
    assert application.containers("rng") == ["rng-0", "rng-1"]
    assert application.metrics("rng", "rng-1") == "what rng-1 has measured"
    assert application.delays() == lesson.Delays(worker=0.3, rng=0.1, hasher=0.1)
    assert kubernetes("class1", "--url", "http://x").url == "http://x"


def test_a_pod_that_lingers_is_waited_for(monkeypatch, clock):
    """The original's worker mines on for 30 s after it was told to end."""
    cluster = Cluster(monkeypatch)
    old = cluster.pod("worker-old", ending=True)
    cluster.on_scale = lambda number: cluster.pods["worker"].append(old)
    application = kubernetes("class1")
    with pytest.raises(LessonError, match="^3 workers were asked for, 4 run: see 'kubectl get pods'.$"):
        application.scale(3)
    assert clock[0] == pytest.approx(220, abs=1)
    assert len([words for words in cluster.commands if "get pods" in words]) == 242, "twice a second"
    monkeypatch.setattr(lesson.time, "sleep", lambda _: cluster.pods["worker"].remove(old))
    application.scale(2)


def test_a_port_forward_is_started_once_again_when_it_breaks_and_ends_in_the_end(monkeypatch):
    cluster = Cluster(monkeypatch, rng=4711, webui=4712)
    with kubernetes("class1") as application:
        assert [application.address("rng") for _ in range(2)] == ["http://127.0.0.1:4711/"] * 2
        assert application.url == "http://127.0.0.1:4712/"
        assert cluster.commands[-2:] == ["port-forward service/rng :80", "port-forward service/webui :80"]
        cluster.forwards[0].kill()
        eventually(lambda: cluster.commands[-1] == "port-forward service/rng 4711:80", 20)
        with pytest.raises(LessonError, match="^hasher cannot be reached through 'kubectl port-forward': Error from "
                                              r"server \(NotFound\): no such service$"):
            application.address("hasher")
    eventually(lambda: all(forward.poll() is not None for forward in cluster.forwards), 20)
    assert len(cluster.forwards) == 4


def test_the_detour_is_the_median_time_of_webuis_page(monkeypatch, clock):
    Cluster(monkeypatch, webui=4712)
    times = iter([9, 9, 0.1, 0.2, 9, 9, 0.3, 0.4, 0.5])
    asked = []

    def get(url, timeout):
        asked.append((url, timeout))
        clock[0] += next(times)

    monkeypatch.setattr(lesson, "http_get", get)
    with kubernetes("class1") as application:
        assert application.detour() == pytest.approx(0.5)
        assert asked == [("http://127.0.0.1:4712/index.html", 10)] * 9
        monkeypatch.setattr(lesson, "http_get", lambda *_, **__: exec("raise OSError('gone')"))
        with pytest.raises(LessonError, match="^The web UI does not answer through 'kubectl port-forward': gone$"):
            application.detour()
