"""`qflow db`: what it prints and starts leads to the database, from the first moment on."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qflow_dagster.database import embedded


@pytest.fixture
def blank(home: Path) -> dict[str, str]:
    """The environment of an embedded server that nobody used yet, in a folder with a blank and a plus."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QFLOW_", "PG"))}
    return {**kept, "QFLOW_HOME": str(home / "a b+c")}


def printed(environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "qflow_dagster.cli", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_psql_opens_the_database_of_a_fresh_home(blank: dict[str, str]) -> None:
    try:
        assert printed(blank, "db", "psql", "--", "-Atc", "SELECT current_database()") == "qflow"
        address = printed(blank, "db", "url", "--password")
        assert "a%20b%2Bc" in address.replace("%2F", "/")
        program = shutil.which("psql") or str(embedded.program("psql"))
        done = subprocess.run(
            [program, address, "-Atc", "SELECT 1"], env=blank, capture_output=True, text=True, check=True
        )
        assert done.stdout == "1\n"
    finally:
        printed(blank, "db", "stop")
