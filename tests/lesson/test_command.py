"""scripts/lesson as a command, with a simulated application and clock: all that it prints."""

import io
import json
import os
import signal
import subprocess

import pytest

import lesson
from harness import eventually
from lesson_parts import measuring, model, platforms
from lesson_parts.words import Screen

SCRIPT = os.path.join(platforms.REPOSITORY, "scripts", "lesson")


class Application(platforms.Platform):
    """An application as fast as predicted, 5 ms away; a platform and its factory."""

    url = "http://the-web-ui"
    where = "somewhere"

    def __init__(self, monkeypatch, clock):
        self.scaled = []
        self.variables = {}
        self._workers = 4
        self._clock = clock
        self._read_at = clock[0]
        self._hashes = 0.0
        monkeypatch.setattr(measuring, "read_counter", self._read)
        monkeypatch.setattr(measuring.Prober, "_run", lambda _: None)
        monkeypatch.setattr(measuring.Prober, "seconds", lambda prober, *how: self._seconds(prober._url, *how))

    def __call__(self, _options):
        return self

    def _predicted(self):
        return model.predict(self._workers, model.Delays(), self.rngs())

    def _read(self, url):
        assert url == self.url
        self._hashes += (self._clock[0] - self._read_at) * self._predicted().speed
        self._read_at = self._clock[0]
        return measuring.Reading(self._read_at, int(self._hashes))

    def _seconds(self, service, patience, *average):
        if service == "hasher":
            assert (patience, average) == (2, (measuring.statistics.median,))
            return 0.0061
        predicted = self._predicted().rng
        assert (service, patience, average) == ("rng", 2 + 3 * predicted, ())
        return predicted + 0.005

    def workers(self):
        return self._workers

    def scale(self, workers):
        self._workers = workers
        self.scaled.append(workers)

    def environments(self, service):
        return [self.variables]

    def address(self, service):
        return service

    def detour(self):
        return 0.005


@pytest.fixture
def application(monkeypatch, clock):
    return Application(monkeypatch, clock)


TABLE = """\
somewhere
Simulated work of worker, rng and hasher: 100, 100 and 100 ms
          hashes/s             rng, ms           hasher ms           graph,
workers  predicted measured  predicted measured  predicted measured  once a second
      1       3.33     3.33         17       17          0      1.1  3 3 4 3 3 4        ok
     10      10.00    10.00        750      750          0      1.1  9 11 10 9 11 10    ok
"""
SENTENCE = ("The lesson holds: 1 and 10 workers give 3.33 and 10.00 hashes/s, and from 10 workers on rng is the "
            "bottleneck.")
NEWS = """\
scaling to 1 worker
1 worker: measuring for 8 s
scaling to 10 workers
10 workers: measuring for 8 s
scaling back to 4 workers
"""


def test_it_measures_each_number_of_workers_says_that_it_holds_and_restores_the_workers(application, capsys, clock):
    assert lesson.main(["--workers", "1,10", "--seconds", "8"], platform=application) == 0
    assert application.scaled == [1, 10, 4]
    assert capsys.readouterr() == (f"{TABLE}{SENTENCE}\n", NEWS)
    assert clock[0] == pytest.approx(100 + (1.5 + 2 * 0.3 + 8) + (1.5 + 2 * 1 + 8), abs=0.15), "warming up and measuring"


def test_concurrency_of_rng_is_part_of_the_prediction(application, capsys):
    application.variables["CONCURRENCY"] = "2"
    assert lesson.main(["--workers", "10", "--seconds", "8"], platform=application) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[1] == "Simulated work of worker, rng and hasher: 100, 100 and 100 ms; 1 rng with CONCURRENCY=2"
    assert shown[4].startswith("     10      20.00    20.00        235      235 ")
    assert shown[5].startswith("As predicted with 1 rng with CONCURRENCY=2: 10 workers give 20.00 hashes/s. ")


def test_a_lesson_that_does_not_hold_is_status_1_and_json_has_all_of_it(application, monkeypatch, capsys):
    """With --json the table is on stderr."""
    monkeypatch.setattr(measuring, "counter_rate", lambda readings, workers: None)
    assert lesson.main(["--json", "--workers", "2", "--seconds", "8"], platform=application) == 1
    out, shown = capsys.readouterr()
    *_, row, news, sentence = shown.splitlines()
    assert (row, news) == ("      2       6.67     none         33       33          0      1.1  6 7 7 6 7 7        "
                           "the counter does not move", "scaling back to 4 workers")
    assert sentence.startswith("The lesson does not hold with 2 workers (the counter does not move): ")
    result = {"holds": False, "verdict": sentence, "delay_ms": {"worker": 100, "rng": 100, "hasher": 100},
              "rng": {"replicas": 1, "concurrency": 1}, "steps": [{
        "workers": 2, "speed": {"predicted": pytest.approx(20 / 3), "measured": None},
        "rng_ms": {"predicted": pytest.approx(100 / 3), "measured": pytest.approx(100 / 3)},
        "hasher_ms": {"predicted": 0, "measured": pytest.approx(1.1)},
        "graph": [6, 7, 7, 6, 7, 7], "ok": False, "differences": ["the counter does not move"]}]}
    assert json.loads(out) == result and out.startswith('{\n  "holds": false,\n')


