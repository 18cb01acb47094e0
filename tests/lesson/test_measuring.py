"""Speed and graph from readings of a counter whose true speed is known, and how the readings are made."""

import contextlib
import http.server
import random
import statistics
import threading
import time

import pytest

import lesson
from lesson import LessonError, Reading, graph, speed


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
def test_speed_is_right_within_half_a_percent_whatever_the_workers_phases(workers, every, loops):
    for seconds in [*range(19, 31), 19.3, 19.6, 19.9]:  # it does not matter where the window falls
        for _ in range(3):
            measured = speed(readings_of(workers, seconds, every, loops), workers)
            assert measured == pytest.approx(workers * loops / every, rel=0.005)


def test_speed_is_exact_where_the_readings_are():
    for workers in (1, 2, 3, 5):
        readings = readings_of(workers, 21.3, poll=0.001, phases=[worker * 0.17 for worker in range(workers)])
        assert speed(readings, workers) == pytest.approx(workers * 4 / 1.2, rel=0.001)
    assert speed(readings_of(3, 20, phases=[0.1, 0.1, 0.7]), 3) == pytest.approx(10, rel=0.005), "at the same moment"


@pytest.mark.parametrize("workers, readings, expected", [
    (1, [], None), (1, [(1, 5)], None), (1, [(1, 5), (2, 5), (3, 5)], None), (1, [(1, 5), (2, 9), (3, 9)], None),
    (1, [(1, 0), (2, 4), (3.2, 8)], 4 / 1.2), (3, [(1, 0), (2, 4), (3.2, 8)], 5),
    (1, [(1, 0), (2, 1), (2, 2)], None), (1, [(0, 0), (1, 2), (2, 4), (4, 5), (5, 9), (7, 11)], 1.5)])
def test_speed_of_few_readings(workers, readings, expected):
    assert speed([Reading(*each) for each in readings], workers) == (expected and pytest.approx(expected))


def test_the_graph_is_what_a_browser_draws():
    drawn = graph(readings_of(1, 8, phases=[0.05]))
    assert len(drawn) == 6 and set(drawn) == {4, 0} and drawn.count(0) == 1
    drawn = graph(readings_of(10, 8, every=1.0, loops=1, phases=[0.05 + 0.1 * worker for worker in range(10)]))
    assert len(drawn) == 6 and all(9 <= value <= 11 for value in drawn)
    assert graph([]) == []
    assert graph([Reading(5.0, 7)]) == []
    readings = [Reading(5.0, 7), Reading(5.9, 8), Reading(6.02, 12), Reading(6.98, 13), Reading(7.1, 20)]
    assert graph(readings) == [round(5 / 1.02), round(1 / 0.96)]
    assert graph(readings[:3], values=1) == [5]
    assert graph([Reading(5.0, 7), Reading(6.9, 8), Reading(8.0, 9)]) == [1], "none in between"


@pytest.mark.parametrize("environments, delay", [([{"DELAY_MS": "400"}, {"DELAY_MS": "400"}], 0.4), ([], 0.1),
                                                 ([{}, {"DELAY_MS": "100"}, {"DELAY_MS": ""}], 0.1)])
def test_the_delay_is_that_of_all_containers(environments, delay):
    assert lesson.same_delay("worker", environments) == delay


def test_containers_that_disagree_on_their_delay_are_named():
    with pytest.raises(LessonError) as error:
        lesson.same_delay("worker", [{"DELAY_MS": "400"}, {}])
    assert str(error.value) == ("worker runs with DELAY_MS=100 and 400 side by side: was the application started with "
                                "other files (-f), or with another TAG?")


# ------------------------------------------------------------------------------------------ from a server


@contextlib.contextmanager
def server(answer):
    """A web server's URL, where answer(path) is (status, body)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            status, body = answer(self.path)
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{listener.server_port}"
        listener.shutdown()


@pytest.mark.parametrize("status, body, expected", [
    (200, b'{"coins":1,"hashes":"345","now":1700000000.5}', Reading(1700000000.5, 345)),
    (200, b'{"coins":0,"hashes":null,"now":1}', Reading(1.0, 0)),
    (200, b"<html>", r"not the answer of a DockerCoins web UI \(JSONDecodeError"),
    (200, b"[]", "not the answer of a DockerCoins web UI"), (200, b"{}", r"not the answer .* \(KeyError\('now'\)\)"),
    (503, b'{"error":"no Redis"}\n', r'^status 503 Service Unavailable: {"error":"no Redis"}$'),
    (404, b"", "^status 404 Not Found$")])
def test_a_reading_is_an_answer_of_the_web_ui(status, body, expected):
    asked = []
    with server(lambda path: asked.append(path) or (status, body)) as url:
        if isinstance(expected, Reading):
            assert lesson.read_counter(url + "/") == expected
        else:
            with pytest.raises(OSError, match=expected):
                lesson.read_counter(url)
    assert asked == ["/json"]


def test_the_counter_is_read_some_thirty_times_a_second(monkeypatch, clock):
    """A web UI that is away for up to 5 s is forgiven."""
    away = set()  # whole seconds

    def read(_url):
        if int(clock[0]) in away:
            raise OSError("gone")
        return Reading(clock[0], int(clock[0] * 10))

    monkeypatch.setattr(lesson, "read_counter", read)
    shown = []

    def take(seconds):
        return lesson.read_counter_for("http://x", seconds, lambda *now: shown.append(now[0]))

    assert len(take(3)) == len(shown) == pytest.approx(100, abs=1) and shown[1] == pytest.approx(0.03)
    away.update(range(105, 109))
    assert 160 < len(take(10)) < 270 and clock[0] == pytest.approx(113, abs=0.1)
    away.update(range(115, 125))
    with pytest.raises(LessonError, match="^The web UI at http://x stopped answering: gone$"):
        take(15)
    assert clock[0] == pytest.approx(120, abs=0.1)
    away.clear()
    monkeypatch.setattr(lesson, "read_counter", lambda _url: Reading(clock[0], int(200 - clock[0])))
    with pytest.raises(LessonError, match="^The counter went backwards: Redis was emptied meanwhile. Try again.$"):
        take(5)


def test_a_prober_asks_at_random_moments_and_averages():
    def answer(_path):
        time.sleep(0.05)
        return 200, b""

    with server(answer) as url, lesson.Prober(url) as prober:
        time.sleep(2)
        asked = []
        assert 0.05 <= prober.seconds(5) < 2
        assert prober.seconds(5, lambda times: asked.extend(times) or 7) == 7
        assert 2 <= len(asked) <= 14, "some three a second"
        assert prober.seconds(5) == statistics.fmean(asked), "none after that"


@pytest.mark.parametrize("status, patience, reason", [
    (500, 5, "status 500 Internal Server Error: no"), (200, 0, "no answer")])
def test_a_prober_without_an_answer_says_why(status, patience, reason):
    blocked = threading.Event()

    def answer(_path):
        blocked.wait(0 if patience else 10)
        return status, b"no"

    with server(answer) as url, lesson.Prober(url) as prober:
        time.sleep(1)
        with pytest.raises(LessonError) as error:
            prober.seconds(patience)
        blocked.set()
    assert str(error.value) == f"{url} gave no time to measure: {reason}"
