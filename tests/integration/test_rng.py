"""rng: random bytes over HTTP, one request at a time, whatever the clients do."""

import contextlib
import re
import socket
import struct
import time

import pytest

from clients import assert_answer, dripping, quickest, receive, request_bytes
from harness import (Answer, SANITIZED, Service, alone, ask, collect, eventually, needs_namespaces, open_socket,
                     private_kib, read_to_end, scale)

LIMIT = 33554431  # 2^25 - 1, the most that one read of /dev/urandom yields
HOME = f"RNG running on {socket.gethostname()}\n".encode()
HTML = "text/html; charset=utf-8"
BYTES = "application/octet-stream"
TOO_MUCH = b"400 Bad Request: at most 33554431 bytes per request\n"
NO_PATH = b"404 Not Found: there is no such path\n"
NO_METHOD = b"405 Method Not Allowed: allowed are GET, HEAD, OPTIONS\n"


@pytest.fixture(scope="module")
def rng():
    """An rng without delay, for tests that do not depend on time."""
    with Service("rng", DELAY_MS=0) as service:
        yield service


def test_the_root_names_the_service(rng):
    root = b"GET / HTTP/1.0\r\n\r\n"
    for request in (request_bytes("http://rng"), root, b"\r\n\r\n" + root):
        assert_answer(ask(rng.port, request), 200, HOME, HTML)


@pytest.mark.parametrize("target, size", [
    ("/0", 0), ("/1", 1), ("/00032", 32), ("/1000000", 1000000), ("/" + "0" * 7000 + "32", 32),
    ("/%33%32", 32), ("http://127.0.0.1:80/32?x", 32)], ids=lambda value: str(value)[-20:])
def test_returns_exactly_n_bytes(rng, target, size):
    answer = ask(rng.port, request_bytes(target))
    assert len(answer.body) == size
    assert_answer(answer, 200, answer.body, BYTES)


def test_returns_as_much_as_the_limit_in_flat_memory(rng):
    ask(rng.port, request_bytes("/32"))
    before = highest = private_kib(rng.pid)
    with open_socket(rng.port) as connection:
        connection.sendall(request_bytes(f"/{LIMIT}"))
        data = bytearray()
        for _ in range(7):
            data += receive(connection, 4 << 20)
            highest = max(highest, private_kib(rng.pid))
        data += read_to_end(connection)
    answer = Answer(bytes(data))
    assert len(answer.body) == LIMIT
    assert_answer(answer, 200, answer.body, BYTES)
    if not SANITIZED:
        assert highest - before < 1024


def test_another_number_path_or_method_is_refused(rng):
    for number in (LIMIT + 1, 2**32 + 32, 2**64 + 32, "9" * 7000, f"{LIMIT + 1:099}"):
        assert_answer(ask(rng.port, request_bytes(f"/{number}")), 400, TOO_MUCH)
    for path in ("/-1", "/abc", "/3.5", "/32/", "/+32", "/32abc", "/0x20", "/32/32", "//32", "//", "/%2032", "/%D9%A3",
                 "/../32", "http://rng/abc"):
        for method in ("GET", "PUT"):
            assert_answer(ask(rng.port, request_bytes(path, method=method)), 404, NO_PATH)
    for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"):
        for path in ("/", "/32"):
            answer = ask(rng.port, request_bytes(path, method=method, body=b""))
            assert_answer(answer, 405, NO_METHOD, allow="GET, HEAD, OPTIONS")


@pytest.mark.parametrize("name, paths, methods", [
    ("rng", ["/", "/32", "/0?x"], "GET, HEAD, OPTIONS"), ("hasher", ["/"], "GET, HEAD, POST, OPTIONS"),
    ("webui", ["/", "/json", "/history", "/index.html", "/assets/dygraphs/dygraph.min.js"], "GET, HEAD, OPTIONS")])
def test_options_tells_the_methods_of_a_known_path_but_not_at_the_admin_port(name, paths, methods):
    with alone(name, admin=True, DELAY_MS=8000 if name != "webui" else None) as service:
        for target in (*paths, "*"):
            response = ask(service.port, request_bytes(target, method="OPTIONS", version="1.0"))
            assert (response.status, response.body) == (200, b""), target
            assert response.headers == {"connection": "close", "content-length": "0", "allow": methods}, target
        assert_answer(ask(service.port, request_bytes("/no/where", method="OPTIONS")), 404, NO_PATH)
        assert ask(service.admin_port, request_bytes("/healthz", method="OPTIONS")).status == 405


