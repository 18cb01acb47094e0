"""Spoiler: part of scripts/lesson. Scales and asks the application on Compose and on Kubernetes."""

import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import time
import urllib.parse

from lesson_parts.measuring import get
from lesson_parts.model import Delays, LessonError, Rngs

REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ROLLOUT_SECONDS = 120  # a node may have to pull the image; an original worker takes 30 s to end


def run_command(*command, folder=None):
    """Output of a command. If it fails, raises a LessonError with the last line that it printed."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise LessonError(f"'{command[0]}' cannot be run: {error.strerror}") from error
    if result.returncode:
        said = (result.stderr.strip() or result.stdout.strip()).splitlines()
        raise LessonError(f"'{' '.join(command)}' failed: {said[-1] if said else result.returncode}")
    return result.stdout


def wait_for(is_so, seconds, message):
    """Waits until is_so() is true. If it is not in that time, raises a LessonError with message()."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            raise LessonError(message())
        time.sleep(0.2)


def is_listening(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Platform(contextlib.ExitStack):
    """What runs the application. As a context manager it ends what it started. A subclass has

    where                         which application this is
    workers()                     their desired number
    scale(workers)                returns when exactly that many are running
    address(service)              its URL, from this machine, with "/" at the end
    containers(service)           names of its running containers
    environments(service)         the environment variables of each of them, a dictionary each
    metrics(service, container)   in Prometheus's text format
    """

    @property
    def url(self):
        return self.address("webui")

    def detour(self):
        """Seconds that the path from this machine adds to each response."""
        return 0.0

    def _setting(self, service, variable, default):
        return float(next(iter(self.environments(service)), {}).get(variable) or default)

    def delays(self):
        return Delays(*(self._setting(service, "DELAY_MS", 100) / 1000 for service in ("worker", "rng", "hasher")))

    def rngs(self):
        return Rngs(max(1, len(self.environments("rng"))), int(self._setting("rng", "CONCURRENCY", 1)))


class Compose(Platform):
    """The project that docker-compose or docker compose runs."""

    def __init__(self, _options):
        super().__init__()
        compose_2 = shutil.which("docker") and subprocess.run(
            ["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        self._command = ["docker", "compose"] if compose_2 else ["docker-compose"]
        webui = self._run(*self._command, "ps", "-q", "webui").split()
        if not webui:
            raise LessonError(f"The application does not run in {REPOSITORY}: start it with '{' '.join(self._command)} up "
                              "-d' (if it runs on Kubernetes, add -n or -n NAMESPACE)")
        self._project = self._run("docker", "inspect", "--format",
                                  '{{index .Config.Labels "com.docker.compose.project"}}', webui[0]).strip()
        self.where = f"Compose, project {self._project}"

    def _run(self, *command):
        return run_command(*command, folder=REPOSITORY)

    def _containers(self, name):
        """The running containers that have that name in a network, also those of a service called otherwise."""
        found = self._run("docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={self._project}",
                          "--filter", "label=com.docker.compose.oneoff=False").split()
        return [container for container in json.loads(self._run("docker", "inspect", *found) if found else "[]")
                if any(name in (network["Aliases"] or [])
                       for network in container["NetworkSettings"]["Networks"].values())]

    def workers(self):
        return len(self._containers("worker"))

    def scale(self, workers):
        self._run(*self._command, "up", "-d", "--no-deps", "--no-build", "--no-recreate", "--scale",
                  f"worker={workers}", "worker")
        wait_for(lambda: self.workers() == workers, 30, lambda: f"There are {self.workers()} workers instead of {workers}.")

    def address(self, service):
        for container in self._containers(service):
            for published in container["NetworkSettings"]["Ports"].get("80/tcp") or []:
                engine = urllib.parse.urlsplit(os.environ.get("DOCKER_HOST", "")).hostname or "localhost"
                return f"http://{engine}:{published['HostPort']}/"
        raise LessonError(f"{service} has no published port, so it cannot be measured.")

    def containers(self, service):
        return [container["Id"] for container in self._containers(service)]

    def environments(self, service):
        return [dict(setting.partition("=")[::2] for setting in container["Config"]["Env"] or [])
                for container in self._containers(service)]

    def metrics(self, service, container):
        return self._run("docker", "exec", container, f"/{service}", "--metrics")


class Kubernetes(Platform):
    """The application in a namespace of kubectl's current context."""

    def __init__(self, options):
        if not shutil.which("kubectl"):
            raise LessonError("kubectl is not installed.")
        super().__init__()
        self._ports = {}  # of this machine, which are forwarded, by service
        # Kept until the end, even if the current context changes. (In a pod there is none.)
        context = subprocess.run(["kubectl", "config", "current-context"], capture_output=True, text=True, check=False).stdout
        options = {"context": context.strip(), "namespace": options.namespace}
        self._kubectl = ["kubectl", *(f"--{name}={value}" for name, value in options.items() if value)]
        self.where = " ".join(self._kubectl)

    def _run(self, *words):
        return run_command(*self._kubectl, *words)

    def _get(self, *words):
        return json.loads(self._run("get", *words, "--output=json"))

    def _pods(self, service, terminating=False):
        """Its pods that have not ended."""
        return [pod for pod in self._get("pods", f"--selector=app={service}")["items"]
                if pod["status"].get("phase") not in ("Succeeded", "Failed")
                and (terminating or "deletionTimestamp" not in pod["metadata"])]

    def workers(self):
        return self._get("deployment", "worker")["spec"]["replicas"]

    def scale(self, workers):
        self._run("scale", "deployment", "worker", f"--replicas={workers}")
        self._run("rollout", "status", "deployment", "worker", f"--timeout={ROLLOUT_SECONDS}s")
        # A rollout is complete while a terminating pod may still be mining.
        wait_for(lambda: len(self._pods("worker", terminating=True)) == workers, ROLLOUT_SECONDS,
                 lambda: f"There are not {workers} workers: see 'kubectl get pods'.")

    def address(self, service):
        if service not in self._ports:
            self._get("service", service)
            with socket.create_server(("127.0.0.1", 0)) as free:
                port = self._ports[service] = free.getsockname()[1]
            # Again and again, because kubectl ends with the pod, or when a connection breaks.
            forward = subprocess.Popen(
                ["sh", "-c", 'while :; do "$@"; sleep 0.3; done', "sh", *self._kubectl, "port-forward",
                 "--address=127.0.0.1", f"service/{service}", f"{port}:80"], stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
            self.callback(forward.wait)
            self.callback(os.killpg, forward.pid, signal.SIGTERM)
            wait_for(lambda: is_listening(port), 10, lambda: "'kubectl port-forward' does not work.")
        return f"http://127.0.0.1:{self._ports[service]}/"

    def containers(self, service):
        return [pod["metadata"]["name"] for pod in self._pods(service)
                if pod["status"].get("phase") == "Running"]

    def environments(self, service):
        return [{setting["name"]: setting["value"] for container in pod["spec"]["containers"]
                 for setting in container.get("env", []) if "value" in setting}
                for pod in self._pods(service)]

    def metrics(self, service, container):
        return self._run("exec", container, "--", f"/{service}", "--metrics")

    def detour(self):
        """webui has its page in memory, so its response time is that of the port-forward."""
        return statistics.median(get(f"{self.url}index.html", 10)[1] for _ in range(9))
