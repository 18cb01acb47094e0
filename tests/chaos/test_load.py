"""Load: what clients that want to do harm can make the real programs hold. The class must not notice."""

import contextlib

import pytest

from clients import ask, open_socket, request_bytes
from harness import alone, private_kib

HEADS = ["X: " + "x" * 7500] * 2
LARGE = {"rng": "/33554431", "webui": "/assets/dygraphs/dygraph.min.js"}


@pytest.mark.parametrize("name", ["rng", "hasher", "webui"])
def test_2000_refused_heads_beside_500_slow_clients_leave_less_than_24_mib(name, figure):
    """hasher's response is too short to be read slowly: its slow clients have sent half of a body."""
    slow = (request_bytes(LARGE[name], *HEADS) if name in LARGE else
            request_bytes("/", *HEADS, "Content-Length: 9", method="POST") + b"half")
    memory = []
    with alone(name, DELAY_MS=0) as service, contextlib.ExitStack() as stack:
        for number in range(2500):
            connection = stack.enter_context(open_socket(service.port, receive_buffer=4096))
            with contextlib.suppress(ConnectionError):
                connection.send(slow if number < 500 else b"GET / HTTP/1.1\r\nX: " + b"x" * 24 * 1024)
            if number % 100 == 0:
                memory.append(private_kib(service.pid))
        figure(f"private memory of {name}, KiB, at first and at most", (memory[0], max(memory)))
        assert ask(service.port, request_bytes("/")).status in (200, 302)
    assert max(memory) < 24 * 1024
