"""Starts the real programs and a real Redis, and sees what a client, an operator or a log reader sees, in parallel."""

import contextlib
import itertools
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

import pytest

from clients import Answer, ask, collect, http, open_socket, raw, read_to_end
from waiting import BIN, EMULATED, REPO, SANITIZED, SLOW, STOPS_WITHIN, eventually, scale

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SANITIZER_REPORT = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:")

# A thousand connections of one test process need more than the usual soft limit of 1,024 open files.
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)


_reservations = []
# Below those that the kernel takes for outgoing connections. Each process begins elsewhere.
_ports = itertools.islice(itertools.cycle(range(10000, 32000)), os.getpid() * 61 % 22000, 44000)


def free_port():
    """A TCP port that nobody listens on, and that no other test process gets: an abstract Unix socket reserves it."""
    ipv6 = socket.has_dualstack_ipv6()
    for port in _ports:
        claim = socket.socket(socket.AF_UNIX)
        with contextlib.suppress(OSError):
            claim.bind(f"\0dockercoins-test-port-{port}")
            socket.create_server(("", port), family=socket.AF_INET6 if ipv6 else socket.AF_INET,
                                 dualstack_ipv6=ipv6).close()
            _reservations.append(claim)
            return port
        claim.close()
    raise AssertionError("no free port")


