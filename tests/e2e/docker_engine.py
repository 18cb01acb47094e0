#!/usr/bin/env python3
"""A real Docker engine, both Composes, Buildx and the base images for end-to-end tests, as root on Debian 12 or 13.

  tests/e2e/docker_engine.py start   installs what is missing, starts dockerd unless an engine responds
  tests/e2e/docker_engine.py stop    ends the dockerd that "start" has started

Everything is done once and kept. A running engine is used (with DOCKER_HOST: the one there), and so is an image that
the engine has or can pull. Otherwise a substitute of that name is made from Debian packages.
"""

import contextlib
import glob
import json
import os
import pathlib
import re
import select
import signal
import subprocess
import sys
import tempfile
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STATE = os.path.join(REPO, "build", "e2e")
PID = pathlib.Path(STATE, "dockerd.pid")
COMPOSE_1 = "1.29"
COMPOSE_2 = "2.26"
BUILDX = "0.13"
# Debian's programs first: a newer docker from elsewhere may not fit this engine.
PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
PACKAGES = {"/usr/sbin/dockerd": "docker.io", "/usr/sbin/iptables": "iptables", "/usr/sbin/debootstrap": "debootstrap"}
SUITES = ("bookworm", "trixie")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

# What Debian's official images set in a minimal system, so that it is smaller and installs packages faster.
SLIM = {
    "etc/dpkg/dpkg.cfg.d/docker-apt-speedup": "force-unsafe-io\n",
    "etc/dpkg/dpkg.cfg.d/docker": "path-exclude /usr/share/doc/*\npath-include /usr/share/doc/*/copyright\n"
                                  "path-exclude /usr/share/man/*\npath-exclude /usr/share/locale/*\n",
    "etc/apt/apt.conf.d/docker-clean":
        'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };\n'
        'Dir::Cache::pkgcache ""; Dir::Cache::srcpkgcache "";\n',
    "etc/apt/apt.conf.d/docker-no-languages": 'Acquire::Languages "none";\n',
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
}
# One archive; debian.sources has two, with an empty line between.
SOURCE = "Types: deb\nURIs: {}\nSuites: {}\nComponents: main\nSigned-By: " + KEYRING + "\n"

# As in the official image: data in /data, and redis-server runs as the user redis.
REDIS = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends redis-server && mkdir -p /data \\
    && chown redis:redis /data \\
    && printf '#!/bin/sh\\nset -e\\nif [ "${1#-}" != "$1" ]; then set -- redis-server "$@"; fi\\n\
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then chown -R redis . ; \
exec setpriv --reuid=redis --regid=redis --clear-groups "$0" "$@"; fi\\n\
if [ "$1" = redis-server ]; then shift; set -- redis-server --protected-mode no "$@"; fi\\nexec "$@"\\n' \
>/usr/local/bin/docker-entrypoint.sh && chmod 755 /usr/local/bin/docker-entrypoint.sh
LABEL dockercoins.stand-in=redis
VOLUME /data
WORKDIR /data
ENTRYPOINT ["docker-entrypoint.sh"]
EXPOSE 6379
CMD ["redis-server"]
"""

# As in the official image: an unprivileged user, settings in /etc/prometheus, data in /prometheus.
PROMETHEUS = """\
FROM debian:trixie-slim
RUN apt-get update && apt-get install --yes --no-install-recommends prometheus \\
    && mkdir -p /prometheus && chown nobody /prometheus
