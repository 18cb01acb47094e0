"""worker: the loop on the wire, the counter's schedule, coins, errors, the wait at start, settings and stops.

That nothing is lost has a file of its own, test_nothing_lost.py.
"""

import contextlib
import hashlib
import os
import re
import signal
import socket
import statistics
import threading
import time

import pytest

from fakes import (CLOSE, HANG, RESET, FakeDns, FakeHttp, Namespace, Proxy, RedisProxy,
                   bytes_whose_digest_begins_with, digest, http_answer, namespaces_are_possible, random_bytes)
from harness import Blackhole, Redis, STOPS_WITHIN, Service, eventually, scale

needs_namespaces = pytest.mark.skipif(not namespaces_are_possible(),
                                      reason="namespaces need root and unshare")
COIN = bytes_whose_digest_begins_with("0")
NO_COIN = bytes_whose_digest_begins_with("f")


@pytest.fixture
def redis():
    with Redis() as server:
        yield server


@pytest.fixture
def rng():
    with FakeHttp(slowly(random_bytes), "rng") as server:
        yield server


@pytest.fixture
def hasher():
    with FakeHttp(digest, "hasher") as server:
        yield server


@pytest.fixture
def namespace():
    with Namespace() as space:
        yield space


def slowly(answer, seconds=0.005):
    """The same answer, some milliseconds later: so that a worker without DELAY does not fill the machine."""
    return lambda request: [seconds, answer(request)]


def worker(rng, hasher, redis, **settings):
    """A worker between these three: fakes, services, or URLs."""
    settings.setdefault("DELAY_MS", 0)
    return Service("worker", RNG_URL=url(rng), HASHER_URL=url(hasher), REDIS_URL=url(redis), **settings)


def url(server):
    if isinstance(server, str):
        return server
    return f"http://127.0.0.1:{server.port}" if isinstance(server, Service) else server.url


def counted(redis):
    return int(redis.command("GET", "hashes") or 0)


def await_loops(server, loops=3, timeout=10):
    """Waits until hasher (or rng) has had that many more requests."""
    goal = len(server.requests) + loops
    eventually(lambda: len(server.requests) >= goal, timeout, what=f"{loops} loops")


def await_counted(redis, more=1, timeout=10):
    """Waits until the counter has risen."""
    goal = counted(redis) + more
    eventually(lambda: counted(redis) >= goal, timeout, 0.02, "the counter's rise")


def errors(service):
    return [line for line in service.stdout if line.startswith("ERROR:")]


def assert_stops(service, sig=signal.SIGTERM, log_errors=False):
    status, seconds = service.stop(sig)
    assert status == 0
    assert seconds < STOPS_WITHIN
    if not log_errors:
        assert errors(service) == []


# --------------------------------------------------------------------------------------- the loop on the wire


def test_a_loop_draws_32_bytes_and_posts_just_these_each_over_a_new_connection(redis):
    journal = []
    with FakeHttp(slowly(random_bytes), "rng", journal) as rng, FakeHttp(digest, "hasher", journal) as hasher:
        drawn = []
        rng.answer = lambda _: [0.005, drawn.append(os.urandom(32)) or http_answer(drawn[-1])]
        with worker(rng, hasher, redis) as service:
            await_loops(hasher, 20)
            assert_stops(service)
    names = [name for name, _ in journal]
    assert names == (["rng", "hasher"] * len(names))[:len(names)]
    assert {(request.method, request.target) for request in rng.requests} == {("GET", "/32")}
    assert {(request.method, request.target) for request in hasher.requests} == {("POST", "/")}
    assert [request.body for request in hasher.requests] == drawn[:len(hasher.requests)]
    assert {request.body for request in rng.requests} == {b""}
    for fake in (rng, hasher):
        assert fake.accepted - len(fake.requests) in (0, 1)  # the stop may cut one off before its request
        assert len({request.connection for request in fake.requests}) == len(fake.requests)
        assert {request.header("host") for request in fake.requests} == {fake.address}
        assert {request.version for request in fake.requests} <= {"HTTP/1.1", "HTTP/1.0"}
    assert {request.header("content-length") for request in hasher.requests} == {"32"}
    assert {request.header("transfer-encoding") for request in hasher.requests} == {None}


def test_a_connection_ends_with_its_request_even_when_the_server_would_keep_it(rng, hasher, redis):
    with worker(rng, hasher, redis):
        await_loops(hasher, 5)
        for fake in (rng, hasher):
            assert fake.requests[0].left.is_set()  # the fakes never close


@pytest.mark.parametrize("path, target",
                         [("", "/32"), ("/", "/32"), ("/base", "/base/32"), ("/a/b/", "/a/b/32")])
def test_a_path_in_the_url_goes_before_the_request(rng, hasher, redis, path, target):
    with worker(rng.url + path, hasher.url + path, redis):
        await_loops(hasher, 1)
    assert rng.requests[0].target == target
    assert hasher.requests[0].target == target[:-2]


def test_sleeps_delay_before_every_draw(rng, hasher, redis):
    rng.answer = random_bytes
    with worker(rng, hasher, redis, DELAY_MS=200):
        eventually(lambda: len(rng.requests) >= 5, what="5 loops")
    gaps = [later.at - earlier.at for earlier, later in zip(rng.requests, rng.requests[1:])]
    assert min(gaps) > 0.195
    assert min(gaps) < scale(0.3)
    # The work comes before the draw: between it and the post nothing is slept.
    assert min(post.at - draw.at for draw, post in zip(rng.requests, hasher.requests)) < scale(0.1)


def test_the_work_is_100_ms_by_default(rng, hasher, redis):
    rng.answer = random_bytes
    with worker(rng, hasher, redis, DELAY_MS=None):
        eventually(lambda: len(rng.requests) >= 6, what="6 loops")
    gaps = [later.at - earlier.at for earlier, later in zip(rng.requests, rng.requests[1:])]
    assert min(gaps) > 0.098
    assert min(gaps) < scale(0.15)


