"""Parts of `qflow up` are killed while work comes in: nothing is lost or done twice, and all parts come back."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
ROOT = Path(__file__).parents[2]
KINDS = [
    "worker of the core",
    "a service",
    "process of runs",
    "PostgreSQL",
    "agent",
    "a process of PostgreSQL",
]


def test_kills_lose_nothing_and_nothing_is_done_twice() -> None:
    """The longer program runs for an hour by hand: docs/scaling.md has its figures."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.chaos", "--seconds", "40", "--pause", "5"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads(done.stdout)
    assert set(figures["kills"]) == set(KINDS)
    assert figures["ended_alone"] == {}
    assert figures["pieces_of_work"]["jobs"] > 20
    assert figures["pieces_of_work"]["changes"] >= 2
