"""The metrics: on the admin port, exact, and never waiting for the work."""

import os
import re
import shutil
import signal
import subprocess
import time

import pytest

from harness import (REPO, Mine, Redis, Service, alone, counted, eventually, http, open_socket, raw, scale,
                     wait_until_up)

ALL = ["rng", "hasher", "webui", "worker"]


def text_of(service):
    status, headers, body = http(service.admin_port, "GET", "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    return body.decode()


def scrape(service):
    """The samples by name and labels, as in 'up{job="rng"}'."""
    lines = [line.rsplit(" ", 1) for line in text_of(service).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


def requests(values):
    """Counted requests, by route, method and status."""
    counted = (re.fullmatch(r'http_requests_total{method="(.*)",route="(.*)",status="(.*)"}', name) for name in values)
    return {found.group(2, 1, 3): values[found.string] for found in counted if found}


def names_in_reference():
    """Names of metrics by service, from the table in docs/reference.md."""
    with open(os.path.join(REPO, "docs/reference.md"), encoding="utf-8") as page:
        table = re.search(r"^## Metrics\n\n.*\n.*\n((\|.*\n)+)", page.read(), re.MULTILINE)[1]
    found = {name: set() for name in ALL}
    services = ""
    for _, of, names, *_ in (row.split("|") for row in table.splitlines()):
        services = of.strip() or services
        for name in ALL if services == "all" else services.split(", "):
            found[name] |= set(re.findall(r"`(\w+)(?:{[\w,]+})?`", names))
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


COUNTED = {
    "rng": {
        (b"GET /32 HTTP/1.1", b"GET /%33%32?query HTTP/1.0", b"GET /0 HTTP/1.1"): ("/N", "GET", "200"),
        (b"HEAD / HTTP/1.0",): ("/", "HEAD", "200"),
        (b"GET /nowhere HTTP/1.1", b"GET /1x HTTP/1.1"): ("other", "GET", "404"),
        (b"GET /99999999999 HTTP/1.1", b"GET /32?x HTTP/1.1\r\nContent-Length: x"): ("/N", "GET", "400"),
        (b"POST /32 HTTP/1.1",): ("/N", "POST", "405"),
        (b"nonsense", b"BREW /pot HTTP/1.1", b"M1 /32x HTTP/1.1"): ("other", "other", "400")},
    "hasher": {
        (b"POST / HTTP/1.1", b"POST /?x HTTP/1.1"): ("/", "POST", "200"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999",): ("/", "POST", "413"),
        (b"PUT / HTTP/1.1",): ("/", "PUT", "405"),
        (b"GET /32 HTTP/1.1",): ("other", "GET", "404")},
    "webui": {
        (b"GET / HTTP/1.1",): ("/", "GET", "302"),
        (b"GET /json HTTP/1.1", b"GET /json?x HTTP/1.1"): ("/json", "GET", "503"),
        (b"GET /index.html HTTP/1.1", b"GET /app.js HTTP/1.1"): ("/FILE", "GET", "200"),
        (b"GET /assets/nothing HTTP/1.1",): ("/assets/FILE", "GET", "404"),
        (b"DELETE /index.html HTTP/1.1",): ("/FILE", "DELETE", "405")},
}


@pytest.mark.parametrize("name", COUNTED)
def test_every_line_of_the_access_log_is_counted_once_under_few_labels(name):
    with alone(name, admin=True, DELAY_MS=0) as service:
        wait_until_up(service)
        assert requests(scrape(service)) == {}, "scrapes are not counted"
        for starts in COUNTED[name]:
            for start in starts:
                raw(service.port, start + b"\r\nHost: x\r\n\r\n")
        open_socket(service.port).close()  # sent nothing: no line, no count
        eventually(lambda: len(service.access_lines()) == sum(map(len, COUNTED[name])))
        assert requests(scrape(service)) == {labels: len(starts) for starts, labels in COUNTED[name].items()}


@pytest.mark.threads
def test_the_counters_agree_with_redis_with_each_other_and_with_the_clock():
    begun = time.monotonic()
    with Mine(2, admin=True) as mine:
        redis, rng, hasher, workers = mine.redis, mine.rng, mine.hasher, mine.workers
        eventually(lambda: counted(redis) >= 12, 20, what="12 hashes")
        rng.send_signal(signal.SIGSTOP)  # every worker waits for it in the end

        def numbers():
            return [{name: value for name, value in scrape(worker).items() if name.startswith("dockercoins_")}
                    for worker in workers]

        def settled():
            """The workers' numbers, once they no longer change and hasher is idle."""
            before = numbers()
            time.sleep(scale(0.4))
            loops = sum(one["dockercoins_loops_total"] for one in before)
            return requests(scrape(hasher)) == {("/", "POST", "200"): loops} and before == numbers() and before

        values = eventually(settled, 20, what="all workers waiting for rng")
        elapsed = time.monotonic() - begun
        rng.send_signal(signal.SIGCONT)
        loops = [one["dockercoins_loops_total"] for one in values]
        unstored = sum(one["dockercoins_loops_unstored"] for one in values)
        assert sum(loops) - unstored == counted(redis)
        assert sum(one["dockercoins_coins_total"] for one in values) == redis.command("HLEN", "wallet")
        for one, count in zip(values, loops):
            for step, times in (("work", count + 1), ("rng", count), ("hasher", count)):
                assert one[f'dockercoins_step_duration_seconds_count{{step="{step}"}}'] == times
                assert 0.1 * times <= one[f'dockercoins_step_duration_seconds_sum{{step="{step}"}}'] < elapsed
            assert not any(value for name, value in one.items() if name.startswith("dockercoins_errors_total"))
        at_rng = scrape(rng)
        served = at_rng['http_request_service_seconds_sum{route="/N"}']
        assert served >= 0.1 * at_rng['http_request_service_seconds_count{route="/N"}'] > 0
        assert at_rng["http_request_queue_seconds_sum"] > 0
        in_all = served + at_rng["http_request_queue_seconds_sum"]
        # A busy machine is slow to write.
        assert 0.99 * in_all < at_rng['http_request_duration_seconds_sum{route="/N"}'] < 1.01 * in_all + scale(0.5)


def test_webui_counts_failed_readings():
    with Redis() as redis, Service("webui", admin=True, REDIS_URL=redis.url) as webui:
        for status, failures in ((200, 0), (503, 1), (503, 2)):
            assert http(webui.port, "GET", "/json")[0] == status
            values = scrape(webui)
            # While somebody looks, webui reads once a second by itself, too. A reading is HLEN and GET.
            assert values["dockercoins_redis_failures_total"] in range(failures, failures + 3 if failures else 1)
            assert values["dockercoins_redis_round_trip_seconds_count"] in (2, 4, 6)
            redis.stop()
