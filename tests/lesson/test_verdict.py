"""What is said about the steps: the sentence must name the step and what the difference usually means."""

import pytest

from lesson import Delays, Step, verdict


def step(workers, speed=1.0, rng=0.0, hasher=0.001, delays=Delays()):
    """A step whose speed is that many times the predicted one, and whose rng takes so much longer."""
    ideal = Step(workers, delays, 0.0, 0.0, 0.0).predicted
    return Step(workers, delays, speed and ideal.speed * speed, ideal.rng + rng, hasher)


def test_it_holds():
    holds, sentence = verdict([step(1, 0.99), step(2), step(3), step(10, 0.997)], servers=1)
    assert holds
    assert sentence == ("The lesson holds: 1, 2, 3 and 10 workers give 3.30, 6.67, 10.00 and 9.97 hashes/s, "
                        "and from 3 workers on rng is the limit.")


def test_it_holds_for_one_step():
    assert verdict([step(1)], 1) == (
        True, "The lesson holds: 1 worker gives 3.33 hashes/s, and rng is not yet the limit.")


@pytest.mark.parametrize("steps, servers, at, meaning", [
    ([step(1), step(3), step(10, 3.33, rng=-0.7)], 1, "10 workers (33.30 hashes/s instead of 10.00",
     "answers in parallel"),
    ([step(1), step(10, 2.0, rng=-0.6)], 2, "10 workers", "2 rng share the work"),
    ([step(1, 2.0), step(2, 1.5), step(3), step(10, rng=0.1)], 1, "1 worker (6.67",
     "that is the speed of 2 workers, so an old worker is still there"),
    ([step(10, rng=0.2)], 1, "10 workers",
     "the line at rng is that of 12 workers, so an old worker is still there"),
    ([step(1, 0.9), step(10, 0.7)], 1, "10 workers (7.00 hashes/s instead of 10.00", "too few CPUs"),
    ([step(1, 0.9), step(10, 0.98)], 1, "1 worker (3.00", "too few CPUs"),
    ([step(1), step(3, 0.8, hasher=0.09)], 1, "3 workers", "hasher is slow to answer"),
    ([step(1, None)], 1, "1 worker (the counter does not move", "the worker's log"),
    ([step(1), step(10, rng=-0.7)], 1, "10 workers", "overtakes rng's line"),
    ([step(1, rng=0.3)], 1, "1 worker", "rng is slow to answer"),
])
def test_it_does_not_hold_and_says_where_and_why(steps, servers, at, meaning):
    holds, sentence = verdict(steps, servers)
    assert not holds
    assert sentence.startswith(f"The lesson does not hold with {at}")
    assert meaning in sentence
    assert sentence.count(". ") == 0 and sentence.endswith(".")


@pytest.mark.parametrize("wrong", [dict(speed=1.06), dict(speed=0.94), dict(rng=0.07), dict(rng=-0.07),
                                   dict(hasher=0.03)])
def test_each_kind_of_difference_counts(wrong):
    assert step(10).differences() == []
    assert len(step(10, **wrong).differences()) == 1


def test_a_laptops_network_is_forgiven():
    assert step(10, speed=0.96, rng=0.02, hasher=0.008).differences() == []
