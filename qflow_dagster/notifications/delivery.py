"""Delivery: each message of a queue to each of its endpoints, at least once.

`distribute` turns messages into jobs and moves the cursor, in one transaction: each message
becomes one job per endpoint, exactly once. `deliver` does the jobs: a failure waits with
backoff, then is dead and stays to be looked at (`qflow workflows list --type notification
--status dead`). A receiver that must not act twice looks at the id, which stays the same.
"""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, NamedTuple, cast
from uuid import UUID

import psycopg
from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.infrastructure.outgoing import NoResponseError, Request, fetch
from qflow_dagster.notifications import NOTIFICATION, apprise_worker
from qflow_dagster.notifications.endpoints import (
    CONSUMER,
    Endpoint,
    find,
    is_webhook,
    passes,
    resolved_address,
)
from qflow_dagster.notifications.sealing import unseal
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.quantumflow import (
    Lease,
    NewWorkflow,
    Workflow,
    acknowledge,
    claim,
    complete,
    create_workflows,
    fail,
    receive,
)
from qflow_dagster.quantumflow.draining import batches
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.safety import logs
from qflow_dagster.safety.display import visible, visible_line
from qflow_dagster.safety.redaction import redact, redact_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

MESSAGES = 500
AT_ONCE = 8
# A notifier that runs has taken a notification by then.
OVERDUE_SECONDS = 60.0
# 5 s, 10 s, 20 s, ... up to an hour each: an endpoint may be away for most of a day.
MAX_ATTEMPTS = 20
TIMEOUT = 10.0
# A process has to start, and some services are asked more than once.
APPRISE_TIMEOUT = 60.0
# Longer than a round of deliveries takes, so that nobody else sends the same meanwhile.
LEASE = 120.0
# Seconds between two looks where nothing notifies: retries that are due, messages held back.
POLL = 1.0


class DeliveryFailedError(QflowError):
    """An endpoint did not take a notification. Says nothing of its address, which may be a secret."""


class Note(NamedTuple):
    """A message as people read it."""

    id: str
    queue: str
    title: str
    body: str
    data: Any


def distribute(connection: Connection) -> int:
    """Make a job of every new message for every endpoint that wants it; return how many."""
    by_queue: dict[str, list[Endpoint]] = {}
    for endpoint in find(connection):
        by_queue.setdefault(endpoint.queue, []).append(endpoint)
    made = 0
    for queue, endpoints in sorted(by_queue.items()):
        messages = receive(connection, queue, CONSUMER, limit=MESSAGES, start="next")
        # Of a notification that died nobody is notified: it would die as well, and so on.
        foreign = [message for message in messages if not _is_own(message.payload)]
        titles = _titles(connection, [message.payload for message in foreign])
        new = [
            NewWorkflow(
                type=NOTIFICATION,
                key=f"{endpoint.id}:{message.position.xact}:{message.position.id}",
                payload={
                    "endpoint": endpoint.name,
                    "endpoint_id": str(endpoint.id),
                    "queue": queue,
                    **render(queue, message.payload, titles),
                    "data": redact(message.payload),
                },
                max_attempts=MAX_ATTEMPTS,
            )
            for message in foreign
            for endpoint in endpoints
            if passes(endpoint.filters, message.payload)
        ]
        if new:
            create_workflows(connection, new, actor=CONSUMER)
        if messages:
            acknowledge(connection, CONSUMER, messages[-1])
        made += len(new)
    return made


def deliver(engine: Engine, *, worker: str, limit: int = 100) -> int:
    """Do up to `limit` notifications that are due, several at once; return how many were delivered."""
    with engine.begin() as connection:
        due = claim(connection, NOTIFICATION, worker=worker, limit=limit, lease=LEASE)
        endpoints = {str(endpoint.id): endpoint for endpoint in find(connection)} if due else {}
    if not due:
        return 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(lambda job: _do(engine, job, endpoints.get(job.payload["endpoint_id"])), due))


