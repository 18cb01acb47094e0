"""TERM or INT ends rng, hasher and webui with status 0 within one second, whatever they are doing."""

import array
import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time

import pytest

from harness import (
    Answer,
    Blackhole,
    NAMESPACES,
    Redis,
    SLOW,
    STOPS_WITHIN,
    Service,
    ask,
    collect,
    dead_name_server,
    eventually,
    free_port,
    http,
    open_socket,
    read_to_end,
    scale,
)

GET_32 = b"GET /32 HTTP/1.1\r\nHost: x\r\n\r\n"
POST_HELLO = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
HELLO_DIGEST = b"2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"


def webui(**env):
    """webui on a folder of its own."""
    env.setdefault("REDIS_URL", "redis://127.0.0.1:1")
    return Service("webui", FILES_DIR=FILES, **env)


FILES = None


@pytest.fixture(scope="module", autouse=True)
def files():
    global FILES
    FILES = tempfile.mkdtemp(prefix="dockercoins-files-")
    os.chmod(FILES, 0o755)
    with open(os.path.join(FILES, "index.html"), "w", encoding="ascii") as index:
        index.write("<!doctype html><title>test</title>\n")
    # A file that does not fit into the kernel's socket buffers.
    with open(os.path.join(FILES, "large.html"), "wb") as large:
        large.write(b"x" * 30_000_000)
    yield
    shutil.rmtree(FILES)


def service(name, **env):
    return webui(**env) if name == "webui" else Service(name, **env)


def assert_stops(one, sig=signal.SIGTERM):
    status, seconds = one.stop(sig)
    assert status == 0
    assert seconds < STOPS_WITHIN, f"{one.name} took {seconds:.2f} s to stop"
    return seconds


ALL = ["rng", "hasher", "webui"]
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("sig", SIGNALS, ids=["TERM", "INT"])
@pytest.mark.parametrize("name", ALL)
def test_stops_when_idle(name, sig):
    with service(name, admin=True) as one:
        port = one.port
        time.sleep(0.1)
        assert_stops(one, sig)
        for gone in (port, one.admin_port):
            with pytest.raises(ConnectionRefusedError):
                open_socket(gone)


@pytest.mark.parametrize("sig", SIGNALS, ids=["TERM", "INT"])
def test_rng_finishes_the_request_that_is_being_served(sig):
    with Service("rng", DELAY_MS=450) as rng:
        with open_socket(rng.port) as connection:
            connection.sendall(GET_32)
            time.sleep(0.4)  # time to be taken into service, and not enough to be done
            assert_stops(rng, sig)
            answer = Answer(read_to_end(connection))
        assert answer.status == 200 and len(answer.body) == 32


@pytest.mark.parametrize("sig", SIGNALS, ids=["TERM", "INT"])
def test_hasher_finishes_the_requests_that_are_being_served(sig):
    with Service("hasher", DELAY_MS=450) as hasher:
        connections = [open_socket(hasher.port) for _ in range(20)]
        for connection in connections:
            connection.sendall(POST_HELLO)
        time.sleep(0.4)  # time to be taken into service, and not enough to be done
        assert_stops(hasher, sig)
        for data, _ in collect(connections):
            assert Answer(data).body == HELLO_DIGEST


@pytest.mark.parametrize("name, request_bytes", [("rng", GET_32), ("hasher", POST_HELLO)])
def test_a_request_that_takes_longer_than_half_a_second_is_cut_off(name, request_bytes):
    with Service(name, DELAY_MS=10000) as one:
        connections = [open_socket(one.port) for _ in range(10)]
        for connection in connections:
            connection.sendall(request_bytes)
        time.sleep(0.1)
        assert_stops(one)
        for data, _ in collect(connections):
            assert data == b"" or Answer(data).status == 503


