"""worker: the loop on the wire, the counter's schedule, coins, errors, the wait at start, REDIS_URL.

test_nothing_lost.py tests that nothing is lost, test_stop.py how it stops.
"""

import contextlib
import hashlib
import os
import re
import time

import pytest

from fakes import (CLOSE, FakeDns, FakeHttp, Namespace, RedisProxy, blackhole, bytes_whose_digest_begins_with, digest,
                   http_answer, random_bytes)
from harness import Redis, Service, counted, eventually, needs_namespaces, scale, wallet, worker

COIN = bytes_whose_digest_begins_with("0", b"\x00\r\n$5\r\n*\xff\xc3\x28 ")
NO_COIN = bytes_whose_digest_begins_with("f")
FIRST = "INFO:worker:0 units of work done, updating hash counter"
UPDATE = re.compile(r"INFO:worker:(\d+) units of work done, updating hash counter")


def answered(hasher, badly=0):
    """The loops counted by a worker that has ended: its stop may have interrupted the last one."""
    return len(hasher.requests) - badly, len(hasher.requests) - badly - 1


def told(service):
    """The log without the updates: a slow machine has more of them."""
    return [line for line in service.lines if not UPDATE.fullmatch(line)]


def error(address, reason, wait="0.1"):
    return [f"ERROR:worker:In work loop: {address}: {reason}", f"ERROR:worker:Waiting {wait}s and restarting."]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 on this machine")
def test_a_loop_gets_32_bytes_and_their_digest_and_stores_one_that_begins_with_0(redis, host):
    drawn, digests = [], []

    def draw(_request):
        drawn.append(os.urandom(32))
        return http_answer(drawn[-1])

    def make_up_digest(request):
        name = "0123456789abcdef"[len(digests) % 16] + hashlib.sha256(request.body).hexdigest()[1:]
        digests.append((name.encode(), request.body))
        return http_answer(name.encode())

    redis.command("SET", "hashes", 9_000_000_000)
    with (FakeHttp(draw, host=host) as rng, FakeHttp(make_up_digest, host=host) as hasher,
          RedisProxy(redis, host=host) as proxy):
        with worker(rng, hasher, proxy, DELAY_MS=20) as service:
            hasher.await_requests(34, 20)
            eventually(lambda: len(rng.connections) <= 1, what="the end of unused connections")
        assert proxy.accepted == 1
    done = counted(redis) - 9_000_000_000
    assert done in answered(hasher)
    assert service.lines[0] == FIRST
    assert proxy.commands[0] == [b"INCRBY", b"hashes", b"0"]
    assert wallet(redis) == {name: body for name, body in digests[:done] if name.startswith(b"0")}
    common = {"Accept": "*/*", "Connection": "close"}
    at_hasher = {"Host": hasher.address, "Content-Length": "32", "Content-Type": "application/octet-stream"}
    for fake, line, own in ((rng, "GET /32 HTTP/1.1", {"Host": rng.address}), (hasher, "POST / HTTP/1.1", at_hasher)):
        assert all((request.line, request.headers) == (line, common | own) for request in fake.requests)
        assert len({request.client for request in fake.requests}) == len(fake.requests), "a connection each"
    assert [request.body for request in hasher.requests] == drawn[:len(hasher.requests)]
    for to_rng, to_hasher, to_next in zip(rng.requests, hasher.requests, rng.requests[1:]):
        assert to_rng.at < to_hasher.at < to_next.at - 0.019, "the work comes before the request to rng"


def test_alone_it_updates_by_4_every_1_2_seconds(redis):
    """The course's famous 4 - 4 - 4 - 0: with the real services and their delays."""
    with Service("rng") as rng, Service("hasher") as hasher, worker(rng, hasher, redis, DELAY_MS=None) as service:
        # On a busy machine a loop may take longer, so that an update comes after 3.
        eventually(lambda: " 4 4 " in " ".join(["", *UPDATE.findall(service.log), ""]), 90, 0.1, "4 - 4")
    updates = [int(loops) for loops in UPDATE.findall(service.log)]
    assert (updates[0], max(updates)) == (0, 4)
    assert counted(redis) == sum(updates)