@needs_namespaces
def test_by_default_its_neighbours_are_named_rng_hasher_and_redis(redis, namespace):
    namespace.set_hosts("127.0.0.2 rng\n127.0.0.3 hasher\n127.0.0.4 redis\n")
    with (FakeHttp(slowly(random_bytes), host="127.0.0.2", port=80, namespace=namespace) as rng,
          FakeHttp(digest, host="127.0.0.3", port=80, namespace=namespace) as hasher,
          RedisProxy(redis, host="127.0.0.4", port=6379, namespace=namespace)):
        with Service("worker", prefix=namespace.prefix) as service:
            await_counted(redis, 4)
            assert_stops(service)
        assert {request.header("host") for request in rng.requests} == {"rng"}
        assert {request.header("host") for request in hasher.requests} == {"hasher"}


@needs_namespaces
@pytest.mark.parametrize("source", ["hosts file", "name server"])
def test_all_addresses_of_a_name_get_their_share_in_no_fixed_order(redis, namespace, source):
    if source == "hosts file":
        namespace.set_hosts("127.0.0.2 many\n127.0.0.3 many\n")
    journal = []
    with (FakeDns(namespace, {"many": ["127.0.0.2", "127.0.0.3"]}),
          FakeHttp(random_bytes, "a", journal, host="127.0.0.2", port=81, namespace=namespace),
          FakeHttp(random_bytes, "b", journal, host="127.0.0.3", port=81, namespace=namespace),
          FakeHttp(digest, namespace=namespace) as hasher,
          RedisProxy(redis, namespace=namespace) as redis_here):
        with worker("http://many:81", hasher, redis_here, DELAY_MS=20, prefix=namespace.prefix):
            eventually(lambda: len(journal) >= 32, 20, what="32 loops")
    order = "".join(name for name, _ in journal[:32])
    assert order.count("a") >= 4 and order.count("b") >= 4
    assert order not in ("ab" * 16, "ba" * 16)
    assert {request.header("host") for _, request in journal} == {"many:81"}


@needs_namespaces
@pytest.mark.parametrize("source", ["hosts file", "name server"])
def test_a_name_that_moves_is_followed_within_a_second(redis, namespace, source):
    def move(address):
        if source == "hosts file":
            namespace.set_hosts(f"{address} rng\n")
        else:
            names.records = {"rng": [address]}

    with (FakeDns(namespace) as names,
          FakeHttp(slowly(random_bytes), host="127.0.0.2", port=80, namespace=namespace) as old,
          FakeHttp(slowly(random_bytes), host="127.0.0.3", port=80, namespace=namespace) as new,
          FakeHttp(digest, namespace=namespace) as hasher,
          RedisProxy(redis, namespace=namespace) as redis_here):
        move("127.0.0.2")
        with worker("http://rng", hasher, redis_here, prefix=namespace.prefix) as service:
            await_loops(old, 3)
            moved = time.monotonic()
            move("127.0.0.3")
            await_loops(new, 3)
            assert new.requests[0].at - moved < scale(1.2)
            settled = len(old.requests)
            await_loops(new, 20)
            assert len(old.requests) == settled
            assert errors(service) == []


@needs_namespaces
def test_an_address_that_refuses_costs_nothing_while_the_name_has_another(redis, namespace):
    namespace.set_hosts("127.0.0.2 rng\n127.0.0.3 rng\n")
    with (FakeHttp(slowly(random_bytes), host="127.0.0.3", port=80, namespace=namespace),
          FakeHttp(digest, namespace=namespace) as hasher,
          RedisProxy(redis, namespace=namespace) as redis_here):
        with worker("http://rng", hasher, redis_here, prefix=namespace.prefix) as service:
            await_loops(hasher, 30)
            assert_stops(service)
        assert "Waiting" not in service.log


def test_ipv6_addresses_work_everywhere():
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 on this machine")
    with (Redis("--bind", "127.0.0.1", "::1") as redis,
          FakeHttp(slowly(random_bytes), host="::1") as rng, FakeHttp(digest, host="::1") as hasher):
        with worker(rng, hasher, f"redis://[::1]:{redis.port}"):
            await_counted(redis, 3)
        assert rng.requests[0].header("host") == f"[::1]:{rng.port}"


# ------------------------------------------------------------------------------------- the counter's schedule


def test_the_first_thing_it_does_is_to_add_0_to_the_counter(redis):
    journal = []
    with (RedisProxy(redis, "redis", journal) as redis_here,
          FakeHttp(slowly(random_bytes), "rng", journal) as rng,
          FakeHttp(digest, "hasher", journal) as hasher):
        with worker(rng, hasher, redis_here) as service:
            await_loops(hasher, 2)
            assert service.lines[0] == "INFO:worker:0 units of work done, updating hash counter"
    assert journal[0] == ("redis", [b"INCRBY", b"hashes", b"0"])
    assert journal[1][0] == "rng"


def test_alone_it_updates_by_4_every_1_2_seconds(redis):
    """The course's famous 4 - 4 - 4 - 0: with real neighbours and the real DELAY."""
    with (Service("rng") as rng, Service("hasher") as hasher,
          worker(rng, hasher, redis, DELAY_MS=None) as service):
        changes = []
        last = 0
        deadline = time.monotonic() + scale(20)
        while len(changes) < 6:
            assert time.monotonic() < deadline, changes
            value = counted(redis)
            if value != last:
                changes.append((time.monotonic(), value - last))
                last = value
            time.sleep(0.004)
        assert_stops(service)
    steps = [step for _, step in changes]
    assert steps.count(4) >= 5, steps  # one may be blurred by a busy machine
    gaps = [later - earlier for (earlier, _), (later, _) in zip(changes, changes[1:])]
    assert 1.19 < statistics.median(gaps) < (1.3 if scale(1) == 1 else 2), gaps
    updates = re.findall(r"^INFO:worker:(\d+) units of work done, updating hash counter$", service.log,
                         re.MULTILINE)
    assert [int(update) for update in updates][:7] == [0, *steps]


