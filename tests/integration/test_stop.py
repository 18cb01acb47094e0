"""TERM, INT or HUP ends each program with status 0 within one second, whatever it is doing."""

import contextlib
import fcntl
import os
import select
import signal
import socket
import time

import pytest

from clients import dripping
from fakes import FakeDns, Namespace, RedisProxy, blackhole
from harness import (EMULATED, NAMESPACES, STOPS_WITHIN, Answer, Redis, Service, alone, collect, eventually, free_port,
                     http, open_socket, scale, wait_until_up)

GET_32 = b"GET /32 HTTP/1.1\r\nHost: x\r\n\r\n"
POST_HELLO = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
SERVERS = ["rng", "hasher", "webui"]


def start(stack, name, **env):
    """A running service, until the stack ends or the test stops it."""
    one = stack.enter_context(alone(name, **env))
    wait_until_up(one)
    return one


def send(stack, port, requests, **how):
    """One connection per request."""
    connections = [stack.enter_context(open_socket(port, **how)) for _ in requests]
    for connection, request in zip(connections, requests):
        connection.sendall(request)
    return connections


def assert_stops(one, sig=signal.SIGTERM, pid=None):
    status, seconds = one.stop(sig, pid=pid)
    assert status == 0
    assert seconds < STOPS_WITHIN, f"{one.name} took {seconds:.2f} s to stop"


def assert_refused(connections):
    """Each got a 503, whose text it returns, or was closed."""
    answers = [Answer(data) for data, _ in collect(connections) if data]
    assert {answer.status for answer in answers} <= {503} and all(answer.date for answer in answers)
    return {answer.body for answer in answers}


@pytest.fixture(name="stack")
def fixture_stack():
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("name", [*SERVERS, "worker"])
def test_stops_when_idle_as_process_1_of_its_container(stack, name, sig):
    prefix = ["unshare", "--pid", "--fork", "--kill-child"] if NAMESPACES else []
    one = start(stack, name, admin=True, prefix=prefix)
    pid = one.pid
    if NAMESPACES:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            pid = int(children.read())
    assert_stops(one, sig, pid)


@pytest.mark.parametrize("name", [*SERVERS, "worker"])
def test_a_signal_during_the_start_takes_effect_after_it_as_in_a_container(stack, name):
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    stack.callback(signal.pthread_sigmask, signal.SIG_UNBLOCK, {signal.SIGTERM})
    for moment in range(10):
        with alone(name) as one:
            time.sleep(0.003 * moment)
            assert_stops(one)


@pytest.mark.parametrize("name, request_bytes, size", [
    ("rng", GET_32, 32), pytest.param("hasher", POST_HELLO, 64, marks=pytest.mark.skipif(
        EMULATED, reason="QEMU can need half a second for a process's first digest"))])
def test_a_request_in_service_is_finished_and_more_signals_change_nothing(stack, name, request_bytes, size):
    for _ in range(4):  # A busy machine may be late.
        one = start(stack, name, DELAY_MS=450)
        connections = send(stack, one.port, [request_bytes] * (1 if name == "rng" else 20))
        time.sleep(0.15)  # time to be taken into service
        for sig in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            one.send_signal(sig)
        assert_stops(one)
        answers = {(Answer(data).status, len(Answer(data).body)) for data, _ in collect(connections)}
        if answers == {(200, size)}:
            return
    assert answers == {(200, size)}


@pytest.mark.threads
@pytest.mark.parametrize("name, request_bytes, count", [("rng", GET_32, 1001), ("hasher", POST_HELLO, 1000)])
def test_a_request_that_takes_longer_than_half_a_second_is_cut_off(stack, name, request_bytes, count):
    one = start(stack, name, DELAY_MS=10000)
    connections = send(stack, one.port, [request_bytes] * count)
    time.sleep(0.2)
    assert_stops(one)
    assert assert_refused(connections) == {b"503 Service Unavailable: the service is stopping\n"}


@pytest.mark.parametrize("name, what", [("rng", "service"), ("worker", "worker")])
def test_while_it_stops_it_is_not_ready_and_accepts_nothing_new(stack, name, what):
    """For up to half a second, in which rng is not done with a request, and the worker waits for Redis."""
    def readyz():
        with contextlib.suppress(OSError):
            return http(one.admin_port, "GET", "/readyz")[::2]

    redis = stack.enter_context(Redis())
    redis.pause()
    one = stack.enter_context(alone(name, admin=True, DELAY_MS=10000, REDIS_URL=redis.url))
    eventually(lambda: readyz() == (200, b"ok\n"), what="/readyz")
    if name == "rng":
        send(stack, one.port, [GET_32])
    time.sleep(0.2)
    one.send_signal(signal.SIGTERM)
    answers = []
    while answer := readyz():
        answers.append(answer)
        with contextlib.suppress(OSError):
            assert_refused(send(stack, one.port, [GET_32]) if name == "rng" else [])
    assert (503, f"503 Service Unavailable: the {what} is stopping\n".encode()) in answers
    assert_stops(one)


