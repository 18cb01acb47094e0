"""The workflows of GitHub Actions, which cannot run here: each is a list of calls of scripts that can."""

import os
import pathlib
import re
import subprocess

import pytest
import yaml

from waiting import REPO

# The jobs that may write, and what.
WRITERS = {"ci.yml": {}, "release.yml": {"images": {"packages"}, "join": {"packages"}, "sign": {"packages", "id-token"},
                                         "publish": {"contents"}}}
OTHERS = ("apt-get update", "apt-get install ", "git config ", "docker compose ", "pipx run ")  # not our scripts


@pytest.fixture(params=sorted(os.listdir(f"{REPO}/.github/workflows")))
def workflow(request):
    """(name, text, what YAML makes of it)"""
    text = pathlib.Path(REPO, ".github/workflows", request.param).read_text("utf-8")
    return request.param, text, yaml.safe_load(text)


def test_every_action_is_pinned_by_commit_and_names_its_version(workflow):
    _, text, _ = workflow
    for used in re.findall(r"\buses: (.*)$", text, re.MULTILINE):
        assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+|\./\.github/workflows/ci\.yml", used), used


def test_strangers_can_only_start_a_check_and_only_the_steps_of_a_release_may_write(workflow):
    name, text, content = workflow
    triggers = content[True]  # YAML 1.1 reads "on" as true
    # None of these gives strangers' code a token that may write.
    assert triggers == {"push": {"tags": ["v*"]}} if name == "release.yml" else set(triggers) == {
        "push", "pull_request", "schedule", "workflow_call"}
    assert content["permissions"] in ({}, {"contents": "read"}) and "secrets" not in text
    writers = {job: {what for what, how in each.get("permissions", {}).items() if how != "read"}
               for job, each in content["jobs"].items()}
    assert {job: what for job, what in writers.items() if what} == WRITERS[name]
    assert text.count("actions/checkout@") == text.count("persist-credentials: false") > 0


def test_every_run_is_one_call_that_exists(workflow):
    steps = (step for job in workflow[2]["jobs"].values() for step in job.get("steps", []))
    for line in (step["run"] for step in steps if "run" in step):
        assert not re.search(r"[\n;|&<>`()*?~]|\$\{", line), "more than one call, or what a stranger could have written"
        if not line.startswith(OTHERS):
            script, *words = line.split()
            assert os.access(f"{REPO}/{script}", os.X_OK), line
            for word in words:  # of its --help; docker_engine.py takes none, and prints the same to stderr
                shown = subprocess.run([f"{REPO}/{script}", "--help"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       text=True, timeout=60, check=False).stdout
                assert re.search(rf"^ +({script} )?{word} ", shown, re.MULTILINE), line