def test_after_more_than_a_second_the_counter_is_raised_by_the_loops_since_then(rng, hasher, redis):
    rng.answer = slowly(lambda _: http_answer(NO_COIN))
    with RedisProxy(redis) as redis_here:
        times = []
        with worker(rng, hasher, redis_here) as service:
            for number in range(4):
                eventually(lambda n=number: len(redis_here.commands) > n, what="an update")
                times.append(time.monotonic())
            assert_stops(service)
        updates = redis_here.commands
        assert {tuple(command[:2]) for command in updates} == {(b"INCRBY", b"hashes")}
        assert redis_here.accepted == 1  # updates share a connection
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert min(gaps) > 0.95
    assert min(gaps) < scale(1.2)
    assert sum(int(command[2]) for command in updates) == counted(redis)
    assert redis.command("TYPE", "hashes") == b"string"


def test_adds_to_a_counter_that_is_there_already(rng, hasher, redis):
    redis.command("SET", "hashes", "9000000000")
    with worker(rng, hasher, redis) as service:
        await_counted(redis, 1)
        assert_stops(service)
    assert 9000000000 + len(hasher.requests) - counted(redis) in (0, 1)  # the stop may have cut one off


# ------------------------------------------------------------------------------------------------ coins


def test_a_coin_is_stored_under_its_digest_with_its_raw_bytes_and_logged(rng, hasher, redis):
    awkward = bytes_whose_digest_begins_with("0", b"\x00\r\n$5\r\n*\xff\xc3\x28 ")
    rng.answer = slowly(lambda _: http_answer(awkward))
    name = hashlib.sha256(awkward).hexdigest()
    with worker(rng, hasher, redis) as service:
        service.wait_for_line(rf"^INFO:worker:Coin found: {name[:8]}\.\.\.$")
        eventually(lambda: redis.command("HLEN", "wallet") == 1, what="the coin")
    assert redis.command("TYPE", "wallet") == b"hash"
    assert redis.command("HGETALL", "wallet") == [name.encode(), awkward]


def test_a_coin_that_is_there_already_is_said_so(rng, hasher, redis):
    rng.answer = slowly(lambda _: http_answer(COIN if len(rng.requests) % 2 else NO_COIN))
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 12)
        assert_stops(service)
    said = [line for line in service.stdout if "units of work" not in line]
    found = f"INFO:worker:Coin found: {hashlib.sha256(COIN).hexdigest()[:8]}..."
    assert len(said) >= 5
    assert said == [found] + [found, "INFO:worker:We already had that coin"] * (len(said) // 2)
    assert redis.command("HLEN", "wallet") == 1


def test_a_digest_is_a_coin_when_it_begins_with_0_and_only_then(rng, hasher, redis):
    drawn = {}

    def every_first_digit_in_turn(request):
        number = len(hasher.requests)
        name = "0123456789abcdef"[number % 16] + hashlib.sha256(request.body).hexdigest()[1:]
        drawn[name] = request.body
        return http_answer(name.encode())

    hasher.answer = every_first_digit_in_turn
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 16 * 5)
        assert_stops(service)
    wallet = redis.command("HGETALL", "wallet")
    wallet = dict(zip(wallet[::2], wallet[1::2]))
    coins = {name.encode(): value for name, value in drawn.items() if name.startswith("0")}
    # The stop may have cut the last loop off, before its digest arrived.
    missing = set(coins) - set(wallet)
    assert set(wallet) <= set(coins) and missing <= {list(drawn)[-1].encode()}
    assert all(coins[name] == value for name, value in wallet.items())
    assert len(wallet) >= 4


@pytest.mark.parametrize("value, on",
                         [("y", True), ("Yes", True), ("n", False), ("1", False), ("", False), (None, False)])
def test_debug_lines_only_with_debug(rng, hasher, redis, value, on):
    rng.answer = slowly(lambda _: http_answer(COIN if len(rng.requests) == 3 else NO_COIN))
    with worker(rng, hasher, redis, DEBUG=value) as service:
        await_loops(hasher, 6)
        assert_stops(service)
    said = [line for line in service.stdout if "units of work" not in line]
    if not on:
        assert said == [f"INFO:worker:Coin found: {hashlib.sha256(COIN).hexdigest()[:8]}..."]
        return
    doing, none = "DEBUG:worker:Doing one unit of work", "DEBUG:worker:No coin found"
    found = f"INFO:worker:Coin found: {hashlib.sha256(COIN).hexdigest()[:8]}..."
    assert said[:9] == [doing, none, doing, none, doing, found, doing, none, doing]


# ------------------------------------------------------------------------------------------------ bad answers


def chunked(*chunks):
    body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


