"""scripts/up: start, use, stop, and what happens when something goes wrong."""

import contextlib
import fcntl
import os
import pathlib
import pty
import re
import shutil
import signal
import subprocess
import termios
import time

import pytest

from harness import NAMESPACES, OWN_NETWORK, PATH, REPO, eventually, in_network_of, listening, needs_namespaces, scale

# The ports are fixed: each test has its own network, or the tests run one after another.
pytestmark = [] if NAMESPACES else pytest.mark.xdist_group("up")
slow = pytest.mark.slow

URL_LINE = "Web UI: http://localhost:8000"


class Up:
    """scripts/up in a session of its own, with its own TMPDIR; a context manager that leaves nothing behind."""

    def __init__(self, folder, *args, repo=REPO, prefix=(), terminal=False, stdout=None, **env):
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._files = folder / "out", folder / "err"
        with open(self._files[0], "wb") as out, open(self._files[1], "wb") as err:
            streams = {"stdin": subprocess.DEVNULL, "stdout": stdout or out, "stderr": err}
            if terminal:
                self.master, slave = pty.openpty()
                subprocess.Popen(["cat"], stdin=self.master, stdout=out, stderr=subprocess.DEVNULL)
                streams = dict.fromkeys(streams, slave)
            self.process = subprocess.Popen(
                ["env", "--default-signal=HUP", *(OWN_NETWORK if NAMESPACES else ()), *prefix,
                 os.path.join(repo, "scripts/up"), *args], cwd="/",
                env={"PATH": PATH, "HOME": str(folder), "TMPDIR": str(self.temporary), **env}, start_new_session=True,
                preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if terminal else None, **streams)
        if terminal:
            os.close(slave)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()

    @property
    def lines(self):
        return self._files[0].read_text().splitlines()

    @property
    def errors(self):
        return self._files[1].read_text().splitlines()

    def wait_for(self, pattern, since=0):
        """Waits for a line that contains the pattern."""
        def look():
            assert self.process.poll() is None, f"it ended:\n{self.text}"
            return re.search(pattern, "\n".join(self.lines[since:]), re.MULTILINE)

        eventually(look, 20, what=f"a line {pattern!r}")

    def wait_until_mining(self):
        """Waits until it serves its page and the first counter update is in Redis."""
        self.wait_for(f"^{URL_LINE}$")
        eventually(lambda: re.search(r'"hashes":"[1-9]', self.get(8000, "/json")), 15, 0.05, "mining")

    def get(self, port, path):
        enter = in_network_of(self.process.pid) if NAMESPACES else []
        command = [*enter, "curl", "-sS", f"http://127.0.0.1:{port}{path}"]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout

    @property
    def text(self):
        return "\n".join([*self.lines, *self.errors])

    def processes(self):
        """The command lines of the processes that it started and that are running, by process."""
        found = {}
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if f"TMPDIR={self.temporary}".encode() in (folder / "environ").read_bytes():
                    found[int(folder.name)] = (folder / "cmdline").read_text().replace("\0", " ")
        return found

    def pids(self, program):
        return [pid for pid, command in self.processes().items() if command.split(" ")[0].endswith(program)]

    def stop(self, sig, kill=os.kill):
        kill(self.process.pid, sig)
        return self.end()

    def end(self):
        """Waits for the end and returns the status. Nothing may be left by then."""
        try:
            status = self.process.wait(scale(30))
        except subprocess.TimeoutExpired:
            status = None
        assert (self.processes(), os.listdir(self.temporary)) == ({}, []), f"status {status}\n{self.text}"
        return status


def beside_redis(port, address="127.0.0.1"):
    """A prefix for a machine where another Redis runs; at the end it prints how many connections that has had."""
    client = f"redis-cli -h {address} -p {port}"
    return ["sh", "-c", f'''
        env -u TMPDIR redis-server --port {port} --bind {address} --dir / --save "" --daemonize yes >/dev/null
        until {client} ping >/dev/null 2>&1; do sleep 0.01; done
        trap : TERM
        "$@"
        status=$?
        {client} dbsize; {client} info stats | grep connections_received; {client} shutdown; exit $status''', "sh"]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_one_command_starts_everything_from_any_folder_and_a_stop_loses_no_loop(tmp_path, sig):
    with Up(tmp_path) as up:
        up.wait_until_mining()
        for port, path, begins in ((8001, "/", "RNG running on "), (8002, "/", "HASHER running on "),
                                   (8000, "/index.html", "<!doctype html>")):
            assert up.get(port, path).startswith(begins)
        up.wait_for("INFO:worker:[1-9]")
        up.wait_for(r'("POST / HTTP/1.1" 200(.|\n)*){2}', since=len(up.lines))  # loops that are not counted
        assert (up.stop(sig), up.errors) == (0, [])
        logs = [line for line in up.lines if line != URL_LINE and not line.startswith("ninja: ")]
        named = re.compile(r"(redis   |rng     |hasher  |webui   |worker_1) \| ")
        assert [line for line in logs if not named.match(line)] == []
        done = sum('hasher   | ' in line and '"POST / HTTP/1.1" 200 64' in line for line in logs)
        counted = sum(map(int, re.findall(r"INFO:worker:(\d+) units? of work done", up.text)))
        assert done - 1 <= counted <= done, "hasher may have completed the loop that the stop interrupted"
        assert "\x1b" not in up.text


