"""Clients of the services: sockets and HTTP, exactly as a test needs to send and see it, and response times."""

import contextlib
import re
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection

from waiting import scale


def open_socket(port, host="127.0.0.1", timeout=10.0, receive_buffer=None):
    connection = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    if receive_buffer:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(scale(timeout))
    connection.connect((host, port))
    return connection


def read_to_end(connection):
    """All bytes until the other side closes, or resets."""
    received = bytearray()
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(262144):
            received += data
    return bytes(received)


def raw(port, data, timeout=10.0, host="127.0.0.1"):
    with open_socket(port, host, timeout) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        return read_to_end(connection)


def collect(connections, timeout=10.0):
    """Reads all of these to their ends in parallel. Returns (bytes, time.monotonic() at the end) for each, in order."""
    def read(connection):
        connection.settimeout(scale(timeout))
        return read_to_end(connection), time.monotonic()

    deadline = time.monotonic() + scale(timeout)
    with ThreadPoolExecutor(200) as threads:
        results = list(threads.map(read, connections))
    assert all(end <= deadline for _, end in results), "connections were open for too long"
    return results


class Answer:
    """A parsed HTTP response. .headers have lower-case names; repeated ones are joined by ', '.

    Two are not in .headers: .times is Server-Timing, milliseconds (in the queue, of work), .date is in Unix seconds.
    """

    def __init__(self, data):
        head, separator, self.body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"HTTP/1\.[01] (\d{3}) ?.*", first)
        assert separator and match, f"not an HTTP response: {data[:200]!r}"
        self.status = int(match[1])
        self.headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            assert colon, f"not a header line: {line!r}"
            name, value = name.strip().lower(), value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value
        timing = re.fullmatch(r"queue;dur=(\d+\.\d), work;dur=(\d+\.\d)", self.headers.pop("server-timing", ""))
        self.times = timing and tuple(map(float, timing.groups()))
        date = self.headers.pop("date", None)
        self.date = date and parsedate_to_datetime(date).timestamp()

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:100]!r} ({len(self.body)} bytes)>"


def ask(port, data, timeout=10.0, host="127.0.0.1"):
    return Answer(raw(port, data, timeout, host))


def http(port, method, path, host="127.0.0.1"):
    """One request with Python's own client. Returns (status, headers, body)."""
    with contextlib.closing(HTTPConnection(host, port, timeout=scale(10))) as connection:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.headers, response.read()


def request_bytes(target="/", *headers, method="GET", version="1.1", body=None):
    """An HTTP request, with Content-Length if there is a body."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *headers, *length, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def assert_answer(answer, status, body, content_type="text/plain; charset=utf-8", **headers):
    """Compares the whole response: it has a Date, and no other header. `cache_control=` means Cache-Control."""
    assert (answer.status, answer.body) == (status, body)
    assert abs(answer.date - time.time()) < 60
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    assert answer.headers == {"connection": "close", "content-length": str(len(body)),
                              "content-type": content_type, **more}


def receive(connection, size):
    """The next `size` bytes; fewer if the other side closes first."""
    data = bytearray()
    while len(data) < size and (piece := connection.recv(min(size - len(data), 262144))):
        data += piece
    return bytes(data)


def quickest(action, enough, tries=5):
    """The shortest time of a few tries, until one is below `enough` seconds: a busy machine delays not all of them."""
    times = []
    while len(times) < tries and min(times, default=enough) >= enough:
        begun = time.monotonic()
        action()
        times.append(time.monotonic() - begun)
    return min(times)


@contextlib.contextmanager
def dripping(connections, data=b"x" * 1000):
    """Sends a byte of `data` on each of the connections every 50 ms."""
    ended = threading.Event()

    def drip():
        for byte in data:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(bytes([byte]), socket.MSG_DONTWAIT)
            if ended.wait(0.05):
                return

    with ThreadPoolExecutor(1) as thread:
        thread.submit(drip)
        try:
            yield
        finally:
            ended.set()