ZERO_DIGEST = b"0" * 64
HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n" + b"x" * 16
BAD_FROM_RNG = {
    "500": http_answer(b"x" * 32, "500 Internal Server Error"),
    "503": http_answer(b"x" * 32, "503 Service Unavailable", "Retry-After: 0\r\n"),
    "404": http_answer(b"x" * 32, "404 Not Found"),
    "201": http_answer(b"x" * 32, "201 Created"),
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "206": http_answer(b"x" * 32, "206 Partial Content", "Content-Range: bytes 0-31/64\r\n"),
    "redirect": http_answer(b"x" * 32, "302 Found", "Location: /64\r\n"),
    "nothing": http_answer(b""),
    "31 bytes": http_answer(b"x" * 31),
    "33 bytes": http_answer(b"x" * 33),
    "31 bytes chunked": chunked(b"x" * 16, b"x" * 15),
    "33 bytes chunked": chunked(b"x" * 32, b"x"),
    "64 MB": [b"HTTP/1.1 200 OK\r\nContent-Length: 64000000\r\n\r\n", *([b"x" * 65536] * 977), CLOSE],
    "without end": [b"HTTP/1.1 200 OK\r\n\r\n", *([b"x" * 65536] * 10000)],
    "cut short": [HALF, CLOSE],
    "reset": [HALF, RESET],
    "closed at once": [CLOSE],
    "half a head": [b"HTTP/1.1 200 OK\r\nContent-Le", CLOSE],
    "not HTTP": [b"SSH-2.0-OpenSSH_9.2\r\n", CLOSE],
    "binary noise": [bytes(range(256)) * 8, CLOSE],
    "bad length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + b"x" * 32,
    "bad chunk": [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + b"x" * 32, CLOSE],
}
BAD_FROM_HASHER = {
    "500": http_answer(ZERO_DIGEST, "500 Internal Server Error"),
    "404": http_answer(ZERO_DIGEST, "404 Not Found"),
    "413": http_answer(ZERO_DIGEST, "413 Payload Too Large"),
    "202": http_answer(ZERO_DIGEST, "202 Accepted"),
    "redirect": http_answer(ZERO_DIGEST, "307 Temporary Redirect", "Location: /elsewhere\r\n"),
    "nothing": http_answer(b""),
    "63 digits": http_answer(ZERO_DIGEST[1:]),
    "65 digits": http_answer(ZERO_DIGEST + b"0"),
    "a newline behind": http_answer(ZERO_DIGEST + b"\n"),
    "a newline within": http_answer(ZERO_DIGEST[1:] + b"\n"),
    "upper case": http_answer(b"0" + b"A" * 63),
    "one upper-case digit": http_answer(ZERO_DIGEST[1:] + b"F"),
    "not hexadecimal": http_answer(b"0" * 63 + b"g"),
    "a NUL": http_answer(b"0" * 63 + b"\0"),
    "an error text of 64 characters": http_answer(b"0 sorry, but something went wrong".ljust(64)),
    "cut short": [b"HTTP/1.1 200 OK\r\nContent-Length: 64\r\n\r\n" + ZERO_DIGEST[:40], CLOSE],
    "closed at once": [CLOSE],
    "reset": [RESET],
}


def make_trouble(fake, trouble, hasher, redis, service):
    """Two good loops, the trouble for two requests, then good again. Returns what was logged about it."""
    good = fake.answer
    await_loops(hasher, 2)
    troubled = []
    first = len(service.lines)

    def answer(request):
        if len(troubled) < 2:
            troubled.append(request)
            return trouble
        return good(request)

    fake.answer = answer
    eventually(lambda: len(troubled) == 2, what="two bad answers")
    await_counted(redis, 1)
    assert_stops(service, log_errors=True)
    return [line for line in service.lines[first:]
            if "units of work" not in line and "coin" not in line.lower()]


def assert_two_errors_that_name(address, lines):
    assert len(lines) == 4, lines
    assert lines[0] == lines[2]
    assert re.fullmatch(rf"ERROR:worker:In work loop: .*\b{re.escape(address)}\b.*", lines[0]), lines[0]
    assert len(lines[0].split(address, 1)[1].strip(": ")) > 3, "no reason given: " + lines[0]
    assert lines[1] == "ERROR:worker:Waiting 0.1s and restarting."
    assert lines[3] == "ERROR:worker:Waiting 0.2s and restarting."


@pytest.mark.parametrize("case", BAD_FROM_RNG)
def test_a_bad_answer_from_rng_is_an_error_and_never_hashed(rng, hasher, redis, case):
    with worker(rng, hasher, redis) as service:
        lines = make_trouble(rng, BAD_FROM_RNG[case], hasher, redis, service)
    assert_two_errors_that_name(rng.address, lines)
    assert not any(request.body.startswith(b"x" * 8) for request in hasher.requests)
    assert len(rng.requests) - len(hasher.requests) in (2, 3)  # the stop may have cut a third
    assert {request.target for request in rng.requests} == {"/32"}
    assert len(hasher.requests) - 1 <= counted(redis) <= len(hasher.requests)


@pytest.mark.parametrize("case", BAD_FROM_HASHER)
def test_a_bad_answer_from_hasher_is_an_error_and_never_counted_or_stored(rng, hasher, redis, case):
    rng.answer = slowly(lambda _: http_answer(NO_COIN))
    with worker(rng, hasher, redis) as service:
        lines = make_trouble(hasher, BAD_FROM_HASHER[case], hasher, redis, service)
    assert_two_errors_that_name(hasher.address, lines)
    assert redis.command("EXISTS", "wallet") == 0
    assert len(hasher.requests) - 3 <= counted(redis) <= len(hasher.requests) - 2
    assert {request.target for request in hasher.requests} == {"/"}


@pytest.mark.parametrize("case", ["chunked", "HTTP/1.0 without length", "byte by byte", "lower-case names"])
def test_every_way_in_which_http_may_give_32_bytes_is_taken(rng, hasher, redis, case):
    def answer(_request):
        body = os.urandom(32)
        if case == "chunked":
            return [chunked(body[:1], body[1:20], body[20:]), CLOSE]
        if case == "HTTP/1.0 without length":
            return [b"HTTP/1.0 200 OK\r\n\r\n" + body, CLOSE]
        if case == "byte by byte":
            return [part for byte in http_answer(body) for part in (bytes([byte]), 0.0005)]
        return b"HTTP/1.1 200 fine\r\ncontent-length: 32\r\nconnection: close\r\n\r\n" + body

    rng.answer = answer
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 5)
        assert_stops(service)


# What the original's servers put before the body: Werkzeug, old and newer, and Thin, which leaves the connection open.
WERKZEUG = {
    "0.14": ("HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 32\r\n"
             "Server: Werkzeug/0.14.1 Python/3.6.3\r\nDate: Sat, 21 Nov 2026 07:08:51 GMT\r\n\r\n"),
    "3.0": ("HTTP/1.1 200 OK\r\nServer: Werkzeug/3.0.1 Python/3.12.0\r\nDate: Sat, 21 Nov 2026 07:08:51 GMT\r\n"
            "Content-Type: application/octet-stream\r\nContent-Length: 32\r\nConnection: close\r\n\r\n"),
}
THIN = ("HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=utf-8\r\nContent-Length: 64\r\n"
        "X-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\nServer: thin\r\n\r\n")


