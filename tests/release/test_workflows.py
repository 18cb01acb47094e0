"""The workflows of GitHub Actions, which cannot run here: each is a list of calls of scripts that can."""

import glob
import os
import re
import shlex
import subprocess

import pytest
import yaml

from waiting import REPO

WORKFLOWS = sorted(glob.glob(f"{REPO}/.github/workflows/*"))
TRIGGERS = {"push", "pull_request", "schedule", "workflow_call"}  # none gives strangers' code a token that may write
# All that may write: the file, its job, and what.
WRITERS = {("release.yml", "images"): {"packages"}, ("release.yml", "join"): {"packages"},
           ("release.yml", "sign"): {"packages", "id-token"}, ("release.yml", "publish"): {"contents"}}
# Calls of programs that are not ours, and what may be an argument.
PROGRAMS = {"apt-get update": "", "apt-get install": r"--yes|--no-install-recommends|[a-z0-9]+(-[a-z0-9]+)*",
            "git config": r"--global|--add|safe\.directory|\$GITHUB_WORKSPACE", "docker compose": "build|pull|redis",
            "pipx run": r"pytest==[0-9.]+|tests/\S+\.py"}


@pytest.fixture(params=WORKFLOWS, ids=os.path.basename)
def path(request):
    return request.param


@pytest.fixture
def text(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@pytest.fixture
def workflow(text):
    return yaml.safe_load(text)


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job.get("steps", [])]


def test_there_are_two():
    assert [os.path.basename(path) for path in WORKFLOWS] == ["ci.yml", "release.yml"]


def test_every_action_is_pinned_by_commit_and_names_its_version(text, workflow):
    lines = re.findall(r"^\s+(?:- )?uses: (.*)$", text, re.MULTILINE)
    used = [part["uses"] for part in (*workflow["jobs"].values(), *steps(workflow)) if "uses" in part]
    assert sorted(line.split()[0] for line in lines) == sorted(used)
    pinned = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+")
    assert [line for line in lines if not pinned.fullmatch(line) and line != "./.github/workflows/ci.yml"] == []


def test_only_the_steps_of_a_release_may_write_and_no_secret_is_used(path, text, workflow):
    assert workflow["permissions"] in ({}, {"contents": "read"})
    for name, job in workflow["jobs"].items():
        granted = job.get("permissions", workflow["permissions"])
        assert set(granted.values()) <= {"read", "write"}
        written = {each for each in granted if granted[each] == "write"}
        assert written == WRITERS.get((os.path.basename(path), name), set())
    assert "secrets" not in text
    for step in steps(workflow):
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_strangers_cannot_start_more_than_a_check(path, workflow):
    triggers = workflow[True]  # YAML 1.1 reads "on" as true
    assert set(triggers) <= TRIGGERS
    if os.path.basename(path) != "ci.yml":
        assert triggers == {"push": {"tags": ["v*"]}}


def test_every_run_is_one_call_that_exists(workflow):
    for step in steps(workflow):
        if "run" in step:
            assert problem(step["run"]) is None, step["run"]


def problem(line):
    """What is wrong with a `run:`; None if nothing is."""
    if "${{" in line or re.search(r"[\n;|&<>`()*?~]|\$\{", line):
        return "more than one call, or what a stranger could have written"
    words = shlex.split(line)
    if (allowed := PROGRAMS.get(" ".join(words[:2]))) is not None:
        return next((f"{word} is not expected" for word in words[2:] if not re.fullmatch(allowed, word)), None)
    script = os.path.join(REPO, words[0])
    if not os.access(script, os.X_OK) or "/" not in words[0]:
        return "no such script"
    if words[1:]:
        shown = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, check=False)
        documented = re.findall(rf"^ +(?:{words[0]} )?(\S+) ", shown.stdout + shown.stderr, re.MULTILINE)
        return next((f"{word} is not in its --help" for word in words[1:] if word not in documented), None)
    return None


@pytest.mark.parametrize("line", [
    "scripts/test --yes --every", "scripts/tests", "scripts/release pull", "scripts/release signs", "apt-get upgrade",
    "scripts/test --yes && true", "scripts/release push\nscripts/release join", "curl example.com", "README.md",
    "scripts/release ${{ github.ref_name }}", "apt-get install --yes $(cat list)", "scripts/test $A",
    "tests/e2e/docker_engine.py restart", "apt-get update x"])
def test_another_call_would_be_found(line):
    assert problem(line)


def test_every_job_has_a_time_limit_and_a_fixed_machine(workflow):
    for job in workflow["jobs"].values():
        if "uses" not in job:
            assert 0 < job["timeout-minutes"] <= 90
            runners = job["strategy"]["matrix"]["runner"] if "strategy" in job else [job["runs-on"]]
            assert all(re.fullmatch(r"ubuntu-\d\d\.\d\d(-arm)?", each) for each in runners)
            assert job.get("container", {"image": "debian:12"})["image"] == "debian:12"
