"""Stand-ins for neighbours that misbehave in ways that the real ones cannot, and for networks that fail.

FakeHttp    an rng or a hasher that answers whatever a test wants: wrong, late, in part, or not at all
Proxy       a TCP proxy that can be cut or made to hold what passes
RedisProxy  a Proxy that knows Redis' commands, and can break a connection before or after one of them
Namespace   a network of its own, with names and name servers as a test wants them; needs root
FakeDns     the name server in it, which may be silent
"""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time

from harness import eventually

CLOSE = "close"  # in the script of an answer: end the connection in good order
RESET = "reset"  # end it with a reset
HANG = "hang"  # say nothing more, and keep the connection


def http_answer(body, status="200 OK", headers=""):
    """The bytes of an answer. It leaves the connection open: who uses it again is found out."""
    return (f"HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n"
            f"{headers}\r\n").encode() + body


def random_bytes(_request):
    """What a good rng answers."""
    return http_answer(os.urandom(32))


def digest(request):
    """What a good hasher answers."""
    return http_answer(hashlib.sha256(request.body).hexdigest().encode())


def bytes_whose_digest_begins_with(start, prefix=b""):
    """32 bytes that begin with `prefix` and whose SHA-256 begins with the hexadecimal digits `start`."""
    for number in range(1 << 24):
        candidate = (prefix + b"%d" % number).ljust(32, b"\xfe")
        if hashlib.sha256(candidate).hexdigest().startswith(start):
            return candidate
    raise AssertionError("no such bytes")


class Server:
    """Listens on a port and serves every connection in a thread of its own; a context manager."""

    def __init__(self, port=0, host="127.0.0.1", namespace=None):
        self.host = host
        self.port = port
        self.namespace = namespace
        self.accepted = 0
        self._listener = None
        self._connections = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __enter__(self):
        self.listen()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.refuse()
        self.cut()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def listen(self):
        """Takes connections, from now on or again."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = self.namespace.socket(family) if self.namespace else socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self):
        """Takes no more connections: they are refused. Those that exist live on."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
            self._listener.close()
            self._listener = None

    def cut(self):
        """Breaks every connection."""
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def serve(self, connection):
        raise NotImplementedError

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self.accepted += 1
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(connection)
        except (OSError, EOFError):
            pass  # the other side has left
        finally:
            with self._lock:
                self._connections.discard(connection)
            connection.close()


