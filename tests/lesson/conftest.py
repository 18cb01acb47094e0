"""Makes scripts/lesson and the integration harness importable."""

import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(TESTS, "lesson"), os.path.join(TESTS, "integration")]

import lesson_script  # noqa: E402  (found through the line above)

lesson_script.load()
