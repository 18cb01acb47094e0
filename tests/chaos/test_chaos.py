"""Chaos: 20 workers mine while all around them, and they themselves, fail at random moments. Nothing is lost.

Each service, and each five workers, are on a machine with a network of its own. A round lasts 100 s. Its seed decides
what fails, when and how long.

DOCKERCOINS_SEED    the first round's seed; default 1
DOCKERCOINS_ROUNDS  how many rounds, each with the next seed; default 1
"""

import collections
import contextlib
import functools
import hashlib
import heapq
import os
import random
import re
import signal
import time

import pytest

from fakes import FakeDns, Namespace
from harness import Redis, Service, counted, eventually, needs_namespaces, private_kib, run, wallet

SEED = int(os.environ.get("DOCKERCOINS_SEED") or 1)
ROUNDS = int(os.environ.get("DOCKERCOINS_ROUNDS") or 1)
SECONDS = 100
WORKERS, PER_MACHINE = 20, 5
MORTAL = 10  # so many of the workers are also stopped and killed
HARDLY, LONG = (0.2, 0.5, 1, 2, 4), (6, 15)  # seconds that a fault lasts
UPSTREAMS = ("rng", "hasher", "redis")
NET = "10.77.0."
NAME_SERVER = NET + "53"
TOLD = re.compile(r"^INFO:worker:(\d+) units of work done", re.MULTILINE)
# The connection was there. (Dialer's reasons begin with a small letter.)
BROKE = re.compile(r"^ERROR:worker:[IN][a-z ]+: redis:6379: (?!LOADING)[A-Z]", re.MULTILINE)


class Machine(Namespace):
    """Its network is on a bridge."""

    def __init__(self, bridge, address):
        super().__init__(resolv=f"nameserver {NAME_SERVER}\n")
        self.bridge, self.address = bridge, address

    def __enter__(self):
        super().__enter__()
        self.bridge.run(f"ip link add port{self.pid} type veth peer name eth0 netns {self.pid}")
        self.bridge.run(f"ip link set port{self.pid} master br0 up")
        self.run("ip link set eth0 up")
        self.run(f"ip address add {self.address}/24 dev eth0")
        return self

    def move(self, address):
        self.run(f"ip address del {self.address}/24 dev eth0")
        self.run(f"ip address add {address}/24 dev eth0")
        self.address = address


def stored_by(worker):
    return sum(map(int, TOLD.findall(worker.log)))


def sent_again(worker):
    """At most so many loops of this worker are counted twice: the next update after each connection that broke."""
    return sum(int(found.group(1)) for part in BROKE.split(worker.log)[1:] if (found := TOLD.search(part)))


