"""The four images, as either builder makes them: what is in them, and that each runs by itself.

Nothing is measured here that a busy machine would spoil.
"""

import contextlib
import json
import re
import shutil
import subprocess

import pytest

from compose import PREFIX, SERVICES, answers, get, read, run
from harness import eventually, free_port


def test_the_expensive_part_of_the_four_builds_is_the_same():
    """An engine builds a layer once only if every instruction up to it is the same, to the letter."""
    parts = set()
    for service in SERVICES:
        lines = [line for line in read(f"{service}/Dockerfile").splitlines() if not line.startswith("#")]
        own = next(at for at, line in enumerate(lines) if line.startswith(f"COPY {service}"))
        parts.add("\n".join(lines[:own]))
    assert len(parts) == 1
    assert "scripts/install-deps --yes build" in parts.pop()


def test_the_compose_file_is_short_and_says_no_more_than_needed():
    text = read("docker-compose.yml")
    assert len(text.splitlines()) <= 60
    assert not re.search(r"^version:", text, re.MULTILINE)
    assert re.search(r"image: redis:\d+\.\d+\.\d+\S*$", text, re.MULTILINE), "a tag that says which release"
    assert re.findall(r'- "(\d+:\d+)"', text) == ["8001:80", "8002:80", "8000:80"]


@pytest.fixture(scope="module", params=["classic", "buildkit"])
def images(request):
    """Name of each service's image, as either builder built it."""
    request.getfixturevalue("built_1" if request.param == "classic" else "built_2")
    tag = "v0.1" if request.param == "classic" else "v0.1-buildkit"
    return {service: f"{PREFIX}/{service}:{tag}" for service in SERVICES}


def test_the_classic_builder_builds_all_four(built_1, figure):
    output, seconds = built_1
    figure("docker-compose 1.29 build, s (0 or so when nothing has changed)", f"{seconds:.0f}")
    assert output.count("Successfully tagged") == 4
    assert seconds < 480  # 4 minutes are promised for two idle CPUs


def test_buildkit_builds_all_four(built_2, figure):
    figure("docker compose 2.26 build, s", f"{built_2[1]:.0f}")
    assert built_2[1] < 480


def test_the_images_are_small(docker, images, figure):
    sizes = {service: int(docker("image", "inspect", "--format", "{{.Size}}", name)) / 1e6
             for service, name in images.items()}
    each = ", ".join(f"{name} {size:.1f}" for name, size in sizes.items())
    figure("images, MB", f"{sum(sizes.values()):.1f}: {each}")
    assert sum(sizes.values()) <= 14


def test_an_image_holds_one_program_and_says_what_it_is(docker, images):
    for service, name in images.items():
        config = json.loads(docker("image", "inspect", name))[0]["Config"]
        assert config["Entrypoint"] == [f"/{service}"] and not config["Cmd"]
        assert config["Healthcheck"] == {"Test": ["CMD", f"/{service}", "--healthcheck"],
                                         "Interval": 30_000_000_000}
        assert config.get("ExposedPorts") == (None if service == "worker" else {"80/tcp": {}})
        assert config["User"] == ("65532:65532" if service == "worker" else "")
        labels = config["Labels"]
        assert labels["org.opencontainers.image.title"] == f"DockerCoins {service}"
        assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"
        assert labels["org.opencontainers.image.source"].startswith("https://")
        version = docker("run", "--rm", name, "--version").split()[-1]
        assert labels["org.opencontainers.image.version"] == version
        container = docker("create", name)
        try:
            listed = subprocess.run(f"docker export {container} | tar -t", shell=True, capture_output=True,
                                    text=True, check=True).stdout.split()
        finally:
            docker("rm", container)
        files = {path for path in listed if not path.endswith("/")} - {".dockerenv"}
        own = {path for path in files if not path.startswith(("dev/", "etc/", "proc/", "sys/"))}
        programs = {path for path in own if not path.startswith(("files/", "usr/share/"))}
        assert programs == {service}
        assert service == "webui" or own == {service}


def test_only_what_is_built_from_is_sent_to_the_engine(docker, built_1, compose_1):
    said = run("docker", "build", "--file", "rng/Dockerfile", ".", cwd=compose_1.folder,
               env=compose_1.environment).stdout
    size, unit = re.search(r"Sending build context to Docker daemon\s+([\d.]+)(\w?B)", said.split("Step 1")[0]
                           .split("\r")[-1]).groups()
    assert unit in ("B", "kB") and float(size) < 700


@contextlib.contextmanager
def container(docker, *words):
    name = docker("run", "--detach", *words)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65532")


