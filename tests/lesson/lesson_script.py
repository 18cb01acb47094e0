"""Makes scripts/lesson, which has no .py to its name, the module `lesson`."""

import importlib.machinery
import importlib.util
import os
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load():
    if "lesson" not in sys.modules:
        loader = importlib.machinery.SourceFileLoader("lesson", os.path.join(REPO, "scripts", "lesson"))
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("lesson", loader))
        sys.modules["lesson"] = module  # where dataclasses look for it
        loader.exec_module(module)
    return sys.modules["lesson"]
