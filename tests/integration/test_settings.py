"""Settings, flags, ports and users: how the four programs start, and how they say that they cannot."""

import os
import platform
import re
import shutil
import signal
import socket
import tempfile
import time

import pytest

from harness import (
    BIN,
    Blackhole,
    NAMESPACES,
    OWN_NETWORK,
    Redis,
    SANITIZED,
    Service,
    ask,
    eventually,
    free_port,
    http,
    in_network_of,
    open_socket,
    run,
    scale,
)

ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not ROOT, reason="needs root, to become another user")
needs_namespaces = pytest.mark.skipif(
    not NAMESPACES, reason="needs root and namespaces (unshare, nsenter, ip, curl)"
)
NOBODY = 65532
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
GET_1 = b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n"
ALL = ["rng", "hasher", "worker", "webui"]
WITH_PORT = ["rng", "hasher", "webui"]
FILES = {"FILES_DIR": "/usr/share", "ASSETS_DIR": "/usr/share"}
WELL = {"PORT": 0, "ADMIN_PORT": 0, "BIND_ADDRESS": "127.0.0.1"}


def settings(name, **changes):
    """An environment in which that program would start, with some changes; None leaves a variable out."""
    env = dict(WELL)
    if name in ("worker", "webui"):
        env["REDIS_URL"] = "redis://127.0.0.1:1"
    if name == "worker":
        del env["PORT"]
    if name == "webui":
        env.update(FILES)
    env.update(changes)
    return {key: value for key, value in env.items() if value is not None}


def service(name, **changes):
    options = {key: changes.pop(key) for key in ("admin", "prefix", "args", "path") if key in changes}
    env = settings(name, **changes)
    if options.get("admin"):
        del env["ADMIN_PORT"]
    return Service(name, **options, **env)


@pytest.fixture(scope="module")
def public_bin():
    """Copies of the programs where any user may run them: the repository may lie in somebody's private
    home.
    """
    folder = tempfile.mkdtemp(prefix="dockercoins-bin-")
    os.chmod(folder, 0o755)
    for name in ALL:
        shutil.copy(os.path.join(BIN, name), folder)
        os.chmod(os.path.join(folder, name), 0o755)
    yield folder
    shutil.rmtree(folder)


# ------------------------------------------------------------------------------------------------- bad values

BAD_PORTS = [
    "",
    "abc",
    "-1",
    "65536",
    "80 ",
    " 80",
    "80.5",
    "0x50",
    "8o",
    "99999999999999999999",
    "tcp://10.0.0.1:80",
    "80\n81",
]
BAD_ADDRESSES = ["", "localhost", "999.1.1.1", "1.2.3", "::g", "not an address", "127.0.0.1:80", "[::]", "*"]
BAD_DELAYS = ["", "-1", "abc", "1.5", "100ms", "1e3", " 1", "1" + "0" * 30, "0x10"]
BAD_HTTP_URLS = [
    "",
    "rng",
    "rng:80",
    "https://rng",
    "ftp://rng",
    "http://",
    "http:/rng",
    "http://:80",
    "http://rng:",
    "http://rng:99999",
    "http://rng:abc",
    "http://rng:-1",
    "http://r ng",
    "http://rng\nx",
    "HTTP:rng",
    "//rng",
]
BAD_REDIS_URLS = [
    "",
    "redis",
    "redis:6379",
    "http://redis",
    "rediss://redis",
    "redis://",
    "redis://:6379",
    "redis://redis:99999",
    "redis://redis:abc",
    "redis://redis/x",
    "redis://redis/-1",
    "redis://user@redis",
    "redis://re dis",
    "redis://redis/99999999999",
]

BAD = [
    *((name, "PORT", value, r"65535") for name in WITH_PORT for value in BAD_PORTS),
    *((name, "ADMIN_PORT", value, r"65535") for name in ALL for value in BAD_PORTS),
    *((name, "BIND_ADDRESS", value, r"address") for name in ALL for value in BAD_ADDRESSES),
    *(
        (name, "DELAY_MS", value, r"millisecond")
        for name in ("rng", "hasher", "worker")
        for value in BAD_DELAYS
    ),
    *(
        ("worker", variable, value, r"http://")
        for variable in ("RNG_URL", "HASHER_URL")
        for value in BAD_HTTP_URLS
    ),
    *((name, "REDIS_URL", value, r"redis://") for name in ("worker", "webui") for value in BAD_REDIS_URLS),
    *(("webui", variable, "", r"folder|directory") for variable in ("FILES_DIR", "ASSETS_DIR")),
]


