"""A cluster without IPv4, or with both: each program in a network of its own, as a pod is, with nothing set.

They find each other by their short names, which a name server knows in full, as in Kubernetes.
"""

import contextlib
import json
import re
import subprocess

import pytest

from fakes import FakeDns, Namespace, namespaces_are_possible
from harness import PATH, Service, eventually, run

pytestmark = pytest.mark.skipif(not namespaces_are_possible(), reason="needs root and namespaces")

NAMES = ("rng", "hasher", "redis", "webui", "worker", "client")
DOMAIN = "class1.svc.cluster.local"
NAME_SERVER = "fd00::53"
RESOLV = f"nameserver {NAME_SERVER}\nsearch {DOMAIN} svc.cluster.local cluster.local\noptions ndots:5\n"
DEFAULTS = {"PORT": None, "ADMIN_PORT": None, "BIND_ADDRESS": None}


class Cluster:
    """Pods on one bridge, and their name server; a context manager. `families` of "4" and "6"."""

    def __init__(self, families):
        self.families = families
        self.pods = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self):
        with self._stack:
            self._bridge = self._stack.enter_context(Namespace())
            self._in(self._bridge, "ip link add br0 type bridge")
            self._in(self._bridge, "ip link set br0 up")
            for at, name in enumerate(NAMES, 1):
                self.pods[name] = self._pod(self.addresses(at))
            records = {f"{name}.{DOMAIN}": [address.partition("/")[0] for address in self.addresses(at)]
                       for at, name in enumerate(NAMES, 1)}
            names = self._pod([f"{NAME_SERVER}/64"])
            self._stack.enter_context(FakeDns(names, records, address=NAME_SERVER))
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *what):
        return self._stack.__exit__(*what)

    def addresses(self, at):
        return [{"4": f"10.9.0.{at}/24", "6": f"fd00::{at}/64"}[family] for family in self.families]

    def _in(self, pod, command):
        subprocess.run([*pod.prefix, *command.split()], check=True)

    def _pod(self, addresses):
        pod = self._stack.enter_context(Namespace(resolv=RESOLV))
        port = f"port{pod.pid}"
        self._in(self._bridge, f"ip link add {port} type veth peer name eth0 netns {pod.pid}")
        self._in(self._bridge, f"ip link set {port} master br0 up")
        self._in(pod, "ip link set eth0 up")
        for address in addresses:
            # Duplicates are not looked for: that takes a second, and the address is of no use until then.
            self._in(pod, f"ip address add {address} dev eth0 {'nodad' if ':' in address else ''}")
        if not any("." in address for address in addresses):
            self._in(pod, "ip -4 address flush dev lo")
        return pod

    def service(self, name, **settings):
        return Service(name, prefix=self.pods[name].prefix, **{**DEFAULTS, **settings})

    @contextlib.contextmanager
    def redis(self):
        """As the official image starts it: on every address, and open to the other pods."""
        with subprocess.Popen([*self.pods["redis"].prefix, "redis-server", "--protected-mode", "no", "--save", ""],
                              cwd="/", env={"PATH": PATH}, stdout=subprocess.DEVNULL) as process:
            try:
                yield
            finally:
                process.terminate()

    def get(self, url):
        """The body, as the pod `client` gets it; empty when there is none."""
        return subprocess.run([*self.pods["client"].prefix, "curl", "-sSg", "-m", "5", url], capture_output=True,
                              text=True, check=False).stdout


@pytest.mark.parametrize("families", ["6", "46"], ids=["IPv6 only", "dual-stack"])
def test_a_cluster_mines(families):
    with contextlib.ExitStack() as stack:
        cluster = stack.enter_context(Cluster(families))
        if families == "6":
            for pod in cluster.pods.values():
                shown = subprocess.run([*pod.prefix, "ip", "-4", "address"], capture_output=True, check=True)
                assert shown.stdout == b"", "no IPv4, not even 127.0.0.1"
        stack.enter_context(cluster.redis())
        services = {name: stack.enter_context(cluster.service(name, **({} if name == "webui" else {"DELAY_MS": 20})))
                    for name in ("rng", "hasher", "webui", "worker")}
        for name in ("rng", "hasher", "webui"):
            services[name].wait_for_line(rf"^{name.upper()} running on port 80$")
        worker = services["worker"]
        worker.wait_for_line(r"^INFO:worker:[1-9]\d* units of work done", 20)

        mined = eventually(lambda: json.loads(cluster.get("http://webui/json") or "{}").get("hashes"), 10,
                           what="a count")
        eventually(lambda: int(json.loads(cluster.get("http://webui/json"))["hashes"]) > int(mined) + 40, 20,
                   what="a higher count")
        assert "ERROR" not in worker.log

        clients = {line.split()[0] for line in services["rng"].access_lines()}
        at = NAMES.index("worker") + 1
        assert clients == {address.partition("/")[0] for address in cluster.addresses(at)}

        # What the kubelet and the engine ask.
        for name, pod in cluster.pods.items():
            if name in services:
                for address in cluster.addresses(NAMES.index(name) + 1):
                    host = re.sub(r"(.*:.*)", r"[\1]", address.partition("/")[0])
                    assert cluster.get(f"http://{host}:9797/readyz") == "ok\n"
                asked = run(name, "--healthcheck", prefix=pod.prefix)
                assert asked.returncode == 0, asked.stderr