@pytest.mark.parametrize("name", SERVERS)
def test_stops_whatever_its_clients_do(stack, name, tmp_path):
    """Some never send all, some drip, some do not read, and one reads a little."""
    with open(tmp_path / "33554431", "wb") as large:
        large.truncate(33554431)  # more than the kernel's socket buffers hold
    one = start(stack, name, DELAY_MS=0, FILES_DIR=tmp_path)
    head = b"GET /32 HTTP/1.1\r\nHost: x\r\nX-Half: "
    body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nhalf"
    connections = send(stack, one.port, [b"", head, body, head, body] * 20)
    stack.enter_context(dripping(connections[3::5] + connections[4::5]))
    reader, *_ = send(stack, one.port, [GET_32.replace(b"32", b"33554431")] * 10, receive_buffer=8192)
    for _ in range(5):
        reader.recv(20000)
        time.sleep(0.05)
    assert_stops(one)
    for data, _ in collect(connections):
        assert data == b"" or 400 <= Answer(data).status <= 503


@pytest.mark.parametrize("leaves", [False, True], ids=["full", "closed"])
@pytest.mark.parametrize("name", [*SERVERS, "worker"])
def test_continues_and_stops_when_nobody_reads_its_log(stack, name, leaves):
    """A small pipe, which gets full, or nobody has the other end. The worker stops in the middle of its work."""
    redis = stack.enter_context(RedisProxy(stack.enter_context(Redis())))
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    port = free_port()
    one = stack.enter_context(alone(name, stdout=writer, PORT=port, DELAY_MS=1200, REDIS_URL=redis.url,
                                    RNG_URL="http://127.0.0.1:1"))
    os.close(writer)
    eventually(lambda: select.select([reader], [], [], 0)[0], what="the first line")
    if leaves:
        os.close(reader)
    else:
        stack.callback(os.close, reader)
    if name == "worker":
        eventually(lambda: len(redis.commands) >= 3, 20, what="updates")
    else:
        collect(send(stack, port, [b"HEAD /favicon.ico HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"] * 300))
        assert http(port, "GET", "/nowhere")[0] == 404
    assert_stops(one)


STATES = ["is missing", "hangs", "is silent", "has a silent name server"]


def address_of_one_that(state, stack):
    """And its network."""
    if state == "has a silent name server":
        if not NAMESPACES:
            pytest.skip("needs root and namespaces")
        namespace = stack.enter_context(Namespace())
        stack.enter_context(FakeDns(namespace, silent=True))
        return "somewhere", namespace
    if state == "is missing":
        return "127.0.0.1:1", None
    if state == "is silent":
        return stack.enter_context(blackhole()), None
    redis = stack.enter_context(Redis())
    redis.pause()
    return f"127.0.0.1:{redis.port}", None


@pytest.mark.parametrize("name, what", [("worker", "REDIS_URL"), ("worker", "RNG_URL"), ("webui", "REDIS_URL")])
@pytest.mark.parametrize("state", STATES)
def test_stops_whatever_it_waits_for(stack, state, name, what):
    address, namespace = address_of_one_that(state, stack)
    redis = stack.enter_context(RedisProxy(stack.enter_context(Redis()), namespace=namespace))
    urls = {"REDIS_URL": redis.url, what: f"{'redis' if what == 'REDIS_URL' else 'http'}://{address}"}
    one = stack.enter_context(Service(name, DELAY_MS=0, prefix=namespace.prefix if namespace else [], **urls))
    asking = [stack.enter_context(namespace.socket() if namespace else socket.socket()) for _ in range(20)]
    if name == "worker":
        time.sleep(scale(0.7))
    else:
        for connection in asking:
            connection.connect(("127.0.0.1", one.port))
            connection.sendall(b"GET /json HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.2)
    assert_stops(one)
    assert_refused(asking if name == "webui" else [])
    assert "Not stored" not in one.log, "there is nothing to store"


@pytest.mark.parametrize("name", [*SERVERS, "worker"])
@pytest.mark.parametrize("prefix, settings, ignored, end", [
    ([], {"IGNORE_TERM": "y"}, [signal.SIGTERM, signal.SIGINT], signal.SIGHUP),
    (["env", "--ignore-signal=HUP"], {}, [signal.SIGHUP], signal.SIGTERM)], ids=["IGNORE_TERM", "nohup"])
def test_term_and_int_are_ignored_on_request_and_hup_if_it_was_before(stack, name, prefix, settings, ignored, end):
    one = start(stack, name, prefix=prefix, **settings)
    if settings:
        one.wait_for_line(f"^WARNING:{name}:IGNORE_TERM is set: TERM and INT do not end this process$")
    for sig in ignored:
        one.send_signal(sig)
    time.sleep(1)
    assert one.running
    assert_stops(one, end)