def _succeeds(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


# Whether a test may make namespaces: that needs root, and more rights than Docker gives by default.
NAMESPACES = (os.geteuid() == 0 and all(shutil.which(tool) for tool in ("unshare", "nsenter", "ip", "curl"))
              and _succeeds("unshare", "--net", "--mount", "--pid", "--fork", "true"))
needs_namespaces = pytest.mark.skipif(not NAMESPACES, reason="needs root and namespaces")

# A command prefix for a network with loopback only, where every port is free. Needs NAMESPACES.
OWN_NETWORK = ("unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh")


def in_network_of(pid):
    """A command prefix for the network of that process."""
    return ["nsenter", f"--target={pid}", "--net"]


# Sanitizers of older compilers fail with today's wide address space randomisation, so it is off for them.
LAUNCHER = (["qemu-aarch64"] if EMULATED else
            ["setarch", "-R"] if SANITIZED and _succeeds("setarch", "-R", "true") else [])


def base_environment():
    env = {name: value for name, value in os.environ.items() if name.endswith("SAN_OPTIONS")}
    if SANITIZED:
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        # When the deadline ends a service, it leaves threads that were not joined.
        env.setdefault("TSAN_OPTIONS", "halt_on_error=1:report_thread_leaks=0:atexit_sleep_ms=0")
    return env | {"PATH": PATH}


def binary(name):
    path = os.path.join(BIN, name)
    assert os.access(path, os.X_OK), f"{path} is not there: build it first (or set DOCKERCOINS_BIN)"
    return path


def run(name, *args, prefix=(), **env):
    """Runs a binary with only the given environment. For what ends by itself: flags, bad settings."""
    return subprocess.run([*prefix, *LAUNCHER, binary(name), *args], capture_output=True, text=True,
                          env=base_environment() | {key: str(value) for key, value in env.items()},
                          timeout=scale(20), stdin=subprocess.DEVNULL, check=False)


class Service:
    """One of the four programs, as a process; a context manager that stops it with TERM and expects status 0.

    Service("rng", DELAY_MS=50) starts rng with that setting, those below and a PATH. None removes a variable. `prefix`
    are words before the command, which must exec.
    """

    def __init__(self, name, *, admin=False, prefix=(), stdout=subprocess.PIPE, **env):
        self.name = name
        settings = {"ADMIN_PORT": free_port() if admin else 0, "BIND_ADDRESS": "127.0.0.1"}
        if name != "worker":
            settings["PORT"] = 0
        if name == "webui":
            settings |= {"FILES_DIR": os.path.join(REPO, "webui/files"), "ASSETS_DIR": "/usr/share/javascript"}
        settings |= env
        self.admin_port = int(settings["ADMIN_PORT"] or 0) or None
        self.env = base_environment() | {key: str(value) for key, value in settings.items() if value is not None}
        self.command = ["env", "--default-signal=HUP", *prefix, *LAUNCHER, binary(name)]  # also under nohup
        self.lines, self.stdout, self.stderr = [], [], []  # all, and of each stream
        self._stdout, self._port, self._stopped_by_test, self._readers = stdout, None, False, []

    def __enter__(self):
        self.process = subprocess.Popen(self.command, env=self.env, stdin=subprocess.DEVNULL, stdout=self._stdout,
                                        stderr=subprocess.PIPE)
        for stream, lines in ((self.process.stdout, self.stdout), (self.process.stderr, self.stderr)):
            if stream:
                self._readers.append(threading.Thread(target=self._read, args=(stream, lines), daemon=True))
                self._readers[-1].start()
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def port(self):
        if self._port is None:
            self._port = int(self.wait_for_line(rf"{self.name.upper()} running on port (\d+)$", 10).group(1))
        return self._port

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self):
        return self.process.poll() is None

    @property
    def log(self):
        return "\n".join(self.lines)

    def access_lines(self):
        return [line for line in self.stdout if re.search(r" - - \[\d\d/\w{3}/\d{4}:", line)]

    def wait_for_line(self, pattern, timeout=5.0, start=0):
        """The first line from lines[start] on that contains the regular expression, as a match."""
        def look():
            ended = not any(reader.is_alive() for reader in self._readers)
            found = next(filter(None, (re.search(pattern, line) for line in self.lines[start:])), None)
            assert found or not ended, f"{self.name} ended without a line {pattern!r}"
            return found

        return eventually(look, timeout, what=f"a line {pattern!r} of {self.name}")

    def send_signal(self, sig):
        self.process.send_signal(sig)

    def stop(self, sig=signal.SIGTERM, timeout=10.0, pid=None):
        """Waits for the end, and returns (exit status, seconds). `pid` is the process itself, if the prefix forked."""
        self._stopped_by_test = True
        begun = time.monotonic()
        os.kill(pid or self.pid, sig)
        status = self.process.wait(scale(timeout))
        took = time.monotonic() - begun
        self._join()
        return status, took

    def kill(self):
        self._stopped_by_test = True
        self.process.kill()
        self.process.wait()

    def __exit__(self, kind, _value, _trace):
        problem = None
        try:
            if self._stopped_by_test:
                problem = "is still running after the test stopped it" if self.running else None
            elif not self.running:
                problem = f"ended by itself with status {self.process.returncode}"
            elif (status := self.stop(timeout=5)[0]) != 0:
                problem = f"ended with status {status} on TERM"
        except subprocess.TimeoutExpired:
            problem = "did not end on TERM"
        self.kill()
        self._join()
        if any(SANITIZER_REPORT.search(line) for line in self.stderr):
            problem = "got a sanitizer report"
        if problem or kind is not None:
            print(f"--- log of {self.name} (pid {self.pid}) ---\n" + "\n".join(self.lines[-200:]))
        if problem and kind is None:
            raise AssertionError(f"{self.name} {problem}")

    def _read(self, stream, lines):
        with stream:
            for line in stream:
                lines.append(line.removesuffix(b"\n").decode("utf-8", "surrogateescape"))
                self.lines.append(lines[-1])

    def _join(self):
        for reader in self._readers:
            reader.join(scale(5))


def alone(name, **options):
    """A Service alone: nobody listens at its Redis."""
    if name in ("webui", "worker"):
        options = {"REDIS_URL": "redis://127.0.0.1:1"} | options
    return Service(name, **options)


def worker(rng, hasher, redis, **settings):
    """A worker with these three: fakes, services, or URLs."""
    urls = {"RNG_URL": rng, "HASHER_URL": hasher, "REDIS_URL": redis}
    urls = {name: server if isinstance(server, str) else server.url for name, server in urls.items()}
    return Service("worker", **{"DELAY_MS": 0} | urls | settings)


