"""The admin port: health for whoever runs the services, never behind the work."""

import contextlib
import time

import pytest

from harness import Service, ask, eventually, free_port, http, open_socket, scale

GET_1 = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
SERVING = ["rng", "hasher", "webui"]  # with a port besides the admin port
ALL = [*SERVING, "worker"]


def service(name, **env):
    if name in ("worker", "webui"):
        env.setdefault("REDIS_URL", f"redis://127.0.0.1:{free_port()}")
    if name == "webui":
        env["FILES_DIR"] = "/usr/share"
    return Service(name, admin=True, **env)


def wait_until_up(one):
    if one.name == "worker":
        one.wait_for_line("Waiting for")
    else:
        assert one.port


@pytest.fixture(scope="module", params=ALL)
def served(request):
    with service(request.param) as one:
        wait_until_up(one)
        yield one


def test_healthz_says_ok(served):
    status, headers, body = http(served.admin_port, "GET", "/healthz")
    assert status == 200
    assert body.strip() == b"ok"
    assert headers["Content-Type"].startswith("text/plain")
    assert headers["Content-Length"] == str(len(body))
    assert headers["Connection"].lower() == "close"


@pytest.mark.parametrize("served", SERVING, indirect=True)
def test_readyz_says_200_once_it_serves(served):
    assert http(served.admin_port, "GET", "/readyz")[0] == 200


def test_head_is_answered_too(served):
    for path in ("/healthz", "/readyz"):
        get_status, get_headers, _ = http(served.admin_port, "GET", path)
        status, headers, body = http(served.admin_port, "HEAD", path)
        assert (status, body) == (get_status, b"")
        assert headers.items() == get_headers.items()


def test_http_1_0_probes_are_answered(served):
    assert ask(served.admin_port, b"GET /healthz HTTP/1.0\r\n\r\n").status == 200


@pytest.mark.parametrize(
    "path", ["/", "/health", "/healthz/", "/readyz/x", "/healthzz", "/32", "/json", "//healthz"]
)
def test_another_path_is_404(served, path):
    assert http(served.admin_port, "GET", path)[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_another_method_is_405_with_allow(served, method):
    status, headers, _ = http(served.admin_port, method, "/healthz", body=b"")
    assert status == 405
    assert headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("served", SERVING, indirect=True)
def test_the_work_is_not_served_on_the_admin_port_nor_health_on_that_of_the_work(served):
    for path in ("/healthz", "/readyz"):
        assert http(served.port, "GET", path)[0] == 404
    assert http(served.admin_port, "GET", "/")[0] == 404


def test_admin_requests_are_not_in_the_access_log():
    for name in ALL:
        with service(name) as one:
            wait_until_up(one)
            for path in ("/healthz", "/readyz", "/nowhere"):
                http(one.admin_port, "GET", path)
            ask(one.admin_port, b"GARBAGE\r\n\r\n")
            if name != "worker":
                http(one.port, "GET", "/the-witness")  # logged after those, had they been logged
                eventually(lambda at=one: any("/the-witness" in line for line in at.lines))
                assert len(one.access_lines()) == 1
            assert not any(
                word in line for line in one.lines for word in ("healthz", "readyz", "nowhere", "GARBAGE")
            )


def quick(port, count=20):
    """The slowest of `count` health checks, in seconds."""
    slowest = 0
    for _ in range(count):
        begun = time.monotonic()
        assert http(port, "GET", "/healthz")[0] == 200
        slowest = max(slowest, time.monotonic() - begun)
    return slowest


def test_never_waits_for_the_work():
    with service("rng", DELAY_MS=1000) as rng:
        port = rng.port
        waiting = [open_socket(port) for _ in range(50)]
        for connection in waiting:
            connection.sendall(GET_1)
        time.sleep(0.1)
        assert quick(rng.admin_port) < scale(0.2)
        for connection in waiting:
            connection.close()
    with service("hasher", DELAY_MS=1000) as hasher:
        port = hasher.port
        waiting = [open_socket(port) for _ in range(200)]
        for connection in waiting:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(0.1)
        assert quick(hasher.admin_port) < scale(0.2)
        for connection in waiting:
            connection.close()


@pytest.mark.parametrize(
    "start",
    [b"", b"GET /healthz HTTP/1.1\r\nX-Half", b"POST /healthz HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf"],
    ids=["idle", "half-sent", "half a body"],
)
def test_clients_that_never_get_done_do_not_keep_a_probe_waiting(served, start):
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(open_socket(served.admin_port)).sendall(start)
        assert quick(served.admin_port) < scale(0.2)
