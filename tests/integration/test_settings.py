"""Settings, flags, ports and users: how the four programs start, and what they say when they cannot."""

import os
import pathlib
import platform
import re
import signal
import socket
import subprocess
import time

import pytest

from clients import quickest, request_bytes
from harness import (EMULATED, OWN_NETWORK, REPO, Service, alone, ask, free_port, http, in_network_of, listening,
                     needs_namespaces, open_socket, run, scale, wait_until_up)

NOWHERE = request_bytes("/nowhere")
SERVING = ["rng", "hasher", "webui"]  # with a service port besides the admin port
PROGRAMS = [*SERVING, "worker"]


def ends(name, *args, prefix=(), **changes):
    """The exit status and stderr of a program that ends by itself and prints nothing on stdout."""
    env = {variable: value for variable, value in {**alone(name).env, **changes}.items() if value is not None}
    ended = run(name, *args, prefix=prefix, **env)
    assert ended.stdout == ""
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("name, settings, status, said", [
    ("rng", {"DELAY_MS": "1.5"}, 2, "DELAY_MS=1.5: whole milliseconds are expected, from 0 to a year"),
    ("hasher", {"ADMIN_PORT": "80,81"}, 2, "ADMIN_PORT=80,81: a port from 1 to 65535 is expected, or 0 for none"),
    ("worker", {"HASHER_URL": "x\n"}, 2, r"HASHER_URL=x\x0a: http://host[:port][/path] is expected (another scheme)"),
    ("webui", {"ASSETS_DIR": ""}, 2, "ASSETS_DIR=: a folder is expected"),
    ("webui", {"ASSETS_DIR": "/no/js"}, 1, "cannot open the folder /no/js: No such file or directory"),
    ("webui", {"FILES_DIR": "/no/files"}, 1, "cannot open the folder /no/files: No such file or directory"),
    ("rng", {"PORT": 7, "BIND_ADDRESS": "192.0.2.1"}, 1,
     "cannot listen on port 7 of 192.0.2.1: Cannot assign requested address")])
def test_what_cannot_start_is_one_line_and_status_2_for_a_bad_value_else_1(name, settings, status, said):
    assert ends(name, **settings) == (status, f"{name}: {said}\n")


def settings_in_reference(name):
    """The table in docs/reference.md: variables with their defaults."""
    page = pathlib.Path(REPO, "docs/reference.md").read_text(encoding="utf-8")
    found = {}
    for variables, of, defaults in re.findall(r"^\| (`[A-Z].*?) \| (.*?) \| (.*?) \| .* \|$", page, re.MULTILINE):
        if name in of or of == "all":
            found |= zip(re.findall(r"\w+", variables), defaults.replace("`", "").split(", "))
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_help_lists_the_settings_of_the_reference_and_unknown_flags_are_refused(name):
    version, shown = run(name, "--version"), run(name, "--help")
    assert (version.returncode, version.stderr, shown.returncode, shown.stderr) == (0, "", 0, "")
    assert re.fullmatch(rf"{name} \(DockerCoins in C\+\+\) \d+\.\d+\.\d+\n", version.stdout)
    usage, settings = shown.stdout.split("\nSettings, from the environment (default):\n")
    flags = r"\[--help \| --version \| --healthcheck \[URL\] \| --metrics\]"
    assert re.match(rf"{name}: .*\.\n\nUsage: {name} {flags}\n(  --.*\n){{5}}$", usage)
    assert dict(re.findall(r"^  (\w+) +\S.* \((.*?)\)$", settings, re.MULTILINE)) == settings_in_reference(name)

    assert ends(name, "--help", prefix=["sh", "-c", '"$0" "$@" >/dev/full']) == (
        1, f"{name}: cannot write to stdout: No space left on device\n")
    for flag, said in (("--Help", "--Help"), ("", ""), ("--bell\x07", r"--bell\x07")):
        assert ends(name, flag) == (
            2, f"{name}: unknown flag {said}; --help, --version, --healthcheck or --metrics is expected\n")
    assert ends(name, "--version", "--nope") == (2, f"{name}: at most one flag is expected; see --help\n")


