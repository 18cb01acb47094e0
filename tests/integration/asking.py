"""Requests to the services, and what is asked of their answers: all of an answer, and how long it takes."""

import contextlib
import socket
import threading
import time


def request_bytes(target="/", *headers, method="GET", version="1.1", body=None):
    """An HTTP request, with a Content-Length where there is a body."""
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    lines = [f"{method} {target} HTTP/{version}", "Host: x", *headers, *length, "", ""]
    return "\r\n".join(lines).encode("latin-1") + (body or b"")


def assert_answer(answer, status, body, content_type="text/plain; charset=utf-8", **headers):
    """Compares the whole answer: it has no other header. `cache_control=` stands for Cache-Control."""
    assert (answer.status, answer.body) == (status, body)
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    assert answer.headers == {"connection": "close", "content-length": str(len(body)),
                              "content-type": content_type, **more}


def receive(connection, size):
    """The next `size` bytes, fewer where the other side closes before."""
    data = bytearray()
    while len(data) < size and (piece := connection.recv(min(size - len(data), 262144))):
        data += piece
    return bytes(data)


def quickest(action, enough, tries=5):
    """The least time that it takes in a few tries, of which the first below `enough` seconds is the last.

    For an upper bound with little room: a busy machine delays one try, not all of them.
    """
    times = []
    while len(times) < tries and min(times, default=enough) >= enough:
        begun = time.monotonic()
        action()
        times.append(time.monotonic() - begun)
    return min(times)


@contextlib.contextmanager
def dripping(connections, data=b"x" * 1000):
    """Sends a byte of `data` to each of the connections every 50 ms."""
    ended = threading.Event()

    def drip():
        for byte in data:
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(bytes([byte]), socket.MSG_DONTWAIT)
            if ended.wait(0.05):
                return

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
