"""Delivery: each message of a queue to each of its endpoints, at least once.

`distribute` turns messages into jobs and moves the cursor, in one transaction: each message
becomes one job per endpoint, exactly once; what is not due now waits (`digests`). `deliver` does the jobs: a failure
waits with backoff, then is dead and stays to be looked at (`qflow workflows list --type notification
--status dead`). A receiver that must not act twice looks at the id, which stays the same.
"""

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

import psycopg
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from qflow_dagster.database.sessions import own_session, wait_for_notify
from qflow_dagster.errors import QflowError
from qflow_dagster.infrastructure import circuit_breaker
from qflow_dagster.infrastructure.circuit_breaker import through_breaker
from qflow_dagster.infrastructure.outgoing import NoResponseError, Request, fetch
from qflow_dagster.notifications import NOTIFICATION, apprise_worker, digests
from qflow_dagster.notifications.chat import apprise_address, chat_service, slack_message
from qflow_dagster.notifications.endpoints import (
    CONSUMER,
    Endpoint,
    find,
    is_webhook,
    passes,
    resolved_address,
)
from qflow_dagster.notifications.events import SEVERITIES, Event, Explain, describe
from qflow_dagster.notifications.rendering import Text, render
from qflow_dagster.notifications.sealing import unseal
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.quantumflow import (
    Lease,
    Message,
    NewWorkflow,
    Workflow,
    acknowledge,
    claim,
    complete,
    create_workflows,
    fail,
    hasten,
    postpone,
    receive,
)
from qflow_dagster.quantumflow.draining import batches
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact, redact_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

MESSAGES = 500
AT_ONCE = 8
# A notifier that runs has taken a notification by then.
OVERDUE_SECONDS = 60.0
# An endpoint may be away for a day: its breaker lets one attempt through every five minutes at most.
MAX_ATTEMPTS = 300
TIMEOUT = 10.0
# A process has to start, and some services are asked more than once.
APPRISE_TIMEOUT = 60.0
# Longer than a round of deliveries takes, so that nobody else sends the same meanwhile.
LEASE = 120.0
# Seconds between two looks where nothing notifies: retries that are due, messages held back.
POLL = 5.0


