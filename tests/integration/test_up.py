"""scripts/up, as somebody on a bare machine uses it: started, looked at, stopped, and when something goes wrong."""

import contextlib
import fcntl
import json
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import textwrap
import threading
import time
import uuid

import pytest

from harness import PATH, REPO, Redis, eventually, http, scale

# The ports are fixed, so these tests run one after the other.
pytestmark = pytest.mark.xdist_group("up")

WEBUI, RNG, HASHER = 8000, 8001, 8002
URL_LINE = "Web UI: http://localhost:8000"
COLOUR = re.compile(r"^\x1b\[(\d+)m(\w+) +\| \x1b\[0m")
FIRST_PORT_TRIED = 9800  # by scripts/up, for Redis


def is_free(port):
    """Whether a service could listen on it, on every address."""
    with socket.socket(socket.AF_INET6) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("::", port))
            probe.listen(1)
        except OSError:
            return False
    return True


class Up:
    """scripts/up as a process in a session of its own; a context manager that in the end leaves nothing of it.

    Everything it starts inherits a mark in its environment, by which .processes() finds it, and TMPDIR is a folder of
    its own, so that .files() are those that it left.
    """

    def __init__(self, folder, *args, repo=REPO, prefix=(), terminal=False, cwd=None, **env):
        self.temporary = folder / "tmp"
        self.temporary.mkdir(mode=0o777)
        self.temporary.chmod(0o777)
        self.mark = f"DOCKERCOINS_TEST_MARK={uuid.uuid4()}"
        name, value = self.mark.split("=")
        self.command = [*prefix, os.path.join(repo, "scripts/up"), *args]
        self.env = {"PATH": PATH, "HOME": str(folder), "TMPDIR": str(self.temporary), name: value, **env}
        self.cwd = cwd or folder
        self.terminal = terminal
        self.lines = []
        self.errors = []
        self.readers = []

    def __enter__(self):
        if self.terminal:
            self.master, slave = pty.openpty()
            # The output of a terminal and what is said on stderr come by the same way.
            streams = {"stdin": slave, "stdout": slave, "stderr": slave}
        else:
            self.output, output_end = os.pipe()
            errors, errors_end = os.pipe()
            streams = {"stdin": subprocess.DEVNULL, "stdout": output_end, "stderr": errors_end}

        def take_terminal():
            if self.terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(self.command, env=self.env, cwd=self.cwd, start_new_session=True,
                                        preexec_fn=take_terminal, **streams)
        if self.terminal:
            os.close(slave)
            self._follow(self.master, self.lines)
        else:
            os.close(output_end)
            os.close(errors_end)
            self._follow(self.output, self.lines)
            self._follow(errors, self.errors)
        return self

    def __exit__(self, *_):
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()
        for reader in self.readers:
            reader.join(10)

    def _follow(self, descriptor, lines):
        def read():
            with contextlib.suppress(OSError):  # how a terminal says that its other end is closed
                with os.fdopen(descriptor, "rb", closefd=descriptor != getattr(self, "master", None)) as stream:
                    for line in stream:
                        lines.append(line.decode().rstrip("\r\n"))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        self.readers.append(reader)

    def wait_for(self, pattern, timeout=15):
        """The first line in which the pattern occurs, as a match."""
        def look():
            assert self.process.poll() is None, f"it ended:\n{self.text}"
            return next((found for found in map(re.compile(pattern).search, list(self.lines)) if found), None)

        try:
            return eventually(look, timeout, what=f"a line {pattern!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.text}") from None

    def wait_until_mining(self):
        """Until it serves its page and the first counter update is in Redis."""
        self.wait_for(f"^{re.escape(URL_LINE)}$")
        eventually(lambda: int(self.json()["hashes"] or 0) > 0, 15, 0.05, "mining")

    def json(self):
        status, _, body = http(WEBUI, "GET", "/json")
        assert status == 200, body
        return json.loads(body)

    @property
    def text(self):
        return "\n".join([*self.lines, *self.errors])

    def processes(self):
        """Those that it started and that run: command lines by process."""
        found = {}
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                with open(f"/proc/{pid}/environ", "rb") as environment:
                    marked = self.mark.encode() in environment.read().split(b"\0")
                # redis-server writes its title over its environment, but works in a folder of ours.
                if not marked and not os.readlink(f"/proc/{pid}/cwd").startswith(str(self.temporary)):
                    continue
                with open(f"/proc/{pid}/cmdline", "rb") as command:
                    found[int(pid)] = command.read().decode().split("\0")
        return found

    def pids(self, program):
        """Of a service or redis-server."""
        return [pid for pid, command in self.processes().items()
                if os.path.basename(command[0].split(" ")[0]) == program]

    def environment(self, pid):
        with open(f"/proc/{pid}/environ", "rb") as environment:
            return dict(entry.split("=", 1) for entry in environment.read().decode().split("\0") if "=" in entry)

    def stop(self, sig, whole_group=False):
        (os.killpg if whole_group else os.kill)(self.process.pid, sig)
        return self.end()

    def end(self, timeout=10):
        """Waits for the end; its status. Nothing must be left by then."""
        try:
            status = self.process.wait(scale(timeout))
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end; left: {self.processes()}\n{self.text}") from None
        left = self.processes()
        assert left == {}, f"status {status}\n{self.text}"
        assert os.listdir(self.temporary) == []
        for reader in self.readers:
            reader.join(10)
        return status


