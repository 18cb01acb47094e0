"""The logs of rng, hasher and webui: an access line a request in Common Log Format, at once."""

import datetime
import os
import re
import socket
import time

import pytest

from harness import Answer, Service, ask, eventually, free_port, http, open_socket, read_to_end, scale

CLF = re.compile(
    r"^(?P<client>\S+) - - \[(?P<time>\d\d/(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)/"
    r"\d{4}:\d\d:\d\d:\d\d "
    r'[+-]\d{4})\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}|-) (?P<size>\d+|-)$'
)


def service(name, **env):
    if name == "webui":
        env.setdefault("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
        env["FILES_DIR"] = "/usr/share"
    else:
        env.setdefault("DELAY_MS", "0")
    return Service(name, **env)


def line_after(one, data, host="127.0.0.1"):
    """The one access line of a request, taken apart, and the answer."""
    before = len(one.access_lines())
    answer = ask(one.port, data, host=host)
    lines = eventually(lambda: one.access_lines()[before:], 2)
    time.sleep(0.02)
    assert len(one.access_lines()) == before + 1, one.access_lines()[before:]
    match = CLF.match(lines[0])
    assert match, lines[0]
    return match, answer


@pytest.fixture(scope="module", params=["rng", "hasher", "webui"])
def served(request):
    with service(request.param) as one:
        yield one


@pytest.fixture(scope="module")
def rng():
    with service("rng") as one:
        yield one


@pytest.mark.parametrize("name", ["rng", "hasher", "webui"])
@pytest.mark.parametrize("value, on", [("y", True), ("n", False)])
def test_the_debug_log_has_the_times_of_a_request(name, value, on):
    with service(name, DEBUG=value) as one:
        ask(one.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        eventually(one.access_lines, 2)
        if on:
            one.wait_for_line(
                rf"^DEBUG:{name}:That request waited \d+\.\d ms in line and was served in \d+\.\d ms$")
        else:
            time.sleep(0.05)
            assert "DEBUG" not in one.log


def test_the_line_is_that_of_the_contract(rng):
    before = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    match, _ = line_after(rng, b"GET /32 HTTP/1.1\r\nHost: x\r\n\r\n")
    after = datetime.datetime.now(datetime.timezone.utc)
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /32 HTTP/1\.1" 200 32',
        match.string,
    )
    assert before <= datetime.datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z") <= after


def test_the_time_is_right_in_any_time_zone():
    for zone in ("UTC", "Asia/Kolkata", "America/New_York"):
        with service("rng", TZ=zone) as rng:
            match, _ = line_after(rng, b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
            shown = datetime.datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z")
            assert abs(shown.timestamp() - time.time()) < scale(3)


@pytest.mark.parametrize(
    "request_line, status, size",
    [
        ("GET / HTTP/1.1", "200", len(f"RNG running on {socket.gethostname()}\n")),
        ("GET /0 HTTP/1.1", "200", 0),
        ("GET /1000 HTTP/1.0", "200", 1000),
        ("GET /0032 HTTP/1.1", "200", 32),
        ("GET /33554431 HTTP/1.1", "200", 33554431),
    ],
)
def test_shows_the_status_and_the_size_of_the_body(rng, request_line, status, size):
    match, answer = line_after(rng, f"{request_line}\r\nHost: x\r\n\r\n".encode())
    assert match["request"] == request_line
    assert (match["status"], match["size"]) == (status, str(size))
    assert len(answer.body) == size


@pytest.mark.parametrize(
    "request_line, status",
    [
        ("GET /33554432 HTTP/1.1", "400"),
        ("GET /abc HTTP/1.1", "404"),
        ("DELETE /32 HTTP/1.1", "405"),
        ("POST / HTTP/1.0", "405"),
    ],
)
def test_shows_the_refusals_too(rng, request_line, status):
    match, answer = line_after(rng, f"{request_line}\r\nHost: x\r\n\r\n".encode())
    assert match["request"] == request_line
    assert (match["status"], match["size"]) == (status, str(len(answer.body)))


def test_shows_head_as_head_with_no_bytes(rng):
    for target in ("/", "/32", "/abc"):
        match, _ = line_after(rng, f"HEAD {target} HTTP/1.0\r\n\r\n".encode())
        assert match["request"] == f"HEAD {target} HTTP/1.0"
        assert match["size"] in ("0", "-")


@pytest.mark.parametrize(
    "target",
    [
        "/32?",
        "/32?cache=no&x=%20y",
        "/%33%32",
        "/abc%0d%0aSet-Cookie:x",
        "//double//slashes",
        "/%",
        "/%zz%",
        "/a;b=c",
        "/~user/../x/./y",
        "http://rng:80/32?q",
        "/" + "7" * 3000,
        "/#fragment",
        "/a+b",
    ],
    ids=lambda target: target[:20],
)
def test_shows_the_target_as_it_came(served, target):
    match, _ = line_after(served, f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert match["request"] == f"GET {target} HTTP/1.1"


@pytest.mark.parametrize(
    "target",
    [b"/\x01\x02\x1b[31mred\x7f", b"/tab\there", b"/\x80\xff", "/é".encode(), b"/cr\rhere", b"/\x9b31m"],
    ids=["control", "tab", "not UTF-8", "UTF-8", "CR", "C1 control"],
)
def test_control_characters_in_a_target_are_escaped(served, target):
    match, answer = line_after(served, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert match["status"] == str(answer.status)
    assert re.fullmatch(
        r"[\x20-\x7e]*", match.string.encode("utf-8", "surrogateescape").decode("utf-8").replace("é", "")
    ), match.string
    assert match["request"] == "-" or match["request"].startswith("GET /")


def test_quotes_in_a_target_cannot_forge_a_line(served):
    match, _ = line_after(served, b'GET /"_200_1\\"x HTTP/1.1\r\nHost: x\r\n\r\n')
    assert re.sub(r"\\(.)", r"\1", match["request"]) == 'GET /"_200_1\\"x HTTP/1.1'
    assert match["status"] == "404"


@pytest.mark.parametrize(
    "data, status",
    [
        (b"GARBAGE\r\n\r\n", "400"),
        (b"get / HTTP/1.1\r\n\r\n", "400"),
        (b"GET / HTTP/1.1\nHost: x\n\n", "400"),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\n\r\n", "414"),
        (b"GET / HTTP/1.1\r\n" + b"a:b\r\n" * 5000 + b"\r\n", "431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", "400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", "400"),
    ],
    ids=["garbage", "lower case", "bare LF", "long line", "many headers", "two lengths", "garbled length"],
)
def test_there_is_a_line_also_for_what_is_no_request(served, data, status):
    match, answer = line_after(served, data)
    assert str(answer.status) == status
    assert match["status"] == status
    assert match["client"] == "127.0.0.1"


@pytest.mark.parametrize(
    "request_bytes, status, size",
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "200", "64"),
        (b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello", "404", None),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", "413", None),
        (b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", "405", None),
    ],
)
def test_hasher_logs_its_posts(request_bytes, status, size):
    with service("hasher") as hasher:
        match, answer = line_after(hasher, request_bytes)
        assert match["request"] == request_bytes.split(b"\r\n")[0].decode()
        assert match["status"] == status
        assert match["size"] == (size or str(len(answer.body)))


def test_an_expected_100_continue_is_no_line_of_its_own():
    with service("hasher") as hasher:
        with open_socket(hasher.port) as connection:
            connection.sendall(
                b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
            )
            assert connection.recv(1000).startswith(b"HTTP/1.1 100")
            connection.sendall(b"hello")
            assert Answer(read_to_end(connection)).status == 200
        (line,) = eventually(hasher.access_lines)
        assert line.endswith('"POST / HTTP/1.1" 200 64')


def test_webui_logs_its_redirect_and_its_polls():
    with service("webui") as webui:
        match, _ = line_after(webui, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert match["status"] == "302"
        match, answer = line_after(webui, b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (match["status"], match["size"]) == ("503", str(len(answer.body)))


def test_there_is_one_line_a_request_no_more_no_less():
    with service("rng") as rng:
        for at in range(20):
            http(rng.port, "GET", f"/{at}")
            http(rng.port, "HEAD", f"/x{at}")
            ask(rng.port, b"GARBAGE %d\r\n\r\n" % at)
        lines = eventually(lambda: len(rng.access_lines()) >= 60 and rng.access_lines())
        assert len(lines) == 60
        # Sorted: which of two is logged first is nobody's promise.
        assert (
            sorted(CLF.match(line)["status"] for line in lines) == ["200"] * 20 + ["400"] * 20 + ["404"] * 20
        )
        open_socket(rng.port).close()  # says nothing and goes: no request, no line
        time.sleep(0.1)
        assert len(rng.lines) == 61


def test_lines_of_many_requests_at_once_are_never_torn():
    with service("hasher") as hasher:
        connections = [open_socket(hasher.port) for _ in range(300)]
        for at, connection in enumerate(connections):
            connection.sendall(b"GET /%d%s HTTP/1.1\r\nHost: x\r\n\r\n" % (at, b"x" * 4000))
        for connection in connections:
            read_to_end(connection)
            connection.close()
        lines = eventually(lambda: len(hasher.access_lines()) >= 300 and hasher.access_lines())
        assert all(CLF.match(line) for line in hasher.lines[1:])
        assert sorted(int(re.search(r"GET /(\d+)x", line).group(1)) for line in lines) == list(range(300))


@pytest.mark.parametrize("name", ["rng", "hasher", "webui"])
def test_the_first_line_says_where_it_runs_and_from_then_on_it_serves(name):
    port = free_port()
    for _ in range(5):
        with service(name, PORT=port) as one:
            one.wait_for_line(r"running on port", 10)
            open_socket(port).close()
            assert one.lines[0] == f"{name.upper()} running on port {port}"
            assert one.stdout[0] == one.lines[0]


def test_lines_are_flushed_at_once(rng):
    for at in range(10):
        begun = time.monotonic()
        ask(rng.port, b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % (900 + at))
        rng.wait_for_line(rf'"GET /{900 + at} HTTP', 1)
        assert time.monotonic() - begun < scale(0.5)


def test_logs_go_to_stdout_and_nothing_to_stderr(served):
    before = len(served.stdout)
    ask(served.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
    eventually(lambda: len(served.stdout) > before)
    assert served.stderr == []


@pytest.mark.skipif(not os.path.exists("/proc/net/if_inet6"), reason="no IPv6 on this machine")
def test_shows_the_clients_address_ipv4_without_prefix():
    with service("rng", BIND_ADDRESS="::") as rng:
        assert line_after(rng, b"GET /1 HTTP/1.1\r\n\r\n", host="127.0.0.1")[0]["client"] == "127.0.0.1"
        assert line_after(rng, b"GET /1 HTTP/1.1\r\n\r\n", host="::1")[0]["client"] == "::1"
