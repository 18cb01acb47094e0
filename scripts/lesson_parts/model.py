"""Spoiler: this computes the answer. Predicts speed and response times from the services' simulated work."""

import collections
import dataclasses
import functools
import heapq
import random

class LessonError(Exception):
    """The lesson cannot be measured; the text says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Delays:
    """The simulated work of each service, seconds."""

    worker: float = 0.1
    rng: float = 0.1
    hasher: float = 0.1


@dataclasses.dataclass(frozen=True)
class Rngs:
    """How many rng share the name, and how many requests each serves at a time, from a queue of its own."""

    replicas: int = 1
    concurrency: int = 1

    @property
    def at_a_time(self):
        return self.replicas * self.concurrency

    def __str__(self):
        return f"{self.replicas} rng" + (f" with CONCURRENCY={self.concurrency}" if self.concurrency > 1 else "")


# hashes/s; seconds that GET / takes at rng; whether rng is never idle, so that more workers add nothing
Prediction = collections.namedtuple("Prediction", "speed rng saturated")


@functools.cache
def simulate(workers, rngs, service, think, starts=20):
    """(loops/s, average seconds that a request waits which comes at a random moment); always with the same seed.

    Each worker thinks, then chooses an rng at random and waits in its queue. The result is the average over several
    starts, because with one queue the services overlap for ever as they did at the start.
    """
    chance = random.Random(1)
    loops = max(5_000, 5 * workers)
    done = seconds = waits = 0.0
    for _ in range(starts):
        # When each thread of each rng will be idle. These lists are heaps: the first is the least.
        free = [[0.0] * rngs.concurrency for _ in range(rngs.replicas)]
        arrivals = sorted(chance.uniform(0, service + think) for _ in range(workers))
        for loop in range(loops):
            now = arrivals[0]
            threads = free[chance.randrange(rngs.replicas)]
            end = max(threads[0], now) + service
            heapq.heapreplace(threads, end)
            heapq.heapreplace(arrivals, end + think)
            if loop >= loops // 5:  # the start is over
                done += 1
                seconds += arrivals[0] - now
                # The integral over the time until the next arrival: each wait becomes shorter by 1 s per second.
                for first, *_ in free:
                    waits += (max(0.0, first - now) ** 2 - max(0.0, first - arrivals[0]) ** 2) / 2
    return done / seconds, waits / seconds / rngs.replicas


def queue_speed(workers, rngs, service, think):
    """Loops/s of workers that think, then wait for an rng.

    With one queue either nobody waits, or nothing is idle. With several, a worker chooses one at random, so one has a
    queue while another is idle. There is no simple formula for that: it is simulated.
    """
    if rngs.replicas > 1 and workers and service > 0:
        return simulate(workers, rngs, service, think)[0]
    unhindered = workers / (service + think)
    return min(unhindered, rngs.concurrency / service) if service > 0 else unhindered


def predict(workers, delays, rngs=Rngs()):
    """What the application does with `workers` workers.

    This is a closed queue: one server with service time s, and N customers who think for z (the worker's and
    hasher's work) before they return. While N*s is below s+z, nobody waits. Beyond that rng is never idle.

    GET / waits in that queue, and takes no service time itself. So it takes rng's whole delay for every request
    before it in the queue, and on average half of it for the one in service. With more servers that is simulated.
    """
    service, think = delays.rng, delays.worker + delays.hasher
    if service + think <= 0:
        raise LessonError("With DELAY_MS=0 for all services there is no simulated work, and no lesson.")
    speed = queue_speed(workers, rngs, service, think)
    if not workers or service <= 0:
        at_rng = 0.0
    elif rngs == Rngs():
        at_rng = speed * service * (workers / speed - think - service / 2)
    else:
        _, at_rng = simulate(workers, rngs, service, think)
    return Prediction(speed=speed, rng=at_rng, saturated=speed * service >= rngs.at_a_time - 1e-9)
