"""scripts/bundle, and the `load` in the bundle, with a docker that pretends. tests/e2e/test_release.py has a real one."""

import hashlib
import os
import re
import shutil
import tarfile

import pytest

from waiting import REPO

BUNDLE = os.path.join(REPO, "scripts/bundle")
OURS = [f"dockercoins-cpp/{name}:v0.1" for name in ("rng", "hasher", "webui", "worker")]
OTHERS = ["redis:7.2.11-alpine", "prom/prometheus:v3.5.0"]


@pytest.fixture
def equipped(machine):
    """A machine with all images for amd64 but the shell."""
    for name in (*OURS, *OTHERS):
        machine.have(name)
    return machine


def unpacked(machine, name):
    with tarfile.open(machine.folder / name) as bundle:
        bundle.extractall(machine.folder / "room")
    return machine.folder / "room" / "dockercoins"


def images(folder, arch):
    """Names of the images in an archive, all of that architecture."""
    saved = [line.split(",") for line in (folder / f"images-{arch}.tar").read_text().split()]
    assert {each[1] for each in saved} == {arch}
    return [each[0] for each in saved]


def test_a_bundle_has_the_images_and_all_that_the_commands_of_the_room_need(equipped):
    made = equipped.run(BUNDLE, "--output", "b.tar.gz", "compose")
    assert (made.returncode, made.stderr) == (0, ""), made.stderr
    assert re.fullmatch(r"b\.tar\.gz: \d+ MB, for amd64\. In the room:\n  tar -xzf b\.tar\.gz && dockercoins/load\n",
                        made.stdout)
    sums = hashlib.sha256((equipped.folder / "b.tar.gz").read_bytes()).hexdigest()
    assert (equipped.folder / "b.tar.gz.sha256").read_text() == f"{sums}  b.tar.gz\n"
    folder = unpacked(equipped, "b.tar.gz")
    assert images(folder, "amd64") == OURS + OTHERS
    for file in ("docker-compose.yml", "docker-compose.metrics.yml", "README.md", "LICENSE", "CHANGELOG.md"):
        assert (folder / file).read_bytes() == open(os.path.join(REPO, file), "rb").read()
    # What the Compose files mount, the guides link to, and the lesson needs.
    for path in ("webui/files/index.html", "prometheus/prometheus.yml", "docs/trainer.md", "k8s/dockercoins.yaml",
                 "lessons/3-network-policies.yaml", "stacks/dockercoins.yml", "kustomization.yaml"):
        assert (folder / path).stat().st_mode & 0o777 == 0o644
    assert equipped.run(folder / "scripts/lesson", "--help").returncode == 0
    equipped.install("sha256sum", '#!/bin/sh\n[ "$LC_ALL" != C ] && echo "load: Réussi" || exec /usr/bin/sha256sum "$@"\n')
    loaded = equipped.run(folder / "load")
    assert loaded.returncode == 0 and OURS[0] in loaded.stdout and "docker-compose up -d" in loaded.stdout
    assert not [path for path in equipped.folder.iterdir() if path.name.startswith(".bundle")]


def test_a_bundle_for_kind_has_a_shell_and_images_that_are_named_and_for_both_architectures(equipped):
    """From a registry under the names that the commands use. Then the engine's own names are as before."""
    registry = [f"ghcr.io/me/{name}:v1.0.0" for name in ("rng", "hasher", "webui", "worker")]
    remote = f" {' '.join([*registry, *OTHERS, 'jpetazzo/shpod:latest', 'alpine:latest'])} "
    made = equipped.run(BUNDLE, "--arch", "amd64", "kind", "--arch", "arm64", "alpine", REMOTE=remote,
                        REGISTRY="ghcr.io/me", TAG="v1.0.0")
    assert made.returncode == 0, made.stderr
    folder = unpacked(equipped, "dockercoins-kind.tar.gz")
    for arch in ("amd64", "arm64"):
        assert images(folder, arch) == [*OURS, *OTHERS, "jpetazzo/shpod:latest", "alpine:latest"]
    calls = equipped.calls.read_text().splitlines()
    saves = [number for number, call in enumerate(calls) if call.startswith("docker save")]
    assert "docker pull --quiet --platform linux/arm64 redis:7.2.11-alpine" in calls[saves[0]:saves[1]]
    assert "docker pull --quiet --platform linux/amd64 redis:7.2.11-alpine" not in calls
    after = calls[saves[1]:]
    assert {f"docker tag id-of-{name} {name}" for name in OURS + OTHERS} < set(after)
    assert {f"docker rmi {name}" for name in (*registry, "jpetazzo/shpod:latest", "alpine:latest")} < set(after)
    equipped.install("docker", "#!/bin/sh\n[ $1 != version ] || echo arm64\n[ $1 != load ] || echo got $3\n")
    loaded = equipped.run(folder / "load")
    assert "got images-arm64.tar\n" in loaded.stdout and "  kind load image-archive images-arm64.tar\n" in loaded.stdout


