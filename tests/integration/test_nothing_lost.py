"""worker: every loop that hasher answered is counted once, and every coin is in the wallet, whatever happens.

The other side of the wire is the judge: what hasher answered, by its access log or by a fake that keeps a
list.

DOCKERCOINS_SEED  repeats a run of the tests that draw their troubles at random; it is printed
"""

import hashlib
import os
import random
import re
import time

import pytest

from fakes import (HANG, FakeDns, FakeHttp, Namespace, RedisProxy, bytes_whose_digest_begins_with,
                   http_answer, namespaces_are_possible)
from harness import Redis, STOPS_WITHIN, Service, eventually, free_port, scale

needs_namespaces = pytest.mark.skipif(not namespaces_are_possible(),
                                      reason="namespaces need root and unshare")
COIN = bytes_whose_digest_begins_with("0")
COIN_NAME = hashlib.sha256(COIN).hexdigest()
NO_COIN = bytes_whose_digest_begins_with("f")


def counted(redis):
    return int(redis.command("GET", "hashes") or 0)


def wallet(redis):
    flat = redis.command("HGETALL", "wallet")
    return dict(zip(flat[::2], flat[1::2]))


def assert_coins_are_true(redis, logs):
    """Every coin's bytes hash to its key, and the wallet holds just the coins that the logs tell of."""
    coins = wallet(redis)
    for name, value in coins.items():
        assert hashlib.sha256(value).hexdigest() == name.decode()
        assert name.startswith(b"0")
    found = re.compile(r"^INFO:worker:Coin found: (\w{8})\.\.\.$", re.MULTILINE)
    told = {name for log in logs for name in found.findall(log)}
    assert {name.decode()[:8] for name in coins} == told
    return len(coins)


def acknowledged(logs):
    """The loops that the workers' logs say were counted, and the largest update."""
    update = re.compile(r"^INFO:worker:(\d+) units of work done, updating hash counter$", re.MULTILINE)
    updates = [int(number) for log in logs for number in update.findall(log)]
    return sum(updates), max(updates)


# ------------------------------------------------------------------------------------------------ at random


class Crowd:
    """Workers that mine at real services, and what a bad day does to them; a context manager."""

    WORKERS = 5

    def __init__(self, redis):
        self.redis = redis
        self.seed = int(os.environ.get("DOCKERCOINS_SEED") or time.time_ns() % 1000000)
        print(f"DOCKERCOINS_SEED={self.seed}")
        self.random = random.Random(self.seed)
        self.ports = {"rng": free_port(), "hasher": free_port()}
        self.services = {}
        self.workers = []
        self.past = []  # services and workers that have ended
        self.stops = 0

    def __enter__(self):
        for name in self.ports:
            self._start(name)
        for _ in range(self.WORKERS):
            self._start_worker()
        return self

    def __exit__(self, *what):
        for service in [*self.workers, *self.services.values()]:
            service.__exit__(*what)

    def _start(self, name):
        self.services[name] = Service(name, PORT=self.ports[name], DELAY_MS=5).start()
        assert self.services[name].port == self.ports[name]

    def _start_worker(self):
        self.workers.append(Service("worker", DELAY_MS=10, RNG_URL=f"http://127.0.0.1:{self.ports['rng']}",
                                    HASHER_URL=f"http://127.0.0.1:{self.ports['hasher']}",
                                    REDIS_URL=self.redis.url).start())

    def replace_worker(self):
        """Stops one with TERM, at whatever it is just doing, and starts another."""
        at = self.random.randrange(len(self.workers))
        self.stop_worker(at)
        self._start_worker()

    def stop_worker(self, at=0):
        self.stops += 1
        leaving = self.workers.pop(at)
        leaving.wait_for_line("^INFO:worker:")  # a signal during its first milliseconds is another test's
        status, seconds = leaving.stop()
        assert status == 0
        assert seconds < STOPS_WITHIN
        self._end_of(leaving)

    def _end_of(self, service):
        service.__exit__(None, None, None)
        self.past.append(service)

    def restart(self, name):
        """Restarts rng or hasher; for a moment there is none."""
        status, _ = self.services[name].stop()
        assert status == 0
        self._end_of(self.services[name])
        time.sleep(self.random.uniform(0, 0.3))
        self._start(name)

    def pause_redis(self):
        self.redis.pause()
        time.sleep(self.random.uniform(0.2, 1.5))
        self.redis.resume()

    def restart_redis(self):
        """With its data; for a moment there is none."""
        self.redis.stop()
        time.sleep(self.random.uniform(0, 0.5))
        self.redis.start()

    def finish(self):
        while self.workers:
            self.stop_worker()

    def answered(self):
        """How many digests hasher gave, by its own log."""
        self.restart("hasher")  # its last lines are written now
        hashers = [service for service in self.past if service.name == "hasher"]
        return sum(line.endswith('"POST / HTTP/1.1" 200 64') for hasher in hashers for line in hasher.stdout)

    def logs(self):
        return [service.log for service in self.past if service.name == "worker"]


