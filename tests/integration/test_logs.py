"""The logs of rng, hasher and webui: one access line per request, in Common Log Format, at once."""

import contextlib
import datetime
import re
import socket

import pytest

from harness import alone, ask, eventually, free_port, http, open_socket, read_to_end

TIME = re.compile(r"\[(\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d \+0000)\]")


def line_after(one, data, host="127.0.0.1"):
    """The access line of a request, without its time, and the body of the response."""
    port, before = one.port, len(one.access_lines())
    begun = datetime.datetime.now(datetime.timezone.utc).replace(microsecond=0)
    answer = ask(port, data, host=host)
    line = eventually(lambda: one.access_lines()[before:])[0]
    logged = datetime.datetime.strptime(TIME.search(line)[1], "%d/%b/%Y:%H:%M:%S %z")
    assert begun <= logged <= datetime.datetime.now(datetime.timezone.utc)
    return TIME.sub("[]", line), answer


@pytest.fixture(scope="module", params=["rng", "hasher", "webui"])
def served(request):
    with alone(request.param, **({} if request.param == "webui" else {"DELAY_MS": 0})) as one:
        yield one


NAME_BYTES = len(f" running on {socket.gethostname()}\n")
LINES = {
    "rng": {
        "GET / HTTP/1.1": (200, NAME_BYTES + len("RNG")),
        "GET /0 HTTP/1.1": (200, 0),
        "GET /%33%32?cache=no HTTP/1.0": (200, 32),
        "HEAD /32 HTTP/1.0": (200, 0),
        "GET /33554432 HTTP/1.1": (400, None),
        "OPTIONS * HTTP/1.1": (200, 0)},
    "hasher": {
        "HEAD / HTTP/1.0": (200, 0),
        "POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello": (200, 64),
        "POST / HTTP/1.1\r\nContent-Length: 99999999": (413, None),
        "POST /x HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello": (404, None),
        "PUT / HTTP/1.1": (405, None)},
    "webui": {
        "GET / HTTP/1.1": (302, 0),
        "GET /json HTTP/1.1": (503, len('{"error":"Redis at 127.0.0.1:1: connection refused"}'))},
}


def test_each_request_has_its_line_with_status_and_size(served):
    for data, (status, size) in LINES[served.name].items():
        request_line, _, rest = data.partition("\r\n")
        line, answer = line_after(served, f"{request_line}\r\nHost: x\r\n{rest}\r\n\r\n".encode())
        if size is None:
            size = len(answer.body)
        assert line == f'127.0.0.1 - - [] "{request_line}" {status} {size}'


@pytest.mark.parametrize("target, shown", [
    *((same, same) for same in ("/%33%0d%0aX:y?x=%20y", "//a//b", "/%zz%", "http://rng:80/nowhere?q", "/#x")),
    ("/" + "7" * 3000, "/" + "7" * 1023),
    (b"/\x01\x1b[31mred\x7f\t", r"/\x01\x1b[31mred\x7f\x09"), (b"/\x9b31m\xff", r"/\x9b31m\xff"),
    (b'/"_200_1\\x', r'/\"_200_1\\x')], ids=lambda target: str(target)[:20])
def test_a_target_is_shown_as_it_came_but_cannot_forge_a_line(served, target, shown):
    target = target if isinstance(target, bytes) else target.encode()
    line, answer = line_after(served, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert line.startswith(f'127.0.0.1 - - [] "GET {shown} HTTP/1.1" {answer.status} ')


@pytest.mark.threads
def test_there_is_one_whole_line_per_request_however_many_come():
    with alone("hasher") as hasher, contextlib.ExitStack() as stack:
        connections = [stack.enter_context(open_socket(hasher.port)) for _ in range(300)]
        for at, connection in enumerate(connections):
            connection.sendall(b"GET /%d%s HTTP/1.1\r\nHost: x\r\n\r\n" % (at, b"x" * 900))
        for connection in connections:
            read_to_end(connection)
        open_socket(hasher.port).close()  # sends nothing and leaves: no request, no line
        assert hasher.stop()[0] == 0
        assert sorted(int(re.fullmatch(r'\S+ - - \[.*\] "GET /(\d+)x{900} HTTP/1.1" 404 \d+', line)[1])
                      for line in hasher.lines[1:]) == list(range(300))


@pytest.mark.parametrize("name", ["rng", "hasher", "webui"])
def test_the_first_line_names_the_port_and_debug_adds_the_times_of_each_request(name):
    port = free_port()
    with alone(name, PORT=port, BIND_ADDRESS="::", TZ="Asia/Kolkata", DEBUG="y") as one:
        one.wait_for_line("running on port")
        assert http(port, "GET", "/")[0] in (200, 302)
        times = one.wait_for_line(rf"^DEBUG:{name}:That request waited (.*) ms in the queue and was served in (.*) ms$")
        assert all(0 <= float(time) < 5000 for time in times.groups())
        for host in ("127.0.0.1", "::1"):
            assert line_after(one, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", host)[0].startswith(f"{host} - - []")
        assert one.lines[0] == f"{name.upper()} running on port {port}"
        assert one.stderr == []
