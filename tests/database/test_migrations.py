"""Migrations and declared tables agree, and migrations that rename keep what the tables hold."""

import hashlib
import importlib
import pkgutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr
from sqlalchemy import URL, Engine, text

import qflow_dagster
from qflow_dagster.database import database_url, engine_for, ensure_database
from qflow_dagster.database.revisions import MIGRATIONS, current_revision, migrate, newest_revision
from qflow_dagster.database.schema import metadata
from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings
from tests import databases

# `sha256sum 0*.py` in the folder of the migrations, when they were released.
RELEASED = Path(__file__).with_name("released_migrations.sha256")


def declare_all_tables() -> None:
    """Import every module of the package whose name ends in `tables`."""
    for module in pkgutil.walk_packages(qflow_dagster.__path__, "qflow_dagster."):
        if module.name.endswith("tables"):
            importlib.import_module(module.name)


def test_a_migrated_database_holds_exactly_the_declared_tables(engine: Engine) -> None:
    declare_all_tables()
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_released_migrations_are_never_edited() -> None:
    """A database that has applied one would not get the edit, and have other tables than the code expects."""
    released = {name: digest for digest, name in (line.split() for line in RELEASED.read_text().splitlines())}
    folder = MIGRATIONS / "versions"
    present = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("0*.py")}
    assert {name: digest for name, digest in present.items() if name <= max(released)} == released


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    assert migrate(engine) == newest_revision() == current_revision(engine)


def test_a_database_of_a_newer_version_is_refused_by_name(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999_future'"))
    with pytest.raises(QflowError, match=r"9999_future.*install the version"):
        migrate(engine)


@pytest.fixture
def empty(server: URL) -> Iterator[Engine]:
    """An engine on a database without any table."""
    url = server.set(database=f"test_{uuid.uuid4().hex}")
    ensure_database(url)
    engine = engine_for(url)
    yield engine
    engine.dispose()
    databases.drop(url)


def test_processes_that_create_the_same_database_at_once_all_find_it(server: URL) -> None:
    for _ in range(3):
        url = server.set(database=f"test_{uuid.uuid4().hex}")
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(ensure_database, [url] * 8))
        databases.drop(url)


def test_a_name_is_read_as_libpq_reads_it(server: URL, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"Test of {uuid.uuid4().hex}"
    address = server.set(database=quote(name)).render_as_string(hide_password=False)
    monkeypatch.setattr(settings().database, "url", SecretStr(address))
    url = database_url()
    ensure_database(url)
    engine = engine_for(url)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT current_database()")) == name
    engine.dispose()
    databases.drop(url)


def test_the_folder_of_a_socket_may_be_the_host_of_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """As libpq reads it, percent-encoded."""

    def read(address: str) -> URL:
        monkeypatch.setattr(settings().database, "url", SecretStr(address))
        return database_url()

    as_host = read("postgresql://ada:p%40ss@%2Frun%2Fpg:5433/My%20DB")
    assert as_host == read("postgresql://ada:p%40ss@/My%20DB?host=%2Frun%2Fpg&port=5433")
    assert (as_host.host, as_host.database, as_host.password) == (None, "My DB", "p@ss")
    assert as_host.query == {"host": "/run/pg", "port": "5433"}


def test_renamed_tables_columns_and_outcomes_keep_their_rows(empty: Engine) -> None:
    migrate(empty, revision="0012_publishing")
    with empty.begin() as connection:
        connection.execute(
            text("""
            WITH outcome AS (
                INSERT INTO rule_outcomes (kind, rule_id, version, digest, good, weight, subject, reference, at,
                                           believed, believed_lower)
                VALUES ('mended', 'a/b', 1, 'd', true, 0.25, 's', 'r', now(), 0.5, 0.25),
                       ('denied', 'a/b', 1, 'd', false, 1, 's', 'q', now(), 0.5, 0.25)
                RETURNING id, kind
            )
            INSERT INTO rule_places (outcome_id, seq, path, language, text, start, "end")
            SELECT id, 0, 'p.py', 'python', 'x', 0, 1 FROM outcome WHERE kind = 'mended'
        """)
        )
        connection.execute(
            text("""
            INSERT INTO rule_lives (id, rule_id, version, digest, definition, origin, words, evidence, approval_id, wanted)
            VALUES (gen_random_uuid(), 'a/b', 2, 'e', '{}', 'variant', 'less', '{}', gen_random_uuid(), 'active')
        """)
        )
    assert migrate(empty) == newest_revision()
    with empty.connect() as connection:
        kinds = connection.execute(
            text("""
                SELECT o.kind, o.confidence_mean, o.confidence_lower, l.path FROM rule_outcomes o
                LEFT JOIN rule_locations l ON l.outcome_id = o.id ORDER BY o.id
            """)
        ).all()
        lifecycle = connection.execute(
            text("SELECT description, requested_status FROM rule_lifecycles")
        ).one()
    assert [tuple(row) for row in kinds] == [("fixed", 0.5, 0.25, "p.py"), ("denied", 0.5, 0.25, None)]
    assert tuple(lifecycle) == ("less", "active")
