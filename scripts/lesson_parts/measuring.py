"""Spoiler: this measures the answer. Reads the counter, the response times and the services' metrics."""

import concurrent.futures
import dataclasses
import http.client
import json
import random
import statistics
import threading
import time
import urllib.parse

from lesson_parts.model import Delays, LessonError, Rngs, predict, queue_speed
from lesson_parts.words import count

READING_EVERY = 0.03  # seconds between two readings of the counter
GRAPH_VALUES = 6  # enough to show the 4 - 4 - 4 - 0 of one worker


@dataclasses.dataclass(frozen=True)
class Reading:
    """The counter as webui's /json gives it."""

    now: float  # Unix seconds, the server's
    hashes: int


@dataclasses.dataclass
class Step:
    """One number of workers: predicted and measured."""

    workers: int
    delays: Delays
    speed: float  # hashes/s; None if the counter did not move
    rng: float  # seconds that GET / took at rng, on average
    hasher: float
    graph: list = ()
    rngs: Rngs = Rngs()

    @property
    def predicted(self):
        return predict(self.workers, self.delays, self.rngs)


def http_get(url, timeout):
    """Body of GET `url`; raises OSError or http.client.HTTPException."""
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname, parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path or "/", headers={"Connection": "close"})
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            reason = body.decode("utf-8", "replace").strip()
            raise OSError(f"status {answer.status} {answer.reason}{': ' if reason else ''}{reason}")
        return body
    finally:
        connection.close()


def seconds_of_get(url, timeout):
    """How long GET `url` takes; raises as http_get does."""
    start = time.monotonic()
    http_get(url, timeout)
    return time.monotonic() - start


def read_counter(url):
    """The counter now, as a Reading. Raises OSError, also when the response is not webui's."""
    try:
        data = json.loads(http_get(url.rstrip("/") + "/json", timeout=5))
        return Reading(float(data["now"]), int(data["hashes"] or 0))
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise OSError(f"not a response of DockerCoins' web UI ({error!r})") from error


def read_counter_for(url, seconds, progress, patience=5.0):
    """Reads the counter many times a second, for `seconds`; returns a list of Readings."""
    readings = []
    start = last_good = time.monotonic()
    while (elapsed := time.monotonic() - start) < seconds:
        try:
            readings.append(read_counter(url))
            last_good = time.monotonic()
        except OSError as error:
            if time.monotonic() - last_good > patience:
                raise LessonError(f"The web UI at {url} stopped answering: {error}") from error
        if len(readings) > 1 and readings[-1].hashes < readings[-2].hashes:
            raise LessonError("The counter went backwards: Redis was restarted or emptied. Try again.")
        progress(elapsed, readings)
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


def graph(readings):
    """The graph of a browser that reads the counter once a second: hashes per second, rounded."""
    if not readings:
        return []
    drawn = []
    previous = readings[0]
    for second in range(1, GRAPH_VALUES + 1):
        due = readings[0].now + second
        if readings[-1].now < due - READING_EVERY:
            break
        current = min(readings, key=lambda reading: abs(reading.now - due))
        if current.now <= previous.now:
            break
        drawn.append(round((current.hashes - previous.hashes) / (current.now - previous.now)))
        previous = current
    return drawn


class Prober:
    """Sends GET / to a service at random moments, as httping would, and records the response times."""

    def __init__(self, url):
        self._url = url
        self._times = []
        self._failure = "no response"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()

    def _run(self):
        while not self._stop.wait(random.uniform(0.1, 0.5)):
            try:
                self._times.append(seconds_of_get(self._url, timeout=600))
            except (OSError, http.client.HTTPException) as error:
                self._failure = error

    def seconds(self, patience, average=statistics.fmean):
        """The average response time; waits up to `patience` for a request in progress."""
        self._stop.set()
        self._thread.join(patience)
        if not self._times:
            raise LessonError(f"The response time of {self._url} could not be measured: {self._failure}")
        return average(list(self._times))


