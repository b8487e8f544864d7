"""The lock that the process of a run holds in the database, and how such a process is ended.

Whether a run is executed is so a fact of the database: the lock ends with the connection, so with the process, on
whichever machine. Nobody looks at process ids. What ends a run is sent by NOTIFY, which reaches every machine, whatever
the broker is.
"""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from sqlalchemy import text

from qflow_dagster.database import database_url, engine
from qflow_dagster.registry import Channel
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

# The server closes the connection of a machine that disappeared after 15 + 3 * 5 seconds.
OPTIONS = (
    "-c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3 "
    "-c idle_session_timeout=0"
)
# Seconds between two tries to take the lock again after the connection was lost.
RECONNECT = 1.0

_HOLDER = """
    WITH wanted AS (SELECT hashtextextended(:name, 0) AS key)
    SELECT EXISTS (
        SELECT FROM pg_locks, wanted
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
          AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
          AND classid::bigint = (key >> 32) & 4294967295 AND objid::bigint = key & 4294967295)
"""


@contextmanager
def holding(run_id: str) -> Iterator[bool]:
    """Hold a run's lock while the block runs; yield whether it was free.

    `interrupt` meanwhile interrupts this process. A lost connection is made again, and the lock taken again.
    """
    connection = _take(run_id)
    if connection is None:
        yield False
        return
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=_keep, args=(connection, run_id, theirs), daemon=True)
    thread.start()
    try:
        yield True
    finally:
        ours.close()
        thread.join()
        theirs.close()


def is_held(run_id: str) -> bool:
    """Return whether a process holds a run's lock."""
    with engine().connect() as connection:
        return bool(connection.scalar(text(_HOLDER), {"name": _name(run_id)}))


def interrupt(run_id: str) -> None:
    """Interrupt the process that holds a run's lock, wherever it is."""
    with engine().begin() as connection:
        connection.execute(
            text("SELECT pg_notify(:channel, :run)"), {"channel": Channel.TERMINATIONS, "run": run_id}
        )


def _take(run_id: str) -> psycopg.Connection | None:
    """Return a connection that holds a run's lock and listens; None if another holds it."""
    address = database_url().set(drivername="postgresql").render_as_string(hide_password=False)
    connection = psycopg.connect(
        address, autocommit=True, application_name="qflow run", options=OPTIONS, connect_timeout=10
    )
    # Who sees the lock may send at once.
    connection.execute(f"LISTEN {Channel.TERMINATIONS}")  # pyright: ignore[reportArgumentType,reportCallIssue]
    query = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
    if connection.execute(query, [_name(run_id)]).fetchone() == (True,):
        return connection
    connection.close()
    return None


def _keep(connection: psycopg.Connection | None, run_id: str, ended: socket.socket) -> None:
    """Keep the lock until `ended` is closed at its other end; interrupt this process if that is asked for."""
    while True:
        watched = [ended, *([connection] if connection is not None else [])]
        ready, _, _ = select.select(watched, [], [], RECONNECT if connection is None else None)
        if ended in ready:
            break
        try:
            if connection is None:
                connection = _take(run_id)
            elif any(each.payload == run_id for each in connection.notifies(timeout=0)):
                os.kill(os.getpid(), signal.SIGINT)
        except (psycopg.Error, OSError) as error:
            logger.warning("the lock of run %s is lost: %s; it is taken again", run_id, error)
            if connection is not None:
                connection.close()
            connection = None
    if connection is not None:
        with suppress(psycopg.Error):
            connection.close()


def _name(run_id: str) -> str:
    return f"process of run {run_id}"
