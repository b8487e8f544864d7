"""Fixtures shared by all tests: one real PostgreSQL server, one fresh database per test.

The server is the embedded one, in a folder of its own, or the one of QFLOW_TEST_DATABASE_URL.
A migrated template is made once; each test gets a copy of it.
"""

import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import settings as hypothesis_settings
from sqlalchemy import URL, Engine, make_url, text

from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.database.revisions import newest_revision
from tests import databases
from tests.folders import MEMORY, fastest_folder
from tests.model_server import model

__all__ = ["model"]

# Calling every changed function hundreds of times is the subject of test_behaviour.py, and a cost everywhere else.
os.environ.setdefault("QFLOW_GENERATION_BEHAVIOUR_SECONDS", "0")
# A slow machine is no bug.
hypothesis_settings.register_profile("any machine", deadline=None)
hypothesis_settings.load_profile("any machine")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first: they mostly wait, and at the end a worker would have nothing else to do."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say why it took long, where it does."""
    if fastest_folder() != MEMORY:
        terminalreporter.write_line(
            f"The tests' databases were on disk, which is slow: {MEMORY} is missing or has too little room."
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[URL]:
    """The address of a running server's `postgres` database, shared by all xdist workers."""
    if os.environ.get("QFLOW_TEST_DATABASE_URL"):
        yield make_url(os.environ["QFLOW_TEST_DATABASE_URL"]).set(drivername="postgresql+psycopg")
        return
    # A short path of our own: pytest's own folders are private to root and long on macOS.
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", uuid.uuid4().hex)[:8]
    home = fastest_folder() / f"qflow-test-{run}"
    home.mkdir(mode=0o755, exist_ok=True)
    users = home / "users"
    with FileLock(home / "users.lock"):
        users.open("a").write(f"{worker_id}\n")
        embedded.start(home)
    yield embedded.url(home, "postgres")
    with FileLock(home / "users.lock"):
        remaining = users.read_text().splitlines()
        remaining.remove(worker_id)
        users.write_text("".join(f"{name}\n" for name in remaining))
        if not remaining:
            embedded.stop(home)
            shutil.rmtree(embedded.data_folder(home), ignore_errors=True)
            shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def template(server: URL, worker_id: str) -> URL:
    """A migrated database nobody connects to, one per worker."""
    url = server.set(database=f"template_{newest_revision()}_{worker_id}_{uuid.uuid4().hex[:8]}")
    ensure_database(url)
    engine = engine_for(url)
    migrate(engine)
    engine.dispose()
    return url


@pytest.fixture
def database(template: URL) -> Iterator[URL]:
    """The address of a fresh migrated database."""
    url = databases.copy(template, f"test_{uuid.uuid4().hex}")
    yield url
    databases.drop(url)


@pytest.fixture
def sent(engine: Engine) -> Callable[[str], list[Any]]:
    """What was sent to a queue, in order.

    Not by `receive`: that waits for the oldest transaction of the whole server, other tests' too.
    """

    def read(queue: str) -> list[Any]:
        query = text("SELECT payload FROM messages WHERE queue = :queue ORDER BY xact, id")
        with engine.connect() as connection:
            return list(connection.scalars(query, {"queue": queue}))

    return read


@pytest.fixture
def engine(database: URL) -> Iterator[Engine]:
    """An engine on a fresh migrated database."""
    engine = engine_for(database)
    yield engine
    engine.dispose()
