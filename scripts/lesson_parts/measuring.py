"""Spoiler: this measures the answer. Reads the counter, the response times and the services' metrics."""

import collections
import concurrent.futures
import contextlib
import dataclasses
import http.client
import json
import random
import statistics
import threading
import time
import urllib.request

from lesson_parts.model import Delays, LessonError, Rngs, predict, queue_speed

READING_EVERY = 0.03  # seconds between two readings of the counter
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

Reading = collections.namedtuple("Reading", "now hashes")  # as webui's /json: Unix seconds, the server's; the counter


@dataclasses.dataclass
class Step:
    """One number of workers: predicted and measured."""

    workers: int
    delays: Delays
    speed: float  # hashes/s; None if the counter did not move
    rng: float  # seconds that GET / took at rng, on average
    hasher: float
    rngs: Rngs = Rngs()

    @property
    def predicted(self):
        return predict(self.workers, self.delays, self.rngs)


def get(url, timeout):
    """(body, seconds) of GET `url`; raises LessonError."""
    start = time.monotonic()
    try:
        with WITHOUT_PROXY.open(url, timeout=timeout) as response:
            return response.read(), time.monotonic() - start
    except (OSError, http.client.HTTPException) as error:
        raise LessonError(f"{url} does not respond: {getattr(error, 'reason', error)}") from error


def read_counter(url):
    """The counter now, as a Reading. Raises LessonError, also when the response is not webui's."""
    body, _ = get(f"{url.rstrip('/')}/json", timeout=5)
    try:
        data = json.loads(body)
        return Reading(float(data["now"]), int(data["hashes"] or 0))
    except (ValueError, KeyError, TypeError) as error:
        raise LessonError(f"{url} is not DockerCoins' web UI ({error!r})") from error


def read_counter_for(url, seconds, patience=5.0):
    """Reads the counter many times a second, for `seconds`; returns a list of Readings."""
    readings = []
    start = last_good = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            readings.append(read_counter(url))
            last_good = time.monotonic()
        except LessonError:
            if time.monotonic() - last_good > patience:
                raise
        if len(readings) > 1 and readings[-1].hashes < readings[-2].hashes:
            raise LessonError("The counter went backwards: Redis was restarted or emptied. Try again.")
        time.sleep(READING_EVERY)
    return readings


