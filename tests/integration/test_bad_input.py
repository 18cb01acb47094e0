"""Bad input gets a 4xx or a closed connection, and the service continues to serve others."""

import contextlib
import random
import signal
import socket
import time

import pytest

from clients import assert_answer, dripping, request_bytes
from harness import Answer, Service, ask, collect, open_socket, read_to_end, scale

GOOD = {"rng": "/32", "hasher": "/", "webui": "/index.html", "admin": "/healthz"}


@contextlib.contextmanager
def service(name):
    """One of the programs, with its .target_port and a .good request, which must always succeed."""
    settings = {"REDIS_URL": "redis://127.0.0.1:1"} if name == "webui" else {"DELAY_MS": 0}
    with Service("rng" if name == "admin" else name, admin=name == "admin", **settings) as one:
        one.target_port = one.port if name != "admin" else (one.port and one.admin_port)
        one.good = request_bytes(GOOD[name])
        yield one


@pytest.fixture(name="served", scope="module", params=GOOD)
def fixture_served(request):
    with service(request.param) as one:
        yield one


TOO_LATE = b"408 Request Timeout: the request did not arrive in time\n"


def post(*headers):
    return request_bytes("/", *headers, method="POST")


TLS = bytes.fromhex("16030100f5010000f10303" + "ab" * 32 + "20" + "cd" * 32 + "001413011302130301000094")

# By the statuses that they may get; 0 is a connection closed without a response.
BAD = {
    # More of these are in test_smuggling.py and tests/unit/request_head_test.cpp.
    (400,): [
        *(line + b"\r\nHost: x\r\n\r\n" for line in (
            b"GET /", b"GET / HTTP/2.0", b"get / HTTP/1.1", b"BREW / HTTP/1.1", b"G" * 5000 + b" / HTTP/1.1")),
        b"GET / HTTP/1.1\nHost: x\n\n", *(post(header) for header in (
            "NoColon", "X: \0", "Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: -5"))],
    (414,): [request_bytes("/" + "1" * 9000), b"GET /" + b"a" * 20000],
    (431,): [request_bytes("/", *["a: b"] * 101), request_bytes("/", "X: " + "y" * 20000),
             b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 20],
    tuple(range(400, 500)): [
        *(request_bytes(target) for target in (
            "index.html", "*", "/%", "/%zz", "/%00", "/32%00", "/\x01\x1b[31m\x7f", "/\xff\xfe", "http://",
            "ftp://x/y")),
        request_bytes("example.org:443", method="CONNECT"), post("Content-Length: " + "9" * 40)],
    (0, *range(400, 506)): [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", TLS, b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\0", b"G", b"\r\n" * 5000, b"A" * 1000000,
        *(random.Random(seed).randbytes(3 ** (seed + 1)) for seed in range(10)),
        *(b"GET / HTTP/1.1\r\n" + random.Random(seed).randbytes(900) + b"\r\n\r\n" for seed in range(5))],
}


def send(port, data, then_close):
    """Sends as much of it as the other side accepts, and returns the response."""
    with open_socket(port) as connection:
        with contextlib.suppress(OSError):
            connection.sendall(data)
            if then_close:
                connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def test_bad_input_gets_a_4xx_or_a_closed_connection(served):
    for statuses, requests in BAD.items():
        for data in requests:
            # Where more bytes could complete it, the service waits for them.
            received = send(served.target_port, data, then_close=0 in statuses)
            answer = Answer(received) if received or 0 not in statuses else None
            assert (answer.status if answer else 0) in statuses, data[:200]
            assert answer is None or answer.headers["connection"] == "close" and answer.date
            assert b"HTTP/1.1 200" not in received, "no second response to a smuggled request"
    assert ask(served.target_port, served.good).status == 200


@pytest.mark.slow
def test_a_request_has_ten_seconds_to_arrive_and_a_large_body_more():
    """Then half-sent and slow ones get 408, and a silent one a closed connection."""
    starts = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX-Half", b"GET / HTTP/1.1\r\n"]
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(service(name)) for name in ("rng", "hasher", "webui")]
        begun = time.monotonic()
        connections = []
        for one in services:
            for start in starts:
                connections.append(stack.enter_context(open_socket(one.port, timeout=30)))
                connections[-1].sendall(start)
        large = stack.enter_context(open_socket(services[1].port, timeout=30))
        large.sendall(post("Content-Length: 400000") + b"x" * 393216)  # 64 KiB give it another second
        with dripping(connections[3::4], b"X-Slow: " + b"z" * 1000):
            results = collect(connections, 25)
        time.sleep(max(0, begun + 14 - time.monotonic()))
        large.sendall(b"x" * 6784)
        assert Answer(read_to_end(large)).status == 200
        for at, (data, end) in enumerate(results):
            assert 9.5 < end - begun < 10 + scale(5)
            if at % 4 == 0:
                assert data == b""
            elif data or at % 4 != 3:  # a client that keeps sending may lose its response to a reset
                assert_answer(Answer(data), 408, TOO_LATE)
        for one in services:
            refused = sorted(line.partition("] ")[2] for line in one.access_lines() if " 408 " in line)
            assert refused == ['"-" 408 56', *['"GET / HTTP/1.1" 408 56'] * 2]


@pytest.mark.slow
def test_requests_that_arrived_in_time_are_served_however_late_they_are_read():
    with Service("hasher", DELAY_MS=0) as hasher, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(hasher.port, timeout=30)) for _ in range(200)]
        assert ask(hasher.port, request_bytes("/")).status == 200  # so all others have been accepted
        hasher.send_signal(signal.SIGSTOP)
        for client in clients:
            client.sendall(request_bytes("/"))
            client.shutdown(socket.SHUT_WR)
        time.sleep(11)
        hasher.send_signal(signal.SIGCONT)
        assert {Answer(data).status for data, _ in collect(clients)} == {200}
