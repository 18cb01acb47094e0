"""The four images: what is in them, and that each runs by itself."""

import contextlib
import hashlib
import json
import re
import shutil
import tarfile
import tempfile

import pytest

from compose import PREFIX, SERVICES, Compose, build_args, get, read, run
from harness import eventually, free_port


@pytest.fixture(params=["classic", *(pytest.param(name, marks=pytest.mark.release) for name in ("buildkit", "bake"))])
def tag(request, engine, docker, built, compose_2, figure):
    """The tag of the images made by one of the builders."""
    if request.param == "classic":
        figure("build, s (0 or so when nothing has changed)", f"{built[1]:.0f}")
        assert built[1] < 960  # 4 minutes are promised for two idle CPUs
        return "v0.1"
    command = [*compose_2.command, "build", *build_args()]
    if request.param == "bake":
        native = docker("version", "--format", "{{.Server.Os}}/{{.Server.Arch}}")
        command = [engine.BUILDX, "bake", "--load", "--set", f"*.platform={native}", *build_args("--set=*.args.")]
    name = f"v0.1-{request.param}"
    run(*command, cwd=compose_2.folder, env={**compose_2.environment, "TAG": name}, timeout=1500)
    return name


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


def test_an_image_is_small_holds_one_program_and_says_what_it_is(docker, tag, figure):
    size = 0
    told = dict(argument.split("=", 1) for argument in build_args(""))
    for service in SERVICES:
        name = f"{PREFIX}/{service}:{tag}"
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


def test_an_image_names_the_exact_packages_that_are_in_it_and_has_their_licences(docker, built, compose_1):
    stage = f"{PREFIX}/e2e-stage"
    run("docker", "build", *build_args(), "--target", "build", "--file", "rng/Dockerfile", "--tag", stage, ".",
        cwd=compose_1.folder, env=compose_1.environment)
    installed = docker("run", "--rm", "--network", "none", stage, "dpkg-query", "--show", "--showformat",
                       "${Package} ${Version} ${source:Package}\n").splitlines()
    docker("rmi", stage)
    for service in SERVICES:
        image = f"{PREFIX}/{service}:v0.1"
        found = {path: content for path, (_, content) in files(docker, image).items()}
        ours, *others = json.loads(found[f"licenses/{service}.spdx.json"])["packages"]
        assert (ours["name"], ours["versionInfo"]) == (service, version(docker, image))
        assert ours["checksums"][0]["checksumValue"] == hashlib.sha256(found[service]).hexdigest()
        sources = set()
        for package in others:
            name, exact = package["name"], package["versionInfo"]
            locator = package["externalRefs"][0]["referenceLocator"]
            assert locator.startswith(f"pkg:deb/debian/{name}@{exact}?".replace("+", "%2B"))
            source = locator.partition("upstream=")[2]
            if source:
                assert f"{name} {exact} {source}" in installed
            else:  # scripts/install-deps has built it
                source = name
                assert f"[{name}]={exact.rpartition('-')[0]}-" in read("scripts/install-deps")
            assert f"/licenses/{source}/copyright" in package["licenseComments"]
            assert b"opyright" in found[f"licenses/{source}/copyright"]
            sources.add(source)
        assert sources == LINKED_BY[service]
        assert found["licenses/LICENSE"] == read("LICENSE").encode()
        named = set(re.findall(rb"/usr/share/(common-licenses/[\w.-]*\w)", b"".join(
            content for path, content in found.items() if path.endswith("/copyright"))))
        assert b"common-licenses/GPL-3" in named and all(found[f"licenses/{text.decode()}"] for text in named)


def test_the_list_of_packages_is_spdx(docker, built):
    """The fields that the specification of SPDX 2.3 wants, in its forms."""
    for service in SERVICES:
        paper = json.loads(files(docker, f"{PREFIX}/{service}:v0.1")[f"licenses/{service}.spdx.json"][1])
        assert [paper[key] for key in ("spdxVersion", "dataLicense", "SPDXID")] == [
            "SPDX-2.3", "CC0-1.0", "SPDXRef-DOCUMENT"]
        assert paper["name"] and re.fullmatch(r"https://[^\s#]+", paper["documentNamespace"])
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", paper["creationInfo"]["created"])
        assert all(re.match("(Tool|Person|Organization): .", each) for each in paper["creationInfo"]["creators"])
        identifiers = [package["SPDXID"] for package in paper["packages"]]
        assert len(set(identifiers)) == len(identifiers)
        assert all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", identifier) for identifier in identifiers)
        for package in paper["packages"]:
            assert package["name"] and package["downloadLocation"] == "NOASSERTION" and not package["filesAnalyzed"]
            assert all(each["referenceType"] == "purl" and each["referenceCategory"] == "PACKAGE-MANAGER"
                       for each in package.get("externalRefs", []))
        ours, *others = identifiers
        assert [(each["spdxElementId"], each["relationshipType"], each["relatedSpdxElement"])
                for each in paper["relationships"]] == [("SPDXRef-DOCUMENT", "DESCRIBES", ours), *(
                    (ours, "CONTAINS", other) for other in others)]