def test_settings_are_passed_on_except_its_own_and_the_users_redis_is_not_touched(tmp_path):
    own = ["PORT", "BIND_ADDRESS", "ADMIN_PORT", "RNG_URL", "HASHER_URL", "REDIS_URL", "FILES_DIR", "ASSETS_DIR"]
    bad = dict.fromkeys(own, "no program starts with this")
    with Up(tmp_path, "--workers", "2", prefix=beside_redis(9800), DEBUG="yes", **bad) as up:
        up.wait_until_mining()
        for number in (1, 2):
            up.wait_for(rf"^worker_{number} \| DEBUG:worker:Doing one unit of work")
        assert {address for address, _ in listening(*up.pids("redis-server"))} == {"0100007F"}, "this machine only"
        assert up.stop(signal.SIGTERM, os.killpg) == 0
    assert up.lines[-2:] == ["0", "total_connections_received:3"]


def test_in_a_terminal_every_service_has_a_colour_and_repeated_ctrl_c_leaves_nothing(tmp_path):
    with Up(tmp_path, "--workers", "2", terminal=True) as up:
        up.wait_until_mining()
        up.wait_for(r"worker_2 \| .*INFO:worker:")
        colours = {re.match(r"\x1b\[(\d+)m(\w+) +\| \x1b\[0m", line).groups()
                   for line in up.lines if " | " in line}
        assert {name for _, name in colours} == {"redis", "rng", "hasher", "webui", "worker_1", "worker_2"}
        assert len({colour for colour, _ in colours}) == len(colours) == 6
        for _ in range(5):
            with contextlib.suppress(OSError):  # all may have ended before the last
                os.write(up.master, b"\x03")
            time.sleep(0.02)
        assert up.end() in (0, -signal.SIGINT), "the last may come when Python has ended"


def test_the_ports_can_be_set_and_under_nohup_a_hangup_is_ignored(tmp_path):
    ports = {"PUBLISH_WEBUI": "9801", "PUBLISH_RNG": "8101", "PUBLISH_HASHER": ""}
    with Up(tmp_path, prefix=["sh", "-c", 'trap "" HUP; exec "$@"', "sh"], **ports) as up:
        up.wait_for("^Web UI: http://localhost:9801$")
        assert up.get(8101, "/").startswith("RNG ") and up.get(8002, "/").startswith("HASHER ")
        os.killpg(up.process.pid, signal.SIGHUP)
        up.wait_for("INFO:worker:[1-9]", since=len(up.lines))
        assert up.stop(signal.SIGINT, os.killpg) == 0


@pytest.mark.parametrize("delay", [0.02, 0.1, 0.3])
def test_a_signal_right_after_the_start_leaves_nothing(tmp_path, delay):
    with Up(tmp_path) as up:
        # Until then this process provides the network.
        eventually(lambda: pathlib.Path(f"/proc/{up.process.pid}/comm").read_text(encoding="ascii") in (
            "bash\n", "python3\n"))
        time.sleep(delay)  # a random moment, not a wait for something
        assert up.stop(signal.SIGTERM) in (0, -signal.SIGTERM)


@pytest.mark.parametrize("victim, settings, said", [
    ("worker", {}, r"up: worker(_\d)? was killed by SIGKILL"),
    pytest.param("redis-server", {}, "up: redis was killed by SIGKILL", marks=slow),
    (None, {"DELAY_MS": "soon"}, "up: rng ended by itself with status 2")])
