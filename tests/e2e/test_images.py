"""The four images: what is in them, and that each runs by itself."""

import errno
import hashlib
import json
import re
import shutil
import subprocess
import tarfile
import tempfile

import pytest

from compose import PREFIX, SERVICES, Compose, build_args, get, read, run
from harness import eventually, free_port


def files(docker, image):
    """{path: (entry, bytes)} of the image's files, without those that the engine adds."""
    container = docker("create", image)
    with tempfile.TemporaryDirectory() as folder:
        docker("export", "--output", f"{folder}/files.tar", container)
        docker("rm", container)
        with tarfile.open(f"{folder}/files.tar") as archive:
            return {entry.name: (entry, archive.extractfile(entry).read() if entry.isfile() or entry.issym() else b"")
                    for entry in archive if not re.match(r"(\.dockerenv|dev|etc|proc|sys)(/|$)", entry.name)}


def version(docker, image):
    """What its program says."""
    return docker("run", "--rm", "--network", "none", image, "--version").split()[-1]


def test_an_image_is_small_holds_one_program_and_says_what_it_is(docker, built, figure):
    figure("build, s (0 or so when nothing has changed)", f"{built:.0f}")
    assert built < 960  # 4 minutes are promised for two idle CPUs
    size = 0
    told = dict(argument.split("=", 1) for argument in build_args(""))
    for service in SERVICES:
        name = f"{PREFIX}/{service}:v0.1"
        image = json.loads(docker("image", "inspect", name))[0]
        size += image["Size"] / 1e6
        config = image["Config"]
        assert config["Entrypoint"] == [f"/{service}"] and not config["Cmd"]
        assert config.get("ExposedPorts") == (None if service == "worker" else {"80/tcp": {}})
        assert config["User"] == ("65532:65532" if service == "worker" else "")
        labels = {key.removeprefix("org.opencontainers.image."): value for key, value in config["Labels"].items()
                  if not key.startswith("com.docker.compose.")}
        assert labels.pop("source").startswith("https://")
        assert labels == {
            "title": f"DockerCoins {service}", "licenses": "Apache-2.0", "version": version(docker, name),
            "revision": told.get("REVISION", "unknown"), "created": told.get("CREATED", "unknown")}
        others = ("licenses/", *(("files/", "usr/share/javascript/dygraphs/") if service == "webui" else ()))
        assert [path for path, (entry, _) in files(docker, name).items()
                if not entry.isdir() and not path.startswith(others)] == [service]
    figure("images, MB", f"{size:.1f}")
    assert size <= 10.5


# Source packages; linux: its headers; node-undici: llhttp.
LINKED = {"cpp-httplib", "gcc-14", "glibc", "linux", "nlohmann-json3", "node-undici", "prometheus-cpp"}
LINKED_BY = {"rng": LINKED, "hasher": LINKED | {"openssl"}, "worker": LINKED | {"hiredis"},
             "webui": LINKED | {"hiredis", "dygraphs"}}


