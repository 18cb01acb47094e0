"""Spoiler: part of scripts/lesson. Scales and asks the application on Compose and on Kubernetes."""

import abc
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
import urllib.parse

from lesson_parts.measuring import seconds_of_get
from lesson_parts.model import DEFAULT_DELAY_MS, Delays, LessonError, Rngs
from lesson_parts.words import in_words

DEFAULT_URL = f"http://localhost:{os.environ.get('PUBLISH_WEBUI') or 8000}"  # where docker-compose.yml publishes it
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


def same_setting(service, variable, default, environments):
    """The variable, a number, of containers with these environments; all must have the same."""
    found = {float(environment.get(variable) or default) for environment in environments} or {float(default)}
    if len(found) > 1:
        values = in_words(sorted(f"{value:g}" for value in found))
        raise LessonError(f"{service} containers have different {variable}: {values}. Was the application started with "
                          "other files (-f), or with another TAG?")
    return found.pop()


def await_number(workers, running, seconds, every, see):
    """Waits until running() returns that number; calls it once per `every` seconds."""
    deadline = time.monotonic() + seconds
    while (now := running()) != workers:
        if time.monotonic() > deadline:
            raise LessonError(f"Scaled to {workers} workers, but {now} are running: see {see}.")
        time.sleep(every)


class Platform(abc.ABC):
    """What runs the application, as the lesson sees it. A context manager: it ends what it started."""

    where = ""  # which application this is, if there may be several
    url: str  # of the web UI

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    @abc.abstractmethod
    def workers(self):
        """The desired number."""

    @abc.abstractmethod
    def scale(self, workers):
        """Returns when exactly that many are running."""

    @abc.abstractmethod
    def environments(self, service):
        """The environment variables of each of the service's containers, a dictionary each."""

    @abc.abstractmethod
    def address(self, service):
        """URL of the service, from this machine."""

    def containers(self, service):
        """Names of the service's containers."""
        raise NotImplementedError

    def metrics(self, service, container):
        """Metrics of the service in that container, in Prometheus's text format."""
        raise NotImplementedError

    def detour(self):
        """Seconds that the path from this machine adds to each response."""
        return 0.0

    def delays(self):
        return Delays(**{service: same_setting(service, "DELAY_MS", DEFAULT_DELAY_MS, self.environments(service)) / 1000
                         for service in ("worker", "rng", "hasher")})

    def rngs(self):
        environments = self.environments("rng")
        return Rngs(max(1, len(environments)), int(same_setting("rng", "CONCURRENCY", 1, environments)))


class Compose(Platform):
    """The project that docker-compose or docker compose runs."""

    def __init__(self, options):
        self.url = options.url or DEFAULT_URL
        self._host = urllib.parse.urlsplit(self.url).hostname or "localhost"
        self._folder = os.getcwd()
        files = ("docker-compose.yml", "docker-compose.yaml", "compose.yaml", "compose.yml")
        if not os.environ.get("COMPOSE_FILE") and not any(os.path.exists(name) for name in files):
            self._folder = REPOSITORY
        try:
            self._command = self._find_command()
        except LessonError as error:
            raise LessonError(f"{error} (if it runs on Kubernetes, add -n or -n NAMESPACE)") from error

    def _find_command(self):
        """The Compose that started the project, if both are installed: they name containers differently."""
        versions = {}
        for command in (("docker", "compose"), ("docker-compose",)):
            if shutil.which(command[0]):
                result = subprocess.run([*command, "version", "--short"], capture_output=True, text=True, check=False)
                if result.returncode == 0:
                    versions[command] = result.stdout.strip().lstrip("v")
        if not versions:
            raise LessonError("Neither 'docker compose' nor 'docker-compose' is installed")
        first, *_ = versions
        containers = self._inspect(self._run(*first, "ps", "-q", "webui").split())
        if not containers:
            raise LessonError(f"The application does not run in {self._folder}: start it with "
                              f"'{' '.join(first)} up -d'")
        labels = containers[0]["Config"]["Labels"]
        self._project = labels["com.docker.compose.project"]
        label = labels.get("com.docker.compose.version", "")
        return next((command for command, version in versions.items()
                     if version.split(".")[0] == label.split(".")[0]), first)

    def _run(self, *command):
        return run_command(*command, folder=self._folder)

    def _inspect(self, identifiers):
        """Those of the containers that are running and are no one-off commands, as docker inspect shows them."""
        if not identifiers:
            return []
        return [container for container in json.loads(self._run("docker", "inspect", *identifiers))
                if container["State"]["Running"]
                and container["Config"]["Labels"].get("com.docker.compose.oneoff", "False") == "False"]

    def _containers(self, name):
        """The running containers that have that name in a network, also those of a service called otherwise."""
        project = self._run("docker", "ps", "-q", "--filter", f"label=com.docker.compose.project={self._project}")
        return [container for container in self._inspect(project.split())
                if any(name in (network["Aliases"] or [])
                       for network in container["NetworkSettings"]["Networks"].values())]

    def environments(self, service):
        return [dict(setting.partition("=")[::2] for setting in container["Config"]["Env"] or [])
                for container in self._containers(service)]

    def workers(self):
        return len(self._containers("worker"))

    def scale(self, workers):
        self._run(*self._command, "up", "-d", "--no-deps", "--no-build", "--no-recreate", "--scale",
                  f"worker={workers}", "worker")
        await_number(workers, self.workers, 30, 0.2, "the logs of worker")

    def address(self, service):
        published = self._run(*self._command, "port", service, "80").strip()
        port = published.splitlines()[0].rpartition(":")[2] if published else ""
        if not port.isdigit() or port == "0":
            raise LessonError(f"{service} has no published port, so its response time cannot be measured.")
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{port}/"

    def containers(self, service):
        return [container["Id"] for container in self._containers(service)]

    def metrics(self, service, container):
        return self._run("docker", "exec", container, f"/{service}", "--metrics")


