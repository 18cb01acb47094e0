"""worker: every loop that hasher completed is counted once, and every coin is in the wallet, whatever happens.

The truth is on the other side: the digests that hasher returned. tests/chaos asks the same of real services, at random.
"""

import contextlib
import hashlib
import os
import re
import signal
import time

import pytest

from fakes import HANG, FakeDns, FakeHttp, Namespace, RedisProxy, bytes_whose_digest_begins_with, http_answer
from harness import STOPS_WITHIN, Redis, counted, eventually, needs_namespaces, scale, wallet, worker

COIN = bytes_whose_digest_begins_with("0")
COIN_NAME = hashlib.sha256(COIN).hexdigest()


class Mine(contextlib.ExitStack):
    """A worker with a proxy for its Redis and with fakes that count: .digests are hasher's. The 8th is a coin."""

    def __init__(self, redis, namespace=None, url=None):
        super().__init__()
        self.redis, self.digests, self.on_hash = redis, [], {}
        self.rng = self.enter_context(FakeHttp(
            lambda _: http_answer(COIN if len(self.rng.requests) == 8 else os.urandom(32)), namespace=namespace))
        self.hasher = self.enter_context(FakeHttp(self._hash, namespace=namespace))
        self.proxy = self.enter_context(RedisProxy(redis, namespace=namespace))
        self.worker = self.enter_context(worker(self.rng, self.hasher, url or self.proxy, DELAY_MS=10,
                                                prefix=namespace.prefix if namespace else []))
        self.callback(redis.resume)

    def _hash(self, request):
        if action := self.on_hash.get(len(self.digests) + 1):
            action()
        name = hashlib.sha256(request.body).hexdigest()
        self.digests.append(name if request.body == COIN else "f" + name[1:])  # only that coin
        return http_answer(self.digests[-1].encode())

    def play(self, *steps):
        """Takes an action, or, if it has a number, before that hash is answered. Waits for `range(N)` more hashes, a
        line of the log, or a number of seconds.
        """
        for step in steps:
            if isinstance(step, (tuple, range)):
                number = step[0] if isinstance(step, tuple) else len(self.digests) + len(step)
                self.on_hash |= {number: step[1]} if isinstance(step, tuple) else {}
                eventually(lambda: len(self.digests) >= number, 20, what=f"{number} hashes")
            elif isinstance(step, str):
                self.worker.wait_for_line(step, 20)
            elif callable(step):
                step()
            else:
                time.sleep(step)

    def is_exact(self, too_many=0):
        """Whether all is stored. (The stop may have interrupted one loop, whose digest the worker never saw.)"""
        return (counted(self.redis) - too_many in (len(self.digests), len(self.digests) - 1)
                and wallet(self.redis) == {COIN_NAME.encode(): COIN})


BACKS_OFF = r"Waiting 0\.8s and restarting"
TROUBLES = {  # how many errors, and what happens
    "hangs in an update": (0, lambda mine: [range(20), mine.redis.pause, 2, mine.redis.resume]),
    "hangs longer than connecting may take": (0, lambda mine: [range(20), mine.redis.pause, 13, mine.redis.resume]),
    "hangs with a coin": (0, lambda mine: [(8, mine.redis.pause), 1, mine.redis.resume]),
    "goes away with an update": (4, lambda mine: [range(20), mine.proxy.leave, BACKS_OFF, mine.proxy.listen]),
    "goes away with a coin": (4, lambda mine: [(8, mine.proxy.leave), BACKS_OFF, mine.proxy.listen]),
    "breaks before an update": (1, lambda mine: [range(20), lambda: mine.proxy.break_at("before", b"INCRBY")]),
    "breaks before a coin": (1, lambda mine: [lambda: mine.proxy.break_at("before", b"HSET")]),
    "breaks after an update": (1, lambda mine: [range(20), lambda: mine.proxy.break_at("after", b"INCRBY")]),
    "breaks after a coin": (1, lambda mine: [lambda: mine.proxy.break_at("after", b"HSET")]),
    "refuses a coin": (0, lambda mine: [
        lambda: mine.redis.command("SET", "wallet", "x"), r"WARNING:worker:Coins are kept, .*: WRONGTYPE ", range(20),
        lambda: mine.redis.command("DEL", "wallet")]),
    "refuses an update": (4, lambda mine: [
        range(20), lambda: mine.redis.command("RENAME", "hashes", "kept"),
        lambda: mine.redis.command("LPUSH", "hashes", "x"), BACKS_OFF,
        lambda: mine.redis.command("RENAME", "kept", "hashes")]),
}


@pytest.mark.parametrize("trouble", [
    pytest.param(name, marks=pytest.mark.slow if "longer" in name else ()) for name in TROUBLES])
