#!/usr/bin/env python3
"""A real Docker engine, both Composes, Buildx and the base images for end-to-end tests, as root on Debian 12 or 13.

  tests/e2e/docker_engine.py start   installs what is missing, starts dockerd unless an engine responds
  tests/e2e/docker_engine.py stop    ends the dockerd that "start" has started

Everything is done once and kept. An image that the engine neither has nor can pull is made from Debian packages.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATE = os.path.join(REPO, "build", "e2e")
DOCKERD = ("--pidfile", f"{STATE}/dockerd.pid", "--exec", "/usr/sbin/dockerd")
COMPOSE_2, BUILDX = (f"{STATE}/cli-plugins/docker-{name}" for name in ("compose", "buildx"))
ASK_ENGINE = ("docker", "version")  # fails without an engine
# Debian's programs first: a newer docker from elsewhere may not fit this engine.
PATH = f"/usr/sbin:/usr/bin:/sbin:/bin:{os.environ['PATH']}"
BOOKWORM = "VERSION_CODENAME=bookworm\n" in pathlib.Path("/etc/os-release").read_text("utf-8")
COMPOSE_1 = "/usr/bin/docker-compose" if BOOKWORM else None  # 1.29, which Debian 13 no longer has
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# As in the official image: installing a package starts no service.
DEBIAN = """\
FROM scratch
ADD root.tar /
RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 755 /usr/sbin/policy-rc.d
LABEL dockercoins.stand-in={}
CMD ["bash"]
"""

# As in the official image: data in /data, the user redis, and `redis-server` may be left out of the command.
REDIS = r"""
FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && install -d -o redis /data
LABEL dockercoins.stand-in=redis
USER redis
VOLUME /data
WORKDIR /data
ENTRYPOINT ["sh", "-c", "[ \"$1\" != redis-server ] || shift; exec redis-server --protected-mode no \"$@\"", "redis"]
"""

# As in the official image: an unprivileged user, settings in /etc/prometheus, data in /prometheus.
PROMETHEUS = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus && install -d -o nobody /prometheus
LABEL dockercoins.stand-in=prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""


class Unavailable(RuntimeError):
    """There is no engine, and this user may not start one. That is not a failure."""


def run(*command, check=True, **options):
    """Runs a command. .stdout has both streams, in order, unless `stderr` is given."""
    result = subprocess.run(command, text=True, check=False, **{
        "input": "", "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "timeout": 600,
        "env": {**os.environ, "PATH": PATH}, **options})
    if check and result.returncode:
        said = result.stdout + (result.stderr or "")
        raise RuntimeError(f"{' '.join(map(str, command))}: exit status {result.returncode}\n{said[-5000:]}")
    return result


def succeeds(*command, timeout=60):
    try:
        return run(*command, timeout=timeout, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def say(text):
    print(f"docker_engine: {text}", file=sys.stderr, flush=True)


def install_missing(programs):
    """Installs the packages of missing programs, {path: package}."""
    missing = sorted({package for path, package in programs.items() if not os.path.exists(path)})
    if missing and os.geteuid() != 0:
        raise Unavailable(f"only root can install {' '.join(missing)}")
    if missing:
        say(f"installing {' '.join(missing)}")
        apt_get = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "--quiet=2")
        succeeds(*apt_get, "update", timeout=600)  # a broken third-party source must not stop us
        run(*apt_get, "install", "--yes", "--no-install-recommends", *missing,
            env=dict(os.environ, PATH=PATH, DEBIAN_FRONTEND="noninteractive"))


def start_engine():
    """Starts dockerd unless an engine responds; returns whether it did."""
    if not succeeds(*ASK_ENGINE):  # until Debian 12 the client is in the engine's package
        install_missing({"/usr/bin/docker": "docker.io" if BOOKWORM else "docker-cli",
                         "/usr/sbin/dockerd": "docker.io", "/usr/sbin/iptables": "iptables"})
    if succeeds(*ASK_ENGINE):  # the package starts it on a machine with systemd
        return False
    if os.geteuid() != 0:
        raise Unavailable("no Docker engine answers, and only root can start one")
    log = pathlib.Path(STATE, "dockerd.log")
    host = [f"--host={os.environ['DOCKER_HOST']}"] if os.environ.get("DOCKER_HOST") else []
    # Packets fit any network: dockerd does not look at the machine's, which may lose larger ones.
    run("start-stop-daemon", "--start", "--background", "--make-pidfile", *DOCKERD, "--output", log, "--", "--mtu=1280",
        *host)
    say(f"dockerd started, log {log}")
    for _ in range(300):
        if succeeds(*ASK_ENGINE):
            return True
        time.sleep(0.2)
    raise RuntimeError("dockerd does not respond; its log ends:\n" + log.read_text("utf-8", "replace")[-2000:])


def stop_engine():
    """Ends the dockerd that start_engine() started, and waits for it."""
    if os.path.exists(DOCKERD[1]):
        run("start-stop-daemon", "--stop", "--oknodo", "--remove-pidfile", "--retry", "30", *DOCKERD)
        say("dockerd stopped")


def pinned_image(repository, file="docker-compose.yml"):
    """The image of that repository in a Compose file: repository:tag."""
    text = pathlib.Path(REPO, file).read_text("utf-8")
    return re.search(rf"^\s+image: ({repository}:\S+)$", text, re.MULTILINE).group(1)


def bootstrap(suite, archive):
    """Writes the files of Debian's smallest system, from where this machine gets Debian."""
    install_missing({"/usr/bin/mmdebstrap": "mmdebstrap"})
    listed = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    mirrors = dict(line.split("|")[1:] for line in listed.stdout.splitlines() if line.startswith("Debian|"))
    sources = [f"deb [signed-by={KEYRING}] {mirrors[label].rstrip('/')} {part} main" for label, part in (
        ("Debian", suite), ("Debian", f"{suite}-updates"), ("Debian-Security", f"{suite}-security"))]
    slim = [f"--dpkgopt={rule}" for rule in ("force-unsafe-io", "path-exclude=/usr/share/doc/*", "path-include="
            "/usr/share/doc/*/copyright", "path-exclude=/usr/share/man/*", "path-exclude=/usr/share/locale/*")]
    run("mmdebstrap", "--variant=minbase", "--include=ca-certificates", *slim, '--aptopt=Acquire::Languages "none"',
        suite, archive, *sources)


