"""A Docker and a cluster that scripts/lesson asks through the commands that it would run; each command is noted."""

import json
import subprocess
import types

import lesson


class Shell:
    """Stands for `subprocess` and `shutil.which` in scripts/lesson; a subclass answers, by .answer(*words).

    An answer is what the command prints, or (exit status, what it complains of), or an OSError.
    """

    PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL

    def __init__(self, monkeypatch, *programs):
        self.commands = []
        self.folders = set()
        monkeypatch.setattr(lesson, "subprocess", self)
        monkeypatch.setattr(lesson, "shutil", types.SimpleNamespace(which=lambda name: name in programs or None))

    def run(self, command, cwd=None, capture_output=None, text=None, check=None):
        assert (capture_output, text, check) == (True, True, False)
        self.folders.add(cwd)
        self.commands.append(" ".join(command))
        answer = self.answer(*command)
        if isinstance(answer, OSError):
            raise answer
        status, out, err = (0, answer, "") if isinstance(answer, str) else (answer[0], "", answer[1])
        return subprocess.CompletedProcess(command, status, out, err)


class Cluster(Shell):
    """kubectl, and the namespace class1. on_scale(number) is called when the workers are scaled."""

    def __init__(self, monkeypatch, **ports):
        super().__init__(monkeypatch, "kubectl")
        self.context = "a-context"
        self.pods = {service: [self.pod(f"{service}-0")] for service in ("rng", "hasher", "worker", "webui")}
        self.replicas = 1
        self.ports = ports
        self.forwards = []
        self.on_scale = lambda _number: None

    @staticmethod
    def pod(name, phase="Running", ending=False, **env):
        settings = [{"name": key, "value": value} for key, value in env.items()]
        return {"metadata": {"name": name, **({"deletionTimestamp": "2026-11-21T07:08:51Z"} if ending else {})},
                "status": {"phase": phase}, "spec": {"containers": [{"name": "it", "env": settings} if env else {}]}}

    def answer(self, program, *words):
        assert program == "kubectl"
        if words == ("config", "current-context"):
            return self.context + "\n" if self.context else (1, "error: current-context is not set\n")
        if self.context:
            assert words[0] == f"--context={self.context}"
            words = words[1:]
        if words == ("config", "view", "--minify", "--output=jsonpath={..namespace}"):
            return "class1"
        if words[0] != "--namespace=class1":
            return 1, 'Warning: so\nError from server (NotFound): deployments.apps "worker" not found\n'
        verb, *words = words[1:]
        return getattr(self, f"_{verb}")(*words)

    def _get(self, kind, what, output):
        assert output == "--output=json"
        if kind == "deployment":
            return json.dumps({"spec": {"replicas": self.replicas}})
        assert kind == "pods"
        return json.dumps({"items": self.pods[what.removeprefix("--selector=app=")]})

    def _scale(self, *words):
        assert words[:2] == ("deployment", "worker")
        self.replicas = int(words[2].removeprefix("--replicas="))
        self.pods["worker"] = [self.pod(f"worker-{number}") for number in range(self.replicas)]
        self.on_scale(self.replicas)
        return "deployment.apps/worker scaled\n"

    def _rollout(self, *words):
        assert words == ("status", "deployment", "worker", "--timeout=120s")
        return 'deployment "worker" successfully rolled out\n'

    def _exec(self, pod, *words):
        assert words == ("--", f"/{pod.partition('-')[0]}", "--metrics")
        return f"what {pod} has measured"

    def Popen(self, command, **options):
        """A port-forward, which says the very port at which the service is."""
        *_, verb, address, service, ports = command
        assert (verb, address) == ("port-forward", "--address=127.0.0.1")
        self.commands.append(f"port-forward {service} {ports}")
        port = self.ports.get(service.removeprefix("service/"))
        script = f"echo 'Forwarding from 127.0.0.1:{port} -> 80'; yes 'Handling connection' | head -n 9999; exec sleep 99"
        missing = "echo 'Error from server (NotFound): no such service'"
        self.forwards.append(subprocess.Popen(["sh", "-c", script if port else missing], **options))
        return self.forwards[-1]


class Docker(Shell):
    """docker compose and docker-compose of those versions, and what runs: {service: [environment]}."""

    def __init__(self, monkeypatch, running, started_by="2.26.1", **versions):
        self.versions = {"docker compose": "2.26.1", "docker-compose": "1.29.2", **versions}
        super().__init__(monkeypatch, "docker", *(["docker-compose"] if self.versions["docker-compose"] else []))
        self.running = running
        self.started_by = started_by
        self.published = {"rng": "0.0.0.0:8001\n[::]:8001\n", "hasher": "0.0.0.0:8002\n", "webui": "\n"}

    def container(self, identifier):
        service, _, number = identifier.rpartition("-")
        return {"Id": identifier, "State": {"Running": number != "ended"}, "Config": {
            "Labels": {"com.docker.compose.oneoff": str(number == "once"), "com.docker.compose.version": self.started_by},
            "Env": self.running[service][int(number)] if number.isdigit() else None}}

    def answer(self, *words):
        if words[:2] == ("docker", "inspect"):
            return json.dumps([self.container(identifier) for identifier in words[2:]])
        if words[:2] == ("docker", "exec"):
            return f"what {words[2]} says of {' '.join(words[3:])}"
        compose = "docker compose" if words[:2] == ("docker", "compose") else words[0]
        verb, *rest = words[len(compose.split()):]
        if verb == "version":
            return self.versions[compose] or (1, "unknown")
        if verb == "port":
            return self.published[rest[0]]
        if verb == "up":
            number = int(rest[-2].removeprefix("worker="))
            self.running["worker"] = [[]] * min(number, 50)
            return ""
        assert verb == "ps" and rest[0] == "-q"
        ids = [f"{rest[1]}-{number}" for number in (*range(len(self.running[rest[1]])), "ended", "once")]
        return "\n".join(ids if self.running[rest[1]] else [])
