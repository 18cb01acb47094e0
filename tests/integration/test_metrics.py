"""What the services tell Prometheus: on the admin port, exact, and never behind the work."""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from harness import (Redis, Service, ask, eventually, free_port, http, open_socket, raw, run, scale)

ALL = ["rng", "hasher", "webui", "worker"]
GET_1 = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def scrape(service):
    """The samples by name and labels, as in 'up{job="rng"}'."""
    status, headers, body = http(service.admin_port, "GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, CONTENT_TYPE)
    return samples(body.decode())


def samples(text):
    lines = [line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#")]
    values = {name: float(value) for name, value in lines}
    assert len(values) == len(lines), "a sample is there twice"
    return values


def requests(values, **labels):
    """How many requests with these labels have been counted."""
    wanted = [f'{name}="{value}"' for name, value in labels.items()]
    return sum(value for name, value in values.items()
               if name.startswith("http_requests_total") and all(label in name for label in wanted))


@contextlib.contextmanager
def mine(workers=1, **env):
    """The whole application, each with an admin port. Gives redis, rng, hasher, webui and the workers."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(Redis())
        rng = stack.enter_context(Service("rng", admin=True, **env))
        hasher = stack.enter_context(Service("hasher", admin=True, **env))
        webui = stack.enter_context(Service("webui", admin=True, REDIS_URL=redis.url))
        upstreams = {"RNG_URL": f"http://127.0.0.1:{rng.port}", "HASHER_URL": f"http://127.0.0.1:{hasher.port}",
                     "REDIS_URL": redis.url}
        yield redis, rng, hasher, webui, [stack.enter_context(Service("worker", admin=True, **upstreams, **env))
                                          for _ in range(workers)]


def test_promtool_has_nothing_to_say_about_any_service():
    assert shutil.which("promtool"), "promtool is missing: scripts/install-deps test"
    with mine() as (_, rng, hasher, webui, workers):
        workers[0].wait_for_line("[1-9][0-9]* units of work done")
        for path in ("/", "/json", "/index.html", "/assets/dygraphs/dygraph.min.js", "/nowhere"):
            http(webui.port, "GET", path)
        for port in (rng.port, hasher.port):
            http(port, "GET", "/")
            raw(port, b"nonsense\r\n\r\n")
        for service in (rng, hasher, webui, *workers):
            text = http(service.admin_port, "GET", "/metrics")[2].decode()
            said = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True,
                                  check=False)
            assert (said.returncode, said.stdout + said.stderr) == (0, ""), service.name


def test_every_process_tells_of_itself():
    with mine() as (_, rng, hasher, webui, workers):
        for service in (rng, hasher, webui, *workers):
            if service.name != "worker":
                assert service.port
            text = http(service.admin_port, "GET", "/metrics")[2].decode()
            values = samples(text)
            version = run(service.name, "--version").stdout.split()[-1]
            assert re.search(rf'^dockercoins_build_info{{compiler="\w+ [\d.]+",version="{version}"}} 1$', text,
                             re.MULTILINE)
            assert abs(values["process_start_time_seconds"] - time.time()) < 60
            with open(f"/proc/{service.pid}/statm", encoding="ascii") as statm:
                resident = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            assert values["process_resident_memory_bytes"] == pytest.approx(resident, rel=0.5)
            # Connections come and go while it counts.
            assert abs(values["process_open_fds"] - len(os.listdir(f"/proc/{service.pid}/fd"))) <= 5
            assert 0 < values["process_cpu_seconds_total"] < 60
            assert scrape(service)["process_cpu_seconds_total"] >= values["process_cpu_seconds_total"]


def test_every_request_in_the_access_log_is_counted_once():
    with Service("rng", admin=True, DELAY_MS=0) as rng, Service("hasher", admin=True, DELAY_MS=0) as hasher:
        for _ in range(50):
            http(rng.port, "GET", "/32")
            http(hasher.port, "POST", "/", body=b"x")
        for _ in range(7):
            http(rng.port, "HEAD", "/")
            http(rng.port, "GET", "/nowhere")
            http(rng.port, "GET", "/99999999999")
            http(rng.port, "POST", "/32", body=b"")
            http(rng.port, "GET", "/%33%32?query")
            raw(rng.port, b"nonsense\r\n\r\n")
            raw(rng.port, b"BREW /pot HTTP/1.1\r\nHost: x\r\n\r\n")
            http(hasher.port, "PUT", "/", body=b"")
            ask(hasher.port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        for _ in range(3):
            open_socket(rng.port).close()  # said nothing: no line, no count
        eventually(lambda: len(rng.access_lines()) == 50 + 7 * 7 and len(hasher.access_lines()) == 50 + 7 * 2)
        at_rng = scrape(rng)
        assert requests(at_rng, route="/N", method="GET", status=200) == 57
        assert requests(at_rng, route="/", method="HEAD", status=200) == 7
        assert requests(at_rng, route="other", method="GET", status=404) == 7
        assert requests(at_rng, route="/N", method="GET", status=400) == 7
        assert requests(at_rng, route="/N", method="POST", status=405) == 7
        assert requests(at_rng, route="other", method="other", status=400) == 14
        assert requests(at_rng) == 99
        at_hasher = scrape(hasher)
        assert requests(at_hasher, route="/", method="POST", status=200) == 50
        assert requests(at_hasher, route="/", method="PUT", status=405) == 7
        assert requests(at_hasher, route="/", method="POST", status=413) == 7
        assert requests(at_hasher) == 64


def test_the_counters_agree_with_redis_and_with_each_other():
    with mine(3, DELAY_MS=20) as (redis, rng, hasher, _, workers):
        eventually(lambda: int(redis.command("GET", "hashes") or 0) >= 60, 20, what="60 hashes")
        rng.send_signal(signal.SIGSTOP)  # every worker ends up waiting for it
        try:
            def settled():
                before = [scrape(worker)["dockercoins_loops_total"] for worker in workers]
                time.sleep(scale(0.3))
                return before == [scrape(worker)["dockercoins_loops_total"] for worker in workers]
            eventually(settled, 10, what="all workers waiting for rng")
            values = [scrape(worker) for worker in workers]
            stored = int(redis.command("GET", "hashes"))
            assert sum(v["dockercoins_loops_total"] - v["dockercoins_loops_unstored"] for v in values) == stored
            loops = sum(v["dockercoins_loops_total"] for v in values)
            assert requests(scrape(hasher), route="/", method="POST", status=200) == loops
            coins = sum(len(re.findall("Coin found", worker.log)) for worker in workers)
            assert sum(v["dockercoins_coins_total"] for v in values) == coins == redis.command("HLEN", "wallet")
            for one in values:
                for step in ("rng", "hasher"):
                    count = one[f'dockercoins_step_duration_seconds_count{{step="{step}"}}']
                    assert count == one["dockercoins_loops_total"]
                    assert one[f'dockercoins_errors_total{{step="{step}"}}'] == 0
        finally:
            rng.send_signal(signal.SIGCONT)
        eventually(lambda: requests(scrape(rng), route="/N", status=200) >= loops + 3)


def test_the_steps_of_a_loop_add_up_to_its_time():
    with mine(5) as (_, rng, _hasher, _webui, workers):
        time.sleep(scale(1))
        before = scrape(workers[0])
        begun = time.monotonic()
        time.sleep(4)
        after = scrape(workers[0])
        wall = time.monotonic() - begun
        at_rng = scrape(rng)

        def took(what):
            name = f'dockercoins_step_duration_seconds_{what}'
            return sum(value - before.get(key, 0) for key, value in after.items() if key.startswith(name))

        # The step that is under way at either end may be counted, or not.
        assert took("sum") == pytest.approx(wall, abs=scale(0.6))
        # 5 workers, one of which is served, and two are elsewhere: on average two others are before one in line.
        queue = at_rng["http_request_queue_seconds_sum"] / at_rng["http_request_queue_seconds_count"]
        service = at_rng['http_request_service_seconds_sum{route="/N"}'] / requests(at_rng, route="/N")
        whole = at_rng['http_request_duration_seconds_sum{route="/N"}'] / requests(at_rng, route="/N")
        assert whole == pytest.approx(queue + service, abs=0.02)
        assert 0.1 <= service < 0.1 + scale(0.02)
        assert 0.12 < queue < 0.3 + scale(0.05)


def test_a_scrape_is_answered_at_once_while_a_thousand_requests_wait():
    with Service("rng", admin=True, DELAY_MS=1000) as rng, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(open_socket(rng.port)) for _ in range(1000)]
        for connection in waiting:
            connection.sendall(GET_1)
        eventually(lambda: scrape(rng)["http_requests_waiting"] >= 997, what="a thousand requests in line")
        slowest = 0
        for _ in range(20):
            begun = time.monotonic()
            assert scrape(rng)["http_requests_waiting"] > 900
            slowest = max(slowest, time.monotonic() - begun)
        assert slowest < scale(0.2)
        for connection in waiting:
            connection.close()
        # Those who left are passed over, and the line is empty again.
        eventually(lambda: scrape(rng)["http_requests_waiting"] == 0)
        eventually(lambda: requests(scrape(rng), route="/N") == 1000)


def test_webui_counts_readings_that_failed():
    with Redis() as redis, Service("webui", admin=True, REDIS_URL=redis.url) as webui:
        assert http(webui.port, "GET", "/json")[0] == 200
        values = scrape(webui)
        assert values["dockercoins_redis_failures_total"] == 0
        assert values["dockercoins_redis_round_trip_seconds_count"] == 2  # HLEN and GET
        redis.stop()
        for _ in range(3):
            assert http(webui.port, "GET", "/json")[0] == 503
        values = scrape(webui)
        assert values["dockercoins_redis_failures_total"] == 3
        assert values["dockercoins_redis_round_trip_seconds_count"] == 2
        eventually(lambda: requests(scrape(webui), route="/json", method="GET", status=503) == 3)


def test_a_worker_counts_its_errors_as_it_logs_them():
    with mine() as (_, rng, _hasher, _webui, workers):
        workers[0].wait_for_line("[1-9][0-9]* units of work done")
        assert rng.stop()[0] == 0
        workers[0].wait_for_line("Waiting 0.2s and restarting")
        eventually(lambda: scrape(workers[0])['dockercoins_errors_total{step="rng"}'] >= 2)
        values = scrape(workers[0])
        logged = len(re.findall("ERROR:worker:In work loop", workers[0].log))
        assert abs(values['dockercoins_errors_total{step="rng"}'] - logged) <= 1  # one may have come in between
        assert values['dockercoins_errors_total{step="redis"}'] == 0


@pytest.mark.parametrize("name", ALL)
def test_the_flag_prints_the_metrics_of_the_running_service(name):
    env = {} if name in ("rng", "hasher") else {"REDIS_URL": f"redis://127.0.0.1:{free_port()}"}
    with Service(name, admin=True, **env) as service:
        eventually(lambda: http_or_none(service.admin_port))
        for address in ("127.0.0.1", "0.0.0.0"):
            said = run(name, "--metrics", ADMIN_PORT=service.admin_port, BIND_ADDRESS=address)
            assert (said.returncode, said.stderr) == (0, "")
            assert samples(said.stdout).keys() == scrape(service).keys()
            assert said.stdout.startswith("# HELP ")


def http_or_none(port):
    with contextlib.suppress(OSError):
        return http(port, "GET", "/metrics")
    return None


@pytest.mark.parametrize("name", ALL)
def test_the_flag_says_in_one_line_why_there_are_no_metrics(name):
    port = free_port()
    for env, reason in (({"ADMIN_PORT": port}, f"no answer from the admin port 127.0.0.1:{port}"),
                        ({"ADMIN_PORT": 0}, "ADMIN_PORT=0: there is no admin port to ask")):
        said = run(name, "--metrics", **env)
        assert (said.returncode, said.stdout, said.stderr) == (1, "", f"{name}: {reason}\n")
    said = run(name, "--metrics", ADMIN_PORT="x")
    assert (said.returncode, said.stdout) == (2, "")
    assert "ADMIN_PORT=x" in said.stderr


@pytest.mark.parametrize("name", ALL)
def test_help_tells_of_the_flag(name):
    assert re.search(r"^  --metrics  ", run(name, "--help").stdout, re.MULTILINE)
    assert "--metrics" in run(name, "--nonsense").stderr


def test_the_flag_ends_though_the_admin_port_hangs():
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(Service("rng", admin=True))
        assert service.port
        service.send_signal(signal.SIGSTOP)
        try:
            begun = time.monotonic()
            said = run("rng", "--metrics", ADMIN_PORT=service.admin_port)
            assert said.returncode == 1
            assert time.monotonic() - begun < scale(5)
        finally:
            service.send_signal(signal.SIGCONT)


def test_scrapes_are_neither_logged_nor_counted():
    with Service("rng", admin=True) as rng:
        assert rng.port
        for _ in range(3):
            values = scrape(rng)
        assert requests(values) == 0
        assert rng.access_lines() == []
        assert http(rng.port, "GET", "/metrics")[0] == 404
        assert ask(rng.admin_port, b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body == b""
        assert http(rng.admin_port, "POST", "/metrics")[0] == 405


def test_a_service_that_gave_up_root_still_tells_of_itself():
    if os.geteuid() != 0:
        pytest.skip("needs root")
    with Service("rng", admin=True) as rng:
        assert rng.port
        with open(f"/proc/{rng.pid}/status", encoding="ascii") as status:
            assert re.search(r"^Uid:\s+65532\b", status.read(), re.MULTILINE)
        values = scrape(rng)
        assert values["process_open_fds"] >= 5
        assert values["process_resident_memory_bytes"] > 0


def test_labels_stay_few_whatever_clients_ask_for():
    with Service("rng", admin=True, DELAY_MS=0) as rng:
        for number in range(200):
            http(rng.port, "GET", f"/{number}")
            http(rng.port, "GET", f"/page-{number}")
            raw(rng.port, f"M{number} /{number}x HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: requests(scrape(rng)) == 600)
        assert len(scrape(rng)) < 300
