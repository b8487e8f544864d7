"""The `qflow` command as a person runs it: a process, a home, a database."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL

from tests import databases
from tests.cli.forked import Forked

QFLOW = str(Path(sys.executable).with_name("qflow"))


@pytest.fixture
def home() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="qflow-cli-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def environment(home: Path, database: URL) -> Iterator[dict[str, str]]:
    yield {
        **os.environ,
        "QFLOW_HOME": str(home / "qflow"),
        "QFLOW_DATABASE_URL": database.render_as_string(hide_password=False),
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    databases.drop(database.set(database=f"{database.database}_dagster"))


@pytest.fixture(scope="session")
def forked() -> Iterator[Forked]:
    program = Forked()
    yield program
    program.close()


@pytest.fixture
def qflow(environment: dict[str, str], forked: Forked) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `qflow` with arguments; keywords are further environment variables, but `stdin` and `actor`.

    With an `actor` it acts under that name, which a token establishes.
    """
    tokens: dict[str, str] = {}

    def run(
        *arguments: str, stdin: str = "", actor: str = "", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        if actor and actor not in tokens:
            tokens[actor] = forked.run(("identity", actor), environment, "").stdout.strip()
        named = {"QFLOW_IDENTITY": tokens[actor]} if actor else {}
        return forked.run(arguments, {**environment, **named, **variables}, stdin)

    return run