def test_a_service_that_dies_or_cannot_start_is_one_line_and_the_rest_is_stopped(tmp_path, victim, settings, said):
    with Up(tmp_path, "--workers", "2", **settings) as up:
        if victim:
            up.wait_until_mining()
            os.kill(up.pids(victim)[0], signal.SIGKILL)
        assert up.end() == 1
    assert re.fullmatch(said + "; the rest was stopped", "\n".join(up.errors))
    assert ("DELAY_MS=soon" in up.text) == bool(settings)


def test_everything_ends_when_nobody_reads_the_logs_any_more(tmp_path):
    with subprocess.Popen(["head", "-n", "9"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as head:
        with Up(tmp_path, stdout=head.stdin) as up:
            head.stdin.close()
            assert (up.end(), up.errors) == (1, ["up: nobody reads the logs any more; the rest was stopped"])


def test_nothing_survives_when_the_script_itself_is_killed(tmp_path):
    with Up(tmp_path) as up:
        up.wait_for(URL_LINE)
        up.process.kill()
        up.process.wait()
        eventually(lambda: up.processes() == {}, 20, 0.05, "the end of what it had started")
        eventually(lambda: os.listdir(up.temporary) == [], what="the end of its files")


@pytest.mark.parametrize("port, needs, address", [(8000, "webui", "127.0.0.1"), (8001, "rng", "::1"),
                                                  (8002, "hasher", "0.0.0.0")])
def test_a_taken_port_is_one_clear_line_and_its_owner_notices_nothing(tmp_path, port, needs, address):
    with Up(tmp_path, prefix=beside_redis(port, address)) as up:
        assert (up.end(), up.lines[-1:], up.errors) == (
            1, ["total_connections_received:3"], [f"up: port {port}, which {needs} needs, is taken by another program"])


@pytest.mark.parametrize("args, settings, said", [
    (["now"], {}, "unrecognized arguments: now"),
    (["--workers", "1001"], {}, "--workers 1001: a whole number from 1 to 1000 is expected"),
    ([], {"PUBLISH_RNG": "0"}, "PUBLISH_RNG 0: a whole number from 1 to 65535 is expected")])
def test_a_bad_option_is_one_clear_line_and_status_2(tmp_path, args, settings, said):
    with Up(tmp_path, *args, **settings) as up:
        assert (up.end(), up.lines, up.errors) == (2, [], [f"up: {said}; see scripts/up --help"])


@needs_namespaces
@pytest.mark.parametrize("keys, status", [("n\n", 1), ("\x03", 0)], ids=["no", "ctrl-c"])
def test_a_person_is_asked_before_anything_is_installed_also_for_a_newer_revision(tmp_path, keys, status):
    (tmp_path / "dpkg-query").write_text("#!/bin/sh\nexit 1\n")  # no package is installed
    (tmp_path / "dpkg-query").chmod(0o755)
    (tmp_path / "version").write_text("0.18.7-1\n")
    older = f'mount --bind {tmp_path}/version /usr/local/share/doc/cpp-httplib/version && exec "$@"'
    with Up(tmp_path, terminal=True, prefix=["unshare", "--mount", "sh", "-c", older, "sh"],
            PATH=f"{tmp_path}:{PATH}") as up:
        up.wait_for("^Missing Debian packages: cmake g.*redis-server dpkg-dev$")
        up.wait_for("^Missing libraries, from Debian to /usr/local: cpp-httplib$")
        os.write(up.master, keys.encode())
        assert up.end() == status


@pytest.mark.parametrize("target, keys, status, said", [
    ("message(FATAL_ERROR no)", "", 1, "up: the build failed; its output above says why"),
    ("add_custom_target(fails ALL COMMAND false)", "", 1, "up: the build failed; its output above says why"),
    ("add_custom_target(slow ALL COMMAND sleep 301)", "\x03", 0, "")], ids=["configure", "compile", "ctrl-c"])
def test_a_failed_build_is_one_line_and_one_that_is_stopped_leaves_nothing(tmp_path, target, keys, status, said):
    shutil.copytree(os.path.join(REPO, "scripts"), tmp_path / "scripts")
    shutil.copy(os.path.join(REPO, "CMakePresets.json"), tmp_path)
    project = f"cmake_minimum_required(VERSION 3.25)\nproject(Other LANGUAGES NONE)\n{target}"
    (tmp_path / "CMakeLists.txt").write_text(project)
    with Up(tmp_path, repo=tmp_path, terminal=True) as up:
        if keys:
            eventually(lambda: "sleep 301" in str(up.processes()), 20, what="the build")
            os.write(up.master, keys.encode())
        assert up.end() == status
    assert said in up.text