# What Kubernetes adds to every container.
KUBERNETES = {f"{name}_PORT{suffix}": value for name in ("RNG", "HASHER", "WEBUI", "REDIS", "WORKER", "KUBERNETES")
              for suffix, value in (("", "tcp://10.0.0.1:80"), ("_80_TCP_PORT", 80), ("_80_TCP_ADDR", "10.0.0.1"))}


@pytest.mark.parametrize("name", PROGRAMS)
def test_settings_are_used_and_what_kubernetes_injects_does_no_harm(name):
    with alone(name, admin=True, PORT=free_port(), BIND_ADDRESS="::1", DEBUG="yes",
               prefix=["prlimit", "--nofile=256:4096"], **KUBERNETES) as one:
        wait_until_up(one)
        limits = pathlib.Path(f"/proc/{one.pid}/limits").read_text(encoding="ascii")
        assert re.search(r"\nMax open files +4096 +4096", limits), "as many as are allowed"
        assert http(one.admin_port, "GET", "/healthz", host="::1")[0] == 200
        if name == "worker":
            one.wait_for_line("^INFO:worker:Waiting for 127.0.0.1:1: connection refused$")
        else:
            assert http(int(one.env["PORT"]), "GET", "/", host="::1")[0] in (200, 302)
            one.wait_for_line(rf"^DEBUG:{name}:That request waited \d+\.\d ms in the queue and was served in \d")
        assert {address for address, _ in listening(one.pid)} == {"0" * 24 + "01000000"}, "::1 only"
        assert one.stderr == []


@needs_namespaces
@pytest.mark.parametrize("name", PROGRAMS)
def test_by_default_it_serves_on_port_80_of_every_address_and_a_taken_admin_port_is_only_a_warning(name):
    only_ipv6 = ["sh", "-c", 'echo 1 >/proc/sys/net/ipv6/bindv6only && exec "$@"', "sh"]
    unset = dict.fromkeys(("BIND_ADDRESS", "ADMIN_PORT", "PORT", "ASSETS_DIR"))
    with alone(name, prefix=[*OWN_NETWORK, *only_ipv6], **unset, DEBUG="no") as one:
        wait_until_up(one)
        inside = in_network_of(one.pid)

        def curl(url):
            return subprocess.run([*inside, "curl", "-sSg", url], stdout=subprocess.PIPE, text=True, check=False).stdout

        for host, client in (("[::1]", "::1"), ("127.9.9.9", "127.0.0.1")):
            assert curl(f"http://{host}:9797/healthz") == "ok\n"
            if name != "worker":
                curl(f"http://{host}/nowhere")
                one.wait_for_line(f'^{client} - - .*"GET /nowhere ')
        assert name != "webui" or "Dygraph" in curl("http://127.0.0.1/assets/dygraphs/dygraph.min.js")
        assert "DEBUG" not in one.log
        taken = "cannot listen on port 9797 of ::: Address already in use"
        with Service("worker", prefix=inside, BIND_ADDRESS=None, ADMIN_PORT=None) as other:
            assert other.wait_for_line(":").string == f"WARNING:worker:No admin port: {taken}"
            other.wait_for_line("^INFO:worker:Waiting for redis:6379: ")
        # If it was set, even to the default, it is an error.
        assert ends("worker", prefix=inside, BIND_ADDRESS="::", ADMIN_PORT=9797) == (1, f"worker: {taken}\n")


@pytest.mark.parametrize("name, variable", [*((name, "PORT") for name in SERVING),
                                            *((name, "ADMIN_PORT") for name in PROGRAMS)])
