"""As most people use DockerCoins: docker-compose up, then the scaling lesson. The tests use one run, in this order.

DOCKERCOINS_FIGURE_SECONDS is how long scripts/lesson measures each number of workers. The default is 8, with 1 and 10
workers and a few percent of tolerance. From 120 on, the promised 2 % are asserted.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import time

import pytest

from compose import (PREFIX, SERVICES, Compose, ask_prometheus, await_mining, await_targets, get, hashes, read, run,
                     running, start_registry)
from harness import eventually, free_port
from lesson_parts.platforms import is_listening

SECONDS = float(os.environ.get("DOCKERCOINS_FIGURE_SECONDS") or 8)
ROOM = 0.02 if SECONDS >= 120 else 0.05


def scale(compose, workers, *files):
    compose(*files, "up", "-d", "--scale", f"worker={workers}")
    eventually(lambda: len(compose.containers("worker")) == workers, 20, what=f"{workers} workers")
    await_mining()


def check_lesson(compose, counts, seconds, figure, room=ROOM):
    """The output of scripts/lesson, which says that all is as predicted."""
    for _ in range(3):  # another program on this machine may disturb one run, not all
        shown = compose.lesson("--workers", counts, "--seconds", f"{seconds:g}")
        if shown.returncode != 1:
            break
    assert shown.returncode == 0, shown.stdout + shown.stderr
    rows = re.findall(r"^ +(\d+) +([\d.]+) +([\d.]+) +\d+ +(\d+) +0 +([\d.]+)  ok$", shown.stdout, re.MULTILINE)
    assert [workers for workers, *_ in rows] == counts.split(",")
    for workers, predicted, speed, rng, hasher in rows:
        figure(f"lesson, {workers} workers", f"{speed} hashes/s, rng {rng} ms, hasher {hasher} ms")
        assert abs(float(speed) / float(predicted) - 1) < room
    return shown.stdout


@pytest.fixture(scope="module")
def project(compose_1, built):
    """The images are built and nothing runs; at the end nothing runs either."""
    compose_1.down("--volumes", "--remove-orphans")
    # Another DockerCoins on this machine gets time to end.
    eventually(lambda: not any(is_listening(port) for port in (8000, 8001, 8002)), 120, 0.5, "free ports")
    yield compose_1
    compose_1.down("--volumes", "--remove-orphans")


def test_up_shows_all_logs_until_ctrl_c(project, docker, tmp_path):
    log = tmp_path / "log"
    with running([*project.command, "up"], log, cwd=project.folder, env=project.environment) as process:
        for pattern in (r"worker.1.*INFO:worker:4 units of work done, updating hash counter",
                        r'rng.1.*"GET /32 HTTP/1.1" 200 32', r'hasher.1.*"POST / HTTP/1.1" 200 64',
                        r"webui.1.*WEBUI running on port 80", r"redis.1.*eady to accept connections"):
            eventually(lambda: re.search(pattern, log.read_text("utf-8")), 30, what=f"a line with {pattern}")
        process.send_signal(signal.SIGINT)
        process.wait(15)
    ended = [each for service in SERVICES for each in project.containers(service)]
    states = docker("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", *ended)
    assert states.splitlines() == ["exited 0"] * 4


def test_the_first_hash_is_counted_soon_and_ps_and_logs_are_as_in_the_course(project, figure):
    project.down()
    begun = time.monotonic()
    project("up", "-d")
    eventually(lambda: hashes() > 0, 20, 0.02, what="the first hash")
    figure("up -d to the first hash, s", f"{time.monotonic() - begun:.1f}")  # 3 on an idle machine, most of it Compose
    log = project("logs", "--no-color", "worker").stdout
    assert "INFO:worker:" in log and not re.search("ERROR|WARNING|Traceback", log), log
    shown = re.findall(r"(\d+)->(\d+)/tcp", project("ps").stdout)  # with IPv6, each of them twice
    assert set(shown) == {("8000", "80"), ("8001", "80"), ("8002", "80")}


def test_an_edited_page_shows_on_reload(project):
    page = pathlib.Path(project.folder, "webui/files/index.html")
    before = page.read_text("utf-8")
    for text in before.replace("steelblue", "tomato"), before:
        page.write_text(text, "utf-8")
        assert get("http://localhost:8000/") == (200, text)


def test_ten_workers_find_the_bottleneck(project, docker, figure):
    def cpu_seconds():
        """Of the processes of workers, rng and hasher."""
        pids = docker("inspect", "--format", "{{.State.Pid}}", *(
            each for name in ("worker", "rng", "hasher") for each in project.containers(name))).split()
        stats = [read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in pids]
        return sum(int(fields[11]) + int(fields[12]) for fields in stats) / os.sysconf("SC_CLK_TCK")

    scale(project, 10)
    time.sleep(4)  # the queue fills
    cpu, counted = cpu_seconds(), hashes()
    at_rng, at_hasher = (float(re.search(r"min/avg/max = [\d.]+/([\d.]+)/[\d.]+ ms", run(
        "httping", "-c", "3", f"localhost:{port}").stdout).group(1)) for port in (8001, 8002))
    figure("httping of rng and hasher with 10 workers, ms", f"{at_rng:.0f}, {at_hasher:.1f}")
    assert 620 < at_rng < 900 and at_hasher < 25
    shown = docker("stats", "--no-stream", "--format", "{{.Name}} {{.MemUsage}}")
    memory = {service: max(float(size) * {"B": 2**-20, "KiB": 2**-10, "MiB": 1.0}[unit] for size, unit in
                           re.findall(rf"[_-]{service}[_-]\d+ ([\d.]+)(\w+) /", shown)) for service in SERVICES}
    figure("memory of a container, MiB", ", ".join(f"{name} {size:.1f}" for name, size in memory.items()))
    assert memory["worker"] <= 1.2 and memory["rng"] <= 2 and memory["hasher"] <= 5 and memory["webui"] <= 5
    shown = project.lesson("explain", "--seconds", "5")
    assert re.match(r"Time per hash, with 10 workers and 1 rng:\n(.|\n)*: it is the bottleneck\.\nOne more .* one more "
                    r"rng 1[789]\.\d, and 1 rng with CONCURRENCY=2 (19|20)\.\d\.$", shown.stdout), shown
    cpu = (cpu_seconds() - cpu) / (hashes() - counted)
    figure("CPU per hash at 10 workers, ms", f"{cpu * 1000:.2f}")
    assert cpu < 0.008  # 2 to 3 ms on two slow CPUs


def test_scripts_lesson_says_that_it_holds(project, figure):
    if project.command[-1] != "compose":
        project("scale", "worker=3")  # the old command, which docker-compose 1.29 still has
    scale(project, 2)
    assert "\nThe lesson holds: " in check_lesson(project, "1,2,3,10" if SECONDS > 8 else "1,10", SECONDS, figure)
    assert len(project.containers("worker")) == 2


def test_a_stop_is_quick_and_keeps_the_coins_and_down_leaves_nothing(project, docker, figure):
    before = hashes()
    scale(project, 10)
    begun = time.monotonic()
    project("stop")
    figure("stop with 10 workers, s", f"{time.monotonic() - begun:.1f}")
    assert time.monotonic() - begun < 12  # 2 s on an idle machine, most of it Compose; an original takes 10 s more
    stopped = [each for service in (*SERVICES, "redis") for each in project.containers(service)]
    assert docker("inspect", "--format", "{{.State.ExitCode}}", *stopped).split() == ["0"] * 14
    project("start")
    assert eventually(hashes, 20, what="a counter") >= before
    project.down()
    mine = ("--filter", f"label=com.docker.compose.project={project.project}", "--quiet")
    assert docker("ps", "--all", *mine) + docker("network", "ls", *mine) + docker("volume", "ls", *mine) == ""
    shown = project.lesson()
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (2, "", 1)
    assert f"The application does not run in {project.folder}: " in shown.stderr


def test_prometheus_shows_that_rng_is_saturated_and_two_rng_behind_one_name_raise_the_limit(project, figure):
    def values(query):
        return [float(series["value"][1]) for series in ask_prometheus(f"query?query={query}").get("result", [])]

    with_metrics = ("-f", "docker-compose.yml", "-f", "docker-compose.metrics.yml")
    scale(project, 3)
    project(*with_metrics, "up", "-d", "prometheus")
    await_targets(3)
    scale(project, 10)
    await_targets(10)
    eventually(lambda: len(values('ALERTS{alertname="RngIsSaturated",alertstate="firing"}')) == 1, 90, 0.5, "the alert")
    assert len(values('ALERTS{alertstate="firing"}')) == 1
    eventually(lambda: max(values("instance:rng_utilisation:ratio30s"), default=0) > 0.95, 60, 0.5, "a busy rng")
    [speed] = values("dockercoins:loops:rate30s")
    assert len(values("step:dockercoins_step_duration_seconds:mean30s")) == 4
    figure("ten workers, hashes/s by Prometheus", f"{speed:.2f}")
    scale(project, 10, *with_metrics, "-f", "lessons/docker-compose.two-rng.yml")
    # A request chooses an rng at random: over 20 s the speed has a standard deviation of 2.7 %.
    shown = check_lesson(project, "10", max(SECONDS, 20), figure, room=0.1)
    assert re.search(r"^ +10 +18\.[456]\d (.|\n)*As predicted with 2 rng: ", shown, re.MULTILINE)
    assert "Time per hash, with 10 workers and 2 rng:" in project.lesson("explain", "--seconds", "5").stdout
    project(*with_metrics, "down", "--remove-orphans")
    assert not is_listening(9090)


@pytest.fixture(params=["compose_1", "compose_2"])
def each_compose(request, project):
    """One Compose and then the other, with nothing running. Its environment may be changed."""
    theirs = request.getfixturevalue(request.param)
    theirs.down("--volumes", "--remove-orphans")
    compose = Compose(theirs.command, theirs.folder, dict(theirs.environment))
    yield compose
    compose.down()


@pytest.mark.parametrize("each_compose", ["compose_2"], indirect=True)
def test_the_lesson_on_compose_2_with_a_slower_worker(each_compose, figure, tmp_path):
    (tmp_path / "slow.yml").write_text("services: {worker: {environment: {DELAY_MS: 400}}}\n")
    each_compose.environment["COMPOSE_FILE"] = f"docker-compose.yml:{tmp_path}/slow.yml"
    said = each_compose("up", "-d").stdout
    assert "Pull" not in said and "Build" not in said, "all images are there, as in a room without internet"
    scale(each_compose, 2)
    assert "worker, rng and hasher: 400, 100 and 100 ms\n" in check_lesson(each_compose, "3", SECONDS, figure)
    assert not re.search("ERROR|WARNING", each_compose("logs", "--no-color", "worker").stdout)


def test_the_published_ports_can_be_set(each_compose):
    ports = {name: free_port() for name in ("webui", "rng", "hasher")}
    each_compose.environment.update({f"PUBLISH_{name.upper()}": str(port) for name, port in ports.items()})
    each_compose("up", "-d")
    for name, port in ports.items():
        eventually(lambda url=f"http://localhost:{port}/": get(url)[0] == 200, 20, what=name)
    assert not any(is_listening(port) for port in (8000, 8001, 8002))
    assert each_compose.lesson("--workers", "1", "--seconds", "6").returncode != 2


def test_images_are_built_here_unless_a_registry_and_a_pull_policy_are_named(each_compose, docker, tmp_path):
    """Without them no registry is asked, where the names may be somebody else's. What is built here is a label only."""
    def origins(prefix):
        return set(docker("image", "inspect", "--format", '{{index .Config.Labels "e2e.from"}}', *(
            f"{prefix}/{name}:e2e" for name in SERVICES)).split())

    def remove():
        docker("rmi", "--force", *set(docker("images", "--quiet", "--filter", "label=e2e.from").split()))

    (tmp_path / "Dockerfile").write_text("FROM scratch\nARG FROM=here\nLABEL e2e.from=$FROM\nCMD [\"/x\"]\n")
    (tmp_path / "small.yml").write_text(json.dumps({"services": {
        name: {"build": {"context": str(tmp_path), "dockerfile": "Dockerfile"}} for name in SERVICES}}))
    with contextlib.ExitStack() as stack:
        theirs = f"{start_registry(stack, tmp_path)}/me"
        each_compose.environment.update({"TAG": "e2e", "COMPOSE_FILE": f"docker-compose.yml:{tmp_path}/small.yml"})
        stack.callback(remove)
        said = each_compose("up", "--no-start").stdout
        assert origins(PREFIX) == {"here"} and not re.search("pull|warn", said, re.IGNORECASE), said
        each_compose.down()

        for name in SERVICES:
            docker("build", "--build-arg", "FROM=there", "--tag", f"{theirs}/{name}:e2e", str(tmp_path))
            docker("push", f"{theirs}/{name}:e2e")
        remove()
        each_compose.environment.update({"REGISTRY": theirs, "PULL_POLICY": "if_not_present"})
        each_compose("pull", *SERVICES)
        each_compose("up", "--no-start")
        assert origins(theirs) == {"there"}, "they are not built"
        each_compose("up", "--no-start", "--build")
        assert origins(theirs) == {"here"}, "they are built, for those who have changed something"
