"""The guides, and the text files as a newcomer gets them."""

import glob
import os
import re
import subprocess

import pytest

from manifests import REPO, read


@pytest.mark.parametrize("page", sorted(glob.glob("*.md", root_dir=REPO) + glob.glob("docs/*.md", root_dir=REPO)))
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\((?!https?:)([^)]*)\)", read(page)):
        path, _, anchor = target.partition("#")
        path = os.path.join(os.path.dirname(page), path) if path else page
        assert os.path.exists(os.path.join(REPO, path)), target
        # What GitHub calls its headings.
        assert not anchor or anchor in [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
                                        for title in re.findall(r"^#+ (.*)$", read(path), re.MULTILINE)], target


def test_the_lines_that_the_trainer_shows_exist():
    named = re.findall(r"`(\w+::\w+)`", read("docs/trainer.md"))
    code = subprocess.check_output(["cat", *glob.glob(f"{REPO}/[!bt]*/**/*.cpp", recursive=True)], text=True)
    assert len(named) == 3 and all(f" {name}(" in code for name in named)


@pytest.mark.skipif(not os.path.exists(f"{REPO}/.git"), reason="not a clone")
def test_a_clone_on_windows_has_no_carriage_return(tmp_path):
    """Git for Windows sets core.autocrlf. A script with CRLF does not start in an image."""
    subprocess.run(["git", "-c", "core.autocrlf=true", "-c", "safe.directory=*", "checkout-index", "--all",
                    f"--prefix={tmp_path}/"], cwd=REPO, timeout=60, check=True)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".png"]
    assert len(files) > 100 and [path.name for path in files if b"\r" in path.read_bytes()] == []
