"""The admin port: health checks that never wait for the work."""

import contextlib

import pytest

from fakes import FakeHttp, http_answer
from harness import Answer, alone, ask, eventually, free_port, http, open_socket, raw, run, wait_until_up

SERVING = ["rng", "hasher", "webui"]  # with a service port besides the admin port
GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module", params=[*SERVING, "worker"])
def served(request):
    with alone(request.param, admin=True) as one:
        wait_until_up(one)
        yield one


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_ok_with_every_version_of_http_and_with_head(served, path):
    answers = [ask(served.admin_port, f"{method} {path} HTTP/1.{version}\r\nHost: x\r\n\r\n".encode())
               for method, version in (("GET", 1), ("GET", 0), ("HEAD", 1))]
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"ok\n"), (200, b"ok\n"), (200, b"")]
    for answer in answers:
        assert answer.headers == {"content-type": "text/plain; charset=utf-8", "content-length": "3",
                                  "cache-control": "no-store", "connection": "close", "server": served.name}


def test_nothing_else_is_served_on_it_and_nothing_is_logged(served):
    for path in ("/", "/healthz/", "/healthzz", "/32"):
        assert http(served.admin_port, "GET", path)[0] == 404
    refused = ask(served.admin_port, b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD")
    assert ask(served.admin_port, b"GARBAGE\r\n\r\n").status == 400
    if served.name == "worker":
        assert not any("GARBAGE" in line or "/32" in line for line in served.lines)
        return
    for path in ("/healthz", "/readyz", "/metrics"):
        assert http(served.port, "GET", path)[0] == 404
    eventually(lambda: len(served.access_lines()) >= 3)
    assert {line.split()[6] for line in served.access_lines()} == {"/healthz", "/readyz", "/metrics"}
    assert len(served.lines) == 4, "the first names the port"


@pytest.mark.parametrize("name, start", [("rng", b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"),
                                         ("hasher", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")])
def test_it_never_waits_for_the_work(name, start):
    with alone(name, admin=True, DELAY_MS=10000) as one, contextlib.ExitStack() as stack:
        for _ in range(150):  # more than hasher's threads
            stack.enter_context(open_socket(one.port)).sendall(start)
        eventually(lambda: b"\nhttp_requests_waiting 0\n" not in http(one.admin_port, "GET", "/metrics")[2])
        for path in ("/healthz", "/readyz", "/metrics"):
            assert http(one.admin_port, "GET", path)[0] == 200
        assert run(name, "--healthcheck", PORT=one.port, ADMIN_PORT=one.admin_port).returncode == 0
        assert one.access_lines() == []


def test_incomplete_requests_do_not_delay_a_probe():
    starts = [b"", b"GET /healthz HTTP/1.1\r\nX-Half", b"POST /healthz HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf"]
    with alone("rng", admin=True) as rng, contextlib.ExitStack() as stack:
        wait_until_up(rng)
        clients = [stack.enter_context(open_socket(rng.admin_port)) for _ in range(60)]
        for at, client in enumerate(clients):
            client.sendall(starts[at % 3])
        assert http(rng.admin_port, "GET", "/healthz")[0] == 200
        clients[0].setblocking(False)
        with pytest.raises(BlockingIOError):  # the silent ones are still waited for
            clients[0].recv(1)


@pytest.mark.parametrize("name", [*SERVING, "worker"])
def test_metrics_flag_prints_the_metrics_of_the_running_service_or_why_there_are_none(name):
    with alone(name, admin=True) as one:
        wait_until_up(one)
        said = run(name, "--metrics", ADMIN_PORT=one.admin_port, BIND_ADDRESS="0.0.0.0")
        asked = Answer(raw(one.admin_port, GET.format("/metrics").encode()))
        assert (said.returncode, said.stderr) == (0, "")
        assert {line.rpartition(" ")[0] for line in said.stdout.splitlines()} == {
            line.rpartition(" ")[0] for line in asked.body.decode().splitlines()}
    port = free_port()
    for env, reason in (({"ADMIN_PORT": port, "BIND_ADDRESS": "::1"},
                         f"the admin port [::1]:{port}: connection refused"),
                        ({"ADMIN_PORT": 0}, "ADMIN_PORT=0: there is no admin port to ask")):
        said = run(name, "--metrics", **env)
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
