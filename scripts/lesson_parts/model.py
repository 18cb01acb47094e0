"""Spoiler: this computes the answer. Predicts speed and response times from the services' simulated work."""

import dataclasses
import heapq
import random

DEFAULT_DELAY_MS = 100  # of each service when DELAY_MS is not set


class LessonError(Exception):
    """The lesson cannot be measured; the text says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Delays:
    """The simulated work of each service, seconds."""

    worker: float = DEFAULT_DELAY_MS / 1000
    rng: float = DEFAULT_DELAY_MS / 1000
    hasher: float = DEFAULT_DELAY_MS / 1000


@dataclasses.dataclass(frozen=True)
class Prediction:
    speed: float  # hashes/s
    rng: float  # seconds that GET / takes at rng
    hasher: float  # seconds that GET / takes at hasher
    saturated: bool  # rng is never idle, so more workers add nothing


def queue_speed(workers, servers, service, think, loops=20_000):
    """Loops/s of workers that think, then wait for one of the servers. Each server has its own queue.

    One server is either never waited for or never idle. With several, a worker chooses one at random, so one has
    a queue while another is idle. There is no simple formula for that: it is simulated, always with the same seed.
    """
    unhindered = workers / (service + think)
    if servers == 1 or service <= 0:
        return min(unhindered, 1 / service) if service > 0 else unhindered
    chance = random.Random(1)
    free = [0.0] * servers  # when each server will be idle
    arrivals = [chance.uniform(0, service + think) for _ in range(workers)]
    heapq.heapify(arrivals)
    for _ in range(loops):
        chosen = chance.randrange(servers)
        free[chosen] = max(free[chosen], arrivals[0]) + service
        heapq.heapreplace(arrivals, free[chosen] + think)
    return loops / arrivals[0]


def predict(workers, delays):
    """What the application does with `workers` workers.

    This is a closed queue: one server with service time s, and N customers who think for z (the worker's and
    hasher's work) before they return. While N*s is below s+z, nobody waits. Beyond that rng is never idle.

    GET / waits in that queue, and takes no service time itself. So it takes rng's whole delay for every request
    before it in the queue, and on average half of it for the one in service.
    """
    service, think = delays.rng, delays.worker + delays.hasher
    if service + think <= 0:
        raise LessonError("With DELAY_MS=0 for all services there is no simulated work, and no lesson.")
    speed = queue_speed(workers, 1, service, think)
    waiting = max(0.0, workers / speed - service - think) if workers else 0.0
    return Prediction(speed=speed, rng=speed * service * (waiting + service / 2), hasher=0.0,
                      saturated=speed * service >= 1 - 1e-9)