@pytest.fixture(autouse=True)
def ports_are_ours():
    """Fails early, and says why, where something else uses the fixed ports."""
    for port in (WEBUI, RNG, HASHER):
        eventually(lambda port=port: is_free(port), what=f"port {port}, free of other programs,")
    yield


def test_one_command_starts_everything_from_any_folder(tmp_path):
    with Up(tmp_path, cwd="/") as up:
        up.wait_until_mining()
        assert http(WEBUI, "GET", "/")[0] == 302
        assert http(WEBUI, "GET", "/index.html")[0] == 200
        assert http(RNG, "GET", "/")[2].startswith(b"RNG running on ")
        assert http(HASHER, "GET", "/")[2].startswith(b"HASHER running on ")
        before = int(up.json()["hashes"])
        eventually(lambda: int(up.json()["hashes"]) > before, 10, 0.05, "a counter that goes on")
        assert up.stop(signal.SIGTERM) == 0
        assert up.errors == []


def test_logs_are_merged_and_each_line_says_whose_it_is(tmp_path):
    with Up(tmp_path) as up:
        up.wait_until_mining()
        up.wait_for(r"^worker_1 \| INFO:worker:\d+ units? of work done")
        assert up.stop(signal.SIGTERM) == 0
        logs = [line for line in up.lines if line != URL_LINE]
        assert len(logs) == len(up.lines) - 1
        width = len("worker_1")
        for line in logs:
            assert re.match(r"(redis|rng|hasher|webui|worker_1) *\| ", line), line
            assert line[width:width + 3] == " | ", line
        for pattern in (r"redis .*Ready to accept connections", r'rng .*"GET /32 HTTP/1.1" 200 32$',
                        r'hasher .*"POST / HTTP/1.1" 200 64$', r'webui .*"GET /json HTTP/1.1" 200 '):
            assert any(re.match(pattern, line) for line in logs), pattern
        assert "\x1b" not in up.text


def test_a_worker_stores_its_loops_before_redis_goes(tmp_path):
    with Up(tmp_path) as up:
        up.wait_until_mining()
        posts_at_start = len(up.lines)
        up.wait_for(r"worker_1 \| .*units? of work done")
        eventually(lambda: sum('"POST / HTTP/1.1" 200' in line for line in up.lines[posts_at_start:]) >= 2,
                   what="loops that are not yet counted")
        assert up.stop(signal.SIGTERM) == 0
        done = sum('"POST / HTTP/1.1" 200' in line for line in up.lines)
        counted = sum(int(found.group(1)) for found in
                      (re.search(r"worker:(\d+) units? of work done", line) for line in up.lines) if found)
        # The loop that the stop cut short may have had its answer from hasher.
        assert done - 1 <= counted <= done
        assert not [line for line in up.lines if "ERROR" in line]