class Round(contextlib.ExitStack):
    """The application on machines of its own, and what happens to it."""

    def __init__(self, seed):
        super().__init__()
        self.random = random.Random(seed)
        self.fresh = iter(range(100, 250))  # addresses that nobody has had
        bridge = self.enter_context(Namespace())
        for line in ("ip link add br0 type bridge", f"ip address add {NAME_SERVER}/24 dev br0", "ip link set br0 up"):
            bridge.run(line)
        self.names = self.enter_context(FakeDns(bridge, address=NAME_SERVER))
        self.machines = {}
        for name in (*UPSTREAMS, *(f"workers{number}" for number in range(WORKERS // PER_MACHINE))):
            self.machines[name] = self.enter_context(Machine(bridge, NET + str(next(self.fresh))))
            self.names.records[name] = [self.machines[name].address]
        self.running = {}  # a Service or Redis by name
        self.ended = []  # (worker, the loops that it had done before, how)
        self.last = {"soft": 0.0, "hard": 0.0}  # when the last fault of a kind ended
        self.faults = collections.Counter()
        for name in (*UPSTREAMS, *(f"worker{number}" for number in range(WORKERS))):
            self.start(name)

    def host(self, name):
        return name if name in self.machines else f"workers{int(name.removeprefix('worker')) // PER_MACHINE}"

    def machine(self, name):
        return self.machines[self.host(name)]

    def start(self, name):
        machine = self.machine(name)
        if name != "redis":
            self.running[name] = self.enter_context(Service(
                re.sub(r"\d", "", name), DELAY_MS=5, BIND_ADDRESS="0.0.0.0", admin=True, prefix=machine.prefix,
                PORT=80 if name in UPSTREAMS else None))
            assert name not in UPSTREAMS or self.running[name].port
        elif name in self.running:
            self.running[name].start()
        else:
            self.running[name] = self.enter_context(Redis(namespace=machine))

    def end(self, name, how):
        """How: "stop" or "kill"."""
        if name not in UPSTREAMS:
            self.ended.append((self.running[name], self.loops(name), how))
        status = getattr(self.running[name], how)()
        assert status is None or status[0] == 0

    def move(self, name):
        self.end(name, "kill")
        self.machine(name).move(NET + str(next(self.fresh)))
        self.names.records[name] = [self.machine(name).address]

    def choose(self):
        """(kind, "soft" or "hard", victim, action, its undoing). In a hard one a peer vanishes without a reset."""
        name = self.random.choice((*UPSTREAMS, *UPSTREAMS, f"worker{self.random.randrange(WORKERS)}"))
        host, machine = self.host(name), self.machine(name)

        def packets(rule):
            """What happens to packets that arrive."""
            return [functools.partial(machine.run, f"iptables -w {action} INPUT ! -i lo {rule}")
                    for action in ("--insert", "--delete")]

        faults = [("freeze", "soft", name, lambda: self.running[name].process.send_signal(signal.SIGSTOP),
                   lambda: self.running[name].process.send_signal(signal.SIGCONT)),
                  ("loss", "hard", host, *packets("-m statistic --mode random --probability 0.5 -j DROP")),
                  ("black hole", "hard", host, *packets("-j DROP")),
                  ("resets", "soft", host, *packets("-p tcp -j REJECT --reject-with tcp-reset")),
                  ("slow line", "soft", host,
                   lambda: machine.run("tc qdisc add dev eth0 root tbf rate 200kbit burst 4kb latency 400ms"),
                   lambda: machine.run("tc qdisc del dev eth0 root")),
                  ("silent name server", "soft", "names", lambda: setattr(self.names, "silent", True),
                   lambda: setattr(self.names, "silent", False))]
        if name in UPSTREAMS or int(name.removeprefix("worker")) < MORTAL:
            faults += [(how, "soft", name, lambda how=how: self.end(name, how), lambda: self.start(name))
                       for how in ("stop", "kill")] * 2
        if name in UPSTREAMS:
            faults.append(("move", "hard", name, lambda: self.move(name), lambda: self.start(name)))
        return self.random.choice(faults)

    def play(self, seconds):
        begun, suffering, undoings = time.monotonic(), set(), []
        end = begun + seconds

        def undo_until(moment):
            while undoings and undoings[0][0] <= moment:
                when, _, undo, others, hardness = heapq.heappop(undoings)
                time.sleep(max(0, when - time.monotonic()))
                undo()
                suffering.difference_update(others)
                self.last[hardness] = time.monotonic()

        while time.monotonic() < end:
            kind, hardness, victim, act, undo = self.choose()
            others = {victim, self.host(victim)} if victim != "names" else {victim}
            if not others & suffering and (kind != "move" or not undoings):
                act()
                self.faults[kind] += 1
                suffering |= others
                lasts = self.random.choice(LONG if self.random.random() < 0.1 else HARDLY)
                print(f"after {time.monotonic() - begun:.1f} s: {kind} of {victim} for {lasts} s")
                ends = min(time.monotonic() + lasts, end)
                heapq.heappush(undoings, (ends, self.faults.total(), undo, others, hardness))
            until = time.monotonic() + self.random.uniform(0.1, 1.5)
            undo_until(until)
            time.sleep(max(0, until - time.monotonic()))
        undo_until(end)

    def metric(self, name, metric):
        shown = run("worker", "--metrics", prefix=self.machine(name).prefix, ADMIN_PORT=self.running[name].admin_port)
        return float(re.search(rf"^{metric} (\S+)$", shown.stdout, re.MULTILINE).group(1))

    def loops(self, name):
        return int(self.metric(name, "dockercoins_loops_total"))

    def usage(self, name):
        """(descriptors, threads, private memory in KiB): the least of some moments."""
        pid, seen = self.running[name].pid, []
        for _ in range(10):
            seen.append((*(len(os.listdir(f"/proc/{pid}/{each}")) for each in ("fd", "task")), private_kib(pid)))
            time.sleep(0.02)
        return tuple(map(min, zip(*seen)))

    def await_progress(self, names, seconds):
        """Until each of these workers has mined; the seconds that it took."""
        begun = time.monotonic()
        before = {name: self.loops(name) for name in names}
        for name in names:
            left = begun + seconds - time.monotonic()
            eventually(lambda name=name: self.loops(name) > before[name], left, 0.1, f"progress of {name}")
        return time.monotonic() - begun


@needs_namespaces
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
def test_after_chaos_nothing_is_lost_and_everybody_mines(seed, figure):
    print(f"DOCKERCOINS_SEED={seed}")
    with Round(seed) as chaos:
        workers = [f"worker{number}" for number in range(WORKERS)]
        chaos.await_progress(workers, 10)
        time.sleep(2)
        before = [chaos.usage(name) for name in workers[MORTAL:]]
        chaos.play(SECONDS)

        healed = time.monotonic()
        limit = max(chaos.last["soft"] + 15, chaos.last["hard"] + 40) - healed
        recovered = chaos.await_progress(workers, limit)

        # Without rng there are no more loops, and what was done is stored before the next attempt.
        chaos.end("rng", "kill")
        eventually(lambda: all(chaos.metric(name, "dockercoins_loops_unstored") == 0 for name in workers), 15, 0.2,
                   "all loops stored")
        after = [chaos.usage(name) for name in workers[MORTAL:]]
        living = [chaos.running[name] for name in workers]
        in_redis, coins = counted(chaos.running["redis"]), wallet(chaos.running["redis"])
        least = sum(map(chaos.loops, workers)) + sum(stored_by(worker) for worker, _, _ in chaos.ended)
        twice = sum(map(sent_again, living))
        unsure = 0
        for worker, done, how in chaos.ended:
            stored = stored_by(worker)
            if how == "kill" or "Not stored at the end" in worker.log:
                unsure += max(done - stored, 0) + 5  # loops between the question and the end
            else:
                assert stored >= done, f"{worker.name} lost {done - stored} when it was stopped"
            unsure += sent_again(worker)
        figure("chaos", {
            "seed": seed, "faults": dict(chaos.faults), "in Redis": in_redis, "least": least, "twice": twice,
            "unsure": unsure, "coins": len(coins), "all mine again after, s": round(recovered, 1),
            "of, s": round(limit, 1), "memory, KiB": [max(used[2] for used in usages) for usages in (before, after)]})
        assert least <= in_redis <= least + twice + unsure
        assert [hashlib.sha256(value).hexdigest().encode() for value in coins.values()] == list(coins)
        stored = {name.decode()[:8] for name in coins}
        stopped = [worker for worker, _, how in chaos.ended if how == "stop" and "Not stored" not in worker.log]
        found = re.findall(r"Coin found: (0\w{7})", "".join(worker.log for worker in (*living, *stopped)))
        assert set(found) <= stored
        for (descriptors, threads, memory), used in zip(after, before):
            assert descriptors <= min(before)[0] and threads <= used[1] and memory < used[2] + 1024, (before, after)
