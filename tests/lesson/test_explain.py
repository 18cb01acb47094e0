"""scripts/lesson explain against running services: what it says of another worker or rng has to come true."""

import contextlib
import random
import re
import socket
import threading

import pytest

import lesson
from harness import Redis, Service, eventually, run

SECONDS = 6


class Balancer:
    """One address for several rng, each connection to one at random, as a Service has it; a context manager."""

    def __init__(self, ports):
        self._ports = list(ports)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]

    def __enter__(self):
        threading.Thread(target=self._run, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client, random.choice(self._ports)), daemon=True).start()

    @staticmethod
    def _pass(client, port):
        with client, socket.create_connection(("127.0.0.1", port)) as server, contextlib.suppress(OSError):
            server.sendall(client.recv(65536))  # a worker's request is one segment
            while data := server.recv(65536):
                client.sendall(data)


class Fake:
    """A platform that is its own factory."""

    def __call__(self, options):
        assert options.namespace is None
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


class Processes(Fake):
    """What `explain` asks of a platform, with the services as processes."""

    def __init__(self, stack, workers, servers=1, **delays):
        redis = stack.enter_context(Redis())
        delays = {"worker": 100, "rng": 100, "hasher": 100, **delays}

        def start(name, **env):
            return stack.enter_context(Service(name, admin=True, DELAY_MS=delays[name], **env))

        rngs = [start("rng") for _ in range(servers)]
        hasher = start("hasher")
        balancer = stack.enter_context(Balancer([rng.port for rng in rngs]))
        upstreams = {"RNG_URL": f"http://127.0.0.1:{balancer.port}",
                     "HASHER_URL": f"http://127.0.0.1:{hasher.port}", "REDIS_URL": redis.url}
        self.running = {"rng": rngs, "worker": [start("worker", **upstreams) for _ in range(workers)]}
        # A line at rng is as long as it gets once everybody has been round twice.
        eventually(lambda: all("units of work" in worker.log for worker in self.running["worker"]))
        eventually(lambda: sum(" 200 32" in line for rng in rngs for line in rng.access_lines()) > 3 * workers)

    def containers(self, service):
        return [one.pid for one in self.running[service]]

    def metrics(self, service, container):
        one = next(one for one in self.running[service] if one.pid == container)
        return run(service, "--metrics", ADMIN_PORT=one.admin_port).stdout


@pytest.fixture
def stack():
    with contextlib.ExitStack() as opened:
        yield opened


def speed_of(workers, servers=1, seconds=SECONDS):
    with contextlib.ExitStack() as stack:
        return lesson.explain(Processes(stack, workers, servers), seconds).speed


def promised(sentence):
    return float(re.search(r"would give ([\d.]+) hashes/s", sentence).group(1))


def test_one_worker_leaves_rng_idle_and_a_second_gives_what_is_promised(stack):
    found = lesson.explain(Processes(stack, 1), SECONDS)
    assert (found.workers, found.servers) == (1, 1)
    assert found.speed == pytest.approx(10 / 3, rel=0.06)
    assert found.utilisation == pytest.approx(1 / 3, abs=0.03)
    assert found.work == pytest.approx(0.1, abs=0.01)
    assert found.rng == pytest.approx(0.1, abs=0.01)
    assert found.hasher == pytest.approx(0.1, abs=0.01)
    assert found.line < 0.005
    assert found.redis < 0.01
    sentence = found.sentence()
    assert re.match(r"rng is idle 6\d% of the time, so it is not the limit yet: one more worker", sentence)
    assert promised(sentence) == pytest.approx(speed_of(2), rel=0.06)


def test_with_three_workers_rng_is_just_about_the_limit(stack):
    """On the edge, where a loop's few extra milliseconds on a busy machine decide what there is to say."""
    found = lesson.explain(Processes(stack, 3), SECONDS)
    assert found.speed == pytest.approx(10, rel=0.1)
    assert found.utilisation == pytest.approx(found.speed / 10, abs=0.03)
    assert found.line < 0.03
    sentence, with_four = found.sentence(), speed_of(4)
    if "not the limit yet" in sentence:
        assert promised(sentence) == pytest.approx(with_four, rel=0.05)
    else:
        assert sentence.startswith("rng is just about to become the limit")
        assert with_four == pytest.approx(found.speed, rel=0.06), "one more worker adds nothing"
    assert speed_of(3, servers=2) < found.speed * 1.06, "nor does a second rng"


def test_ten_workers_wait_at_rng_and_a_second_gives_what_is_promised(stack):
    found = lesson.explain(Processes(stack, 10), SECONDS)
    assert found.speed == pytest.approx(10, rel=0.04)
    assert found.utilisation == pytest.approx(1, abs=0.03)
    assert 0.6 < found.line < 0.75
    assert found.rng == pytest.approx(found.line + found.service, abs=0.02)
    assert found.service == pytest.approx(0.1, abs=0.005)
    assert found.hash == pytest.approx(1.0, abs=0.04)
    sentence = found.sentence()
    assert re.match(r"rng is the limit: it is never idle, and a hash waits \d{3} ms in its line\. "
                    r"One more worker adds nothing; a second rng would give [\d.]+ hashes/s\.", sentence)
    assert promised(sentence) == pytest.approx(speed_of(10, servers=2, seconds=15), rel=0.08)
    assert speed_of(11) == pytest.approx(found.speed, rel=0.06), "one more worker adds nothing"