def one_line(text):
    assert text.endswith("\n") and text.count("\n") == 1, f"not one line: {text!r}"
    return text[:-1]


@pytest.mark.parametrize(
    "name, variable, value, allowed",
    BAD,
    ids=[f"{name}-{variable}-{value[:24]!r}" for name, variable, value, _ in BAD],
)
def test_a_bad_value_is_one_line_with_variable_value_and_what_is_allowed_and_status_2(
    name, variable, value, allowed
):
    ended = run(name, **settings(name, **{variable: value}))
    assert ended.returncode == 2
    line = one_line(ended.stderr)
    shown = value.replace("\n", r"\x0a")
    assert line.startswith(f"{name}: {variable}={shown}: ")
    assert re.search(allowed, line[len(f"{name}: {variable}={shown}: ") :])
    assert ended.stdout == ""


def test_control_characters_of_a_bad_value_are_not_let_through_to_the_terminal():
    ended = run("rng", **settings("rng", PORT="\x1b[31mred\x07"))
    assert ended.returncode == 2
    line = one_line(ended.stderr)
    assert not re.search(r"[\x00-\x1f\x7f]", line)


# ------------------------------------------------------------------------------------------------ good values

GOOD = [
    *(
        (name, "DELAY_MS", value)
        for name in ("rng", "hasher", "worker")
        for value in ("0", "1", "100", "3600000")
    ),
    *(
        (name, "BIND_ADDRESS", value)
        for name in WITH_PORT
        for value in ("127.0.0.1", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1")
    ),
    *((name, "DEBUG", value) for name in ALL for value in ("", "y", "Yes", "no", "1", "anything at all")),
    *(
        ("worker", variable, value)
        for variable in ("RNG_URL", "HASHER_URL")
        for value in (
            "http://rng",
            "http://rng/",
            "http://rng:8001",
            "http://127.0.0.1:1",
            "http://[::1]:8001",
            "http://r-n.g_x",
        )
    ),
    *(
        (name, "REDIS_URL", value)
        for name in ("worker", "webui")
        for value in (
            "redis://redis",
            "redis://redis:6379",
            "redis://redis:6379/",
            "redis://redis/15",
            "redis://:secret@redis",
            "redis://user:secret@redis:1/2",
            "redis://:p%40ss@redis",
            "redis://[::1]:6379",
        )
    ),
    *(("webui", variable, "/usr/share") for variable in ("FILES_DIR", "ASSETS_DIR")),
]


@pytest.mark.parametrize(
    "name, variable, value", GOOD, ids=[f"{name}-{variable}-{value!r}" for name, variable, value in GOOD]
)
def test_a_good_value_is_taken(name, variable, value):
    host = host_of(variable, value)
    with service(name, admin=True, **{variable: value}) as one:
        eventually(lambda: listens(one.admin_port, host))
        assert http(one.admin_port, "GET", "/healthz", host=host)[0] == 200
        if name != "worker":
            assert http(one.port, "GET", "/nowhere", host=host)[0] == 404
        assert one.stderr == []


def host_of(variable, value):
    if variable != "BIND_ADDRESS":
        return "127.0.0.1"
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "::ffff:127.0.0.1": "127.0.0.1"}.get(value, value)


def listens(port, host="127.0.0.1"):
    try:
        open_socket(port, host).close()
        return True
    except OSError:
        return False


def test_delay_zero_means_no_delay():
    for name in ("rng", "hasher"):
        with service(name, DELAY_MS=0) as one:
            port = one.port
            begun = time.monotonic()
            for _ in range(20):
                assert (
                    ask(port, GET_1 if name == "rng" else b"POST / HTTP/1.1\r\nHost: x\r\n\r\n").status == 200
                )
            assert time.monotonic() - begun < scale(1)


# --------------------------------------------------------------------------------------------------- defaults


