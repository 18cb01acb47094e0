"""worker: every loop that hasher completed is counted once, and every coin is in the wallet, whatever happens.

The truth is on the other side: the digests that hasher returned, in its log or in a fake's list.

DOCKERCOINS_SEED  repeats a run with random failures; it is printed
"""

import contextlib
import hashlib
import os
import random
import re
import signal
import subprocess
import time

import pytest

from fakes import HANG, FakeDns, FakeHttp, Namespace, RedisProxy, bytes_whose_digest_begins_with, http_answer
from harness import (STOPS_WITHIN, Redis, Service, counted, eventually, free_port, needs_namespaces, scale,
                     wallet)

COIN = bytes_whose_digest_begins_with("0")
COIN_NAME = hashlib.sha256(COIN).hexdigest()


@pytest.fixture
def redis():
    with Redis() as server:
        yield server


def told(*logs):
    update = re.compile(r"^INFO:worker:(\d+) units of work done, updating hash counter$", re.MULTILINE)
    return [int(number) for log in logs for number in update.findall(log)]


@pytest.mark.threads
def test_whatever_is_stopped_and_restarted_the_count_is_exact():
    """Five workers mine with real services. tests/chaos also breaks Redis."""
    seed = int(os.environ.get("DOCKERCOINS_SEED") or time.time_ns() % 1000000)
    print(f"DOCKERCOINS_SEED={seed}")
    chance = random.Random(seed)
    ports = {"rng": free_port(), "hasher": free_port()}
    urls = {f"{name.upper()}_URL": f"http://127.0.0.1:{port}" for name, port in ports.items()}
    names = [*["worker"] * 5, *ports]
    running, logs = [], {name: [] for name in names}

    def start(name):
        settings = {"PORT": ports[name]} if name in ports else {"REDIS_URL": redis.url, **urls}
        running.append(stack.enter_context(Service(name, DELAY_MS=5, **settings)))

    def stop(name):
        """Stops one of that name with TERM, whatever it is doing."""
        service = chance.choice([service for service in running if service.name == name])
        service.wait_for_line("^(INFO:worker:|RNG|HASHER)")
        running.remove(service)
        assert service.stop()[0] == 0
        logs[name].append(service.log)

    with Redis() as redis, contextlib.ExitStack() as stack:
        for name in names:
            start(name)
        for trouble in chance.sample([*names[2:], "redis"], 6):
            time.sleep(chance.uniform(0, 0.6))
            redis.pause() if trouble == "redis" else stop(trouble)
            time.sleep(chance.uniform(0, 0.6))
            redis.resume() if trouble == "redis" else start(trouble)
        for name in names:
            stop(name)
        answered = "".join(logs["hasher"]).count('"POST / HTTP/1.1" 200 64')
        assert answered - len(logs["worker"]) <= counted(redis) <= answered  # A stop interrupts at most one loop.
        assert counted(redis) == sum(told(*logs["worker"])) > 50
        coins = wallet(redis)
        assert [hashlib.sha256(value).hexdigest().encode() for value in coins.values()] == list(coins)
        found = set(re.findall(r"Coin found: (0\w{7})\.\.\.", "".join(logs["worker"])))
        assert {name.decode()[:8] for name in coins} == found != set()


class Mine(contextlib.ExitStack):
    """A worker with fakes that count, and a proxy for its Redis.

    .digests are those of hasher; the 8th is a coin.
    """

    def __init__(self, redis, namespace=None, url=None):
        super().__init__()
        self.redis = redis
        self.digests = []
        self.on_hash = {}
        self.drawn = 0
        self.rng = self.enter_context(FakeHttp(self._draw, namespace=namespace))
        self.hasher = self.enter_context(FakeHttp(self._hash, namespace=namespace))
        self.proxy = self.enter_context(RedisProxy(redis, namespace=namespace))
        self.worker = self.enter_context(Service(
            "worker", prefix=namespace.prefix if namespace else [], DELAY_MS=10,
            RNG_URL=self.rng.url, HASHER_URL=self.hasher.url, REDIS_URL=url or self.proxy.url))
        self.callback(redis.resume)

    def _draw(self, _request):
        self.drawn += 1
        return http_answer(COIN if self.drawn == 8 else os.urandom(32))

    def _hash(self, request):
        if action := self.on_hash.get(len(self.digests) + 1):
            action(self)
        name = hashlib.sha256(request.body).hexdigest()
        self.digests.append(name if request.body == COIN else "f" + name[1:])  # only that coin
        return http_answer(self.digests[-1].encode())

    def play(self, *steps):
        """Takes an action, or, if it has a number, before that hash is answered. Waits for `range(N)`
        more hashes, a line of the log, or a number of seconds.
        """
        for step in steps:
            if isinstance(step, (tuple, range)):
                number = step[0] if isinstance(step, tuple) else len(self.digests) + len(step)
                self.on_hash |= {number: step[1]} if isinstance(step, tuple) else {}
                eventually(lambda: len(self.digests) >= number, 20, what=f"{number} hashes")
            elif isinstance(step, str):
                self.worker.wait_for_line(step, 20)
            elif callable(step):
                step(self)
            else:
                time.sleep(step)

    def hang(self):
        """Redis accepts commands and replies to none."""
        self.redis.pause()

    def resume(self):
        self.redis.resume()

    def go_away(self):
        """Redis can no longer be reached."""
        self.proxy.refuse()
        self.proxy.cut()

    def come_back(self):
        self.proxy.listen()

    @staticmethod
    def tell(*command):
        return lambda mine: mine.redis.command(*command)

    def await_break(self):
        assert self.proxy.broken.wait(scale(10))

    @staticmethod
    def breaks(when, word):
        return lambda mine: setattr(mine.proxy, f"break_{when}", word)

    def is_exact(self, too_many=0):
        """Whether all is stored. (The stop may have interrupted one loop, whose digest the worker never saw.)"""
        return (counted(self.redis) - too_many in (len(self.digests), len(self.digests) - 1)
                and wallet(self.redis) == {COIN_NAME.encode(): COIN})


