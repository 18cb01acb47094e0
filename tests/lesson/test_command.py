"""scripts/lesson as a command, with a simulated application and clock."""

import signal
import statistics
import subprocess
import types
from unittest import mock

import pytest

import lesson
from harness import eventually
from lesson_parts import measuring, model, platforms


class Application(platforms.Platform):
    """An application as fast as predicted, 5 ms away."""

    where = "somewhere"

    def __init__(self, clock):
        super().__init__()
        self.clock, self.read_at, self.hashes = clock, clock[0], 0.0
        self.scaled, self.variables = [4], {}

    def predicted(self):
        return model.predict(self.workers(), model.Delays(), self.rngs())

    def read(self, url):
        assert url == "webui"
        self.hashes += (self.clock[0] - self.read_at) * self.predicted().speed
        self.read_at = self.clock[0]
        return measuring.Reading(self.read_at, int(self.hashes))

    def seconds(self, *how):
        rng = self.predicted().rng
        return {("hasher", 2, statistics.median): 0.0061, ("rng", 2 + 3 * rng): rng + 0.005}[how]

    def workers(self):
        return self.scaled[-1]

    def scale(self, workers):
        self.scaled.append(workers)

    def environments(self, service):
        return [self.variables]

    def address(self, service):
        return service

    def detour(self):
        return 0.005


@pytest.fixture
def application(monkeypatch, clock):
    simulated = Application(clock)
    monkeypatch.setattr(measuring, "read_counter", simulated.read)
    monkeypatch.setattr(measuring, "Prober", lambda url: types.SimpleNamespace(
        seconds=lambda *how: simulated.seconds(url, *how)))
    return simulated


def run(application, words):
    return lesson.main(words.split(), platform=lambda _options: application)


TABLE = """\
Simulated work of worker, rng and hasher: 100, 100 and 100 ms
          hashes/s             rng, ms           hasher ms
workers  predicted measured  predicted measured  predicted measured
      1       3.33     3.33         17       17          0      1.1  ok
     10      10.00    10.00        750      750          0      1.1  ok
The lesson holds: 1 and 10 workers give 3.33 and 10.00 hashes/s, and from 10 workers on rng is the bottleneck.
"""


def test_it_measures_each_number_of_workers_says_that_it_holds_and_restores_the_workers(application, capsys, clock):
    assert run(application, "--workers 1,10 --seconds 8") == 0
    assert application.scaled == [4, 1, 10, 4]
    assert capsys.readouterr() == (TABLE, "somewhere: scaling to 1 worker\nsomewhere: scaling to 10 workers\n"
                                          "somewhere: scaling back to 4 workers\n")
    assert clock[0] == pytest.approx(100 + (1.5 + 2 * 0.3 + 8) + (1.5 + 2 * 1 + 8), abs=0.15), "warming up, measuring"


def test_a_lesson_that_does_not_hold_is_status_1_and_concurrency_is_part_of_the_prediction(
        application, monkeypatch, capsys):
    monkeypatch.setattr(measuring, "counter_rate", lambda readings, workers: None)
    application.variables["CONCURRENCY"] = "2"
    assert run(application, "--seconds 8") == 1
    assert application.scaled == [4, 1, 2, 3, 10, 4]
    head, *_, row, sentence = capsys.readouterr().out.splitlines()
    assert head == "Simulated work of worker, rng and hasher: 100, 100 and 100 ms; 1 rng with CONCURRENCY=2"
    assert row == "     10      20.00     none        235      235          0      1.1  the counter does not move"
    assert sentence.startswith("The lesson does not hold with 1 worker (the counter does not move): ")


@pytest.mark.parametrize("words, place, scaled", [
    ("--workers 7", "measure", [4, 7, 4]), ("explain", "explain", [4]), ("", "read_counter", [4])])
@pytest.mark.parametrize("trouble, status, said", [
    (model.LessonError("The web UI has gone"), 2, "lesson: The web UI has gone"),
    (KeyboardInterrupt(), 130, "lesson: interrupted")])
def test_an_error_is_one_line_and_the_number_of_workers_is_restored(
        application, monkeypatch, capsys, words, place, scaled, trouble, status, said):
    monkeypatch.setattr(measuring, place, mock.Mock(side_effect=trouble))
    assert run(application, words) == status
    assert (application.scaled, capsys.readouterr().err.splitlines()[-1]) == (scaled, said)


@pytest.mark.parametrize("words, said", [
    *((f"--workers {text}", "numbers from 1 to 1000 are expected, such as 1,2,3,10") for text in ("0", "1,1001")),
    *((f"--seconds {text}", "5 to 3600 seconds are expected") for text in ("4.9", "3601", "nan")),
    ("--workers 1,x", "invalid numbers value: '1,x'"), ("--worker=1", "unrecognized arguments: --worker=1"),
    ("word", "invalid choice: 'word'"), ("explain --seconds 1", "5 to 3600 seconds are expected")])
def test_a_bad_option_ends_with_status_2(capsys, words, said):
    with pytest.raises(SystemExit) as end:
        lesson.main(words.split())
    assert end.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGHUP])
def test_term_or_hup_ends_the_command(tmp_path, sig):
    (tmp_path / "docker").write_text("#!/bin/sh\n: >$0.runs\nexec sleep 60\n")
    (tmp_path / "docker").chmod(0o755)
    with subprocess.Popen([f"{platforms.REPOSITORY}/scripts/lesson"], env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
                          stderr=subprocess.PIPE, text=True) as process:
        eventually((tmp_path / "docker.runs").exists, 20)
        process.send_signal(sig)
        assert process.communicate(timeout=30)[1] == "lesson: interrupted\n"
    assert process.returncode == 130