def counter_rate(readings, workers):
    """Hashes per second between changes of the counter; None if it hardly moves.

    The counter changes when a worker reports, about once a second, by several loops. Between two reports of one
    worker the rate is exact. Between reports of two workers it is off by what each had not reported yet. So this
    averages over many windows, each from a hash of the first third to a hash of the last third. The number of
    windows is a multiple of one report per worker, so that the errors cancel.
    """
    moments = []  # when each hash was counted
    reports = []
    for old, new in zip(readings, readings[1:]):
        if new.hashes > old.hashes:
            reports.append(new.hashes - old.hashes)
            moments += [new.now] * reports[-1]
    if len(reports) < 2:
        return None
    rhythm = workers * statistics.median_low(reports)
    windows = len(moments) // 3 // rhythm * rhythm
    if not windows:
        windows = rhythm if 2 * rhythm <= len(moments) else max(1, len(moments) // 3)
    width = len(moments) - windows
    elapsed = sum(last - first for first, last in zip(moments[:windows], moments[width:]))
    return windows * width / elapsed if elapsed > 0 else None


class Prober(threading.Thread):
    """Sends GET / to a service at random moments, as httping would, and records the response times."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self._url, self._times, self._enough = url, [], threading.Event()
        self.start()

    def run(self):
        while not self._enough.wait(random.uniform(0.1, 0.5)):
            with contextlib.suppress(LessonError):
                self._times.append(get(self._url, timeout=600)[1])

    def seconds(self, patience, average=statistics.fmean):
        """The average response time; ends the probing, and waits up to `patience` for a request in progress."""
        self._enough.set()
        self.join(patience)
        if not self._times:
            raise LessonError(f"{self._url} does not respond.")
        return average(list(self._times))


def measure(application, workers, seconds, delays, rngs, detour):
    """Measures the application while it has that many workers; returns a Step."""
    predicted = predict(workers, delays, rngs)
    # Each new worker does two loops and reports once before the measurement, so that the start does not count.
    read_counter_for(application.url, 1.5 + 2 * workers / predicted.speed)
    at_rng, at_hasher = Prober(application.address("rng")), Prober(application.address("hasher"))
    readings = read_counter_for(application.url, seconds)
    rng = at_rng.seconds(2 + 3 * predicted.rng) - detour
    # hasher responds within a millisecond. The median ignores a response that the scheduler delayed.
    hasher = at_hasher.seconds(2, statistics.median) - detour
    return Step(workers, delays, counter_rate(readings, workers), max(0.0, rng), max(0.0, hasher), rngs)


# ------------------------------------------------------------------------------------ from inside: metrics


class Explanation(collections.namedtuple("Explanation", "workers rngs speed utilisation work rng hasher redis queue service")):
    """Where the time of one hash goes: average seconds, of which rng's `queue` and `service` are parts of `rng`.

    speed: hashes/s; utilisation: share of the time in which rng serves, 0 to 1.
    """

    @property
    def hash(self):
        return self.work + self.rng + self.hasher + self.redis

    def speed_with(self, workers, rngs):
        """Hashes/s with that many workers and rng."""
        return queue_speed(workers, rngs, self.service, self.hash - self.queue - self.service)


def read_metrics(application, service):
    """{container: {name and labels, as Prometheus writes them: value}}"""
    def read(container):
        lines = application.metrics(service, container).splitlines()
        parts = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
        return container, {name: float(value) for name, _, value in parts}

    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:  # each takes a while
        return dict(pool.map(read, application.containers(service)))


class Growth:
    """How much the metrics grew between two readings, over all containers that are in both."""

    def __init__(self, before, after):
        self._pairs = [(before[container], after[container]) for container in after if container in before]

    def of(self, name, labels=""):
        """Of all series of that name whose labels contain `labels`."""
        return sum(value - earlier.get(series, 0.0) for earlier, later in self._pairs for series, value in later.items()
                   if series.partition("{")[0] == name and labels in series)


def explain(application, seconds):
    """Reads the metrics of worker and rng over the next `seconds`; returns an Explanation."""
    begun = time.monotonic()
    before = [read_metrics(application, service) for service in ("worker", "rng")]
    time.sleep(seconds)
    elapsed = time.monotonic() - begun  # between the readings' beginnings, as between any other two moments of them
    after = [read_metrics(application, service) for service in ("worker", "rng")]
    worker, rng = map(Growth, before, after)
    loops = worker.of("dockercoins_loops_total")
    served = rng.of("http_request_service_seconds_count", 'route="/N"')
    if loops <= 0 or served <= 0:
        raise LessonError(f"No hash was made in {seconds:g} s; the worker's log says what it waits for.")

    def step(name, per=None):
        """Seconds per attempt at that step, or per `per`."""
        attempts = worker.of("dockercoins_step_duration_seconds_count", f'step="{name}"')
        return worker.of("dockercoins_step_duration_seconds_sum", f'step="{name}"') / (per or max(1.0, attempts))

    rngs = Rngs(len(after[1]), application.rngs().concurrency)
    return Explanation(
        workers=len(after[0]), rngs=rngs,
        speed=served / elapsed,  # not from the workers' loops: each makes too few for an exact rate
        work=step("work"), rng=step("rng"), hasher=step("hasher"), redis=step("redis", per=loops),
        queue=rng.of("http_request_queue_seconds_sum") / max(1.0, rng.of("http_request_queue_seconds_count")),
        service=rng.of("http_request_service_seconds_sum", 'route="/N"') / served,
        utilisation=rng.of("http_request_service_seconds_sum") / elapsed / rngs.at_a_time)
