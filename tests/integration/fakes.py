"""Fake services that misbehave in ways that the real ones cannot, and networks that fail."""

import concurrent.futures
import contextlib
import ctypes
import hashlib
import http.client
import os
import pathlib
import socket
import socketserver
import struct
import subprocess
import tempfile
import threading
import time

from harness import eventually

CLOSE = "close"  # in a FakeHttp's steps: close the connection
HANG = "hang"  # send nothing more, and keep the connection


def http_answer(body, status="200 OK"):
    """The bytes of a response. It leaves the connection open, so that a test sees who uses it again."""
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def random_bytes(_request):
    """A good rng's response, some milliseconds later: a worker without DELAY would use all CPU."""
    return [0.005, http_answer(os.urandom(32))]


def digest(request):
    """A good hasher's response."""
    return http_answer(hashlib.sha256(request.body).hexdigest().encode())


def bytes_whose_digest_begins_with(start, prefix=b""):
    """32 bytes that begin with `prefix` and whose SHA-256 begins with the hexadecimal digits `start`."""
    candidates = ((prefix + b"%d" % number).ljust(32, b"\xfe") for number in range(1000))
    return next(found for found in candidates if hashlib.sha256(found).hexdigest().startswith(start))


class Server:
    """Listens on a port, and calls serve(connection) for each connection in its own thread; a context manager."""

    scheme = "http"

    def __init__(self, port=0, host="127.0.0.1", namespace=None):
        self.host = host
        self.port = port
        self.namespace = namespace
        self.accepted = 0
        self.connections = set()  # open ones
        self._listener = socket.socket()
        self._ended = threading.Event()

    def __enter__(self):
        self.listen()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self.leave()

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self):
        return f"{self.scheme}://{self.address}"

    def listen(self):
        """Accepts connections from now on."""
        make = self.namespace.socket if self.namespace else socket.socket
        self._listener = listener = make(_family(self.host))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((self.host, self.port))
        listener.listen(256)
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def refuse(self):
        """Refuses new connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()

    def cut(self):
        """Breaks every connection."""
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def leave(self):
        self.refuse()
        self.cut()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self.accepted += 1
                self.connections.add(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with connection, contextlib.suppress(OSError, EOFError):  # the other side has left
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(connection)
        self.connections.discard(connection)


class Request:
    """A request: .line, .headers, .body, .at (time.monotonic()), .client (its end of the connection)."""

    def __init__(self, reader, client):
        self.line = reader.readline(65536).decode().rstrip("\r\n")
        if not self.line:
            raise EOFError
        headers = http.client.parse_headers(reader)
        self.headers = dict(headers)
        assert len(self.headers) == len(headers), "a header came twice"
        self.body = reader.read(int(self.headers.get("Content-Length", 0)))
        self.at = time.monotonic()
        self.client = client


class FakeHttp(Server):
    """An HTTP service that responds with what `answer(request)` returns.

    That is bytes, sent as they are, or a list of steps: bytes to send, a number of seconds to wait, CLOSE or HANG.
    `answer` may be replaced at any time. All requests are in .requests.
    """

    def __init__(self, answer, **where):
        super().__init__(**where)
        self.answer = answer
        self.requests = []

    def await_requests(self, more=1, timeout=10):
        goal = len(self.requests) + more
        eventually(lambda: len(self.requests) >= goal, timeout, what=f"{more} requests")

    def serve(self, connection):
        client = connection.getpeername()
        with connection.makefile("rb") as reader:
            while True:
                request = Request(reader, client)
                self.requests.append(request)
                steps = self.answer(request)
                for step in [steps] if isinstance(steps, bytes) else steps:
                    if isinstance(step, bytes):
                        connection.sendall(step)
                    elif step not in (CLOSE, HANG):
                        self._ended.wait(step)
                    else:
                        return step == HANG and reader.read()


class RedisProxy(Server):
    """A proxy for a real Redis, which sees its commands one by one: .commands, lists of bytes."""

    scheme = "redis"

    def __init__(self, redis, **where):
        super().__init__(**where)
        self.target_port = redis.port
        self.commands = []
        self._breaks = None
        self.broken = None  # the command at which the connection broke

    def break_at(self, when, word):
        """Breaks the connection, and Redis does not get the next such command ("before"), or does ("after")."""
        self._breaks = when, word
        eventually(lambda: self.broken, 20, what="the break")

    def serve(self, connection):
        with socket.create_connection(("127.0.0.1", self.target_port)) as target:
            target.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            back = threading.Thread(target=self._pass_back, args=(target, connection), daemon=True)
            back.start()
            try:
                self._pass_on(connection, target)
            finally:
                with contextlib.suppress(OSError):
                    target.shutdown(socket.SHUT_RDWR)
                back.join()

    def _pass_on(self, connection, target):
        with connection.makefile("rb") as reader:
            while line := reader.readline():
                command = []
                for _ in range(int(line[1:])):
                    size = int(reader.readline()[1:])
                    command.append(reader.read(size + 2)[:-2])
                self.commands.append(command)
                when, word = self._breaks or (None, None)
                if word == command[0]:
                    connection.shutdown(socket.SHUT_RDWR)  # without the reply
                if word != command[0] or when == "after":
                    words = b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in command)
                    target.sendall(b"*%d\r\n" % len(command) + words)
                if word == command[0]:
                    self._breaks, self.broken = None, command
                    return

    def pass_back(self, connection, data):
        connection.sendall(data)

    def _pass_back(self, target, connection):
        with contextlib.suppress(OSError):
            while data := target.recv(65536):
                self.pass_back(connection, data)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def blackhole():
    """An address where connecting neither succeeds nor fails: its listen queue is full and nobody accepts."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(8):  # the kernel accepts one or two, then drops the rest
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        time.sleep(0.05)
        yield f"127.0.0.1:{listener.getsockname()[1]}"


