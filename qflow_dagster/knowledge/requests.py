"""Knowledge requests: something unknown is found out, and what follows from it happens once.

Belongs here: the lifecycle of a request, answering in batches, follow-ups. Does not belong here: where
answers come from (`answers`, `tickets`), requests raised by the system (`producers`).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, select, text, update

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index, questions
from qflow_dagster.knowledge.tables import knowledge_requests, knowledge_resolutions
from qflow_dagster.quantumflow import (
    Held,
    NewWorkflow,
    StateMachine,
    Workflow,
    claim,
    complete,
    create_workflows,
    fail,
    get_events,
    register,
    resolve,
    transition,
    uuid7,
)
from qflow_dagster.quantumflow.draining import attempt
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.registry import Queue, WorkflowTypeName
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact
from qflow_dagster.safety.storable import storable_text

logger = logs.logger(__name__)
# What follows from a resolution, by kind.
FOLLOW_UPS = {"pattern": "rescan", "anti_pattern": "flag"}
MACHINE = StateMachine(
    name="knowledge_request",
    initial="pending",
    transitions={
        "pending": frozenset({"in_progress", "resolved", "cancelled"}),
        "in_progress": frozenset({"resolved", "failed", "dead", "pending", "cancelled"}),
        # Due again after a growing delay.
        "failed": frozenset({"in_progress", "resolved", "pending", "cancelled"}),
        "resolved": frozenset({"pending"}),
        # Out of attempts; a person may answer, or raise it again.
        "dead": frozenset({"pending", "resolved"}),
        "cancelled": frozenset({"pending"}),
    },
    terminal=frozenset({"resolved", "dead", "cancelled"}),
    completed="resolved",
    claimable=frozenset({"pending", "failed"}),
    claimed="in_progress",
    leased=frozenset({"in_progress"}),
    failed="failed",
    dead="dead",
    released="pending",
    cancelled="cancelled",
)
TYPE = register(WorkflowTypeName.KNOWLEDGE_REQUEST, machine=MACHINE, queue=Queue.KNOWLEDGE_REQUESTS).name
KINDS = ("question", "pattern", "signature", "dataset", "model", "workflow", "anti_pattern")
MAX_ATTEMPTS = 5
MAX_KEY_LENGTH = 255


def enqueue(
    connection: Connection,
    kind: str,
    payload: dict[str, Any],
    *,
    source: str,
    repository: str | None = None,
    key: str | None = None,
    source_reference: str | None = None,
    priority: int = 0,
) -> UUID:
    """Raise a request and return its id; an open request with the same key is returned instead.

    A request that has ended becomes pending again; its earlier resolutions stay.

    Raises:
        UsageError: unknown kind, or the key is too long.
        QflowError: there is no such repository.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind {kind!r}; kinds: {', '.join(KINDS)}")
    key = (
        key
        or f"{kind}:{hashlib.sha256(json.dumps([repository, payload], sort_keys=True).encode()).hexdigest()}"
    )
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        raise UsageError(f"a key has 1 to {MAX_KEY_LENGTH} characters, this one {len(key)}")
    repository_id = repositories.find(connection, repository).id if repository is not None else None
    existing = connection.execute(
        text(
            "SELECT k.id, w.status FROM knowledge_requests k JOIN workflows w ON w.id = k.id "
            "WHERE k.external_key = :key FOR UPDATE OF w"
        ),
        {"key": key},
    ).one_or_none()
    if existing is not None:
        if existing.status in MACHINE.terminal:
            transition(connection, [existing.id], "pending", actor=source, data={"reason": "requested again"})
        return existing.id
    id_ = uuid7()
    new = NewWorkflow(
        type=TYPE,
        key=key,
        payload={"kind": kind, "repository": repository},
        priority=priority,
        max_attempts=MAX_ATTEMPTS,
        id=id_,
    )
    [created_id] = create_workflows(connection, [new], actor=source)
    if created_id == id_:
        connection.execute(
            insert(knowledge_requests).values(
                id=id_,
                kind=kind,
                external_key=key,
                repository_id=repository_id,
                payload=to_jsonb(payload, "a request"),
                source=source,
                source_reference=source_reference,
            )
        )
    return created_id


