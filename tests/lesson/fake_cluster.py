"""A cluster that scripts/lesson asks through the kubectl that it would run; each command is noted."""

import json
import subprocess
import types

import lesson


class Cluster:
    """Stands for `subprocess` and `shutil.which` in scripts/lesson: kubectl, and the namespace class1.

    An answer is what the command prints, or (exit status, what it complains of), or an OSError.
    """

    PIPE, STDOUT, DEVNULL = subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL

    def __init__(self, monkeypatch, **ports):
        monkeypatch.setattr(lesson, "subprocess", self)
        monkeypatch.setattr(lesson, "shutil", types.SimpleNamespace(which=lambda name: name == "kubectl"))
        self.commands = []
        self.context = "a-context"
        self.pods = {service: [self.pod(f"{service}-0")] for service in ("rng", "hasher", "worker", "webui")}
        self.replicas = 1
        self.ports = ports
        self.forwards = []
        self.on_scale = lambda _number: None

    def run(self, command, cwd=None, capture_output=None, text=None, check=None):
        assert (cwd, capture_output, text, check) == (None, True, True, False)
        self.commands.append(" ".join(command))
        answer = self.answer(*command)
        if isinstance(answer, OSError):
            raise answer
        status, out, err = (0, answer, "") if isinstance(answer, str) else (answer[0], "", answer[1])
        return subprocess.CompletedProcess(command, status, out, err)

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
        script = f"echo 'Forwarding from 127.0.0.1:{port} -> 80'; yes 'Handling' | head -n 9999; exec sleep 99"
        missing = "echo 'Error from server (NotFound): no such service'"
        self.forwards.append(subprocess.Popen(["sh", "-c", script if port else missing], **options))
        return self.forwards[-1]
