"""The demonstration, as a person runs it on a fresh machine: to a reverted change and a promoted rule."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qflow_dagster import sandbox
from qflow_dagster.cli import demo_repository
from qflow_dagster.database import embedded
from qflow_dagster.ingestion import git
from tests.folders import new_home

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


@pytest.fixture
def fresh() -> Iterator[Path]:
    """A `$QFLOW_HOME` that nothing used yet."""
    home = new_home("qflow-demo-")
    yield home
    embedded.stop(home / "demo")
    shutil.rmtree(home, ignore_errors=True)


def run(home: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QFLOW_", "PG"))}
    command = [sys.executable, "-m", "qflow_dagster.cli", "demo", *arguments]
    environment = {**kept, "QFLOW_HOME": str(home), "COLUMNS": "200", **variables}
    return subprocess.run(command, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(sandbox.available() == "none", reason="nothing isolates the repository's tests here")
def test_the_demonstration_ends_with_a_reverted_change_and_a_promoted_rule(fresh: Path) -> None:
    done = run(fresh)
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    assert "A mutable default argument: shop/cart.py: reverted: python3 -m unittest -q" in shown
    assert "None compared with == or !=: shop/cart.py: verified" in shown
    assert "mined/python-round-2-to-money-cents is active now" in shown
    folder = fresh / "demo" / "shop"
    branches = git.run(folder, "for-each-ref", "--format=%(subject)", "refs/heads/qflow").decode()
    assert branches.splitlines().count('Revert "A mutable default argument: shop/cart.py"') == 1
    # Nothing of the user's home was touched.
    assert [path.name for path in fresh.iterdir()] == ["demo"]
    again = run(fresh)
    assert (again.returncode, "has a demonstration already" in again.stderr) == (2, True)


def test_it_never_runs_on_a_database_that_was_configured(fresh: Path) -> None:
    done = run(fresh, QFLOW_DATABASE_URL="postgresql://localhost/mine")
    assert (done.returncode, "unset QFLOW_DATABASE_URL" in done.stderr) == (2, True)


def test_the_repository_is_made_in_seconds_and_is_sound(tmp_path: Path) -> None:
    demo_repository.create(tmp_path / "shop")
    assert git.run(tmp_path / "shop", "fsck", "--strict") == b""
    assert int(git.run(tmp_path / "shop", "rev-list", "--count", "HEAD")) == 20
