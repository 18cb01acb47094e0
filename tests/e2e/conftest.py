import os
import shutil
import time

import pytest

import docker_engine
import lesson  # noqa: F401  (makes its parts importable)
from compose import Compose, build_args, run
from waiting import REPO


@pytest.fixture(scope="session")
def engine():
    """The module docker_engine, once the engine, the base images and both Composes are available."""
    try:
        started = docker_engine.start()
    except docker_engine.Unavailable as reason:
        pytest.skip(str(reason))
    yield docker_engine
    if started:
        docker_engine.stop_engine()


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A copy of this checkout, without build output: tests may change its files."""
    folder = str(tmp_path_factory.mktemp("e2e") / "dockercoins")
    shutil.copytree(REPO, folder, symlinks=True, ignore=lambda at, names: [
        name for name in names if name in ("__pycache__", ".pytest_cache")
        or at == REPO and name in ("build", "artefacts", ".git")])
    for path in (f"{folder}/../..", f"{folder}/.."):
        os.chmod(path, 0o755)  # as around a checkout; pytest's own folders are private
    return folder


@pytest.fixture(scope="session")
def environment(engine, tmp_path_factory):
    """The environment of commands: Debian's programs first, `docker compose` is Compose 2, no user settings."""
    config = tmp_path_factory.mktemp("docker-config")
    (config / "cli-plugins").mkdir()
    (config / "cli-plugins" / "docker-compose").symlink_to(engine.COMPOSE_2)
    kept = {name: value for name, value in os.environ.items() if name in ("HOME", "LANG", "DOCKER_HOST")}
    return {**kept, "PATH": docker_engine.PATH, "DOCKER_CONFIG": str(config)}


@pytest.fixture(scope="session")
def compose_2(checkout, environment):
    """docker compose 2.26, whose builder is BuildKit."""
    return Compose(["docker", "compose"], checkout, dict(environment))


@pytest.fixture(scope="session")
def compose_1(engine, compose_2, environment):
    """docker-compose 1.29 with the classic builder; on Debian 13, which no longer has it, Compose 2."""
    old = Compose([engine.COMPOSE_1], compose_2.folder, {**environment, "DOCKER_BUILDKIT": "0"})
    return old if engine.COMPOSE_1 else compose_2


@pytest.fixture(scope="session")
def built(compose_1):
    """Seconds that the build took whose images all tests use."""
    begun = time.monotonic()
    compose_1("build", *build_args(), timeout=1500)
    return time.monotonic() - begun


@pytest.fixture(scope="session")
def docker(environment):
    """docker("ps"): the output of the docker command, stripped."""
    return lambda *words, **options: run("docker", *words, env=environment, **options).stdout.strip()
