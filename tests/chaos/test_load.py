"""Load: many browsers, and clients that want to do harm. The class must not notice.

DOCKERCOINS_LOAD_SECONDS  how long each lasts (600)
"""

import concurrent.futures
import contextlib
import os
import random
import socket
import statistics
import struct
import threading
import time

import pytest

from clients import Answer, ask, collect, open_socket, request_bytes
from harness import Mine, Redis, Service, eventually, private_kib

SECONDS = float(os.environ.get("DOCKERCOINS_LOAD_SECONDS") or 600)
BROWSERS = 1000
HOSTILE = 2048  # connections to each service
KINDS = ("idle", "half", "half", "dripping")
# Slow ones; hasher's answer is too short to be read slowly. At rng one costs a turn, so it is not replaced when it has
# been there for the five minutes that a response may take.
READERS = {"rng": 200, "webui": 512}
LARGE = {"rng": "/33554431", "webui": "/assets/dygraphs/dygraph.min.js"}
SLOWLY = 4096  # bytes three times a second; of less the server would not hear, because the kernel waits with its window

pytestmark = pytest.mark.release


@contextlib.contextmanager
def in_threads(*acts):
    """Each act(ended) runs in a thread of its own until the context ends, and must not fail."""
    ended = threading.Event()
    with concurrent.futures.ThreadPoolExecutor(len(acts)) as pool:
        running = [pool.submit(act, ended) for act in acts]
        try:
            yield
        finally:
            ended.set()
    for one in running:
        one.result()


def descriptors(service):
    return len(os.listdir(f"/proc/{service.pid}/fd"))


def used(services):
    """{name: private memory in KiB}"""
    return {service.name: private_kib(service.pid) for service in services}


def test_a_thousand_browsers_while_redis_comes_and_goes(figure):
    answers = {200: [], 503: []}  # seconds that each took
    chance = random.Random(1)
    with Redis() as redis, Service("webui", REDIS_URL=redis.url) as webui:
        ask(webui.port, request_bytes("/json"))
        memory = [private_kib(webui.pid)]

        def browse(ended):
            while not ended.is_set():
                begun = time.monotonic()
                with contextlib.ExitStack() as stack:
                    asked = {}
                    for _ in range(BROWSERS):
                        connection = stack.enter_context(open_socket(webui.port))
                        connection.sendall(request_bytes("/json"))
                        asked[connection] = time.monotonic()
                    for (data, end), when in zip(collect(asked), asked.values()):
                        answers[Answer(data).status].append(end - when)
                ended.wait(begun + 1 - time.monotonic())

        with in_threads(browse):
            until = time.monotonic() + SECONDS
            while time.monotonic() < until:
                away, back = chance.choice([(redis.pause, redis.resume), (redis.kill, redis.start),
                                            (redis.stop, redis.start)])
                time.sleep(chance.uniform(1, 5))
                away()
                time.sleep(chance.uniform(0.2, 5))
                back()
                memory.append(private_kib(webui.pid))
        assert ask(webui.port, request_bytes("/json")).status == 200
        eventually(lambda: descriptors(webui) < 20, what="closed connections")
    figures = {"KiB before, after a while and at the end": (*memory[:2], memory[-1])}
    for status, seconds in answers.items():
        figures[f"{status}: how many, median and worst, s"] = (len(seconds), statistics.median(seconds), max(seconds))
    figure("browsers", figures)
    assert min(map(len, answers.values())) > BROWSERS and sum(map(len, answers.values())) > BROWSERS * SECONDS / 4
    assert max(*answers[200], *answers[503]) < 3  # 1.1 s are promised; this machine is busy
    assert memory[-1] < memory[1] + 2048 and max(memory) < 8192


def received(connection, size):
    """Up to `size` bytes that have come; None if there are none yet, b"" if there will be none."""
    try:
        return connection.recv(size)
    except BlockingIOError:
        return None
    except ConnectionError:
        return b""


