"""All of scripts/lesson against running services: the real programs, and an rng that has lost the lesson."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import lesson
from harness import Redis, Service, eventually


class ProcessPlatform(lesson.Platform):
    """What scripts/lesson asks of Compose, with the services as processes. A platform and its factory."""

    url = None

    def __init__(self, stack, rng=None, old_workers=0, **delays):
        self._delays = {"worker": 100, "rng": 100, "hasher": 100, **delays}
        self._stack = stack
        redis = stack.enter_context(Redis())
        self.rng = rng or f"http://127.0.0.1:{self._start('rng').port}/"
        self.hasher = f"http://127.0.0.1:{self._start('hasher').port}/"
        self._upstreams = {"RNG_URL": self.rng.rstrip("/"), "HASHER_URL": self.hasher.rstrip("/"),
                           "REDIS_URL": redis.url}
        webui = stack.enter_context(Service("webui", REDIS_URL=redis.url))
        self.url = f"http://127.0.0.1:{webui.port}"
        for _ in range(old_workers):
            self._start("worker", **self._upstreams)
        self._workers = []
        self.scaled = []

    def __call__(self, options):
        assert options.url == self.url
        return self

    def _start(self, name, **settings):
        return self._stack.enter_context(Service(name, DELAY_MS=self._delays[name], **settings))

    def delay(self, service):
        return self._delays[service] / 1000

    def workers(self):
        return len(self._workers)

    def scale(self, workers):
        self.scaled.append(workers)
        while len(self._workers) < workers:
            self._workers.append(self._start("worker", **self._upstreams))
            self._workers[-1].wait_for_line(r"^INFO:worker:", 10)  # before that, TERM is not yet its own
        while len(self._workers) > workers:
            assert self._workers.pop().stop()[0] == 0

    def servers(self):
        return 1

    def address(self, service):
        return {"rng": self.rng, "hasher": self.hasher}[service]


class ParallelRng(ThreadingHTTPServer):
    """What became of the original in 2018 and 2026: as rng, but every request has a thread of its own."""

    request_queue_size = 128
    daemon_threads = True

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body = b"RNG running on a test\n"
            if self.path != "/":
                time.sleep(0.1)
                body = os.urandom(int(self.path[1:]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    @classmethod
    @contextlib.contextmanager
    def running(cls):
        with cls(("127.0.0.1", 0), cls.Handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_address[1]}/"
            server.shutdown()


@pytest.fixture
def stack():
    with contextlib.ExitStack() as opened:
        yield opened


def take(application, capsys, *options):
    """(exit status, the JSON, what was shown) of the lesson with that application."""
    capsys.readouterr()
    status = lesson.main(["--json", "--url", application.url, *options], platform=application)
    out, shown = capsys.readouterr()
    return status, json.loads(out), shown


def test_the_lesson_holds_for_the_real_programs(stack, capsys):
    application = ProcessPlatform(stack)
    application.scale(2)
    status, result, shown = take(application, capsys, "--workers", "1,10", "--seconds", "8")
    assert (status, result["holds"]) == (0, True), shown
    assert "The lesson holds: 1 and 10 workers give" in result["verdict"]
    assert [step["ok"] for step in result["steps"]] == [True, True]
    one, ten = result["steps"]
    assert set(one["graph"]) <= {0, 4, 8} and one["graph"].count(4) >= 3
    assert all(7 <= value <= 13 for value in ten["graph"]), ten["graph"]
    assert result["delay_ms"] == {"worker": 100, "rng": 100, "hasher": 100}
    assert application.workers() == 2, "the number of workers is put back"
    assert "1 worker: measuring" in shown and "10 workers: measuring" in shown and " ok\n" in shown


def test_an_rng_that_answers_in_parallel_is_found(stack, capsys):
    application = ProcessPlatform(stack, rng=stack.enter_context(ParallelRng.running()))
    status, result, shown = take(application, capsys, "--workers", "1,10", "--seconds", "8")
    assert (status, result["holds"]) == (1, False), shown
    assert result["steps"][0]["ok"], "one worker alone does not show it"
    assert result["steps"][1]["speed"]["measured"] > 25
    assert "does not hold with 10 workers" in result["verdict"]
    assert "rng answers in parallel" in result["verdict"]


def test_an_old_worker_is_found(stack, capsys):
    application = ProcessPlatform(stack, old_workers=1)
    status, result, shown = take(application, capsys, "--workers", "1", "--seconds", "6")
    assert status == 1, shown
    assert "the speed of 2 workers, so an old worker is still there" in result["verdict"]


def test_the_prediction_follows_the_services_delays(stack, capsys):
    application = ProcessPlatform(stack, rng=None, worker=300, hasher=50)
    status, result, shown = take(application, capsys, "--workers", "2,6", "--seconds", "8")
    assert status == 0, shown
    assert [round(step["speed"]["predicted"], 2) for step in result["steps"]] == [4.44, 10.0]
    assert result["delay_ms"] == {"worker": 300, "rng": 100, "hasher": 50}


def test_services_that_are_not_as_slow_as_they_say_are_found(stack, capsys):
    application = ProcessPlatform(stack, rng=None, hasher=200)
    application.delays = lesson.Delays
    status, result, shown = take(application, capsys, "--workers", "1", "--seconds", "6")
    assert status == 1, shown
    assert "too few CPUs" in result["verdict"]


# ------------------------------------------------------------------------------------------ without measuring


class Idle(lesson.Platform):
    """A platform of which only the number of workers is asked."""

    url = None

    def __init__(self, workers):
        self.running = workers

    def __call__(self, options):
        self.url = options.url
        return self

    def workers(self):
        return self.running

    def scale(self, workers):
        self.running = workers

    def delay(self, service):
        return 0.1

    def servers(self):
        return 1

    def address(self, service):
        raise AssertionError(service)


@pytest.mark.parametrize("trouble, status",
                         [(lesson.LessonError("The web UI has gone"), 2), (KeyboardInterrupt(), 130)])
def test_the_number_of_workers_is_put_back_whatever_happens(monkeypatch, capsys, trouble, status):
    def measure(*_):
        raise trouble

    monkeypatch.setattr(lesson, "measure", measure)
    monkeypatch.setattr(lesson, "read_counter", lambda _url: lesson.Reading(0.0, 0))
    application = Idle(4)
    assert lesson.main(["--workers", "7"], platform=application) == status
    assert application.running == 4
    assert "lesson: " in capsys.readouterr().err


def test_no_application_is_one_clear_line(capsys):
    assert lesson.main(["--url", "http://127.0.0.1:9"], platform=Idle(1)) == 2
    assert capsys.readouterr().err.startswith("lesson: The web UI does not answer at http://127.0.0.1:9: ")


@pytest.mark.parametrize("options", [["--workers", "0"], ["--workers", "1,1001"], ["--workers", "1,x"], ["--workers", ""],
                                     ["--seconds", "1"], ["--seconds", "nan"], ["--url", "localhost:8000"],
                                     ["--url", "ftp://x"], ["--nonsense"], ["word"]])
def test_a_bad_option_ends_with_status_2(capsys, options):
    with pytest.raises(SystemExit) as end:
        lesson.main(options, platform=Idle(1))
    assert end.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_the_command_itself_runs_with_the_system_python_and_ends_on_term():
    script = os.path.join(os.path.dirname(lesson.__file__), "lesson")
    shown = subprocess.run([script, "--help"], capture_output=True, check=True).stdout
    assert shown.startswith(b"usage: scripts/lesson")
    code = ("import sys, runpy, subprocess; subprocess.run = lambda *a, **k: print('waiting', flush=True) or "
            "__import__('time').sleep(60); sys.argv = ['lesson']; "
            f"runpy.run_path({script!r}, run_name='__main__')")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          env={"PATH": os.path.dirname(script) + ":/usr/bin"}) as process:
        line = process.stdout.readline()
        if line == b"":  # no Compose on this machine: it has ended
            assert b"is installed" in process.stderr.read()
            return
        process.send_signal(signal.SIGTERM)
        eventually(lambda: process.poll() is not None, 5, what="the end")
        assert process.returncode == 130
        assert process.stderr.read() == b"lesson: interrupted\n"
