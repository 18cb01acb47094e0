"""docker-compose, old and new, as a user calls it."""

import contextlib
import json
import os
import re
import signal
import subprocess
import urllib.request

from docker_engine import REPO, run, start_engine, stop_engine
from harness import eventually, free_port

SERVICES = ("rng", "hasher", "worker", "webui")
PREFIX = "dockercoins-cpp"


def read(name, folder=REPO):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return file.read()


def get(url, timeout=10):
    """(status, body as text); status 0 if there is no good response."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except OSError as error:
        return 0, str(error)


def hashes():
    """The counter in the web UI; 0 while it has none."""
    found = re.search(r'"hashes":"(\d+)"', get("http://localhost:8000/json")[1])
    return int(found.group(1)) if found else 0


def await_mining():
    """Waits until the counter moves."""
    begun = hashes()
    eventually(lambda: hashes() > begun, 20, what="a hash counted")


def ask_prometheus(path):
    """What its API answers; {} while it does not."""
    status, body = get(f"http://localhost:9090/api/v1/{path}")
    return json.loads(body)["data"] if status == 200 else {}


def await_targets(workers):
    """Until Prometheus gets metrics from one rng, hasher and webui, and from that many workers."""
    expected = [(name, "up") for name in ("hasher", "rng", "webui", *["worker"] * workers)]
    eventually(lambda: expected == sorted((each["labels"]["job"], each["health"]) for each in ask_prometheus(
        "targets").get("activeTargets", [])), 60, 0.5, f"{workers} workers as targets")


@contextlib.contextmanager
def running(command, log, **options):
    """Starts a command whose output goes to that file; ends it with TERM."""
    with open(log, "wb") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True, **options)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def start_registry(stack, folder, *inside):
    """host:port of a registry, Debian's docker-registry. Started by the command `inside`, until the stack ends."""
    run("apt-get", "download", "docker-registry", cwd=folder)  # installed, it would be started
    run("sh", "-c", "dpkg-deb -x docker-registry_*.deb package", cwd=folder)
    address, log = f"localhost:{free_port()}", folder / "registry.log"
    (folder / "registry.yml").write_text(json.dumps({"version": "0.1", "http": {"addr": address}, "storage": {
        "filesystem": {"rootdirectory": str(folder / "registry")}}}))
    stack.enter_context(running(
        [*inside, folder / "package/usr/bin/docker-registry", "serve", folder / "registry.yml"], log))
    eventually(lambda: "listening on" in log.read_text(), 20, what="a registry")
    return address


def build_args(*prefix):
    """What puts the version and the commit of this checkout into the images."""
    return run("scripts/build-args", *prefix, cwd=REPO).stdout.split()


class Compose:
    """One Compose in one folder: compose("up", "-d")."""

    def __init__(self, command, folder, environment):
        self.command, self.folder, self.environment = command, folder, environment
        self.project = os.path.basename(folder)

    def __call__(self, *words, **options):
        return run(*self.command, *words, cwd=self.folder, env=self.environment, **options)

    def down(self, *words):
        """`down`, which must succeed, unless the engine has miscounted, as 20.10 sometimes does when busy.

        Then it takes an empty network for one in use, until it is restarted.
        """
        result = self("down", *words, check=False)
        count = ("docker", "network", "inspect", "--format", "{{len .Containers}}", f"{self.project}_default")
        if "has active endpoints" in result.stdout and run(*count, env=self.environment).stdout == "0\n":
            stop_engine()
            start_engine()
            result = self("down", *words, check=False)
        assert result.returncode == 0, result.stdout

    def lesson(self, *options):
        """Runs scripts/lesson of this folder, with separate streams."""
        return run("scripts/lesson", *options, cwd=self.folder, env=self.environment, stderr=subprocess.PIPE,
                   timeout=900, check=False)

    def containers(self, service):
        """Identifiers of the service's containers, including those that have ended."""
        return run("docker", "ps", "--all", "--quiet", "--no-trunc", "--filter",
                   f"label=com.docker.compose.project={self.project}", "--filter",
                   f"label=com.docker.compose.service={service}", env=self.environment).stdout.split()