def test_with_workers_stopped_and_neighbours_restarted_at_random_the_count_is_exact():
    with Redis() as redis, Crowd(redis) as crowd:
        for _ in range(24):
            trouble = crowd.random.choices([crowd.replace_worker, lambda: crowd.restart("rng"),
                                            lambda: crowd.restart("hasher"), crowd.pause_redis],
                                           [6, 1, 1, 2])[0]
            time.sleep(crowd.random.uniform(0, 0.6))
            trouble()
        crowd.finish()
        answered, in_redis, (told, _) = crowd.answered(), counted(redis), acknowledged(crowd.logs())
        print(f"answered {answered}, counted {in_redis}, told {told}, stops {crowd.stops}")
        assert in_redis == told
        assert answered - crowd.stops <= in_redis <= answered  # a stop cuts one loop off at most
        assert in_redis > 300
        assert assert_coins_are_true(redis, crowd.logs()) > 5


def test_with_redis_stopped_and_restarted_too_never_fewer_and_hardly_more():
    """The contract's one uncertainty: an update that was done when its connection broke is sent again."""
    with Redis() as redis, Crowd(redis) as crowd:
        breaks = 4
        troubles = [crowd.restart_redis] * breaks + [crowd.replace_worker] * 12 + [crowd.pause_redis] * 2
        crowd.random.shuffle(troubles)
        for trouble in troubles:
            time.sleep(crowd.random.uniform(0, 0.6))
            trouble()
        crowd.finish()
        answered, in_redis, (told, largest) = crowd.answered(), counted(redis), acknowledged(crowd.logs())
        print(f"answered {answered}, counted {in_redis}, told {told}, stops {crowd.stops}, largest {largest}")
        assert answered - crowd.stops <= told <= answered
        assert told <= in_redis <= told + breaks * crowd.WORKERS * largest
        assert in_redis > 200
        assert assert_coins_are_true(redis, crowd.logs()) > 3


# ---------------------------------------------------------------------------------------- one thing at a time


class Mine:
    """One worker between fakes that keep the books: .digests is what hasher gave. A context manager.

    on_hash is called with the number of each hash before its answer leaves: the moment to break something.
    """

    def __init__(self, redis, coins=(), namespace=None, redis_url=None, rng_url=None):
        self.redis = redis
        self.coins = coins  # numbers of the hashes that are to be coins, from 1
        self.drawn = 0
        self.digests = []
        self.on_hash = lambda number: None
        self.rng = FakeHttp(self._draw, port=80 if rng_url else 0, namespace=namespace)
        self.hasher = FakeHttp(self._hash, namespace=namespace)
        self._urls = {"RNG_URL": rng_url, "REDIS_URL": redis_url or redis.url}
        self._prefix = namespace.prefix if namespace else ()
        self.worker = None

    def __enter__(self):
        self.rng.__enter__()
        self.hasher.__enter__()
        self.worker = Service("worker", prefix=self._prefix, DELAY_MS=10, HASHER_URL=self.hasher.url,
                              REDIS_URL=self._urls["REDIS_URL"],
                              RNG_URL=self._urls["RNG_URL"] or self.rng.url).start()
        return self

    def __exit__(self, *what):
        self.worker.__exit__(*what)
        self.hasher.__exit__(*what)
        self.rng.__exit__(*what)

    def _draw(self, _request):
        self.drawn += 1
        return http_answer(COIN if self.drawn in self.coins else os.urandom(31) + bytes([self.drawn % 256]))

    def _hash(self, request):
        number = len(self.digests) + 1
        self.on_hash(number)
        name = hashlib.sha256(request.body).hexdigest()
        if request.body != COIN:
            name = "f" + name[1:]  # no coins but those that are ordered
        self.digests.append(name)
        return http_answer(name.encode())

    def await_hashes(self, number):
        eventually(lambda: len(self.digests) >= number, 20, what=f"{number} hashes")

    def await_standstill(self):
        def stands():
            before = len(self.digests)
            time.sleep(0.3)
            return len(self.digests) == before

        eventually(stands, 20, what="a standstill")

    def await_counted(self, more=1):
        goal = counted(self.redis) + more
        eventually(lambda: counted(self.redis) >= goal, 20, 0.02, "the counter's rise")

    def stop(self):
        status, seconds = self.worker.stop()
        assert status == 0
        assert seconds < STOPS_WITHIN

    def assert_exact(self, too_many=0):
        """The stop may have cut one loop off, whose digest hasher gave and the worker never saw."""
        assert counted(self.redis) - too_many in (len(self.digests), len(self.digests) - 1)
        assert wallet(self.redis) == ({COIN_NAME.encode(): COIN} if COIN_NAME in self.digests else {})


