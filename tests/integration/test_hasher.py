"""hasher: the SHA-256 of each body, many requests at a time."""

import contextlib
import gzip
import hashlib
import os
import re
import select
import socket
import time

import pytest

from clients import assert_answer, dripping, quickest, receive, request_bytes
from harness import Answer, SANITIZED, SLOW, Service, ask, collect, open_socket, private_kib, raw, read_to_end, scale

LIMIT = 64 << 20
PIECE = bytes(1 << 20)
HOME = f"HASHER running on {socket.gethostname()}\n".encode()
HTML = "text/html; charset=utf-8"
CUT_SHORT = b"400 Bad Request: the body did not arrive in full\n"
NO_PATH = b"404 Not Found: there is no such path\n"
NO_METHOD = b"405 Method Not Allowed: allowed are GET, HEAD, POST, OPTIONS\n"
TOO_LARGE = b"413 Payload Too Large: at most 67108864 bytes are accepted\n"


def post(body, *headers, **more):
    return request_bytes("/", *headers, method="POST", body=body, **more)


def head(*headers, target="/", method="POST"):
    """The head of a request, without its body."""
    return request_bytes(target, *headers, method=method)


CHUNKED = head("Transfer-Encoding: chunked")


def chunk(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


def chunked(*pieces, headers=()):
    return head(*headers, "Transfer-Encoding: chunked") + b"".join(map(chunk, pieces)) + b"0\r\n\r\n"


def assert_digest(answer, body):
    assert_answer(answer, 200, hashlib.sha256(body).hexdigest().encode())


@pytest.fixture(scope="module")
def hasher():
    """A hasher without delay, for tests that do not depend on time."""
    with Service("hasher", DELAY_MS=0) as service:
        yield service


def test_the_root_names_the_service_and_refusals_come_without_delay():
    with Service("hasher", DELAY_MS=8000) as hasher:
        port = hasher.port
        begun = time.monotonic()
        for version in ("1.0", "1.1"):
            assert_answer(ask(port, request_bytes("/", version=version)), 200, HOME, HTML)
        for path in ("/abc", "//", "/%2F", "http://hasher/abc"):
            for method in ("GET", "POST", "PUT"):
                assert_answer(ask(port, request_bytes(path, method=method, body=b"hello")), 404, NO_PATH)
        for method in ("PUT", "DELETE", "CONNECT"):
            answer = ask(port, request_bytes("/", method=method, body=b"hello"))
            assert_answer(answer, 405, NO_METHOD, allow="GET, HEAD, POST, OPTIONS")
        for target in ("/", "/abc"):
            short, whole = (ask(port, request_bytes(target, method=method)) for method in ("HEAD", "GET"))
            assert (short.status, short.headers, short.body) == (whole.status, whole.headers, b"")
        for length in (LIMIT + 1, 2**32 + 5, 2**64 + 5, 10**30):
            assert_answer(ask(port, head(f"Content-Length: {length}")), 413, TOO_LARGE)
        assert time.monotonic() - begun < 7


@pytest.mark.parametrize("headers", [
    ["Content-Type:", "Range: bytes=0-1"], ["Content-Type: text/plain; charset=utf-16", "Connection: keep-alive"],
    ["Content-Type: application/x-www-form-urlencoded", "Content-Encoding: gzip"],
    ["Content-Type: multipart/form-data; boundary=xyz", "Content-Encoding: nonsense"]])
def test_hashes_the_raw_bytes_whatever_their_content_type_and_their_chunks_sizes(hasher, headers):
    multipart = b'--xyz\r\nContent-Disposition: form-data; name="f"\r\n\r\nhello\r\n--xyz--\r\n'
    for body in (multipart, gzip.compress(b"hello" * 99), b"name=value&" * 9000, os.urandom(700_000)):
        assert_digest(ask(hasher.port, post(body, *headers)), body)
        for size in (255, 4097, 70000):
            pieces = [body[at:at + size] for at in range(0, len(body), size)]
            assert_digest(ask(hasher.port, chunked(*pieces, headers=headers)), body)


PYTHON_REQUESTS = ["User-Agent: python-requests/2.18.4", "Accept-Encoding: gzip, deflate", "Accept: */*",
                   "Connection: keep-alive", "Content-Type: application/octet-stream"]


@pytest.mark.parametrize("request_, body", [
    (post(b"hello", *PYTHON_REQUESTS), b"hello"), (chunked(b"hello"), b"hello"), (head(), b""),
    (post(b"hello") + b"more", b"hello"), (post(b"hello", version="1.0"), b"hello"),
    (request_bytes("http://hasher:80/?x", method="POST", body=b"hello"), b"hello"),
], ids=["the original's worker", "chunked", "neither", "more than the length", "1.0", "absolute target"])
def test_a_request_may_come_in_parts_and_its_client_may_close_its_sending_side(hasher, request_, body):
    """Without a length and without chunks, the body is empty."""
    assert_digest(ask(hasher.port, request_), body)
    with open_socket(hasher.port) as connection:
        for part in (request_[:3], request_[3:-5], request_[-5:]):
            connection.sendall(part)
            time.sleep(0.05)
        connection.shutdown(socket.SHUT_WR)
        assert_digest(Answer(read_to_end(connection)), body)


@pytest.mark.parametrize("start", [post(b"x" * 20000)[:-1], chunked(b"hello")[:-5], chunked(b"hello")[:-9]])
def test_a_body_that_ends_early_is_never_hashed(hasher, start):
    with open_socket(hasher.port) as connection:
        connection.sendall(start)
        connection.shutdown(socket.SHUT_WR)
        assert_answer(Answer(read_to_end(connection)), 400, CUT_SHORT)


def test_sends_100_continue_once_to_a_client_that_expects_it_and_none_before_a_refusal(hasher):
    go_on = b"HTTP/1.1 100 Continue\r\n\r\n"
    expects = "Expect: 100-Continue"
    for request in (post(b"hello", expects), chunked(b"hello", headers=[expects])):
        start, _, body = request.partition(b"\r\n\r\n")
        with open_socket(hasher.port) as connection:
            connection.sendall(start + b"\r\n\r\n")
            assert receive(connection, len(go_on)) == go_on
            connection.sendall(body)
            assert_digest(Answer(read_to_end(connection)), b"hello")
        received = raw(hasher.port, request)  # one that does not wait for it
        assert_digest(Answer(received.removeprefix(go_on)), b"hello")
    for target, method, size, status in (("/", "POST", LIMIT + 1, 413), ("/abc", "POST", 5, 404), ("/", "PUT", 5, 405)):
        start = head(f"Content-Length: {size}", expects, target=target, method=method)
        assert ask(hasher.port, start).status == status


@pytest.mark.parametrize("start, piece, end", [
    (head(f"Content-Length: {LIMIT}"), PIECE, b""), (CHUNKED, chunk(PIECE), b"0\r\n\r\n")], ids=["length", "chunked"])
def test_a_body_of_exactly_the_limit_is_hashed_in_flat_memory(hasher, start, piece, end):
    ask(hasher.port, post(b"warm up"))
    before = highest = private_kib(hasher.pid)
    with open_socket(hasher.port, timeout=30) as connection:
        connection.sendall(start)
        for _ in range(64):
            connection.sendall(piece)
            highest = max(highest, private_kib(hasher.pid))
        connection.sendall(end)
        assert_digest(Answer(read_to_end(connection)), PIECE * 64)
    assert SANITIZED or highest - before < 1024


MORE = b"x" * 100000


@pytest.mark.parametrize("start, more, status, said", [
    (head("Content-Length: 5000000", target="/nowhere"), MORE, 404, NO_PATH),
    (head("Content-Length: 5000000", method="PUT"), MORE, 405, NO_METHOD),
    (head("Transfer-Encoding: chunked", target="/nowhere"), chunk(MORE), 404, NO_PATH),
    (head("Content-Length: 70000000"), MORE, 413, TOO_LARGE),
    (CHUNKED + chunk(PIECE) * 64 + chunk(b"x"), chunk(MORE), 413, TOO_LARGE),
    (CHUNKED + b"4000001\r\n" + PIECE * 64 + b"x", MORE, 413, TOO_LARGE),
], ids=["404", "405", "404 chunked", "413 declared", "413 counted", "413 in one chunk"])
def test_a_refusal_reaches_a_client_that_sends_more_before_it_reads(hasher, start, more, status, said):
    """It is not lost to a reset: for a second, what the client sends is read."""
    with open_socket(hasher.port, timeout=30) as connection:
        connection.sendall(start)
        select.select([connection], [], [], scale(10))  # until the response has come
        for _ in range(20):
            connection.sendall(more)
            time.sleep(0.005)
        answer = Answer(read_to_end(connection))
    assert (answer.status, answer.body) == (status, said)


def test_a_refused_client_that_keeps_sending_is_cut_off_after_a_second(hasher):
    def cut_off():
        with open_socket(hasher.port) as connection, contextlib.suppress(ConnectionError):
            connection.sendall(head("Content-Length: 60000000", target="/nowhere"))
            while connection.send(b"x" * 100):
                time.sleep(0.01)

    assert 0.99 < quickest(cut_off, 1.9) < scale(1.9)


@pytest.mark.threads
@pytest.mark.parametrize("make, size, count", [(post, 1, 128), (chunked, 20000, 64)], ids=["small", "chunked"])
def test_64_requests_together_take_one_delay_and_so_do_128_small_ones(make, size, count):
    def body(at):
        return bytes([at]) * size

    with Service("hasher", DELAY_MS=1500) as hasher:
        connections = [open_socket(hasher.port) for _ in range(count)]
        begun = time.monotonic()
        for at, connection in enumerate(connections):
            connection.sendall(make(body(at)))
        results = collect(connections)
    assert re.fullmatch(rf'HASHER running.*(\n\S+ - - \[\S+ \+0000\] "POST / HTTP/1.1" 200 64){{{count}}}', hasher.log)
    for at, (data, end) in enumerate(results):
        assert_digest(Answer(data), body(at))
        assert 1.49 <= end - begun < 1.5 + (12 if SLOW else 1.4)  # sanitizers take seconds for 128 threads


@pytest.mark.threads
@pytest.mark.parametrize("count, start, rest", [
    (2000, b"", post(b"hello")), (2000, post(b"hello")[:20], post(b"hello")[20:]),
    (200, post(bytes(9**5))[:-1], b"x"), (200, CHUNKED + b"5\r\nhe", b"llo\r\n0\r\n\r\n"),
    (20, head("Content-Length: 1000"), None), (20, head("Content-Length: 9000000", target="/nowhere"), None),
    (200, head("Content-Length: 5", "Expect: 100-continue"), b"hello"), (200, post(b"x"), None),
], ids=["idle", "half a head", "most of a body", "half a chunk", "dripping", "refused", "to continue", "has left"])
def test_two_thousand_incomplete_requests_delay_nobody_and_are_served_when_complete(count, start, rest):
    with Service("hasher", DELAY_MS=100) as hasher, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(open_socket(hasher.port)) for _ in range(count)]
        for connection in connections:
            connection.sendall(start)
            if start == post(b"x"):
                connection.close()
        with dripping(connections if count == 20 else []):
            time.sleep(0.2)
            took = quickest(lambda: ask(hasher.port, post(b"hello")), 0.2)
        assert 0.1 <= took < 0.1 + scale(0.1)
        for connection in connections if rest else []:
            connection.sendall(rest)
        assert all(b"HTTP/1.1 200 OK" in data for data, _ in collect(connections if rest else [], 30))


@pytest.mark.parametrize("name, request_", [("rng", request_bytes("/1")), ("hasher", post(b"x"))])
def test_the_percentage_that_was_asked_for_fails_after_the_delay(name, request_):
    for percent, requests, least, most in ((0, 20, 0, 0), (100, 20, 20, 20), (50, 100, 11, 89)):
        with Service(name, FAIL_PERCENT=percent, DELAY_MS=20) as service:
            begun = time.monotonic()
            answers = [ask(service.port, request_) for _ in range(requests)]
            assert time.monotonic() - begun >= 0.02 * requests
            assert ask(service.port, request_bytes("/")).status == 200
            failed = [answer.body for answer in answers if answer.status == 500]
            assert least <= len(failed) <= most
            assert set(failed) <= {b"500 Internal Server Error: FAIL_PERCENT asks for it\n"}
            assert [line for line in service.lines if line.startswith("WARNING")] == (
                percent > 0) * [f"WARNING:{name}:FAIL_PERCENT={percent}: {percent} % of the requests fail on purpose"]
