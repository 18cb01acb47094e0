"""scripts/lesson as a command, with a simulated application on a clock of its own: all that it prints."""

import io
import json
import os
import signal
import subprocess

import pytest

import lesson
from harness import eventually

SCRIPT = os.path.join(lesson.REPOSITORY, "scripts", "lesson")


class Application(lesson.Platform):
    """A DockerCoins whose workers report by 4 every 1.2 s, or are too many for rng; a platform and its factory."""

    url = "http://the-web-ui"
    where = "somewhere"

    def __init__(self, monkeypatch, clock, workers=4):
        self.scaled = []
        self._workers = workers
        self._clock = clock
        self._since = clock[0]
        self._hashes = 0
        monkeypatch.setattr(lesson, "read_counter", self._read)
        monkeypatch.setattr(lesson, "Prober", lambda url: Probe(url, self._workers))

    def __call__(self, _options):
        return self

    def _read(self, url):
        assert url == self.url
        elapsed = self._clock[0] - self._since
        reported = (4 * int((elapsed - 1.2 * worker / self._workers) / 1.2) for worker in range(self._workers))
        hashes = int(elapsed * 10) if self._workers > 3 else sum(reported)
        return lesson.Reading(self._clock[0], self._hashes + hashes)

    def workers(self):
        return self._workers

    def scale(self, workers):
        self._hashes, self._since = self._read(self.url).hashes, self._clock[0]
        self._workers = workers
        self.scaled.append(workers)

    def delay(self, service):
        return 0.1

    def servers(self):
        return 1

    def address(self, service):
        return service

    def detour(self):
        return 0.005


class Probe:
    """What asks rng and hasher: they answer as predicted, 5 ms later because of the detour."""

    def __init__(self, service, workers):
        self._service = service
        self._predicted = lesson.predict(workers, lesson.Delays())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def seconds(self, patience, *average):
        if self._service == "rng":
            assert (patience, average) == (2 + 3 * self._predicted.rng, ())
            return self._predicted.rng + 0.005
        assert (patience, average) == (2, (lesson.statistics.median,))
        return 0.0061


@pytest.fixture
def application(monkeypatch, clock):
    return Application(monkeypatch, clock)


TABLE = """\
somewhere
Simulated work of worker, rng and hasher: 100, 100 and 100 ms
          hashes/s             rng, ms           hasher ms           graph,
workers  predicted measured  predicted measured  predicted measured  once a second
      1       3.33     3.33         17       17          0      1.1  4 4 4 4 0 4        ok
     10      10.00    10.00        750      750          0      1.1  10 10 10 10 10 10  ok
"""
SENTENCE = "The lesson holds: 1 and 10 workers give 3.33 and 10.00 hashes/s, and from 10 workers on rng is the limit."
NEWS = """\
scaling to 1 worker
1 worker: measuring for 8 s
scaling to 10 workers
10 workers: measuring for 8 s
back to 4 workers
"""


def test_it_measures_each_number_of_workers_says_that_it_holds_and_puts_the_workers_back(application, capsys):
    assert lesson.main(["--workers", "1,10", "--seconds", "8"], platform=application) == 0
    assert application.scaled == [1, 10, 4]
    assert capsys.readouterr() == (f"{TABLE}{SENTENCE}\n", NEWS)


def test_the_result_as_json(application, capsys):
    """The table is then on stderr."""
    assert lesson.main(["--json", "--workers", "1,10", "--seconds", "8"], platform=application) == 0
    out, shown = capsys.readouterr()
    assert sorted(shown.splitlines()) == sorted(f"{TABLE}{NEWS}{SENTENCE}".splitlines())
    result = json.loads(out)
    assert [step["workers"] for step in result["steps"]] == [1, 10]
    for key, ten in (("speed", 10), ("rng_ms", 750), ("hasher_ms", 0)):
        assert result["steps"][1][key] == {"predicted": pytest.approx(ten), "measured": pytest.approx(ten, abs=1.2)}
    assert (result["steps"][0]["ok"], result["steps"][0]["differences"]) == (True, [])
    assert result["steps"][1]["graph"] == [10] * 6
    assert (result["holds"], result["verdict"]) == (True, SENTENCE)
    assert result["delay_ms"] == {"worker": 100, "rng": 100, "hasher": 100}
    assert len(out.splitlines()) > 40, "indented"


