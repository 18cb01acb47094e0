"""What rooms without internet and users of a release get, with our own registry and an engine that has nothing."""

import contextlib
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from compose import PREFIX, SERVICES, run, running, start_registry
from fakes import Namespace
from harness import eventually, in_network_of, needs_namespaces

pytestmark = [pytest.mark.release, needs_namespaces]

TAG = "v1.0.0"
OTHERS = ("redis:7.2.11-alpine", "prom/prometheus:v3.5.0", "jpetazzo/shpod:latest")


class EmptyEngine:
    """An engine with storage and a network of its own: with --bridge=none it removes docker0, another engine's."""

    def __init__(self, stack, environment, network, *options):
        self.inside = network
        folder = stack.enter_context(tempfile.TemporaryDirectory())  # a socket's path must be short
        self.environment = {**environment, "DOCKER_HOST": f"unix://{folder}/socket"}
        stack.enter_context(running(
            [*network, "dockerd", f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid",
             f"--host=unix://{folder}/socket", "--bridge=none", "--iptables=false", *options], f"{folder}/log"))
        eventually(lambda: run("docker", "version", env=self.environment, check=False).returncode == 0, 60, 0.2,
                   "an engine")
        assert self("images", "--quiet") == ""

    def __call__(self, *words):
        return self.run("docker", *words).stdout.strip()

    def run(self, *command, **options):
        return run(*self.inside, *command, **{"env": self.environment, **options})

    def ids(self, names):
        return {name: self("image", "inspect", "--format", "{{.Id}}", name) for name in names}


@pytest.fixture
def stack():
    with contextlib.ExitStack() as opened:
        yield opened


@pytest.fixture
def network(engine, stack):
    """A command that runs another in a network with nothing but a loopback interface."""
    return in_network_of(stack.enter_context(Namespace()).pid)


