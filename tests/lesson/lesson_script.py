"""Makes scripts/lesson, which has no .py in its name, the module `lesson`, and its parts importable."""

import importlib.machinery
import importlib.util
import os
import sys

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../scripts/lesson")


def load():
    if "lesson" not in sys.modules:
        sys.path.insert(0, os.path.dirname(os.path.abspath(SCRIPT)))
        loader = importlib.machinery.SourceFileLoader("lesson", os.path.abspath(SCRIPT))
        sys.modules["lesson"] = importlib.util.module_from_spec(importlib.util.spec_from_loader("lesson", loader))
        loader.exec_module(sys.modules["lesson"])
    return sys.modules["lesson"]
