"""The hostile corpus holds: as root and as an ordinary user, with bubblewrap and without."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.security import ordinary_user
from tests.security.corpus import load

IS_ROOT = os.geteuid() == 0
# Where it matters which sandbox there is, and where not.
SANDBOX = ("sandboxed",)
REST = ("repositories", "input_data", "shown_text", "decisions", "outgoing")


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="qf-home-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def carry_out(user: str, home: Path, *arguments: str) -> None:
    if user == "root" and not IS_ROOT:
        pytest.skip("only root can try what root would suffer")
    program = [sys.executable, "-m", "tests.security", *arguments]
    command = ordinary_user.command(program, home) if user == "ordinary user" and IS_ROOT else program
    done = subprocess.run(command, cwd=ordinary_user.ROOT, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\d+ kinds +\d+", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("user", ["root", "ordinary user"])
@pytest.mark.parametrize("isolation", ["bubblewrap", "namespaces"])
def test_no_attempt_from_inside_the_sandbox_succeeds(user: str, isolation: str, home: Path) -> None:
    if isolation == "bubblewrap" and shutil.which("bwrap") is None:
        pytest.skip("bubblewrap is not installed")
    carry_out(user, home, *SANDBOX, "--isolation", isolation)


@pytest.mark.parametrize("user", ["root", "ordinary user"])
def test_no_attempt_by_data_succeeds(user: str, home: Path) -> None:
    carry_out(user, home, *REST)


def test_the_corpus_is_as_large_as_the_documentation_says() -> None:
    attempts = load()
    assert len({each.kind for each in attempts}) >= 15
    assert len(attempts) >= 120