@pytest.mark.parametrize("sig, whole_group", [(signal.SIGINT, True), (signal.SIGTERM, False), (signal.SIGTERM, True),
                                              (signal.SIGHUP, True)],
                         ids=["int-to-the-group", "term", "term-to-the-group", "hangup"])
def test_a_signal_ends_everything_with_status_0(tmp_path, sig, whole_group):
    with Up(tmp_path) as up:
        up.wait_until_mining()
        assert up.stop(sig, whole_group) == 0
        for port in (WEBUI, RNG, HASHER):
            assert is_free(port)


def test_signals_right_after_the_start_leave_nothing(tmp_path):
    for attempt, delay in enumerate((0.02, 0.05, 0.1, 0.15, 0.2, 0.3)):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        with Up(folder) as up:
            time.sleep(delay)  # a moment at random, not a wait
            assert up.stop(signal.SIGTERM) in (0, -signal.SIGTERM)


def test_ctrl_c_in_a_terminal_ends_everything(tmp_path):
    with Up(tmp_path, terminal=True) as up:
        up.wait_until_mining()
        os.write(up.master, b"\x03")
        assert up.end() == 0


def test_impatient_ctrl_c_leaves_nothing_either(tmp_path):
    with Up(tmp_path, terminal=True) as up:
        up.wait_until_mining()
        for _ in range(5):
            os.write(up.master, b"\x03")
            time.sleep(0.02)
        assert up.end() == 0


def test_in_a_terminal_every_service_has_a_colour(tmp_path):
    with Up(tmp_path, "--workers", "2", terminal=True) as up:
        up.wait_until_mining()
        up.wait_for(r"worker_2 \| .*INFO:worker:")
        colours = {}
        for line in list(up.lines):
            found = COLOUR.match(line)
            assert found or line == URL_LINE, line
            if found:
                colours.setdefault(found.group(2), set()).add(found.group(1))
        assert set(colours) == {"redis", "rng", "hasher", "webui", "worker_1", "worker_2"}
        assert all(len(colour) == 1 for colour in colours.values())
        assert len({colour for (colour,) in colours.values()}) == 6


def test_workers_option_starts_so_many(tmp_path):
    with Up(tmp_path, "--workers", "3") as up:
        up.wait_until_mining()
        for number in (1, 2, 3):
            up.wait_for(rf"^worker_{number} \| INFO:worker:\d+ units? of work done")
        assert len(up.pids("worker")) == 3


def test_every_setting_is_given_whatever_the_user_has_set(tmp_path):
    common = {"BIND_ADDRESS", "ADMIN_PORT", "DEBUG"}
    expected = {"rng": common | {"PORT", "DELAY_MS"}, "hasher": common | {"PORT", "DELAY_MS"},
                "worker": common | {"DELAY_MS", "RNG_URL", "HASHER_URL", "REDIS_URL"},
                "webui": common | {"PORT", "REDIS_URL", "FILES_DIR", "ASSETS_DIR"}}
    theirs = {name: f"theirs:{name}" for name in set().union(*expected.values()) - {"DEBUG", "DELAY_MS"}}
    with Up(tmp_path, "--workers", "2", DELAY_MS="20", DEBUG="yes", **theirs) as up:
        up.wait_until_mining()
        up.wait_for("DEBUG:worker:Doing one unit of work")
        admin_ports = []
        for program, names in expected.items():
            for pid in up.pids(program):
                environment = up.environment(pid)
                for name in names:
                    assert not environment.get(name, "theirs:").startswith("theirs:"), (program, name)
                assert environment["DEBUG"] == "yes"
                assert environment.get("DELAY_MS") == "20"
                admin_ports.append(int(environment["ADMIN_PORT"]))
        assert len(set(admin_ports)) == 5
        for port in admin_ports:
            assert http(port, "GET", "/readyz", host="127.0.0.1")[0] == 200


