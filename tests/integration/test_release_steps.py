"""scripts/release: the steps that need no engine. tests/e2e/test_release.py runs the others, up to "bundle"."""

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

    def run(*words, tag="v2.5.1"):
        environment = {"PATH": "/usr/bin:/bin", "TAG": tag, "REGISTRY": "ghcr.io/Me/DockerCoins"}
        made = subprocess.run([tmp_path / "scripts/release", *words], text=True, capture_output=True, check=False,
                              env=environment)
        return made.returncode, made.stderr

    return run


def test_check_compares_the_tag_with_version_and_changelog(release, tmp_path):
    assert release("check") == (0, "")
    assert release("check", tag="v2.5.0") == (1, "release: the tag is v2.5.0, but CMakeLists.txt has version 2.5.1\n")
    for other in ("[2.5.10] - 2027-01-02", "[2.5.1] - DATE"):
        (tmp_path / "CHANGELOG.md").write_text(CHANGELOG.replace("[2.5.1] - 2027-01-02", other))
        assert release("check") == (1, 'release: CHANGELOG.md has no section "## [2.5.1] - DATE"\n')


@pytest.mark.parametrize("words, tag, status, said", [
    *((words, "v2.5.1", 2, "one step is expected; see scripts/release --help") for words in ("", "pull", "push join")),
    ("push", "", 1, "TAG and REGISTRY have to be set; see scripts/release --help"),
    *((step, "v2.5.1", 1, f"build/release-files/v2.5.1/{digest}.digest is missing: was the step before it run, and its "
       "output fetched?") for step, digest in (("join", "rng-amd64"), ("sign", "rng")))])
def test_bad_usage_is_one_line(release, words, tag, status, said):
    assert release(*words.split(), tag=tag) == (status, f"release: {said}\n")