def test_several_rng_are_measured_together(stack):
    found = lesson.explain(Processes(stack, 10, servers=2), 2 * SECONDS)
    assert found.servers == 2
    assert found.speed == pytest.approx(18.5, rel=0.1)
    assert found.utilisation == pytest.approx(found.speed / 20, abs=0.03)
    assert promised(found.sentence()) == pytest.approx(23.9, rel=0.08)


@pytest.mark.parametrize("workers, servers, speed, line, sentence", [
    (1, 1, 10 / 3, 0.0, "rng is idle 67% of the time, so it is not the limit yet: one more worker would give 6.7 "
                        "hashes/s."),
    (3, 1, 10, 0.0, "rng is just about to become the limit: it is never idle, yet hardly anybody waits. One more "
                    "worker adds nothing but waiting; a second rng adds nothing without more workers."),
    (10, 1, 10, 0.7, "rng is the limit: it is never idle, and a hash waits 700 ms in its line. One more worker adds "
                     "nothing; a second rng would give 18.4 hashes/s."),
    (10, 2, 18.4, 0.24, "rng is the limit: it is busy 92% of the time, and a hash waits 240 ms in its line. One more "
                        "worker adds hardly anything; a third rng would give 24.3 hashes/s.")])
def test_the_sentence_differs_with_the_workers(workers, servers, speed, line, sentence):
    found = lesson.Explanation(workers=workers, servers=servers, speed=speed, work=0.1, rng=line + 0.1, hasher=0.1,
                               redis=0.0, line=line, service=0.1, utilisation=speed * 0.1 / servers)
    assert found.sentence() == sentence


@pytest.mark.parametrize("workers, servers, speed", [(1, 1, 10 / 3), (10, 1, 10), (10, 2, 18.5), (10, 3, 23.9),
                                                     (20, 2, 19.4), (6, 2, 16.2), (1, 2, 10 / 3)])
def test_several_rng_are_not_as_fast_as_their_number_says(workers, servers, speed):
    assert lesson.queue_speed(workers, servers, 0.1, 0.2) == pytest.approx(speed, rel=0.02)


def test_the_delays_are_those_of_the_services(stack):
    found = lesson.explain(Processes(stack, 2, worker=200, rng=50, hasher=20), SECONDS)
    assert found.work == pytest.approx(0.2, abs=0.01)
    assert found.service == pytest.approx(0.05, abs=0.005)
    assert found.hasher == pytest.approx(0.02, abs=0.01)
    assert found.utilisation == pytest.approx(2 * 0.05 / 0.27, abs=0.04)


def test_the_command_shows_a_table_and_the_sentence(stack, capsys):
    assert lesson.main(["explain", "--seconds", "5"], platform=Processes(stack, 1)) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Where the time of one hash goes, with 1 worker and 1 rng:\n")
    for row in (r"work +1\d\d\.\d +3\d%", r"rng +1\d\d\.\d +3\d%", r"  waiting in line +\d\.\d",
                r"hasher +1\d\d\.\d +3\d%",
                r"  being served +1\d\d\.\d", r"Redis +\d\.\d +\d%", r"one hash +3\d\d\.\d +100%"):
        assert re.search(f"^{row}$", shown, re.MULTILINE), row
    assert re.search(r"^3\.\d\d hashes/s, rng busy 3\d% of the time\.$", shown, re.MULTILINE)
    assert "one more worker would give" in shown.splitlines()[-1]


class Still(Fake):
    """A platform whose containers have measured this much, and no more."""

    def __init__(self, text="", containers=("one",)):
        self.text = text
        self.names = list(containers)

    def containers(self, _service):
        return self.names

    def metrics(self, _service, _container):
        return self.text


@pytest.mark.parametrize("platform, reason",
                         [(Still(), "No hash was made in 5 s: the log of worker says what it waits for."),
                          (Still(containers=[]), "No worker runs, or none that has run for 5 s.")])
def test_nothing_to_measure_is_one_clear_line(monkeypatch, capsys, platform, reason):
    monkeypatch.setattr(lesson.explain, "__defaults__", (lambda _seconds: None,))
    assert lesson.main(["explain", "--seconds", "5"], platform=platform) == 2
    assert capsys.readouterr().err.splitlines()[-1] == f"lesson: {reason}"


@pytest.mark.parametrize("options", [["--seconds", "1"], ["--nonsense"], ["word"]])
def test_a_bad_option_ends_with_status_2(options):
    with pytest.raises(SystemExit) as end:
        lesson.main(["explain", *options], platform=Still())
    assert end.value.code == 2