@pytest.fixture
def redis():
    with Redis() as server:
        yield server


@pytest.mark.parametrize("after", [0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.05, 1.3])
def test_loops_done_since_the_last_update_are_stored_at_a_stop(redis, after):
    with Mine(redis) as mine:
        mine.await_hashes(1)
        time.sleep(after)
        mine.stop()
        mine.assert_exact()
        assert acknowledged([mine.worker.log])[0] == counted(redis)
        assert "ERROR" not in mine.worker.log


def test_a_coin_found_as_the_worker_is_stopped_is_stored(redis):
    """The stop comes while hasher has the coin in hand: it is counted and stored, or cut off; never half."""
    stored = 0
    for pause in (0.0, 0.0, 0.001, 0.002, 0.005):
        redis.command("FLUSHALL")
        with Mine(redis, coins=[5]) as mine:
            mine.on_hash = lambda number, m=mine: number == 5 and m.worker.send_signal(15)  # TERM
            mine.await_hashes(5)
            time.sleep(pause)
            status, _ = mine.worker.stop()
            assert status == 0
            assert (counted(redis), len(wallet(redis))) in [(4, 0), (5, 1)]
            stored += len(wallet(redis))
    print(f"stored {stored} of 5")


def test_an_update_during_which_redis_hangs_for_5_seconds_counts_once(redis):
    with Mine(redis) as mine:
        mine.await_hashes(10)
        redis.pause()
        mine.await_standstill()
        time.sleep(5)
        assert is_kept_alive(redis.port)
        stood = len(mine.digests)
        redis.resume()
        mine.await_hashes(stood + 10)
        mine.stop()
        mine.assert_exact()
        assert "ERROR" not in mine.worker.log


def is_kept_alive(port):
    """Whether the worker's connection there has TCP's keep-alive timer running (this test's has not)."""
    with open("/proc/net/tcp", encoding="ascii") as table:
        rows = [row.split() for row in table]
    established, keep_alive = "01", "02:"
    return any(row[2].endswith(f":{port:04X}") and row[3] == established and row[5].startswith(keep_alive)
               for row in rows)


def test_a_coin_during_which_redis_hangs_is_stored_once(redis):
    with Mine(redis, coins=[7]) as mine:
        mine.on_hash = lambda number: number == 7 and redis.pause()
        mine.await_hashes(7)
        time.sleep(2)
        redis.resume()
        mine.await_hashes(12)
        mine.stop()
        mine.assert_exact()
        assert "We already had that coin" not in mine.worker.log
        assert "ERROR" not in mine.worker.log


def test_an_update_whose_connection_broke_before_redis_got_it_counts_once(redis):
    with RedisProxy(redis) as proxy, Mine(redis, redis_url=proxy.url) as mine:
        for _ in range(3):
            mine.await_counted()
            proxy.break_before(b"INCRBY")
            assert proxy.broken.wait(scale(10))
        mine.await_counted()
        mine.stop()
        mine.assert_exact()
        assert mine.worker.log.count("ERROR:worker:In work loop:") == 3


