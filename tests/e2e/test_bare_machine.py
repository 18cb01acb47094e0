"""The README's commands for a bare machine, in a container with Debian's smallest system.

A step that is missing in what they install cannot hide behind what this machine happens to have. Much of this is
compiling: it can run beside tests that do not measure, and takes what CPU they leave.
"""

import pathlib
import re
import subprocess

import pytest

import docker_engine
from compose import get, run
from harness import eventually

# It stands for a machine, on which root may make namespaces and the loopback interface has IPv6. (Less than
# --privileged, which not every engine may give.)
AS_A_MACHINE = ("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
                "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
                "--security-opt", "systempaths=unconfined", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0")


class Machine:
    """A container with nothing installed in it but /dockercoins. Its log stays in build/e2e/."""

    def __init__(self, suite, checkout, environment):
        self._environment = environment
        self.name = run("docker", "run", "--detach", "--init", "--cpu-shares", "2", *AS_A_MACHINE,
                        f"debian:{suite}-slim", "sleep", "infinity", env=environment).stdout.strip()
        self.docker("cp", f"{checkout}/.", f"{self.name}:/dockercoins")
        self.address = self.docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", self.name).strip()
        self.log = pathlib.Path(docker_engine.STATE, f"bare-{suite}.log")
        self.log.write_bytes(b"")

    def docker(self, *words):
        return run("docker", *words, env=self._environment).stdout

    def start(self, command):
        """Starts a shell command in /dockercoins there; its output is added to the log."""
        with open(self.log, "ab") as out:
            return subprocess.Popen(["docker", "exec", "--workdir", "/dockercoins", self.name, "bash", "-c", command],
                                    env=self._environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)


# Debian 13 has the newer compiler and the newer tools, so the more to complain of.
@pytest.fixture(scope="module", params=["trixie", pytest.param("bookworm", marks=pytest.mark.release)])
def machine(request, engine, checkout, environment):
    started = Machine(request.param, checkout, environment)
    yield started
    started.docker("rm", "--force", started.name)


def test_scripts_up_is_enough_on_a_bare_machine(machine):
    up = machine.start("echo $$ >/up.pid; exec scripts/up --yes")

    def mines():
        return re.search(r'"hashes":"[1-9]', get(f"http://{machine.address}:8000/json", timeout=2)[1])

    eventually(lambda: up.poll() is not None or mines(), 900, 0.5, "a hash")
    shown = machine.log.read_text()
    assert up.poll() is None, shown[-5000:]
    assert "Web UI: http://localhost:8000\n" in shown
    eventually(lambda: re.search(r"^worker_1 +\| INFO:worker:4 units", machine.log.read_text(), re.MULTILINE), 30)
    machine.docker("exec", machine.name, "bash", "-c", "kill $(</up.pid)")
    assert up.wait(30) == 0, machine.log.read_text()[-3000:]


@pytest.mark.release
def test_scripts_test_is_enough_on_a_bare_machine(machine, figure):
    """What the tests in a browser need is at least installed, and starts."""
    test = machine.start("scripts/install-deps --yes && chromium --version && chromedriver --version && "
                         "/usr/bin/python3 -c 'import selenium' && clang-tidy-19 --version && "
                         "DOCKERCOINS_SLOW=1 scripts/test --yes")
    status = test.wait(2400)
    shown = machine.log.read_text()
    last = shown.rstrip().splitlines()[-1]
    figure("scripts/test on a bare machine", last)
    assert status == 0, shown[-8000:]
    assert re.fullmatch(r"\d+ passed, 0 failed, \d+ skipped", last)
