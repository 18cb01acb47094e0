"""The model's numbers against a simulation that knows nothing of its formulas."""

import heapq
import random

import pytest

import lesson
from lesson import Delays, predict


def simulate(workers, delays, seconds=400.0):
    """(loops per second, mean work in rng's line) of workers that go from rng to hasher to their work."""
    rng_free = 0.0
    arrivals = [(random.uniform(0, 1), worker) for worker in range(workers)]
    heapq.heapify(arrivals)
    loops = 0
    line = 0.0  # the integral of the work in the line
    before = 0.0
    while True:
        now, worker = heapq.heappop(arrivals)
        # What was in the line has shrunk since the last arrival, perhaps to nothing.
        work = max(0.0, rng_free - before)
        left = max(0.0, work - (now - before))
        line += (work * work - left * left) / 2
        before = now
        if now > seconds:
            return loops / seconds, line / seconds
        rng_free = max(rng_free, now) + delays.rng
        loops += rng_free < seconds
        heapq.heappush(arrivals, (rng_free + delays.hasher + delays.worker, worker))


@pytest.mark.parametrize("delays",
                         [Delays(), Delays(worker=0.2), Delays(rng=0.05), Delays(rng=0.3, hasher=0.01)],
                         ids=["the usual", "a slower worker", "a faster rng", "a slow rng"])
@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 10, 25])
def test_speed_and_time_at_rng_are_those_of_a_simulated_queue(workers, delays):
    speed, line = simulate(workers, delays)
    predicted = predict(workers, delays)
    assert predicted.speed == pytest.approx(speed, rel=0.01)
    assert predicted.rng == pytest.approx(line, rel=0.02, abs=0.001)


@pytest.mark.parametrize("workers, speed, rng",
                         [(1, 10 / 3, 1 / 60), (2, 20 / 3, 1 / 30), (3, 10, 0.05), (10, 10, 0.75)])
def test_the_usual_delays_give_the_numbers_of_the_lesson(workers, speed, rng):
    predicted = predict(workers, Delays())
    assert predicted.speed == pytest.approx(speed)
    assert predicted.rng == pytest.approx(rng)
    assert predicted.saturated == (workers >= 3)


def test_without_delay_at_rng_the_workers_never_wait():
    predicted = predict(50, Delays(worker=0.1, rng=0.0, hasher=0.1))
    assert (predicted.speed, predicted.rng, predicted.saturated) == (pytest.approx(250), 0, False)


def test_without_any_delay_there_is_nothing_to_predict():
    with pytest.raises(lesson.LessonError, match="DELAY_MS=0"):
        predict(1, Delays(0, 0, 0))
