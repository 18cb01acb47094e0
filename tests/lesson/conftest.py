import types

import pytest

import lesson  # noqa: F401  (makes its parts importable)
from lesson_parts import measuring, platforms


@pytest.fixture
def clock(monkeypatch):
    """[seconds]: the time of scripts/lesson. A sleep advances it, and returns at once."""
    now = [100.0]

    def sleep(seconds):
        now[0] += seconds

    for part in (measuring, platforms):
        monkeypatch.setattr(part, "time", types.SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    return now
