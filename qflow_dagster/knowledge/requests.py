"""Knowledge requests: something is not known, is found out, and what follows from it happens once.

Belongs here: the life of a request, answering in batches, follow-ups. Does not belong here: where
answers come from (`answers`, `tickets`), who asks by itself (`producers`).
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import answers, index, questions, tickets
from qflow_dagster.quantumflow import (
    Held,
    LeaseLostError,
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
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Queue, WorkflowTypeName
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact

logger = logs.logger(__name__)
MACHINE = StateMachine(
    name="knowledge_request",
    initial="pending",
    transitions={
        "pending": frozenset({"in_progress", "resolved", "cancelled"}),
        "in_progress": frozenset({"resolved", "failed", "dead", "pending", "cancelled"}),
        # Due again after a while that grows.
        "failed": frozenset({"in_progress", "resolved", "pending", "cancelled"}),
        "resolved": frozenset({"pending"}),
        # Given up; a person may answer, or ask again.
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
ATTEMPTS = 5
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
    """Raise a request; return its id. What is asked already is not asked twice.

    One that was resolved, or given up, is asked anew: its earlier resolutions stay.

    Raises:
        UsageError: there is no such kind, or the key is too long.
        QflowError: there is no such repository.
    """
    if kind not in KINDS:
        raise UsageError(f"no kind {kind!r}; there are: {', '.join(KINDS)}")
    key = (
        key
        or f"{kind}:{hashlib.sha256(json.dumps([repository, payload], sort_keys=True).encode()).hexdigest()}"
    )
    if not 0 < len(key) <= MAX_KEY_LENGTH:
        raise UsageError(f"a key has 1 to {MAX_KEY_LENGTH} characters, this one {len(key)}")
    repository_id = repositories.find(connection, repository).id if repository is not None else None
    there = connection.execute(
        text(
            "SELECT k.id, w.status FROM knowledge_requests k JOIN workflows w ON w.id = k.id "
            "WHERE k.external_key = :key FOR UPDATE OF w"
        ),
        {"key": key},
    ).one_or_none()
    if there is not None:
        if there.status in MACHINE.terminal:
            transition(connection, [there.id], "pending", actor=source, data={"reason": "asked again"})
        return there.id
    id_ = uuid7()
    new = NewWorkflow(
        type=TYPE,
        key=key,
        payload={"kind": kind, "repository": repository},
        priority=priority,
        max_attempts=ATTEMPTS,
        id=id_,
    )
    [made] = create_workflows(connection, [new], actor=source)
    if made == id_:
        query = text("""
            INSERT INTO knowledge_requests (id, kind, external_key, repository_id, payload, source, source_reference)
            VALUES (:id, :kind, :key, :repository_id, CAST(:payload AS jsonb), :source, :reference)
        """)
        values = {
            "id": id_,
            "kind": kind,
            "key": key,
            "repository_id": repository_id,
            "payload": to_json(payload, "a request"),
            "source": source,
            "reference": source_reference,
        }
        connection.execute(query, values)
    return made


def ask(connection: Connection, repository: str, question: str, *, source: str) -> UUID:
    """Ask a question about an ingested repository; asked of the same commit again, it is the same request.

    What is answered stands, but for questions about findings: a person or another tool changes those on
    the same commit, so they are answered anew.

    Raises:
        UsageError: the question is empty or too long.
        QflowError: nothing of the repository is ingested.
    """
    words = " ".join(question.split())
    if not 0 < len(words) <= 2_000:
        raise UsageError(f"the question has {len(words)} characters; 1 to 2,000 are taken")
    commit = current_snapshot(connection, repository).commit_oid
    digest = hashlib.sha256(f"{repository}\0{words.lower()}\0{commit}".encode()).hexdigest()
    key = f"question:{digest}"
    there = connection.scalar(
        text(
            "SELECT k.id FROM knowledge_requests k JOIN workflows w ON w.id = k.id "
            "WHERE k.external_key = :key AND w.status = 'resolved'"
        ),
        {"key": key},
    )
    payload = {"question": redact(words)}
    if there is not None and questions.understand(words).kind != "rules":
        return there
    return enqueue(
        connection, "question", payload, source=source, repository=repository, key=key, priority=10
    )


class Done(NamedTuple):
    """What a drain did."""

    resolved: int
    failed: int


def work(
    engine: Engine,
    *,
    worker: str,
    run_id: str | None = None,
    limit: int = 50,
    among: Sequence[UUID] | None = None,
) -> Done:
    """Answer up to `limit` waiting requests (`among` these), until none is due."""
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
    return Done(resolved, failed)


def _resolve(engine: Engine, workflow: Workflow, worker: str, indexed: set[str]) -> bool:
    try:
        repository = workflow.payload["repository"]
        if repository is not None and repository not in indexed:
            with engine.connect() as connection:
                snapshot = current_snapshot(connection, repository)
            index.update(engine, snapshot)
            indexed.add(repository)
        with engine.begin() as connection:
            row = _row(connection, workflow.id)
            found = _find_out(connection, row, repository)
            _settle(connection, workflow, row, found, worker)
        return True
    except LeaseLostError:
        logger.warning("the request %s is somebody else's by now", workflow.id)
    except Exception as error:
        # One request that cannot be answered must not keep the others from it.
        if not isinstance(error, QflowError):
            logger.exception("the request %s could not be answered", workflow.id)
        why = {"kind": type(error).__name__, "message": redact(str(error))[:2_000]}
        try:
            with engine.begin() as connection:
                fail(connection, [workflow], [why])
        except LeaseLostError:
            logger.warning("the request %s is somebody else's by now", workflow.id)
    return False


def _row(connection: Connection, id_: UUID) -> Any:
    return connection.execute(text("SELECT * FROM knowledge_requests WHERE id = :id"), {"id": id_}).one()


def _find_out(connection: Connection, row: Any, repository: str | None) -> dict[str, Any]:
    if row.kind == "question":
        snapshot = current_snapshot(connection, str(repository))
        return answers.answer(connection, snapshot, row.payload["question"]).as_json()
    return tickets.find_out(connection, row.kind, row.payload, repository)


def _settle(connection: Connection, held: Held, row: Any, found: dict[str, Any], by: str) -> None:
    resolution = _store(connection, row, found, by)
    complete(connection, [held], [{"resolution": resolution}])


def _store(connection: Connection, row: Any, found: dict[str, Any], by: str) -> int:
    """What was found out, with its follow-up: they are one row, so there is one of each."""
    query = text("""
        INSERT INTO knowledge_resolutions (request_id, resolution, resolved_by, follow_up)
        VALUES (:id, CAST(:resolution AS jsonb), :by, :follow_up) RETURNING id
    """)
    follow_up = tickets.FOLLOW_UPS.get(row.kind) if found.get("confirmed", True) else None
    values = {
        "id": row.id,
        "resolution": to_json(found, "a resolution", default=str),
        "by": by,
        "follow_up": follow_up,
    }
    return connection.scalar(query, values) or 0


def settle_by_hand(connection: Connection, id_: UUID, found: dict[str, Any], *, actor: str) -> None:
    """Let a person answer what waits, failed or was given up.

    Raises:
        IllegalTransitionError: it is being answered, or was.
    """
    row = _row(connection, id_)
    resolution = _store(connection, row, found, actor)
    transition(connection, [id_], "resolved", actor=actor, results=[{"resolution": resolution}])


def retry(connection: Connection, ids: Sequence[UUID], *, actor: str) -> None:
    """Try failed or given-up requests at once."""
    transition(connection, ids, "pending", actor=actor, data={"reason": "retried"})


class FollowUp(NamedTuple):
    """What a resolution leads to: rescan this repository, or flag this rule."""

    resolution_id: int
    kind: str
    repository: str | None
    payload: dict[str, Any]


def take_follow_ups(connection: Connection, kind: str, *, limit: int = 100) -> list[FollowUp]:
    """Follow-ups nobody has taken; they are the caller's, in its transaction, and nobody else's ever."""
    query = text("""
        WITH due AS (
            SELECT id FROM knowledge_resolutions WHERE follow_up = :kind AND followed_up_at IS NULL
            ORDER BY id LIMIT :limit FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE knowledge_resolutions s SET followed_up_at = clock_timestamp() FROM due WHERE s.id = due.id
            RETURNING s.id, s.follow_up, s.request_id
        )
        SELECT t.id, t.follow_up, r.name, k.payload FROM taken t JOIN knowledge_requests k ON k.id = t.request_id
        LEFT JOIN repositories r ON r.id = k.repository_id ORDER BY t.id
    """)
    return [FollowUp(*row) for row in connection.execute(query, {"kind": kind, "limit": limit})]


def due_follow_ups(connection: Connection, kind: str, *, limit: int = 100) -> list[FollowUp]:
    """Follow-ups that were not done; for what is done outside this database, and told by `followed_up`."""
    query = text("""
        SELECT s.id, s.follow_up, r.name, k.payload FROM knowledge_resolutions s
        JOIN knowledge_requests k ON k.id = s.request_id LEFT JOIN repositories r ON r.id = k.repository_id
        WHERE s.follow_up = :kind AND s.followed_up_at IS NULL ORDER BY s.id LIMIT :limit
    """)
    return [FollowUp(*row) for row in connection.execute(query, {"kind": kind, "limit": limit})]


def followed_up(connection: Connection, ids: Sequence[int]) -> None:
    """Note that these follow-ups are done."""
    query = text(
        "UPDATE knowledge_resolutions SET followed_up_at = clock_timestamp() "
        "WHERE id = ANY(:ids) AND followed_up_at IS NULL"
    )
    connection.execute(query, {"ids": list(ids)})


_ROWS = """
SELECT k.id, w.status AS state, k.kind, r.name AS repository,
       coalesce(k.payload ->> 'question', k.external_key) AS about, k.source, w.attempt, k.created_at, w.finished_at,
       extract(epoch FROM w.finished_at - k.created_at)::float AS seconds, w.error ->> 'message' AS problem
