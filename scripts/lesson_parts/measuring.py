"""What a running DockerCoins does: its counter, the time that its services take to answer, and their metrics."""

import concurrent.futures
import dataclasses
import http.client
import json
import random
import statistics
import threading
import time
import urllib.parse

from lesson_parts.model import Delays, LessonError, predict, queue_speed
from lesson_parts.words import count

READING_EVERY = 0.03  # seconds between two readings of the counter
GRAPH_VALUES = 6  # the 4 - 4 - 4 - 0 of one worker comes round within six seconds


@dataclasses.dataclass(frozen=True)
class Reading:
    """The counter as webui's /json gives it."""

    now: float  # Unix seconds, the server's
    hashes: int


@dataclasses.dataclass
class Step:
    """One number of workers: what should be and what was."""

    workers: int
    delays: Delays
    speed: float  # hashes/s; None: the counter did not move
    rng: float  # seconds until rng answered GET /, on average
    hasher: float
    graph: list = ()

    @property
    def predicted(self):
        return predict(self.workers, self.delays)


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
    """How long the answer to GET `url` takes; raises as http_get does."""
    start = time.monotonic()
    http_get(url, timeout)
    return time.monotonic() - start


def read_counter(url):
    """The counter now; a Reading. Raises OSError, also for an answer that is not DockerCoins'."""
    try:
        data = json.loads(http_get(url.rstrip("/") + "/json", timeout=5))
        return Reading(float(data["now"]), int(data["hashes"] or 0))
    except (http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        raise OSError(f"not the answer of a DockerCoins web UI ({error!r})") from error


def read_counter_for(url, seconds, progress, patience=5.0):
    """Reads the counter many times a second for so long; a list of Readings."""
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
            raise LessonError("The counter went backwards: Redis was emptied meanwhile. Try again.")
        progress(elapsed, readings)
        time.sleep(READING_EVERY)
    return readings


def counter_rate(readings, workers):
    """Hashes per second, from counter changes to counter changes; None where the counter hardly moves.

    The counter moves when a worker reports, about once a second and several loops at a time. Between two
    changes by the same worker the rate is exact; between changes by two different ones it is off by what each
    had not reported yet. So this averages over many windows, from the moment at which a hash of the first
    third was counted to that of one of the last third: over whole reports of as many workers as there are, or
    a multiple of that, so that every worker's rhythm is in it whole and the errors cancel.
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
    """What a browser that reads the counter once a second draws: hashes per second, rounded."""
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
    """Asks a service for / at random moments, as httping would, and notes how long each answer took."""

    def __init__(self, url):
        self._url = url
        self._times = []
        self._failure = "no answer"
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
        """The average over all answers; waits a while for the one that is under way."""
        self._stop.set()
        self._thread.join(patience)
        if not self._times:
            raise LessonError(f"{self._url} gave no time to measure: {self._failure}")
        return average(list(self._times))


def measure(application, workers, seconds, delays, detour, screen):
    """Measures the application, which runs so many workers; a Step."""
    name = count(workers, "worker")
    predicted = predict(workers, delays)
    screen.begin(f"{name}: measuring for {seconds:g} s")
    # Until everyone who has just come has been round twice, and has reported, the counter tells of the start.
    read_counter_for(application.url, 1.5 + 2 * workers / predicted.speed,
                     lambda elapsed, _: screen.progress(f"{name}: letting it settle"))

    def show(elapsed, readings):
        measured = counter_rate(readings, workers)
        screen.progress(f"{name}: {elapsed:.0f} of {seconds:g} s"
                        + (f", {measured:.2f} hashes/s so far" if measured is not None else ""))

    with Prober(application.address("rng")) as at_rng, Prober(application.address("hasher")) as at_hasher:
        readings = read_counter_for(application.url, seconds, show)
        # hasher answers within a millisecond: one answer that the scheduler delayed must not count for many.
        rng = at_rng.seconds(2 + 3 * predicted.rng)
        hasher = at_hasher.seconds(2, statistics.median)
        return Step(workers, delays, counter_rate(readings, workers), max(0.0, rng - detour),
                    max(0.0, hasher - detour), graph(readings))


# ------------------------------------------------------------------------------------ from inside: metrics


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What one container had measured at a moment."""

    at: float  # time.monotonic()
    samples: dict  # values by name and labels, as Prometheus writes them: 'up{job="rng"}'

    @staticmethod
    def parse(at, text):
        lines = (line.rpartition(" ") for line in text.splitlines() if line and not line.startswith("#"))
        return Metrics(at, {name: float(value) for name, _, value in lines})

    def sum(self, name, labels=""):
        """Of all series of that name whose labels contain that text."""
        return sum(value for series, value in self.samples.items()
                   if series.partition("{")[0] == name and labels in series)


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Where the time of one hash goes; seconds, on average over those of a while."""

    workers: int
    servers: int  # rng
    speed: float  # hashes/s
    work: float
    rng: float
    hasher: float
    redis: float
    line: float  # of rng: waiting in line
    service: float  # of rng: being served
    utilisation: float  # of rng: the part of the time in which it serves, 0 to 1

    @property
    def hash(self):
        return self.work + self.rng + self.hasher + self.redis

    def speed_with(self, workers, servers):
        """Hashes/s with so many workers and rng."""
        return queue_speed(workers, servers, self.service, self.hash - self.line - self.service)


def read_metrics(application, service):
    """Of all containers of a service, by their names; of all at once, for asking takes its time."""
    def read(container):
        begun = time.monotonic()
        text = application.metrics(service, container)
        return container, Metrics.parse((begun + time.monotonic()) / 2, text)

    containers = application.containers(service)
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as pool:
        return dict(pool.map(read, containers))


class Growth:
    """What has grown between two readings of a service's metrics, in all containers that are in both."""

    def __init__(self, before, after):
        self._pairs = [(before[container], after[container]) for container in after if container in before]

    def __bool__(self):
        return bool(self._pairs)

    def of(self, name, labels=""):
        return sum(after.sum(name, labels) - before.sum(name, labels) for before, after in self._pairs)

    def per_second(self, name, labels=""):
        """By each container's own time between the readings."""
        return sum((after.sum(name, labels) - before.sum(name, labels)) / (after.at - before.at)
                   for before, after in self._pairs)


def explain(application, seconds):
    """What the metrics of worker and rng say of so many seconds from now on; an Explanation."""
    services = ("worker", "rng")
    before = [read_metrics(application, service) for service in services]
    time.sleep(seconds)
    after = [read_metrics(application, service) for service in services]
    worker, rng = map(Growth, before, after)
    for service, growth in zip(services, (worker, rng)):
        if not growth:
            raise LessonError(f"No {service} runs, or none that has run for {seconds:g} s.")
    loops = worker.of("dockercoins_loops_total")
    served = rng.of("http_request_service_seconds_count", 'route="/N"')
    if loops <= 0 or served <= 0:
        raise LessonError(f"No hash was made in {seconds:g} s: the log of worker says what it waits for.")

    def step(name, per=None):
        """Seconds for each attempt at that step, or for each `per`."""
        attempts = worker.of("dockercoins_step_duration_seconds_count", f'step="{name}"')
        return worker.of("dockercoins_step_duration_seconds_sum", f'step="{name}"') / (per or max(1.0, attempts))

    servers = len(after[1])
    return Explanation(
        workers=len(after[0]), servers=servers,
        # Not by the loops of each worker, of which there are too few to count them to the loop.
        speed=rng.per_second("http_request_service_seconds_count", 'route="/N"'),
        work=step("work"), rng=step("rng"), hasher=step("hasher"), redis=step("redis", per=loops),
        line=rng.of("http_request_queue_seconds_sum") / max(1.0, rng.of("http_request_queue_seconds_count")),
        service=rng.of("http_request_service_seconds_sum", 'route="/N"') / served,
        utilisation=rng.per_second("http_request_service_seconds_sum") / servers)
