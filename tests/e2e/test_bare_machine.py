"""The README's two commands for a bare machine, in a container with Debian's smallest system.

A step that is missing in what they install cannot hide behind what this machine happens to have. That is all that
is tested here, so scripts/test runs on one of them, as the packages are the same for both; and of the integration
tests those that need a tool, and those that are about settings and the scripts: the rest, with its sense of time, is
for a machine of its own. Much of this is compiling: it can run beside tests that do not measure, and takes what CPU
they leave. DOCKERCOINS_BARE_FULL=1 runs scripts/test whole, on both.
"""

import contextlib
import json
import os
import pathlib
import re
import subprocess
import urllib.request

import pytest

import docker_engine
from compose import run
from harness import eventually

SUITES = ("trixie", "bookworm")
TESTED = "trixie"  # has the newer compiler and the newer tools, so the more to complain of
# It stands for a machine, on which root may make namespaces and the loopback interface has IPv6. (Less than
# --privileged, which not every engine may give.)
AS_A_MACHINE = ("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
                "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
                "--security-opt", "systempaths=unconfined", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0")

SELECTED = " or ".join((
    "httping", "_ab_", "curl", "test_settings", "test_logs", "test_metrics", "test_admin", "test_up", "test_ipv6",
    "test_strictly", "test_our_rules"))


@pytest.fixture(scope="module")
def machines(engine, checkout, environment):
    """Container and its address by Debian release; nothing is installed in it but /dockercoins."""
    with contextlib.ExitStack() as stack:
        started = {}
        for suite in SUITES:
            name = run("docker", "run", "--detach", "--init", "--cpu-shares", "2", *AS_A_MACHINE, f"debian:{suite}-slim",
                       "sleep", "infinity", env=environment).stdout.strip()
            stack.callback(run, "docker", "rm", "--force", name, env=environment)
            run("docker", "cp", f"{checkout}/.", f"{name}:/dockercoins", env=environment)
            address = run("docker", "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name,
                          env=environment).stdout.strip()
            started[suite] = name, address
        yield started


def hashes(address):
    try:
        with urllib.request.urlopen(f"http://{address}:8000/json", timeout=2) as answer:
            return int(json.load(answer)["hashes"] or 0)
    except OSError:
        return 0


def in_machine(name, log, environment, command):
    """Starts a shell command in /dockercoins there; its output is added to the log."""
    with open(log, "ab") as out:
        return subprocess.Popen(["docker", "exec", "--workdir", "/dockercoins", name, "bash", "-c", command],
                                env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                stderr=subprocess.STDOUT)


def test_two_commands_are_enough_on_a_bare_machine(machines, environment, figure):
    """Both machines at once. Their logs stay in build/e2e/."""
    logs = {suite: pathlib.Path(docker_engine.STATE, f"bare-{suite}.log") for suite in machines}
    for log in logs.values():
        log.unlink(missing_ok=True)
    ups = {suite: in_machine(name, logs[suite], environment, "echo $$ >/up.pid; exec scripts/up --yes")
           for suite, (name, _) in machines.items()}
    tests = {}
    # Two machines share this one, so what takes time takes longer.
    # What the rest of it needs is at least installed, and starts.
    command = ("scripts/install-deps --yes && chromium --version && chromedriver --version "
               "&& /usr/bin/python3 -c 'import selenium' && clang-tidy-19 --version "
               f"&& PYTEST_ADDOPTS='-k \"{SELECTED}\"' DOCKERCOINS_SLOW=1 scripts/test --yes --quick")
    full = os.environ.get("DOCKERCOINS_BARE_FULL")
    if full:
        command = "DOCKERCOINS_SLOW=1 scripts/test --yes"
    for suite, (name, address) in machines.items():
        up, log = ups[suite], logs[suite]
        eventually(lambda: up.poll() is not None or hashes(address), 900, 0.5, f"scripts/up on {suite}")
        assert up.poll() is None, log.read_text()[-5000:]
        assert "Web UI: http://localhost:8000\n" in log.read_text()
        eventually(lambda: re.search(r"^worker_1 +\| INFO:worker:4 units", log.read_text(), re.MULTILINE), 10)
        run("docker", "exec", name, "bash", "-c", "kill $(</up.pid)", env=environment)
        assert up.wait(20) == 0, log.read_text()[-3000:]
        if full or suite == TESTED:
            tests[suite] = in_machine(name, log, environment, command)
    for suite, test in tests.items():
        status = test.wait(2400)
        shown = logs[suite].read_text()
        last = shown.rstrip().splitlines()[-1]
        figure(f"scripts/test on a bare {suite}", last)
        assert status == 0, shown[-8000:]
        assert re.fullmatch(r"\d+ passed, 0 failed, \d+ skipped", last)
