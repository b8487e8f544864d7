"""Connections with a session of their own, outside the pool: what LISTEN and locks of a session need.

Belongs here: such connections, waiting on them for notifications, and limits to waiting for the server. Does not belong
here: which queue is listened to (`quantumflow.messaging`), what locks are for (`locks`).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, cast

import psycopg
from sqlalchemy import Connection, Engine, text

# Seconds between two questions to a server that has nothing to notify of, and for each answer: a connection that
# something in between keeps open while nothing passes any more is noticed within the sum.
HEARTBEAT = 15.0


# The execution option of an engine that leads to a pooler: the engine of the server itself.
DIRECT = "qflow_direct"


def direct_engine(engine: Engine) -> Engine:
    """Return an engine whose connections are sessions of the server itself: `engine`, unless it has a pooler."""
    return engine.get_execution_options().get(DIRECT, engine)


@contextmanager
def own_session(engine: Engine) -> Iterator[Connection]:
    """Yield a connection that is no pool's: closing it ends its session, and with that LISTEN and locks."""
    with direct_engine(engine).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = cast(Any, connection.connection.dbapi_connection)
        connection.detach()
        driver.answer_limit = HEARTBEAT
        yield connection


def wait_for_notify(connection: Connection, seconds: float) -> None:
    """Wait until the server notifies of something, at most `seconds`.

    Raises:
        OperationalError: The connection is lost, or the server does not answer.
    """
    # Not `driver_connection`: a detached connection has none.
    driver = cast(psycopg.Connection, connection.connection.dbapi_connection)
    deadline = monotonic() + seconds
    while (remaining := deadline - monotonic()) > 0:
        for _ in driver.notifies(timeout=min(remaining, HEARTBEAT), stop_after=1):
            return
        if remaining > HEARTBEAT:
            connection.execute(text("SELECT 1"))