def deliver_pending(engine: Engine, *, worker: str) -> int:
    """Distribute and deliver what is due, round after round; return how many were delivered."""

    def deliver_round() -> tuple[int, int] | None:
        with engine.begin() as connection:
            distributed = distribute(connection)
        delivered = deliver(engine, worker=worker)
        return (distributed, delivered) if distributed or delivered else None

    return sum(delivered for _, delivered in batches(deliver_round))


_OVERDUE = text(f"""
SELECT EXISTS (
    SELECT FROM workflows WHERE type = '{NOTIFICATION}' AND claimable AND remaining_dependencies = 0
    AND available_at < statement_timestamp() - make_interval(secs => :seconds)
) OR EXISTS (
    SELECT FROM (SELECT DISTINCT queue FROM notification_endpoints) e
    JOIN subscriptions s ON s.queue = e.queue AND s.consumer = :consumer
    CROSS JOIN LATERAL (
        SELECT created_at FROM messages m WHERE m.queue = e.queue AND (m.xact, m.id) > (s.xact, s.id)
        ORDER BY m.xact, m.id LIMIT 1
    ) AS oldest
    WHERE oldest.created_at < statement_timestamp() - make_interval(secs => :seconds)
)
""")


def has_overdue(connection: Connection) -> bool:
    """Whether a message of a queue with endpoints, or a delivery, is due longer than a notifier would leave it."""
    return bool(connection.scalar(_OVERDUE, {"seconds": OVERDUE_SECONDS, "consumer": CONSUMER}))


def send(endpoint: Endpoint, note: Note) -> None:
    """Send one note to one endpoint, now.

    Raises:
        DeliveryFailedError: it was not taken.
        UsageError: the endpoint's address cannot be read.
    """
    address = resolved_address(endpoint)
    if is_webhook(address):
        _post(address, note, unseal(endpoint.signing_key) if endpoint.signing_key else None)
        return
    proxy = settings().outgoing.proxy
    note_batches = [[(address, note.title, note.body or note.title)]]
    sent = in_processes(
        apprise_worker.notify,
        proxy.get_secret_value() if proxy else None,
        note_batches,
        1,
        lost=lambda task, code: LostResult(result=False),
        stall=APPRISE_TIMEOUT,
    )
    with closing(sent) as taken:
        if not next(taken):
            raise DeliveryFailedError("the service did not take the notification (Apprise says no more)")


def work(engine: Engine, stop: threading.Event, *, worker: str) -> None:
    """Distribute and deliver until `stop` is set, woken by the queues; survives the database's absence."""
    while not stop.is_set():
        try:
            with _Waker(engine) as waker:
                while not stop.is_set():
                    waker.listen({endpoint.queue for endpoint in _all(engine)})
                    with engine.begin() as connection:
                        made = distribute(connection)
                    delivered = deliver(engine, worker=worker)
                    if not made and not delivered:
                        waker.wait(POLL, stop)
        except (OperationalError, psycopg.OperationalError) as error:
            logger.warning("the notifier lost the database (%s); trying again", type(error).__name__)
            stop.wait(POLL)
        except (QflowError, SQLAlchemyError) as error:
            logger.error("the notifier: %s", redact_text(str(error)).split("\n")[0])
            stop.wait(POLL)


def signature(key: str, timestamp: str, body: bytes) -> str:
    """Return what signs a webhook: HMAC-SHA256 over ``timestamp.body``, as the receiver recomputes it."""
    return "sha256=" + hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def render(queue: str, payload: Any, titles: Mapping[str, str]) -> dict[str, str]:
    """Return a message as a title and a body for people, without secrets."""
    fields = payload if isinstance(payload, Mapping) else {"message": payload}
    about = titles.get(
        str(fields.get("workflow_id")), str(fields.get("type") or fields.get("operation") or queue)
    )
    event = str(fields.get("event") or fields.get("to") or "message")
    title = f"{event.replace('_', ' ')}: {about}"
    left_out = {"workflow_id", "type", "event", "to", "key"}
    body = "\n".join(
        f"{name}: {value}" for name, value in fields.items() if name not in left_out and value is not None
    )
    return {"title": visible_line(redact_text(title[:300])), "body": visible(redact_text(body[:4_000]))}