class Request:
    """A request as it came: .method, .target, .version, .headers (pairs, names in lower case), .body, .at
    (time.monotonic()), .connection (the client's end), .left (set once its connection has ended)."""

    def __init__(self, head, reader, connection):
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.headers = []
        for line in lines[1:]:
            name, _, value = line.partition(":")
            self.headers.append((name.lower(), value.strip()))
        self.body = reader.read(int(self.header("content-length") or 0))
        self.at = time.monotonic()
        self.connection = connection
        self.left = threading.Event()

    def header(self, name):
        """The header's value, None without one; the test fails when it came twice."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None


class FakeHttp(Server):
    """An HTTP service that answers what `answer(request)` returns.

    That is bytes, sent as they are, or a list of steps: bytes to send, a number of seconds to wait, CLOSE,
    RESET, HANG. `answer` may be replaced at any time. Every request is put into .requests, and with its
    service's name into `journal`, a list that several fakes may share.
    """

    def __init__(self, answer, name="", journal=None, **where):
        super().__init__(**where)
        self.answer = answer
        self.name = name
        self.journal = journal
        self.requests = []

    @property
    def url(self):
        return f"http://[{self.host}]:{self.port}" if ":" in self.host else f"http://{self.host}:{self.port}"

    def serve(self, connection):
        peer = connection.getpeername()
        requests = []
        try:
            with connection.makefile("rb") as reader:
                while True:
                    head = self._read_head(reader)
                    request = Request(head, reader, peer)
                    requests.append(request)
                    self.requests.append(request)
                    if self.journal is not None:
                        self.journal.append((self.name, request))
                    if self._play(connection, self.answer(request)):
                        return
        finally:
            for request in requests:
                request.left.set()

    @staticmethod
    def _read_head(reader):
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            line = reader.readline(65536)
            if not line:
                raise EOFError
            head += line
        return head[:-4]

    def _play(self, connection, steps):
        """Takes the steps of an answer; true when the connection is to be closed."""
        for step in [steps] if isinstance(steps, bytes) else steps:
            if isinstance(step, bytes):
                connection.sendall(step)
            elif step == CLOSE:
                return True
            elif step == RESET:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return True
            elif step == HANG:
                connection.settimeout(None)
                while connection.recv(4096):
                    pass
                return True
            else:
                self._ended.wait(step)
        return False


class Proxy(Server):
    """Passes connections on to a port on 127.0.0.1.

    cut() breaks the connections, refuse() and listen() close and open it, hold() keeps what the client sends
    from going on until release().
    """

    def __init__(self, target_port, **where):
        super().__init__(**where)
        self.target_port = target_port
        self._flow = threading.Event()
        self._flow.set()

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    def hold(self):
        self._flow.clear()

    def release(self):
        self._flow.set()

    def serve(self, connection):
        with socket.create_connection(("127.0.0.1", self.target_port)) as target:
            target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pass_back, args=(target, connection), daemon=True)
            back.start()
            try:
                self.forward(connection, target)
            finally:
                with contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_RDWR)
                back.join()

    def forward(self, connection, target):
        """Passes on what the client says, until it ends."""
        while data := connection.recv(65536):
            self._flow.wait()
            target.sendall(data)

    def pass_back(self, connection, data):
        """Passes on what the target says."""
        connection.sendall(data)

    def _pass_back(self, target, connection):
        with contextlib.suppress(OSError):
            while data := target.recv(65536):
                self.pass_back(connection, data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class RedisProxy(Proxy):
    """A Proxy before a real Redis that sees the commands one by one, in .commands (lists of bytes).

    break_before(b"INCRBY") breaks the connection instead of passing the next such command on, break_after
    lets Redis carry it out and breaks the connection instead of passing the reply on; .broken is then set.
    """

    def __init__(self, redis, name="redis", journal=None, **where):
        super().__init__(redis.port, **where)
        self.name = name
        self.journal = journal
        self.commands = []
        self.broken = threading.Event()
        self._before = None
        self._after = None
        self._swallow = set()

    @property
    def url(self):
        return f"redis://{self.host}:{self.port}"

    def break_before(self, word):
        self.broken.clear()
        self._before = word

    def break_after(self, word):
        self.broken.clear()
        self._after = word

    def forward(self, connection, target):
        with connection.makefile("rb") as reader:
            while command := self._read_command(reader):
                self._flow.wait()
                self.commands.append(command)
                if self.journal is not None:
                    self.journal.append((self.name, command))
                if command[0] == self._before:
                    self._before = None
                    self.broken.set()
                    return
                if command[0] == self._after:
                    self._after = None
                    self._swallow.add(connection)
                words = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
                target.sendall(b"*%d\r\n" % len(command) + words)

    @staticmethod
    def _read_command(reader):
        line = reader.readline()
        if not line:
            return None
        assert line[:1] == b"*", f"not a Redis command: {line!r}"
        command = []
        for _ in range(int(line[1:])):
            size = int(reader.readline()[1:])
            command.append(reader.read(size + 2)[:-2])
        return command

    def pass_back(self, connection, data):
        if connection in self._swallow:
            self._swallow.discard(connection)
            self.broken.set()
            raise OSError("broken on purpose")
        connection.sendall(data)


# ----------------------------------------------------------------------------------------- names and networks


def _setns(fd):
    """Moves the calling thread into a network namespace. (os.setns came with Python 3.12.)"""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, 0x40000000) != 0:  # CLONE_NEWNET
        raise OSError(ctypes.get_errno(), "setns")


def namespaces_are_possible():
    """False where this user may not make network and mount namespaces."""
    if not hasattr(namespaces_are_possible, "answer"):
        tried = subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True, check=False)
        namespaces_are_possible.answer = os.geteuid() == 0 and tried.returncode == 0
    return namespaces_are_possible.answer


class Namespace:
    """A machine's worth of network: with its own loopback interface, /etc/hosts and /etc/resolv.conf.

    Start a Service in it with prefix=namespace.prefix, and a Server with namespace=namespace. Names come from
    set_hosts(); every other one is asked of 127.0.0.1:53 in here (or as `resolv` says), where nobody listens (so
    the lookup fails at once) unless there is a FakeDns.
    """

    def __init__(self, hosts="", resolv="nameserver 127.0.0.1\n"):
        self._hosts = hosts
        self._resolv = resolv
        self.folder = None
        self._keeper = None
        self._net = None

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="dockercoins-names-")
        try:
            for name in ("hosts", "resolv.conf"):
                with open(os.path.join(self.folder, name), "w", encoding="ascii"):
                    pass
            self._write("resolv.conf", self._resolv)
            self.set_hosts(self._hosts)
            script = ('for file in hosts resolv.conf; do mount --bind "$1/$file" "/etc/$file" || exit; done; '
                      'echo ready; exec sleep 3600')
            command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script, "sh"]
            self._keeper = subprocess.Popen([*command, self.folder], stdout=subprocess.PIPE)
            assert self._keeper.stdout.readline() == b"ready\n", "no namespace"
            self._net = os.open(f"/proc/{self._keeper.pid}/ns/net", os.O_RDONLY)
            with self.socket() as control:
                fcntl.ioctl(control, 0x8914, struct.pack("16sh14x", b"lo", 0x1))  # SIOCSIFFLAGS, IFF_UP
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(self, *_):
        if self._net is not None:
            os.close(self._net)
        if self._keeper is not None:
            self._keeper.kill()
            self._keeper.wait()
            self._keeper.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def pid(self):
        """A process in here."""
        return self._keeper.pid

    @property
    def prefix(self):
        """The words that run a command in here."""
        return ["nsenter", f"--target={self._keeper.pid}", "--mount", "--net", "--"]

    def set_hosts(self, text):
        """What /etc/hosts says from now on."""
        self._write("hosts", "127.0.0.1 localhost\n" + text)

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_STREAM):
        """A new socket in here, for the test's own use."""
        made = []

        def make():
            try:
                _setns(self._net)
                made.append(socket.socket(family, kind))
            except OSError as error:
                made.append(error)

        maker = threading.Thread(target=make)
        maker.start()
        maker.join()
        if isinstance(made[0], OSError):
            raise made[0]
        return made[0]

    def _write(self, name, text):
        # In place: the mount is of this very file. And never empty in between.
        fd = os.open(os.path.join(self.folder, name), os.O_WRONLY)
        try:
            data = text.encode()
            os.pwrite(fd, data, 0)
            os.ftruncate(fd, len(data))
        finally:
            os.close(fd)


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class FakeDns:
    """The name server of a Namespace; a context manager.

    Knows the addresses, IPv4 or IPv6, in .records ({"rng": ["127.0.0.2"]}), says of every other name that it does
    not exist, and says nothing at all while .silent. .asked counts the queries.
    """

    def __init__(self, namespace, records=None, silent=False, address="127.0.0.1"):
        self.namespace = namespace
        self.address = address
        self.records = records or {}
        self.silent = silent
        self.asked = 0
        self._socket = None

    def __enter__(self):
        self._socket = self.namespace.socket(_family(self.address), socket.SOCK_DGRAM)
        self._socket.bind((self.address, 53))
        self._socket.settimeout(0.1)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._running = True
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._running = False
        self._thread.join()
        self._socket.close()

    def wait_until_asked(self, timeout=5):
        """Waits for the first query."""
        eventually(lambda: self.asked, timeout, what="a query to the name server")

    def _run(self):
        while self._running:
            try:
                query, client = self._socket.recvfrom(4096)
            except TimeoutError:
                continue
            self.asked += 1
            if not self.silent:
                self._socket.sendto(self._answer(query), client)

    def _answer(self, query):
        labels = []
        at = 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        question = query[12:at + 5]
        kind = struct.unpack(">H", query[at + 1:at + 3])[0]
        addresses = self.records.get(".".join(labels))
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)  # A, AAAA
        found = [socket.inet_pton(family, address) for address in addresses or [] if _family(address) == family]
        code = 0 if addresses else 3  # NXDOMAIN
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        return head + question + b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(address)) + address
                                          for address in found)
