"""Our own state is never visible inside, wherever it lies."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from qflow_dagster.errors import UsageError
from qflow_dagster.sandbox import view
from tests.sandbox.conftest import Run

LOOK = """
import os, socket, sys
for base in sys.argv[1:] or {bases!r}:
    try: print("listed", os.listdir(base))
    except OSError as error: print(type(error).__name__)
    for name in ("secret.key", "pg/secret.key"):
        try: print(open(base + "/" + name).read())
        except OSError: pass
    for name in ("pg/.s.PGSQL.5432", ".s.PGSQL.5432"):
        connection = socket.socket(socket.AF_UNIX)
        try: connection.connect(base + "/" + name); print("connected")
        except OSError: pass
"""


def writable(base: str) -> bool:
    return os.access(base, os.W_OK)


@pytest.fixture(params=["/opt", "/usr/local", "/usr/lib", "/usr/share", "further"])
def system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the system with a neighbour, and one below it for the state."""
    if request.param == "further":
        base = Path(tempfile.mkdtemp(prefix="qflow-"))
        monkeypatch.setattr(view, "SYSTEM", (*view.SYSTEM, str(base)))
    elif not writable(request.param):
        pytest.skip(f"{request.param} may not be written")
    else:
        base = Path(request.param)
    made = base / f"qflow-test-{uuid4().hex[:8]}"
    (made / "q" / "pg").mkdir(parents=True)
    (made / "beside").mkdir()
    (made / "beside" / "tool").write_text("a tool\n")
    (made / "q" / "secret.key").write_text("SECRET")
    yield made
    shutil.rmtree(base if request.param == "further" else made, ignore_errors=True)


@pytest.fixture
def listening(system: Path) -> Iterator[Path]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(system / "q/pg/.s.PGSQL.5432"))
        server.listen()
        yield system / "q"


def seen(python: Run, *bases: Path) -> str:
    done = python(LOOK.format(bases=[str(base) for base in bases]))
    assert done.code == 0, done.output
    return done.output


def test_the_state_folder_and_its_socket_are_not_there(
    kind: str, python: Run, listening: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_HOME", str(listening))
    assert seen(python, listening, listening / "pg") == "FileNotFoundError\n" * 2
    neighbour = listening.parent / "beside" / "tool"
    assert python(f"print(open({str(neighbour)!r}).read())").output.startswith("a tool")


@pytest.mark.parametrize("variable", ["QFLOW_DATABASE_URL", "QFLOW_DAGSTER_URL", "PGHOST", "DAGSTER_HOME"])
def test_nor_is_what_else_leads_to_the_database(
    kind: str, python: Run, listening: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = listening / "pg"
    address = f"postgresql://a:b@/q?host={folder}" if variable.endswith("URL") else str(folder)
    monkeypatch.setenv(variable, address)
    assert seen(python, folder) == "FileNotFoundError\n"


def test_nor_is_it_by_a_link_or_when_its_setting_is_one(
    kind: str, python: Run, listening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = listening.parent / "link"
    link.symlink_to(listening)
    elsewhere = tmp_path / "named"
    elsewhere.symlink_to(listening)
    monkeypatch.setenv("QFLOW_HOME", str(elsewhere))
    assert seen(python, listening, link, elsewhere) == "FileNotFoundError\n" * 3


def test_a_folder_that_holds_the_state_is_refused_as_a_further_one(
    kind: str, python: Run, listening: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_HOME", str(listening))
    link = tmp_path / "link"
    link.symlink_to(listening.parent)
    for path in (listening, listening.parent, listening / "pg", link, "/"):
        monkeypatch.setenv("QFLOW_GENERATION_SANDBOX_PATHS", f'["{path}"]')
        view.settings.cache_clear()
        with pytest.raises(UsageError, match="QFLOW_GENERATION_SANDBOX_PATHS names"):
            python("")


def test_what_in_opt_is_not_for_everybody_is_not_there(kind: str, python: Run) -> None:
    if not writable("/opt"):
        pytest.skip("/opt may not be written")
    private = Path("/opt") / f"qflow-test-{uuid4().hex[:8]}"
    private.mkdir()
    try:
        os.chown(private, 1, 1)
        assert seen(python, private) == "FileNotFoundError\n"
    finally:
        private.rmdir()