NOT_STORED = r"^ERROR:worker:Not stored at the end: 127\.0\.0\.1:\d+: connection refused$"
BACKS_OFF = r"Waiting 0\.8s and restarting"
TROUBLES = {
    "hangs in an update": (0, [range(20), Mine.hang, 2, Mine.resume]),
    "hangs longer than connecting may take": (0, [range(20), Mine.hang, 13, Mine.resume]),
    "hangs with a coin": (0, [(8, Mine.hang), 1, Mine.resume]),
    "goes away with an update": (4, [range(20), Mine.go_away, BACKS_OFF, Mine.come_back]),
    "goes away with a coin": (4, [(8, Mine.go_away), BACKS_OFF, Mine.come_back]),
    "breaks before an update": (1, [range(20), Mine.breaks("before", b"INCRBY"), Mine.await_break]),
    "breaks before a coin": (1, [Mine.breaks("before", b"HSET"), Mine.await_break]),
    "breaks after a coin": (1, [Mine.breaks("after", b"HSET"), Mine.await_break]),
    "refuses a coin": (0, [Mine.tell("SET", "wallet", "x"), r"WARNING:worker:Coins are kept, .*: WRONGTYPE ", range(20),
                           Mine.tell("DEL", "wallet")]),
    "refuses an update": (4, [range(20), Mine.tell("RENAME", "hashes", "kept"), Mine.tell("LPUSH", "hashes", "x"),
                              BACKS_OFF, Mine.tell("RENAME", "kept", "hashes")]),
}


def test_a_worker_that_redis_keeps_waiting_at_its_end_says_so(redis):
    with Mine(redis) as mine:
        mine.play(range(5), Mine.hang, 0.3)
        assert mine.worker.stop()[0] == 0
        assert re.fullmatch(r"ERROR:worker:Not stored at the end: 127\.0\.0\.1:\d+: no reply in time",
                            mine.worker.lines[-1])


@pytest.mark.parametrize("trouble", [
    pytest.param(name, marks=pytest.mark.slow if "longer" in name else ()) for name in TROUBLES])
def test_what_redis_could_not_store_is_stored_once_as_soon_as_it_can(redis, trouble):
    errors, steps = TROUBLES[trouble]
    with Mine(redis) as mine:
        mine.play(*steps, range(20))
        stored = counted(redis)
        eventually(lambda: counted(redis) > stored, 20, what="an update")
        mine.worker.stop()
        assert mine.is_exact()
        assert mine.worker.log.count("Coin found") == 1
        assert mine.worker.log.count("ERROR:worker:In work loop: ") in (errors, errors + (errors > 1))


def test_an_update_whose_connection_broke_after_redis_applied_it_counts_once_or_twice(redis):
    """Only the repeated update is too many, and nothing else."""
    with Mine(redis) as mine:
        mine.play(range(20), Mine.breaks("after", b"INCRBY"), Mine.await_break)
        twice = int([command for command in mine.proxy.commands if command[0] == b"INCRBY"][-1][2])
        mine.play(range(20))
        mine.worker.stop()
        assert twice > 0
        assert mine.is_exact(too_many=twice)


def hang_rng(mine):
    mine.rng.answer = lambda _: [HANG]
    mine.rng.await_requests(1)


def break_hasher(mine):
    mine.hasher.answer = lambda _: http_answer(b"", "500 No")


def term(mine):
    mine.worker.send_signal(signal.SIGTERM)


STOPS = {
    "mining": [range(10)],
    "the connection has ended": [(10, lambda mine: mine.proxy.cut())],
    "redis hangs, and answers just in time": [(8, Mine.hang), 0.1, term, 0.1, Mine.resume],
    "rng hangs": [range(10), hang_rng],
    "backing off, though redis is back": [(8, Mine.go_away), BACKS_OFF, Mine.come_back],
    "redis comes back just in time": [(8, Mine.go_away), BACKS_OFF, term, NOT_STORED, Mine.come_back],
    "backing off from hasher": [range(10), break_hasher, BACKS_OFF],
}


@pytest.mark.parametrize("state", STOPS)
def test_a_stop_takes_a_second_and_stores_what_is_left(redis, state):
    with Mine(redis) as mine:
        mine.play(*STOPS[state])
        assert (0, 0) < mine.worker.stop() < (0, STOPS_WITHIN)
        assert mine.is_exact()
        assert counted(redis) == sum(told(mine.worker.log))
        assert ("ERROR" in mine.worker.log) == (BACKS_OFF in STOPS[state])


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
        mine.play(range(10), Mine.hang)

        def stands_still():
            hashes = len(mine.digests)
            time.sleep(1)
            return len(mine.digests) == hashes

        eventually(stands_still, 20, what="a worker that waits for Redis")
        show = [*namespace.prefix, "ss", "-Htno", f"dport = :{mine.proxy.port}"]
        shown = subprocess.check_output(show, text=True)
        assert float(re.search(r"timer:\(keepalive,([\d.]+)", shown).group(1)) <= 15
        begun = time.monotonic()
        subprocess.run([*namespace.prefix, "ip", "link", "set", "lo", "down"], check=True)
        mine.worker.wait_for_line(f"In work loop: {mine.proxy.address}: Connection timed out", 60)
        assert time.monotonic() - begun < 30 + scale(10)
        mine.worker.stop()
