"""scripts/release: what does not need a registry. tests/e2e/test_release.py has the rest."""

import os
import re
import shutil

import pytest

from waiting import REPO

SERVICES = ("rng", "hasher", "webui", "worker")
CHANGELOG = """\
## [Unreleased]

- later

## [2.5.1] - 2027-01-02

### Added

- a thing

## [2.5.0] - 2026-12-24

- before
"""


@pytest.fixture
def release(machine):
    """release("check"): runs it in a project of version 2.5.1, with a cosign and a gh that only note their arguments."""
    project = machine.folder / "project"
    (project / "scripts").mkdir(parents=True)
    for name in ("release", "build-args"):
        shutil.copy(f"{REPO}/scripts/{name}", project / "scripts")
    (project / "CHANGELOG.md").write_text(CHANGELOG)
    with open(f"{REPO}/CMakeLists.txt", encoding="utf-8") as file:
        text, replaced = re.subn(r"(?m)^(project\(.* VERSION )[\d.]+", r"\g<1>2.5.1", file.read())
    assert replaced == 1
    (project / "CMakeLists.txt").write_text(text)
    for name in ("cosign", "gh"):
        machine.install(name, f'#!/bin/bash\nprintf "[%s]" {name} "$@" >>"$CALLS"; echo >>"$CALLS"\n')

    def run(*words, **environment):
        return machine.run(project / "scripts/release", *words, **{
            "TAG": "v2.5.1", "REGISTRY": "ghcr.io/Me/DockerCoins", **environment})

    run.files = project / "build/release-files/v2.5.1"
    run.calls = lambda: machine.calls.read_text()
    return run


@pytest.fixture
def kept(release):
    """What the steps before "sign" keep."""
    release.files.mkdir(parents=True)
    for name in SERVICES:
        (release.files / f"{name}.digest").write_text(f"sha256:{name}\n")
        for arch in ("amd64", "arm64"):
            (release.files / f"{name}-{arch}.digest").write_text(f"sha256:{name}-{arch}\n")
            (release.files / f"{name}-{arch}.spdx.json").write_text("{}")
    (release.files / "dockercoins-v2.5.1-kind.tar.gz").write_text("")
    return release


def test_check_compares_the_tag_with_version_and_changelog(release):
    assert release("check").returncode == 0
    found = release("check", TAG="v2.5.0")
    assert (found.returncode, found.stderr) == (1, "release: the tag is v2.5.0, but CMakeLists.txt has version 2.5.1\n")
    changelog = release.files.parents[2] / "CHANGELOG.md"
    for other in ("[2.5.10] - 2027-01-02", "[2.5.1] - DATE"):
        changelog.write_text(CHANGELOG.replace("[2.5.1] - 2027-01-02", other))
        found = release("check")
        assert (found.returncode, found.stderr) == (1, 'release: CHANGELOG.md has no section "## [2.5.1] - DATE"\n')


@pytest.mark.parametrize("words, environment, status, said", [
    ((), {}, 2, "release: one step is expected; see scripts/release --help\n"),
    (("pull",), {}, 2, "release: one step is expected; see scripts/release --help\n"),
    (("push", "join"), {}, 2, "release: one step is expected; see scripts/release --help\n"),
    (("push",), {"TAG": ""}, 1, "release: TAG and REGISTRY have to be set; see scripts/release --help\n"),
    (("sign",), {}, 1, "release: build/release-files/v2.5.1/rng.digest is missing: was the step before it run, and its output "
                       "fetched?\n")])
def test_bad_usage_is_one_line(release, words, environment, status, said):
    found = release(*words, **environment)
    assert (found.returncode, found.stderr) == (status, said)


@pytest.mark.parametrize("step", ["push", "bundle"])
def test_the_tests_substitutes_are_not_released(machine, release, step):
    machine.install("docker", '#!/bin/bash\n[[ $* != "images --filter label=dockercoins.stand-in "* ]] || printf "a:1\\nb:2\\n"\n')
    assert release(step).stderr == (
        "release: this engine has the tests' substitutes, which must not be released: a:1, b:2\n")


def test_help_names_every_step(release):
    assert re.findall(r"^  (\w+)  ", release("--help").stdout, re.MULTILINE) == [
        "check", "build", "push", "join", "bundle", "sign", "publish"]


def test_sign_signs_each_image_by_digest_and_attaches_an_sbom_for_each_architecture(kept):
    assert kept("sign").returncode == 0
    calls = kept.calls().splitlines()
    for name in SERVICES:
        image = f"ghcr.io/me/dockercoins/{name}@sha256:{name}"
        assert f"[cosign][sign][--yes][--recursive][{image}]" in calls
        for arch in ("amd64", "arm64"):
            assert (f"[cosign][attest][--yes][--type][spdxjson][--predicate]"
                    f"[build/release-files/v2.5.1/{name}-{arch}.spdx.json][{image}-{arch}]") in calls
    assert len(calls) == 12


def test_publish_makes_a_release_with_the_notes_of_that_version(kept):
    assert kept("publish").returncode == 0
    call = kept.calls()
    assert call.startswith("[gh][release][create][v2.5.1][--verify-tag][--title][DockerCoins v2.5.1]"
                           "[--notes][\n### Added\n\n- a thing]")
    assert "[build/release-files/v2.5.1/dockercoins-v2.5.1-kind.tar.gz]" in call and call.count(".spdx.json]") == 8
    assert ".digest" not in call


def test_the_changelog_is_in_the_format_that_it_names():
    with open(os.path.join(REPO, "CHANGELOG.md"), encoding="utf-8") as file:
        text = file.read()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert versions and all(re.fullmatch(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", each) for each in versions)
    assert "[Unreleased]" not in versions[1:]
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