def test_a_lesson_that_does_not_hold_is_status_1(application, monkeypatch, capsys):
    monkeypatch.setattr(lesson, "speed", lambda readings, workers: None)
    assert lesson.main(["--workers", "2", "--seconds", "8"], platform=application) == 1
    out = capsys.readouterr().out
    assert "      2       6.67     none         33       33          0      1.1" in out
    assert out.splitlines()[-1].startswith("The lesson does not hold with 2 workers (the counter does not move; ")


def test_a_terminal_shows_what_goes_on(monkeypatch, clock):
    """In one line, which is written anew five times a second at most, and cleared before the next of the table."""
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    news, application = Terminal(), Application(monkeypatch, clock, 2)
    screen = lesson.Screen(io.StringIO(), news)
    step = lesson.measure(application, 2, 8, lesson.Delays(), 0.0, screen)
    assert (step.workers, step.rng, step.hasher) == (2, pytest.approx(1 / 30 + 0.005), pytest.approx(0.0061))
    assert lesson.measure(application, 2, 8, lesson.Delays(), 1.0, screen).rng == 0, "not less than nothing"
    screen.line("a row")
    shown = news.getvalue().split("\r\033[K")
    assert shown[:3] == ["", "2 workers: measuring for 8 s", "2 workers: letting it settle"]
    assert shown.count("2 workers: letting it settle") in range(16, 22), "for 2.1 s, twice"
    assert "2 workers: 0 of 8 s" in shown and "2 workers: 7 of 8 s, 6.67 hashes/s so far" in shown
    assert shown[-1] == "" and len(shown) in range(85, 105)


@pytest.mark.parametrize("trouble, status, said", [
    (lesson.LessonError("The web UI has gone"), 2, "lesson: The web UI has gone"),
    (KeyboardInterrupt(), 130, "lesson: interrupted")])
def test_the_number_of_workers_is_put_back_whatever_happens(application, monkeypatch, capsys, trouble, status, said):
    def fail(*_):
        raise trouble

    monkeypatch.setattr(lesson, "measure", fail)
    assert lesson.main(["--workers", "7"], platform=application) == status
    assert application.scaled == [7, 4]
    assert capsys.readouterr().err == f"scaling to 7 workers\nback to 4 workers\n{said}\n"
    monkeypatch.setattr(lesson, "explain", fail)
    assert lesson.main(["explain"], platform=application) == status
    assert capsys.readouterr().err == f"Measuring for 10 s\n{said}\n"


def test_no_application_is_one_clear_line(application, monkeypatch, capsys):
    def read(_):
        raise OSError("Connection refused")

    monkeypatch.setattr(lesson, "read_counter", read)
    assert lesson.main([], platform=application) == 2
    assert capsys.readouterr() == ("", "lesson: The web UI does not answer at http://the-web-ui: Connection refused\n")
    assert application.scaled == []


# ------------------------------------------------------------------------------------------ the arguments


@pytest.mark.parametrize("words, expected", [
    ([], {"workers": [1, 2, 3, 10], "seconds": 20, "url": None, "namespace": None, "json": False}),
    (["--workers", "1,1000", "--seconds", "5", "--url", "https://x", "-n", "--json"],
     {"workers": [1, 1000], "seconds": 5, "url": "https://x", "namespace": "", "json": True}),
    (["--seconds", "3600", "-n", "class1", "--url", "http://[::1]:8000/"],
     {"workers": [1, 2, 3, 10], "seconds": 3600, "url": "http://[::1]:8000/", "namespace": "class1", "json": False})])
def test_what_can_be_asked_for(words, expected):
    options = lesson.parse(words)
    assert vars(options) == expected
    assert lesson.platform_for(options) is (lesson.Compose if expected["namespace"] is None else lesson.Kubernetes)


WORKERS = "numbers from 1 to 1000, with commas: 1,2,3,10"
SECONDS = "seconds, 5 to 3600 (workers report about once a second)"
URL = "a URL such as http://localhost:8000"


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


def test_the_command_itself_says_what_it_is_for():
    shown = subprocess.run([SCRIPT, "--help"], capture_output=True, text=True, check=True).stdout
    assert shown.startswith("usage: scripts/lesson") and "Needs Python and nothing else.\n" in shown


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_the_command_itself_ends_when_it_is_told_to(tmp_path, sig):
    (tmp_path / "docker").write_text("#!/bin/sh\n: >$0.runs\nexec sleep 60\n")
    (tmp_path / "docker").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
    with subprocess.Popen([SCRIPT], env=path, stderr=subprocess.PIPE, text=True) as process:
        eventually((tmp_path / "docker.runs").exists, 20)
        process.send_signal(sig)
        assert process.communicate(timeout=30)[1] == "lesson: interrupted\n"
    assert process.returncode == 130
