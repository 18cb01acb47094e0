"""Starts the real programs, a real Redis and real sockets for the integration tests.

Nothing here knows the services' insides: a test sees what a client, an operator or a log reader sees.
Everything can run in parallel (pytest-xdist): ports are reserved across processes, folders are temporary.

DOCKERCOINS_BIN   folder of the four binaries; default build/release/bin of this repository
DOCKERCOINS_SLOW  1: widen the time bounds, as is done by itself for binaries in an asan or tsan folder
"""

import contextlib
import fcntl
import os
import re
import resource
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from http.client import HTTPConnection

import pytest

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("DOCKERCOINS_BIN") or os.path.join(REPO, "build/release/bin"))
SANITIZED = bool(re.search(r"asan|tsan", BIN))
SLOW = SANITIZED or os.environ.get("DOCKERCOINS_SLOW", "0") not in ("", "0")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SANITIZER_REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")


def raise_open_files_limit():
    """A thousand connections from one test process need more than the usual soft limit of 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


raise_open_files_limit()


def scale(seconds):
    """An upper bound in seconds, wider where the binaries are instrumented and therefore slow."""
    return seconds * 4 if SLOW else seconds


# The contract's second, of which a service uses 0.8 at most, and half a one more for a machine that is busy.
STOPS_WITHIN = scale(1) + 0.5


def eventually(predicate, timeout=5.0, interval=0.01, what="the condition"):
    """Waits until predicate() is true and returns what it gave; fails the test after `timeout` seconds
    (scaled).
    """
    deadline = time.monotonic() + scale(timeout)
    while True:
        result = predicate()
        if result:
            return result
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {scale(timeout)} s (last: {result!r})")
        time.sleep(interval)


# ------------------------------------------------------------------------------------------------------ ports

_reservations = []
_next_port = 10000 + (os.getpid() * 61) % 20000


def free_port():
    """A TCP port that nobody listens on and no other test process on this machine will be given.

    Taken from below the range from which the kernel takes ports for outgoing connections. An abstract Unix
    socket of that name, held until this process ends, is the reservation.
    """
    global _next_port
    for _ in range(20000):
        _next_port = _next_port + 1 if _next_port < 31999 else 10000
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0dockercoins-test-port-{_next_port}")
        except OSError:
            claim.close()
            continue
        if _bindable(_next_port):
            _reservations.append(claim)
            return _next_port
        claim.close()
    raise AssertionError("no free port")


def _bindable(port):
    for family, address in ((socket.AF_INET6, "::"), (socket.AF_INET, "0.0.0.0")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind((address, port))
                probe.listen(1)
        except OSError as error:
            if family == socket.AF_INET:
                return False
            if error.errno not in (97, 99):  # EAFNOSUPPORT, EADDRNOTAVAIL: a machine without IPv6
                return False
    return True


class Blackhole:
    """A port on which connecting never succeeds and never fails: its listen queue is full and nobody
    accepts.
    """

    def __enter__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.port = self.listener.getsockname()[1]
        self.fillers = []
        for _ in range(8):  # the kernel takes one or two, then drops what comes
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", self.port))
            self.fillers.append(filler)
        time.sleep(0.05)
        return self

    def __exit__(self, *_):
        for filler in self.fillers:
            filler.close()
        self.listener.close()


@contextlib.contextmanager
def dead_name_server():
    """Gives a command prefix under which resolving a name hangs: its name server says nothing.

    Needs NAMESPACES (and takes port 53 of a loopback address of its own).
    """
    with contextlib.ExitStack() as stack:
        mute = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        address = f"127.{os.getpid() >> 16 & 63 | 64}.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"
        mute.bind((address, 53))
        resolv = stack.enter_context(tempfile.NamedTemporaryFile("w", prefix="dockercoins-resolv-"))
        resolv.write(f"nameserver {address}\noptions timeout:5 attempts:2\n")
        resolv.flush()
        os.chmod(resolv.name, 0o644)
        yield [
            "unshare",
            "--mount",
            "sh",
            "-c",
            f'mount --bind {resolv.name} /etc/resolv.conf && exec "$@"',
            "sh",
        ]


def _namespaces():
    if os.geteuid() != 0 or not all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip", "curl")):
        return False
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


# Whether a test may have a network, mounts and processes of its own: needs root, and more than Docker gives
# it by default.
NAMESPACES = _namespaces()

# A command prefix that gives a network of its own (loopback only): every port is free there. Needs
# NAMESPACES.
OWN_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def in_network_of(pid, *command, **options):
    """Runs a command to its end in the network of that process."""
    return subprocess.run(
        ["nsenter", "--target", str(pid), "--net", *command],
        capture_output=True,
        text=True,
        timeout=scale(20),
        check=False,
        **options,
    )


# -------------------------------------------------------------------------------------------------- processes


def personality_prefix():
    """Sanitizers of older compilers stumble over today's wide address space randomisation: switch it off
    for them.
    """
    if not SANITIZED:
        return []
    if not hasattr(personality_prefix, "works"):
        tried = subprocess.run(["setarch", "-R", "true"], capture_output=True, check=False)
        personality_prefix.works = tried.returncode == 0
    return ["setarch", "-R"] if personality_prefix.works else []


def base_environment():
    env = {"PATH": PATH}
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
        if name in os.environ:
            env[name] = os.environ[name]
    if SANITIZED:
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        # A service that its deadline ends leaves threads that have ended and were not joined.
        env.setdefault("TSAN_OPTIONS", "halt_on_error=1:report_thread_leaks=0:atexit_sleep_ms=0")
    return env


def binary(name):
    path = os.path.join(BIN, name)
    if not os.access(path, os.X_OK):
        raise AssertionError(f"{path} is not there: build it first (or set DOCKERCOINS_BIN)")
    return path


def run(name, *args, prefix=(), path=None, timeout=20, **env):
    """Runs a binary to its end with only the given environment. For what ends by itself: flags, bad
    settings.
    """
    full = dict(base_environment(), **{key: str(value) for key, value in env.items()})
    return subprocess.run(
        [*prefix, *personality_prefix(), path or binary(name), *args],
        env=full,
        capture_output=True,
        text=True,
        timeout=scale(timeout),
        stdin=subprocess.DEVNULL,
        check=False,
    )


class Service:
    """One of the four programs, as a process; a context manager.

    Service("rng", DELAY_MS=50) starts rng with that setting, PORT=0, BIND_ADDRESS=127.0.0.1, ADMIN_PORT=0 and
    nothing else but a PATH. A value of None leaves the variable out. webui gets FILES_DIR and ASSETS_DIR of
    the repository and of Debian.

      admin=True    gives it an admin port, in .admin_port
      prefix=[...]  words before the command, such as ["setpriv", "--reuid=1000", ...]; they must exec
      args=[...]    flags
      path=...      another copy of the program
      pipe_size=N   size of the pipe behind stdout; see stop_reading()

    Leaving the context stops it with TERM if the test has not: it must then end with status 0 and no
    sanitizer report.
    """

    def __init__(self, name, *, admin=False, prefix=(), args=(), path=None, pipe_size=None, **env):
        self.name = name
        self.env = base_environment()
        self.env.update(ADMIN_PORT="0", BIND_ADDRESS="127.0.0.1")
        if name != "worker":
            self.env["PORT"] = "0"
        if name == "webui":
            self.env.update(FILES_DIR=os.path.join(REPO, "webui/files"), ASSETS_DIR="/usr/share/javascript")
        self.admin_port = None
        if admin:
            self.admin_port = free_port()
            self.env["ADMIN_PORT"] = str(self.admin_port)
        elif env.get("ADMIN_PORT") not in (None, "0", 0):
            self.admin_port = int(env["ADMIN_PORT"])
        for key, value in env.items():
            if value is None:
                self.env.pop(key, None)
            else:
                self.env[key] = str(value)
        self.command = [*prefix, *personality_prefix(), path or binary(name), *args]
        self.pipe_size = pipe_size
        self.lines = []  # both streams, in the order in which they came
        self.stdout = []
        self.stderr = []
        self.process = None
        self._stopped_by_test = False
        self._hung_up = False
        self._changed = threading.Condition()
        self._reading = threading.Event()
        self._port = None
        self._readers = []

    def __enter__(self):
        self.start()
        return self

    def start(self):
        out_read, out_write = os.pipe()
        if self.pipe_size:
            fcntl.fcntl(out_write, 1031, self.pipe_size)  # F_SETPIPE_SZ
        err_read, err_write = os.pipe()
        try:
            self.process = subprocess.Popen(
                self.command, env=self.env, stdout=out_write, stderr=err_write, stdin=subprocess.DEVNULL
            )
        finally:
            os.close(out_write)
            os.close(err_write)
        self._reading.set()
        for fd, lines in ((out_read, self.stdout), (err_read, self.stderr)):
            reader = threading.Thread(target=self._read, args=(fd, lines), daemon=True)
            reader.start()
            self._readers.append(reader)
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        """The port it serves on; waits until it says so."""
        if self._port is None:
            pattern = rf"{self.name.upper()} running on port (\d+)$"
            self._port = int(self.wait_for_line(pattern, timeout=10).group(1))
        return self._port

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    @property
    def log(self):
        with self._changed:
            return "\n".join(self.lines)

    def access_lines(self):
        """The access log so far: the lines with a Common Log Format time in them."""
        with self._changed:
            return [line for line in self.stdout if re.search(r" - - \[\d\d/\w{3}/\d{4}:", line)]

    def wait_for_line(self, pattern, timeout=5.0, start=0):
        """The first line from lines[start] on in which the regular expression occurs, as a match; fails if
        none comes.
        """
        deadline = time.monotonic() + scale(timeout)
        at = start
        with self._changed:
            while True:
                while at < len(self.lines):
                    found = re.search(pattern, self.lines[at])
                    if found:
                        return found
                    at += 1
                left = deadline - time.monotonic()
                ended = not any(reader.is_alive() for reader in self._readers)
                if left <= 0 or ended:
                    why = "it ended" if ended else f"{scale(timeout)} s passed"
                    text = "\n".join(self.lines[-60:])
                    raise AssertionError(f"{self.name}: no line {pattern!r} ({why}); its log:\n{text}")
                self._changed.wait(min(left, 0.2))

    def stop_reading(self):
        """From now on nobody reads its stdout and stderr: the pipes fill up and its writes block."""
        self._reading.clear()

    def hang_up(self):
        """Closes the reading ends of its stdout and stderr: from now on its writes fail (EPIPE)."""
        self._hung_up = True
        for reader in self._readers:
            reader.join(scale(5))

    def send_signal(self, sig):
        self.process.send_signal(sig)

    def wait(self, timeout=10.0):
        """Waits for the end and returns the exit status (negative: the signal that killed it)."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                pidfd = os.pidfd_open(self.process.pid)
                try:
                    ended = select.poll()  # not subprocess's wait(), which looks every 50 ms
                    ended.register(pidfd, select.POLLIN)
                    ended.poll(scale(timeout) * 1000)
                finally:
                    os.close(pidfd)
        status = self.process.poll()
        if status is None:
            raise AssertionError(f"{self.name} did not end within {scale(timeout)} s; its log:\n{self.log}")
        return status

    def stop(self, sig=signal.SIGTERM, timeout=10.0):
        """Sends the signal and waits; its log is then complete. Returns (exit status, seconds it took)."""
        self._stopped_by_test = True
        begun = time.monotonic()
        self.process.send_signal(sig)
        status = self.wait(timeout)
        took = time.monotonic() - begun
        if self._reading.is_set():
            for reader in self._readers:  # its last lines
                reader.join(scale(5))
        return status, took

    def kill(self):
        """Ends it as a crash would."""
        self._stopped_by_test = True
        self.process.kill()
        self.process.wait()

    def __exit__(self, kind, _value, _trace):
        self._reading.set()
        problem = None
        try:
            if self._stopped_by_test:
                if self.running:
                    problem = "is still running after the test stopped it"
            elif not self.running:
                problem = f"ended by itself with status {self.process.returncode}"
            else:
                status, _ = self.stop(timeout=5)
                if status != 0:
                    problem = f"ended with status {status} on TERM"
        except AssertionError:
            problem = "did not end on TERM"
        finally:
            if self.running:
                self.process.kill()
                self.process.wait()
        for reader in self._readers:
            reader.join(scale(5))
        if any(SANITIZER_REPORT.search(line) for line in self.stderr):
            problem = "got a sanitizer report"
        if problem or kind is not None:
            print(f"--- log of {self.name} (pid {self.pid}) ---\n" + "\n".join(self.lines[-200:]))
        if problem and kind is None:
            raise AssertionError(f"{self.name} {problem}")
        return False

    def _read(self, fd, lines):
        pending = b""
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        try:
            while not self._hung_up:
                self._reading.wait()
                if not poller.poll(200) or not self._reading.is_set() or self._hung_up:
                    continue
                data = os.read(fd, 65536)
                whole = (pending + data).split(b"\n")
                pending = whole.pop() if data else b""
                if not data and whole == [b""]:
                    whole = []
                with self._changed:
                    for line in whole:
                        text = line.decode("utf-8", "surrogateescape")
                        lines.append(text)
                        self.lines.append(text)
                    self._changed.notify_all()
                if not data:
                    return
        finally:
            os.close(fd)


