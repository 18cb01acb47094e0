"""What scripts/lesson asks of Kubernetes, and what it makes of the answers. (Of Compose: tests/e2e/test_compose.py.)"""

import pytest

import lesson
from fake_cluster import Cluster
from harness import eventually
from lesson import LessonError


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
    with pytest.raises(LessonError, match=r"cannot be run: No such file \(asked .* in Kubernetes, namespace default;"):
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