class Namespace:
    """A network like another machine's: with its own loopback interface, /etc/hosts and /etc/resolv.conf.

    Start a Service in it with prefix=namespace.prefix, and a Server with namespace=namespace. Names are looked up at
    127.0.0.1:53 (or as `resolv` says): by a FakeDns, or nobody listens there.
    """

    def __init__(self, resolv="nameserver 127.0.0.1\n"):
        self._files = tempfile.TemporaryDirectory(prefix="dockercoins-names-")
        pathlib.Path(self._files.name, "hosts").write_text("127.0.0.1 localhost\n", encoding="ascii")
        pathlib.Path(self._files.name, "resolv.conf").write_text(resolv, encoding="ascii")

    def __enter__(self):
        script = ("ip link set lo up && mount --bind hosts /etc/hosts && "
                  "mount --bind resolv.conf /etc/resolv.conf && echo ready && cd / && exec sleep 3600")
        command = ["unshare", "--mount", "--net", "--propagation", "private", "sh", "-c", script]
        self._keeper = subprocess.Popen(command, cwd=self._files.name, stdout=subprocess.PIPE)
        assert self._keeper.stdout.readline() == b"ready\n", "no namespace"
        return self

    def __exit__(self, *_):
        self._keeper.kill()
        self._keeper.wait()
        self._keeper.stdout.close()
        self._files.cleanup()

    @property
    def pid(self):
        return self._keeper.pid

    @property
    def prefix(self):
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--"]

    def run(self, line):
        """The output of this command in it."""
        return subprocess.run([*self.prefix, *line.split()], stdout=subprocess.PIPE, text=True, check=True).stdout

    def inside(self, call):
        """What call() returns in this network. What it opens stays there."""
        def enter():  # in a thread, so that only that one moves. (os.setns came with Python 3.12.)
            with open(f"/proc/{self.pid}/ns/net", encoding="ascii") as namespace:
                if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0x40000000):  # CLONE_NEWNET
                    raise OSError(ctypes.get_errno(), "setns")
            return call()

        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            return thread.submit(enter).result()

    def socket(self, family=socket.AF_INET):
        """A new socket in this network, for the test."""
        return self.inside(lambda: socket.socket(family))


def _family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class FakeDns(socketserver.UDPServer):
    """A Namespace's name server: knows .records ({"rng": ["127.0.0.2"]}) only, and does not reply while .silent."""

    def __init__(self, namespace, records=None, silent=False, address="127.0.0.1"):
        self.records, self.silent, self.asked = records or {}, silent, 0
        self.address_family = _family(address)
        namespace.inside(lambda: super(FakeDns, self).__init__((address, 53), None))
        threading.Thread(target=self.serve_forever, args=[0.05], daemon=True).start()

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()

    def finish_request(self, request, client_address):
        self.asked += 1
        if not self.silent:
            self.socket.sendto(self._answer(request[0]), client_address)

    def _answer(self, query):
        end = query.index(b"\0", 12) + 5
        question = query[12:end]
        labels = bytes(byte if byte > 32 else 46 for byte in question[1:-5])  # a dot for each length
        kind = struct.unpack(">H", query[end - 4:end - 2])[0]
        addresses = self.records.get(labels.decode(), [])
        family = {1: socket.AF_INET, 28: socket.AF_INET6}.get(kind)  # A, AAAA
        found = [socket.inet_pton(family, address) for address in addresses if _family(address) == family]
        code = 0 if addresses else 3  # NXDOMAIN
        head = query[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(found), 0, 0)
        return head + question + b"".join(struct.pack(">HHHIH", 0xC00C, kind, 1, 0, len(address)) + address
                                          for address in found)