def _do(engine: Engine, job: Workflow, endpoint: Endpoint | None) -> bool:
    held = [Lease(job.id, job.attempt)]
    if endpoint is None:
        with engine.begin() as connection:
            complete(connection, held, [{"skipped": "the endpoint was removed"}])
        return False
    note = Note(
        str(job.id), job.payload["queue"], job.payload["title"], job.payload["body"], job.payload["data"]
    )
    try:
        with through_breaker(engine, f"notify:{endpoint.name}"):
            send(endpoint, note)
    except Exception as error:
        # Whatever a service's plug-in raises: the job says so and is tried again.
        message = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}"
        with engine.begin() as connection:
            fail(connection, held, [{"kind": type(error).__name__, "message": redact_text(message)[:500]}])
        return False
    with engine.begin() as connection:
        complete(connection, held, [{"delivered": True}])
    return True


def _post(address: str, note: Note, key: str | None) -> None:
    # ASCII: what is hidden in the data stays an escape, wherever the receiver prints it.
    body = json.dumps(note._asdict(), default=str).encode()
    timestamp = str(int(time.time()))
    headers = {"Content-Type": "application/json", "X-Qflow-Id": note.id, "X-Qflow-Timestamp": timestamp}
    if key is not None:
        headers["X-Qflow-Signature"] = signature(key, timestamp, body)
    try:
        # A redirect would carry the message to an address nobody registered.
        status = fetch(Request("POST", address, headers, body), seconds=TIMEOUT).status
    except NoResponseError as error:
        raise DeliveryFailedError(f"the webhook cannot be reached: {error}") from None
    if not 200 <= status < 300:
        raise DeliveryFailedError(f"the webhook answered {status}")


def _is_own(payload: Any) -> bool:
    return isinstance(payload, Mapping) and payload.get("type") == NOTIFICATION


def _titles(connection: Connection, payloads: Sequence[Any]) -> dict[str, str]:
    """Return what the workflows that messages are about call themselves."""
    ids = [
        payload["workflow_id"]
        for payload in payloads
        if isinstance(payload, Mapping) and "workflow_id" in payload
    ]
    title = workflows.c.payload["title"].astext
    query = select(workflows.c.id, title).where(workflows.c.id.in_(_uuids(ids)), title.is_not(None))
    return {str(id_): title for id_, title in connection.execute(query)} if ids else {}


def _uuids(values: Iterable[Any]) -> list[UUID]:
    ids = []
    for value in values:
        try:
            ids.append(UUID(str(value)))
        except ValueError:
            continue
    return ids


def _all(engine: Engine) -> list[Endpoint]:
    with engine.connect() as connection:
        return find(connection)


class _Waker:
    """A connection of its own that hears the queues that have endpoints."""

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        # Detached, so that closing it ends the session and with it LISTEN.
        self._connection.detach()
        self._heard: set[str] = set()

    def __enter__(self) -> "_Waker":
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def listen(self, queues: set[str]) -> None:
        """Hear these queues too."""
        for queue in queues - self._heard:
            quoted = self._connection.dialect.identifier_preparer.quote_identifier(queue)
            self._connection.execute(text(f"LISTEN {quoted}"))
        self._heard |= queues

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Until a queue notifies, `stop` is set or the time is over."""
        if stop.is_set():
            return
        driver = cast(psycopg.Connection, self._connection.connection.dbapi_connection)
        for _ in driver.notifies(timeout=seconds, stop_after=1):
            pass
