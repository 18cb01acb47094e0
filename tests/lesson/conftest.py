"""Makes scripts/lesson importable."""

import types

import pytest

import lesson_script

lesson_script.load()

from lesson_parts import measuring, platforms  # noqa: E402  (found through the line above)


@pytest.fixture
def clock(monkeypatch):
    """[seconds]: the time of scripts/lesson. A sleep advances it, and returns at once."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    for part in (measuring, platforms):
        monkeypatch.setattr(part, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return now