def wait_until_up(service):
    """Waits until it serves, or the worker looks for its Redis."""
    service.wait_for_line("running on port|INFO:worker:Waiting for", 10)


def listening(pid):
    """Addresses (in hexadecimal) and ports on which the process listens."""
    inodes = [os.stat(f"/proc/{pid}/fd/{fd}").st_ino for fd in os.listdir(f"/proc/{pid}/fd")]
    found = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as lines:
            rows = [line.split() for line in list(lines)[1:]]
        found += [row[1].split(":") for row in rows if row[3] == "0A" and int(row[9]) in inodes]
    return [(address, int(port, 16)) for address, port in found]


def private_kib(pid):
    """Private memory of the process, in KiB. (Private_Dirty also counts a program just built, not yet on disk.)"""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        return int(re.search(r"^Anonymous:\s+(\d+) kB", rollup.read(), re.MULTILINE).group(1))


class Redis:
    """A real redis-server, which keeps its data when it is stopped or killed. In a fakes.Namespace it has port 6379."""

    def __init__(self, *options, namespace=None):
        self.options = list(options)
        self.namespace = namespace
        self.port = 6379 if namespace else free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._connection = None

    def __enter__(self):
        self._folder = tempfile.TemporaryDirectory(prefix="dockercoins-redis-")
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self._folder.cleanup()

    def start(self):
        reach = "* --protected-mode no" if self.namespace else "127.0.0.1"
        options = (f"--port {self.port} --bind {reach} --dir {self._folder.name} --appendonly yes --appendfsync always "
                   "--daemonize no --databases 16 --maxclients 5000 --loglevel warning --save")
        prefix = self.namespace.prefix if self.namespace else []
        self.process = subprocess.Popen([*prefix, "redis-server", *options.split(), "", *self.options],
                                        env={"PATH": PATH}, stdin=subprocess.DEVNULL)
        eventually(self._answers, 10, 0.02, "redis-server")

    def _answers(self):
        assert self.process.poll() is None, "redis-server ended"
        try:
            return self.command("PING")
        except (OSError, RuntimeError) as error:
            return "NOAUTH" in str(error)

    def stop(self, sig=signal.SIGTERM):
        if self._connection:
            self._replies.close()
            self._connection.close()
            self._connection = None
        self.process.send_signal(sig)
        self.resume()
        self.process.wait(scale(10))

    def kill(self):
        self.stop(signal.SIGKILL)

    def pause(self):
        """Makes it hang: the kernel still accepts connections, but nothing replies."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def command(self, *words):
        """The reply: int, bytes, None or a list of these. An error reply raises RuntimeError."""
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        if self._connection is None:
            inside = self.namespace.inside if self.namespace else lambda call: call()
            self._connection = inside(lambda: open_socket(self.port))
            self._replies = self._connection.makefile("rb")
        self._connection.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        return self._reply()

    def _reply(self):
        line = self._replies.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError("redis-server closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"-":
            raise RuntimeError(rest.decode())
        if kind in b"+:":
            return rest if kind == b"+" else int(rest)
        if kind == b"*":
            return [self._reply() for _ in range(int(rest))]
        return self._replies.read(int(rest) + 2)[:-2] if rest != b"-1" else None


def counted(redis):
    return int(redis.command("GET", "hashes") or 0)


def wallet(redis):
    """The coins: raw bytes by digest."""
    flat = redis.command("HGETALL", "wallet")
    return dict(zip(flat[::2], flat[1::2]))


class Mine(contextlib.ExitStack):
    """Real services, a real Redis, and workers; a context manager."""

    def __init__(self, workers=1, **options):
        super().__init__()
        self.redis = self.enter_context(Redis())
        self.rng = self.enter_context(Service("rng", **options))
        self.hasher = self.enter_context(Service("hasher", **options))
        self.urls = {"RNG_URL": self.rng.url, "HASHER_URL": self.hasher.url, "REDIS_URL": self.redis.url}
        self.workers = [self.enter_context(Service("worker", **self.urls, **options)) for _ in range(workers)]
