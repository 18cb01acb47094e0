"""What all tests share."""

import re

import pytest


@pytest.fixture
def figure(record_property, capsys):
    """Prints a measured figure, and puts it in the report."""

    def show(name, value):
        record_property(re.sub(r"\W+", "_", name), value)
        with capsys.disabled():
            print(f"\n  figure: {name}: {value}", end="")

    return show
