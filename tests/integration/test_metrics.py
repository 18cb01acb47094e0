"""The admin port: health checks and metrics, exact, and never waiting for the work."""

import contextlib
import pathlib
import re
import shutil
import signal
import subprocess
import time

import pytest

from clients import request_bytes
from fakes import FakeHttp, http_answer
from harness import (REPO, Mine, Redis, Service, alone, ask, counted, eventually, free_port, http, open_socket, run,
                     scale, wait_until_up)

ALL = ["rng", "hasher", "webui", "worker"]


def text_of(service):
    status, headers, body = http(service.admin_port, "GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return body.decode()


def samples(text):
    """The samples by name and labels, as in 'up{job="rng"}'."""
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def scrape(service):
    return samples(text_of(service))


@pytest.mark.parametrize("name", ALL)
def test_health_is_ok_nothing_else_is_served_there_and_nothing_is_logged(name):
    with alone(name, admin=True) as one:
        wait_until_up(one)
        for path in ("/healthz", "/readyz"):
            for method, version, body in (("GET", "1.1", b"ok\n"), ("GET", "1.0", b"ok\n"), ("HEAD", "1.1", b"")):
                answer = ask(one.admin_port, request_bytes(path, method=method, version=version))
                assert (answer.status, answer.body) == (200, body)
                assert answer.headers == {"content-type": "text/plain; charset=utf-8", "content-length": "3",
                                          "cache-control": "no-store", "connection": "close", "server": name}
        for path in ("/", "/healthz/", "/healthzz", "/32"):
            assert http(one.admin_port, "GET", path)[0] == 404
        refused = ask(one.admin_port, request_bytes("/healthz", method="POST", body=b""))
        assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
        assert ask(one.admin_port, b"GARBAGE\r\n\r\n").status == 400
        not_there = [] if name == "worker" else ["/healthz", "/readyz", "/metrics"]
        for path in not_there:
            assert http(one.port, "GET", path)[0] == 404
        eventually(lambda: [line.split()[6] for line in one.access_lines()] == not_there, what=not_there)
        assert "GARBAGE" not in one.log


@pytest.mark.parametrize("name, work", [("rng", request_bytes("/1")), ("hasher", request_bytes(method="POST"))])
def test_it_waits_neither_for_the_work_nor_for_incomplete_requests(name, work):
    with alone(name, admin=True, DELAY_MS=10000) as one, contextlib.ExitStack() as stack:
        for _ in range(150):  # more than hasher's threads
            stack.enter_context(open_socket(one.port)).sendall(work)
        for start in (b"", b"GET /healthz HTTP/1.1\r\nX-Half", b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nx") * 20:
            stack.enter_context(open_socket(one.admin_port)).sendall(start)
        eventually(lambda: scrape(one)["http_requests_waiting"] > 0)
        for path in ("/healthz", "/readyz", "/metrics"):
            assert http(one.admin_port, "GET", path)[0] == 200
        assert run(name, "--healthcheck", PORT=one.port, ADMIN_PORT=one.admin_port).returncode == 0
        assert one.access_lines() == []


@pytest.mark.parametrize("name", ALL)
def test_metrics_flag_prints_the_metrics_of_the_running_service_or_why_there_are_none(name):
    with alone(name, admin=True) as one:
        wait_until_up(one)
        said = run(name, "--metrics", ADMIN_PORT=one.admin_port, BIND_ADDRESS="0.0.0.0")
        assert (said.returncode, said.stderr) == (0, "")
        assert samples(said.stdout).keys() == scrape(one).keys()
    port = free_port()
    for address, asked, reason in (("::1", port, f"the admin port [::1]:{port}: connection refused"),
                                   ("::", 0, "ADMIN_PORT=0: there is no admin port to ask")):
        said = run(name, "--metrics", ADMIN_PORT=asked, BIND_ADDRESS=address)
        assert (said.returncode, said.stdout, said.stderr) == (1, "", f"{name}: {reason}\n")


@pytest.mark.parametrize("flag", ["--metrics", "--healthcheck"])
def test_the_admin_port_of_another_program_in_the_same_network_is_not_taken_for_its_own(flag):
    with alone("rng", admin=True) as rng, FakeHttp(lambda _: http_answer(b"ok\n")) as fake:
        wait_until_up(rng)
        for port, owner in ((rng.admin_port, "rng's"), (fake.port, "another program's")):
            said = run("worker", flag, ADMIN_PORT=port)
            assert (said.returncode, said.stdout, said.stderr) == (
                1, "", f"worker: the admin port 127.0.0.1:{port} is {owner}, not worker's: "
                       "each needs an ADMIN_PORT of its own\n")


def names_in_reference():
    """Names of metrics by service, from the table in docs/reference.md."""
    page = pathlib.Path(REPO, "docs/reference.md").read_text(encoding="utf-8")
    found = {name: set() for name in ALL}
    for of, names in re.findall(r"^\|(.*?)\|(.*?)\|", re.search(r"\n## Metrics\n(.*?)\n## ", page, re.DOTALL)[1], re.M):
        services = of.strip() or services
        for name in ALL:
            found[name] |= set(re.findall(r"`(\w+)", names)) if services == "all" or name in services else set()
    return found


def test_every_service_has_the_metrics_of_the_reference_and_promtool_accepts_them():
    assert shutil.which("promtool"), "promtool is missing: scripts/install-deps test"
    promised = names_in_reference()
    with Mine(admin=True) as mine, Service("webui", admin=True, REDIS_URL=mine.redis.url) as webui:
        mine.workers[0].wait_for_line("[1-9][0-9]* units of work done", 10)
        http(webui.port, "GET", "/json")
        for service in (mine.rng, mine.hasher, webui, *mine.workers):
            text = text_of(service)
            assert set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE)) == promised[service.name]
            said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                                  check=False)
            assert (said.returncode, said.stdout + said.stderr) == (0, ""), service.name


