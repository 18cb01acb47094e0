"""rng: random bytes over HTTP, one request at a time, whatever the clients do."""

import contextlib
import socket
import struct
import time

import pytest

from clients import assert_answer, read_to_end, receive, request_bytes
from harness import (Answer, SANITIZED, Service, alone, ask, collect, eventually, needs_namespaces, open_socket,
                     private_kib, scale)

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


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_returns_exactly_n_bytes_whatever_headers_and_body(rng, version):
    for request in (request_bytes(version=version), b"\r\n\r\n" + request_bytes("http://rng")):
        assert_answer(ask(rng.port, request), 200, HOME, HTML)
    for target, size in (("/0", 0), ("/1", 1), ("/00032", 32), ("/1000000", 1000000), ("/" + "0" * 7000 + "32", 32),
                         ("/%33%32", 32), ("http://127.0.0.1:80/32?x", 32)):
        for headers in ([], ["Connection: Keep-Alive", "TE: chunked", "Range: bytes=0-3"], ["Range: garbled"]):
            answer = ask(rng.port, request_bytes(target, *headers, version=version, body=b"hello"))
            assert len(answer.body) == size
            assert_answer(answer, 200, answer.body, BYTES)
            head = ask(rng.port, request_bytes(target, *headers, version=version, method="HEAD"))
            assert (head.status, head.headers, head.body) == (200, answer.headers, b"")


def test_returns_as_much_as_the_limit_in_flat_memory(rng):
    ask(rng.port, request_bytes("/32"))
    before = highest = private_kib(rng.pid)
    with open_socket(rng.port) as connection:
        connection.sendall(request_bytes(f"/{LIMIT}"))
        data = b""
        while piece := receive(connection, 4 << 20):
            data += piece
            highest = max(highest, private_kib(rng.pid))
    answer = Answer(data)
    assert len(answer.body) == LIMIT
    assert_answer(answer, 200, answer.body, BYTES)
    assert SANITIZED or highest - before < 1024


def test_another_number_path_or_method_is_refused_without_delay_and_without_a_turn():
    with Service("rng", DELAY_MS=8000) as rng, open_socket(rng.port) as first:
        begun = time.monotonic()
        first.sendall(request_bytes("/32"))
        for number in (LIMIT + 1, 2**32 + 32, 2**64 + 32, "9" * 7000, f"{LIMIT + 1:099}"):
            assert_answer(ask(rng.port, request_bytes(f"/{number}")), 400, TOO_MUCH)
        for path in ("/-1", "/abc", "/3.5", "/32/", "/+32", "/32abc", "/0x20", "//32", "//", "/%2032", "/%D9%A3",
                     "/../32", "http://rng/abc"):
            for method in ("GET", "PUT"):
                assert_answer(ask(rng.port, request_bytes(path, method=method)), 404, NO_PATH)
        for method in ("POST", "PUT", "PATCH", "DELETE", "TRACE", "CONNECT"):
            for path in ("/", "/32"):
                answer = ask(rng.port, request_bytes(path, method=method, body=b""))
                assert_answer(answer, 405, NO_METHOD, allow="GET, HEAD, OPTIONS")
        assert ask(rng.port, b"GARBAGE\r\n\r\n").status == 400
        assert ask(rng.port, request_bytes("/32", method="OPTIONS")).status == 200
        assert time.monotonic() - begun < 7


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
@pytest.mark.parametrize("concurrency, requests, method", [(None, 6, "GET"), (3, 9, "HEAD")])
def test_serves_one_at_a_time_or_as_many_as_it_is_told_in_the_order_in_which_requests_became_complete(
        concurrency, requests, method):
    """Their times say so. The last asks for the root, which takes no delay but waits in the queue, as httping shows."""
    with Service("rng", CONCURRENCY=concurrency, DELAY_MS=400) as rng, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(open_socket(rng.port)) for _ in range(requests)]
        for client in clients[1:]:
            client.sendall(request_bytes("/1")[:-1])
        clients[0].sendall(request_bytes("/", method=method)[:-1])
        time.sleep(0.1)
        for client in reversed(clients):
            client.sendall(b"\n")
            time.sleep(0.01)
        answers = [Answer(data) for data, _ in collect(clients[::-1])]
    for at, (queue, work) in enumerate(answer.times for answer in answers):
        turn = 400 * (at // (concurrency or 1))
        delay = 0 if at == requests - 1 else 400
        assert turn - 200 < queue < turn + scale(300) and delay <= work < delay + scale(300)


def test_clients_that_left_are_skipped_and_one_that_closed_its_sending_side_at_once_has_its_turn():
    """As with `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -N rng 80`, beside workers."""
    def client(target):
        one = stack.enter_context(open_socket(rng.port))
        one.sendall(request_bytes(target))
        return one

    with Service("rng", DELAY_MS=1600) as rng, contextlib.ExitStack() as stack:
        first = client("/1")
        time.sleep(0.05)
        leaving = [client("/2") for _ in range(60)]
        last = client("/3")
        last.shutdown(socket.SHUT_WR)
        time.sleep(0.4)  # One that closes within 0.1 s has not left.
        for half_closes, closes, resets in zip(*[iter(leaving)] * 3):
            half_closes.shutdown(socket.SHUT_WR)
            closes.close()
            resets.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            resets.close()
        collect([first, last], 20)  # one DELAY each would take over a minute
        lines = eventually(lambda: len(rng.access_lines()) >= 62 and rng.access_lines())
    assert [line.partition("] ")[2] for line in lines] == [
        *['"GET /2 HTTP/1.1" - -'] * 60, '"GET /1 HTTP/1.1" 200 1', '"GET /3 HTTP/1.1" 200 3']


@pytest.mark.slow
def test_a_client_that_takes_nothing_for_30_s_is_cut_off(rng):
    lines = len(rng.access_lines())
    with open_socket(rng.port, receive_buffer=16384) as connection:
        connection.sendall(request_bytes(f"/{LIMIT}"))
        begun = time.monotonic()
        eventually(lambda: len(rng.access_lines()) > lines, 50, what="the cut")
        assert 29.9 < time.monotonic() - begun < 30 + scale(5)
        assert len(read_to_end(connection)) < LIMIT