@pytest.mark.parametrize("version", WERKZEUG)
def test_mines_with_the_originals_rng_and_hasher(rng, hasher, redis, version):
    rng.answer = lambda _: [WERKZEUG[version].encode() + os.urandom(32), CLOSE]
    hasher.answer = lambda request: THIN.encode() + hashlib.sha256(request.body).hexdigest().encode()
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 5)
        assert_stops(service)
    assert not [line for line in service.stdout if "ERROR" in line]


def test_what_goes_wrong_is_told_apart(rng, hasher, redis):
    """A status, a wrong size, a refused connection: the reason says which."""
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 2)
        rng.answer = lambda _: http_answer(b"", "418 I'm a teapot")
        service.wait_for_line(rf"^ERROR:worker:In work loop: {rng.address}\b.*418")
        rng.answer = lambda _: http_answer(b"x" * 31)
        service.wait_for_line(rf"^ERROR:worker:In work loop: {rng.address}\b.*31")
        rng.refuse()
        service.wait_for_line(rf"^ERROR:worker:In work loop: {rng.address}\b.*connection refused")


# ------------------------------------------------------------------------------------------------ back-off


def fail_from_now_on(fake):
    """Returns the times of the requests that failed, which grows."""
    failed = []

    def answer(request):
        failed.append(request.at)
        return http_answer(b"", "500 Internal Server Error")

    fake.answer = answer
    return failed


def waits(service):
    return re.findall(r"^ERROR:worker:Waiting (\S+)s and restarting\.$", service.log, re.MULTILINE)


def test_the_wait_begins_at_100_ms_doubles_and_varies_while_the_log_says_the_round_number(rng, hasher, redis):
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 2)
        failed = fail_from_now_on(rng)
        eventually(lambda: len(failed) >= 7, 15, what="7 failures")
        assert_stops(service, log_errors=True)
    printed = waits(service)[:6]
    assert printed == ["0.1", "0.2", "0.4", "0.8", "1.6", "3.2"]
    gaps = [later - earlier for earlier, later in zip(failed, failed[1:])]
    ratios = [gap / float(wait) for gap, wait in zip(gaps, printed)]
    assert min(ratios) > 0.5 and max(ratios[2:]) < (1.6 if scale(1) == 1 else 3), ratios
    # Jitter: without it, the long waits would be off by a percent at most.
    assert max(abs(ratio - 1) for ratio in ratios[2:]) > 0.02, ratios


def test_the_wait_doubles_up_to_10_seconds_and_stays_there(rng, hasher, redis):
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 2)
        fail_from_now_on(rng)
        expected = ["0.1", "0.2", "0.4", "0.8", "1.6", "3.2", "6.4", "10", "10"]
        eventually(lambda: len(waits(service)) >= len(expected), 45, 0.1, "the second wait of 10 s")
        assert waits(service) == expected
        assert_stops(service, log_errors=True)


def test_a_success_resets_the_wait(rng, hasher, redis):
    with worker(rng, hasher, redis) as service:
        good = rng.answer
        for trouble in (1, 2):
            await_loops(hasher, 2)
            fail_from_now_on(rng)
            eventually(lambda n=trouble: len(waits(service)) >= n * 3, what="3 failures")
            rng.answer = good
            assert waits(service) == ["0.1", "0.2", "0.4"] * trouble
        await_loops(hasher, 2)
        assert_stops(service, log_errors=True)


def test_a_neighbour_that_goes_away_is_an_error_that_names_it_until_it_is_back(rng, hasher, redis):
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 2)
        for fake in (rng, hasher):
            fake.refuse()
            service.wait_for_line(rf"^ERROR:worker:In work loop: .*\b{fake.address}\b.*connection refused")
            fake.listen()
            await_loops(hasher, 2)
        redis.stop()
        at_redis = rf"\b127\.0\.0\.1:{redis.port}\b"
        service.wait_for_line(rf"^ERROR:worker:In work loop: .*{at_redis}.*connection refused")
        redis.start()
        await_counted(redis, 1, 15)
        assert_stops(service, log_errors=True)
    lines = errors(service)
    for said, waited in zip(lines[::2], lines[1::2]):
        assert re.fullmatch(r"ERROR:worker:In work loop: .+", said)
        assert re.fullmatch(r"ERROR:worker:Waiting [\d.]+s and restarting\.", waited)
    assert "Waiting for" not in service.log
    assert counted(redis) == len(hasher.requests) or counted(redis) == len(hasher.requests) - 1


def test_redis_that_refuses_a_command_is_an_error_with_its_words(rng, hasher, redis):
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 2)
        redis.command("CONFIG", "SET", "min-replicas-to-write", "1")
        service.wait_for_line(rf"^ERROR:worker:In work loop: .*\b127\.0\.0\.1:{redis.port}\b.*NOREPLICAS")
        redis.command("CONFIG", "SET", "min-replicas-to-write", "0")
        await_counted(redis, 1, 15)
        assert_stops(service, log_errors=True)
    assert len(hasher.requests) - 1 <= counted(redis) <= len(hasher.requests)


# ------------------------------------------------------------------------------------------ the wait at start


@pytest.mark.parametrize("missing", ["rng", "hasher", "redis"])
def test_a_neighbour_that_is_not_there_yet_is_waited_for_quietly(rng, hasher, redis, missing):
    if missing == "redis":
        redis.stop()
        address = f"127.0.0.1:{redis.port}"
    else:
        fake = rng if missing == "rng" else hasher
        fake.refuse()
        address = fake.address
    waiting = f"INFO:worker:Waiting for {address}: connection refused"
    with worker(rng, hasher, redis) as service:
        service.wait_for_line("^" + re.escape(waiting) + "$")
        if missing == "redis":
            assert service.lines[0] == waiting
        time.sleep(3)  # several tries more
        if missing == "redis":
            assert rng.requests == [], "worked before it had reached redis"
            redis.start()
        else:
            fake.listen()
        begun = time.monotonic()
        await_loops(hasher, 1)
        assert time.monotonic() - begun < scale(1.3)
        await_counted(redis, 1)
        assert_stops(service)
    assert service.lines.count(waiting) == 1
    assert service.log.count("Waiting") == 1