def test_a_redis_that_already_runs_is_not_touched(tmp_path):
    theirs = Redis()
    theirs.port = FIRST_PORT_TRIED
    with theirs:
        theirs.command("SET", "theirs", "1")
        with Up(tmp_path) as up:
            up.wait_until_mining()
            assert up.stop(signal.SIGTERM) == 0
        assert theirs.command("KEYS", "*") == [b"theirs"]


def test_redis_answers_this_machine_only(tmp_path):
    with Up(tmp_path) as up:
        up.wait_until_mining()
        (pid,) = up.pids("redis-server")
        inodes = set()
        for name in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{pid}/fd/{name}"))
        listening = []
        for table in ("tcp", "tcp6"):
            with open(f"/proc/{pid}/net/{table}", encoding="ascii") as lines:
                for words in map(str.split, lines):
                    if words[3] == "0A" and f"socket:[{words[9]}]" in inodes:
                        listening.append(words[1].split(":")[0])
        assert listening == ["0100007F"]


@pytest.mark.parametrize("port", [WEBUI, RNG, HASHER])
@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "0.0.0.0"])
def test_a_taken_port_is_one_clear_line(tmp_path, port, address):
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind((address, port))
        taken.listen(1)
        taken.setblocking(False)
        with Up(tmp_path) as up:
            assert up.end() == 1
            assert len(up.errors) == 1 and str(port) in up.errors[0]
            assert up.lines == []
        with pytest.raises(BlockingIOError):  # its owner has not even noticed
            taken.accept()


@pytest.mark.parametrize("program", ["rng", "hasher", "webui", "worker", "redis-server"])
def test_a_service_that_dies_is_one_clear_line_and_the_rest_is_stopped(tmp_path, program):
    with Up(tmp_path, "--workers", "2") as up:
        up.wait_until_mining()
        os.kill(up.pids(program)[0], signal.SIGKILL)
        assert up.end() == 1
        assert len(up.errors) == 1
        assert program.partition("-")[0] in up.errors[0] and "signal 9 (KILL)" in up.errors[0]


def test_a_service_that_cannot_start_is_one_clear_line_and_the_rest_is_stopped(tmp_path):
    with Up(tmp_path, DELAY_MS="soon") as up:
        assert up.end() == 1
        assert len(up.errors) == 1 and re.search("(rng|hasher) ended by itself with status 2", up.errors[0])
        assert any("DELAY_MS=soon" in line for line in up.lines)