def test_an_engine_that_has_nothing_gets_all_images_from_the_bundle_but_none_from_half_of_it(
        checkout, environment, docker, built, stack, network, tmp_path, figure):
    names = [f"{PREFIX}/{name}:v0.1" for name in SERVICES] + list(OTHERS[:2])
    bundle = tmp_path / "room.tar.gz"
    command = ["scripts/bundle", "--output", str(bundle)]
    os.chmod(f"{checkout}/webui/files/index.html", 0o600)
    with subprocess.Popen(command, cwd=checkout, env=environment, stderr=subprocess.PIPE, text=True) as interrupted:
        eventually(lambda: glob.glob(f"{tmp_path}/.bundle-*/*images-*"), 60, what="the first archive")
        interrupted.terminate()
        assert interrupted.communicate()[1].endswith("bundle: interrupted\n") and not list(tmp_path.iterdir())
    run(*command, cwd=checkout, env=environment)
    os.chmod(f"{checkout}/webui/files/index.html", 0o644)
    run("sha256sum", "-c", f"{bundle.name}.sha256", cwd=tmp_path)
    figure("bundle, MB", f"{bundle.stat().st_size / 1e6:.0f}")
    room = EmptyEngine(stack, environment, network)

    folder, half = tmp_path / "dockercoins", tmp_path / "half.tar.gz"
    shutil.copy(bundle, half)
    os.truncate(half, bundle.stat().st_size // 2)
    assert run("tar", "-xzf", str(half), cwd=tmp_path, check=False).returncode != 0
    refused = room.run(f"{folder}/load", check=False)
    assert refused.returncode == 1 and "load: the bundle is damaged" in refused.stdout
    assert room("images", "--quiet") == ""

    run("tar", "-xzf", str(bundle), cwd=tmp_path)
    assert folder.joinpath("webui/files/index.html").stat().st_mode & 0o777 == 0o644, "webui is not root"
    assert "docker-compose up -d" in room.run(f"{folder}/load").stdout
    assert room.ids(names) == {name: docker("image", "inspect", "--format", "{{.Id}}", name) for name in names}
    for name in SERVICES:
        assert room("run", "--rm", "--network=none", f"{PREFIX}/{name}:v0.1", "--version").startswith(name)
    sums = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(re.sub("images-[a-z0-9]+", "images-riscv64", sums))
    assert ", but the bundle has only riscv64" in room.run(f"{folder}/load", check=False).stdout
    for name, said in ((OTHERS[0], "bundle: .+"), (names[0], f"bundle: {names[0]} is missing .*")):
        room("rmi", name)
        missing = room.run(*command, cwd=checkout, check=False)
        assert missing.returncode == 1 and re.fullmatch(said, missing.stdout.splitlines()[-1])


def test_both_architectures_from_the_build_to_a_room(checkout, environment, stack, network, tmp_path):
    """scripts/release, with images that hold only their SBOM: no program of arm64 can be built or run everywhere."""
    registry = start_registry(stack, tmp_path, *network)
    author = EmptyEngine(stack, environment, network, f"--registry-mirror=http://{registry}")  # instead of Docker Hub
    environment = {**author.environment, "REGISTRY": f"{registry}/me/dockercoins", "TAG": TAG}
    files = pathlib.Path(checkout, "build/release-files", TAG)

    context, ids = tmp_path / "context", {}
    context.mkdir()

    def build(name, service, arch):
        (context / f"{service}.spdx.json").write_text(f"{name} {arch}")
        (context / "Dockerfile").write_text(f'FROM scratch\nCOPY {service}.spdx.json /licenses/\nCMD ["/x"]\n')
        author("build", "--quiet", "--platform", f"linux/{arch}", "--tag", name, str(context))
        return author.ids([name])[name]

    def release(step, **options):
        return author.run("scripts/release", step, cwd=checkout, env=environment, **options).stdout

    for arch in ("arm64", "amd64"):
        for service in SERVICES:
            ids[f"{PREFIX}/{service}:v0.1", arch] = build(f"{registry}/me/dockercoins/{service}:{TAG}", service, arch)
        release("push")
    author("build", "--quiet", "--tag", "a:1", "--label", "dockercoins.stand-in=1", str(context))
    assert "has the tests' substitutes, which must not be released: a:1\n" in release("push", check=False)
    author("rmi", "a:1")
    for name in OTHERS:
        tag = f"{registry}/{name if '/' in name else f'library/{name}'}"
        for arch in ("arm64", "amd64"):
            ids[name, arch] = build(f"{tag}-{arch}", "other", arch)
            author("push", "--quiet", f"{tag}-{arch}")
        author("manifest", "create", "--insecure", tag, f"{tag}-amd64", f"{tag}-arm64")
        author("manifest", "push", "--insecure", tag)
    assert (files / "rng-arm64.spdx.json").read_text() == f"{registry}/me/dockercoins/rng:{TAG} arm64"
    release("join")
    joined = json.loads(author("manifest", "inspect", "--insecure", f"{registry}/me/dockercoins/worker:{TAG}"))
    assert {each["platform"]["architecture"]: each["digest"] for each in joined["manifests"]} == {
        arch: (files / f"worker-{arch}.digest").read_text().strip() for arch in ("amd64", "arm64")}
    author("pull", f"{registry}/me/dockercoins/worker@{(files / 'worker.digest').read_text().strip()}")

    def named():
        shown = author("images", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").splitlines()
        return {line for line in shown if "<none>" not in line}

    before = named()
    release("bundle")
    assert named() == before
    room, folder = EmptyEngine(stack, environment, network), tmp_path / "dockercoins"
    run("tar", "-xzf", str(files / f"dockercoins-{TAG}.tar.gz"), cwd=tmp_path)
    assert "kind load image-archive images-amd64.tar" in room.run(f"{folder}/load").stdout
    names = {name for name, _ in ids}
    assert room.ids(names) == {name: ids[name, "amd64"] for name in names}
    with tarfile.open(folder / "images-arm64.tar") as archive:
        listed = json.load(archive.extractfile("manifest.json"))
    assert {tag: f"sha256:{each['Config'].removesuffix('.json')}"
            for each in listed for tag in each["RepoTags"]} == {name: ids[name, "arm64"] for name in names}