def test_all_missing_are_waited_for_in_turn_and_redis_first(rng, hasher, redis):
    redis.stop()
    rng.refuse()
    hasher.refuse()
    with worker(rng, hasher, redis) as service:
        waiting = "INFO:worker:Waiting for {}: connection refused"
        expected = [waiting.format(f"127.0.0.1:{redis.port}")]
        service.wait_for_line(expected[-1])
        redis.start()
        expected += ["INFO:worker:0 units of work done, updating hash counter", waiting.format(rng.address)]
        service.wait_for_line(expected[-1])
        rng.listen()
        expected += [waiting.format(hasher.address)]
        service.wait_for_line(expected[-1])
        hasher.listen()
        await_loops(hasher, 1)
        said = [line for line in service.lines if "0 units" not in line]
        assert said[:3] == [line for line in expected if "0 units" not in line]
        assert service.lines[1] == expected[1]
        assert errors(service) == []


@needs_namespaces
def test_a_name_that_does_not_exist_yet_is_waited_for_and_each_reason_is_said_once(redis, namespace):
    with (FakeDns(namespace) as names, FakeHttp(digest, namespace=namespace) as hasher,
          RedisProxy(redis, namespace=namespace) as redis_here):
        with worker("http://rng", hasher, redis_here, prefix=namespace.prefix) as service:
            service.wait_for_line(r"^INFO:worker:Waiting for rng:80: .*name.*$")
            time.sleep(1.5)
            names.records = {"rng": ["127.0.0.2"]}
            service.wait_for_line(r"^INFO:worker:Waiting for rng:80: connection refused$")
            time.sleep(1.5)
            with FakeHttp(slowly(random_bytes), host="127.0.0.2", port=80, namespace=namespace):
                begun = time.monotonic()
                await_loops(hasher, 1)
                assert time.monotonic() - begun < scale(1.3)
                assert errors(service) == []
                assert service.log.count("Waiting") == 2


def test_a_redis_that_still_loads_its_data_is_waited_for_quietly(rng, hasher, redis):
    redis.command("EVAL", "for i = 1, 8000 do redis.call('SET', 'key' .. i, i) end", 0)
    redis.stop()
    redis.options += ["--key-load-delay", "300"]  # microseconds; it answers every 1,024 keys
    loading = threading.Thread(target=redis.start)
    loading.start()
    with worker(rng, hasher, redis) as service:
        service.wait_for_line(rf"^INFO:worker:Waiting for 127\.0\.0\.1:{redis.port}: .*LOADING")
        loading.join()
        await_counted(redis, 1)
        assert_stops(service)
    assert sum("LOADING" in line for line in service.lines) == 1


def test_connecting_may_take_10_seconds(redis):
    """Three workers at once, each with one neighbour whose machine is silent."""
    with (Blackhole() as hole, FakeHttp(slowly(random_bytes)) as rng, FakeHttp(digest) as hasher,
          contextlib.ExitStack() as stack):
        silent = f"http://127.0.0.1:{hole.port}"
        begun = time.monotonic()
        services = [stack.enter_context(worker(silent, hasher, redis)),
                    stack.enter_context(worker(rng, silent, redis)),
                    stack.enter_context(worker(rng, hasher, f"redis://127.0.0.1:{hole.port}"))]
        for service in services:
            at_hole = rf"127\.0\.0\.1:{hole.port}"
            service.wait_for_line(rf"^INFO:worker:Waiting for {at_hole}: connection timed out$", 20)
            assert 9.5 < time.monotonic() - begun < 10 + scale(2)


@needs_namespaces
def test_a_name_server_that_hangs_counts_as_connecting(redis, namespace):
    with (FakeDns(namespace, silent=True), FakeHttp(digest, namespace=namespace) as hasher,
          RedisProxy(redis, namespace=namespace) as redis_here):
        with worker("http://rng", hasher, redis_here, prefix=namespace.prefix) as service:
            begun = time.monotonic()
            service.wait_for_line(r"^INFO:worker:Waiting for rng:80: .*name.*$", 20)
            assert 4 < time.monotonic() - begun < 10 + scale(2)


def test_an_answer_that_takes_20_seconds_is_waited_for(redis):
    """Three workers at once: rng's line is long, hasher is slow, rng sends a byte now and then."""
    late = [20, http_answer(NO_COIN)]
    dripping = [step for byte in http_answer(NO_COIN) for step in (bytes([byte]), 0.15)]
    late_digest = [20, http_answer(hashlib.sha256(NO_COIN).hexdigest().encode())]
    with (FakeHttp(lambda _: late) as late_rng, FakeHttp(lambda _: dripping) as dripping_rng,
          FakeHttp(lambda _: late_digest) as late_hasher, FakeHttp(random_bytes) as rng,
          FakeHttp(digest) as hasher,
          worker(late_rng, hasher, redis) as first, worker(rng, late_hasher, redis) as second,
          worker(dripping_rng, hasher, redis) as third):
        eventually(lambda: counted(redis) >= 3, 45, 0.1, "the three loops")
        for service in (first, second, third):
            assert_stops(service)
            assert "Waiting" not in service.log


# ------------------------------------------------------------------------------------------------ REDIS_URL


@pytest.mark.parametrize("form, database", [("redis://127.0.0.1:{port}", 0), ("redis://127.0.0.1:{port}/", 0),
                                            ("redis://127.0.0.1:{port}/0", 0),
                                            ("redis://127.0.0.1:{port}/7", 7),
                                            ("redis://localhost:{port}/15", 15)])
def test_the_url_names_host_port_and_database(rng, hasher, redis, form, database):
    with worker(rng, hasher, form.format(port=redis.port)):
        redis.command("SELECT", database)
        await_counted(redis, 1)
    assert redis.command("INFO", "keyspace").decode().count("db") == 1