def test_an_image_lists_the_exact_packages_that_are_in_it_and_has_their_licences(docker, built, compose_1):
    """As SPDX 2.3 wants it."""
    stage = f"{PREFIX}/e2e-stage"
    run("docker", "build", *build_args(), "--target", "build", "--file", "rng/Dockerfile", "--tag", stage, ".",
        cwd=compose_1.folder, env=compose_1.environment)
    installed = docker("run", "--rm", "--network", "none", stage, "dpkg-query", "--show", "--showformat",
                       "${Package} ${Version} ${source:Package}\n").splitlines()
    docker("rmi", "--no-prune", stage)  # keeps what the next build needs
    for service in SERVICES:
        image = f"{PREFIX}/{service}:v0.1"
        found = {path: content for path, (_, content) in files(docker, image).items()}
        paper, number = json.loads(found[f"licenses/{service}.spdx.json"]), version(docker, image)
        checksum = hashlib.sha256(found[service]).hexdigest()
        no = "NOASSERTION"
        same = {"downloadLocation": no, "filesAnalyzed": False, "licenseConcluded": no, "copyrightText": no}
        packages = [{**same, "SPDXID": f"SPDXRef-{service}", "name": service, "versionInfo": number,
                     "licenseDeclared": "Apache-2.0",
                     "checksums": [{"algorithm": "SHA256", "checksumValue": checksum}]}]
        sources = set()
        for package in paper["packages"][1:]:
            name, exact = package["name"], package["versionInfo"]
            locator = package["externalRefs"][0]["referenceLocator"]
            assert locator.startswith(f"pkg:deb/debian/{name}@{exact}?".replace("+", "%2B"))
            source = locator.partition("upstream=")[2] or name
            # If scripts/install-deps has built it, it is known there.
            assert f"{name} {exact} {source}" in installed or "upstream=" not in locator and (
                f"[{name}]={exact.rpartition('-')[0]}-" in read("scripts/install-deps"))
            assert b"opyright" in found[f"licenses/{source}/copyright"]
            sources.add(source)
            packages.append({
                **same, "SPDXID": f"SPDXRef-{name.replace('+', 'p')}", "name": name, "versionInfo": exact,
                "licenseDeclared": no, "licenseComments": f"See /licenses/{source}/copyright in the image.",
                "supplier": "Organization: Debian", "externalRefs": [{
                    "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": locator}]})
        assert sources == LINKED_BY[service]
        created = paper["creationInfo"].pop("created")
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
        ours, *others = (package["SPDXID"] for package in packages)
        related = [("SPDXRef-DOCUMENT", "DESCRIBES", ours), *((ours, "CONTAINS", other) for other in others)]
        assert paper == {
            "spdxVersion": "SPDX-2.3", "dataLicense": "CC0-1.0", "SPDXID": "SPDXRef-DOCUMENT", "name": service,
            "documentNamespace": f"https://spdx.org/spdxdocs/dockercoins-cpp-{service}-{number}-{checksum}",
            "creationInfo": {"creators": ["Tool: dockercoins-cpp-image-files"]}, "packages": packages,
            "relationships": [{"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}
                              for one, kind, other in related]}
        assert found["licenses/LICENSE"] == read("LICENSE").encode()
        named = set(re.findall(rb"/usr/share/(common-licenses/[\w.-]*\w)", b"".join(
            content for path, content in found.items() if path.endswith("/copyright"))))
        assert b"common-licenses/GPL-3" in named and all(found[f"licenses/{text.decode()}"] for text in named)


@pytest.mark.release
def test_two_builds_without_cache_in_two_folders_give_the_same_files(docker, compose_1, compose_2, tmp_path):
    """The second with BuildKit, and from files with other times and modes."""
    other = Compose(compose_2.command, str(tmp_path / "another" / "folder"), compose_2.environment)
    shutil.copytree(compose_1.folder, other.folder, copy_function=shutil.copy)
    run("chmod", "--recursive", "g+w,o-rx", other.folder)
    found = []
    for compose in compose_1, other:
        run(*compose.command, "build", "--no-cache", *build_args(), cwd=compose.folder,
            env={**compose.environment, "TAG": "twice"}, timeout=1500)
        found.append({f"{service}:{path}": (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.linkname,
                                            hashlib.sha256(content).hexdigest())
                      for service in SERVICES
                      for path, (entry, content) in files(docker, f"{PREFIX}/{service}:twice").items()})
        docker("rmi", *(f"{PREFIX}/{service}:twice" for service in SERVICES))
    assert found[0] == found[1]


def without(calls, error, folder):
    """The option with which these system calls fail."""
    (folder / "seccomp.json").write_text(json.dumps({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": error}]}))
    return "--security-opt", f"seccomp={folder}/seccomp.json"


HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65532")
NEWER = ["openat2", "clone3", "statx", "faccessat2", "close_range", "rseq"]  # than Linux 4.4


@pytest.mark.parametrize("options, uid, calls, error", [
    ((), 65532, NEWER, errno.ENOSYS), ((), 65532, NEWER[:1] + NEWER[2:], errno.EPERM), ((), 65532, [], 0),
    (HARDENED, 65532, [], 0), (("--user", "root"), 0, [], 0), (("--user", "nobody"), 65534, [], 0),
    (("--user", "nonroot:nonroot"), 65532, [], 0)],
    ids=["newer calls unknown", "newer calls forbidden", "no option", "hardened", "root", "nobody", "nonroot"])
def test_each_image_runs_by_itself_with_all_files_of_its_page_and_not_as_root(
        docker, built, tmp_path, options, uid, calls, error):
    denied = without(calls, error, tmp_path) if calls else ()
    for service in SERVICES:
        port = free_port()
        published = () if service == "worker" else ("--publish", f"{port}:80")
        started = docker("run", "--detach", *published, *options, *denied, f"{PREFIX}/{service}:v0.1")
        try:
            said = "INFO:worker:Waiting for" if service == "worker" else f"{service.upper()} running on port 80"
            eventually(lambda: said in docker("logs", started), 20, what="its log")
            if service in ("rng", "hasher"):
                assert get(f"http://localhost:{port}/") == (200, f"{service.upper()} running on {started[:12]}\n")
            if service == "webui":
                named = re.findall(r'(?:src|href)="(?!https?:)([^"#]+)"', get(f"http://localhost:{port}/")[1])
                assert any(name.startswith("assets/dygraphs/") for name in named)
                assert {get(f"http://localhost:{port}/{name}")[0] for name in named} == {200}
            process = docker("inspect", "--format", "{{.State.Pid}}", started)
            ids = dict(re.findall(r"^(Uid|Gid):\t(.*)$", read(f"/proc/{process}/status"), re.MULTILINE))
            # The servers bind their port as root, and become nonroot.
            expected = uid if uid or service == "worker" else 65532
            assert set(ids["Uid"].split()) == {str(expected)}
            assert options or set(ids["Gid"].split()) == {"65532"}  # --user 65532 does not change the group
            docker("exec", started, f"/{service}", "--healthcheck")
            assert "dockercoins_build_info{" in docker("exec", started, f"/{service}", "--metrics")
            docker("stop", started)
            assert docker("inspect", "--format", "{{.State.ExitCode}}", started) == "0"
        finally:
            docker("rm", "--force", "--volumes", started)


def test_where_threads_are_forbidden_each_image_says_what_to_do(docker, built, tmp_path):
    for service in SERVICES:
        denied = without(["clone3"], errno.EPERM, tmp_path)
        ended = run("docker", "run", "--rm", *denied, f"{PREFIX}/{service}:v0.1", check=False)
        assert ended.returncode == 1 and "or --security-opt seccomp=unconfined" in ended.stdout, ended.stdout


def test_a_slower_worker_is_one_command_and_the_build_context_is_small(docker, built, compose_1):
    """The course's worker:v0.2."""
    names = [f"{PREFIX}/worker:e2e-slow", f"{PREFIX}/worker:v0.1"]
    said = run("docker", "build", "--file", "worker/Dockerfile", "--build-arg", "DELAY_MS=200", "--tag", names[0], ".",
               cwd=compose_1.folder, env=compose_1.environment).stdout
    shown = docker("image", "inspect", "--format", "{{.Config.Env}}", *names).splitlines()
    assert "DELAY_MS=200" in shown[0] and "DELAY_MS=100" in shown[1]
    docker("rmi", names[0])
    if "DOCKER_BUILDKIT" in compose_1.environment:  # the classic builder prints the size
        size, unit = re.search(r"Sending build context to Docker daemon\s+([\d.]+)(\w?B)",
                               said.split("Step 1")[0].split("\r")[-1]).groups()
        assert unit in ("B", "kB") and float(size) < 700


@pytest.mark.parametrize("settings, form", [
    ({}, PREFIX + "/{}:v0.1"), ({"REGISTRY": "there/me", "TAG": "v9"}, "there/me/{}:v9")])
def test_registry_and_tag_name_the_images_for_bake(engine, compose_1, settings, form):
    """For Compose: test_compose.py."""
    plan = json.loads(run(engine.BUILDX, "bake", "--print", cwd=compose_1.folder, stderr=subprocess.PIPE,
                          env={**compose_1.environment, **settings}).stdout)
    targets = [plan["target"][name] for name in plan["group"]["default"]["targets"]]
    assert sorted(target["tags"][0] for target in targets) == sorted(map(form.format, SERVICES))
    assert all(target["platforms"] == ["linux/amd64", "linux/arm64"] for target in targets)
