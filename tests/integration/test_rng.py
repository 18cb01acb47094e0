"""rng: random bytes over HTTP, one request at a time, whatever the clients do."""

import contextlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import threading
import time

import pytest

from harness import (
    Answer,
    NAMESPACES,
    SANITIZED,
    Service,
    answer_after_sending,
    ask,
    collect,
    eventually,
    http,
    open_socket,
    private_kib,
    read_to_end,
    scale,
)

LIMIT = 33554431  # 2^25 - 1: what one read of /dev/urandom yields


def get(target, version="1.1", method="GET", extra=""):
    return f"{method} {target} HTTP/{version}\r\nHost: rng\r\n{extra}\r\n".encode()


@pytest.fixture(scope="module")
def rng():
    """An rng that answers at once, for what has nothing to do with time."""
    with Service("rng", DELAY_MS=0) as service:
        yield service


# ---------------------------------------------------------------------------------------------------- answers


def test_root_says_who_it_is(rng):
    answer = ask(rng.port, get("/"))
    assert answer.status == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.body == f"RNG running on {socket.gethostname()}\n".encode()
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize(
    "target, size",
    [
        ("/0", 0),
        ("/1", 1),
        ("/32", 32),
        ("/00032", 32),
        ("/1000000", 1000000),
        ("/" + "0" * 7000 + "32", 32),
        ("/" + "0" * 7000, 0),
    ],
    ids=lambda value: str(value)[:12],
)
def test_gives_exactly_that_many_bytes(rng, target, size):
    answer = ask(rng.port, get(target))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-length"] == str(size)
    assert len(answer.body) == size


def test_gives_as_much_as_the_limit_and_its_memory_stays_flat(rng):
    http(rng.port, "GET", "/32")
    before = private_kib(rng.pid)
    with open_socket(rng.port) as connection:
        connection.sendall(get(f"/{LIMIT}"))
        data = bytearray()
        highest = 0
        for megabytes in range(1, 33):
            data += read_to_end(connection, (megabytes << 20) - len(data))
            highest = max(highest, private_kib(rng.pid))
        data += read_to_end(connection)
    answer = Answer(bytes(data))
    assert answer.status == 200
    assert answer.headers["content-length"] == str(LIMIT)
    assert len(answer.body) == LIMIT
    if not SANITIZED:
        assert highest - before < 1024


@pytest.mark.parametrize(
    "number",
    [
        str(LIMIT + 1),
        str(2**31),
        str(2**32 + 32),
        str(2**63),
        str(2**64 + 32),
        "1" + "0" * 30,
        "9" * 7000,
        "0" * 100 + str(LIMIT + 1),
    ],
    ids=lambda number: number[:12] + "_" + str(len(number)),
)
def test_a_number_over_the_limit_is_400_and_the_answer_names_the_limit(rng, number):
    answer = ask(rng.port, get("/" + number))
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/plain")
    assert str(LIMIT).encode() in answer.body
    assert answer.body.rstrip(b"\n").count(b"\n") == 0
    assert answer.headers["content-length"] == str(len(answer.body))


