"""PostgreSQL's advisory locks: critical sections of all processes that share a database.

Belongs here: taking and releasing them. What each is for is in `qflow_dagster.registry`. A lock is
waited for as long as for any other (`settings().database.lock_timeout`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import cast

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from qflow_dagster.database.answers import AnsweredConnection
from qflow_dagster.database.sessions import direct_engine
from qflow_dagster.registry import Lock


def lock(connection: Connection, key: Lock, id_: int | None = None) -> None:
    """Take the lock of a purpose, or of one row `id_` of it, until the transaction ends."""
    _call(connection, "pg_advisory_xact_lock", key, id_)


def lock_session(connection: Connection, key: Lock, id_: int | None = None) -> None:
    """Take a lock until `unlock_session`, or until the connection closes."""
    _call(connection, "pg_advisory_lock", key, id_)


def unlock_session(connection: Connection, key: Lock, id_: int | None = None) -> None:
    """Release what `lock_session` took."""
    _call(connection, "pg_advisory_unlock", key, id_)


def lock_name(connection: Connection, name: str) -> None:
    """Take the lock of a name (a folder, a workflow type) until the transaction ends."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


@contextmanager
def holding_name(engine: Engine, name: str, *, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold the lock of a name while the block runs, in a transaction of its own.

    Another holder is waited for without a limit; `on_wait` is called before. The lock ends with the process.
    """
    connection = direct_engine(engine).connect()
    driver = cast(AnsweredConnection, connection.connection.dbapi_connection)
    limit, driver.answer_limit = driver.answer_limit, None
    try:
        # Nothing is written in this transaction, so that it holds up no vacuum, however long it takes.
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        taken = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
        if not connection.scalar(taken, {"name": name}):
            on_wait()
            connection.execute(text("SET LOCAL lock_timeout = 0"))
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            lock_name(connection, name)
        yield
    finally:
        driver.answer_limit = limit
        # If the server went away, the lock went with the connection.
        with suppress(DBAPIError):
            connection.close()


def try_lock_session_name(connection: Connection, name: str) -> bool:
    """Take the lock of a name until the connection closes, unless another session holds it."""
    query = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")
    return bool(connection.scalar(query, {"name": name}))


def is_name_locked(connection: Connection, name: str) -> bool:
    """Return whether a session holds the lock of a name; unlike a try to take it, this disturbs nobody."""
    query = text("""
        WITH wanted AS (SELECT hashtextextended(:name, 0) AS key)
        SELECT EXISTS (
            SELECT FROM pg_locks, wanted
            WHERE locktype = 'advisory' AND objsubid = 1 AND granted
              AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
              AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295)
    """)
    return bool(connection.scalar(query, {"name": name}))


def _call(connection: Connection, function: str, key: Lock, id_: int | None) -> None:
    if id_ is None:
        connection.execute(text(f"SELECT {function}(:key)"), {"key": key})
    else:
        # The second of two keys has 32 bits.
        connection.execute(text(f"SELECT {function}(:key, :id)"), {"key": key, "id": id_ % 2**31})
