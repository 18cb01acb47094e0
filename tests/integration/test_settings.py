"""Settings, flags, ports and users: how the four programs start, and what they say when they cannot."""

import contextlib
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from clients import request_bytes
from fakes import Namespace
from harness import (BIN, EMULATED, LAUNCHER, NAMESPACES, OWN_NETWORK, PATH, Service, alone, ask, binary, free_port,
                     http, in_network_of, listening, needs_namespaces, open_socket, run, scale, wait_until_up)
from waiting import REPO

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
NOWHERE = b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
PROGRAMS = ["rng", "hasher", "worker", "webui"]
SERVING = ["rng", "hasher", "webui"]  # with a service port besides the admin port


def ends(name, *args, prefix=(), path=None, **changes):
    """The exit status and stderr of a program that ends by itself and prints nothing on stdout."""
    env = {variable: value for variable, value in {**alone(name).env, **changes}.items() if value is not None}
    ended = run(name, *args, prefix=prefix, path=path, **env)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("name, variable, bad, allowed", [
    ("rng", "DELAY_MS", "1.5", "whole milliseconds are expected, from 0 to a year"),
    ("hasher", "ADMIN_PORT", "http://10.0.0.1:80", "a port from 1 to 65535 is expected, or 0 for none"),
    ("worker", "HASHER_URL", "hasher\n", "http://host[:port][/path] is expected (another scheme)"),
    ("webui", "ASSETS_DIR", "", "a folder is expected")])
def test_a_bad_value_is_status_2_and_one_line_with_variable_value_and_what_is_allowed(name, variable, bad, allowed):
    shown = bad.replace("\n", r"\x0a")
    assert ends(name, **{variable: bad}) == (2, f"{name}: {variable}={shown}: {allowed}\n")


def documented():
    """{program: {variable: default}} in the reference's table, where a row may have several variables."""
    found = {name: {} for name in PROGRAMS}
    with open(f"{REPO}/docs/reference.md", encoding="utf-8") as file:
        table = file.read().partition("\n## Settings\n")[2].partition("\n## ")[0]
    for variables, programs, defaults in re.findall(r"^\| (`.*?) \| (.*?) \| (.*?) \|", table, re.MULTILINE):
        for name in PROGRAMS if programs == "all" else programs.split(", "):
            found[name] |= zip(re.findall(r"\w+", variables), defaults.replace("`", "").split(", "), strict=True)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_lists_the_settings_of_the_reference_and_unknown_flags_are_refused(name):
    version, shown = run(name, "--version"), run(name, "--help")
    assert (version.returncode, version.stderr, shown.returncode, shown.stderr) == (0, "", 0, "")
    with open("/dev/full", "w", encoding="ascii") as full:
        unwritten = subprocess.run([*LAUNCHER, binary(name), "--help"], stdout=full, stderr=subprocess.PIPE, text=True,
                                   check=False)
    said = f"{name}: cannot write to stdout: No space left on device\n"
    assert (unwritten.returncode, unwritten.stderr) == (1, said)
    assert re.fullmatch(rf"{name} \(DockerCoins in C\+\+\) \d+\.\d+\.\d+\n", version.stdout)
    usage, settings = shown.stdout.split("\nSettings, from the environment (default):\n")
    assert f"\n\nUsage: {name} [--help | --version | --healthcheck [URL] | --metrics]\n" in usage
    listed = [re.fullmatch(r"  (\w+) +.+ \((.*)\)", line).groups() for line in settings.splitlines()]
    assert sorted(listed) == sorted(documented()[name].items())

    for flag, said in (("--Help", "--Help"), ("", ""), ("--bell\x07", r"--bell\x07")):
        assert ends(name, flag) == (
            2, f"{name}: unknown flag {said}; --help, --version, --healthcheck or --metrics is expected\n")
    assert ends(name, "--version", "--nope") == (2, f"{name}: at most one flag is expected; see --help\n")


# What Kubernetes adds to every container.
KUBERNETES = {f"{name}_PORT{suffix}": value for name in ("RNG", "HASHER", "WEBUI", "REDIS", "WORKER", "KUBERNETES")
              for suffix, value in (("", "tcp://10.0.0.1:80"), ("_80_TCP_PORT", 80), ("_80_TCP_ADDR", "10.0.0.1"))}