BAD_PATHS = [
    "/-1",
    "/abc",
    "/3.5",
    "/32/",
    "/+32",
    "/32abc",
    "/0x20",
    "/1e3",
    "/32/32",
    "//32",
    "//",
    "/index.html",
    "/%2032",
    "/%D9%A3",
    "/../32",
    "/%2F",
    "/favicon.ico",
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_another_path_is_404_in_one_line(rng, path):
    answer = ask(rng.port, get(path))
    assert answer.status == 404
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.body.strip() and answer.body.rstrip(b"\n").count(b"\n") == 0
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("path", ["/", "/32"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"])
def test_another_method_on_a_known_path_is_405_with_allow(rng, path, method):
    answer = ask(rng.port, get(path, method=method, extra="Content-Length: 0\r\n"))
    assert answer.status == 405
    assert {"GET", "HEAD"} == set(re.split(r",\s*", answer.headers["allow"]))
    assert answer.headers["content-length"] == str(len(answer.body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_on_an_unknown_path_is_404(rng, method):
    assert ask(rng.port, get("/abc", method=method, extra="Content-Length: 0\r\n")).status == 404


@pytest.mark.parametrize(
    "target, status",
    [
        ("/32?cache=no", 200),
        ("/%33%32", 200),
        ("http://rng/32", 200),
        ("http://127.0.0.1:80/32?x", 200),
        ("http://rng/abc", 404),
        ("http://rng/", 200),
    ],
)
def test_understands_the_forms_that_a_target_may_have(rng, target, status):
    answer = ask(rng.port, get(target))
    assert answer.status == status
    if target != "http://rng/" and status == 200:
        assert len(answer.body) == 32


@pytest.mark.parametrize(
    "target",
    ["/", "/0", "/32", f"/{LIMIT}", f"/{LIMIT + 1}", "/abc", "/" + "9" * 7000],
    ids=lambda target: target[:12] + "_" + str(len(target)),
)
def test_head_has_the_headers_of_get_and_no_body(rng, target):
    head = ask(rng.port, get(target, method="HEAD"))
    with open_socket(rng.port) as connection:
        connection.sendall(get(target))
        data = read_to_end(connection, 2000)  # enough for the head: the limit's body is not read
    whole = Answer(data)
    assert head.status == whole.status
    assert head.body == b""
    for headers in (head.headers, whole.headers):
        headers.pop("date", None)
    assert head.headers == whole.headers


@pytest.mark.parametrize(
    "request_bytes, body",
    [
        (b"HEAD / HTTP/1.0\r\nHost: 127.0.0.1\r\nUser-Agent: HTTPing v2.5\r\n\r\n", 0),
        (b"HEAD / HTTP/1.0\r\n\r\n", 0),
        (b"GET /32 HTTP/1.0\r\nHost: 127.0.0.1:80\r\nUser-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n", 32),
        (
            b"GET /32 HTTP/1.0\r\nConnection: Keep-Alive\r\nHost: rng\r\n"
            b"User-Agent: ApacheBench/2.3\r\nAccept: */*\r\n\r\n",
            32,
        ),
        (b"GET /32 HTTP/1.0\r\n\r\n", 32),
        (
            b"GET /32 HTTP/1.1\r\nHost: rng\r\nConnection: keep-alive\r\n"
            b"Accept-Encoding: gzip, br\r\nTE: chunked\r\n\r\n",
            32,
        ),
        (
            b"GET /32 HTTP/1.1\r\nHost: rng\r\nUser-Agent: python-requests/2.18.4\r\n"
            b"Accept-Encoding: gzip, deflate\r\nAccept: */*\r\nConnection: keep-alive\r\n\r\n",
            32,
        ),
    ],
    ids=["httping", "HEAD 1.0 bare", "ab", "ab -k", "GET 1.0 bare", "1.1 keep-alive", "the original's worker"],
)
def test_answers_whoever_matters_with_a_content_length_never_chunked_and_then_closes(rng, request_bytes, body):
    begun = time.monotonic()
    answer = ask(rng.port, request_bytes)
    assert time.monotonic() - begun < scale(1)  # closed by the server, keep-alive or not
    assert answer.status == 200
    assert len(answer.body) == body
    assert "content-length" in answer.headers
    assert "transfer-encoding" not in answer.headers
    assert answer.headers["connection"].lower() == "close"


@pytest.mark.parametrize("target", ["/", "/0", "/32", f"/{LIMIT + 1}", "/abc"])
def test_every_answer_carries_its_content_length(rng, target):
    for version in ("1.0", "1.1"):
        answer = ask(rng.port, get(target, version))
        assert answer.headers["content-length"] == str(len(answer.body))
        assert "transfer-encoding" not in answer.headers


@pytest.mark.parametrize(
    "value",
    [
        "bytes=0-3",
        "bytes=-5",
        "bytes=4-",
        "bytes=0-0,5-6",
        "bytes=100-200",
        "bytes=9-2",
        "bytes=garbled",
        "bytes=",
        "lines=1-2",
        "bytes=99999999999999999999-",
        "",
    ],
)
def test_knows_no_ranges(rng, value):
    for method in ("GET", "HEAD"):
        answer = ask(rng.port, get("/32", method=method, extra=f"Range: {value}\r\n"))
        assert answer.status == 200
        assert answer.headers["content-length"] == "32"
        assert "content-range" not in answer.headers
        assert "accept-ranges" not in answer.headers
        assert len(answer.body) == (32 if method == "GET" else 0)


def test_the_bytes_are_random(rng):
    first, second = (ask(rng.port, get("/100000")).body for _ in range(2))
    assert first != second
    for sample in (first, second):
        # 256 values, each expected 391 times: far beyond chance (some 30 standard deviations) if outside
        # 100..1000
        counts = [sample.count(bytes([value])) for value in range(256)]
        assert min(counts) > 100 and max(counts) < 1000
    large = ask(rng.port, get("/1000000")).body  # no piece of a streamed answer repeats
    assert len({large[at : at + 64] for at in range(0, 999936, 64)}) == 15624


@pytest.mark.skipif(not NAMESPACES, reason="needs root and namespaces")
def test_the_bytes_come_from_dev_urandom():
    """Where /dev/urandom is replaced by a source of zeros, zeros come."""
    with Service(
        "rng",
        DELAY_MS=0,
        prefix=["unshare", "--mount", "sh", "-c", 'mount --bind /dev/zero /dev/urandom && exec "$@"', "sh"],
    ) as rng:
        assert ask(rng.port, get("/100000")).body == bytes(100000)


# ---------------------------------------------------------------------------------------------- one at a time


def test_serves_twenty_concurrent_requests_one_at_a_time():
    """Also where they are of different kinds: HEAD as GET, HTTP/1.0 as 1.1, whatever the number."""
    delay = 0.1
    mixed = [get("/32"), get("/0"), get("/32", "1.0"), get("/1000", method="HEAD"), get("/32", "1.0", "HEAD")]
    with Service("rng", DELAY_MS=100) as rng:
        port = rng.port
        connections = [open_socket(port) for _ in range(20)]
        begun = time.monotonic()
        for at, connection in enumerate(connections):
            connection.sendall(mixed[at % len(mixed)])
        results = collect(connections, 20)
    for data, _ in results:
        assert Answer(data).status == 200
    ends = sorted(end - begun for _, end in results)
    for place, end in enumerate(ends, start=1):
        # Were any two served at the same time, those behind them would end a whole DELAY earlier.
        assert end >= place * delay - 0.02, f"answer {place} came after {end:.3f} s: {ends}"
    assert ends[-1] < 20 * delay * 1.05 + scale(0.3)


def assert_served_in_order(rng, connections, delay):
    """Each has sent a request whose target ends in ?PLACE. Both the answers and the log have to be in that
    order.
    """
    ends = [end for _, end in collect(connections, 20)]
    # A client that is not given the CPU for a moment sees two answers at once, hence the half DELAY of
    # tolerance here ...
    assert all(later > earlier - delay / 2 for earlier, later in zip(ends, ends[1:])), ends
    lines = eventually(lambda: len(rng.access_lines()) >= len(connections) and rng.access_lines())
    # ... and none there.
    assert [int(re.search(r"\?(\d+) HTTP", line).group(1)) for line in lines] == list(range(len(connections)))


def test_serves_in_the_order_in_which_requests_arrived():
    with Service("rng", DELAY_MS=60) as rng:
        port = rng.port
        connections = [open_socket(port) for _ in range(20)]
        for at, connection in enumerate(connections):
            target, version, method = [
                ("/32", "1.1", "GET"),
                ("/", "1.0", "HEAD"),
                ("/0", "1.0", "HEAD"),
                ("/", "1.1", "GET"),
                ("/1", "1.0", "GET"),
            ][at % 5]
            connection.sendall(get(f"{target}?{at}", version, method))
            time.sleep(0.02)  # the order of arrival, beyond doubt
        assert_served_in_order(rng, connections, 0.06)


def test_the_place_in_the_line_is_that_of_the_complete_request_not_of_the_connection():
    with Service("rng", DELAY_MS=100) as rng:
        port = rng.port
        connections = [open_socket(port) for _ in range(10)]
        for at, connection in enumerate(connections):
            connection.sendall(get(f"/32?{9 - at}")[:-3])  # all but the end
        time.sleep(0.1)
        for connection in reversed(connections):
            connection.sendall(get("/32")[-3:])
            time.sleep(0.02)
        assert_served_in_order(rng, connections[::-1], 0.1)


def test_a_second_request_waits_until_the_first_is_answered():
    with Service("rng", DELAY_MS=400) as rng:
        port = rng.port
        with open_socket(port) as first, open_socket(port) as second:
            begun = time.monotonic()
            first.sendall(get("/1", method="HEAD"))
            time.sleep(0.1)
            second.sendall(get("/32"))
            (_, first_end), (_, second_end) = collect([first, second])
    assert 0.39 <= first_end - begun < 0.4 + scale(0.3)
    assert second_end - first_end > 0.35
    assert 0.79 <= second_end - begun < 0.8 + scale(0.3)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_the_root_takes_no_delay_of_its_own_but_stands_in_the_same_line(method):
    """What makes httping show how long the line is."""
    with Service("rng", DELAY_MS=500) as rng:
        port = rng.port
        begun = time.monotonic()
        assert ask(port, get("/", "1.0", method)).status == 200
        assert time.monotonic() - begun < scale(0.25)
        with open_socket(port) as first, open_socket(port) as root, open_socket(port) as last:
            begun = time.monotonic()
            for connection, request in (
                (first, get("/1")),
                (root, get("/", "1.0", method)),
                (last, get("/2")),
            ):
                connection.sendall(request)
                time.sleep(0.05)
            ends = [end - begun for _, end in collect([first, root, last])]
    assert ends[1] >= 0.49  # behind the first
    assert 0.99 <= ends[2] < 1 + scale(0.3)  # and the third as if it were not there


def test_a_thousand_requests_are_served_in_order():
    with Service("rng", DELAY_MS=1) as rng:
        port = rng.port
        connections = [open_socket(port) for _ in range(1001)]
        connections[0].sendall(get("/100?0"))
        for at, connection in enumerate(connections[1:], start=1):
            connection.sendall(get(f"/32?{at}"))
        results = collect(connections, 60)
        assert all(Answer(data).status == 200 for data, _ in results)
        lines = eventually(lambda: len(rng.access_lines()) >= 1001 and rng.access_lines())
        order = [int(re.search(r"\?(\d+) HTTP", line).group(1)) for line in lines]
        # Sent so fast one after the other, two may become readable for rng in the same instant: those count
        # as one.
        late = [place for place, number in enumerate(order) if abs(place - number) > 20]
        assert not late


@pytest.mark.parametrize("target", ["/0", "/1", "/32", "/0032"])
def test_delay_is_slept_for_every_good_request(target):
    with Service("rng", DELAY_MS=300) as rng:
        port = rng.port
        for method in ("GET", "HEAD"):
            begun = time.monotonic()
            assert ask(port, get(target, method=method)).status == 200
            assert 0.29 <= time.monotonic() - begun < 0.3 + scale(0.3)


def test_an_error_answer_takes_no_delay():
    with Service("rng", DELAY_MS=2000) as rng:
        port = rng.port
        for request, status in (
            (get("/abc"), 404),
            (get("/-1"), 404),
            (get(f"/{LIMIT + 1}"), 400),
            (get("/32", method="DELETE"), 405),
            (get("/", method="PUT", extra="Content-Length: 0\r\n"), 405),
            (get("/abc", method="HEAD"), 404),
            (b"GARBAGE\r\n\r\n", 400),
        ):
            begun = time.monotonic()
            assert ask(port, request).status == status
            assert time.monotonic() - begun < scale(0.5)


def httping(*words):
    """The milliseconds that httping shows, after it has failed at nothing."""
    shown = subprocess.run(
        ["httping", *words], capture_output=True, text=True, timeout=scale(20), check=False
    )
    assert re.search(r" (\d+) connects, \1 ok, 0\.00% failed", " " + shown.stdout.replace("\n", " ")), (
        shown.stdout + shown.stderr
    )
    return [float(value) for value in re.findall(r"time=\s*([\d.]+) ms", shown.stdout)]


@pytest.mark.skipif(not shutil.which("httping"), reason="httping is not installed (apt: httping)")
def test_httping_shows_the_delay_and_how_long_the_line_is():
    with Service("rng", DELAY_MS=200) as rng:
        idle = httping("-c", "3", "-i", "0.1", f"127.0.0.1:{rng.port}")
        assert len(idle) == 3 and min(idle) < 1000 * scale(0.1)
        bytes_of_delay = httping("-c", "2", "-i", "0.1", f"http://127.0.0.1:{rng.port}/32")
        assert len(bytes_of_delay) == 2 and all(
            199 <= milliseconds < 1000 * scale(0.4) for milliseconds in bytes_of_delay
        )
        connections = [open_socket(rng.port) for _ in range(5)]
        for connection in connections:
            connection.sendall(get("/32"))
        time.sleep(0.05)
        (busy,) = httping("-c", "1", f"127.0.0.1:{rng.port}")
        assert 600 <= busy < 1000 * (1 + scale(0.3))
        for connection in connections:
            connection.close()


@pytest.mark.skipif(not shutil.which("ab"), reason="ab is not installed (apt: apache2-utils)")
@pytest.mark.parametrize("options", [[], ["-k"], ["-i"]], ids=["GET", "keep-alive", "HEAD"])
def test_ab_with_ten_at_once_gets_ten_per_second(options):
    with Service("rng", DELAY_MS=100) as rng:
        shown = subprocess.run(
            ["ab", *options, "-c", "10", "-n", "20", f"http://127.0.0.1:{rng.port}/32"],
            capture_output=True,
            text=True,
            timeout=scale(30),
            check=False,
        )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert re.search(r"Complete requests:\s+20$", shown.stdout, re.MULTILINE)
    assert re.search(r"Failed requests:\s+0$", shown.stdout, re.MULTILINE)
    rate = float(re.search(r"Requests per second:\s+([\d.]+)", shown.stdout).group(1))
    assert 10 / scale(2) < rate < 10.1  # the upper bound is the promise


# ------------------------------------------------------------------------------------- clients that misbehave


def cost(port, times=5):
    """What a request takes at the moment, in seconds: the median of some."""
    taken = []
    for _ in range(times):
        begun = time.monotonic()
        assert ask(port, get("/32")).status == 200
        taken.append(time.monotonic() - begun)
    return statistics.median(taken)


@contextlib.contextmanager
def drip(connections, data):
    """Sends a byte of `data` to each of the connections every 50 ms."""
    done = threading.Event()

    def dripping():
        at = 0
        while not done.wait(0.05) and at < len(data):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(data[at : at + 1])
            at += 1

    thread = threading.Thread(target=dripping)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize("kind", ["idle", "half-sent", "half a body", "dripping", "all together"])
def test_a_hundred_such_clients_cost_another_less_than_a_tenth_of_a_second(kind):
    with Service("rng", DELAY_MS=100) as rng, contextlib.ExitStack() as stack:
        port = rng.port
        connections = [
            stack.enter_context(open_socket(port)) for _ in range(400 if kind == "all together" else 100)
        ]
        dripping = []
        for at, connection in enumerate(connections):
            what = (
                ["idle", "half-sent", "half a body", "dripping"][at % 4] if kind == "all together" else kind
            )
            if what == "half-sent":
                connection.sendall(b"GET /32 HTTP/1.1\r\nHost: rng\r\nX-Half")
            elif what == "half a body":
                connection.sendall(b"POST / HTTP/1.1\r\nHost: rng\r\nContent-Length: 100000\r\n\r\nhalf")
            elif what == "dripping":
                dripping.append(connection)
        with drip(dripping, b"GET /32 HTTP/1.1\r\nHost: rng\r\nX-Slow: " + b"z" * 500):
            time.sleep(0.3)
            assert cost(port) < 0.1 + scale(0.1)


@pytest.mark.parametrize("manner", ["close", "reset", "half-close"])
def test_clients_that_have_left_are_skipped_without_delay(manner):
    """A hundred send a request and go away while another is served: the next in line waits for none of
    them.
    """
    with Service("rng", DELAY_MS=800) as rng:
        port = rng.port
        with open_socket(port) as first, open_socket(port) as last, contextlib.ExitStack() as stack:
            begun = time.monotonic()
            first.sendall(get("/1"))
            time.sleep(0.05)
            for at in range(100):
                vanishing = stack.enter_context(open_socket(port))
                vanishing.sendall(get("/2"))
                if manner == "half-close":
                    vanishing.shutdown(socket.SHUT_WR)
                else:
                    if manner == "reset":
                        vanishing.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    vanishing.close()
            last.sendall(get("/3"))
            sent = time.monotonic() - begun
            (one, _), (three, end) = collect([first, last])
        assert Answer(one).status == 200 and Answer(three).status == 200
        # Were one of them served, it would be a whole DELAY more.
        assert end - begun < max(1.6, sent + 0.8) + scale(0.7)
        lines = eventually(lambda: len(rng.access_lines()) >= 102 and rng.access_lines())
        assert [line for line in lines if '"GET /1 ' in line][0].endswith(" 200 1")
        assert [line for line in lines if '"GET /3 ' in line][0].endswith(" 200 3")
        skipped = [line for line in lines if '"GET /2 ' in line]
        assert len(skipped) == 100
        assert all(line.endswith('" - -') for line in skipped)


def test_one_that_takes_nothing_of_its_answer_for_a_second_is_cut_off_and_the_next_is_served():
    with Service("rng", DELAY_MS=50) as rng:
        port = rng.port
        with open_socket(port, receive_buffer=16384) as greedy, open_socket(port) as other:
            greedy.sendall(get(f"/{LIMIT}"))
            time.sleep(0.2)
            begun = time.monotonic()
            other.sendall(get("/32"))
            ((data, end),) = collect([other])
            assert Answer(data).status == 200
            assert 0.5 < end - begun < 1.1 + scale(0.5)  # it did stand in the line, and not for long
            assert len(read_to_end(greedy)) < LIMIT


def test_one_that_takes_its_answer_slowly_gets_all_of_it():
    with Service("rng", DELAY_MS=0) as rng:
        with open_socket(rng.port) as slow:
            slow.sendall(get(f"/{LIMIT}"))
            received = 0
            while received < LIMIT:
                time.sleep(0.4)
                data = read_to_end(slow, 6 << 20)
                if not data:
                    break
                received += len(data)
        assert received > LIMIT  # with its head


def test_a_request_has_ten_seconds_to_arrive():
    """Half-sent and dripping ones get 408 then, one that said nothing a closed connection. In rng, hasher
    and webui alike.
    """
    with contextlib.ExitStack() as stack:
        services = [
            stack.enter_context(Service(name, **env))
            for name, env in (
                ("rng", {}),
                ("hasher", {}),
                ("webui", {"REDIS_URL": "redis://127.0.0.1:1", "FILES_DIR": "/usr/share"}),
            )
        ]
        connections = []
        begun = time.monotonic()
        for service in services:
            for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-Half", b"GET / HTTP/1.1\r\n"):
                connection = stack.enter_context(open_socket(service.port, timeout=20))
                connection.sendall(start)
                connections.append(connection)
        with drip(connections[3::4], b"X-Slow: " + b"z" * 1000):
            results = collect(connections, 20)
        for at, (data, end) in enumerate(results):
            service, kind = services[at // 4], ("idle", "half a line", "half a head", "dripping")[at % 4]
            assert 9.5 < end - begun < 10 + scale(1.5), (service.name, kind)
            if kind == "idle":
                assert data == b"", (service.name, data)
            elif kind != "dripping" or data:  # what drips on may lose the answer to a reset
                assert Answer(data).status == 408, (service.name, kind)
        for service in services:
            lines = eventually(lambda at=service: len(at.access_lines()) >= 3 and at.access_lines())
            time.sleep(0.1)
            assert len(service.access_lines()) == 3, lines
            assert sum('"-" 408 ' in line for line in lines) == 1
            assert sum('"GET / HTTP/1.1" 408 ' in line for line in lines) == 2


def test_a_refused_client_that_goes_on_sending_does_not_hold_the_line():
    with Service("rng", DELAY_MS=100) as rng:
        port = rng.port
        with contextlib.ExitStack() as stack:
            senders = [stack.enter_context(open_socket(port)) for _ in range(20)]
            for sender in senders:
                sender.sendall(
                    b"POST /32 HTTP/1.1\r\nHost: rng\r\nContent-Length: 5000000\r\n\r\n" + b"x" * 1000
                )
            with drip(senders, b"y" * 1000):
                assert cost(port, 3) < 0.1 + scale(0.1)


def test_a_refusal_reaches_a_client_that_is_still_sending():
    with Service("rng", DELAY_MS=0) as rng:
        start = b"POST /32 HTTP/1.1\r\nHost: rng\r\nContent-Length: 5000000\r\n\r\n"
        assert answer_after_sending(rng.port, start, [b"x" * 100000] * 50).status == 405


def test_a_good_request_may_have_a_body_that_nobody_needs(rng):
    """GET with a body, as some clients send it."""
    answer = ask(rng.port, get("/32", extra="Content-Length: 5\r\n") + b"hello")
    assert answer.status == 200
    assert len(answer.body) == 32


@pytest.mark.parametrize("method, status", [("POST", 405), ("GET", 200)])
def test_a_request_with_a_chunked_body_has_its_turn_though_the_line_never_ends(method, status):
    with Service("rng", DELAY_MS=20) as rng:
        ended = threading.Event()

        def mine():
            while not ended.is_set():
                ask(rng.port, get("/32"))

        workers = [threading.Thread(target=mine) for _ in range(10)]
        for worker in workers:
            worker.start()
        try:
            eventually(lambda: len(rng.access_lines()) > 20)
            chunked = get("/32", method=method, extra="Transfer-Encoding: chunked\r\n") + b"1\r\nx\r\n0\r\n\r\n"
            begun = time.monotonic()
            assert ask(rng.port, chunked).status == status
            assert time.monotonic() - begun < scale(1)
        finally:
            ended.set()
            for worker in workers:
                worker.join()


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_gets_what_it_asks_for(rng, tmp_path):
    out = tmp_path / "bytes"
    shown = subprocess.run(
        [
            "curl",
            "-sS",
            "-o",
            str(out),
            "-w",
            "%{http_code} %{size_download}",
            f"http://127.0.0.1:{rng.port}/{LIMIT}",
        ],
        capture_output=True,
        text=True,
        timeout=scale(30),
        check=False,
    )
    assert shown.stdout == f"200 {LIMIT}"
    assert out.stat().st_size == LIMIT
