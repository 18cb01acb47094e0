"""Starts Redis, rng, hasher, webui and the workers, and shows their logs until Ctrl-C.

First it installs missing packages, and builds the programs if they are not up to date. PUBLISH_WEBUI,
PUBLISH_RNG and PUBLISH_HASHER are the ports (default 8000, 8001, 8002). Other settings, such as DELAY_MS and
DEBUG, are passed on.
"""
# Not a process manager such as foreman: those stop Redis together with the workers, which must still store their
# loops; and when they are killed themselves, what they have started goes on.

import argparse
import contextlib
import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import time

PR_SET_PDEATHSIG = 1
prctl = ctypes.CDLL(None).prctl


class Services:
    """The running programs and their logs. None outlives this process.

    TERM is what ends them: they finish their work, Redis after all others. After 3 seconds they are killed.
    """

    def __init__(self, name_width):
        self.stopping = False
        self.reason = None  # why it stops, if nobody asked for it
        self._name_width = name_width
        self._logs = selectors.DefaultSelector()  # with (name, process, prefix, [start of a line])

    def _running(self):
        return [key.data[:2] for key in self._logs.get_map().values()]

    def stop(self, *_):
        """May be called at any moment, as a signal's handler."""
        self.stopping = True
        running = self._running()
        for name, process in running:
            if name != "redis" or len(running) == 1:
                process.terminate()
        if running:
            signal.alarm(3)

    def kill(self, *_):
        for _, process in self._running():
            process.kill()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends this process, if nobody takes the logs' last lines
        signal.alarm(3)

    def start(self, name, *command, until=None, **settings):
        """Starts a program, and shows the logs until one of them says `until`."""
        def prepare(parent=os.getpid()):
            prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # lost with root's rights; but then nobody reads its log
            if os.getppid() != parent:
                os._exit(1)

        if self.stopping:
            return
        prefix = f"{name:{self._name_width}} | "
        if os.isatty(1):
            prefix = f"\033[{31 + len(self._running()) % 6}m{prefix}\033[0m"
        # In a session of its own, what a terminal sends to all its processes does not reach it.
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, start_new_session=True, preexec_fn=prepare,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self._logs.register(process.stdout, selectors.EVENT_READ, (name, process, prefix.encode(), [b""]))
        if self.stopping:
            self.stop()
        while until and not self.stopping and until not in self._show():
            pass

    def _show(self):
        """Waits for lines in the logs, writes and returns them."""
        text = b""
        for key, _ in self._logs.select():
            name, process, prefix, rest = key.data
            chunk = os.read(key.fd, 1 << 16)
            *lines, rest[0] = (rest[0] + chunk).split(b"\n")
            text += b"".join(prefix + line + b"\n" for line in lines)
            if not chunk:
                self._logs.unregister(key.fileobj)
                status = process.wait()
                self._stop_because(f"{name} was killed by {signal.Signals(-status).name}" if status < 0 else
                                   f"{name} ended by itself with status {status}")
        self.write(text)
        return text

    def write(self, text):
        try:
            while text:
                text = text[os.write(1, text):]
        except OSError:  # a closed pipe or terminal
            self._stop_because("nobody reads the logs any more")

    def _stop_because(self, reason):
        if not self.stopping:
            self.reason = f"{reason}; the rest was stopped"
            self.stop()
        elif len(self._running()) == 1:
            self.stop()

    def show_to_the_end(self):
        while self._running():
            self._show()


def run(services, *command):
    """Runs a command, and returns its status. A stop waits for it: half an installation is worse than a late end."""
    process = subprocess.Popen(command)  # in this session: it may ask for a password
    while process.poll() is None:
        if services.stopping:
            process.terminate()  # again and again, because a shell that has just forked misses it
        time.sleep(0.05)
    if services.stopping:
        sys.exit(0)
    return process.returncode


def build(services):
    made = "build/release/build.ninja"
    if not os.path.exists(made) or os.path.getmtime(made) < os.path.getmtime("CMakePresets.json"):
        if run(services, "cmake", "--preset", "release"):
            return False
    return run(services, "ninja", "-C", "build/release") == 0


def listening():
    """The ports in use, from the kernel's tables: connecting would show in other services' logs."""
    used = set()
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}", encoding="ascii") as lines:
            used |= {int(words[1].rpartition(":")[2], 16) for words in map(str.split, lines) if words[3] == "0A"}
    return used


def serve(services, workers, ports):
    # Far from where the kernel takes ports for outgoing connections.
    free = map(str, sorted(set(range(9800, 65536)) - listening() - set(ports.values())))
    redis = next(free)
    os.environ.update(  # the user may have set these for other purposes
        BIND_ADDRESS="::", REDIS_URL=f"redis://127.0.0.1:{redis}", RNG_URL=f"http://127.0.0.1:{ports['rng']}",
        HASHER_URL=f"http://127.0.0.1:{ports['hasher']}", FILES_DIR=os.path.abspath("webui/files"),
        ASSETS_DIR="/usr/share/javascript")
    # It needs no folder: in /proc there is no data to load, and nobody can write there.
    services.start("redis", "redis-server", "--bind", "127.0.0.1", "--port", redis, "--dir", "/proc", "--save", "",
                   "--appendonly", "no", "--set-proc-title", "no", until=b"Ready to accept connections")
    for name, port in ports.items():
        services.start(name, f"build/release/bin/{name}", PORT=str(port), ADMIN_PORT=next(free),
                       until=f"{name.upper()} running on port".encode())
    if not services.stopping:
        services.write(f"Web UI: http://localhost:{ports['webui']}\n".encode())
    for number in range(1, workers + 1):
        services.start(f"worker_{number}", "build/release/bin/worker", ADMIN_PORT=next(free), BIND_ADDRESS="127.0.0.1")
    services.show_to_the_end()


def parse():
    """(number of workers, whether to install without asking, {service: port})"""
    parser = argparse.ArgumentParser(
        prog="scripts/up", usage="scripts/up [--workers N] [--yes]", description=__doc__, allow_abbrev=False,
        add_help=False, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(2, f"up: {message}; see scripts/up --help\n")
    parser.add_argument("--workers", default="1", metavar="N", help="number of workers (default 1)")
    parser.add_argument("--yes", action="store_true", help="install without asking")
    parser.add_argument("--help", action="help", help="this text")
    options = parser.parse_args()

    def number(setting, value, most):
        if not re.fullmatch("[0-9]{1,5}", value) or not 1 <= int(value) <= most:
            parser.error(f"{setting} {value}: a whole number from 1 to {most} is expected")
        return int(value)

    return number("--workers", options.workers, 1000), options.yes, {
        name: number(setting, os.environ.get(setting) or default, 65535) for name, setting, default in (
            ("rng", "PUBLISH_RNG", "8001"), ("hasher", "PUBLISH_HASHER", "8002"), ("webui", "PUBLISH_WEBUI", "8000"))}


def main():
    workers, yes, ports = parse()
    services = Services(len(f"worker_{workers}"))
    signal.signal(signal.SIGALRM, services.kill)
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(each) != signal.SIG_IGN:  # as under nohup
            signal.signal(each, services.stop)
    used = listening()
    for name, port in ports.items():
        if port in used:
            sys.exit(f"up: port {port}, which {name} needs, is taken by another program")
        used.add(port)
    if run(services, "scripts/install-deps", *["--yes"] * yes, "build", "run"):
        sys.exit(1)  # it has said why
    if not build(services):
        sys.exit("up: the build failed; its output above says why")
    serve(services, workers, ports)
    sys.exit(services.reason and f"up: {services.reason}")


main()