def private_kib(pid):
    """Memory that is the process's own, in KiB. (Private_Dirty also counts a program just built, not yet on disk.)"""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"^Anonymous:\s+(\d+) kB", rollup.read(), re.MULTILINE).group(1))


# ------------------------------------------------------------------------------------------------------- HTTP


def open_socket(port, host="127.0.0.1", timeout=10.0, receive_buffer=None):
    """A connected TCP socket."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = socket.socket(family, socket.SOCK_STREAM)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(scale(timeout))
    try:
        connection.connect((host, port))
    except BaseException:
        connection.close()
        raise
    return connection


def read_to_end(connection, limit=None):
    """All bytes until the other side closes (or resets: what came before counts), at most `limit`."""
    parts = []
    size = 0
    while limit is None or size < limit:
        try:
            data = connection.recv(262144 if limit is None else min(262144, limit - size))
        except ConnectionError:
            break
        if not data:
            break
        parts.append(data)
        size += len(data)
    return b"".join(parts)


def raw(port, data, timeout=10.0, host="127.0.0.1"):
    """Sends the bytes and returns all that comes back until the other side closes."""
    with open_socket(port, host, timeout) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        return read_to_end(connection)


def collect(connections, timeout=10.0):
    """Reads all of these sockets to their ends at once. Returns (bytes, time.monotonic() at the end) for
    each, in order.
    """
    deadline = time.monotonic() + scale(timeout)
    received = [bytearray() for _ in connections]
    ended = [None] * len(connections)
    index = {connection.fileno(): at for at, connection in enumerate(connections)}
    poller = select.poll()
    for fd in index:
        poller.register(fd, select.POLLIN)
    while None in ended:
        left = deadline - time.monotonic()
        if left <= 0:
            raise AssertionError(
                f"{ended.count(None)} of {len(connections)} connections still open after "
                f"{scale(timeout)} s"
            )
        for fd, _ in poller.poll(left * 1000):
            at = index[fd]
            try:
                data = connections[at].recv(262144)
            except ConnectionError:
                data = b""
            if data:
                received[at] += data
            else:
                ended[at] = time.monotonic()
                poller.unregister(fd)
    return [(bytes(data), end) for data, end in zip(received, ended)]


class Answer:
    """An HTTP answer taken apart: .status, .reason, .headers (lower-case names; a repeated one joined by
    ', '), .body.
    """

    def __init__(self, data):
        head, separator, self.body = data.partition(b"\r\n\r\n")
        if not separator:
            raise AssertionError(f"not a complete HTTP answer: {data[:200]!r}")
        lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"(HTTP/1\.[01]) (\d{3}) ?(.*)", lines[0])
        if not match:
            raise AssertionError(f"not an HTTP status line: {lines[0]!r}")
        self.version = match.group(1)
        self.status = int(match.group(2))
        self.reason = match.group(3)
        self.headers = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise AssertionError(f"not a header line: {line!r}")
            name, value = name.strip().lower(), value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.headers} {self.body[:100]!r} ({len(self.body)} bytes)>"


def ask(port, data, timeout=10.0, host="127.0.0.1"):
    """As raw(), but the answer taken apart."""
    return Answer(raw(port, data, timeout, host))


def answer_after_sending(port, start, pieces):
    """The answer to a client that sends all of this, for some 0.3 s after `start`, before it looks at the answer.

    A refused client is listened to for a second: where a busy machine makes the sending last longer, it tries again.
    """
    for _ in range(5):
        with open_socket(port, timeout=30) as connection:
            connection.sendall(start)
            begun = time.monotonic()
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(0.005)
            except ConnectionError:
                if time.monotonic() - begun < 0.8:
                    raise
                continue
            in_time = time.monotonic() - begun < 0.8
            data = read_to_end(connection)
        if data or in_time:
            return Answer(data)
    pytest.skip("this machine is too busy to send 5 MB in a second")


def http(port, method, path, body=None, headers=None, timeout=10.0, host="127.0.0.1"):
    """One request through Python's own client. Returns (status, headers, body)."""
    connection = HTTPConnection(host, port, timeout=scale(timeout))
    try:
        connection.request(method, path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


# ------------------------------------------------------------------------------------------------------ Redis
class RedisError(Exception):
    """An error reply."""


class Redis:
    """A real redis-server on a free port with its data in a temporary folder; a context manager.

    Every write is on disk before it is acknowledged, so that .stop() or .kill() and .start() keep the data.
    .pause() makes it hang, .resume() ends that. .command("HSET", "wallet", "x", b"\\xff") talks to it;
    replies are int, bytes, None or lists of these, an error reply raises RedisError.
    """

    def __init__(self, *options):
        self.options = [str(option) for option in options]
        self.port = free_port()
        self.folder = None
        self.process = None
        self._connection = None

    @property
    def url(self):
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="dockercoins-redis-")
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        self._disconnect()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self):
        """Starts it (again, on the same port) and waits until it answers."""
        command = [
            "redis-server",
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--dir",
            self.folder,
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
            "--daemonize",
            "no",
            "--databases",
            "16",
            "--maxclients",
            "5000",
            *self.options,
        ]
        with open(os.path.join(self.folder, "log"), "ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": PATH}
            )
        eventually(self._answers, 10, 0.02, "redis-server")

    def _answers(self):
        if self.process.poll() is not None:
            with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as log:
                raise AssertionError("redis-server ended:\n" + log.read()[-2000:])
        try:
            return self.command("PING") == b"PONG"
        except RedisError as error:
            if "NOAUTH" in str(error):
                return True
            return False
        except OSError:
            return False

    def stop(self):
        """Ends it in good order."""
        self._disconnect()
        self.process.terminate()
        self.process.send_signal(signal.SIGCONT)
        self.process.wait(scale(10))

    def kill(self):
        """Ends it as a crash would."""
        self._disconnect()
        self.process.kill()
        self.process.wait()

    def pause(self):
        """Makes it hang: connections are still taken (by the kernel), nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words, timeout=10.0):
        """Sends one command over a connection that is kept, and returns the reply."""
        if self._connection is None:
            self._connection = open_socket(self.port, timeout=timeout)
            self._buffer = self._connection.makefile("rb")
        request = [b"*%d\r\n" % len(words)]
        for word in words:
            word = word if isinstance(word, bytes) else str(word).encode()
            request.append(b"$%d\r\n%s\r\n" % (len(word), word))
        try:
            self._connection.sendall(b"".join(request))
            return self._reply()
        except OSError:
            self._disconnect()
            raise

    def _disconnect(self):
        if self._connection is not None:
            self._buffer.close()
            self._connection.close()
            self._connection = None

    def _reply(self):
        line = self._buffer.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis-server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if kind == b"$":
            size = int(rest)
            if size < 0:
                return None
            data = self._buffer.read(size + 2)
            if len(data) != size + 2:
                raise ConnectionError("redis-server closed the connection")
            return data[:-2]
        if kind == b"*":
            return None if int(rest) < 0 else [self._reply() for _ in range(int(rest))]
        raise AssertionError(f"not a Redis reply: {line!r}")
