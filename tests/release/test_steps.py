"""scripts/release: the steps that need no engine. tests/e2e/test_release.py runs the others, up to "bundle"."""

import re
import shutil
import subprocess

import pytest

from waiting import REPO

CHANGELOG = "## [Unreleased]\n\n- later\n\n## [2.5.1] - 2027-01-02\n\n- a thing\n\n## [2.5.0] - 2026-12-24\n"


@pytest.fixture
def release(tmp_path):
    """release("check"): (exit status, stderr) of that step in a project of version 2.5.1."""
    shutil.copytree(f"{REPO}/scripts", tmp_path / "scripts")
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    (tmp_path / "CMakeLists.txt").write_text("project(dockercoins VERSION 2.5.1 LANGUAGES CXX)\n")

    def run(*words, **environment):
        made = subprocess.run([tmp_path / "scripts/release", *words], text=True, capture_output=True, check=False, env={
            "PATH": "/usr/bin:/bin", "TAG": "v2.5.1", "REGISTRY": "ghcr.io/Me/DockerCoins", **environment})
        return made.returncode, made.stderr

    run.changelog = tmp_path / "CHANGELOG.md"
    return run


def test_check_compares_the_tag_with_version_and_changelog(release):
    assert release("check") == (0, "")
    assert release("check", TAG="v2.5.0") == (1, "release: the tag is v2.5.0, but CMakeLists.txt has version 2.5.1\n")
    for other in ("[2.5.10] - 2027-01-02", "[2.5.1] - DATE"):
        release.changelog.write_text(CHANGELOG.replace("[2.5.1] - 2027-01-02", other))
        assert release("check") == (1, 'release: CHANGELOG.md has no section "## [2.5.1] - DATE"\n')


@pytest.mark.parametrize("words, environment, status, said", [
    *((words, {}, 2, "one step is expected; see scripts/release --help") for words in ((), ["pull"], ["push", "join"])),
    (("push",), {"TAG": ""}, 1, "TAG and REGISTRY have to be set; see scripts/release --help"),
    *(((step,), {}, 1, f"build/release-files/v2.5.1/{digest}.digest is missing: was the step before it run, and its "
       "output fetched?") for step, digest in (("join", "rng-amd64"), ("sign", "rng")))])
def test_bad_usage_is_one_line(release, words, environment, status, said):
    assert release(*words, **environment) == (status, f"release: {said}\n")


def test_the_changelog_is_in_the_format_that_it_names():
    with open(f"{REPO}/CHANGELOG.md", encoding="utf-8") as file:
        text = file.read()
    versions = re.findall(r"^## (.*)$", text, re.MULTILINE)
    form = re.compile(r"\[Unreleased\]|\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d")
    assert versions and all(map(form.fullmatch, versions))
    assert "[Unreleased]" not in versions[1:]
    assert set(re.findall(r"^### (.*)$", text, re.MULTILINE)) <= {
        "Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
