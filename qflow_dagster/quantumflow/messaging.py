"""Messages: a log per queue, sent in the caller's transaction, read in order by a cursor.

A queue is read in the order of (transaction, id), and never beyond the oldest transaction
still running anywhere on the server: whatever commits later comes later, so a cursor that
passed a position has seen all there will ever be before it. The price: a transaction that
writes and stays open delays every message sent after it began (it loses none).

NOTIFY only wakes readers up. Its payload is the transaction's number, equal for all
messages of a transaction, so PostgreSQL sends one per transaction and queue; who missed it
reads the log all the same.

Does not belong here: names of queues (`queues`), messages that transitions send (`transitions`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from time import monotonic, sleep
from typing import Literal, NamedTuple

import psycopg
from sqlalchemy import Connection, Engine, Row, delete, text
from sqlalchemy.exc import OperationalError

from qflow_dagster.database.locks import try_lock_session_name
from qflow_dagster.database.sessions import own_session, wait_for_notify
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.quantumflow import arguments
from qflow_dagster.quantumflow.queues import check_queue
from qflow_dagster.quantumflow.rows import Json, to_json
from qflow_dagster.quantumflow.tables import subscriptions
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

# Seconds. The first look again at messages that wait for an older transaction (nobody
# notifies when that ends) and the first try to connect again: both double. Tries to become
# the one listener do not.
HELD_BACK_WAIT = 0.01
RECONNECT_WAIT = 0.1
STANDBY_WAIT = 0.5


class Position(NamedTuple):
    """A position in a queue; positions compare as the order of the queue."""

    xact: int
    id: int


# Before any message, those of a restored dump included: their transactions have negative numbers.
BEGINNING = Position(-(2**63), 0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """One message as read."""

    queue: str
    position: Position
    payload: Json
    created_at: datetime


_SEND = text("""
WITH sent AS (
    INSERT INTO messages (queue, payload)
    SELECT :queue, payload
    FROM jsonb_array_elements(CAST(:payloads AS jsonb)) WITH ORDINALITY AS given(payload, position)
    ORDER BY position
    RETURNING xact, id
)
SELECT xact, id, (SELECT pg_notify(:queue, pg_current_xact_id()::text)) FROM sent ORDER BY id
""")

_SUBSCRIBE = text("""
INSERT INTO subscriptions (queue, consumer, xact, id)
VALUES (:queue, :consumer,
        CASE WHEN :first THEN -9223372036854775808
             ELSE pg_snapshot_xmin(pg_current_snapshot())::text::bigint - 1 END,
        CASE WHEN :first THEN 0 ELSE 9223372036854775807 END)
ON CONFLICT DO NOTHING
""")

_CURSOR = """
SELECT xact, id, xact > pg_snapshot_xmax(pg_current_snapshot())::text::bigint AS beyond
FROM subscriptions WHERE queue = :queue AND consumer = :consumer
"""

_READ = text("""
SELECT xact, id, payload, created_at,
       xact < pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS settled
FROM messages
WHERE queue = :queue AND (xact, id) > (:xact, :id)
ORDER BY xact, id
LIMIT :limit
""")

_ACKNOWLEDGE = text("""
UPDATE subscriptions SET
    xact = CASE WHEN (xact, id) < (:xact, :id) THEN :xact ELSE xact END,
    id = CASE WHEN (xact, id) < (:xact, :id) THEN :id ELSE id END,
    updated_at = clock_timestamp()
