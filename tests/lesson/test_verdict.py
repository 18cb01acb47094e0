"""The verdict: its sentence names the step that differs and the usual cause."""

import pytest

from lesson_parts import words
from lesson_parts.measuring import Step
from lesson_parts.model import Delays, Rngs
from lesson_parts.words import verdict


def step(workers, speed=1.0, rng=0.0, hasher=0.001, delays=Delays(), rngs=Rngs()):
    """A step with `speed` times the predicted speed, whose rng takes `rng` seconds more than predicted."""
    ideal = Step(workers, delays, 0.0, 0.0, 0.0, rngs=rngs).predicted
    return Step(workers, delays, speed and ideal.speed * speed, ideal.rng + rng, hasher, rngs=rngs)


@pytest.mark.parametrize("steps, sentence", [
    ([step(1, 0.99), step(2), step(3), step(10, 0.997)],
     "1, 2, 3 and 10 workers give 3.30, 6.67, 10.00 and 9.97 hashes/s, and from 3 workers on rng is the bottleneck."),
    ([step(1)], "1 worker gives 3.33 hashes/s, and rng is not yet the bottleneck."),
    ([step(1, delays=Delays(0.0, 0.1, 0.0))],
     "1 worker gives 10.00 hashes/s, and from 1 worker on rng is the bottleneck.")])
def test_it_holds(steps, sentence):
    assert verdict(steps) == (True, f"The lesson holds: {sentence}")


@pytest.mark.parametrize("steps, sentence", [
    ([step(1), step(10, 0.92, rng=0.5, rngs=Rngs(2))],
     "2 rng: 1 and 10 workers give 3.33 and 17.00 hashes/s, and rng is not yet the bottleneck."),
    ([step(10, rngs=Rngs(1, 3))],
     "1 rng with CONCURRENCY=3: 10 workers give 30.00 hashes/s, and from 10 workers on rng is the bottleneck.")])
def test_it_is_as_predicted_with_other_rng(steps, sentence):
    assert verdict(steps) == (True, f"As predicted with {sentence}")


OLD = "so an old worker is still running"
BUSY = "this machine has too few CPUs, or something else is using them"


@pytest.mark.parametrize("steps, where, why", [
    ([step(2, 1.6)], "2 workers (10.67 hashes/s instead of 6.67; speed +60%)",
     "rng serves requests in parallel, and the lesson needs one at a time (or several rng share the name)"),
    ([step(10, 1.2, rngs=Rngs(1, 2))],
     "10 workers (24.00 hashes/s instead of 20.00; speed +20%)", "more than 1 rng with CONCURRENCY=2 share the work"),
    ([step(3), step(20, 2.0, rngs=Rngs(2))],
     "20 workers (38.74 hashes/s instead of 19.37; speed +100%)", "more than 2 rng share the work"),
    ([step(10, 1.12, rngs=Rngs(2))], "10 workers (20.70 hashes/s instead of 18.48; speed +12%)",
     "requests go to the rng in turn, not at random, as with kube-proxy in IPVS mode"),
    ([step(10, rng=0.1, rngs=Rngs(1, 2))], "10 workers (20.00 hashes/s instead of 20.00; rng +100 ms)",
     f"rng's queue is as long as with 12 workers, {OLD}"),
    ([step(1, 2.0), step(2, 1.5), step(3), step(10, rng=0.1)],
     "1 worker (6.67 hashes/s instead of 3.33; speed +100%)", f"that is the speed of 2 workers, {OLD}"),
    ([step(1, 1.06)], "1 worker (3.53 hashes/s instead of 3.33; speed +6%)", f"that is the speed of 2 workers, {OLD}"),
    ([step(1, 2.9)], "1 worker (9.67 hashes/s instead of 3.33; speed +190%)", f"that is the speed of 3 workers, {OLD}"),
    ([step(10, rng=0.13, delays=Delays(rng=0.2))],
     "10 workers (5.00 hashes/s instead of 5.00; rng +130 ms)", f"rng's queue is as long as with 11 workers, {OLD}"),
    ([step(1, 0.9), step(10, 0.7)], "10 workers (7.00 hashes/s instead of 10.00; speed -30%)", BUSY),
    ([step(3, 0.8, hasher=0.0225)], "3 workers (8.00 hashes/s instead of 10.00; speed -20%, hasher +22 ms)", BUSY),
    ([step(3, 0.8, hasher=0.022, delays=Delays(0.2, 0.1, 0.04))],
     "3 workers (7.06 hashes/s instead of 8.82; speed -20%, hasher +22 ms)",
     "hasher is slow: this machine has too few CPUs (or hasher serves one request at a time)"),
    ([step(1, None), step(2, 0.2)], "1 worker (the counter does not move)",
     "no worker completes a loop; the worker's log says what it waits for"),
    ([step(1), step(10, rng=-0.7)], "10 workers (10.00 hashes/s instead of 10.00; rng -700 ms)",
     "GET / does not wait in rng's queue, so httping would not show the bottleneck"),
    ([step(1, rng=0.3)], "1 worker (3.33 hashes/s instead of 3.33; rng +300 ms)",
     "rng is slow: this machine has too few CPUs, or something else sends requests to rng"),
    ([step(2, delays=Delays(0.5, 0.3, 0.1), rng=-0.2)],
     "2 workers (2.22 hashes/s instead of 2.22; rng -200 ms)", "rng answers faster than its DELAY_MS allows")])
def test_it_does_not_hold_and_says_where_and_why(steps, where, why):
    assert verdict(steps) == (False, f"The lesson does not hold with {where}: {why}.")


@pytest.mark.parametrize("measured, differences", [
    ({"speed": 0.96, "rng": 0.059, "hasher": 0.019}, []),  # a laptop's network may add this
    ({"speed": 1.04, "rng": -0.059}, []), ({"speed": 1.06}, ["speed +6%"]), ({"speed": 0.94}, ["speed -6%"]),
    ({"rng": 0.061}, ["rng +61 ms"]), ({"rng": -0.061}, ["rng -61 ms"]), ({"hasher": 0.021}, ["hasher +21 ms"])])
def test_each_kind_of_difference_counts(measured, differences):
    assert words.differences(step(10, **measured)) == differences