@needs_namespaces
def test_every_request_looks_the_name_up_so_that_each_replica_gets_its_share(redis):
    addresses = ["127.0.0.2", "127.0.0.3"]
    with (Namespace() as namespace, FakeDns(namespace, {"rng": addresses[:1]}) as names,
          FakeHttp(random_bytes, host=addresses[0], port=80, namespace=namespace) as first,
          FakeHttp(random_bytes, host=addresses[1], port=80, namespace=namespace) as second,
          FakeHttp(digest, namespace=namespace) as hasher, RedisProxy(redis, namespace=namespace) as proxy):
        with worker("http://rng", hasher, proxy, prefix=namespace.prefix) as service:
            first.await_requests(3)
            names.records = {"rng": [*addresses, "127.0.0.4"]}  # nobody listens on the last one
            second.await_requests(10)
            first.await_requests(10)
            names.records = {"rng": addresses[1:]}
            time.sleep(3)  # The result of a lookup may be used for a second.
            settled = len(first.requests)
            second.await_requests(20)
            assert len(first.requests) == settled
        assert "ERROR" not in service.log and "Waiting" not in service.log


@pytest.mark.parametrize("debug", ["y", None])
def test_the_log_shows_coins_and_with_debug_every_loop(rng, hasher, redis, debug):
    rng.answer = lambda _: [0.005, http_answer(NO_COIN if len(rng.requests) % 2 else COIN)]
    with worker(rng, hasher, redis, DEBUG=debug) as service:
        hasher.await_requests(5)
    name = hashlib.sha256(COIN).hexdigest()
    doing, none = "DEBUG:worker:Doing one unit of work", "DEBUG:worker:No coin found"
    found = f"INFO:worker:Coin found: {name[:8]}..."
    lines = [doing, none, doing, found, doing, none, doing, found, "INFO:worker:We already had that coin"]
    lines = [line for line in lines if debug or line.startswith("INFO")]
    assert told(service)[:len(lines)] == lines
    assert wallet(redis) == {name.encode(): COIN}


# The heads of the original's servers: Werkzeug, and Thin, which leaves the connection open.
WERKZEUG = (b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: 32\r\n"
            b"Server: Werkzeug/0.14.1 Python/3.6.3\r\nDate: Sat, 21 Nov 2026 07:08:51 GMT\r\n\r\n")
THIN = (b"HTTP/1.1 200 OK\r\nContent-Type: text/plain;charset=utf-8\r\nContent-Length: 64\r\n"
        b"X-Content-Type-Options: nosniff\r\nConnection: keep-alive\r\nServer: thin\r\n\r\n")
GOOD = {"rng": [WERKZEUG + NO_COIN, CLOSE], "hasher": [THIN + b"f" * 64]}
BAD = {
    "rng": [(http_answer(b"x" * 32, "500 Internal Server Error"), "status 500"),
            (http_answer(b"x" * 31), "31 bytes instead of 32")],
    "hasher": [(http_answer(b"0" * 64 + b"\n"), "more than 64 bytes"),
               (http_answer(b"0" * 63 + b"F"), "something other than 64 lower-case hexadecimal digits")]}


@pytest.mark.parametrize("which", BAD)
def test_a_bad_response_is_an_error_and_a_good_one_of_the_originals_is_mined(rng, hasher, redis, which):
    """In turn: after each bad one a good one, which resets the wait."""
    fake = {"rng": rng, "hasher": hasher}[which]
    responses = [response for bad, _ in BAD[which] for response in (bad, GOOD[which])]
    rng.answer = lambda _: http_answer(NO_COIN)
    fake.answer = lambda _: (responses[len(fake.requests) - 1:] or [GOOD[which]])[0]
    with worker(rng, hasher, redis) as service:
        fake.await_requests(len(responses) + 3, 20)
    assert told(service) == [line for _, reason in BAD[which]
                             for line in error(fake.address, f"it responded with {reason}")]
    assert {request.body for request in hasher.requests} == {NO_COIN}
    assert counted(redis) in answered(hasher, len(BAD[which]) if which == "hasher" else 0)
    assert wallet(redis) == {}


