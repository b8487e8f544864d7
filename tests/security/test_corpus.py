"""The hostile corpus holds: as root and as an ordinary user, with bubblewrap and without."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from _pytest.mark import ParameterSet

from tests.ordinary_user import PROJECT, run_as_ordinary_user
from tests.security.corpus import load

IS_ROOT = os.geteuid() == 0
# Where it matters which sandbox there is, and where not.
SANDBOX = ("sandboxed",)
REST = ("repositories", "input_data", "shown_text", "decisions", "outgoing")


def carry_out(user: str, *arguments: str) -> None:
    if user == "root" and not IS_ROOT:
        pytest.skip("only root can try what root would suffer")
    program = (sys.executable, "-B", "-m", "tests.security", *arguments)
    if user == "ordinary user" and IS_ROOT:
        done = run_as_ordinary_user(*program)
    else:
        done = subprocess.run(program, cwd=PROJECT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ kinds +\d+", done.stdout, re.MULTILINE)


def again(*values: str) -> ParameterSet:
    """The same once more, in other conditions."""
    return pytest.param(*values, marks=pytest.mark.exhaustive)


@pytest.mark.parametrize(
    ("user", "isolation"),
    [
        ("ordinary user", "bubblewrap"),
        ("root", "namespaces"),
        again("root", "bubblewrap"),
        again("ordinary user", "namespaces"),
    ],
)
def test_no_attempt_from_inside_the_sandbox_succeeds(user: str, isolation: str) -> None:
    if isolation == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    carry_out(user, *SANDBOX, "--isolation", isolation)


@pytest.mark.parametrize("user", ["ordinary user", again("root")])
def test_no_attempt_by_data_succeeds(user: str) -> None:
    carry_out(user, *REST)


def test_the_corpus_is_as_large_as_the_documentation_says() -> None:
    attempts = load()
    assert len({each.kind for each in attempts}) >= 15
    assert len(attempts) >= 120
