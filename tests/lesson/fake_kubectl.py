#!/usr/bin/env python3
"""A kubectl of which scripts/lesson sees no difference, with a cluster of real local programs behind it.

As a program it hands its words to the FakeCluster of a test, by the socket that FAKE_CLUSTER names, and does
as that says; `port-forward` it does itself, with a connection of its own for each that comes.
"""

import contextlib
import json
import os
import socket
import socketserver
import stat
import sys
import threading
import time

CONTEXT = "a-context"


class FakeCluster:
    """The deployments of one namespace; a context manager.

    `start(service)` starts a program of that name, and what it gives has .port, .stop() and .metrics(). Pods that are told
    to end linger as such, mining on, until `linger` is over: a threading.Event. A connection through a
    port-forward takes `latency` seconds more.
    """

    def __init__(self, folder, namespace, start, env=None, linger=None, latency=0.0):
        self.namespace = namespace
        self.folder = str(folder)
        self.env = env or {}
        self.commands = []
        self.context = CONTEXT
        self._start = start
        self._linger = linger
        self._latency = latency
        self._pods = {}
        self._ending = []
        self._lock = threading.Lock()

    def __enter__(self):
        program = os.path.join(self.folder, "kubectl")
        with open(program, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec {sys.executable} {os.path.abspath(__file__)} \"$@\"\n")
        os.chmod(program, os.stat(program).st_mode | stat.S_IXUSR)
        self.socket = os.path.join(self.folder, "cluster")
        cluster = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                self.wfile.write(json.dumps(cluster._answer(json.loads(self.rfile.readline()))).encode() + b"\n")

        self._server = socketserver.ThreadingUnixStreamServer(self.socket, Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()

    @property
    def environment(self):
        return {"PATH": f"{self.folder}:/usr/bin:/bin", "FAKE_CLUSTER": self.socket}

    def scale(self, service, replicas):
        pods = self._pods.setdefault(service, [])
        while len(pods) < replicas:
            pods.append(self._start(service))
        while len(pods) > replicas:
            pod = pods.pop()
            if self._linger:
                self._ending.append(pod)
                threading.Thread(target=self._end, args=(pod,), daemon=True).start()
            else:
                pod.stop()

    def pods(self, service):
        return self._pods[service]

    def replicas(self, service):
        return len(self.pods(service))

    def asked(self, verb):
        """The words of each command of that verb, without those that every command has."""
        return [words for words in self.commands if words[0] == verb]

    def _end(self, pod):
        self._linger.wait(60)
        pod.stop()
        self._ending.remove(pod)

    def _answer(self, words):
        """(exit status, stdout, stderr), and for port-forward what forward() needs."""
        if words[-2:] == ["config", "current-context"]:
            return (0, self.context + "\n", "") if self.context else (1, "", "error: current-context is not set\n")
        if "view" in words:
            return 0, self.namespace, ""
        if self.context and f"--context={self.context}" not in words or f"--namespace={self.namespace}" not in words:
            return 1, "", 'Error from server (NotFound): deployments.apps "worker" not found\n'
        words = [word for word in words if not word.startswith(("--context=", "--namespace="))]
        self.commands.append(words)
        with self._lock:
            return getattr(self, "_" + words[0].replace("-", "_"))(*words[1:])

    def _get(self, kind, what, *options):
        assert options == ("--output=json",)
        if kind == "deployment":
            return 0, json.dumps({"spec": {"replicas": self.replicas(what)}}), ""
        assert kind == "pods"
        service = what.removeprefix("--selector=app=")
        env = [{"name": name, "value": value} for name, value in self.env.get(service, {}).items()]
        running = {"status": {"phase": "Running"},
                   "spec": {"containers": [{"name": service, "env": env} if env else {"name": service}]}}
        ending = {**running, "metadata": {"deletionTimestamp": "2026-11-21T07:08:51Z"}}
        evicted = {**running, "metadata": {}, "status": {"phase": "Failed"}}
        items = [{**running, "metadata": {"name": f"{service}-{number}"}} for number in range(self.replicas(service))]
        items.append(evicted)
        if service == "worker":
            items += [ending] * len(self._ending)
        return 0, json.dumps({"items": items}), ""

    def _scale(self, kind, service, replicas):
        assert kind == "deployment"
        self.scale(service, int(replicas.removeprefix("--replicas=")))
        return 0, f"deployment.apps/{service} scaled\n", ""

    def _exec(self, pod, *command):
        service, _, number = pod.rpartition("-")
        assert command == ("--", f"/{service}", "--metrics")
        return 0, self.pods(service)[int(number)].metrics(), ""

    def _rollout(self, verb, kind, service, timeout):
        assert (verb, kind) == ("status", "deployment") and timeout.startswith("--timeout=")
        return 0, f'deployment "{service}" successfully rolled out\n', ""

    def _port_forward(self, address, service, ports):
        assert address == "--address=127.0.0.1" and ports.endswith(":80")
        pods = self._pods.get(service.removeprefix("service/"))
        if not pods:
            return 1, "", f"Error from server (NotFound): services \"{service}\" not found\n"
        return 0, "", "", pods[0].port, int(ports[:-3] or 0), self._latency


def copy(source, target):
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def serve(client, port, latency):
    time.sleep(latency)
    pod = socket.create_connection(("127.0.0.1", port))
    threading.Thread(target=copy, args=(pod, client), daemon=True).start()
    copy(client, pod)


def forward(port, local_port, latency):
    listener = socket.create_server(("127.0.0.1", local_port), backlog=128)
    local_port = listener.getsockname()[1]
    print(f"Forwarding from 127.0.0.1:{local_port} -> 80", flush=True)
    while True:
        client, _ = listener.accept()
        print(f"Handling connection for {local_port}", flush=True)
        threading.Thread(target=serve, args=(client, port, latency), daemon=True).start()


def main():
    with socket.socket(socket.AF_UNIX) as cluster:
        cluster.connect(os.environ["FAKE_CLUSTER"])
        cluster.sendall(json.dumps(sys.argv[1:]).encode() + b"\n")
        status, out, err, *ports = json.loads(cluster.makefile().readline())
    sys.stdout.write(out)
    sys.stderr.write(err)
    if ports:
        forward(*ports)
    return status


if __name__ == "__main__":
    sys.exit(main())
