"""A plugin of pytest that notes which lines of one file run, inside the sandbox.

It runs with whatever Python the repository has (3.8 or later): the standard library alone, and nothing of this project.
The file is named by QFLOW_TRACED; the lines are written as JSON when pytest ends. Where another tool has taken over
tracing in the meantime, nothing is written, because lines would be missing.
"""

import json
import os
import sys
import threading
from pathlib import Path

TRACED = os.path.realpath(os.environ.get("QFLOW_TRACED", ""))
RESULT = Path.cwd() / ".qflow-lines.json"
_known = {}
_lines = set()


def _called(frame, event, argument):
    name = frame.f_code.co_filename
    if name not in _known:
        _known[name] = os.path.realpath(name) == TRACED
    return _in_file if _known[name] else None


def _in_file(frame, event, argument):
    _lines.add(frame.f_lineno)
    return _in_file


def pytest_configure(config):
    """Begin before the tests are collected."""
    sys.settrace(_called)
    threading.settrace(_called)


def pytest_unconfigure(config):
    """Write the lines that ran."""
    complete = sys.gettrace() is _called
    sys.settrace(None)
    threading.settrace(None)
    if complete:
        RESULT.write_text(json.dumps(sorted(_lines)))