def test_a_terminal_shows_the_progress(application):
    """In one line, rewritten at most five times a second, and cleared before the next row of the table."""
    application.scale(2)
    news = io.StringIO()
    news.isatty = lambda: True
    screen = Screen(io.StringIO(), news)
    step = measuring.measure(application, 2, 8, model.Delays(), model.Rngs(), 0.0, screen)
    assert (step.workers, step.rng, step.hasher) == (2, pytest.approx(1 / 30 + 0.005), pytest.approx(0.0061))
    step = measuring.measure(application, 2, 8, model.Delays(), model.Rngs(), 1.0, screen)
    assert (step.rng, step.hasher) == (0, 0), "never negative"
    screen.line("a row")
    shown = news.getvalue().split("\r\033[K")
    assert shown[:3] == ["", "2 workers: measuring for 8 s", "2 workers: waiting for a steady speed"]
    assert shown.count("2 workers: waiting for a steady speed") in range(16, 22), "for 2.1 s, twice"
    assert "2 workers: 0 of 8 s" in shown and "2 workers: 7 of 8 s, 6.67 hashes/s so far" in shown
    assert shown[-1] == "" and len(shown) in range(85, 105)


GONE = model.LessonError("The web UI has gone")
NEWS_OF_7 = "scaling to 7 workers\nscaling back to 4 workers\n"


@pytest.mark.parametrize("words, place, trouble, status, scaled, shown", [
    ("--workers 7", "measure", GONE, 2, [7, 4], f"{NEWS_OF_7}lesson: The web UI has gone\n"),
    ("--workers 7", "measure", KeyboardInterrupt(), 130, [7, 4], f"{NEWS_OF_7}lesson: interrupted\n"),
    ("explain", "explain", GONE, 2, [], "Measuring for 10 s\nlesson: The web UI has gone\n"),
    ("explain", "explain", KeyboardInterrupt(), 130, [], "Measuring for 10 s\nlesson: interrupted\n"),
    ("", "read_counter", OSError("refused"), 2, [],
     "lesson: The web UI does not answer at http://the-web-ui: refused\n")], ids=str)
def test_an_error_is_one_line_and_the_number_of_workers_is_restored(
        application, monkeypatch, capsys, words, place, trouble, status, scaled, shown):
    def fail(*_):
        raise trouble

    monkeypatch.setattr(measuring, place, fail)
    assert lesson.main(words.split(), platform=application) == status
    assert (application.scaled, capsys.readouterr().err) == (scaled, shown)


def test_without_docker_it_names_the_option_for_kubernetes(monkeypatch, capsys):
    monkeypatch.setattr(platforms.shutil, "which", lambda _: None)
    assert lesson.main([]) == 2
    assert capsys.readouterr().err == ("lesson: Neither 'docker compose' nor 'docker-compose' is installed (if it "
                                       "runs on Kubernetes, add -n or -n NAMESPACE)\n")


@pytest.mark.parametrize("words, workers, seconds, url, namespace, as_json", [
    ("", [1, 2, 3, 10], 20, None, None, False),
    ("--workers 1,1000 --seconds 5 --url https://x -n --json", [1, 1000], 5, "https://x", "", True),
    ("--seconds 3600 -n group1 --url http://[::1]:8000/", [1, 2, 3, 10], 3600, "http://[::1]:8000/", "group1", False)])
def test_options_and_their_defaults(words, workers, seconds, url, namespace, as_json):
    options = lesson.parse(words.split())
    assert vars(options) == {"workers": workers, "seconds": seconds, "url": url, "namespace": namespace,
                             "json": as_json}
    assert lesson.platform_for(options) is (lesson.Compose if namespace is None else lesson.Kubernetes)


WORKERS = "numbers from 1 to 1000 are expected, such as 1,2,3,10"
SECONDS = "5 to 3600 seconds are expected"
URL = "a URL such as http://localhost:8000 is expected"


@pytest.mark.parametrize("words, said", [
    *((["--workers", text], f"argument --workers: {text!r}: {WORKERS}") for text in ("0", "1,1001", "1,x", "")),
    *((["--seconds", text], f"argument --seconds: {text!r}: {SECONDS}") for text in ("4.9", "3601", "nan", "x")),
    *((["--url", text], f"argument --url: {text!r}: {URL}")
      for text in ("localhost:8000", "ftp://x", "http://", "http://x:0", "http://x:y", "http://[")),
    (["--worker", "1"], "unrecognized arguments: --worker 1"), (["word"], "unrecognized arguments: word"),
    (["explain", "--seconds", "1"], f"argument --seconds: '1': {SECONDS}"),
    (["explain", "--sec", "7"], "unrecognized arguments: --sec 7")])
def test_a_bad_option_ends_with_status_2(capsys, words, said):
    with pytest.raises(SystemExit) as end:
        lesson.main(words)
    assert end.value.code == 2
    program = "scripts/lesson explain" if words[0] == "explain" else "scripts/lesson"
    assert capsys.readouterr().err.endswith(f"\n{program}: error: {said}\n")


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_term_or_hup_ends_the_command(tmp_path, sig):
    (tmp_path / "docker").write_text("#!/bin/sh\n: >$0.runs\nexec sleep 60\n")
    (tmp_path / "docker").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen([SCRIPT], env=path, stderr=subprocess.PIPE, text=True) as process:
        eventually((tmp_path / "docker.runs").exists, 20)
        process.send_signal(sig)
        assert process.communicate(timeout=30)[1] == "lesson: interrupted\n"
    assert process.returncode == 130