@pytest.mark.parametrize("name", PROGRAMS)
def test_settings_are_used_and_what_kubernetes_injects_does_no_harm(name):
    with alone(name, admin=True, BIND_ADDRESS="::1", DEBUG="yes", prefix=["prlimit", "--nofile=256:4096"],
               **KUBERNETES) as one:
        wait_until_up(one)
        limits = pathlib.Path(f"/proc/{one.pid}/limits").read_text(encoding="ascii")
        assert re.search(r"\nMax open files +4096 +4096", limits), "as many as are allowed"
        assert http(one.admin_port, "GET", "/healthz", host="::1")[0] == 200
        if name == "worker":
            one.wait_for_line("^INFO:worker:Waiting for 127.0.0.1:1: connection refused$")
        else:
            assert ask(one.port, request_bytes("/"), host="::1").status in (200, 302)
            one.wait_for_line(f"^DEBUG:{name}:That request waited ")
        for port in {one.admin_port, one._port or one.admin_port}:
            with pytest.raises(ConnectionRefusedError):
                open_socket(port)
        assert one.stderr == []


def curl_inside(one, url, *options):
    return in_network_of(one.pid, "curl", "-sSg", *options, url).stdout


@needs_namespaces
def test_it_works_with_all_defaults_except_the_addresses():
    with contextlib.ExitStack() as stack:
        inside = stack.enter_context(Namespace("127.0.0.2 rng\n127.0.0.3 hasher\n127.0.0.4 redis\n"))

        def start(name, address=None):
            unset = dict.fromkeys(("PORT", "ADMIN_PORT", "ASSETS_DIR"))
            return stack.enter_context(Service(name, prefix=inside.prefix, **unset, BIND_ADDRESS=address))

        servers = start("rng", "127.0.0.2"), start("hasher", "127.0.0.3"), start("webui", "127.0.0.5")
        assert [server.port for server in servers] == [80, 80, 80]
        for url, options in (("http://127.0.0.2/1", ()), ("http://127.0.0.3/", ("-d", "x"))):
            seconds = [float(curl_inside(inside, url, *options, "-o", "/dev/null", "-w", "%{time_total}"))
                       for _ in range(5)]
            assert 0.1 <= min(seconds) < 0.19, "DELAY_MS is 100"
        with open("/usr/share/javascript/dygraphs/dygraph.min.js", encoding="utf-8") as script:
            assert curl_inside(inside, "http://127.0.0.5/assets/dygraphs/dygraph.min.js") == script.read()
        assert curl_inside(inside, "http://127.0.0.5/json") == '{"error":"Redis at redis:6379: connection refused"}'
        worker = start("worker")
        taken = "cannot listen on port 9797 of ::: Address already in use"
        assert worker.wait_for_line(":").string == f"WARNING:worker:No admin port: {taken}"
        worker.wait_for_line("^INFO:worker:Waiting for redis:6379: connection refused$")
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        redis = ["redis-server", "--bind", "127.0.0.4", "--dir", folder, "--daemonize", "yes", "--save", ""]
        assert in_network_of(inside.pid, *redis, env={"PATH": PATH}).returncode == 0
        stack.callback(in_network_of, inside.pid, "redis-cli", "-h", "127.0.0.4", "shutdown", "nosave")
        worker.wait_for_line("[1-9] units of work done", 10)
        assert re.fullmatch(r'{"coins":\d+,"hashes":"\d+","now":[\d.]+}', curl_inside(inside, "http://127.0.0.5/json"))
        for host in (2, 3, 5):
            assert curl_inside(inside, f"http://127.0.0.{host}:9797/healthz") == "ok\n"
        # If it was set, even to the default, it is an error.
        assert ends("worker", prefix=inside.prefix, BIND_ADDRESS="::", ADMIN_PORT=9797) == (1, f"worker: {taken}\n")


@needs_namespaces
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_default_address_is_every_ipv4_and_ipv6_address(name):
    only_ipv6 = ["sh", "-c", 'echo 1 >/proc/sys/net/ipv6/bindv6only && exec "$@"', "sh"]
    with alone(name, prefix=[*OWN_NETWORK, *only_ipv6], BIND_ADDRESS=None, ADMIN_PORT=None, DEBUG="no") as one:
        wait_until_up(one)
        for host, client in (("[::1]", "::1"), ("127.9.9.9", "127.0.0.1")):
            assert curl_inside(one, f"http://{host}:9797/healthz") == "ok\n"
            if name != "worker":
                curl_inside(one, f"http://{host}:{one.port}/nowhere")
                one.wait_for_line(f'^{client} - - .*"GET /nowhere ')
        assert not any("DEBUG" in line for line in one.lines)


