"""What every integration test gets: markers are in pytest.ini, everything else in harness.py."""

import pytest

from harness import BIN, SANITIZED


def pytest_report_header():
    return f"binaries: {BIN}"


def pytest_collection_modifyitems(items):
    if SANITIZED:
        skip = pytest.mark.skip(reason="figures hold for uninstrumented binaries only")
        for item in items:
            if "figures" in item.keywords:
                item.add_marker(skip)