@pytest.mark.parametrize("sig", SIGNALS, ids=["TERM", "INT"])
def test_rng_stops_with_a_thousand_requests_waiting(sig):
    """The one in service is finished, each of the others refused: 503 or a closed connection, never left
    hanging.
    """
    with Service("rng", DELAY_MS=300) as rng:
        port = rng.port
        connections = [open_socket(port) for _ in range(1001)]
        for connection in connections:
            connection.sendall(GET_32)
        time.sleep(0.45)  # the second is in service
        assert_stops(rng, sig)
        results = [data for data, _ in collect(connections, 10)]
    answers = [Answer(data) for data in results if data]
    served = [answer for answer in answers if answer.status == 200]
    assert all(len(answer.body) == 32 for answer in served)
    assert 2 <= len(served) <= 3 + (3 if SLOW else 0)
    assert all(answer.status in (200, 503) for answer in answers)
    assert Answer(results[0]).status == 200


def test_hasher_stops_with_a_thousand_requests_waiting():
    with Service("hasher", DELAY_MS=10000) as hasher:
        port = hasher.port
        connections = [open_socket(port) for _ in range(1000)]
        for connection in connections:
            connection.sendall(POST_HELLO)
        time.sleep(0.2)
        assert_stops(hasher)
        for data, _ in collect(connections, 10):
            assert data == b"" or Answer(data).status == 503


@contextlib.contextmanager
def dripping(connections):
    done = threading.Event()

    def drip():
        while not done.wait(0.03):
            for connection in connections:
                with contextlib.suppress(OSError):
                    connection.send(b"y")

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


HALF = b"GET /32 HTTP/1.1\r\nHost: x\r\nX-Half: "
HALF_BODY = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf"


@pytest.mark.parametrize("kind", ["idle", "half-sent", "half a body", "dripping", "dripping body"])
@pytest.mark.parametrize("name", ALL)
def test_stops_with_a_hundred_clients_that_never_get_done(name, kind):
    start = {
        "idle": b"",
        "half-sent": HALF,
        "half a body": HALF_BODY,
        "dripping": HALF,
        "dripping body": HALF_BODY,
    }[kind]
    with service(name) as one, contextlib.ExitStack() as stack:
        port = one.port
        connections = [stack.enter_context(open_socket(port)) for _ in range(100)]
        for connection in connections:
            connection.sendall(start)
        with dripping(connections) if "dripping" in kind else contextlib.nullcontext():
            time.sleep(0.2)
            assert_stops(one)
        for data, _ in collect(connections):  # each is closed, none left to wait for nothing
            assert data == b"" or 400 <= Answer(data).status <= 503