def ask(connection: Connection, repository: str, question: str, *, source: str) -> UUID:
    """Ask a question about an ingested repository; the same question on the same commit is the same request.

    A resolved request is returned as it is, except for what was not known, and questions about findings: those
    change on the same commit by a person or another tool, so they are answered again.

    Raises:
        UsageError: the question is empty or too long.
        QflowError: the repository is not ingested.
    """
    normalized = " ".join(storable_text(question).split())
    if not 0 < len(normalized) <= 2_000:
        raise UsageError(f"the question has {len(normalized)} characters; allowed are 1 to 2,000")
    commit = current_snapshot(connection, repository).commit_oid
    digest = hashlib.sha256(f"{repository}\0{normalized.lower()}\0{commit}".encode()).hexdigest()
    key = f"question:{digest}"
    resolved = connection.scalar(
        text(
            "SELECT k.id FROM knowledge_requests k JOIN workflows w ON w.id = k.id "
            "WHERE k.external_key = :key AND w.status = 'resolved' AND NOT EXISTS (SELECT FROM knowledge_resolutions s "
            "WHERE s.request_id = k.id AND s.resolution ->> 'kind' IN ('search', 'not known'))"
        ),
        {"key": key},
    )
    payload = {"question": redact(normalized)}
    if resolved is not None and questions.parse(normalized).kind != "rules":
        return resolved
    return enqueue(
        connection, "question", payload, source=source, repository=repository, key=key, priority=10
    )


class RequestCounts(NamedTuple):
    """How many requests were resolved, and how many attempts failed."""

    resolved: int
    failed: int


def work(
    engine: Engine,
    *,
    worker: str,
    run_id: str | None = None,
    limit: int = 50,
    among: Sequence[UUID] | None = None,
) -> RequestCounts:
    """Answer up to `limit` pending requests (`among` these), until none is due."""
    resolved = failed = 0
    indexed: set[str] = set()
    while resolved + failed < limit:
        with engine.begin() as connection:
            claimed = claim(
                connection,
                TYPE,
                worker=worker,
                limit=min(10, limit - resolved - failed),
                run_id=run_id,
                among=among,
            )
        if not claimed:
            break
        with kept_alive(engine, claimed):
            for workflow in claimed:
                done = _resolve(engine, workflow, worker, indexed)
                resolved, failed = resolved + done, failed + (not done)
    return RequestCounts(resolved, failed)


def _resolve(engine: Engine, workflow: Workflow, worker: str, indexed: set[str]) -> bool:
    def resolve() -> bool:
        repository = workflow.payload["repository"]
        if repository is not None and repository not in indexed:
            with engine.connect() as connection:
                snapshot = current_snapshot(connection, repository)
            index.update(engine, snapshot)
            indexed.add(repository)
        with engine.begin() as connection:
            row = _row(connection, workflow.id)
            answer = _answer(connection, row, repository)
            _complete(connection, workflow, row, answer, worker)
        return True

    def report_failure(error: dict[str, Any]) -> None:
        with engine.begin() as connection:
            fail(connection, [workflow], [error])

    return attempt(workflow, "request", resolve, report_failure) is not None


def _row(connection: Connection, id_: UUID) -> Any:
    return connection.execute(select(knowledge_requests).where(knowledge_requests.c.id == id_)).one()


def _answer(connection: Connection, row: Any, repository: str | None) -> dict[str, Any]:
    if row.kind == "question":
        snapshot = current_snapshot(connection, str(repository))
        return answers.answer(connection, snapshot, row.payload["question"]).as_json()
    # Imported here: questions, which most requests are, need no rules and candidates.
    from qflow_dagster.knowledge import tickets

    return tickets.answer(connection, row.kind, row.payload, repository)


def _complete(connection: Connection, held: Held, row: Any, answer: dict[str, Any], resolved_by: str) -> None:
    resolution = _store(connection, row, answer, resolved_by)
    complete(connection, [held], [{"resolution": resolution}])


def _store(connection: Connection, row: Any, answer: dict[str, Any], resolved_by: str) -> int:
    """Store an answer with its follow-up in one row, so that there is one of each; return the row's id."""
    follow_up = FOLLOW_UPS.get(row.kind) if answer.get("confirmed", True) else None
    statement = insert(knowledge_resolutions).values(
        request_id=row.id,
        resolution=to_jsonb(answer, "a resolution", default=str),
        resolved_by=resolved_by,
        follow_up=follow_up,
    )
    return connection.scalars(statement.returning(knowledge_resolutions.c.id)).one()


def resolve_by_hand(connection: Connection, id_: UUID, answer: dict[str, Any], *, actor: str) -> None:
    """Resolve a pending, failed or dead request with a person's answer.

    Raises:
        IllegalTransitionError: it is being answered, or was resolved.
    """
    row = _row(connection, id_)
    resolution = _store(connection, row, answer, actor)
    transition(connection, [id_], "resolved", actor=actor, results=[{"resolution": resolution}])