@pytest.mark.parametrize("address, taken", [("127.0.0.1", "127.0.0.1"), ("::", "127.0.0.1"), ("::", "::")])
def test_a_taken_port_is_one_line_and_status_1_even_if_its_owner_would_share_it(name, variable, address, taken):
    family = socket.AF_INET6 if ":" in taken else socket.AF_INET
    with socket.create_server((taken, 0), family=family, reuse_port=True) as listener:
        port = listener.getsockname()[1]
        assert ends(name, BIND_ADDRESS=address, **{variable: port}) == (
            1, f"{name}: cannot listen on port {port} of {address}: Address already in use\n")


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


def healthcheck(one, **changes):
    """What it says of a service that responds. It gives up after a second, so a busy machine is asked again."""
    ports = {"ADMIN_PORT": one.admin_port, "PORT": None if one.name == "worker" else one.port}
    for _ in range(5):
        said = ends(one.name, "--healthcheck", **ports | changes)
        if "no complete response in time" not in said[1]:
            break
    return said


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
        one.send_signal(signal.SIGSTOP)
        for flag in ("--healthcheck", "--metrics"):
            begun = time.monotonic()
            assert ends(name, flag, ADMIN_PORT=one.admin_port) == (
                1, f"{name}: the admin port 127.0.0.1:{one.admin_port}: no complete response in time\n")
            assert 1.9 < time.monotonic() - begun < scale(3.9)
        one.kill()


def test_healthcheck_of_a_url_is_0_for_2xx_within_a_second_else_1_with_the_reason():
    with alone("webui") as webui, alone("rng", DELAY_MS=3000) as rng:
        at = f"http://127.0.0.1:{webui.port}"
        assert ends("webui", "--healthcheck", f"{at}/index.html") == (0, "")
        dead = free_port()
        allowed = "http://host[:port][/path] is expected"
        for url, said in ((at, f"{at}: its response is 302"),
                          (f"http://127.0.0.1:{rng.port}/1", f"127.0.0.1:{rng.port}: no complete response in time"),
                          (f"http://127.0.0.1:{dead}/", f"127.0.0.1:{dead}: connection refused"),
                          ("http://me:s3cret@rng/", f"http://***@rng/: {allowed} (not a number)"),
                          (f"{at}/ HTTP/1.0\r\n", f"{at}/ HTTP/1.0\\x0d\\x0a: {allowed} (a space or a line's end)")):
            def check():
                assert ends("webui", "--healthcheck", url) == (1, f"webui: {said}\n")

            assert quickest(check, 1.9) < scale(1.9)


def identities(pid):
    """User, group, groups, permitted and effective capabilities of every thread of the process."""
    asked = re.compile(r"^(?:Uid|Gid|Groups|CapPrm|CapEff):\t(.*?) ?$", re.MULTILINE)
    return {tuple(asked.findall(each.read_text())) for each in pathlib.Path(f"/proc/{pid}/task").glob("*/status")}


@needs_namespaces
@pytest.mark.skipif(EMULATED, reason="QEMU has a thread of its own, which stays root")
@pytest.mark.parametrize("name", SERVING)
def test_started_as_root_it_binds_its_port_and_then_becomes_user_65532(name):
    with alone(name, prefix=[*OWN_NETWORK, "setpriv", "--groups=4,27,100"], PORT=80) as one:
        assert one.port == 80 and [port for _, port in listening(one.pid)] == [80], "without an admin port"
        nobody = "65532\t65532\t65532\t65532"
        assert identities(one.pid) == {(nobody, nobody, "", "0" * 16, "0" * 16)}
        assert one.lines == [f"{name.upper()} running on port 80"]
    no_right = [*OWN_NETWORK, "setpriv", "--bounding-set=-net_bind_service"]
    assert ends(name, prefix=no_right, PORT=80) == (
        1, f"{name}: cannot listen on port 80 of 127.0.0.1: Permission denied\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("kept", ["-setuid", "-setgid"])
def test_started_as_root_without_the_right_to_change_user_it_says_why(kept):
    with alone("rng", prefix=["setpriv", f"--bounding-set={kept}"]) as rng:
        assert ask(rng.port, NOWHERE).status == 404
        assert rng.lines[0] == (
            "WARNING:rng:Still running as root, could not become user 65532: Operation not permitted")