class PortForward:
    """Forwards a local port to a Service, until close().

    kubectl ends when the pod ends or a connection breaks. Then it is started again, on the same port.
    """

    def __init__(self, kubectl, service):
        self._kubectl = kubectl
        self._service = service
        self._lock = threading.Lock()  # for the attributes below
        self._closed = threading.Event()
        self._process = self._start("")
        try:
            self.port = self._wait_for_port()
        except BaseException:
            self._process.kill()
            raise
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _start(self, port):
        return subprocess.Popen([*self._kubectl, "port-forward", "--address=127.0.0.1",
                                 f"service/{self._service}", f"{port}:80"], text=True,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def _wait_for_port(self):
        said = ""
        for line in self._process.stdout:
            if found := re.match(r"Forwarding from \S+:(\d+) -> ", line):
                return int(found.group(1))
            said = line.strip()
        raise LessonError(f"{self._service} cannot be reached through 'kubectl port-forward': {said}")

    def _run(self):
        while True:
            # It prints a line per connection, and would block when the pipe is full.
            for _ in self._process.stdout:
                pass
            self._process.wait()
            self._closed.wait(0.3)
            with self._lock:
                if self._closed.is_set():
                    return
                self._process = self._start(self.port)

    def close(self):
        with self._lock:
            self._closed.set()
            self._process.terminate()
        self._thread.join(5)


class Kubernetes(Platform):
    """The application in a namespace of kubectl's current context."""

    def __init__(self, options):
        if not shutil.which("kubectl"):
            raise LessonError("kubectl is not installed.")
        self._url = options.url
        self._forwards = {}
        self._kubectl = ["kubectl"]
        # Kept until the end, even if the current context changes. (In a pod there is none.)
        context = self._setting("current-context")
        if context:
            self._kubectl.append(f"--context={context}")
        namespace = options.namespace or self._setting("view", "--minify", "--output=jsonpath={..namespace}")
        if namespace:
            self._kubectl.append(f"--namespace={namespace}")
        self.where = (f"Kubernetes, context {context}, " if context else "Kubernetes, ") + \
            f"namespace {namespace or 'default'}"
        try:
            self.workers()
        except LessonError as error:
            raise LessonError(f"{error} (looked for the application in {self.where}; "
                              "'kubectl apply -f k8s/' starts it)") from error

    def __exit__(self, *_):
        for forward in self._forwards.values():
            forward.close()

    def _setting(self, *words):
        result = subprocess.run([*self._kubectl, "config", *words], capture_output=True, text=True, check=False)
        return result.stdout.strip()

    def _run(self, *words):
        return run_command(*self._kubectl, *words)

    def _get(self, *words):
        return json.loads(self._run("get", *words, "--output=json"))

    def _pods(self, service):
        """Its pods that have not ended, terminating ones included."""
        return [pod for pod in self._get("pods", f"--selector=app={service}")["items"]
                if pod["status"].get("phase") not in ("Succeeded", "Failed")]

    def _pods_that_stay(self, service):
        return [pod for pod in self._pods(service) if "deletionTimestamp" not in pod["metadata"]]

    @property
    def url(self):
        return self._url or self.address("webui")

    def workers(self):
        return self._get("deployment", "worker")["spec"]["replicas"]

    def scale(self, workers):
        self._run("scale", "deployment", "worker", f"--replicas={workers}")
        self._run("rollout", "status", "deployment", "worker", f"--timeout={ROLLOUT_SECONDS}s")
        # A rollout is complete while a terminating pod may still be mining.
        await_number(workers, lambda: len(self._pods("worker")), ROLLOUT_SECONDS, 0.5, "'kubectl get pods'")

    def environments(self, service):
        return [{setting["name"]: setting["value"] for container in pod["spec"]["containers"]
                 for setting in container.get("env", []) if "value" in setting}
                for pod in self._pods_that_stay(service)]

    def address(self, service):
        if service not in self._forwards:
            self._forwards[service] = PortForward(self._kubectl, service)
        return f"http://127.0.0.1:{self._forwards[service].port}/"

    def containers(self, service):
        return [pod["metadata"]["name"] for pod in self._pods_that_stay(service)
                if pod["status"].get("phase") == "Running"]

    def metrics(self, service, container):
        return self._run("exec", container, "--", f"/{service}", "--metrics")

    def detour(self):
        """webui has its page in memory, so its response time is that of the port-forward."""
        try:
            return statistics.median(seconds_of_get(self.address("webui") + "index.html", 10) for _ in range(9))
        except (OSError, http.client.HTTPException) as error:
            raise LessonError(f"The web UI does not answer through 'kubectl port-forward': {error}") from error
