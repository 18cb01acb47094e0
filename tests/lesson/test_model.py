"""The model's numbers, compared with a simulation that does not use its formulas."""

import heapq
import random
import statistics

import pytest

from lesson_parts.model import Delays, LessonError, Prediction, predict, queue_speed


def simulate(workers, delays, seconds=400.0, look_every=0.0137):
    """(loops per second, mean work in rng's queue) of workers that use rng, then hasher, then do their own work."""
    arrivals = [random.uniform(0, 1) for _ in range(workers)]
    heapq.heapify(arrivals)
    rng_free = 0.0
    loops = 0
    queue = []  # the work in it, every `look_every` seconds
    while (now := arrivals[0]) < seconds:
        while look_every * len(queue) < now:
            queue.append(max(0.0, rng_free - look_every * len(queue)))
        rng_free = max(rng_free, now) + delays.rng
        loops += rng_free < seconds
        heapq.heapreplace(arrivals, rng_free + delays.hasher + delays.worker)
    return loops / seconds, statistics.fmean(queue)


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 10, 25])
@pytest.mark.parametrize("delays", [Delays(), Delays(worker=0.2), Delays(rng=0.05), Delays(rng=0.3, hasher=0.01)],
                         ids=str)
def test_speed_and_time_at_rng_are_those_of_a_simulated_queue(workers, delays):
    speed, queue = simulate(workers, delays)
    predicted = predict(workers, delays)
    assert predicted.speed == pytest.approx(speed, rel=0.01)
    assert predicted.rng == pytest.approx(queue, rel=0.02, abs=0.001)


@pytest.mark.parametrize("workers, delays, speed, rng, saturated", [
    (1, Delays(), 10 / 3, 1 / 60, False), (2, Delays(), 20 / 3, 1 / 30, False), (3, Delays(), 10, 0.05, True),
    (10, Delays(), 10, 0.75, True), (0, Delays(), 0, 0, False), (50, Delays(0.1, 0.0, 0.1), 250, 0, False),
    (1, Delays(0.0, 0.1, 0.0), 10, 0.05, True), (1, Delays(0.3, 0.1, 0.0), 2.5, 0.0125, False)])
def test_the_numbers_of_the_lesson(workers, delays, speed, rng, saturated):
    assert predict(workers, delays) == Prediction(pytest.approx(speed), pytest.approx(rng), 0.0, saturated)


def test_without_any_delay_there_is_nothing_to_predict():
    with pytest.raises(LessonError, match="^With DELAY_MS=0 for all services .*no lesson.$"):
        predict(1, Delays(0, 0, 0))


@pytest.mark.parametrize("workers, servers, speed", [(1, 1, 10 / 3), (10, 1, 10), (10, 2, 18.5), (10, 3, 23.9),
                                                     (20, 2, 19.4), (6, 2, 16.2), (1, 2, 10 / 3)])
def test_several_rng_do_not_multiply_the_speed_by_their_number(workers, servers, speed):
    found = queue_speed(workers, servers, 0.1, 0.2)
    assert found == pytest.approx(speed, rel=0.02)
    assert found == queue_speed(workers, servers, 0.1, 0.2), "the simulation is repeatable"
