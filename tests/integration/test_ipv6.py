"""A cluster without IPv4, or with both: each program in its own network, like a pod, found by its short name."""

import contextlib
import json
import subprocess

import pytest

from fakes import FakeDns, Namespace
from harness import PATH, Service, eventually, needs_namespaces, run

pytestmark = needs_namespaces

PODS = ("rng", "hasher", "webui", "worker", "redis", "client")
DOMAIN = "class1.svc.cluster.local"
NAME_SERVER = "fd00::53"
RESOLV = f"nameserver {NAME_SERVER}\nsearch {DOMAIN} svc.cluster.local cluster.local\noptions ndots:5\n"


def cluster(stack, addresses):
    """Pods on one bridge, by name, and a name server that knows their addresses."""
    bridge = stack.enter_context(Namespace())
    bridge.run("ip link add br0 type bridge")
    bridge.run("ip link set br0 up")
    pods = {}
    for name, own in {**addresses, "names": [NAME_SERVER]}.items():
        pods[name] = pod = stack.enter_context(Namespace(resolv=RESOLV))
        bridge.run(f"ip link add port{pod.pid} type veth peer name eth0 netns {pod.pid}")
        bridge.run(f"ip link set port{pod.pid} master br0 up")
        pod.run("ip link set eth0 up")
        for address in own:
            # No duplicate address detection: it takes a second, in which the address cannot be used.
            pod.run(f"ip address add {address}" + ("/64 dev eth0 nodad" if ":" in address else "/24 dev eth0"))
        if all(":" in address for address in own):
            pod.run("ip -4 address flush dev lo")
            assert pod.run("ip -4 address") == "", "no IPv4, not even 127.0.0.1"
    records = {f"{name}.{DOMAIN}": own for name, own in addresses.items()}
    stack.enter_context(FakeDns(pods["names"], records, address=NAME_SERVER))
    return pods


@pytest.mark.parametrize("patterns", [["fd00::{}"], ["10.9.0.{}", "fd00::{}"]], ids=["IPv6", "dual-stack"])
def test_a_cluster_mines(patterns):
    addresses = {name: [pattern.format(at) for pattern in patterns] for at, name in enumerate(PODS, 1)}

    def get(url):
        """The body that the pod `client` receives; empty if there is none."""
        asked = [*pods["client"].prefix, "curl", "-sSg", "-m", "5", url]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout

    def hashes():
        return int(json.loads(get("http://webui/json") or "{}").get("hashes") or 0)

    with contextlib.ExitStack() as stack:
        pods = cluster(stack, addresses)
        # As the official image starts it: on every address, open to the other pods.
        redis = stack.enter_context(subprocess.Popen(
            [*pods["redis"].prefix, "redis-server", "--protected-mode", "no", "--save", ""],
            cwd="/", env={"PATH": PATH}, stdout=subprocess.DEVNULL))
        stack.callback(redis.terminate)
        services = {name: stack.enter_context(Service(name, prefix=pods[name].prefix, PORT=None, ADMIN_PORT=None,
                                                      BIND_ADDRESS=None, DELAY_MS=20)) for name in PODS[:4]}
        eventually(lambda: hashes() > 40, 30, what="a count")
        assert "ERROR" not in services["worker"].log
        assert {line.split()[0] for line in services["rng"].access_lines()} == set(addresses["worker"])
        for name in PODS[:4]:  # as the kubelet and the engine do
            for address in addresses[name]:
                host = f"[{address}]" if ":" in address else address
                assert get(f"http://{host}:9797/readyz") == "ok\n"
            asked = run(name, "--healthcheck", prefix=pods[name].prefix)
            assert asked.returncode == 0, asked.stderr