@pytest.mark.parametrize("credentials, database, reason", [
    ("nobody:s3cret", "", "WRONGPASS invalid username-password pair or user is disabled."),
    (":s%33cret", "/99", "ERR DB index is out of range"), ("miner:p%c3%a4ssw%C3%B6rd", "/7", None)])
def test_the_url_has_user_password_and_database_and_a_refusal_is_an_error_in_redis_own_words(
        rng, hasher, credentials, database, reason):
    with Redis("--requirepass", "s3cret") as redis:
        redis.command("AUTH", "s3cret")
        redis.command("ACL", "SETUSER", "miner", "on", ">pässwörd", "~*", "+@all")
        at_redis = f"127.0.0.1:{redis.port}"
        with worker(rng, hasher, f"redis://{credentials}@{at_redis}{database}") as service:
            if reason:
                service.wait_for_line(r"Waiting 0\.2s and restarting")
                assert told(service)[:4] == [*error(at_redis, reason), *error(at_redis, reason, "0.2")]
                assert (rng.requests, redis.command("DBSIZE")) == ([], 0)
            else:
                redis.command("SELECT", 7)
                eventually(lambda: counted(redis), 20, what="the counter's rise")
                assert redis.command("INFO", "keyspace").decode().count("db") == 1
                assert "ERROR" not in service.log


@needs_namespaces
def test_waits_quietly_for_services_that_are_not_there_yet_redis_first(redis):
    """Their names and ports are the defaults. Each reason is logged once, although there are more attempts."""
    with Namespace() as namespace, FakeDns(namespace) as names, contextlib.ExitStack() as stack:
        servers = [("redis:6379", RedisProxy(redis, host="127.0.0.4", port=6379, namespace=namespace)),
                   ("rng:80", FakeHttp(random_bytes, host="127.0.0.2", port=80, namespace=namespace)),
                   ("hasher:80", FakeHttp(digest, host="127.0.0.3", port=80, namespace=namespace))]
        with Service("worker", prefix=namespace.prefix) as service:
            expected = []
            for name, server in servers:
                for reason in ("name or service not known", "connection refused"):
                    expected.append(f"INFO:worker:Waiting for {name}: {reason}")
                    service.wait_for_line(re.escape(expected[-1]))
                    asked = names.asked
                    eventually(lambda n=asked: names.asked >= n + 2, what="another attempt")
                    names.records = {**names.records, name.partition(":")[0]: [server.host]}
                stack.enter_context(server)
            eventually(lambda: counted(redis), 20, what="the counter's rise")
        assert [line for line in service.lines if "Waiting" in line] == expected
        assert service.lines[2] == FIRST
        assert [server.requests[0].headers["Host"] for _, server in servers[1:]] == ["rng", "hasher"]


def test_waits_quietly_for_a_redis_that_is_loading_its_data(rng, hasher, redis):
    redis.command("EVAL", "for i = 1, 5000 do redis.call('SET', 'key' .. i, i) end", 0)
    redis.stop()
    redis.options += ["--key-load-delay", "300"]  # microseconds; it replies every 1,024 keys
    refused, loads = (f"INFO:worker:Waiting for 127.0.0.1:{redis.port}: {reason}"
                      for reason in ("connection refused", "LOADING Redis is loading the dataset in memory"))
    with worker(rng, hasher, redis) as service:
        service.wait_for_line(refused)
        redis.start()
        hasher.await_requests(1)
    assert service.lines[:3] == [refused, loads, FIRST]


@pytest.mark.slow
def test_connecting_may_take_10_seconds(rng, hasher, redis):
    """Three workers at once. For each, one of the services is on a machine that is silent."""
    begun = time.monotonic()
    with (blackhole() as hole, worker(f"http://{hole}", hasher, redis) as first,
          worker(rng, f"http://{hole}", redis) as second, worker(rng, hasher, f"redis://{hole}") as third):
        for service in (first, second, third):
            service.wait_for_line(f"^INFO:worker:Waiting for {hole}: connection timed out$", 30)
            assert 9.9 < time.monotonic() - begun < 10 + scale(8)