WHERE queue = :queue AND consumer = :consumer
""")


def send_with_notify(connection: Connection, queue: str, payloads: Sequence[Json]) -> list[Position]:
    """Append messages to a queue and wake its listeners when the caller's transaction commits.

    Raises:
        UsageError: the queue's name is invalid, or a payload is not JSON; nothing was sent.
    """
    check_queue(queue)
    encoded = to_json(list(arguments.sequence(payloads, "the messages")), f"a message to {queue}")
    sent = connection.execute(_SEND, {"queue": queue, "payloads": encoded})
    return [Position(row.xact, row.id) for row in sent]


def receive(
    connection: Connection,
    queue: str,
    consumer: str,
    *,
    limit: int = 100,
    start: Literal["first", "next"] = "first",
) -> list[Message]:
    """Return the next messages `consumer` has not acknowledged, without waiting.

    Locks the consumer's cursor until the caller's transaction ends, so that two drains of
    one consumer take turns. A consumer the queue does not know yet starts at the `first`
    message kept, or with what is sent `next`.
    """
    arguments.check_integer(limit, "limit", 0)
    subscribe(connection, queue, consumer, start=start)
    cursor = _cursor(connection, queue, consumer, lock=True)
    return _read(connection, queue, cursor, limit)[0]


def subscribe(
    connection: Connection, queue: str, consumer: str, *, start: Literal["first", "next"] = "first"
) -> None:
    """Make a consumer known to a queue: from now on nothing it has not acknowledged is pruned."""
    check_queue(queue)
    arguments.check_text(consumer, "the consumer")
    if start not in ("first", "next"):
        raise UsageError("start must be 'first' or 'next'")
    connection.execute(_SUBSCRIBE, {"queue": queue, "consumer": consumer, "first": start == "first"})


def unsubscribe(connection: Connection, queue: str, consumer: str) -> None:
    """Remove a consumer and its cursor."""
    check_queue(queue)
    arguments.check_text(consumer, "the consumer")
    ours = (subscriptions.c.queue == queue) & (subscriptions.c.consumer == consumer)
    connection.execute(delete(subscriptions).where(ours))


def acknowledge(connection: Connection, consumer: str, message: Message) -> None:
    """Record that `consumer` is done with `message` and with all before it in its queue.

    In the transaction of what the message caused, it makes that happen exactly once.
    Acknowledging again, or an earlier message, changes nothing.

    Raises:
        UsageError: the consumer is not subscribed to the queue.
    """
    arguments.check_text(consumer, "the consumer")
    if not isinstance(message, Message):
        raise UsageError(f"a message as it was received is acknowledged, not {type(message).__name__}")
    parameters = {"queue": message.queue, "consumer": consumer, **message.position._asdict()}
    if connection.execute(_ACKNOWLEDGE, parameters).rowcount == 0:
        raise UsageError(f"{consumer!r} is not subscribed to the queue {message.queue!r}")


def listen(
    engine: Engine,
    queue: str,
    consumer: str,
    *,
    start: Literal["first", "next"] = "first",
    batch: int = 100,
    poll: float = 60.0,
    idle: float | None = None,
) -> Iterator[Message]:
    """Yield the messages of a queue as they come, each once while this listener lives.

    Begins after the last acknowledged one; what was yielded and not acknowledged comes again
    to the next listener. One listener of a consumer is served at a time, others stand by. A
    lost connection, or a silent one, is made again. Looks every `poll` seconds even if nothing woke it; ends
    after `idle` seconds without a message (None: never).

    Raises:
        QflowError: the cursor is ahead of the server (the database was restored from a dump).
    """
    last, session = BEGINNING, None
    failures, held_back, quiet_since = 0, 0, monotonic()
    while True:
        try:
            with _listening(engine, queue, consumer, start) as connection:
                session = _replace_session(connection, session)
                serving = False
                while True:
                    serving = serving or _become_the_listener(connection, queue, consumer)
                    if serving:
                        last = max(last, _cursor(connection, queue, consumer))
                        messages, waiting = _read(connection, queue, last, batch)
                        for message in messages:
                            last = message.position
                            yield message
                        if messages:
                            failures, held_back, quiet_since = 0, 0, monotonic()
                            continue
                        held_back = held_back + 1 if waiting else 0
                    wait = _next_look(serving, held_back, poll)
                    if idle is not None:
                        wait = min(wait, quiet_since + idle - monotonic())
                        if wait <= 0:
                            return
                    wait_for_notify(connection, wait)
        except (OperationalError, psycopg.OperationalError):
            delay = RECONNECT_WAIT * 2 ** min(failures, 6)
            failures += 1
            if idle is not None and monotonic() + delay > quiet_since + idle:
                raise
            logger.warning("lost the connection that listens to %s; trying again in %.1f s", queue, delay)
            sleep(delay)


@contextmanager
def _listening(
    engine: Engine, queue: str, consumer: str, start: Literal["first", "next"]
) -> Iterator[Connection]:
    """Yield a connection outside the pool that receives the queue's notifications."""
    with own_session(engine) as connection:
        subscribe(connection, queue, consumer, start=start)
        connection.execute(text(f"LISTEN {connection.dialect.identifier_preparer.quote_identifier(queue)}"))
        yield connection


def _replace_session(connection: Connection, former: Row | None) -> Row:
    """End the session of which this one takes the place, and return this one.

    The server may not know that nobody is at the other end, and the session would keep its lock.
    """
    if former is not None:
        query = text("""
            SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
            WHERE pid = :pid AND backend_start = :backend_start
        """)
        connection.execute(query, former._asdict())
    return connection.execute(
        text("SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()")
    ).one()


def _become_the_listener(connection: Connection, queue: str, consumer: str) -> bool:
    """Return whether this session is now the one listener of the consumer; it stays so until it ends.

    A session's lock rather than a lease: it falls at once when its process is killed, and
    needs no renewal while a message is worked on.
    """
    return try_lock_session_name(connection, f"qflow listener {queue} {consumer}")


def _next_look(serving: bool, held_back: int, poll: float) -> float:
    """Return seconds until the next look if nothing notifies before."""
    if not serving:
        return min(poll, STANDBY_WAIT)
    if held_back:
        return min(poll, HELD_BACK_WAIT * 2 ** min(held_back - 1, 6))
    return poll


def _cursor(connection: Connection, queue: str, consumer: str, *, lock: bool = False) -> Position:
    query = text(_CURSOR + ("FOR UPDATE" if lock else ""))
    row = connection.execute(query, {"queue": queue, "consumer": consumer}).one()
    if row.beyond:
        raise QflowError(
            f"{consumer!r} has read further in {queue!r} than this server has ever written: the database was "
            "restored from a dump; see 'Restoring a dump' in docs/durable_core.md"
        )
    return Position(row.xact, row.id)


def _read(connection: Connection, queue: str, after: Position, limit: int) -> tuple[list[Message], bool]:
    """Return the next messages, and whether others wait for an older transaction."""
    rows = connection.execute(_READ, {"queue": queue, **after._asdict(), "limit": limit}).all()
    readable = [
        Message(
            queue=queue,
            position=Position(row.xact, row.id),
            payload=row.payload,
            created_at=row.created_at,
        )
        for row in rows
        if row.settled
    ]
    return readable, len(readable) < len(rows)
