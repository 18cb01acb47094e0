"""Bad input gets a 4xx or a closed connection, and the service continues to serve others.

What a proxy could read in another way than we do is refused ("request smuggling"). tests/unit/request_parser_test.cpp
has the rules; here h11, another parser, is the second opinion.
"""

import contextlib
import hashlib
import random
import runpy
import signal
import socket
import time

import h11
import pytest

from clients import Answer, ask, assert_answer, collect, dripping, open_socket, raw, read_to_end, request_bytes
from harness import Service
from waiting import REPO, scale

TLS = bytes.fromhex("16030100f5010000f10303" + "ab" * 32 + "20" + "cd" * 32 + "001413011302130301000094")


def post(*headers, body=b"", **options):
    return request_bytes("/", *headers, method="POST", **options) + body


def chunked(body):
    return post("Transfer-Encoding: chunked", body=body)


# By the statuses that they may get; 0 is a connection closed without a response.
BAD = {
    (400,): [b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n", post("X: \0"),
             post("Content-Length: 5\r\nTransfer-Encoding: chunked")],
    (414,): [request_bytes("/" + "1" * 9000), b"GET /" + b"a" * 20000],
    (431,): [request_bytes("/", *["a: b"] * 101), request_bytes("/", "X: " + "y" * 20000)],
    tuple(range(400, 500)): [
        *map(request_bytes, ("index.html", "*", "/%zz", "/%00", "/32%00", "/\x01\x1b[31m\x7f", "/\xff", "ftp://x")),
        request_bytes("example.org:443", method="CONNECT"), post("Content-Length: " + "9" * 40)],
    (0, *range(400, 506)): [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", TLS, b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"*1\r\n$4\r\nPING\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"\0", b"\r\n" * 5000, b"A" * 1000000,
        *(random.Random(seed).randbytes(3 ** (seed + 1)) for seed in range(10)),
        *(b"GET / HTTP/1.1\r\n" + random.Random(seed).randbytes(900) + b"\r\n\r\n" for seed in range(5))],
}


@pytest.mark.parametrize("name, good", [
    ("rng", "/32"), ("hasher", "/"), ("webui", "/index.html"), ("admin", "/healthz")])
def test_bad_input_gets_a_4xx_or_a_closed_connection(name, good):
    with Service("hasher" if name == "admin" else name, admin=name == "admin", REDIS_URL="redis://127.0.0.1:1",
                 DELAY_MS=0) as service:
        port = service.port and service.admin_port or service.port
        for statuses, requests in BAD.items():
            for data in requests:
                with open_socket(port) as connection:
                    with contextlib.suppress(OSError):  # as much as the other side accepts
                        connection.sendall(data)
                        if 0 in statuses:  # Where more bytes could complete it, the service waits for them.
                            connection.shutdown(socket.SHUT_WR)
                    received = read_to_end(connection)
                answer = Answer(received) if received or 0 not in statuses else None
                assert (answer.status if answer else 0) in statuses, data[:200]
                assert answer is None or answer.headers["connection"] == "close" and answer.date
                assert received.count(b"HTTP/1.1 ") <= 1, "a second response to a smuggled request"
        assert ask(port, request_bytes(good)).status == 200


@pytest.mark.slow
def test_a_request_has_ten_seconds_to_arrive_and_a_large_body_more():
    """Then half-sent and slow ones get 408, and a silent one a closed connection."""
    starts = [b"", b"GET / HT", b"GET / HTTP/1.1\r\nX-Half", b"GET / HTTP/1.1\r\n"]
    with contextlib.ExitStack() as stack:
        services = [stack.enter_context(Service(name, REDIS_URL="redis://127.0.0.1:1"))
                    for name in ("rng", "hasher", "webui")]
        begun = time.monotonic()
        connections = [stack.enter_context(open_socket(one.port, timeout=30)) for one in services for _ in starts]
        for connection, start in zip(connections, starts * 3):
            connection.sendall(start)
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
                assert_answer(Answer(data), 408, b"408 Request Timeout: the request did not arrive in time\n")
        for one in services:
            refused = sorted(line.partition("] ")[2] for line in one.access_lines() if " 408 " in line)
            assert refused == ['"-" 408 56', *['"GET / HTTP/1.1" 408 56'] * 2]


@pytest.fixture(name="hasher", scope="module")
def fixture_hasher():
    with Service("hasher", DELAY_MS=0) as service:
        yield service


@pytest.mark.slow
def test_requests_that_arrived_in_time_are_served_however_late_they_are_read(hasher):
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(hasher.port, timeout=30)) for _ in range(200)]
        assert ask(hasher.port, request_bytes("/")).status == 200  # so all others have been accepted
        hasher.send_signal(signal.SIGSTOP)
        for client in clients:
            client.sendall(request_bytes("/"))
            client.shutdown(socket.SHUT_WR)
        time.sleep(11)
        hasher.send_signal(signal.SIGCONT)
        assert {Answer(data).status for data, _ in collect(clients)} == {200}


