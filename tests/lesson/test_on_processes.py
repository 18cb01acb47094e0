"""All of scripts/lesson against running services: the real programs, and an rng that has lost the lesson."""

import contextlib
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

import lesson
from processes import Processes

pytestmark = pytest.mark.slow
SLOWLY = {"worker": 300, "rng": 300, "hasher": 300}  # what a busy machine adds to a loop then weighs a third


@pytest.fixture
def stack():
    with contextlib.ExitStack() as opened:
        yield opened


def take(capsys, application, *options):
    """(exit status, the JSON, what was shown) of the lesson with that application."""
    status = lesson.main(["--json", *options], platform=application)
    out, shown = capsys.readouterr()
    return status, json.loads(out), shown


def test_the_lesson_holds_for_the_real_programs(stack, capsys):
    application = Processes(stack, 2, **SLOWLY)
    for _ in range(3):  # whoever shares this machine may be in the way of one run, not of all
        status, result, shown = take(capsys, application, "--workers", "2,6", "--seconds", "12")
        if status == 0:
            break
    assert (status, result["holds"]) == (0, True), shown
    assert [round(step["speed"]["predicted"], 2) for step in result["steps"]] == [2.22, 3.33]
    assert application.workers() == 2, "the number of workers is put back"
    application.scale(6)
    time.sleep(4)  # the queue fills
    found = lesson.explain(application, 6)
    assert found.speed == pytest.approx(10 / 3, rel=0.1)
    assert found.utilisation == pytest.approx(1, abs=0.06) and 0.7 < found.line < 1.1
    assert found.rng == pytest.approx(found.line + found.service, rel=0.1)
    assert found.sentence().startswith("rng is the limit: ")


def test_an_rng_that_answers_in_parallel_is_found(stack, capsys):
    """What became of the original in 2018 and 2026: every request has a thread of its own."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            time.sleep(0 if self.path == "/" else 0.1)
            body = b"" if self.path == "/" else os.urandom(32)
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
    server.daemon_threads = True
    stack.callback(server.shutdown)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    application = Processes(stack, rng_url=f"http://127.0.0.1:{server.server_port}")
    status, result, shown = take(capsys, application, "--workers", "10", "--seconds", "6")
    assert (status, result["holds"]) == (1, False), shown
    assert "rng answers in parallel" in result["verdict"]
