"""Speed and graph from readings of a counter whose true speed is known."""

import random

import pytest

import lesson
from lesson import Reading, graph, speed


def readings_of(workers, seconds, every=1.2, loops=4, poll=0.03, phases=None):
    """What one reads of a counter that each worker raises by `loops` every so often, at its own phase."""
    phases = phases or [random.uniform(0, every) for _ in range(workers)]
    now = 1700000000.0 + random.uniform(0, 1)
    end = now + seconds
    readings = []
    while now < end:
        hashes = sum(loops * int((now - phase) / every) for phase in phases)
        readings.append(Reading(round(now, 3), hashes))
        now += poll * random.uniform(0.8, 1.5)
    return readings


@pytest.mark.parametrize("workers, every, loops",
                         [(1, 1.2, 4), (2, 1.2, 4), (3, 1.2, 4), (10, 1.0, 1), (7, 1.4, 2)])
@pytest.mark.parametrize("seconds", [20, 30])
def test_speed_is_right_within_half_a_percent_whatever_the_workers_phases(workers, every, loops, seconds):
    for _ in range(50):
        measured = speed(readings_of(workers, seconds, every, loops), workers)
        assert measured == pytest.approx(workers * loops / every, rel=0.005)


def test_speed_is_exact_where_the_readings_are():
    for workers in (1, 2, 3, 5):
        phases = [worker * 0.17 for worker in range(workers)]
        readings = readings_of(workers, 21.3, poll=0.001, phases=phases)
        assert speed(readings, workers) == pytest.approx(workers * 4 / 1.2, rel=0.001)


def test_speed_does_not_depend_on_where_the_window_falls():
    """A fixed window over a counter that moves by 4 every 1.2 s would be off by up to 4 loops of 67."""
    for seconds in (19.0, 19.3, 19.6, 19.9, 20.2):
        assert speed(readings_of(1, seconds), 1) == pytest.approx(10 / 3, rel=0.005)


def test_speed_holds_when_workers_report_at_the_same_moment():
    readings = readings_of(3, 20, phases=[0.1, 0.1, 0.7])
    assert speed(readings, 3) == pytest.approx(10, rel=0.005)


def test_a_counter_that_hardly_moves_has_no_speed():
    assert speed([], 1) is None
    assert speed([Reading(1.0, 5)], 1) is None
    assert speed([Reading(1.0, 5), Reading(2.0, 5), Reading(3.0, 5)], 1) is None
    assert speed([Reading(1.0, 5), Reading(2.0, 9), Reading(3.0, 9)], 1) is None


def test_two_reports_are_enough():
    assert speed([Reading(1.0, 0), Reading(2.0, 4), Reading(3.2, 8)], 1) == pytest.approx(4 / 1.2)


def test_containers_that_disagree_on_their_delay_are_named():
    assert lesson.same_delay("worker", [{"DELAY_MS": "400"}, {"DELAY_MS": "400"}]) == 0.4
    assert lesson.same_delay("worker", [{}, {"DELAY_MS": "100"}]) == 0.1
    assert lesson.same_delay("worker", []) == 0.1
    with pytest.raises(lesson.LessonError, match="worker runs with DELAY_MS=100 and 400 side by side"):
        lesson.same_delay("worker", [{"DELAY_MS": "400"}, {}])


def test_one_workers_graph_goes_up_and_down_between_4_and_0():
    drawn = graph(readings_of(1, 8, phases=[0.05]))
    assert len(drawn) == 6
    assert set(drawn) == {4, 0}
    assert drawn.count(0) == 1


def test_ten_workers_graph_is_flat_at_10():
    phases = [0.05 + 0.1 * worker for worker in range(10)]
    drawn = graph(readings_of(10, 8, every=1.0, loops=1, phases=phases))
    assert all(9 <= value <= 11 for value in drawn) and len(drawn) == 6


def test_the_graph_of_few_readings_is_short_and_of_none_empty():
    assert graph([]) == []
    assert graph(readings_of(1, 2.5)) in ([4, 4], [4, 0], [0, 4])
