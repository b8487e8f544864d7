"""The `qflow` command as a person runs it: a process, a home, a database."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, create_engine, text

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
    admin = create_engine(database.set(database="postgres"), isolation_level="AUTOCOMMIT")
    with admin.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{database.database}_dagster" WITH (FORCE)'))
    admin.dispose()


@pytest.fixture
def qflow(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `qflow` with arguments; keywords are further environment variables."""
    return lambda *arguments, **variables: subprocess.run(
        [QFLOW, *arguments], env={**environment, **variables}, capture_output=True, text=True, cwd="/"
    )
