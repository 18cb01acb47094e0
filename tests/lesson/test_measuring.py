"""Speed of a counter whose speed is known, and how the counter is read."""

import random
import statistics
import time

import pytest

from fakes import HANG, FakeHttp, http_answer
from lesson_parts import measuring
from lesson_parts.measuring import Reading, counter_rate
from lesson_parts.model import LessonError


def readings_of(seconds, every, loops, phases):
    """Readings of a counter that each worker raises by `loops` every `every` seconds, at its own phase."""
    now, readings = 1700000000.0 + random.uniform(0, 1), []
    end = now + seconds
    while now < end:
        readings.append(Reading(round(now, 3), sum(loops * int((now - phase) / every) for phase in phases)))
        now += 0.03 * random.uniform(0.8, 1.5)
    return readings


@pytest.mark.parametrize("workers, every, loops", [(1, 1.2, 4), (2, 1.2, 4), (3, 1.2, 4), (10, 1.0, 1), (7, 1.4, 2)])
def test_speed_is_right_within_half_a_percent_whatever_the_workers_phases(workers, every, loops):
    for seconds in [*range(19, 31), 19.3, 19.6, 19.9] * 3:  # wherever the window falls
        readings = readings_of(seconds, every, loops, [random.uniform(0, every) for _ in range(workers)])
        assert counter_rate(readings, workers) == pytest.approx(workers * loops / every, rel=0.005)


@pytest.mark.parametrize("workers, readings, expected", [
    (1, [], None), (1, [(1, 5)], None), (1, [(1, 5), (2, 5), (3, 5)], None), (1, [(1, 5), (2, 9), (3, 9)], None),
    (1, [(1, 0), (2, 4), (3.2, 8)], 4 / 1.2), (3, [(1, 0), (2, 4), (3.2, 8)], 5),
    (1, [(1, 0), (2, 1), (2, 2)], None), (1, [(0, 0), (1, 2), (2, 4), (4, 5), (5, 9), (7, 11)], 1.5)])
def test_speed_of_few_readings(workers, readings, expected):
    assert counter_rate([Reading(*each) for each in readings], workers) == (expected and pytest.approx(expected))


@pytest.mark.parametrize("status, body, expected", [
    ("200 OK", b'{"coins":1,"hashes":"345","now":1700000000.5}', Reading(1700000000.5, 345)),
    ("200 OK", b'{"coins":0,"hashes":null,"now":1}', Reading(1.0, 0)),
    *(("200 OK", body, "is not DockerCoins' web UI") for body in (b"<html>", b"[]", b"{}")),
    ("503 Service Unavailable", b'{"error":"no Redis"}\n', "does not respond: Service Unavailable$")])
def test_a_reading_is_a_response_of_the_web_ui(status, body, expected):
    with FakeHttp(lambda _: http_answer(body, status)) as server:
        if isinstance(expected, Reading):
            assert measuring.read_counter(server.url + "/") == expected
        else:
            with pytest.raises(LessonError, match=expected):
                measuring.read_counter(server.url)
    assert [request.line for request in server.requests] == ["GET /json HTTP/1.1"]


def test_the_counter_is_read_some_thirty_times_a_second(monkeypatch, clock):
    """A web UI may be away for up to 5 s."""
    away = set()  # whole seconds

    def read(_url):
        if int(clock[0]) in away:
            raise LessonError("gone")
        return Reading(clock[0], int(clock[0] * 10))

    monkeypatch.setattr(measuring, "read_counter", read)
    assert len(measuring.read_counter_for("http://x", 3)) == pytest.approx(100, abs=1)
    away.update(range(105, 109))
    assert 160 < len(measuring.read_counter_for("http://x", 10)) < 270 and clock[0] == pytest.approx(113, abs=0.1)
    away.update(range(115, 125))
    with pytest.raises(LessonError, match="^gone$"):
        measuring.read_counter_for("http://x", 15)
    assert clock[0] == pytest.approx(120, abs=0.1)
    monkeypatch.setattr(measuring, "read_counter", lambda _url: Reading(clock[0], int(200 - clock[0])))
    with pytest.raises(LessonError, match="^The counter went backwards: Redis was restarted or emptied. Try again.$"):
        measuring.read_counter_for("http://x", 5)


def test_a_prober_sends_requests_at_random_moments_and_averages():
    with FakeHttp(lambda _: [0.05, http_answer(b"")]) as server:
        prober, asked = measuring.Prober(server.url), []
        time.sleep(2)
        assert 0.05 <= prober.seconds(5) < 2
        assert prober.seconds(5, lambda times: asked.extend(times) or 7) == 7
        assert 2 <= len(asked) <= 14, "about three per second"
        assert prober.seconds(5) == statistics.fmean(asked), "none after that"


@pytest.mark.parametrize("steps, patience", [([0.3, http_answer(b"no", "500 Internal Server Error")], 5), ([HANG], 0)])
def test_a_prober_without_a_response_says_so(steps, patience):
    with FakeHttp(lambda _: steps) as server:
        prober = measuring.Prober(server.url)
        server.await_requests()
        with pytest.raises(LessonError, match=f"^{server.url} does not respond.$"):
            prober.seconds(patience)