def ensure(name, dockerfile, suite=None):
    """Makes an image available: the engine's, or from its registry, or a substitute."""
    if succeeds("docker", "image", "inspect", name) or succeeds("docker", "pull", "--quiet", name, timeout=300):
        return
    say(f"{name} cannot be pulled: making a stand-in")
    with tempfile.TemporaryDirectory(prefix="dockercoins-") as folder:
        if suite:
            bootstrap(suite, f"{folder}/root.tar")
        pathlib.Path(folder, "Dockerfile").write_text(dockerfile, "utf-8")
        run("docker", "build", "--quiet", "--tag", name, folder, env=dict(os.environ, PATH=PATH, DOCKER_BUILDKIT="0"))


def ensure_plugins():
    """Takes COMPOSE_2 and BUILDX from Debian 13's packages."""
    if os.path.exists(COMPOSE_2) and os.path.exists(BUILDX):
        return
    say("fetching Compose 2 and Buildx")
    script = ("cd /tmp && apt-get update && apt-get download docker-compose docker-buildx && "
              "for package in *.deb; do dpkg-deb -x $package /; done && cp -r /usr/libexec/docker/cli-plugins /state")
    run("docker", "run", "--rm", f"--volume={STATE}:/state", "debian:trixie-slim", "sh", "-c", script)


def start():
    """Prepares everything. Returns whether it started the engine: then the caller must call stop_engine()."""
    os.makedirs(STATE, exist_ok=True)
    install_missing({"/usr/bin/httping": "httping", **({COMPOSE_1: "docker-compose"} if BOOKWORM else {})})
    started = start_engine()
    for suite in ("bookworm", "trixie"):
        ensure(f"debian:{suite}-slim", DEBIAN.format(suite), suite)
    ensure(pinned_image("redis"), REDIS)
    ensure(pinned_image("prom/prometheus", "docker-compose.metrics.yml"), PROMETHEUS)
    ensure_plugins()
    return started


if __name__ == "__main__":
    if sys.argv[1:] == ["start"]:
        try:
            start()
        except Unavailable as reason:
            say(f"{reason}; tests that need an engine will be skipped")
    elif sys.argv[1:] == ["stop"]:
        stop_engine()
    else:
        sys.exit(__doc__)