REFUSED, MORE, NOT_COMPARED = "refused", "more must arrive", "not compared"
CHUNKS = b"5\r\nhello\r\n0\r\n\r\n"
SMUGGLING = [
    *(post(header, body=CHUNKS) for header in (
        "Content-Length: 5\v", "Content-Length\t: 5", "Content\xadLength: 5", "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \vchunked", "Transfer-Encoding : chunked", "Transfer-Encoding:\r\n chunked",
        "Transfer-Encoding: chunked\rX: y", "Transfer-Encoding: chunk%65d")),
    *map(chunked, (b"5\0\r\nhello\r\n0\r\n\r\n", b"5;\nX\r\nhello\r\n0\r\n\r\n", b"5\v;x\r\nhello\r\n0\r\n\r\n",
                   b"5\r\nhello\r0\r\n\r\n", b"5\r\nhello\r\n0\r\nGET / HTTP/1.1\r\n\r\n")),
]


def h11_reads(data):
    """REFUSED, MORE or the request's body."""
    connection = h11.Connection(h11.SERVER)
    body = b""
    try:
        connection.receive_data(data)
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if event is h11.NEED_DATA:
                return MORE
            if isinstance(event, h11.Data):
                body += event.data
        return body
    except h11.RemoteProtocolError as error:
        # No response of ours depends on the Host.
        return NOT_COMPARED if "Host:" in str(error) else REFUSED


def half_closed(port, data):
    """What comes back when the client ends with `data`."""
    with open_socket(port) as connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return read_to_end(connection)


def check(port, data):
    """Compares. Where h11 is the less strict one, as with folded headers and bare line feeds, hasher may refuse."""
    theirs = h11_reads(data)
    received = (half_closed if theirs in (MORE, NOT_COMPARED) else raw)(port, data)
    if not received:
        assert theirs in (MORE, NOT_COMPARED), f"no response to {data!r}"
        return theirs, None
    answer = Answer(received)
    assert received.count(b"HTTP/1.1 ") == 1, f"two responses to {data!r}"
    # GET's body, and one for an unknown path, is not read: the connection closes after the response.
    if answer.status == 200 and data.startswith(b"POST") and theirs != NOT_COMPARED:
        assert isinstance(theirs, bytes), f"h11: {theirs}; hasher takes {data!r}"
        assert answer.body.decode() == hashlib.sha256(theirs).hexdigest(), f"another body in {data!r}"
    return theirs, answer.status


PIECES = [b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b"\0", b":", b";", b",", b"\v", b"\f", b"\x85", b"\xa0",
          b"0", b"5", b"-", b"+", b"0x", b"%35", b"chunked", b"identity", b"Transfer-Encoding: chunked\r\n",
          b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"X: y\r\n", b" folded\r\n", b"HTTP/1.0",
          b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"]
GOOD = [post("Content-Length: 5", body=b"hello"), chunked(CHUNKS), request_bytes("/"),
        post("Content-Length: 5", body=b"hello", version="1.0"),
        chunked(b"2;a=b\r\nhe\r\n3\r\nllo\r\n0\r\nX: y\r\n\r\n")]


def mutated(rng):
    """One of GOOD with one to three changes."""
    data = rng.choice(GOOD)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        inserted = rng.choice([*PIECES, data[at:at + rng.randint(1, 30)], b""])
        data = data[:at] + inserted + data[at + rng.choice([0, 0, 1, 2, 3]):]
    return data


def test_hasher_and_another_parser_read_the_same_body_or_it_is_refused(hasher):
    assert {check(hasher.port, data)[1] for data in GOOD} == {200}
    assert {check(hasher.port, data)[1] for data in SMUGGLING} == {400}
    outcomes = [check(hasher.port, mutated(random.Random(seed))) for seed in range(1500)]
    assert sum(status == 200 and isinstance(theirs, bytes) for theirs, status in outcomes) > 100
    assert sum(theirs == REFUSED for theirs, _ in outcomes) > 500


def test_fuzzing_begins_with_every_reason_for_which_llhttp_refuses_a_request(hasher):
    """There are 34, as millions of requests with random changes showed; the other four are ours."""
    seeds = runpy.run_path(f"{REPO}/tests/fuzz/run")["seeds"]("connection")
    responses = [half_closed(hasher.port, seed[1:].replace(b"\x1f", b"")) for seed in seeds]
    assert len({response.partition(b"\r\n\r\n")[2] for response in responses if b" 400 " in response[:16]}) == 34 + 4
