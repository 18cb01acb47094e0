import types

import pytest

import lesson  # noqa: F401  (makes its parts importable)
from lesson_parts import measuring, platforms


@pytest.fixture
def clock(monkeypatch):
    """[seconds]: the time of scripts/lesson. A sleep advances it, and returns at once."""
    now = [100.0]
    fake = types.SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: now.insert(0, now.pop() + seconds))
    for part in (measuring, platforms):
        monkeypatch.setattr(part, "time", fake)
    return now