@pytest.mark.parametrize("variable, folder, named", [
    ("FILES_DIR", None, "/files"), ("FILES_DIR", "/no/files", "/no/files"), ("ASSETS_DIR", "/no/js", "/no/js")])
def test_a_folder_that_is_not_there_is_one_line_and_status_1(variable, folder, named):
    if os.path.exists(named):
        pytest.skip(f"this machine has a folder {named}")
    assert ends("webui", **{variable: folder}) == (
        1, f"webui: cannot open the folder {named}: No such file or directory\n")


@pytest.mark.parametrize("name, variable", [*((name, "PORT") for name in SERVING),
                                            *((name, "ADMIN_PORT") for name in PROGRAMS)])
@pytest.mark.parametrize("address, taken", [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::")])
def test_a_taken_port_is_one_line_and_status_1_even_if_its_owner_would_share_it(name, variable, address, taken):
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.create_server((taken, 0), family=family, reuse_port=True) as listener:
        port = listener.getsockname()[1]
        assert ends(name, BIND_ADDRESS=address, **{variable: port}) == (
            1, f"{name}: cannot listen on port {port} of {address}: Address already in use\n")


def test_an_address_or_a_port_that_cannot_be_bound_is_one_line_and_status_1(public_bin):
    assert ends("rng", PORT=7, BIND_ADDRESS="192.0.2.1") == (
        1, "rng: cannot listen on port 7 of 192.0.2.1: Cannot assign requested address\n")
    if NAMESPACES:
        user = ["unshare", "--net", "setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "--inh-caps=-all"]
        assert ends("rng", prefix=user, path=f"{public_bin}/rng", PORT=80, BIND_ADDRESS="0.0.0.0") == (
            1, "rng: cannot listen on port 80 of 0.0.0.0: Permission denied\n")


def test_port_zero_is_a_free_one_and_admin_port_zero_is_none():
    with alone("rng") as rng, alone("rng", admin=True) as other, alone("worker") as worker:
        wait_until_up(worker)
        assert rng.port != other.port
        for one, ports in ((rng, {rng.port}), (other, {other.port, other.admin_port}), (worker, set())):
            assert {port for _, port in listening(one.pid)} == ports


# With this seccomp filter socket(AF_INET6) fails as on a kernel without IPv6: errno EAFNOSUPPORT, 97.
NO_IPV6 = """
import ctypes, os, struct, sys
call = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
program = b"".join(struct.pack("HBBI", *each) for each in (
    (0x20, 0, 0, 0), (0x15, 0, 3, call), (0x20, 0, 0, 16), (0x15, 0, 1, 10), (6, 0, 0, 0x50061), (6, 0, 0, 0x7FFF0000)))
filter = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, struct.pack("HxxxxxxP", 6, ctypes.addressof(filter))) == 0
os.execvp(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="the system call's number is not known")
def test_without_ipv6_the_default_address_becomes_that_of_ipv4():
    prefix = ["/usr/bin/python3", "-c", NO_IPV6]
    with alone("rng", admin=True, prefix=prefix, BIND_ADDRESS=None) as rng:
        assert ask(rng.port, NOWHERE, host="127.0.0.2").status == 404
        assert http(rng.admin_port, "GET", "/healthz", host="127.0.0.2")[0] == 200
        with pytest.raises(OSError):
            open_socket(rng.port, "::1")
        assert healthcheck(rng, prefix=prefix, BIND_ADDRESS="::") == (0, "")
    assert ends("rng", prefix=prefix, PORT=7, BIND_ADDRESS="::1") == (
        1, "rng: cannot listen on port 7 of ::1: Address family not supported by protocol\n")


def healthcheck(one, prefix=(), **changes):
    ports = {"ADMIN_PORT": one.admin_port} | ({} if one.name == "worker" else {"PORT": one.port})
    return ends(one.name, "--healthcheck", prefix=prefix, **ports | changes)


@pytest.mark.parametrize("name", PROGRAMS)
def test_healthcheck_is_0_for_a_healthy_service_else_1_with_the_reason(name):
    dead = free_port()
    with alone(name, admin=True) as one:
        wait_until_up(one)
        assert healthcheck(one, BIND_ADDRESS="0.0.0.0") == (0, "")
        assert healthcheck(one, ADMIN_PORT=dead) == (
            1, f"{name}: the admin port 127.0.0.1:{dead}: connection refused\n")
        if name != "worker":
            assert healthcheck(one, PORT=dead) == (1, f"{name}: 127.0.0.1:{dead}: connection refused\n")
            assert healthcheck(one, PORT=0) == (1, f"{name}: PORT=0: the port that the service took is not known\n")
            assert one.access_lines() == [], "a connection without a request is not a request"


def test_healthcheck_of_a_url_is_0_for_2xx_within_a_second_else_1_with_the_reason():
    with alone("webui") as webui, alone("rng", DELAY_MS=3000) as rng:
        wait_until_up(webui)
        wait_until_up(rng)
        at = f"http://127.0.0.1:{webui.port}"
        assert ends("webui", "--healthcheck", f"{at}/index.html") == (0, "")
        dead = free_port()
        for url, said in ((f"{at}/nothing", f"{at}/nothing: its response is 404"),
                          (at, f"{at}: its response is 302"),
                          (f"http://127.0.0.1:{rng.port}/1", f"127.0.0.1:{rng.port}: no complete response in time"),
                          (f"http://127.0.0.1:{dead}/", f"127.0.0.1:{dead}: connection refused"),
                          ("http://127.0.0.1:84301/", "http://127.0.0.1:84301/: http://host[:port][/path] is expected "
                                                      "(not a number)"),
                          ("http://me:s3cret@rng/", "http://***@rng/: http://host[:port][/path] is expected "
                                                    "(not a number)"),
                          (f"{at}/ HTTP/1.0\r\n", f"{at}/ HTTP/1.0\\x0d\\x0a: http://host[:port][/path] is expected "
                                                  "(a space or a line's end)"),
                          ("https://x", "https://x: http://host[:port][/path] is expected (another scheme)")):
            begun = time.monotonic()
            assert ends("webui", "--healthcheck", url) == (1, f"webui: {said}\n")
            assert time.monotonic() - begun < scale(1.9)


@pytest.mark.parametrize("flag", ["--healthcheck", "--metrics"])
def test_a_flag_ends_even_if_the_admin_port_hangs(flag):
    with alone("rng", admin=True) as rng:
        wait_until_up(rng)
        rng.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert ends("rng", flag, PORT=rng.port, ADMIN_PORT=rng.admin_port) == (
            1, f"rng: the admin port 127.0.0.1:{rng.admin_port}: no complete response in time\n")
        rng.kill()
        assert 1.9 < time.monotonic() - begun < scale(3.9)


@pytest.fixture(scope="module")
def public_bin():
    """A copy of the programs where any user may run them: the repository may be in a private home."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        for name in PROGRAMS:
            os.chmod(shutil.copy(os.path.join(BIN, name), folder), 0o755)
        yield folder


def identities(pid):
    """User, group, groups, effective and permitted capabilities of every thread of the process."""
    found = set()
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":", 1) for line in (task / "status").read_text(encoding="ascii").splitlines())
        found.add(tuple(" ".join(fields[key].split()) for key in ("Uid", "Gid", "Groups", "CapEff", "CapPrm")))
    return found


@needs_namespaces
@pytest.mark.skipif(EMULATED, reason="QEMU has a thread of its own, which stays root")
@pytest.mark.parametrize("name", SERVING)
def test_started_as_root_it_binds_its_port_and_then_becomes_user_65532(name):
    with alone(name, prefix=[*OWN_NETWORK, "setpriv", "--groups=4,27,100"], PORT=80) as one:
        assert one.port == 80  # only root may bind it
        nobody = "65532 65532 65532 65532"
        assert identities(one.pid) == {(nobody, nobody, "", "0" * 16, "0" * 16)}
        assert one.lines == [f"{name.upper()} running on port 80"]


@needs_root
@pytest.mark.parametrize("kept", ["-setuid", "-setgid"])
def test_started_as_root_without_the_right_to_change_user_it_says_why(kept):
    with alone("rng", prefix=["setpriv", f"--bounding-set={kept}"]) as rng:
        assert ask(rng.port, NOWHERE).status == 404
        assert rng.lines[0] == (
            "WARNING:rng:Still running as root, could not become user 65532: Operation not permitted")


@needs_root
@pytest.mark.parametrize("name", PROGRAMS)
def test_started_as_another_user_it_stays_that_user(name, public_bin):
    prefix = ["setpriv", "--reuid=1234", "--regid=1235", "--groups=1236"]
    with alone(name, prefix=prefix, path=f"{public_bin}/{name}") as one:
        wait_until_up(one)
        assert identities(one.pid) == {(" ".join(["1234"] * 4), " ".join(["1235"] * 4), "1236", "0" * 16, "0" * 16)}
        assert not any("WARNING" in line for line in one.lines)
