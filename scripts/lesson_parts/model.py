"""What a DockerCoins does with so many workers, computed from the simulated work of its services."""

import dataclasses
import heapq
import random

DEFAULT_DELAY_MS = 100  # what the services take when DELAY_MS is not set


class LessonError(Exception):
    """The lesson cannot be measured; the text says why and what to do about it."""


@dataclasses.dataclass(frozen=True)
class Delays:
    """The simulated work of each service, seconds."""

    worker: float = DEFAULT_DELAY_MS / 1000
    rng: float = DEFAULT_DELAY_MS / 1000
    hasher: float = DEFAULT_DELAY_MS / 1000


@dataclasses.dataclass(frozen=True)
class Prediction:
    speed: float  # hashes/s
    rng: float  # seconds until rng answers GET /
    hasher: float  # seconds until hasher answers GET /
    saturated: bool  # whether rng has no idle moment, so that more workers add nothing


def queue_speed(workers, servers, service, think, loops=20_000):
    """Loops/s of workers that think and then are served by one of the servers, each with a queue of its own.

    One server: nobody waits, or it never idles. Several: a worker chooses one at random, so one has a queue while
    another idles; for that there is no simple formula, and it is simulated (always the same way).
    """
    unhindered = workers / (service + think)
    if servers == 1 or service <= 0:
        return min(unhindered, 1 / service) if service > 0 else unhindered
    chance = random.Random(1)
    free = [0.0] * servers  # when each server will have served its queue
    arrivals = [chance.uniform(0, service + think) for _ in range(workers)]
    heapq.heapify(arrivals)
    for _ in range(loops):
        chosen = chance.randrange(servers)
        free[chosen] = max(free[chosen], arrivals[0]) + service
        heapq.heapreplace(arrivals, free[chosen] + think)
    return loops / arrivals[0]


def predict(workers, delays):
    """What the application does with `workers` workers.

    rng is a closed queue: one server, a service time s, and N customers who think for z (their own work and
    hasher's) before they come back. With N*s below s+z nobody waits; beyond it rng never idles and everybody
    waits.

    GET / joins that queue and takes no service time itself, so it takes what stands before it at a random
    moment: rng's whole delay for every loop that waits, and on average half of it for the one in service.
    """
    service, think = delays.rng, delays.worker + delays.hasher
    if service + think <= 0:
        raise LessonError("With DELAY_MS=0 everywhere there is no simulated work and no lesson.")
    speed = queue_speed(workers, 1, service, think)
    waiting = max(0.0, workers / speed - service - think) if workers else 0.0
    return Prediction(speed=speed, rng=speed * service * (waiting + service / 2), hasher=0.0,
                      saturated=speed * service >= 1 - 1e-9)