PASSWORDS = {"plain": ("s3cret", "s3cret"), "encoded": ("p@ss:w/rd%? #", "p%40ss%3Aw%2Frd%25%3F%20%23"),
             "encoded at the end": ("sesame!", "sesame%21"), "UTF-8": ("pässwörd", "p%C3%A4ssw%c3%b6rd")}


@pytest.mark.parametrize("case", PASSWORDS)
def test_the_url_carries_a_password(rng, hasher, case):
    password, written = PASSWORDS[case]
    with Redis("--requirepass", password) as redis:
        with worker(rng, hasher, f"redis://:{written}@127.0.0.1:{redis.port}/3"):
            redis.command("AUTH", password)
            redis.command("SELECT", 3)
            await_counted(redis, 1)


@pytest.mark.parametrize("case", PASSWORDS)
def test_the_url_carries_a_user_and_a_password(rng, hasher, redis, case):
    password, written = PASSWORDS[case]
    redis.command("ACL", "SETUSER", "miner", "on", ">" + password, "~*", "+@all")
    redis.command("ACL", "SETUSER", "default", "-incrby")
    with worker(rng, hasher, f"redis://miner:{written}@127.0.0.1:{redis.port}") as service:
        await_counted(redis, 1)
        assert errors(service) == []


@pytest.mark.parametrize("credentials, answer",
                         [("", "NOAUTH"), (":wrong@", "WRONGPASS"), ("nobody:s3cret@", "WRONGPASS")])
def test_a_wrong_password_is_a_clear_error_and_the_right_one_is_found_later(rng, hasher, credentials, answer):
    with Redis("--requirepass", "s3cret") as redis:
        redis.command("AUTH", "s3cret")
        with worker(rng, hasher, f"redis://{credentials}127.0.0.1:{redis.port}") as service:
            line = rf"^ERROR:worker:In work loop: .*\b127\.0\.0\.1:{redis.port}\b.*{answer}"
            service.wait_for_line(line)
            service.wait_for_line(r"^ERROR:worker:Waiting 0\.2s and restarting\.$")
            assert "s3cret" not in service.log
            assert rng.requests == []
            if credentials == ":wrong@":
                redis.command("CONFIG", "SET", "requirepass", "wrong")
            elif credentials == "":
                redis.command("CONFIG", "SET", "requirepass", "")
            else:
                redis.command("ACL", "SETUSER", "nobody", "on", ">s3cret", "~*", "+@all")
            await_counted(redis, 1, 15)
            assert_stops(service, log_errors=True)


def test_a_database_that_is_not_there_is_a_clear_error_and_nothing_is_written_elsewhere(rng, hasher, redis):
    with worker(rng, hasher, f"redis://127.0.0.1:{redis.port}/99") as service:
        service.wait_for_line(rf"^ERROR:worker:In work loop: .*\b127\.0\.0\.1:{redis.port}\b.*out of range")
        service.wait_for_line(r"^ERROR:worker:Waiting 0\.2s and restarting\.$")
    assert redis.command("DBSIZE") == 0


# ------------------------------------------------------------------------------------------------ stop


