"""What a student opens while looking for the answer does not tell it. What tells it says so in its first line."""

import glob
import re

import pytest

from manifests import REPO, read

# Phrases that tell it, by themselves or near the name of the service.
TELLING = re.compile(r"one (request |client )?at a time|saturat|in order of arrival|more rng|"
                     r"\brng\b[^|]{0,60}\b(bottleneck|queues?|slow|busy|the limit|waits?|serial|in line)\b|"
                     r"\b(bottleneck|queues?|slow|busy|waits?|serial\w*)\b[^|?]{0,30}\brng\b", re.IGNORECASE)
ASKING = ["README.md", "docs/troubleshooting.md", "docker-compose.yml", "stacks/dockercoins.yml", "Tiltfile",
          "kustomization.yaml", "k8s/dockercoins.yaml", "scripts/up_parts/up.py", *sorted(path for part in (
              "webui/files/*", "*/Dockerfile", "*/main.cpp") for path in glob.glob(part, root_dir=REPO))]
SPOILERS = ["docs/trainer.md", "docs/hints.md", "docs/reference.md", "docs/robustness.md", "CONTRIBUTING.md",
            "prometheus/rules.yml", "scripts/lesson", "docs/make_pictures.py", *sorted(
                path for part in ("scripts/lesson_parts/*.py", "lessons/*") for path in glob.glob(part, root_dir=REPO))]


def shown(path):
    """What a student reads: of a program, its --help. Without comment marks, with single spaces."""
    text = read(path)
    if path.endswith("main.cpp"):
        text = re.search(r"Program kProgram = \{(.*?)\n\};", text, re.DOTALL)[1]
    return re.sub(r"[\s#/*\"]+", " ", text)


@pytest.mark.parametrize("path", ASKING)
def test_the_riddle_is_kept(path):
    assert not TELLING.findall(shown(path))


@pytest.mark.parametrize("path", SPOILERS)
def test_what_tells_the_answer_says_so_first(path):
    assert "spoiler" in re.sub(r"\A#!.*\n", "", read(path)).splitlines()[0].lower()


def test_only_the_last_hint_is_the_answer():
    *hints, answer = shown("docs/hints.md").split("<details>")[1:]
    assert len(hints) == 4 and TELLING.search(answer) and not any(map(TELLING.search, hints))
