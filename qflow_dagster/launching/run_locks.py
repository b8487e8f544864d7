"""The lock that the process of a launched run holds in the database, and how such a process is interrupted.

The lock ends with its connection, so with the process, on whichever machine: a run is executed once, even if its
message arrives twice. What interrupts a run is sent by NOTIFY, which reaches every machine, whatever the broker is.
Does not belong here: finding killed runs (`sensors.dead_runs`).
"""

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import cast

import psycopg
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.database import direct_url, engine
from qflow_dagster.database.locks import is_name_locked, try_lock_session_name
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
        return is_name_locked(connection, _name(run_id))


def interrupt(run_id: str) -> None:
    """Interrupt the process that holds a run's lock, wherever it is."""
    with engine().begin() as connection:
        connection.execute(
            text("SELECT pg_notify(:channel, :run)"), {"channel": Channel.TERMINATIONS, "run": run_id}
        )


def _take(run_id: str) -> Connection | None:
    """Return a connection that holds a run's lock and listens; None if another holds it."""
    # A connection of its own: the lock ends with it.
    arguments = {"application_name": "qflow run", "options": OPTIONS, "connect_timeout": 10}
    own = create_engine(direct_url(), poolclass=NullPool, connect_args=arguments)
    connection = own.connect().execution_options(isolation_level="AUTOCOMMIT")
    # Who sees the lock may send at once.
    connection.execute(text(f"LISTEN {Channel.TERMINATIONS}"))
    if try_lock_session_name(connection, _name(run_id)):
        return connection
    connection.close()
    return None


def _keep(connection: Connection | None, run_id: str, ended: socket.socket) -> None:
    """Keep the lock until `ended` is closed at its other end; interrupt this process if that is asked for."""
    while True:
        driver = _driver(connection) if connection is not None else None
        watched = [ended, *([driver] if driver is not None else [])]
        ready, _, _ = select.select(watched, [], [], RECONNECT if driver is None else None)
        if ended in ready:
            break
        try:
            if driver is None:
                connection = _take(run_id)
            elif any(each.payload == run_id for each in driver.notifies(timeout=0)):
                os.kill(os.getpid(), signal.SIGINT)
        except (psycopg.Error, SQLAlchemyError, OSError) as error:
            logger.warning("the lock of run %s is lost: %s; it is taken again", run_id, error)
            if connection is not None:
                connection.invalidate()
                connection.close()
            connection = None
    if connection is not None:
        with suppress(SQLAlchemyError):
            connection.close()


def _driver(connection: Connection) -> psycopg.Connection:
    return cast(psycopg.Connection, connection.connection.driver_connection)


def _name(run_id: str) -> str:
    return f"process of run {run_id}"