def stop_at_once(stack, rng, hasher, redis):
    service = stack.enter_context(worker(rng, hasher, redis))

    def takes_the_signal():
        with open(f"/proc/{service.pid}/status", encoding="ascii") as status:
            masks = dict(line.split(":\t") for line in status if line.startswith("Sig"))
        # A thread that waits for a blocked signal does not show it: then SIGPIPE, ignored right after, tells.
        return ((int(masks["SigBlk"], 16) | int(masks["SigCgt"], 16)) >> (signal.SIGTERM - 1) & 1
                or int(masks["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1)

    eventually(takes_the_signal, interval=0, what="the signal's handler")
    return service


def stop_while_mining(stack, rng, hasher, redis):
    service = stack.enter_context(worker(rng, hasher, redis, DELAY_MS=30))
    await_loops(hasher, 5)
    return service


def stop_in_a_long_work(stack, rng, hasher, redis):
    service = stack.enter_context(worker(rng, hasher, redis, DELAY_MS=60000))
    service.wait_for_line("0 units of work done")
    return service


def stop_while_waiting_for_a_missing(which):
    def prepare(stack, rng, hasher, redis):
        if which == "redis":
            redis.stop()
        else:
            (rng if which == "rng" else hasher).refuse()
        service = stack.enter_context(worker(rng, hasher, redis))
        service.wait_for_line("Waiting for")
        time.sleep(0.7)
        return service

    return prepare


def stop_while_backing_off(which):
    def prepare(stack, rng, hasher, redis):
        service = stack.enter_context(worker(rng, hasher, redis))
        await_loops(hasher, 3)
        if which == "redis":
            redis.stop()
        else:
            fail_from_now_on(rng if which == "rng" else hasher)
        service.wait_for_line(r"Waiting 1\.6s and restarting")
        return service

    return prepare


def stop_while_the_answer_hangs(which, *begun):
    def prepare(stack, rng, hasher, redis):
        fake = rng if which == "rng" else hasher
        asked = []
        service = stack.enter_context(worker(rng, hasher, redis))
        await_loops(hasher, 3)
        fake.answer = lambda request: asked.append(request) or [*begun, HANG]
        eventually(lambda: asked, what="a request that hangs")
        time.sleep(0.1)
        return service

    return prepare


def stop_while_connecting_to(which):
    def prepare(stack, rng, hasher, redis):
        hole = stack.enter_context(Blackhole())
        urls = {"rng": rng, "hasher": hasher, "redis": redis}
        scheme = "redis" if which == "redis" else "http"

        def connecting():
            with open("/proc/net/tcp", encoding="ascii") as table:
                rows = [row.split() for row in table]
            # 02: SYN_SENT
            return sum(row[2].endswith(f":{hole.port:04X}") and row[3] == "02" for row in rows)

        before = connecting()  # the hole's own
        service = stack.enter_context(worker(**{**urls, which: f"{scheme}://127.0.0.1:{hole.port}"}))
        eventually(lambda: connecting() > before, what="a connection attempt")
        time.sleep(0.3)
        return service

    return prepare


def stop_while_the_name_server_is_silent_about(which):
    def prepare(stack, _rng, _hasher, redis):
        if not namespaces_are_possible():
            pytest.skip("namespaces need root and unshare")
        namespace = stack.enter_context(Namespace())
        names = stack.enter_context(FakeDns(namespace, silent=True))
        urls = {"rng": stack.enter_context(FakeHttp(random_bytes, namespace=namespace)),
                "hasher": stack.enter_context(FakeHttp(digest, namespace=namespace)),
                "redis": stack.enter_context(RedisProxy(redis, namespace=namespace))}
        scheme = "redis" if which == "redis" else "http"
        service = stack.enter_context(worker(**{**urls, which: f"{scheme}://{which}"},
                                             prefix=namespace.prefix))
        names.wait_until_asked()
        return service

    return prepare


def stop_while_redis_hangs(stack, rng, hasher, redis):
    service = stack.enter_context(worker(rng, hasher, redis))
    await_loops(hasher, 3)
    redis.pause()
    stack.callback(redis.resume)
    eventually(lambda: is_quiet(hasher), what="the worker's standstill")
    return service


def stop_while_a_fresh_redis_hangs(stack, rng, hasher, redis):
    redis.pause()
    stack.callback(redis.resume)
    service = stack.enter_context(worker(rng, hasher, redis))
    time.sleep(0.5)
    return service


def stop_while_nobody_reads_the_log(stack, rng, hasher, redis):
    service = stack.enter_context(worker(rng, hasher, redis, DEBUG="y", pipe_size=4096))
    await_loops(hasher, 3)
    service.stop_reading()
    eventually(lambda: is_quiet(hasher), 20, what="the worker's standstill")
    return service


def stop_after_the_log_was_closed(stack, rng, hasher, redis):
    """As when the reader of a pipe ends."""
    service = worker(rng, hasher, redis, DEBUG="y")
    service.command = ["sh", "-c", 'exec "$@" >&-', "sh", *service.command]
    stack.enter_context(service)
    await_loops(hasher, 3)
    return service


def is_quiet(fake):
    before = len(fake.requests)
    time.sleep(0.5)
    return len(fake.requests) == before


STATES = {
    "at once": stop_at_once,
    "mining": stop_while_mining,
    "in a long work": stop_in_a_long_work,
    "rng missing": stop_while_waiting_for_a_missing("rng"),
    "hasher missing": stop_while_waiting_for_a_missing("hasher"),
    "redis missing": stop_while_waiting_for_a_missing("redis"),
    "backing off from rng": stop_while_backing_off("rng"),
    "backing off from hasher": stop_while_backing_off("hasher"),
    "backing off from redis": stop_while_backing_off("redis"),
    "in rng's line": stop_while_the_answer_hangs("rng"),
    "rng hangs in its head": stop_while_the_answer_hangs("rng", b"HTTP/1.1 200 OK\r\nContent-"),
    "rng hangs in its body": stop_while_the_answer_hangs("rng", HALF),
    "hasher hangs": stop_while_the_answer_hangs("hasher"),
    "hasher hangs in its body": stop_while_the_answer_hangs("hasher", HALF),
    "rng drips": stop_while_the_answer_hangs("rng", HALF[:-16],
                                             *[step for _ in range(30) for step in (b"x", 0.2)]),
    "connecting to rng": stop_while_connecting_to("rng"),
    "connecting to hasher": stop_while_connecting_to("hasher"),
    "connecting to redis": stop_while_connecting_to("redis"),
    "resolving rng": stop_while_the_name_server_is_silent_about("rng"),
    "resolving hasher": stop_while_the_name_server_is_silent_about("hasher"),
    "resolving redis": stop_while_the_name_server_is_silent_about("redis"),
    "redis hangs": stop_while_redis_hangs,
    "redis hangs from the start": stop_while_a_fresh_redis_hangs,
    "nobody reads the log": stop_while_nobody_reads_the_log,
    "the log is closed": stop_after_the_log_was_closed,
}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
@pytest.mark.parametrize("state", STATES)
def test_stops_within_a_second_with_status_0(rng, hasher, redis, state, sig):
    with contextlib.ExitStack() as stack:
        service = STATES[state](stack, rng, hasher, redis)
        # Where Redis does not answer, the log may say what could not be stored.
        assert_stops(service, sig, log_errors="backing off" in state or "redis" in state)


@pytest.mark.parametrize("offset_ms", [0, 1, 2, 5, 10, 20, 50, 120, 350])
def test_stops_within_a_second_at_every_moment_of_its_start(rng, hasher, redis, offset_ms):
    with contextlib.ExitStack() as stack:
        service = stop_at_once(stack, rng, hasher, redis)
        time.sleep(offset_ms / 1000)
        assert_stops(service)


def test_further_signals_while_it_stops_change_nothing(rng, hasher, redis):
    with worker(rng, hasher, redis) as service:
        await_loops(hasher, 3)
        redis.pause()
        eventually(lambda: is_quiet(hasher), what="the worker's standstill")
        begun = time.monotonic()
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            service.send_signal(sig)
            time.sleep(0.05)
        status, _ = service.stop()
        assert status == 0
        assert time.monotonic() - begun < STOPS_WITHIN
        redis.resume()


def test_a_broken_pipe_does_not_end_it(rng, hasher, redis):
    """Redis, rng and hasher reset their connections while the worker writes; SIGPIPE's default action is
    death.
    """
    with RedisProxy(redis) as redis_here, Proxy(hasher.port) as hasher_here:
        with worker(rng, hasher_here, redis_here) as service:
            for _ in range(5):
                await_loops(hasher, 3)
                hasher_here.cut()
                redis_here.cut()
            await_counted(redis, 1, 15)
            assert_stops(service, log_errors=True)