def test_what_redis_could_not_store_is_stored_once_as_soon_as_it_can(redis, trouble):
    """An update that Redis has applied, but could not confirm, is repeated: only that counts twice."""
    errors, steps = TROUBLES[trouble]
    with Mine(redis) as mine:
        mine.play(*steps(mine), range(20))
        stored = counted(redis)
        eventually(lambda: counted(redis) > stored, 20, what="an update")
        mine.worker.stop()
        assert mine.is_exact(too_many=int(mine.proxy.broken[2]) if trouble == "breaks after an update" else 0)
        assert mine.worker.log.count("Coin found") == 1
        assert mine.worker.log.count("ERROR:worker:In work loop: ") in (errors, errors + (errors > 1))


NOT_STORED = r"^ERROR:worker:Not stored at the end: 127\.0\.0\.1:\d+: "
STOPS = {
    "mining": lambda mine, term: [range(10)],
    "the connection has ended": lambda mine, term: [(10, mine.proxy.cut)],
    "redis hangs until then": lambda mine, term: [(8, mine.redis.pause), 0.1, term, mine.redis.resume],
    "rng hangs": lambda mine, term: [range(10), lambda: setattr(mine.rng, "answer", lambda _: [HANG]), 1],
    "backing off, though redis is back": lambda mine, term: [(8, mine.proxy.leave), BACKS_OFF, mine.proxy.listen],
    "redis comes back just in time": lambda mine, term: [
        (8, mine.proxy.leave), BACKS_OFF, term, NOT_STORED + "connection refused$", mine.proxy.listen],
    "backing off from rng": lambda mine, term: [range(10), mine.rng.leave, BACKS_OFF],
    "backing off from hasher": lambda mine, term: [range(10), mine.hasher.leave, BACKS_OFF],
}


@pytest.mark.parametrize("state", STOPS)
def test_a_stop_takes_a_second_and_stores_what_is_left(redis, state):
    with Mine(redis) as mine:
        steps = STOPS[state](mine, lambda: mine.worker.send_signal(signal.SIGTERM))
        mine.play(*steps)
        assert (0, 0) < mine.worker.stop() < (0, STOPS_WITHIN)
        assert mine.is_exact()
        assert counted(redis) == sum(map(int, re.findall(r"^INFO:worker:(\d+) units", mine.worker.log, re.MULTILINE)))
        assert ("ERROR" in mine.worker.log) == (BACKS_OFF in steps)


def test_a_worker_that_redis_keeps_waiting_at_its_end_says_so(redis):
    with Mine(redis) as mine:
        mine.play(range(5), redis.pause, 0.3)
        assert mine.worker.stop()[0] == 0
        assert re.fullmatch(NOT_STORED + "no reply in time$", mine.worker.lines[-1])


@needs_namespaces
def test_loops_go_to_the_new_redis_when_the_old_one_has_become_its_replica(redis):
    with (Redis() as new, Namespace() as namespace, FakeDns(namespace, {"redis": ["127.0.0.2"]}) as names,
          RedisProxy(redis, host="127.0.0.2", port=6379, namespace=namespace),
          RedisProxy(new, host="127.0.0.3", port=6379, namespace=namespace),
          Mine(redis, namespace, "redis://redis") as mine):
        redis.command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        new.command("REPLICAOF", "127.0.0.1", redis.port)
        eventually(lambda: b"state=online" in redis.command("INFO", "replication"), 20, what="the replica")
        mine.play(range(20))
        redis.command("FAILOVER")
        mine.play("In work loop: redis:6379: READONLY", BACKS_OFF)
        stored = counted(new)
        names.records = {"redis": ["127.0.0.3"]}
        eventually(lambda: counted(new) > stored, 6, what="an update at the new Redis")
        mine.play(range(20))
        mine.worker.stop()
        mine.redis = new
        assert mine.is_exact()


@needs_namespaces
@pytest.mark.slow
def test_a_redis_that_vanishes_without_a_reset_is_found_within_30_seconds(redis):
    with Namespace() as namespace, Mine(redis, namespace) as mine:
        mine.play(range(10), redis.pause, 5)  # by then it waits for Redis
        shown = namespace.run(f"ss -Htno dport = :{mine.proxy.port}")
        assert float(re.search(r"timer:\(keepalive,([\d.]+)", shown).group(1)) <= 15
        begun = time.monotonic()
        namespace.run("ip link set lo down")
        mine.worker.wait_for_line(f"In work loop: {mine.proxy.address}: Connection timed out", 60)
        assert time.monotonic() - begun < 30 + scale(10)
        mine.worker.stop()
