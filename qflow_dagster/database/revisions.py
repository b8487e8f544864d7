"""Bringing a database to the present shape, and creating it where it is missing.

Belongs here: running alembic. The migrations themselves are in `migrations/versions`; the
revision of each is its file's name, so the newest is known without loading any.
"""

import time
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

from qflow_dagster.database.locks import lock_session, unlock_session
from qflow_dagster.errors import QflowError
from qflow_dagster.registry import Lock
from qflow_dagster.safety import logs

MIGRATIONS = Path(__file__).parent / "migrations"
OLDEST_SERVER = 150_000
# Seconds to wait for a server that is starting or recovering, and its words for that, and for sessions that it ended.
START_SECONDS = 60
STARTING = (
    "is starting up",
    "in recovery mode",
    "not yet accepting connections",
    "is shutting down",
    "closed the connection unexpectedly",
)
logger = logs.logger(__name__)


def newest_revision() -> str:
    """Return the revision this code needs."""
    return max(path.stem for path in (MIGRATIONS / "versions").glob("*.py"))


def current_revision(engine: Engine) -> str | None:
    """Return the revision the database is at; None where nothing was migrated yet."""
    with engine.connect() as connection:
        if connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return None
        return connection.scalar(text("SELECT version_num FROM alembic_version"))


def migrate(engine: Engine, *, revision: str = "head") -> str:
    """Migrate to `revision`, one process at a time; return the revision reached.

    Each migration is one transaction: a killed run leaves the last complete revision.

    Raises:
        QflowError: the server is older than PostgreSQL 15, or the database is newer than this code.
    """
    if revision == "head" and current_revision(engine) == newest_revision():
        return newest_revision()
    # Imported late: most calls find nothing to do, and alembic costs 0.2 s.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with engine.connect() as connection:
        version = connection.scalar(text("SELECT current_setting('server_version_num')::int"))
        if version < OLDEST_SERVER:
            raise QflowError(f"PostgreSQL {version // 10_000} is too old: 15 or newer is needed")
        lock_session(connection, Lock.MIGRATIONS)
        connection.commit()
        try:
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
        except CommandError as error:
            raise QflowError(
                f"the database is at revision {current_revision(engine)!r}, which this version of qflow "
                f"does not know ({error}); install the version that migrated it, or newer"
            ) from None
        finally:
            connection.rollback()
            unlock_session(connection, Lock.MIGRATIONS)
            connection.commit()
    return current_revision(engine) or ""


def ensure_database(url: URL) -> None:
    """Create the database that `url` names, unless it is there; waits for a server that is starting or recovering.

    Raises:
        QflowError: it is missing and may not be created by this user.
    """
    if _is_there(url):
        return
    server = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            name = connection.dialect.identifier_preparer.quote_identifier(url.database or "")
            connection.execute(text(f"CREATE DATABASE {name}"))
    except (ProgrammingError, IntegrityError) as error:
        # Another process that creates it at the same time is noticed by the name, or by the index of names.
        if "already exists" not in str(error.orig):
            raise QflowError(
                f"database {url.database!r} is missing and user {url.username!r} may not create it: "
                f'createdb "{url.database}" as an administrator'
            ) from None
    finally:
        server.dispose()


def _is_there(url: URL) -> bool:
    deadline = time.monotonic() + START_SECONDS
    target = create_engine(url)
    try:
        while True:
            try:
                with target.connect():
                    return True
            except OperationalError as error:
                reason = str(error.orig)
                if "does not exist" in reason:
                    return False
                if not any(words in reason for words in STARTING) or time.monotonic() > deadline:
                    raise
            logger.warning("the database server is starting, or recovers from a crash; it is waited for")
            time.sleep(1)
    finally:
        target.dispose()