@pytest.mark.parametrize(
    "name, request_bytes", [("rng", GET_1), ("hasher", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")]
)
def test_the_default_delay_is_a_tenth_of_a_second(name, request_bytes):
    with service(name) as one:
        port = one.port
        begun = time.monotonic()
        assert ask(port, request_bytes).status == 200
        assert 0.095 < time.monotonic() - begun < 0.1 + scale(0.2)


def curl_inside(pid, url):
    return in_network_of(pid, "curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", url).stdout


@needs_namespaces
@pytest.mark.parametrize("name", WITH_PORT)
def test_the_default_ports_are_80_and_9797_on_all_addresses(name):
    env = {key: None for key in WELL} | (FILES if name == "webui" else {})
    with Service(name, prefix=OWN_NETWORK, **env) as one:
        assert one.port == 80
        good = "302" if name == "webui" else "200"
        for host in ("127.0.0.1", "[::1]", "127.9.9.9"):
            assert curl_inside(one.pid, f"http://{host}/") == good
            assert curl_inside(one.pid, f"http://{host}:9797/healthz") == "200"
        if name == "rng":
            one.wait_for_line(r"^127\.0\.0\.1 - - .*GET / ")
            one.wait_for_line(r"^::1 - - .*GET / ")
            assert "::ffff:" not in one.log


@needs_namespaces
def test_the_default_admin_port_of_worker_is_9797():
    with Service(
        "worker", prefix=OWN_NETWORK, BIND_ADDRESS=None, ADMIN_PORT=None, REDIS_URL="redis://127.0.0.1:1"
    ) as worker:
        eventually(lambda: curl_inside(worker.pid, "http://127.0.0.1:9797/healthz") == "200")


def hosts_prefix(*names):
    """A command prefix under which these names are this machine's."""
    line = "127.0.0.1 localhost " + " ".join(names)
    with tempfile.NamedTemporaryFile("w", prefix="dockercoins-hosts-", delete=False) as hosts:
        hosts.write(line + "\n")
    os.chmod(hosts.name, 0o644)
    return hosts.name, [
        "unshare",
        "--mount",
        "sh",
        "-c",
        f'mount --bind {hosts.name} /etc/hosts && exec "$@"',
        "sh",
    ]


@needs_namespaces
def test_the_default_urls_of_worker_are_those_of_the_course():
    path, prefix = hosts_prefix("rng", "hasher", "redis")
    try:
        with Service("worker", prefix=[*OWN_NETWORK, *prefix], DELAY_MS=0) as worker:
            worker.wait_for_line(r"INFO:worker:Waiting for redis:6379: ", 10)
        with Redis() as redis:
            with Service("worker", prefix=prefix, DELAY_MS=0, REDIS_URL=redis.url) as worker:
                worker.wait_for_line(r"(Waiting for rng:80: |In work loop: .*rng:80)", 10)
            with Service("rng", DELAY_MS=0) as rng:
                with Service(
                    "worker",
                    prefix=prefix,
                    DELAY_MS=0,
                    REDIS_URL=redis.url,
                    RNG_URL=f"http://127.0.0.1:{rng.port}",
                ) as worker:
                    worker.wait_for_line(r"(Waiting for hasher:80: |In work loop: .*hasher:80)", 10)
    finally:
        os.unlink(path)


@needs_namespaces
def test_the_default_redis_of_webui_is_that_of_the_course():
    path, prefix = hosts_prefix("redis")
    try:
        with Service("webui", prefix=[*OWN_NETWORK, *prefix], PORT=80, **FILES) as webui:
            assert webui.port == 80
            shown = in_network_of(webui.pid, "curl", "-sS", "http://127.0.0.1/json").stdout
            assert "redis:6379" in shown
    finally:
        os.unlink(path)


def test_the_default_folder_of_webui_is_files():
    if os.path.exists("/files"):
        pytest.skip("this machine has a folder /files")
    ended = run("webui", **settings("webui", FILES_DIR=None))
    assert ended.returncode == 1
    assert re.search(r"/files\b", one_line(ended.stderr))


def test_the_default_folder_of_the_chart_library_is_debians():
    if not os.path.isdir("/usr/share/javascript"):
        pytest.skip("no /usr/share/javascript on this machine")
    relative = next(
        (
            os.path.relpath(os.path.join(folder, file), "/usr/share/javascript")
            for folder, _, files in os.walk("/usr/share/javascript", followlinks=False)
            for file in files
            if file.endswith(".js") and not os.path.islink(os.path.join(folder, file))
        ),
        None,
    )
    if relative is None:
        pytest.skip("no script below /usr/share/javascript on this machine")
    with Service("webui", FILES_DIR="/usr/share", ASSETS_DIR=None, REDIS_URL="redis://127.0.0.1:1") as webui:
        status, _, body = http(webui.port, "GET", f"/assets/{relative}")
    assert status == 200
    with open(os.path.join("/usr/share/javascript", relative), "rb") as file:
        assert body == file.read()


# ---------------------------------------------------------------------------------------------- failed starts


@pytest.mark.parametrize("variable", ["FILES_DIR", "ASSETS_DIR"])
@pytest.mark.parametrize("what", ["missing", "a file"])
def test_a_folder_that_is_not_there_is_one_line_and_status_1(variable, what, tmp_path):
    path = tmp_path / "nothing"
    if what == "a file":
        path.write_text("not a folder")
    ended = run("webui", **settings("webui", **{variable: path}))
    assert ended.returncode == 1
    assert str(path) in one_line(ended.stderr)


def listening(address="127.0.0.1", reuse_port=False):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if reuse_port:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((address, 0))
    listener.listen(5)
    return listener, listener.getsockname()[1]


@pytest.mark.parametrize(
    "variable, name", [*(("PORT", name) for name in WITH_PORT), *(("ADMIN_PORT", name) for name in ALL)]
)
@pytest.mark.parametrize("reuse_port", [False, True], ids=["taken", "taken by one who would share"])
@pytest.mark.parametrize(
    "address, taken_address",
    [("127.0.0.1", "127.0.0.1"), ("::", "0.0.0.0"), ("::", "127.0.0.1"), ("::", "::")],
)
def test_a_taken_port_is_one_line_and_status_1(name, variable, reuse_port, address, taken_address):
    """The one who would share has the user 65532 or root, as the service has: only those may share a port."""
    listener, port = listening(taken_address, reuse_port)
    with listener:
        ended = run(name, **settings(name, BIND_ADDRESS=address, **{variable: port}))
    assert ended.returncode == 1
    line = one_line(ended.stderr)
    assert line.startswith(f"{name}: ")
    assert re.search(rf"\b{port}\b", line)


def test_two_of_a_kind_never_share_a_port():
    with service("rng", DELAY_MS=0) as first:
        port = first.port
        for name in WITH_PORT:
            ended = run(name, **settings(name, PORT=port))
            assert ended.returncode == 1
            assert str(port) in one_line(ended.stderr)
        for _ in range(20):
            assert ask(port, GET).status == 200


def test_the_admin_port_cannot_be_the_port():
    port = free_port()
    ended = run("rng", **settings("rng", PORT=port, ADMIN_PORT=port))
    assert ended.returncode == 1
    assert str(port) in one_line(ended.stderr)


def test_an_address_that_is_not_this_machines_is_one_line_and_status_1():
    for name in WITH_PORT:
        ended = run(name, **settings(name, BIND_ADDRESS="192.0.2.1"))
        assert ended.returncode == 1
        assert "192.0.2.1" in one_line(ended.stderr)


@needs_namespaces
def test_a_port_that_the_user_may_not_have_is_one_line_and_status_1(public_bin):
    ended = run(
        "rng",
        prefix=[
            "unshare",
            "--net",
            "setpriv",
            "--reuid=1234",
            "--regid=1234",
            "--clear-groups",
            "--inh-caps=-all",
        ],
        path=f"{public_bin}/rng",
        **settings("rng", PORT=80, BIND_ADDRESS="0.0.0.0"),
    )
    assert ended.returncode == 1
    assert re.search(r"\b80\b.*[Pp]ermission", one_line(ended.stderr))


@needs_namespaces
@pytest.mark.parametrize("name", ["rng", "worker"])
def test_the_default_admin_port_when_taken_is_a_warning_and_none(name):
    free = {"ADMIN_PORT": None, "BIND_ADDRESS": None}
    with Service("hasher", prefix=OWN_NETWORK, PORT=8002, **free) as first:
        assert first.port == 8002
        inside = ["nsenter", "--target", str(first.pid), "--net"]
        env = {"REDIS_URL": "redis://127.0.0.1:1"} if name == "worker" else {"PORT": 8001, "DELAY_MS": 0}
        with Service(name, prefix=inside, **env, **free) as second:
            second.wait_for_line(r"9797")
            assert sum("9797" in line for line in second.lines) == 1
            if name == "rng":
                assert second.port == 8001
                assert curl_inside(first.pid, "http://127.0.0.1:8001/") == "200"
        # Asked for, even by its own number, it is an error.
        taken = run(name, prefix=inside, **env, ADMIN_PORT=9797)
        assert taken.returncode == 1
        assert "9797" in one_line(taken.stderr)


def test_port_zero_takes_a_free_port_twice():
    with service("rng", DELAY_MS=0) as first, service("rng", DELAY_MS=0) as second:
        assert first.port != second.port
        for one in (first, second):
            assert one.port > 0
            assert ask(one.port, GET).status == 200


def listening_sockets(pid):
    """The ports on which the process listens, from the kernel."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"/proc/{pid}/fd/{fd}"))
        except OSError:
            continue
        if match:
            inodes.add(match.group(1))
    ports = []
    for table in ("tcp", "tcp6"):
        with open(f"/proc/{pid}/net/{table}", encoding="ascii") as rows:
            for row in list(rows)[1:]:
                words = row.split()
                if words[3] == "0A" and words[9] in inodes:
                    ports.append(int(words[1].rsplit(":", 1)[1], 16))
    return sorted(ports)


def test_admin_port_zero_is_none():
    for name in WITH_PORT:
        with service(name) as one:
            port = one.port
            assert listening_sockets(one.pid) == [port]
    with service("worker") as worker:
        worker.wait_for_line("Waiting for")
        assert listening_sockets(worker.pid) == []
    with service("rng", admin=True) as rng:
        ports = sorted([rng.port, rng.admin_port])
        assert listening_sockets(rng.pid) == ports


# -------------------------------------------------------------------------------------------------- addresses


@pytest.mark.parametrize("name", WITH_PORT)
def test_the_unspecified_address_serves_ipv6_and_ipv4_alike(name):
    with service(name, BIND_ADDRESS="::") as one:
        for host in ("127.0.0.1", "::1"):
            assert ask(one.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", host=host).status == 404
        one.wait_for_line(r"^127\.0\.0\.1 - - \[")
        one.wait_for_line(r"^::1 - - \[")
        assert "::ffff:" not in one.log


def test_a_loopback_address_is_not_served_on_others():
    with service("rng", BIND_ADDRESS="127.0.0.1") as rng:
        port = rng.port
        with pytest.raises(ConnectionRefusedError):
            open_socket(port, "127.0.0.2")
        with pytest.raises(OSError):
            open_socket(port, "::1")


NO_IPV6 = """
import ctypes, os, struct, sys
socket_call = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
AF_INET6, EAFNOSUPPORT = 10, 97
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
program = [(LOAD, 0, 0, 0), (EQUAL, 0, 3, socket_call), (LOAD, 0, 0, 16), (EQUAL, 0, 1, AF_INET6),
           (RETURN, 0, 0, 0x00050000 | EAFNOSUPPORT), (RETURN, 0, 0, 0x7FFF0000)]
filters = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in program))
filter_program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program), ctypes.addressof(filters)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, filter_program, 0, 0):  # no new privileges; seccomp
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(
    platform.machine() not in ("x86_64", "aarch64"),
    reason="the system call's number is known for two machines only",
)
def test_without_ipv6_the_default_address_becomes_that_of_ipv4():
    """A seccomp filter makes of socket(AF_INET6) what it is on a machine whose kernel has no IPv6."""
    prefix = ["/usr/bin/python3", "-c", NO_IPV6]
    for name, address in (("rng", None), ("hasher", "::"), ("webui", None)):
        env = FILES | {"REDIS_URL": "redis://127.0.0.1:1"} if name == "webui" else {}
        with Service(name, admin=True, prefix=prefix, BIND_ADDRESS=address, **env) as one:
            assert ask(one.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").status == 404
            assert ask(one.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", host="127.0.0.2").status == 404
            assert http(one.admin_port, "GET", "/healthz")[0] == 200
            with pytest.raises(OSError):
                open_socket(one.port, "::1")
            healthy = run(
                name,
                "--healthcheck",
                prefix=prefix,
                **(settings(name) | {"PORT": one.port, "ADMIN_PORT": one.admin_port, "BIND_ADDRESS": "::"}),
            )
            assert healthy.returncode == 0, healthy.stderr
    asked = run("rng", prefix=prefix, **settings("rng", BIND_ADDRESS="::1"))
    assert asked.returncode == 1
    one_line(asked.stderr)


@needs_namespaces
@pytest.mark.parametrize("knob", ["bindv6only", "conf/all/disable_ipv6"])
def test_ipv4_is_served_whatever_the_kernel_thinks_of_ipv6(knob):
    prefix = [
        "unshare",
        "--net",
        "sh",
        "-c",
        f'echo 1 > /proc/sys/net/ipv6/{knob} && ip link set lo up && exec "$@"',
        "sh",
    ]
    with Service("hasher", prefix=prefix, BIND_ADDRESS=None, PORT=80) as hasher:
        assert hasher.port == 80
        assert curl_inside(hasher.pid, "http://127.0.0.1/") == "200"


# ------------------------------------------------------------------------------------------------------ flags

VARIABLES = {
    "rng": ["PORT", "BIND_ADDRESS", "ADMIN_PORT", "DELAY_MS", "DEBUG"],
    "hasher": ["PORT", "BIND_ADDRESS", "ADMIN_PORT", "DELAY_MS", "DEBUG"],
    "worker": ["BIND_ADDRESS", "ADMIN_PORT", "DELAY_MS", "RNG_URL", "HASHER_URL", "REDIS_URL", "DEBUG"],
    "webui": ["PORT", "BIND_ADDRESS", "ADMIN_PORT", "REDIS_URL", "FILES_DIR", "ASSETS_DIR", "DEBUG"],
}


@pytest.mark.parametrize("name", ALL)
def test_help_names_every_flag_and_every_variable(name):
    shown = run(name, "--help")
    assert shown.returncode == 0
    assert shown.stderr == ""
    for flag in ("--help", "--version", "--healthcheck"):
        assert flag in shown.stdout
    listed = re.findall(r"^\s+([A-Z][A-Z_]+)\b", shown.stdout, re.MULTILINE)
    assert sorted(listed) == sorted(VARIABLES[name])


@pytest.mark.parametrize("name", ALL)
def test_version_is_one_line_with_name_and_number(name):
    shown = run(name, "--version")
    assert shown.returncode == 0
    assert shown.stderr == ""
    assert re.fullmatch(rf"{name}\b.*\d+\.\d+.*", one_line(shown.stdout))


@pytest.mark.parametrize(
    "flag", ["--nope", "-x", "serve", "--Help", "--help=yes", "--port=80", "-", "", "--bell\x07\n"]
)
@pytest.mark.parametrize("name", ALL)
def test_an_unknown_flag_is_one_line_that_names_it_and_status_2(name, flag):
    ended = run(name, flag, **settings(name))
    assert ended.returncode == 2
    line = one_line(ended.stderr)
    assert line.startswith(f"{name}: ")
    assert flag.replace("\x07\n", "") in line
    assert "\x07" not in line
    assert ended.stdout == ""


def test_an_unknown_flag_beside_a_known_one_is_still_unknown():
    ended = run("rng", "--version", "--nope", **settings("rng"))
    assert ended.returncode == 2
    one_line(ended.stderr)


# ---------------------------------------------------------------------------------------------- --healthcheck


def check(name, **changes):
    begun = time.monotonic()
    ended = run(name, "--healthcheck", **settings(name, **changes))
    return ended.returncode, time.monotonic() - begun, ended


def ports_of(one):
    ports = {"ADMIN_PORT": one.admin_port}
    if one.name != "worker":
        ports["PORT"] = one.port
    return ports


@pytest.mark.parametrize("address", ["127.0.0.1", "::", "0.0.0.0", "::1"])
@pytest.mark.parametrize("name", ALL)
def test_healthcheck_is_0_for_one_that_is_well(name, address):
    with service(name, admin=True, BIND_ADDRESS=address) as one:
        one.wait_for_line("Waiting for|running on")
        status, _, ended = check(name, BIND_ADDRESS=address, **ports_of(one))
        assert status == 0, ended.stderr


@pytest.mark.parametrize("name", ALL)
def test_healthcheck_is_1_for_one_that_is_not_there(name):
    status, seconds, ended = check(
        name, PORT=free_port() if name != "worker" else None, ADMIN_PORT=free_port()
    )
    assert status == 1
    assert seconds < scale(3)
    one_line(ended.stderr)


@pytest.mark.parametrize("name", ALL)
def test_healthcheck_is_1_when_the_admin_port_is_dead(name):
    with service(name, admin=True) as one:
        one.wait_for_line("Waiting for|running on")
        ports = ports_of(one) | {"ADMIN_PORT": free_port()}
        status, _, ended = check(name, **ports)
        assert status == 1
        assert str(ports["ADMIN_PORT"]) in one_line(ended.stderr)


@pytest.mark.parametrize("name", WITH_PORT)
def test_healthcheck_is_1_when_the_service_port_is_dead(name):
    with service(name, admin=True) as one:
        port = free_port()
        status, _, ended = check(name, **(ports_of(one) | {"PORT": port}))
        assert status == 1
        assert str(port) in one_line(ended.stderr)


@pytest.mark.parametrize("dead", ["PORT", "ADMIN_PORT"])
def test_healthcheck_is_1_when_a_port_takes_no_connection_or_hangs(dead):
    with service("rng", admin=True) as rng, Blackhole() as hole:
        status, seconds, _ = check("rng", **(ports_of(rng) | {dead: hole.port}))
        assert status == 1
        assert seconds < scale(6)
    if dead == "ADMIN_PORT":
        with service("rng", admin=True) as rng:
            ports = ports_of(rng)
            rng.send_signal(signal.SIGSTOP)
            try:
                status, seconds, _ = check("rng", **ports)
            finally:
                rng.send_signal(signal.SIGCONT)
            assert status == 1
            assert seconds < scale(6)


def test_healthcheck_is_1_when_something_else_answers_on_the_admin_port():
    with service("rng", DELAY_MS=0, admin=True) as rng, service("hasher") as other:
        status, _, _ = check("rng", **(ports_of(rng) | {"ADMIN_PORT": other.port}))
        assert status == 1


def test_healthcheck_does_not_join_the_line_and_is_not_in_the_access_log():
    with service("rng", DELAY_MS=1000, admin=True) as rng:
        port = rng.port
        waiting = [open_socket(port) for _ in range(20)]
        for connection in waiting:
            connection.sendall(GET_1)
        time.sleep(0.1)
        begun = time.monotonic()
        for _ in range(3):
            status, seconds, ended = check("rng", **ports_of(rng))
            assert status == 0, ended.stderr
            assert seconds < scale(0.5)
        assert len(rng.access_lines()) <= (time.monotonic() - begun + 0.2) // 1 + 1
        for connection in waiting:
            connection.close()
        eventually(lambda: len(rng.access_lines()) == 20, 10)
        time.sleep(0.1)
        assert len(rng.access_lines()) == 20  # the requests', and none of the checks'
        assert not any("healthz" in line for line in rng.lines)


# ------------------------------------------------------------------------------------------------- Kubernetes


def kubernetes_variables():
    """What a cluster adds to every container for the Services of the course."""
    env = {"KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_PORT": "tcp://10.96.0.1:443"}
    for name, port in (("RNG", 80), ("HASHER", 80), ("WEBUI", 80), ("REDIS", 6379), ("WORKER", 9797)):
        url = f"tcp://10.0.0.1:{port}"
        env.update(
            {
                f"{name}_SERVICE_HOST": "10.0.0.1",
                f"{name}_SERVICE_PORT": str(port),
                f"{name}_PORT": url,
                f"{name}_PORT_{port}_TCP": url,
                f"{name}_PORT_{port}_TCP_PROTO": "tcp",
                f"{name}_PORT_{port}_TCP_PORT": str(port),
                f"{name}_PORT_{port}_TCP_ADDR": "10.0.0.1",
            }
        )
    return env


@pytest.mark.parametrize("name", ALL)
def test_the_variables_that_kubernetes_injects_do_no_harm(name):
    with service(name, admin=True, **kubernetes_variables()) as one:
        if name == "worker":
            one.wait_for_line(r"Waiting for 127\.0\.0\.1:1: ")
        else:
            assert ask(one.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").status == 404
        eventually(lambda: listens(one.admin_port))
        assert http(one.admin_port, "GET", "/healthz")[0] == 200
        assert one.stderr == []


# ------------------------------------------------------------------------------------------- users and limits


def identity(pid):
    """(uids, gids, groups, effective and permitted capabilities) of every thread of the process, as a set."""
    threads = set()
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/status", encoding="ascii") as status:
            fields = dict(line.rstrip("\n").split(":\t", 1) for line in status if ":\t" in line)
        threads.add(
            (
                tuple(fields["Uid"].split("\t")),
                tuple(fields["Gid"].split("\t")),
                fields["Groups"].strip(),
                int(fields["CapEff"], 16),
                int(fields["CapPrm"], 16),
            )
        )
    return threads


@needs_namespaces
@pytest.mark.parametrize("name", WITH_PORT)
def test_started_as_root_it_binds_and_then_becomes_nobody_in_no_group(name):
    env = {"BIND_ADDRESS": None, "PORT": 80} | (FILES if name == "webui" else {})
    with Service(name, prefix=[*OWN_NETWORK, "setpriv", "--groups=4,27,100"], **env) as one:
        assert one.port == 80  # which only root may have
        assert curl_inside(one.pid, "http://127.0.0.1/") == ("302" if name == "webui" else "200")
        nobody = (str(NOBODY),) * 4
        assert identity(one.pid) == {(nobody, nobody, "", 0, 0)}


@needs_root
@pytest.mark.parametrize("name", WITH_PORT)
def test_started_as_root_without_the_right_to_change_it_says_why_it_could_not(name):
    with service(name, prefix=["setpriv", "--bounding-set=-setuid,-setgid"]) as one:
        assert ask(one.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").status == 404
        said = one.wait_for_line(r"65532.*")
        assert re.search(r"not permitted", said.string)


@needs_root
@pytest.mark.parametrize("name", ALL)
def test_started_as_another_user_it_stays_that(name, public_bin):
    prefix = ["setpriv", "--reuid=1234", "--regid=1235", "--groups=1236"]
    with service(name, prefix=prefix, path=f"{public_bin}/{name}") as one:
        if name == "worker":
            one.wait_for_line("Waiting for")
        else:
            assert ask(one.port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").status == 404
        ((uids, gids, groups, effective, _),) = identity(one.pid)
        assert uids == ("1234",) * 4 and gids == ("1235",) * 4 and groups == "1236"
        assert effective == 0
        assert one.stderr == []


@pytest.mark.skipif(not shutil.which("prlimit"), reason="prlimit is not installed (apt: util-linux)")
@pytest.mark.parametrize("name", ALL)
def test_the_limit_of_open_files_is_raised_as_far_as_allowed(name):
    with service(name, prefix=["prlimit", "--nofile=256:4096"]) as one:
        one.wait_for_line("Waiting for" if name == "worker" else "running on port", 10)
        with open(f"/proc/{one.pid}/limits", encoding="ascii") as limits:
            soft, hard = re.search(r"^Max open files\s+(\d+)\s+(\d+)", limits.read(), re.MULTILINE).groups()
        assert (soft, hard) == ("4096", "4096")


def test_more_connections_than_the_soft_limit_of_open_files_are_served():
    with service("rng", DELAY_MS=0, prefix=["prlimit", "--nofile=100:4096"]) as rng:
        connections = [open_socket(rng.port) for _ in range(300)]
        assert ask(rng.port, GET).status == 200
        for connection in connections:
            connection.close()


@pytest.mark.parametrize("name", WITH_PORT)
def test_running_out_of_open_files_ends_nothing_and_burns_no_cpu(name):
    """A hard limit of 64: the hundredth client has to wait or is closed, and later all is well again."""
    with service(
        name, prefix=["prlimit", "--nofile=64:64"], **({"DELAY_MS": 0} if name != "webui" else {})
    ) as one:
        port = one.port
        connections = [open_socket(port) for _ in range(100)]
        before = cpu_seconds(one.pid)
        time.sleep(1)
        assert cpu_seconds(one.pid) - before < scale(0.2)
        for connection in connections:
            connection.close()
        eventually(lambda: ask(port, b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n").status == 404, 10)


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        user, system = stat.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


# ------------------------------------------------------------------------------------------------------ DEBUG


@pytest.fixture(scope="module")
def mine():
    """All that a worker needs."""
    with Redis() as redis, Service("rng", DELAY_MS=0) as rng, Service("hasher", DELAY_MS=0) as hasher:
        yield {
            "REDIS_URL": redis.url,
            "RNG_URL": f"http://127.0.0.1:{rng.port}",
            "HASHER_URL": f"http://127.0.0.1:{hasher.port}",
            "DELAY_MS": 20,
        }


@pytest.mark.parametrize("value", ["y", "Y", "yes", "Yes", "YES", "yoghurt"])
def test_debug_that_begins_with_y_shows_every_unit_of_work(mine, value):
    with Service("worker", DEBUG=value, **mine) as worker:
        worker.wait_for_line(r"^DEBUG:worker:Doing one unit of work$")
        worker.wait_for_line(r"^DEBUG:worker:No coin found$")


@pytest.mark.parametrize("value", [None, "", "n", "no", "1", "true", " y", "on", "DEBUG"])
def test_any_other_debug_is_off(mine, value):
    with Service("worker", DEBUG=value, **mine) as worker:
        worker.wait_for_line(r"[1-9]\d* units of work done", 10)
        assert "DEBUG:" not in worker.log
