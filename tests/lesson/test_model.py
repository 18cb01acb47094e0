"""The model's numbers: a formula for one queue, a simulation for several."""

import pytest

from lesson_parts.model import Delays, LessonError, Prediction, Rngs, predict, simulate


@pytest.mark.parametrize("workers", [1, 2, 3, 4, 5, 10, 25])
@pytest.mark.parametrize("delays", [Delays(), Delays(worker=0.2), Delays(rng=0.05), Delays(rng=0.3, hasher=0.01)],
                         ids=str)
def test_the_formula_says_what_a_simulation_shows(workers, delays):
    predicted = predict(workers, delays)
    assert (pytest.approx(predicted.speed, rel=0.01), pytest.approx(predicted.rng, rel=0.02, abs=0.002)) == simulate(
        workers, Rngs(), delays.rng, delays.worker + delays.hasher)


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


@pytest.mark.parametrize("workers, rngs, speed, rng", [
    (10, Rngs(1, 2), 20, 0.237), (10, Rngs(1, 3), 30, 0.05), (10, Rngs(1, 4), 33.3, 0.009),
    (50, Rngs(1, 4), 40, 0.956), (10, Rngs(2), 18.5, 0.268), (10, Rngs(3), 24.2, 0.131), (10, Rngs(2, 2), 30.7, 0.04),
    (20, Rngs(2), 19.4, 0.745), (1, Rngs(2), 3.33, 0.0083)], ids=str)
def test_one_queue_for_all_is_faster_than_a_queue_for_each_rng(workers, rngs, speed, rng):
    """The numbers are those of queues that advanced by a millisecond, with workers that chose at random."""
    predicted = predict(workers, Delays(), rngs)
    assert predicted.speed == pytest.approx(speed, rel=0.005)
    assert predicted.rng == pytest.approx(rng, rel=0.02, abs=0.002)
    assert predicted.saturated == (rngs.replicas == 1 and workers >= 3 * rngs.concurrency)