def test_head_has_the_headers_of_get_and_no_body(rng):
    for target in ("/", "/32", f"/{LIMIT}", f"/{LIMIT + 1}", "/abc", "/%"):
        head = ask(rng.port, request_bytes(target, method="HEAD"))
        with open_socket(rng.port) as connection:
            connection.sendall(request_bytes(target))
            whole = Answer(receive(connection, 2000))  # enough for the head
        assert (head.status, head.headers, head.body) == (whole.status, whole.headers, b"")


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_no_header_and_no_body_changes_the_answer(rng, version):
    for header in ("Accept: */*", "Connection: Keep-Alive", "TE: chunked", "Accept-Encoding: gzip", "Range: bytes=0-3",
                   "Range: bytes=0-0,5-6", "Range: bytes=100-200", "Range: garbled", "Range:"):
        answer = ask(rng.port, request_bytes("/32", header, version=version, body=b"hello"))
        assert len(answer.body) == 32
        assert_answer(answer, 200, answer.body, BYTES)


def test_a_client_may_send_a_large_body_before_it_reads_a_large_response(rng):
    answer = ask(rng.port, request_bytes("/30000000", body=bytes(30000000)))
    assert (answer.status, len(answer.body)) == (200, 30000000)


@needs_namespaces
def test_the_bytes_come_from_dev_urandom(rng):
    """No two pieces are the same. If /dev/urandom is replaced by a source of zeros, the response is zeros."""
    two_million = b"".join(ask(rng.port, request_bytes("/1000000")).body for _ in range(2))
    assert len({two_million[at:at + 64] for at in range(0, 2000000, 64)}) == 31250
    zeros = ["unshare", "--mount", "sh", "-c", 'mount --bind /dev/zero /dev/urandom && exec "$@"', "sh"]
    with Service("rng", DELAY_MS=0, prefix=zeros) as other:
        assert ask(other.port, request_bytes("/100000")).body == bytes(100000)


@pytest.mark.threads
def test_serves_one_at_a_time_in_the_order_in_which_requests_became_complete():
    """Whatever their kind, whichever connected first, and whatever body is declared."""
    kinds = [("/32", "GET", "1.1"), ("/0", "HEAD", "1.0"), ("/1000", "GET", "1.0"), ("/1", "HEAD", "1.1"),
             ("/2", "GET", "1.1", "Transfer-Encoding: chunked"), ("/3", "GET", "1.1", "Content-Length: 20000"),
             ("/4", "HEAD", "1.1", "Content-Length: 5", "Expect: 100-continue")]
    with Service("rng", DELAY_MS=100) as rng:
        connections = [open_socket(rng.port) for _ in range(16)]
        for at, connection in enumerate(connections):
            target, method, version, *headers = kinds[at % len(kinds)]
            connection.sendall(request_bytes(f"{target}?{15 - at}", *headers, method=method, version=version)[:-1])
        time.sleep(0.1)
        begun = time.monotonic()
        for connection in reversed(connections):
            connection.sendall(b"\n")
            time.sleep(0.02)
        results = collect(connections[::-1], 20)
        lines = eventually(lambda: len(rng.access_lines()) >= 16 and rng.access_lines())
    assert re.findall(r"\?(\d+) HTTP", "\n".join(lines)) == [str(place) for place in range(16)]
    assert {Answer(data).status for data, _ in results} == {200}
    ends = [end - begun for _, end in results]
    for place, end in enumerate(ends, start=1):
        # If two were served at the same time, those behind them would end a whole DELAY earlier.
        assert end >= place * 0.1 - 0.01, ends
    assert ends[-1] < 16 * 0.1 * 1.9


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_takes_no_delay_but_waits_in_the_same_queue(method):
    """So httping shows how long the queue is."""
    with Service("rng", DELAY_MS=600) as rng:
        port = rng.port
        begun = time.monotonic()
        connections = []
        for target, how in (("/1", "GET"), ("/", method), ("/2", "GET")):
            connections.append(open_socket(port))
            connections[-1].sendall(request_bytes(target, method=how, version="1.0"))
            time.sleep(0.05)
        first, root, last = [end - begun for _, end in collect(connections)]
    assert first >= 0.59 and root >= 0.59
    assert 1.19 <= last < 1.19 + scale(0.6)