FROM knowledge_requests k JOIN workflows w ON w.id = k.id LEFT JOIN repositories r ON r.id = k.repository_id
"""


def find(
    connection: Connection, *, state: str | None = None, kind: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Requests, newest first; of that state, of that kind."""
    query = text(f"""{_ROWS} WHERE (CAST(:state AS text) IS NULL OR w.status = :state)
        AND (CAST(:kind AS text) IS NULL OR k.kind = :kind) ORDER BY k.id DESC LIMIT :limit""")
    return [
        dict(row)
        for row in connection.execute(query, {"state": state, "kind": kind, "limit": limit}).mappings()
    ]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """One request with all its resolutions (newest first) and its history.

    Raises:
        QflowError: there is none.
    """
    row = connection.execute(text(f"{_ROWS} WHERE k.id = :id"), {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no knowledge request {id_}")
    query = text(
        "SELECT at, resolved_by, resolution, follow_up, followed_up_at FROM knowledge_resolutions "
        "WHERE request_id = :id ORDER BY id DESC"
    )
    resolutions = [dict(one) for one in connection.execute(query, {"id": id_}).mappings()]
    events = [
        {"at": e.at, "from": e.from_status, "to": e.to_status, "actor": e.actor, "data": e.data}
        for e in get_events(connection, id_)
    ]
    return {**row, "resolutions": resolutions, "history": events}


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """The request whose id begins with `prefix`."""
    return resolve(
        connection, prefix, table="knowledge_requests", noun="knowledge request", see="qflow knowledge list"
    )
