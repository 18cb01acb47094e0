"""How long tests wait, and how much longer for slow programs.

DOCKERCOINS_BIN   folder of the four binaries; default build/release/bin of this repository
DOCKERCOINS_SLOW  1: wider time bounds; the default for binaries in an asan, tsan or arm64 folder
"""

import os
import re
import time

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.path.abspath(os.environ.get("DOCKERCOINS_BIN") or os.path.join(REPO, "build/release/bin"))
SANITIZED = bool(re.search(r"asan|tsan", BIN))
EMULATED = "arm64" in BIN  # they run under QEMU
SLOW = SANITIZED or EMULATED or os.environ.get("DOCKERCOINS_SLOW", "0") not in ("", "0")


def scale(seconds):
    """An upper bound in seconds, wider for instrumented and emulated binaries, which are slow."""
    return seconds * 4 if SLOW else seconds


# The contract's second, of which a service uses at most 0.8, and half a second more for a busy machine.
STOPS_WITHIN = scale(1) + 0.5


def eventually(predicate, timeout=5.0, interval=0.01, what="the condition"):
    """Waits until predicate() is true and returns its result; fails after `timeout` seconds (scaled)."""
    deadline = time.monotonic() + scale(timeout)
    while not (result := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {scale(timeout)} s (last: {result!r})")
        time.sleep(interval)
    return result
