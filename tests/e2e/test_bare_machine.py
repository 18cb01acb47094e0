"""The README's commands for a bare machine, in a container with the smallest Debian: no step of it is missing."""

import pathlib
import re

import pytest

from compose import get, run, running
from harness import eventually

# Root may make namespaces, the loopback interface has IPv6. (Less than --privileged, which not every engine allows.)
AS_A_MACHINE = ("--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
                "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
                "--security-opt", "systempaths=unconfined", "--sysctl", "net.ipv6.conf.all.disable_ipv6=0")

WHOLE = ("scripts/install-deps --yes && chromium --version && chromedriver --version && clang-tidy-19 --version && "
         "/usr/bin/python3 -c 'import selenium' && DOCKERCOINS_SLOW=1 scripts/test --yes")


@pytest.mark.parametrize("suite, tests", [
    ("trixie", None),  # has the newer compiler and tools, which warn more
    *(pytest.param(suite, WHOLE, marks=pytest.mark.release) for suite in ("trixie", "bookworm"))])
def test_two_commands_are_enough_on_a_bare_machine(engine, checkout, environment, docker, figure, suite, tests):
    log = pathlib.Path(engine.STATE, f"bare-{suite}.log")
    name = docker("run", "--detach", "--init", "--cpu-shares", "2", *AS_A_MACHINE, f"debian:{suite}-slim",
                  "sleep", "infinity")
    shell = ("docker", "exec", "--workdir", "/dockercoins", name, "bash", "-c")
    try:
        docker("cp", f"{checkout}/.", f"{name}:/dockercoins")
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", name)
        with running([*shell, "echo $$ >/up.pid; exec scripts/up --yes"], log, env=environment) as up:
            eventually(lambda: up.poll() is not None or re.search(
                r'"hashes":"[1-9]', get(f"http://{address}:8000/json", timeout=2)[1]), 900, 0.5, "a hash")
            assert "Web UI: http://localhost:8000\n" in log.read_text(), log.read_text()[-5000:]
            eventually(lambda: re.search(r"^worker_1 +\| INFO:worker:4 units", log.read_text(), re.MULTILINE), 30)
            docker("exec", name, "bash", "-c", "kill $(</up.pid)")
            assert up.wait(30) == 0, log.read_text()[-3000:]
        if tests:
            last = run(*shell, tests, env=environment, timeout=2400).stdout.splitlines()[-1]
            figure(f"scripts/test on a bare {suite}", last)
            assert re.fullmatch(r"\d+ passed, 0 failed, \d+ skipped", last)
    finally:
        docker("rm", "--force", name)
