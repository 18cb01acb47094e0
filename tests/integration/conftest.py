"""What a worker needs: fakes of rng and hasher, and a real Redis."""

import pytest

from fakes import FakeHttp, digest, random_bytes
from harness import Redis


@pytest.fixture
def redis():
    with Redis() as server:
        yield server


@pytest.fixture
def rng():
    with FakeHttp(random_bytes) as server:
        yield server


@pytest.fixture
def hasher():
    with FakeHttp(digest) as server:
        yield server