@pytest.mark.parametrize(
    "name, request_bytes",
    [
        ("rng", b"GET /33554431 HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("webui", b"GET /large.html HTTP/1.1\r\nHost: x\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("wait", [0.2, 0.9])
def test_stops_while_a_client_does_not_read_its_answer(name, request_bytes, wait):
    with service(name) as one, contextlib.ExitStack() as stack:
        port = one.port
        for _ in range(10):
            connection = stack.enter_context(open_socket(port, receive_buffer=8192))
            connection.sendall(request_bytes)
        time.sleep(wait)
        assert_stops(one)


def test_stops_while_a_client_reads_its_answer_slowly():
    with Service("rng", DELAY_MS=0) as rng:
        with open_socket(rng.port, receive_buffer=65536) as slow, contextlib.ExitStack() as stack:
            slow.sendall(b"GET /33554431 HTTP/1.1\r\nHost: x\r\n\r\n")
            done = threading.Event()

            def sip():
                while not done.wait(0.05):
                    with contextlib.suppress(OSError):
                        slow.recv(20000)

            sipping = threading.Thread(target=sip)
            sipping.start()
            stack.callback(sipping.join)
            stack.callback(done.set)
            time.sleep(0.3)
            assert_stops(rng)


def test_rng_stops_in_the_middle_of_many_small_requests():
    with Service("rng", DELAY_MS=1) as rng:
        port = rng.port
        done = threading.Event()
        odd = []

        def client():
            while not done.is_set():
                try:
                    answer = ask(port, GET_32)
                    if answer.status not in (200, 503):
                        odd.append(answer)
                except (OSError, AssertionError):
                    pass  # refused or closed: it is stopping

        clients = [threading.Thread(target=client) for _ in range(10)]
        for one in clients:
            one.start()
        try:
            time.sleep(0.4)
            assert_stops(rng)
        finally:
            done.set()
            for one in clients:
                one.join()
        assert not odd


@pytest.mark.parametrize("name", ALL)
def test_stops_with_a_stdout_that_nobody_reads(name):
    """The pipe is full, so whoever logs hangs: the end must not wait for them."""
    request = {
        "rng": b"GET /1 HTTP/1.1\r\nX: y\r\n\r\n",
        "hasher": b"GET / HTTP/1.1\r\n\r\n",
        "webui": b"GET /index.html HTTP/1.1\r\n\r\n",
    }[name]
    env = {} if name == "webui" else {"DELAY_MS": 0}
    with service(name, pipe_size=4096, **env) as one, contextlib.ExitStack() as stack:
        port = one.port
        one.stop_reading()
        connections = []
        for _ in range(300):
            connection = stack.enter_context(open_socket(port))
            connection.sendall(request)
            connections.append(connection)
        fd = os.open(f"/proc/{one.pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
        try:
            # Full, or full but for less than a line: then it is not the pipe that the services would hang on.
            eventually(lambda: _full(fd), what="a full pipe")
        finally:
            os.close(fd)
        assert_stops(one)


def _full(fd):
    """True once a line of the usual length no longer fits. Never writes: it asks how much lies in the
    pipe.
    """
    waiting = array.array("i", [0])
    fcntl.ioctl(fd, termios.FIONREAD, waiting)
    return waiting[0] > 4096 - 100


@pytest.mark.parametrize("name", ALL)
def test_goes_on_serving_and_stops_when_the_reader_of_its_logs_has_gone(name):
    with service(name) as one:
        port = one.port
        one.hang_up()
        for _ in range(5):
            assert http(port, "GET", "/nowhere")[0] == 404
        assert_stops(one)


# ---------------------------------------------------------------------------------------- webui and its Redis


def ask_json(port, count):
    connections = [open_socket(port) for _ in range(count)]
    for connection in connections:
        connection.sendall(b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n")
    return connections


@pytest.mark.parametrize("asked", [0, 1, 20], ids=["unasked", "asked", "asked by 20"])
@pytest.mark.parametrize(
    "state", ["refuses", "hangs", "does not connect", "has no name", "name server hangs", "well"]
)
def test_webui_stops_whatever_its_redis_does(state, asked):
    with contextlib.ExitStack() as stack:
        prefix = ()
        if state == "refuses":
            url = f"redis://127.0.0.1:{free_port()}"
        elif state in ("hangs", "well"):
            redis = stack.enter_context(Redis())
            url = redis.url
        elif state == "does not connect":
            url = f"redis://127.0.0.1:{stack.enter_context(Blackhole()).port}"
        else:
            url = "redis://nowhere.invalid"
            if state == "name server hangs":
                if not NAMESPACES:
                    pytest.skip("needs root and namespaces")
                prefix = stack.enter_context(dead_name_server())
        one = stack.enter_context(webui(REDIS_URL=url, prefix=prefix))
        port = one.port
        if state in ("hangs", "well"):
            assert http(port, "GET", "/json")[0] == 200
        if state == "hangs":
            redis.pause()
        connections = ask_json(port, asked)
        time.sleep(0.2)
        assert_stops(one)
        for data, _ in collect(connections):
            assert data == b"" or Answer(data).status in ((200, 503) if state == "well" else (503,))


# ------------------------------------------------------------------------------------------ the signal itself


@pytest.mark.parametrize("second", SIGNALS, ids=["TERM", "INT"])
@pytest.mark.parametrize("name", ALL)
def test_a_second_signal_changes_nothing(name, second):
    with service(name, **({} if name == "webui" else {"DELAY_MS": 450})) as one:
        with open_socket(one.port) as connection:
            connection.sendall(
                {"rng": GET_32, "hasher": POST_HELLO, "webui": b"GET /json HTTP/1.1\r\n\r\n"}[name]
            )
            time.sleep(0.4)
            one.send_signal(signal.SIGTERM)
            time.sleep(0.02)
            for _ in range(5):
                with contextlib.suppress(ProcessLookupError):
                    one.send_signal(second)
            assert_stops(one, second)
            if name != "webui":
                assert Answer(read_to_end(connection)).status == 200


@pytest.mark.parametrize("name", ALL)
def test_stops_right_after_it_has_said_that_it_runs(name):
    for _ in range(10):
        with service(name) as one:
            one.wait_for_line("running on port", 10)
            assert_stops(one)


@pytest.mark.parametrize("name", ["rng", "hasher", "webui", "worker"])
def test_a_signal_that_comes_while_it_starts_is_not_lost(name):
    """As in a container that is stopped while it starts: there the signal waits, as it does here, being
    blocked.
    """
    generator = random.Random(4)
    with contextlib.ExitStack() as stack:
        env = {"REDIS_URL": "redis://127.0.0.1:1"} if name == "worker" else {}
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        stack.callback(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})
        for _ in range(20):
            with service(name, **env) as one:
                time.sleep(generator.uniform(0, scale(0.02)))
                assert_stops(one)


@pytest.mark.skipif(not NAMESPACES, reason="needs root and namespaces")
@pytest.mark.parametrize("sig", SIGNALS, ids=["TERM", "INT"])
@pytest.mark.parametrize("name", ALL)
def test_stops_as_process_1(name, sig):
    with service(name, prefix=["unshare", "--pid", "--fork", "--kill-child"]) as one:
        one.wait_for_line("running on port", 10)
        with open(f"/proc/{one.pid}/task/{one.pid}/children", encoding="ascii") as children:
            (first,) = children.read().split()
        begun = time.monotonic()
        os.kill(int(first), sig)
        one._stopped_by_test = True
        assert one.wait() == 0
        assert time.monotonic() - begun < STOPS_WITHIN


# -------------------------------------------------------------------------------------------------- readiness


@pytest.mark.parametrize("name, request_bytes", [("rng", GET_32), ("hasher", POST_HELLO)])
def test_readyz_says_503_and_why_while_the_last_request_is_finished(name, request_bytes):
    for chance in (1, 2, 3):  # on a busy machine the time may be over before this test gets to ask
        try:
            with Service(name, DELAY_MS=450, admin=True) as one:
                port = one.port
                assert http(one.admin_port, "GET", "/readyz")[0] == 200
                with open_socket(port) as connection:
                    connection.sendall(request_bytes)
                    time.sleep(0.15)
                    one.send_signal(signal.SIGTERM)
                    status, _, body = eventually(
                        lambda: _unready(one.admin_port), 0.3, what="an unready /readyz"
                    )
                    assert status == 503
                    assert re.search(rb"stop|shut", body)
                    status, _, body = http(one.admin_port, "GET", "/healthz")
                    assert (status, body.strip()) == (200, b"ok")
                    assert Answer(read_to_end(connection)).status == 200
                assert_stops(one)
            return
        except (AssertionError, ConnectionError):
            if chance == 3:
                raise


def _unready(port):
    answer = http(port, "GET", "/readyz")
    return answer if answer[0] != 200 else None


def test_what_comes_after_the_signal_is_refused():
    with Service("rng", DELAY_MS=450) as rng:
        port = rng.port
        with open_socket(port) as connection:
            connection.sendall(GET_32)
            time.sleep(0.25)
            rng.send_signal(signal.SIGTERM)
            time.sleep(0.05)
            try:
                data = b""
                with open_socket(port, timeout=2) as late:
                    late.sendall(GET_32)
                    data = read_to_end(late)
            except (ConnectionError, socket.timeout):
                pass
            assert data == b"" or Answer(data).status == 503
            assert Answer(read_to_end(connection)).status == 200
        assert_stops(rng)


def test_the_port_is_free_again_at_once():
    """A restart does not wait for the connections of the last run to be forgotten."""
    port = free_port()
    for _ in range(3):
        with Service("rng", DELAY_MS=0, PORT=port) as rng:
            assert rng.port == port
            for _ in range(5):
                assert ask(port, GET_32).status == 200
            assert_stops(rng)


@pytest.mark.parametrize("name", ALL)
def test_leaves_no_process_behind(name):
    with service(name) as one:
        one.wait_for_line("running on port", 10)
        session = one.pid
        assert_stops(one)
    listed = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(session)], capture_output=True, text=True, check=False
    )
    assert listed.stdout.strip() == ""