class DeliveryFailedError(QflowError):
    """An endpoint did not take a notification. Says nothing of its address, which may be a secret.

    `retry_after`: seconds for which it asks to be spared.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Note(NamedTuple):
    """A message as people read it."""

    id: str
    queue: str
    title: str
    body: str
    data: Any
    # The page where one can act.
    link: str | None = None


def distribute(connection: Connection, explain: Explain | None = None) -> int:
    """Make a job of every new message for every endpoint that wants it; return how many."""
    by_queue: dict[str, list[Endpoint]] = {}
    for endpoint in find(connection):
        by_queue.setdefault(endpoint.queue, []).append(endpoint)
    made = 0
    for queue, endpoints in sorted(by_queue.items()):
        messages = receive(connection, queue, CONSUMER, limit=MESSAGES, start="next")
        if not messages:
            continue
        # Of a notification that died nobody is notified: it would die as well, and so on.
        foreign = [message for message in messages if not _is_own(message.payload)]
        events = describe(connection, queue, [message.payload for message in foreign], explain)
        wanted = list(_wanted(endpoints, foreign, events))
        due = digests.split(connection, [item for item, _, _ in wanted]) if wanted else []
        new = [
            _job(
                item.endpoint,
                item.text,
                item.link,
                key=f"{message.position.xact}:{message.position.id}",
                data=redact(_data(message, event)),
            )
            for (item, message, event), is_due in zip(wanted, due, strict=True)
            if is_due
        ]
        if new:
            create_workflows(connection, new, actor=CONSUMER)
        acknowledge(connection, CONSUMER, messages[-1])
        made += len(new)
    return made + _distribute_waiting(connection, by_queue)


def _wanted(
    endpoints: Sequence[Endpoint], messages: Sequence[Message], events: Sequence[Event | None]
) -> Iterator[tuple[digests.Item, Message, Event]]:
    """Yield the notification of each message for each endpoint that wants it."""
    for message, event in zip(messages, events, strict=True):
        if event is None:
            continue
        shown = render(event)
        fields = {**event.fields, "kind": event.fields.get("kind", event.kind), "severity": event.severity}
        group = digests.group_of(shown.title, shown.body if event.kind == "message" else "")
        for endpoint in endpoints:
            least = endpoint.options.get("severity", "info")
            if SEVERITIES.index(event.severity) < SEVERITIES.index(least):
                continue
            if passes(endpoint.filters, fields):
                each = endpoint.options.get("each")
                yield (
                    digests.Item(endpoint, shown, event.severity, event.link, None if each else group),
                    message,
                    event,
                )


def _data(message: Message, event: Event) -> Any:
    """Return a message as programs get it; that of a request has the digest of what is to be decided."""
    if event.kind == "approval" and event.fields["state"] == "requested":
        return {**message.payload, "digest": event.fields["digest"]}
    return message.payload


def _distribute_waiting(connection: Connection, by_queue: Mapping[str, Sequence[Endpoint]]) -> int:
    """Make a job of what waited for each endpoint and is due now; return how many."""
    by_id = {endpoint.id: endpoint for endpoints in by_queue.values() for endpoint in endpoints}
    new = [
        _job(by_id[endpoint_id], shown, link, key=f"waited:{last}", data=None)
        for endpoint_id, last, shown, link in digests.take_due(connection)
        if endpoint_id in by_id
    ]
    if new:
        create_workflows(connection, new, actor=CONSUMER)
        digests.forget(connection)
    return len(new)


def _job(endpoint: Endpoint, shown: Text, link: str | None, *, key: str, data: Any) -> NewWorkflow:
    payload = {
        "endpoint": endpoint.name,
        "endpoint_id": str(endpoint.id),
        "queue": endpoint.queue,
        "title": shown.title,
        "body": shown.body,
        "link": link,
        "data": data,
    }
    return NewWorkflow(
        type=NOTIFICATION, key=f"{endpoint.id}:{key}", payload=payload, max_attempts=MAX_ATTEMPTS
    )


def deliver(engine: Engine, *, worker: str, limit: int = 100) -> int:
    """Do up to `limit` notifications that are due, several at once; return how many were delivered."""
    with engine.begin() as connection:
        _spare_endpoints_that_are_down(connection)
        due = claim(connection, NOTIFICATION, worker=worker, limit=limit, lease=LEASE)
        endpoints = {str(endpoint.id): endpoint for endpoint in find(connection)} if due else {}
    if not due:
        return 0
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return sum(pool.map(lambda job: _do(engine, job, endpoints.get(job.payload["endpoint_id"])), due))


def deliver_pending(engine: Engine, *, worker: str, explain: Explain | None = None) -> int:
    """Distribute and deliver what is due, round after round; return how many were delivered."""

    def deliver_round() -> tuple[int, int] | None:
        with engine.begin() as connection:
            distributed = distribute(connection, explain)
        delivered = deliver(engine, worker=worker)
        return (distributed, delivered) if distributed or delivered else None

    return sum(delivered for _, delivered in batches(deliver_round))


_OVERDUE = text(f"""
SELECT EXISTS (
    SELECT FROM workflows WHERE type = '{NOTIFICATION}' AND claimable AND remaining_dependencies = 0
    AND available_at < statement_timestamp() - make_interval(secs => :seconds)
) OR EXISTS (
    SELECT FROM notification_waiting WHERE due_at < statement_timestamp() - make_interval(secs => :seconds)
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
    service = chat_service(address)
    if service == "Slack":
        _post_slack(address, note)
        return
    if service is not None:
        address = apprise_address(address, service)
    elif is_webhook(address):
        _post(address, note, unseal(endpoint.signing_key) if endpoint.signing_key else None)
        return
    proxy = settings().outgoing.proxy
    body = "\n".join(part for part in (note.body or note.title, note.link) if part)
    note_batches = [[(address, note.title, body)]]
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


def work(engine: Engine, stop: threading.Event, *, worker: str, explain: Explain | None = None) -> None:
    """Distribute and deliver until `stop` is set, woken by the queues; survives the database's absence."""
    while not stop.is_set():
        try:
            with own_session(engine) as connection:
                waker = _Waker(connection)
                while not stop.is_set():
                    waker.listen({endpoint.queue for endpoint in _all(engine)})
                    with engine.begin() as transaction:
                        made = distribute(transaction, explain)
                    delivered = deliver(engine, worker=worker)
                    if not made and not delivered and not stop.is_set():
                        wait_for_notify(connection, POLL)
        except (OperationalError, psycopg.OperationalError) as error:
            logger.warning("the notifier lost the database (%s); trying again", type(error).__name__)
            stop.wait(POLL)
        except (QflowError, SQLAlchemyError) as error:
            logger.error("the notifier: %s", redact_text(str(error)).split("\n")[0])
            stop.wait(POLL)


def signature(key: str, timestamp: str, body: bytes) -> str:
    """Return what signs a webhook: HMAC-SHA256 over ``timestamp.body``, as the receiver recomputes it."""
    return "sha256=" + hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()


def _do(engine: Engine, job: Workflow, endpoint: Endpoint | None) -> bool:
    held = [Lease(job.id, job.attempt)]
    if endpoint is None:
        with engine.begin() as connection:
            complete(connection, held, [{"skipped": "the endpoint was removed"}])
        return False
    note = Note(
        str(job.id),
        job.payload["queue"],
        job.payload["title"],
        job.payload["body"],
        job.payload["data"],
        job.payload.get("link"),
    )
    try:
        with through_breaker(engine, f"notify:{endpoint.name}"):
            send(endpoint, note)
    except Exception as error:
        # Whatever a service's plug-in raises: the job says so and is tried again.
        message = str(error) if isinstance(error, QflowError) else f"{type(error).__name__}"
        with engine.begin() as connection:
            fail(connection, held, [{"kind": type(error).__name__, "message": redact_text(message)[:500]}])
            seconds = getattr(error, "retry_after", None)
            if seconds is not None:
                postpone(connection, NOTIFICATION, f"{endpoint.id}:", seconds)
        return False
    with engine.begin() as connection:
        complete(connection, held, [{"delivered": True}])
        if job.attempt > 1:
            # It is back: what waits for the next attempt need not wait any longer.
            hasten(connection, NOTIFICATION, f"{endpoint.id}:")
    return True


def _spare_endpoints_that_are_down(connection: Connection) -> None:
    """Let what is due for an endpoint with an open breaker wait until the breaker probes."""
    down = {
        row["operation"]: row["next_probe_in"]
        for row in circuit_breaker.breakers(connection, status="open")
        if row["operation"].startswith("notify:")
    }
    if not down:
        return
    for endpoint in find(connection):
        if f"notify:{endpoint.name}" in down:
            # Held by a person: looked at again in a minute.
            seconds = down[f"notify:{endpoint.name}"]
            postpone(connection, NOTIFICATION, f"{endpoint.id}:", 60.0 if seconds is None else seconds)


def _post_slack(address: str, note: Note) -> None:
    decision = None
    if settings().notifications.slack_secret and isinstance(note.data, Mapping) and "digest" in note.data:
        decision = {"id": note.data["workflow_id"], "digest": note.data["digest"]}
    body = slack_message(note.title, note.body, note.link, decision)
    _fetch(Request("POST", address, {"Content-Type": "application/json"}, body))


def _post(address: str, note: Note, key: str | None) -> None:
    # ASCII: what is hidden in the data stays an escape, wherever the receiver prints it.
    body = json.dumps(note._asdict(), default=str).encode()
    timestamp = str(int(time.time()))
    headers = {"Content-Type": "application/json", "X-Qflow-Id": note.id, "X-Qflow-Timestamp": timestamp}
    if key is not None:
        headers["X-Qflow-Signature"] = signature(key, timestamp, body)
    _fetch(Request("POST", address, headers, body))


def _fetch(request: Request) -> None:
    try:
        # A redirect would carry the message to an address nobody registered.
        answer = fetch(request, seconds=TIMEOUT)
    except NoResponseError as error:
        raise DeliveryFailedError(f"the webhook cannot be reached: {error}") from None
    if not 200 <= answer.status < 300:
        raise DeliveryFailedError(
            f"the webhook answered {answer.status}", retry_after(answer.headers.get("retry-after", ""))
        )


def retry_after(value: str) -> float | None:
    """Return the seconds that a `Retry-After` header names (RFC 9110, section 10.2.3), an hour at most."""
    if value.strip().isdecimal():
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), 3_600.0)


def _is_own(payload: Any) -> bool:
    return isinstance(payload, Mapping) and payload.get("type") == NOTIFICATION


def _all(engine: Engine) -> list[Endpoint]:
    with engine.connect() as connection:
        return find(connection)


class _Waker:
    """A session that hears the queues that have endpoints."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._heard: set[str] = set()

    def listen(self, queues: set[str]) -> None:
        """Hear these queues too."""
        for queue in queues - self._heard:
            quoted = self._connection.dialect.identifier_preparer.quote_identifier(queue)
            self._connection.execute(text(f"LISTEN {quoted}"))
        self._heard |= queues
