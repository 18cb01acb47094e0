"""Makes scripts/lesson and what the integration tests share importable."""

import os
import sys
import types

import pytest

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "lesson"), os.path.join(TESTS, "integration")]

import lesson_script  # noqa: E402  (found through the line above)

lesson_script.load()

from lesson_parts import measuring, platforms, words  # noqa: E402


@pytest.fixture
def clock(monkeypatch):
    """[seconds]: the time of scripts/lesson. A sleep advances it, and returns at once."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    for part in (measuring, platforms, words):
        monkeypatch.setattr(part, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return now