def test_an_update_whose_connection_broke_after_redis_did_it_counts_twice_at_most_and_never_less(redis):
    """The one uncertainty, made exact: the update that was repeated, and nothing else, is too many."""
    with RedisProxy(redis) as proxy, Mine(redis, redis_url=proxy.url) as mine:
        mine.await_counted()
        proxy.break_after(b"INCRBY")
        assert proxy.broken.wait(scale(10))
        twice = int([command for command in proxy.commands if command[0] == b"INCRBY"][-1][2])
        mine.await_counted()
        mine.stop()
        assert twice > 0
        mine.assert_exact(too_many=twice)


@pytest.mark.parametrize("breaking", ["before", "after"])
def test_a_coin_whose_connection_broke_is_stored(redis, breaking):
    with RedisProxy(redis) as proxy, Mine(redis, coins=[6], redis_url=proxy.url) as mine:
        getattr(proxy, f"break_{breaking}")(b"HSET")
        assert proxy.broken.wait(scale(10))
        mine.await_hashes(10)
        mine.stop()
        mine.assert_exact()


def test_what_was_done_while_redis_was_away_is_stored_when_it_is_back(redis):
    with Mine(redis) as mine:
        for _ in range(2):
            mine.await_hashes(len(mine.digests) + 5)
            redis.stop()
            mine.worker.wait_for_line(r"Waiting 0\.4s and restarting")
            redis.start()
            mine.await_counted()
        mine.await_hashes(len(mine.digests) + 5)
        mine.stop()
        mine.assert_exact()


def test_a_coin_found_while_redis_was_away_is_stored_when_it_is_back(redis):
    with Mine(redis, coins=[8]) as mine:
        mine.on_hash = lambda number: number == 8 and redis.stop()
        mine.await_hashes(8)
        mine.worker.wait_for_line(r"Waiting 0\.4s and restarting")
        redis.start()
        mine.await_hashes(12)
        mine.stop()
        mine.assert_exact()
        assert mine.worker.log.count("Coin found") == 1


def test_what_is_left_is_stored_at_a_stop_although_redis_was_restarted_since_the_last_update(redis):
    """The worker's connection is of the old Redis: it has to make a new one."""
    with Mine(redis, coins=[8]) as mine:
        def restart(number):
            if number == 5:
                redis.stop()
                redis.start()
                mine.worker.send_signal(15)  # TERM

        mine.on_hash = restart
        mine.await_hashes(5)
        assert mine.worker.stop()[0] == 0
        assert counted(redis) in (4, 5)
        assert counted(redis) == acknowledged([mine.worker.log])[0]


def test_a_coin_and_loops_left_over_from_an_error_are_stored_at_a_stop(redis):
    """Stopped in the middle of backing off, with Redis already back."""
    with Mine(redis, coins=[8]) as mine:
        mine.on_hash = lambda number: number == 8 and redis.stop()
        mine.await_hashes(8)
        mine.worker.wait_for_line(r"Waiting 1\.6s and restarting")
        redis.start()
        mine.stop()
        assert counted(redis) == 8
        assert wallet(redis) == {COIN_NAME.encode(): COIN}


def test_a_stop_waits_half_a_second_for_a_redis_that_is_just_coming_back(redis):
    with Mine(redis, coins=[8]) as mine:
        mine.on_hash = lambda number: number == 8 and redis.pause()
        mine.await_hashes(8)
        mine.await_standstill()
        mine.worker.send_signal(15)  # TERM
        time.sleep(0.25)
        redis.resume()
        assert mine.worker.stop()[0] == 0
        assert counted(redis) == 8
        assert wallet(redis) == {COIN_NAME.encode(): COIN}


def test_a_stop_tries_for_half_a_second_to_reach_a_redis_that_is_away(redis):
    with RedisProxy(redis) as proxy, Mine(redis, coins=[8], redis_url=proxy.url) as mine:
        def go_away(number):
            if number == 8:
                proxy.refuse()
                proxy.cut()

        mine.on_hash = go_away
        mine.worker.wait_for_line(r"Waiting 0\.8s and restarting")
        mine.worker.send_signal(15)  # TERM
        time.sleep(0.15)
        proxy.listen()
        assert mine.worker.stop()[0] == 0
        assert counted(redis) == 8
        assert wallet(redis) == {COIN_NAME.encode(): COIN}


