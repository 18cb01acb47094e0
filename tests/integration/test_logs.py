"""The logs of rng, hasher and webui: one access line per request, in Common Log Format, at once."""

import collections
import datetime
import re

import pytest

from clients import request_bytes
from harness import alone, ask, eventually, http

TIME = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\]")


def line_after(one, data):
    """The access line of a request, without its time, and the response."""
    port, before = one.port, len(one.access_lines())
    begun = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    answer = ask(port, data)
    line = eventually(lambda: one.access_lines()[before:])[0]
    logged = datetime.datetime.strptime(TIME.search(line)[1], "%d/%b/%Y:%H:%M:%S %z")
    assert begun <= logged <= datetime.datetime.now(datetime.timezone.utc)
    return TIME.sub("[]", line), answer


# The beginning of a request, and its labels in the metrics: route, method, status.
REQUESTS = {
    "rng": {
        "GET / HTTP/1.1": "/ GET 200",
        "GET /0 HTTP/1.1": "/N GET 200",
        "GET /%33%32?cache=no HTTP/1.0": "/N GET 200",
        "HEAD /32 HTTP/1.0": "/N HEAD 200",
        "GET /1x HTTP/1.1": "other GET 404",
        "GET /33554432 HTTP/1.1": "/N GET 400",
        "POST /32 HTTP/1.1": "/N POST 405",
        "OPTIONS * HTTP/1.1": "other OPTIONS 200",
        "M1 /32x HTTP/1.1": "other other 400"},
    "hasher": {
        "HEAD / HTTP/1.0": "/ HEAD 200",
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello": "/ POST 200",
        "POST / HTTP/1.1\r\nContent-Length: 99999999": "/ POST 413",
        "POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello": "other POST 404",
        "PUT / HTTP/1.1": "/ PUT 405"},
    "webui": {
        "GET / HTTP/1.1": "/ GET 302",
        "GET /json?x HTTP/1.1": "/json GET 503",
        "GET /index.html HTTP/1.1": "/FILE GET 200",
        "HEAD /app.js HTTP/1.1": "/FILE HEAD 200",
        "GET /assets/nothing HTTP/1.1": "/assets/FILE GET 404",
        "DELETE /index.html HTTP/1.1": "/FILE DELETE 405"},
}


@pytest.mark.parametrize("name", REQUESTS)
def test_each_request_has_its_line_with_status_and_size_and_is_counted_once_under_few_labels(name):
    with alone(name, admin=True, DELAY_MS=0) as one:
        for start, labels in REQUESTS[name].items():
            request_line, _, rest = start.partition("\r\n")
            line, answer = line_after(one, f"{request_line}\r\nHost: x\r\n{rest}\r\n\r\n".encode())
            assert line == f'127.0.0.1 - - [] "{request_line}" {labels[-3:]} {len(answer.body)}'
        for _ in range(2):  # the first is not counted
            metrics = http(one.admin_port, "GET", "/metrics")[2].decode()
        counts = re.findall(r'http_requests_total{method="(.*)",route="(.*)",status="(.*)"} (\d+)', metrics)
        assert {f"{route} {method} {status}": int(count) for method, route, status, count in counts} == (
            collections.Counter(REQUESTS[name].values()))


def test_a_target_is_shown_as_it_came_but_cannot_forge_a_line():
    with alone("webui") as webui:
        for target, shown in (
                *((same, same) for same in ("/%33%0d%0aX:y?x=%20y", "//a//b", "/%zz%", "http://x:80/nowhere?q", "/#x")),
                ("/" + "7" * 3000, "/" + "7" * 1023), ("/\x01\x1b[31mred\x7f\t", r"/\x01\x1b[31mred\x7f\x09"),
                ("/\x9b31m\xff", r"/\x9b31m\xff"), ('/"_200_1\\x', r'/\"_200_1\\x')):
            line, answer = line_after(webui, request_bytes(target))
            assert line.startswith(f'127.0.0.1 - - [] "GET {shown} HTTP/1.1" {answer.status} ')
