"""The module `lesson` is scripts/lesson, which has no .py in its name. Its parts can be imported after it."""

import pathlib
import sys

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/lesson"
sys.path.insert(0, str(SCRIPT.parent))
exec(compile(SCRIPT.read_text("utf-8"), SCRIPT, "exec"))
