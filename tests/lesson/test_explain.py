"""scripts/lesson explain: from the services' metrics to a table and a sentence."""

import pytest

import lesson
from lesson_parts import measuring, platforms, words
from lesson_parts.model import Rngs

pytestmark = pytest.mark.usefixtures("clock")


@pytest.mark.parametrize("workers, rngs, speed, queue, busy, limits, one_more_worker, one_more_rng, one_queue", [
    (1, Rngs(), 10 / 3, 0.0, 33, False, 6.7, 3.3, "1 rng with CONCURRENCY=2 3.3"),
    (3, Rngs(), 10, 0.0, 100, True, 10.0, 10.0, "1 rng with CONCURRENCY=2 10.0"),
    (10, Rngs(), 10.2, 0.7, 100, True, 10.0, 18.5, "1 rng with CONCURRENCY=2 20.0"),
    (10, Rngs(1, 2), 20, 0.2, 100, True, 20.0, 30.8, "1 rng with CONCURRENCY=4 33.3"),
    (10, Rngs(1, 4), 33.3, 0.0, 83, False, 36.7, 33.3, "1 rng with CONCURRENCY=8 33.3"),
    (10, Rngs(3), 24.2, 0.11, 81, False, 25.1, 27.3, "1 rng with CONCURRENCY=3 30.0")])
def test_it_says_what_would_help(workers, rngs, speed, queue, busy, limits, one_more_worker, one_more_rng, one_queue):
    text = words.explanation(measuring.Explanation(
        workers=workers, rngs=rngs, speed=speed, work=0.1, rng=queue + 0.1, hasher=0.1, redis=0.0, queue=queue,
        service=0.1, utilisation=speed * 0.1 / rngs.at_a_time))
    assert text.endswith(f"""
{speed:.2f} hashes/s. rng is busy {busy}% of the time: it is {'the bottleneck' if limits else 'not the bottleneck yet'}.
One more worker would give {one_more_worker} hashes/s, one more rng {one_more_rng}, and {one_queue}.""")


class Measured(platforms.Platform):
    """Containers whose metrics are the given texts, in turn."""

    def __init__(self, **texts):
        super().__init__()
        self.texts, self.rng_variables = texts, {}

    def environments(self, service):
        return {"rng": [self.rng_variables]}[service]

    def containers(self, service):
        return [name for name, texts in self.texts[service].items() if texts]

    def metrics(self, service, container):
        return self.texts[service][container].pop(0)

    def explained(self, *words):
        """The exit status."""
        return lesson.main(["explain", *words], platform=lambda _options: self)


def worker(loops, work, rng, hasher, redis):
    """Metrics of a worker whose steps took that many seconds in all, with one Redis update per two loops."""
    steps = {"work": (work, loops), "rng": (rng, loops), "hasher": (hasher, loops), "redis": (redis, loops // 2)}
    time = "dockercoins_step_duration_seconds"
    return f"# HELP dockercoins_loops_total Loops.\n\ndockercoins_loops_total {loops}\n" + "".join(
        f'{time}_sum{{step="{step}"}} {seconds}\n{time}_count{{step="{step}"}} {count}\n'
        for step, (seconds, count) in steps.items())


def rng(served, service, waited, queue):
    """Metrics of an rng: `served` GET /N took `service` seconds; `waited` requests, GET / included, waited `queue`."""
    time = "http_request_service_seconds"
    return (f'{time}_count{{route="/N"}} {served}\n{time}_count{{route="/"}} 7\n'
            f'{time}_sum{{route="/N"}} {service}\n{time}_sum{{route="/"}} 0.5\n'
            f"http_request_queue_seconds_count {waited}\nhttp_request_queue_seconds_sum {queue}\n")


@pytest.mark.parametrize("variables, rngs, busy, more, one_queue", [
    ({}, "2 rng", 15, 10.8, 2), ({"CONCURRENCY": "3"}, "2 rng with CONCURRENCY=3", 5, 11.0, 6)])
def test_the_command_shows_a_table_and_the_sentence(capsys, variables, rngs, busy, more, one_queue):
    """Over all containers; one that has gone meanwhile does not count."""
    measured = Measured(
        worker={"a": [worker(10, 1, 2, 3, 0), worker(40, 4, 8, 6.6, 0.06)], "gone": [worker(7, 9, 9, 9, 9)],
                "b": [worker(0, 0, 0, 0, 0), worker(30, 3, 6, 3.6, 0.06)], "idle": [worker(0, 0, 0, 0, 0)] * 2},
        rng={"c": [rng(5, 0.5, 5, 0), rng(45, 4.5, 55, 3.2)], "d": [rng(0, 0, 0, 0), rng(20, 2, 20, 1)]})
    measured.rng_variables = variables
    assert measured.explained() == 0
    assert capsys.readouterr() == (f"""\
Time per hash, with 3 workers and {rngs}:

                          ms
work                   100.0     24%
rng                    200.0     47%
  in the queue          60.0     14%
  in service           100.0     24%
  network               40.0      9%
hasher                 120.0     28%
Redis                    2.0      0%
one hash               422.0    100%

3.00 hashes/s. rng is busy {busy}% of the time: it is not the bottleneck yet.
One more worker would give {more} hashes/s, one more rng 8.3, and 1 rng with CONCURRENCY={one_queue} 8.3.
""", "")


@pytest.mark.parametrize("workers, rngs", [([""] * 2, [""] * 2), ([""], [""] * 2), ([""] * 2, []), (
    ["dockercoins_loops_total 1", "dockercoins_loops_total 2"], [""] * 2)])
def test_nothing_to_measure_is_one_clear_line(capsys, workers, rngs):
    assert Measured(worker={"a": workers}, rng={"c": rngs}).explained("--seconds", "5") == 2
    assert capsys.readouterr() == ("", "lesson: No hash was made in 5 s; the worker's log says what it waits for.\n")


def test_one_hash_is_enough(capsys):
    assert Measured(worker={"a": [worker(0, 0, 0, 0, 0), worker(1, 0.1, 0.1, 0.1, 0)]},
                    rng={"c": [rng(0, 0, 0, 0), rng(1, 0.1, 1, 0)]}).explained() == 0
    assert "one hash               300.0    100%" in capsys.readouterr().out
