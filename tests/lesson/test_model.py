"""The model's numbers, compared with a simulation that does not use its formulas."""

import collections
import random
import statistics

import pytest

from lesson_parts.model import Delays, LessonError, Prediction, Rngs, predict

WARM_UP, MEASURE, LOOK_EVERY = 5_000, 20_000, 17  # milliseconds


def watch(workers, delays, rngs, starts):
    """(loops per second, average wait at rng of a request without work) of queues that advance by a millisecond."""
    chance = random.Random(2)
    service, think = round(delays.rng * 1000), round((delays.hasher + delays.worker) * 1000)
    loops, waits = 0, []
    for _ in range(starts):
        returning = collections.Counter(chance.randrange(service + think) for _ in range(workers))
        ending = collections.defaultdict(list)  # the rng of each service that ends then
        queues = [collections.deque() for _ in range(rngs.replicas)]  # None for a worker, the time of any other
        idle = [rngs.concurrency] * rngs.replicas
        for now in range(WARM_UP + MEASURE):
            for at in ending.pop(now, ()):
                idle[at] += 1
                returning[now + think] += 1
                loops += now >= WARM_UP
            for _ in range(returning.pop(now, 0)):
                chance.choice(queues).append(None)
            if now >= WARM_UP and now % LOOK_EVERY == 0:
                chance.choice(queues).append(now)
            for at, queue in enumerate(queues):
                while queue and idle[at]:
                    since = queue.popleft()
                    if since is None:
                        idle[at] -= 1
                        ending[now + service].append(at)
                    else:
                        waits.append(now - since)
    return loops / starts / MEASURE * 1000, statistics.fmean(waits) / 1000


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 10, 25])
@pytest.mark.parametrize("delays", [Delays(), Delays(worker=0.2), Delays(rng=0.05), Delays(rng=0.3, hasher=0.01)],
                         ids=str)
def test_speed_and_time_at_rng_are_those_of_a_queue_that_is_watched(workers, delays):
    speed, queue = watch(workers, delays, Rngs(), starts=4)
    predicted = predict(workers, delays)
    assert predicted.speed == pytest.approx(speed, rel=0.01)
    assert predicted.rng == pytest.approx(queue, rel=0.02, abs=0.002)


@pytest.mark.parametrize("workers, delays, speed, rng, saturated", [
    (1, Delays(), 10 / 3, 1 / 60, False), (2, Delays(), 20 / 3, 1 / 30, False), (3, Delays(), 10, 0.05, True),
    (10, Delays(), 10, 0.75, True), (0, Delays(), 0, 0, False), (50, Delays(0.1, 0.0, 0.1), 250, 0, False),
    (1, Delays(0.0, 0.1, 0.0), 10, 0.05, True), (1, Delays(0.3, 0.1, 0.0), 2.5, 0.0125, False)])
def test_the_numbers_of_the_lesson(workers, delays, speed, rng, saturated):
    assert predict(workers, delays) == Prediction(pytest.approx(speed), pytest.approx(rng), saturated)
    if not rng:  # nobody waits, and the number of rng does not matter
        assert predict(workers, delays, Rngs(3, 2)) == Prediction(pytest.approx(speed), 0.0, False)


def test_without_any_delay_there_is_nothing_to_predict():
    with pytest.raises(LessonError, match="^With DELAY_MS=0 for all services .*no lesson.$"):
        predict(1, Delays(0, 0, 0))


@pytest.mark.parametrize("workers, rngs, speed", [
    (10, Rngs(1, 2), 20), (10, Rngs(1, 3), 30), (10, Rngs(1, 4), 33.3), (5, Rngs(1, 2), 16.7), (50, Rngs(1, 4), 40),
    (10, Rngs(2), 18.5), (10, Rngs(3), 24.2), (10, Rngs(4), 27.3), (20, Rngs(2), 19.4), (1, Rngs(2), 3.33),
    (10, Rngs(2, 2), 30.7)], ids=str)
def test_one_queue_for_all_is_faster_than_a_queue_for_each_rng(workers, rngs, speed):
    predicted = predict(workers, Delays(), rngs)
    assert predicted.speed == pytest.approx(speed, rel=0.005)
    assert predicted.saturated == (rngs.replicas == 1 and workers >= 3 * rngs.concurrency)
    watched, waited = watch(workers, Delays(), rngs, starts=20)
    assert predicted.speed == pytest.approx(watched, rel=0.01)
    assert predicted.rng == pytest.approx(waited, rel=0.1, abs=0.003)