def retry(connection: Connection, ids: Sequence[UUID], *, actor: str) -> None:
    """Make failed or dead requests pending again, at once."""
    transition(connection, ids, "pending", actor=actor, data={"reason": "retried"})


class FollowUp(NamedTuple):
    """The consequence of a resolution: rescan this repository, or flag this rule."""

    resolution_id: int
    kind: str
    repository: str | None
    payload: dict[str, Any]


def claim_follow_ups(connection: Connection, kind: str, *, limit: int = 100) -> list[FollowUp]:
    """Claim follow-ups in the caller's transaction; each is claimed once for ever."""
    query = text("""
        WITH due AS (
            SELECT id FROM knowledge_resolutions WHERE follow_up = :kind AND followed_up_at IS NULL
            ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
        ), claimed AS (
            UPDATE knowledge_resolutions s SET followed_up_at = clock_timestamp() FROM due WHERE s.id = due.id
            RETURNING s.id, s.follow_up, s.request_id
        )
        SELECT t.id, t.follow_up, r.name, k.payload FROM claimed t JOIN knowledge_requests k ON k.id = t.request_id
        LEFT JOIN repositories r ON r.id = k.repository_id ORDER BY t.id
    """)
    return [FollowUp(*row) for row in connection.execute(query, {"kind": kind, "limit": limit})]


def due_follow_ups(connection: Connection, kind: str, *, limit: int = 100) -> list[FollowUp]:
    """Return follow-ups not done yet; for work outside this database, which reports by `followed_up`."""
    query = text("""
        SELECT s.id, s.follow_up, r.name, k.payload FROM knowledge_resolutions s
        JOIN knowledge_requests k ON k.id = s.request_id LEFT JOIN repositories r ON r.id = k.repository_id
        WHERE s.follow_up = :kind AND s.followed_up_at IS NULL ORDER BY s.id LIMIT :limit
    """)
    return [FollowUp(*row) for row in connection.execute(query, {"kind": kind, "limit": limit})]


def followed_up(connection: Connection, ids: Sequence[int]) -> None:
    """Record that these follow-ups are done."""
    table = knowledge_resolutions
    connection.execute(
        update(table)
        .where(table.c.id.in_(ids), table.c.followed_up_at.is_(None))
        .values(followed_up_at=func.clock_timestamp())
    )


_ROWS = """
SELECT k.id, w.status AS state, k.kind, r.name AS repository,
       coalesce(k.payload ->> 'question', k.external_key) AS about, k.source, w.attempt, k.created_at, w.finished_at,
       extract(epoch FROM w.finished_at - k.created_at)::float AS seconds, w.error ->> 'message' AS problem
FROM knowledge_requests k JOIN workflows w ON w.id = k.id LEFT JOIN repositories r ON r.id = k.repository_id
"""


def find(
    connection: Connection,
    *,
    state: str | None = None,
    kind: str | None = None,
    repository_id: int | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return requests, newest first, optionally only those in one state, of one kind or about one repository."""
    query = text(f"""{_ROWS} WHERE (CAST(:state AS text) IS NULL OR w.status = :state)
        AND (CAST(:kind AS text) IS NULL OR k.kind = :kind)
        AND (CAST(:repository AS bigint) IS NULL OR k.repository_id = :repository) ORDER BY k.id DESC LIMIT :limit""")
    parameters = {"state": state, "kind": kind, "repository": repository_id, "limit": limit}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """Return one request with all its resolutions (newest first) and its history.

    Raises:
        QflowError: there is no such request.
    """
    row = connection.execute(text(f"{_ROWS} WHERE k.id = :id"), {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no knowledge request {id_}")
    table = knowledge_resolutions.c
    query = (
        select(table.at, table.resolved_by, table.resolution, table.follow_up, table.followed_up_at)
        .where(table.request_id == id_)
        .order_by(table.id.desc())
    )
    resolutions = [dict(resolution) for resolution in connection.execute(query).mappings()]
    events = [
        {"at": e.at, "from": e.from_status, "to": e.to_status, "actor": e.actor, "data": e.data}
        for e in get_events(connection, id_)
    ]
    return {**row, "resolutions": resolutions, "history": events}


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the request whose id begins with `prefix`."""
    return resolve(
        connection, prefix, table="knowledge_requests", noun="knowledge request", see="qflow knowledge list"
    )