@pytest.mark.threads
def test_the_counters_agree_with_redis_with_each_other_and_with_the_clock():
    with Mine(2, admin=True) as mine:
        eventually(lambda: counted(mine.redis) >= 12, 20, what="12 hashes")
        mine.rng.send_signal(signal.SIGSTOP)

        def settled():
            """The workers' metrics, once hasher has had no request for a second."""
            loops = sum(scrape(worker)["dockercoins_loops_total"] for worker in mine.workers)
            time.sleep(scale(1))
            hashed = scrape(mine.hasher)['http_requests_total{method="POST",route="/",status="200"}']
            return hashed == loops and [scrape(worker) for worker in mine.workers]

        workers = eventually(settled, 20, what="all workers waiting for rng")
        mine.rng.send_signal(signal.SIGCONT)
        loops, coins, unstored = (sum(one[f"dockercoins_{name}"] for one in workers)
                                  for name in ("loops_total", "coins_total", "loops_unstored"))
        assert (loops - unstored, coins) == (counted(mine.redis), mine.redis.command("HLEN", "wallet"))
        for one in workers:
            for step in ("work", "rng", "hasher"):
                took = one[f'dockercoins_step_duration_seconds_sum{{step="{step}"}}']
                assert took >= 0.1 * one["dockercoins_loops_total"]
        rng = scrape(mine.rng)
        served, queued = rng['http_request_service_seconds_sum{route="/N"}'], rng["http_request_queue_seconds_sum"]
        assert served >= 0.1 * rng['http_request_service_seconds_count{route="/N"}'] > 0 and queued > 0
        # A busy machine is slow to write.
        in_all = rng['http_request_duration_seconds_sum{route="/N"}']
        assert 0.99 * (served + queued) < in_all < 1.01 * (served + queued) + scale(0.5)


def test_webui_counts_failed_readings():
    with Redis() as redis, Service("webui", admin=True, REDIS_URL=redis.url) as webui:
        for status, failures in ((200, 0), (503, 1), (503, 2)):
            assert http(webui.port, "GET", "/json")[0] == status
            values = scrape(webui)
            # While somebody looks, webui reads once a second by itself, too. A reading is HLEN and GET.
            assert values["dockercoins_redis_failures_total"] in range(failures, failures + 3 if failures else 1)
            assert values["dockercoins_redis_round_trip_seconds_count"] in (2, 4, 6)
            redis.stop()