class Hostile:
    """2,048 connections to one service: when it closes one, another comes."""

    def __init__(self, service):
        self.port, self.name = service.port, service.name
        self.readers = [self.reader() for _ in range(READERS.get(self.name, 0))]
        self.served = set()  # those that have had their turn
        self.kinds = {}  # by connection
        self.made = 0

    def reader(self):
        connection = open_socket(self.port, timeout=60, receive_buffer=4096)
        connection.sendall(request_bytes(LARGE[self.name]))
        connection.setblocking(False)
        return connection

    def open(self):
        kind = KINDS[self.made % len(KINDS)]
        self.made += 1
        connection = open_socket(self.port)
        if kind != "idle":
            connection.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Le")
        connection.setblocking(False)
        self.kinds[connection] = kind

    def harm(self, ended):
        while not ended.is_set():
            while len(self.kinds) < HOSTILE - READERS.get(self.name, 0):
                self.open()
            for connection, kind in list(self.kinds.items()):
                if kind == "dripping":
                    with contextlib.suppress(OSError):
                        connection.send(b"x")
                if random.random() < 0.01:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
                    self.drop(connection)
                    continue
                if received(connection, 4096) == b"":
                    self.drop(connection)
            ended.wait(0.5)

    def read_slowly(self, ended):
        while not ended.is_set():
            for connection in list(self.readers):
                data = received(connection, SLOWLY)
                if data:
                    self.served.add(connection)
                elif data == b"":
                    self.readers.remove(connection)  # it has all, or was cut off
                    connection.close()
                    if self.name == "webui":
                        self.readers.append(self.reader())
            ended.wait(0.3)

    def drop(self, connection):
        connection.close()
        del self.kinds[connection]

    def close(self):
        for connection in (*self.kinds, *self.readers):
            connection.close()


def loops(mine, seconds):
    """The times of a worker's loops, in seconds: the test plays the tenth worker."""
    times, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        time.sleep(0.1)
        drawn = ask(mine.rng.port, b"GET /32 HTTP/1.1\r\nHost: rng\r\n\r\n", timeout=60)
        assert drawn.status == 200 and len(drawn.body) == 32
        assert ask(mine.hasher.port, request_bytes("/", method="POST", body=drawn.body)).status == 200
        times.append(time.monotonic() - begun)
    return times


def test_a_class_does_not_notice_thousands_of_hostile_connections(figure):
    with Mine(9) as mine, Service("webui", REDIS_URL=mine.redis.url) as webui:
        services = (mine.rng, mine.hasher, webui)
        assert ask(webui.port, request_bytes("/json")).status == 200
        loops(mine, 5)
        without, before = loops(mine, min(SECONDS, 120)), used(services)
        hostile = [Hostile(service) for service in services]
        with in_threads(*(act for each in hostile for act in (each.harm, each.read_slowly))):
            eventually(lambda: all(descriptors(service) > HOSTILE * 0.7 for service in services)
                       and all(len(each.served) >= READERS.get(each.name, 0) for each in hostile), 90, 0.5, "hostile connections")
            loops(mine, 5)
            beside = loops(mine, SECONDS * 0.4)
            present = {each.name: (len(each.kinds), len(each.readers)) for each in hostile}
            beside += loops(mine, SECONDS * 0.6)
            during = used(services)
        for each in hostile:
            each.close()
        eventually(lambda: all(descriptors(service) < 50 for service in services), 30, 0.5, "closed connections")
        after = used(services)
        assert all("ERROR" not in worker.log for worker in mine.workers)
    figures = {"connections made": {each.name: each.made for each in hostile}, "present, and slow readers": present,
               "loops without, median and worst, s": (statistics.median(without), max(without)),
               "loops beside, median and worst, s": (statistics.median(beside), max(beside)),
               "KiB before, during, after": (before, during, after)}
    figure("hostile connections", figures)
    for name, (others, readers) in present.items():
        assert others > HOSTILE / 2 and readers > 0.9 * READERS.get(name, -1), name
    assert statistics.median(beside) < statistics.median(without) * 1.1
    assert max(beside) < max(without) + 2
    assert all(after[name] < before[name] + 16 * 1024 for name in before)  # webui keeps what 512 slow readers took