def test_a_refusal_takes_no_delay_and_not_even_a_turn():
    with Service("rng", DELAY_MS=8000) as rng, open_socket(rng.port) as first:
        begun = time.monotonic()
        first.sendall(request_bytes("/32"))
        for request, status in ((request_bytes("/abc"), 404), (request_bytes(f"/{LIMIT + 1}"), 400),
                                (request_bytes("/32", method="DELETE"), 405), (b"GARBAGE\r\n\r\n", 400),
                                (request_bytes("/32", method="OPTIONS"), 200)):
            assert ask(rng.port, request).status == status
        assert time.monotonic() - begun < 7


@pytest.mark.threads
def test_two_thousand_incomplete_requests_delay_nobody_and_are_served_when_complete():
    with Service("rng", DELAY_MS=0) as rng, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(open_socket(rng.port)) for _ in range(2000)]
        half_sent = connections[::2]
        for at, connection in enumerate(half_sent):
            connection.sendall(request_bytes(f"/32?{at}")[:-1])
        refused = [stack.enter_context(open_socket(rng.port)) for _ in range(20)]
        for connection in refused:
            connection.sendall(request_bytes("/32", "Content-Length: 5000000", method="POST"))
        with dripping([*connections[1::4], *refused], b"GET /32 HTTP/1.1\r\nX: " + b"z" * 900):
            cost = quickest(lambda: ask(rng.port, request_bytes("/32?0")), 0.1)
        assert cost < scale(0.1)
        logged = len(rng.access_lines())
        for connection in half_sent:
            connection.sendall(b"\n")
        assert [Answer(data).status for data, _ in collect(half_sent, 30)] == [200] * 1000
        eventually(lambda: len(rng.access_lines()) >= logged + 1000)
        order = map(int, re.findall(r'"GET /32\?(\d+) ', "\n".join(rng.access_lines()[logged:])))
        # Two may become readable for rng at the same moment: those count as one.
        assert [number for place, number in enumerate(order) if abs(place - number) > 20] == []


def test_clients_that_left_are_skipped_and_one_that_closed_its_sending_side_at_once_has_its_turn():
    """As with `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -N rng 80`, beside workers."""
    def client(target):
        one = stack.enter_context(open_socket(rng.port))
        one.sendall(request_bytes(target))
        return one

    with Service("rng", DELAY_MS=1600) as rng, contextlib.ExitStack() as stack:
        first = client("/1")
        time.sleep(0.05)
        leaving = [client("/2") for _ in range(90)]
        last = client("/3")
        last.shutdown(socket.SHUT_WR)
        time.sleep(0.4)  # One that closes within 0.1 s has not left.
        for at, one in enumerate(leaving):
            if at % 3 == 0:
                one.shutdown(socket.SHUT_WR)
            else:
                if at % 3 == 1:  # a reset
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                one.close()
        collect([first, last], 20)  # one DELAY each would take over two minutes
        lines = eventually(lambda: len(rng.access_lines()) >= 92 and rng.access_lines())
    assert [re.sub(".*] ", "", line) for line in lines] == [
        *['"GET /2 HTTP/1.1" - -'] * 90, '"GET /1 HTTP/1.1" 200 1', '"GET /3 HTTP/1.1" 200 3']


@pytest.mark.slow
def test_a_client_that_takes_nothing_for_30_s_is_cut_off(rng):
    lines = len(rng.access_lines())
    with open_socket(rng.port, receive_buffer=16384) as connection:
        connection.sendall(request_bytes(f"/{LIMIT}"))
        begun = time.monotonic()
        eventually(lambda: len(rng.access_lines()) > lines, 50, what="the cut")
        assert 29.9 < time.monotonic() - begun < 30 + scale(5)
        assert len(read_to_end(connection)) < LIMIT


@pytest.mark.parametrize("concurrency, requests", [(1, 3), (3, 9)])
def test_it_serves_as_many_at_a_time_as_it_is_told_and_each_response_has_its_times(concurrency, requests):
    with Service("rng", CONCURRENCY=concurrency, DELAY_MS=200) as rng, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(rng.port)) for _ in range(requests)]
        for client in clients:
            client.sendall(request_bytes("/1"))
        answers = [Answer(data) for data, _ in collect(clients)]
    # With one at a time the turns are 0, 200 and 400 ms after the first; with three, so are the turns of three each.
    for at, (queue, work) in enumerate(sorted(answer.times for answer in answers)):
        turn = 200 * (at // concurrency)
        assert turn - 20 <= queue < turn + scale(150) and 200 <= work < scale(350)