def test_everything_ends_when_nobody_reads_the_logs_any_more(tmp_path):
    with subprocess.Popen(["head", "-n", "1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as head:
        up = Up(tmp_path)
        up.process = subprocess.Popen(up.command, env=up.env, stdin=subprocess.DEVNULL, stdout=head.stdin,
                                      stderr=subprocess.PIPE, start_new_session=True)
        head.stdin.close()
        try:
            assert up.end() == 1
            assert len(up.process.stderr.read().splitlines()) == 1
        finally:
            up.__exit__()
            up.process.stderr.close()


def test_nothing_survives_when_the_script_itself_is_killed(tmp_path):
    with Up(tmp_path) as up:
        up.wait_until_mining()
        up.process.kill()
        up.process.wait()
        eventually(lambda: up.processes() == {}, 10, 0.05, "the end of what it had started")
        assert os.listdir(up.temporary) == []


def test_a_second_start_builds_nothing(tmp_path):
    programs = [os.path.join(REPO, "build/release/bin", name) for name in ("rng", "hasher", "worker", "webui")]

    def built():
        return {path: os.stat(path).st_mtime_ns for path in [*programs, os.path.join(REPO, "build/release/build.ninja")]}

    before = built()
    begun = time.monotonic()
    with Up(tmp_path) as up:
        up.wait_for(URL_LINE)
        seconds = time.monotonic() - begun
        assert up.stop(signal.SIGTERM) == 0
        assert not any("Building" in line for line in up.lines)
    assert built() == before
    assert seconds < scale(5)


def test_it_runs_for_a_user_who_is_not_root():
    if os.geteuid() != 0:
        pytest.skip("the other tests are run by such a user")
    user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    if subprocess.run([*user, os.path.join(REPO, "build/release/bin/rng"), "--version"], check=False,
                      capture_output=True).returncode != 0:
        pytest.skip("another user may not enter this folder")
    with tempfile.TemporaryDirectory() as folder:  # pytest keeps others out of those that it makes
        os.chmod(folder, 0o755)
        with Up(pathlib.Path(folder), prefix=user, cwd="/") as up:
            up.wait_until_mining()
            for program in ("rng", "hasher", "worker", "webui", "redis-server"):
                (pid,) = up.pids(program)
                assert os.stat(f"/proc/{pid}").st_uid == 65534
            assert up.stop(signal.SIGTERM) == 0


# ------------------------------------------------------------------------------------------------ options


@pytest.mark.parametrize("args", [["--frobnicate"], ["now"], ["--workers"], ["--workers", "0"], ["--workers", "-1"],
                                  ["--workers", "1.5"], ["--workers", "two"], ["--workers", ""], ["--workers", "1001"],
                                  ["--workers", "99999999999999999999"]], ids=" ".join)
def test_a_bad_option_is_one_clear_line_and_status_2(tmp_path, args):
    with Up(tmp_path, *args) as up:
        assert up.end() == 2
        assert len(up.errors) == 1 and args[0] in up.errors[0]
        assert up.lines == []


def test_help_tells_the_options(tmp_path):
    with Up(tmp_path, "--help") as up:
        assert up.end() == 0
        for option in ("--workers N", "--yes", "--help"):
            assert option in up.text


# ------------------------------------------------------------------------------------------------ building, installing


def other_project(folder, cmake_lists):
    """A project of one CMakeLists.txt with the real scripts."""
    repo = folder / "project"
    shutil.copytree(os.path.join(REPO, "scripts"), repo / "scripts")
    shutil.copy(os.path.join(REPO, "CMakePresets.json"), repo)
    (repo / "CMakeLists.txt").write_text("cmake_minimum_required(VERSION 3.25)\nproject(Other LANGUAGES NONE)\n" +
                                         cmake_lists)
    return repo


@pytest.mark.parametrize("cmake_lists", ['message(FATAL_ERROR "broken on purpose")',
                                         "add_custom_target(broken ALL COMMAND false)"], ids=["configure", "compile"])
def test_a_failed_build_is_one_clear_line(tmp_path, cmake_lists):
    with Up(tmp_path, repo=other_project(tmp_path, cmake_lists)) as up:
        assert up.end(30) == 1
        assert len(up.errors) == 1 and "build failed" in up.errors[0]


@pytest.mark.parametrize("by_terminal", [False, True], ids=["term", "ctrl-c"])
def test_a_stop_during_the_build_leaves_nothing(tmp_path, by_terminal):
    repo = other_project(tmp_path, "add_custom_target(slow ALL COMMAND sleep 301)")
    with Up(tmp_path, repo=repo, terminal=by_terminal) as up:
        eventually(lambda: any(command[:2] == ["sleep", "301"] for command in up.processes().values()), 20,
                   what="a build under way")
        if by_terminal:
            os.write(up.master, b"\x03")
            assert up.end() == 0
        else:
            assert up.stop(signal.SIGTERM) == 0


class FakeDebian:
    """Programs named as those that scripts/install-deps asks and commands: dygraphs is missing, and apt-get notes its words."""

    def __init__(self, folder, apt_get="exit 0"):
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.notes = folder / "apt-get-notes"
        self._program("dpkg-query", '''
            for word; do
              case $word in -* | *' '* | libjs-dygraphs) ;; *) echo "$word installed" ;; esac
            done''')
        self._program("apt-get", f'''
            echo "$*" >>{self.notes}
            {apt_get}''')
        self._program("sudo", '[ "$1" != -n ] || shift; "$@"')
        self.path = f"{self.bin}:{PATH}"

    def _program(self, name, text):
        path = self.bin / name
        path.write_text("#!/bin/bash\n" + textwrap.dedent(text) + "\n")
        path.chmod(0o755)

    def commands(self):
        return self.notes.read_text().splitlines() if self.notes.exists() else []


def test_only_what_is_missing_is_installed_and_listed_first(tmp_path):
    debian = FakeDebian(tmp_path)
    repo = other_project(tmp_path, 'message(FATAL_ERROR "far enough")')
    with Up(tmp_path, repo=repo, PATH=debian.path) as up:
        assert up.end(30) == 1
    assert up.lines[0] == "Missing Debian packages: libjs-dygraphs"
    installs = [command for command in debian.commands() if " install " in command]
    assert len(installs) == 1 and installs[0].endswith(" libjs-dygraphs")
    assert "--no-install-recommends" in installs[0]


@pytest.mark.parametrize("answer, installs", [("n", 0), ("y", 1), ("", 1)])
def test_a_person_at_a_terminal_is_asked_before_anything_is_installed(tmp_path, answer, installs):
    debian = FakeDebian(tmp_path)
    repo = other_project(tmp_path, 'message(FATAL_ERROR "far enough")')
    with Up(tmp_path, repo=repo, terminal=True, PATH=debian.path) as up:
        up.wait_for("Missing Debian packages: libjs-dygraphs")
        assert debian.commands() == []
        os.write(up.master, answer.encode() + b"\n")
        assert up.end(30) == 1
    assert sum(" install " in command for command in debian.commands()) == installs
    assert ("far enough" in up.text) == bool(installs)


def test_with_yes_a_person_at_a_terminal_is_not_asked(tmp_path):
    debian = FakeDebian(tmp_path)
    repo = other_project(tmp_path, 'message(FATAL_ERROR "far enough")')
    with Up(tmp_path, "--yes", repo=repo, terminal=True, PATH=debian.path) as up:
        assert up.end(30) == 1
    assert sum(" install " in command for command in debian.commands()) == 1
    assert "far enough" in up.text


def test_a_failed_installation_is_one_clear_line(tmp_path):
    debian = FakeDebian(tmp_path, apt_get='[[ $* != *" install "* ]]')
    with Up(tmp_path, repo=other_project(tmp_path, ""), PATH=debian.path) as up:
        assert up.end() == 1
        assert len(up.errors) == 1 and "libjs-dygraphs" in up.errors[0]


@pytest.mark.parametrize("moment", ["question", "term", "ctrl-c"])
def test_a_stop_during_the_installation_leaves_nothing(tmp_path, moment):
    debian = FakeDebian(tmp_path, apt_get="exec sleep 302")
    with Up(tmp_path, *([] if moment == "question" else ["--yes"]), repo=other_project(tmp_path, ""),
            terminal=moment != "term", PATH=debian.path) as up:
        up.wait_for("Missing Debian packages")
        if moment != "question":
            eventually(lambda: any(command[:2] == ["sleep", "302"] for command in up.processes().values()),
                       what="an installation under way")
        if moment == "term":
            assert up.stop(signal.SIGTERM) == 0
        else:
            os.write(up.master, b"\x03")
            assert up.end() == 0


def test_nothing_happens_when_nothing_is_missing(tmp_path):
    debian = FakeDebian(tmp_path)
    (debian.bin / "dpkg-query").write_text('#!/bin/bash\nfor word; do echo "$word installed"; done\n')
    begun = time.monotonic()
    done = subprocess.run([os.path.join(REPO, "scripts/install-deps")], env={"PATH": debian.path}, check=True,
                          capture_output=True, text=True, timeout=scale(20))
    assert time.monotonic() - begun < scale(2)
    assert (done.stdout, done.stderr) == ("", "")
    assert debian.commands() == []