LABEL dockercoins.stand-in=prometheus
USER nobody
VOLUME /prometheus
WORKDIR /prometheus
ENTRYPOINT ["/usr/bin/prometheus"]
EXPOSE 9090
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"]
"""


class Unavailable(RuntimeError):
    """There is no engine, and this user may not start one. That is not a failure."""


def run(*command, timeout=600, **options):
    """Output of a command; if it fails, RuntimeError with its output."""
    options.setdefault("env", dict(os.environ, PATH=PATH))
    result = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False, **options)
    if result.returncode:
        said = (result.stderr + result.stdout).strip()
        raise RuntimeError(f"{' '.join(command)}: exit status {result.returncode}\n{said[-3000:]}")
    return result.stdout


def succeeds(*command, timeout=60):
    try:
        run(*command, timeout=timeout)
        return True
    except (RuntimeError, OSError, subprocess.TimeoutExpired):
        return False


def say(text):
    print(f"docker_engine: {text}", file=sys.stderr, flush=True)


def install_missing(programs):
    """Installs the packages of missing programs, {path: package}."""
    missing = sorted({package for path, package in programs.items() if not os.path.exists(path)})
    if not missing:
        return
    if os.geteuid() != 0:
        raise Unavailable(f"only root can install {' '.join(missing)}")
    say(f"installing {' '.join(missing)}")
    apt_get = ("apt-get", "-o", "DPkg::Lock::Timeout=300", "--quiet=2")
    environment = dict(os.environ, PATH=PATH, DEBIAN_FRONTEND="noninteractive")
    with contextlib.suppress(RuntimeError):  # a broken third-party source must not stop us
        run(*apt_get, "update", env=environment)
    run(*apt_get, "install", "--yes", "--no-install-recommends", *missing, env=environment)


def is_bookworm():
    return "VERSION_CODENAME=bookworm\n" in pathlib.Path("/etc/os-release").read_text("utf-8")


def mirrors():
    """(Debian's archive, its security archive) as this machine's own sources name them."""
    listed = run("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    found = {label: uri.rstrip("/") for origin, label, uri in (line.split("|") for line in listed.splitlines())
             if origin == "Debian"}
    if not {"Debian", "Debian-Security"} <= found.keys():
        raise RuntimeError("this machine's apt sources lack Debian's archive or its security archive (or 'apt-get "
                           "update' was never run)")
    return found["Debian"], found["Debian-Security"]


def compose_1():
    """Path of docker-compose 1.29, or None if this release of Debian no longer has it."""
    path = "/usr/bin/docker-compose"
    if not is_bookworm():
        return None
    install_missing({path: "docker-compose"})
    return path if COMPOSE_1 in run(path, "version", "--short") else None


def plugin(name, version):
    """Path of a plugin of the docker command, unpacked from Debian 13's package of that name."""
    path = os.path.join(STATE, name, name)
    if not os.path.exists(path):
        say(f"fetching {name} {version}")
        with tempfile.TemporaryDirectory() as folder:
            archive, _ = mirrors()
            sources = pathlib.Path(folder, "trixie.list")
            sources.write_text(f"deb [signed-by={KEYRING}] {archive} trixie main\n", "utf-8")
            apt_get = ["apt-get", "-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null",
                       "-o", f"Dir::State::Lists={folder}/lists", "-o", f"Dir::Cache={folder}/cache",
                       "-o", "Acquire::Languages=none", "-o", "Acquire::Retries=3", "-o", "APT::Sandbox::User=root"]
            os.makedirs(f"{folder}/lists/partial")
            os.makedirs(f"{folder}/cache/archives/partial")
            run(*apt_get, "update")
            run(*apt_get, "download", name, cwd=folder)
            run("dpkg-deb", "-x", *glob.glob(f"{folder}/{name}_*.deb"), f"{folder}/x")
            run("install", "-D", f"{folder}/x/usr/libexec/docker/cli-plugins/{name}", f"{path}.new")
        os.rename(f"{path}.new", path)
    if f" {version}." not in run(path, "version").replace(" v", " "):
        raise RuntimeError(f"{path} is not {name} {version}")
    return path


def compose_2():
    return plugin("docker-compose", COMPOSE_2)


def buildx():
    return plugin("docker-buildx", BUILDX)


def engine_answers():
    return succeeds("docker", "version", "--format", "{{.Server.Version}}")


def mtu():
    """The network's packet size. dockerd ignores it, and with a larger one big packets are lost."""
    with contextlib.suppress(RuntimeError, OSError, ValueError, LookupError):
        route = json.loads(run("ip", "-json", "route", "show", "default"))[0]
        return int(pathlib.Path(f"/sys/class/net/{route['dev']}/mtu").read_text("ascii"))
    return 1500


def start_engine():
    """Starts dockerd unless an engine responds; returns whether it did."""
    if engine_answers():
        return False
    # Until Debian 12 the client is in the engine's package.
    client = "docker.io" if is_bookworm() else "docker-cli"
    install_missing({"/usr/bin/docker": client, **PACKAGES})
    if engine_answers():  # the package starts it on a machine with systemd
        return False
    if os.geteuid() != 0:
        raise Unavailable("no Docker engine answers, and only root can start one")
    os.makedirs(STATE, exist_ok=True)
    log_path = os.path.join(STATE, "dockerd.log")
    host = [f"--host={os.environ['DOCKER_HOST']}"] if os.environ.get("DOCKER_HOST") else []
    with open(log_path, "ab") as log:
        process = subprocess.Popen(["dockerd", f"--mtu={mtu()}", *host], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True, env=dict(os.environ, PATH=PATH))
    PID.write_text(str(process.pid), "ascii")
    say(f"dockerd started, process {process.pid}, log {log_path}")
    for _ in range(300):
        if engine_answers():
            return True
        if process.poll() is not None:
            break
        time.sleep(0.2)
    said = pathlib.Path(log_path).read_text("utf-8", "replace")
    raise RuntimeError("dockerd does not respond; its log ends:\n" + said[-2000:])


def stop_engine():
    """Ends the dockerd that start_engine() started, and waits for it."""
    with contextlib.suppress(OSError, ValueError):
        pid = int(PID.read_text("ascii"))
        PID.unlink()
        if pathlib.Path(f"/proc/{pid}/comm").read_text("ascii").strip() == "dockerd":
            waiting = os.pidfd_open(pid)
            os.kill(pid, signal.SIGTERM)
            select.select([waiting], [], [], 30)
            os.close(waiting)
            say(f"dockerd {pid} stopped")


def restart_engine():
    """Restarts the dockerd that start_engine() started, and no other."""
    if os.path.exists(PID):
        stop_engine()
        start_engine()


def obtained(name):
    """Whether the engine has an image of that name, or can pull it."""
    if succeeds("docker", "image", "inspect", name) or succeeds("docker", "pull", "--quiet", name, timeout=300):
        return True
    say(f"{name} cannot be pulled: making a stand-in")
    return False


def ensure_debian(suite):
    """Makes debian:SUITE-slim available; the substitute is made by debootstrap, like the official image."""
    name = f"debian:{suite}-slim"
    # Stand-ins of before lack the copyright files, which our images need.
    if not run("docker", "images", "--quiet", "--filter", f"label=dockercoins.stand-in={suite}", name) and obtained(name):
        return
    if os.geteuid() != 0:
        raise Unavailable(f"{name} cannot be pulled, and only root can make a stand-in")
    archive, security = mirrors()
    with tempfile.TemporaryDirectory(prefix="dockercoins-debootstrap-") as folder:
        run("debootstrap", "--variant=minbase", "--include=ca-certificates", suite, folder, archive)
        os.unlink(f"{folder}/etc/apt/sources.list")
        sources = [SOURCE.format(archive, f"{suite} {suite}-updates"), SOURCE.format(security, f"{suite}-security")]
        for path, text in {**SLIM, "etc/apt/sources.list.d/debian.sources": "\n".join(sources)}.items():
            pathlib.Path(folder, path).write_text(text, "utf-8")
        os.chmod(f"{folder}/usr/sbin/policy-rc.d", 0o755)
        for leftover in ("var/cache/apt/archives/*.deb", "var/lib/apt/lists/*", "usr/share/man/*", "usr/share/locale/*",
                         "var/log/*.log", "etc/resolv.conf", "etc/hostname"):
            run("rm", "-rf", *glob.glob(f"{folder}/{leftover}"))
        run("find", f"{folder}/usr/share/doc", "!", "-name", "copyright", "!", "-type", "d", "-delete")
        with subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE) as tar:
            run("docker", "import", "-c", 'CMD ["bash"]', "-c", f"LABEL dockercoins.stand-in={suite}-2", "-", name,
                stdin=tar.stdout)


def pinned_image(repository, file="docker-compose.yml"):
    """The image of that repository in a Compose file: repository:tag."""
    text = pathlib.Path(REPO, file).read_text("utf-8")
    return re.search(rf"^\s+image: ({repository}:\S+)$", text, re.MULTILINE).group(1)


def ensure_built(name, dockerfile):
    """Makes an image available; the substitute is built from Debian's package."""
    if obtained(name):
        return
    ensure_debian("trixie")
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "Dockerfile").write_text(dockerfile, "utf-8")
        run("docker", "build", "--quiet", "--tag", name, folder, env=dict(os.environ, PATH=PATH, DOCKER_BUILDKIT="0"))


def start():
    """Prepares everything. Returns whether it started the engine: then the caller must call stop()."""
    install_missing({"/usr/bin/httping": "httping"})
    started = start_engine()
    try:
        for suite in SUITES:
            ensure_debian(suite)
        ensure_built(pinned_image("redis"), REDIS)
        ensure_built(pinned_image("prom/prometheus", "docker-compose.metrics.yml"), PROMETHEUS)
        compose_1()
        compose_2()
        buildx()
    except BaseException:
        if started:
            stop_engine()
        raise
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