@pytest.mark.parametrize("refusal", ["out of memory", "wrong type"])
def test_an_update_that_redis_refuses_is_kept_and_a_coin_does_not_wait_for_it(redis, refusal):
    with Mine(redis, coins=[20]) as mine:
        def refuse(number):
            if number == 5 and refusal == "out of memory":
                redis.command("CONFIG", "SET", "maxmemory", "1")
            elif number == 5:
                redis.command("RENAME", "hashes", "kept")
                redis.command("LPUSH", "hashes", "x")

        mine.on_hash = refuse
        mine.worker.wait_for_line(r"Waiting 0\.4s and restarting")
        if refusal == "out of memory":
            redis.command("CONFIG", "SET", "maxmemory", "0")
        else:
            redis.command("RENAME", "kept", "hashes")
        mine.await_hashes(25)
        mine.stop()
        mine.assert_exact()


def test_a_coin_is_stored_at_a_stop_even_if_the_counter_cannot_be_raised(redis):
    with Mine(redis, coins=[5]) as mine:
        def refuse(number):
            if number == 5:
                redis.command("DEL", "hashes")
                redis.command("LPUSH", "hashes", "x")
                redis.command("ACL", "SETUSER", "default", "-hset")

        mine.on_hash = refuse
        mine.worker.wait_for_line(r"Waiting 0\.8s and restarting")
        redis.command("ACL", "SETUSER", "default", "+hset")
        mine.stop()
        assert wallet(redis) == {COIN_NAME.encode(): COIN}


@pytest.mark.parametrize("which", ["rng", "hasher"])
def test_loops_are_stored_at_a_stop_while_an_upstream_hangs(redis, which):
    with Mine(redis, coins=[5]) as mine:
        fake = getattr(mine, which)
        good = fake.answer
        fake.answer = lambda request: [HANG] if len(mine.digests) >= 5 else good(request)
        mine.await_hashes(5)
        mine.await_standstill()
        mine.stop()
        assert counted(redis) == 5
        mine.assert_exact()


@pytest.mark.parametrize("which", ["rng", "hasher"])
def test_loops_are_stored_at_a_stop_while_backing_off_from_an_upstream(redis, which):
    with Mine(redis) as mine:
        fake = getattr(mine, which)
        good = fake.answer
        fake.answer = lambda request: http_answer(b"", "500 No") if len(mine.digests) >= 5 else good(request)
        mine.worker.wait_for_line(r"Waiting 1\.6s and restarting")
        mine.stop()
        assert counted(redis) == 5


@needs_namespaces
@pytest.mark.parametrize("redis_connection", ["lives", "broke"])
def test_loops_are_stored_at_a_stop_while_the_name_server_is_silent_about_rng(redis, redis_connection):
    known = "127.0.0.1 redis\n"
    with Namespace(known + "127.0.0.1 rng\n") as namespace, FakeDns(namespace, silent=True) as names:
        with (RedisProxy(redis, port=6379, namespace=namespace) as proxy,
              Mine(redis, namespace=namespace, redis_url="redis://redis", rng_url="http://rng") as mine):
            mine.on_hash = lambda number: number == 5 and namespace.set_hosts(known)
            mine.await_hashes(5)
            names.wait_until_asked()
            if redis_connection == "broke":
                proxy.cut()
            mine.stop()
            assert counted(redis) == 5
            assert acknowledged([mine.worker.log])[0] == 5


def test_a_stop_with_a_dead_redis_ends_in_time_and_says_what_could_not_be_stored(redis):
    with Mine(redis) as mine:
        mine.await_hashes(5)
        redis.stop()
        mine.worker.wait_for_line(r"Waiting 0\.8s and restarting")
        mine.stop()
        assert mine.worker.lines[-1].startswith("ERROR:worker:")
        assert f"127.0.0.1:{redis.port}" in mine.worker.lines[-1]


def test_two_workers_that_find_the_same_coin_leave_one(redis):
    with Mine(redis, coins=[3]) as first, Mine(redis, coins=[3]) as second:
        for mine in (first, second):
            mine.await_hashes(5)
            mine.stop()
        assert wallet(redis) == {COIN_NAME.encode(): COIN}
        assert (first.worker.log + second.worker.log).count("We already had that coin") == 1
        total = len(first.digests) + len(second.digests)
        assert total - 2 <= counted(redis) <= total