def test_missing_images_are_all_named_with_what_to_do(equipped):
    equipped.have(OURS[0], "arm64")
    (equipped.images / "redis:7.2.11-alpine").unlink()
    made = equipped.run(BUNDLE, "kind", REMOTE=" jpetazzo/shpod:latest dockercoins-cpp/rng:v0.1 ")
    assert made.returncode == 1 and made.stdout == ""
    assert made.stderr.endswith("""\
bundle: images are missing for amd64:
  dockercoins-cpp/rng:v0.1: build it on such a machine with "docker-compose build", or set REGISTRY and TAG
  redis:7.2.11-alpine: Error: not found
"""), "a stranger's image of our name is not pulled"
    assert not list(equipped.folder.glob("dockercoins-kind*"))


def test_webui_may_read_its_page_though_the_trainers_checkout_is_private(equipped):
    copy = equipped.folder / "private"
    shutil.copytree(REPO, copy, ignore=shutil.ignore_patterns("build", ".git", "__pycache__", "tests"))
    (copy / "webui/files/index.html").chmod(0o600)
    made = equipped.run(copy / "scripts/bundle", "compose")
    assert made.returncode == 0, made.stderr
    assert (unpacked(equipped, "dockercoins-compose.tar.gz") / "webui/files/index.html").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("words, status, said", [
    ((), 2, "the following arguments are required: platform"), (("swarm",), 2, "invalid choice: 'swarm'"),
    (("--arch", "arm", "kind"), 2, "argument --arch: invalid choice: 'arm'"),
    (("--output", "bin", "kind"), 2, "argument --output: bin is a folder"),
    (("kind", "a@sha256:0"), 2, "argument IMAGE: a@sha256:0: a tag is expected, not a digest"),
    (("kind", "--arc=arm64"), 2, "unrecognized arguments: --arc=arm64"),
    (("--output", "there/is/none.tar.gz", "compose"), 1, "bundle: there/is")])
def test_a_bad_option_is_one_line(equipped, words, status, said):
    made = equipped.run(BUNDLE, *words)
    assert made.returncode == status and said in made.stderr.splitlines()[-1]


def test_a_stop_leaves_nothing_behind(equipped):
    """In the middle of "docker save", with TERM."""
    before = (equipped.folder / "bin/docker").read_text()
    equipped.install("docker", before.replace('"save "*) ', '"save "*) kill "$PPID"; exec sleep 60; '))
    made = equipped.run(BUNDLE, "kind", REMOTE=" jpetazzo/shpod:latest ")
    assert (made.returncode, made.stderr.splitlines()[-1]) == (130, "bundle: interrupted")
    assert not list(equipped.folder.glob("*bundle-*")) and not list(equipped.folder.glob(".bundle-*"))
    assert equipped.calls.read_text().endswith("docker rmi jpetazzo/shpod:latest\n")


def test_without_docker_or_its_engine_it_says_so(machine):
    machine.install("docker", "#!/bin/sh\necho 'Is the docker daemon running?' >&2; exit 1\n")
    assert machine.run(BUNDLE, "compose").stderr == "bundle: Is the docker daemon running?\n"
    (machine.folder / "bin" / "docker").unlink()
    (machine.folder / "bin" / "python3").symlink_to("/usr/bin/python3")
    made = machine.run("/usr/bin/python3", BUNDLE, "compose", PATH=f"{machine.folder}/bin")
    assert (made.returncode, made.stderr) == (1, "bundle: docker cannot be run: No such file or directory\n")


@pytest.mark.parametrize("harm, said", [
    (lambda folder: os.truncate(folder / "images-amd64.tar", 10), "images-amd64.tar: FAILED"),
    (lambda folder: os.unlink(folder / "images-amd64.tar"), "images-amd64.tar: FAILED open or read"),
    (lambda folder: os.unlink(folder / "docs/trainer.md"), "docs/trainer.md: FAILED open or read")])
def test_load_refuses_what_is_not_whole(equipped, harm, said):
    equipped.run(BUNDLE, "compose")
    folder = unpacked(equipped, "dockercoins-compose.tar.gz")
    harm(folder)
    loaded = equipped.run(folder / "load")
    assert loaded.returncode == 1 and loaded.stderr.startswith("load: the bundle is damaged") and said in loaded.stderr
    assert "docker load" not in equipped.calls.read_text()


def test_load_says_what_it_cannot_do(equipped):
    equipped.run(BUNDLE, "compose")
    folder = unpacked(equipped, "dockercoins-compose.tar.gz")
    assert equipped.run(folder / "load", "--help").stdout.startswith("Usage: ./load\n")
    assert equipped.run(folder / "load", "x").returncode == 2
    equipped.install("docker", "#!/bin/sh\necho arm64\n")
    loaded = equipped.run(folder / "load")
    assert (loaded.returncode, loaded.stderr) == (1, "load: this engine is for arm64, but the bundle has only amd64\n")
    equipped.install("docker", "#!/bin/sh\necho no daemon >&2; exit 1\n")
    assert equipped.run(folder / "load").stderr == "no daemon\nload: the Docker engine does not answer (see above)\n"