def measure(application, workers, seconds, delays, rngs, detour, screen):
    """Measures the application while it has that many workers; returns a Step."""
    name = count(workers, "worker")
    predicted = predict(workers, delays, rngs)
    screen.begin(f"{name}: measuring for {seconds:g} s")
    # Each new worker does two loops and reports once before the measurement, so that the start does not count.
    read_counter_for(application.url, 1.5 + 2 * workers / predicted.speed,
                     lambda elapsed, _: screen.progress(f"{name}: waiting for a steady speed"))

    def show(elapsed, readings):
        measured = counter_rate(readings, workers)
        screen.progress(f"{name}: {elapsed:.0f} of {seconds:g} s"
                        + (f", {measured:.2f} hashes/s so far" if measured is not None else ""))

    with Prober(application.address("rng")) as at_rng, Prober(application.address("hasher")) as at_hasher:
        readings = read_counter_for(application.url, seconds, show)
        # hasher responds within a millisecond. The median ignores a response that the scheduler delayed.
        rng = at_rng.seconds(2 + 3 * predicted.rng)
        hasher = at_hasher.seconds(2, statistics.median)
        return Step(workers, delays, counter_rate(readings, workers), max(0.0, rng - detour),
                    max(0.0, hasher - detour), graph(readings), rngs)


# ------------------------------------------------------------------------------------ from inside: metrics


@dataclasses.dataclass(frozen=True)
class Metrics:
    """The metrics of one container at one moment."""

    at: float  # time.monotonic()
    samples: dict  # values by name and labels, as Prometheus writes them: 'up{job="rng"}'

    @staticmethod
    def parse(at, text):
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return Metrics(at, {name: float(value) for name, _, value in lines})

    def sum(self, name, labels=""):
        """Over all series of that name whose labels contain `labels`."""
        return sum(value for series, value in self.samples.items()
                   if series.partition("{")[0] == name and labels in series)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Where the time of one hash goes: average seconds."""

    workers: int
    rngs: Rngs
    speed: float  # hashes/s
    work: float
    rng: float
    hasher: float
    redis: float
    queue: float  # of rng: in its queue
    service: float  # of rng: in service
    utilisation: float  # of rng: share of the time in which it serves, 0 to 1

    @property
    def hash(self):
        return self.work + self.rng + self.hasher + self.redis

    def speed_with(self, workers, rngs):
        """Hashes/s with that many workers and rng."""
        return queue_speed(workers, rngs, self.service, self.hash - self.queue - self.service)


def read_metrics(application, service):
    """Metrics of a service's containers, by name. They are read in parallel, because each takes a while."""
    def read(container):
        begun = time.monotonic()
        text = application.metrics(service, container)
        return container, Metrics.parse((begun + time.monotonic()) / 2, text)

    containers = application.containers(service)
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return dict(pool.map(read, containers))


class Growth:
    """How much the metrics grew between two readings, over all containers that are in both."""

    def __init__(self, before, after):
        self._pairs = [(before[container], after[container]) for container in after if container in before]

    def __bool__(self):
        return bool(self._pairs)

    def of(self, name, labels=""):
        return sum(after.sum(name, labels) - before.sum(name, labels) for before, after in self._pairs)

    def per_second(self, name, labels=""):
        """Uses each container's own time between the readings."""
        return sum((after.sum(name, labels) - before.sum(name, labels)) / (after.at - before.at)
                   for before, after in self._pairs)


def explain(application, seconds):
    """Reads the metrics of worker and rng over the next `seconds`; returns an Explanation."""
    services = ("worker", "rng")
    before = [read_metrics(application, service) for service in services]
    time.sleep(seconds)
    after = [read_metrics(application, service) for service in services]
    worker, rng = map(Growth, before, after)
    for service, growth in zip(services, (worker, rng)):
        if not growth:
            raise LessonError(f"No {service} is running, or none has run for {seconds:g} s.")
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
        # Not from the workers' loops: each makes too few for an exact rate.
        speed=rng.per_second("http_request_service_seconds_count", 'route="/N"'),
        work=step("work"), rng=step("rng"), hasher=step("hasher"), redis=step("redis", per=loops),
        queue=rng.of("http_request_queue_seconds_sum") / max(1.0, rng.of("http_request_queue_seconds_count")),
        service=rng.of("http_request_service_seconds_sum", 'route="/N"') / served,
        utilisation=rng.per_second("http_request_service_seconds_sum") / rngs.at_a_time)