@pytest.mark.parametrize("options", [(), HARDENED], ids=["no option", "hardened"])
def test_each_image_runs_by_itself_and_not_as_root(docker, images, options):
    for service, name in images.items():
        port = free_port()
        published = () if service == "worker" else ("--publish", f"{port}:80")
        with container(docker, *published, *options, "--health-interval=1s", name) as started:
            if service == "worker":
                eventually(lambda: "INFO:worker:Waiting for" in docker("logs", started), 10, what="its log")
            else:
                said = f"{service.upper()} running on port 80"
                eventually(lambda: said in docker("logs", started), 10, what="its log")
                status, body = get(f"http://localhost:{port}/")
                assert status == 200
                assert service == "webui" or body == f"{service.upper()} running on {started[:12]}\n"
            process = docker("inspect", "--format", "{{.State.Pid}}", started)
            ids = dict(re.findall(r"^(Uid|Gid):\t(.*)$", read(f"/proc/{process}/status"), re.MULTILINE))
            assert set(ids["Uid"].split()) == {"65532"}
            assert options or set(ids["Gid"].split()) == {"65532"}  # --user 65532 leaves the group as it was
            docker("exec", started, f"/{service}", "--healthcheck")
            assert "dockercoins_build_info{" in docker("exec", started, f"/{service}", "--metrics")
            health = ("inspect", "--format", "{{.State.Health.Status}}", started)
            eventually(lambda: docker(*health) == "healthy", 10, what="the engine's own health check")
            docker("stop", started)
            assert docker("inspect", "--format", "{{.State.ExitCode}}", started) == "0"


def test_webuis_image_carries_the_page_and_all_that_it_names(docker, images):
    port = free_port()
    page = read("webui/files/index.html")
    with container(docker, "--publish", f"{port}:80", images["webui"]) as started:
        eventually(lambda: "WEBUI running" in docker("logs", started), 10, what="the log")
        assert get(f"http://localhost:{port}/index.html") == (200, page)
        named = re.findall(r'(?:src|href)="(?!https?:)([^"#]+)"', page)
        assert any(name.startswith("assets/dygraphs/") for name in named)
        for name in named:
            assert get(f"http://localhost:{port}/{name}")[0] == 200, name
        assert get(f"http://localhost:{port}/json")[0] == 503


def test_a_checkout_that_is_closed_to_others_gives_a_page_as_well(docker, built_1, compose_1, tmp_path):
    """As `umask 077` makes it; webui does not read its files as root."""
    closed = str(tmp_path / "closed")
    shutil.copytree(compose_1.folder, closed)
    run("chmod", "-R", "go=", f"{closed}/webui/files")
    name = f"{PREFIX}/webui:e2e-closed"
    run("docker", "build", "--file", "webui/Dockerfile", "--tag", name, ".", cwd=closed, env=compose_1.environment)
    port = free_port()
    try:
        with container(docker, "--publish", f"{port}:80", "--user", "65532", name) as started:
            eventually(lambda: "WEBUI running" in docker("logs", started), 10, what="the log")
            assert get(f"http://localhost:{port}/index.html")[0] == 200
    finally:
        docker("rmi", name)


def test_a_slower_worker_is_one_command(docker, built_1, compose_1):
    """The course's worker:v0.2."""
    name = f"{PREFIX}/worker:e2e-slow"
    run("docker", "build", "--file", "worker/Dockerfile", "--build-arg", "DELAY_MS=200", "--tag", name, ".",
        cwd=compose_1.folder, env=compose_1.environment)
    try:
        inspect = ("image", "inspect", "--format", "{{.Config.Env}}")
        assert "DELAY_MS=200" in docker(*inspect, name)
        assert "DELAY_MS=100" in docker(*inspect, f"{PREFIX}/worker:v0.1")
    finally:
        docker("rmi", name)


def test_images_go_to_a_registry_of_ones_own(docker, engine, built_1, compose_1, tmp_path):
    """REGISTRY and TAG name the images; a real registry takes them."""
    port = free_port()
    settings = tmp_path / "registry.yml"
    settings.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
                        f"http: {{addr: 127.0.0.1:{port}}}\n", encoding="utf-8")
    named = {"REGISTRY": f"localhost:{port}", "TAG": "v9"}
    with subprocess.Popen([engine.registry(), "serve", str(settings)], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as registry:
        try:
            eventually(lambda: answers(f"http://localhost:{port}/v2/"), 10, what="the registry")
            environment = {**compose_1.environment, **named}
            for step in ("build", "push"):
                run(*compose_1.command, step, cwd=compose_1.folder, env=environment)
            for service in SERVICES:
                assert json.loads(get(f"http://localhost:{port}/v2/{service}/tags/list")[1])["tags"] == ["v9"]
        finally:
            docker("rmi", *[f"localhost:{port}/{service}:v9" for service in SERVICES], check=False)
            registry.terminate()