@pytest.mark.release
def test_two_builds_without_cache_in_two_folders_give_the_same_files(docker, compose_1, compose_2, tmp_path):
    """The second with BuildKit, and from files with other times and modes."""
    other = Compose(compose_2.command, str(tmp_path / "another" / "folder"), compose_2.environment)
    shutil.copytree(compose_1.folder, other.folder, copy_function=shutil.copy)
    run("chmod", "--recursive", "g+w,o-rx", other.folder)
    found = []
    for tag, compose in ("v0.1-once", compose_1), ("v0.1-again", other):
        run(*compose.command, "build", "--no-cache", *build_args(), cwd=compose.folder,
            env={**compose.environment, "TAG": tag}, timeout=1500)
        found.append({f"{service}:{path}": (entry.type, entry.mode, entry.uid, entry.gid, entry.mtime, entry.linkname,
                                            hashlib.sha256(content).hexdigest())
                      for service in SERVICES
                      for path, (entry, content) in files(docker, f"{PREFIX}/{service}:{tag}").items()})
        docker("rmi", *(f"{PREFIX}/{service}:{tag}" for service in SERVICES))
    once, again = found
    assert {path: (once.get(path), again.get(path)) for path in once.keys() | again.keys()
            if once.get(path) != again.get(path)} == {}


@contextlib.contextmanager
def container(docker, *words):
    name = docker("run", "--detach", *words)
    try:
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def await_start(docker, service, started):
    said = "INFO:worker:Waiting for" if service == "worker" else f"{service.upper()} running on port 80"
    eventually(lambda: said in docker("logs", started), 20, what="its log")


HARDENED = ("--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--user", "65532")


@pytest.mark.parametrize("options, uid", [((), 65532), (HARDENED, 65532), (("--user", "root"), 0),
                                          (("--user", "nobody"), 65534), (("--user", "nonroot:nonroot"), 65532)],
                         ids=["no option", "hardened", "root", "nobody", "nonroot"])
def test_each_image_runs_by_itself_with_all_files_of_its_page_and_not_as_root(docker, built, options, uid):
    for service in SERVICES:
        port = free_port()
        published = () if service == "worker" else ("--publish", f"{port}:80")
        with container(docker, *published, *options, f"{PREFIX}/{service}:v0.1") as started:
            await_start(docker, service, started)
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


NEWER = ["openat2", "clone3", "statx", "faccessat2", "close_range", "rseq"]  # than Linux 4.4


@pytest.mark.parametrize("error, calls", [(38, NEWER), (1, NEWER[:1] + NEWER[2:]), (1, ["clone3"])],
                         ids=["unknown", "forbidden", "threads forbidden"])
def test_each_image_serves_without_newer_system_calls_and_without_threads_says_what_to_do(
        docker, built, tmp_path, error, calls):
    profile = {"defaultAction": "SCMP_ACT_ALLOW",
               "syscalls": [{"names": calls, "action": "SCMP_ACT_ERRNO", "errnoRet": error}]}
    (tmp_path / "seccomp.json").write_text(json.dumps(profile))
    options = ("--security-opt", f"seccomp={tmp_path}/seccomp.json")
    for service in SERVICES:
        image = f"{PREFIX}/{service}:v0.1"
        if calls == ["clone3"]:
            ended = run("docker", "run", "--rm", *options, image, check=False)
            assert ended.returncode == 1 and "or --security-opt seccomp=unconfined" in ended.stdout, ended.stdout
            continue
        port = free_port()
        published = () if service == "worker" else ("--publish", f"{port}:80")
        with container(docker, *options, *published, image) as started:
            await_start(docker, service, started)
            page = "index.html" if service == "webui" else ""
            assert service == "worker" or get(f"http://localhost:{port}/{page}")[0] == 200


def test_a_slower_worker_is_one_command_and_the_build_context_is_small(docker, built, compose_1):
    """The course's worker:v0.2."""
    name = f"{PREFIX}/worker:e2e-slow"
    said = run("docker", "build", "--file", "worker/Dockerfile", "--build-arg", "DELAY_MS=200", "--tag", name, ".",
               cwd=compose_1.folder, env=compose_1.environment).stdout
    inspect = ("image", "inspect", "--format", "{{.Config.Env}}")
    assert "DELAY_MS=200" in docker(*inspect, name)
    assert "DELAY_MS=100" in docker(*inspect, f"{PREFIX}/worker:v0.1")
    docker("rmi", name)
    if "DOCKER_BUILDKIT" in compose_1.environment:  # the classic builder prints the size
        size, unit = re.search(r"Sending build context to Docker daemon\s+([\d.]+)(\w?B)",
                               said.split("Step 1")[0].split("\r")[-1]).groups()
        assert unit in ("B", "kB") and float(size) < 700


@pytest.mark.parametrize("settings, form", [
    ({}, PREFIX + "/{}:v0.1"), ({"REGISTRY": "there/me", "TAG": "v9"}, "there/me/{}:v9")])
def test_registry_and_tag_name_the_images_for_compose_and_for_bake(engine, compose_1, settings, form):
    names = sorted(map(form.format, SERVICES))
    options = {"cwd": compose_1.folder, "env": {**compose_1.environment, **settings}}
    shown = run(*compose_1.command, "config", **options).stdout
    assert sorted(re.findall(rf"image: (\S+/(?:{'|'.join(SERVICES)}):\S+)", shown)) == names
    plan = json.loads(engine.run(engine.BUILDX, "bake", "--print", **options))
    targets = [plan["target"][name] for name in plan["group"]["default"]["targets"]]
    assert sorted(target["tags"][0] for target in targets) == names
    assert all(target["platforms"] == ["linux/amd64", "linux/arm64"] for target in targets)
