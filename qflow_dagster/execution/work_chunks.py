"""Free text that becomes work: classified, then applied or left to a person, depending on the confidence.

Belongs here: the lifecycle of a chunk (one text). It is stored before anything else is done with it, so
none is lost. Does not belong here: classifying (`classifier`), requesting the approval (the caller).
"""

from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, insert, select, text, update

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import safe_work_planner, tables, work_items
from qflow_dagster.execution.classifier import CHANGES, Analysis, classify
from qflow_dagster.execution.work_items import PARENT, NewItem
from qflow_dagster.quantumflow import (
    LeaseLostError,
    StateMachine,
    Workflow,
    claim,
    complete,
    create_workflow,
    fail,
    get,
    register,
    transition,
    uuid7,
)
from qflow_dagster.quantumflow.draining import CreationResult, batches
from qflow_dagster.quantumflow.recording import kept_alive
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.registry import Queue, WorkflowTypeName
from qflow_dagster.settings import settings

CHUNK = StateMachine(
    name="work_chunk",
    initial="received",
    transitions={
        "received": frozenset({"applied", "waiting", "escalated"}),
        "waiting": frozenset({"applied", "rejected", "escalated"}),
        "escalated": frozenset({"applied", "rejected"}),
        "applied": frozenset(),
        "rejected": frozenset(),
    },
    terminal=frozenset({"applied", "rejected"}),
    completed="applied",
)
TYPE = register(WorkflowTypeName.WORK_CHUNK, machine=CHUNK, queue=Queue.WORK_ITEM_NOTIFICATIONS).name
# The workflow that an approval of kind `workflow` starts; its payload is {"chunk": id, "decision": "apply"}.
DECISION = register(WorkflowTypeName.WORK_CHUNK_DECISION).name
MAX_LENGTH = 20_000
MIN_SIMILARITY = 0.5
# Approved chunks that a worker claims at a time.
BATCH = 50

_SIMILAR = text("""
WITH request AS (SELECT tsvector_to_array(to_tsvector('english', :text)) AS lexemes)
SELECT i.id, i.title, overlap.share FROM work_items i JOIN workflows w ON w.id = i.id CROSS JOIN request
CROSS JOIN LATERAL (SELECT tsvector_to_array(to_tsvector('english', i.title || ' ' || i.description)) AS lexemes) AS own
CROSS JOIN LATERAL (
    SELECT cardinality(ARRAY(SELECT unnest(request.lexemes) INTERSECT SELECT unnest(own.lexemes)))::float8
           / greatest(least(cardinality(request.lexemes), cardinality(own.lexemes)), 1) AS share
) AS overlap
WHERE i.level = :level AND w.finished_at IS NULL ORDER BY overlap.share DESC, i.created_at LIMIT 1
""")


class AddedChunk(NamedTuple):
    """A chunk, its state (applied, undecided or escalated), its classification, and the item it became."""

    chunk_id: UUID
    state: str
    analysis: Analysis
    work_item_id: UUID | None


def add_chunk(
    connection: Connection,
    request: str,
    *,
    requested_by: str,
    relates_to: UUID | None = None,
    updates: UUID | None = None,
    repository_id: int | None = None,
    analysis: Analysis | None = None,
) -> AddedChunk:
    """Classify a free text (unless `analysis` is passed) and, if the confidence suffices, make it a work item.

    In state `undecided` the caller requests an approval of `decision_payload`; in state `escalated` a person
    has to decide (`decide`).

    Raises:
        UsageError: the text is empty or longer than `MAX_LENGTH` characters, or `relates_to` cannot be its parent.
    """
    request = request.strip()
    if not request or len(request) > MAX_LENGTH:
        raise UsageError(f"the text has {len(request)} characters; allowed are 1 to {MAX_LENGTH:,}")
    first = analysis or classify(request, updates=updates is not None)
    parent, similarity = relates_to, None
    if first.action == "update" and updates is None:
        updates, first = _changed(connection, first)
        # When the item to change is a guess, a person decides, whatever the confidence.
        analysis = first
    if parent is None and updates is None and first.level in PARENT:
        similar = _similar(connection, request, PARENT[first.level])
        if similar is not None:
            parent, similarity = similar.id, similar.share
    analysis = analysis or classify(request, updates=updates is not None, similarity=similarity)
    needed, unknown = [], []
    for dependency in analysis.depends_on:
        similar = _similar(connection, dependency, analysis.level)
        (needed if similar is not None else unknown).append(similar.id if similar is not None else dependency)
    if unknown:
        reason = f"no {analysis.level} has the name of its dependency: {'; '.join(unknown)}"
        analysis = replace(analysis, reasons=[*analysis.reasons, reason])
    chunk = uuid7()
    stored = {
        **analysis.as_json(),
        "parent_id": parent and str(parent),
        "updates": updates and str(updates),
        "needs": [str(id_) for id_ in dict.fromkeys(needed)],
        "repository_id": repository_id,
    }
    create_workflow(connection, TYPE, stored, actor=requested_by, id=chunk)
    connection.execute(
        insert(tables.work_chunks).values(
            id=chunk,
            text=request,
            requested_by=requested_by,
            analysis=to_jsonb(stored, "an analysis"),
            confidence=analysis.confidence,
        )
    )
    limits = settings().execution
    if analysis.confidence >= limits.autonomous:
        return AddedChunk(chunk, "applied", analysis, _apply(connection, chunk, stored, actor=requested_by))
    state = "waiting" if analysis.confidence >= limits.collaborative else "escalated"
    transition(connection, [chunk], state, actor=requested_by, data={"confidence": analysis.confidence})
    return AddedChunk(chunk, state, analysis, None)


def _similar(connection: Connection, request: str, level: str) -> Any:
    """Return the open item of that level that is most similar to the text, or None below `MIN_SIMILARITY`."""
    row = connection.execute(_SIMILAR, {"text": request, "level": level}).one_or_none()
    return row if row is not None and row.share >= MIN_SIMILARITY else None


def _changed(connection: Connection, analysis: Analysis) -> tuple[UUID | None, Analysis]:
    """Return the item that a text is meant to change, by similarity; without one the text creates an item."""
    similar = _similar(connection, CHANGES.sub("", analysis.description), analysis.level)
    if similar is None:
        reason = f"it may be meant to change an item, and no {analysis.level} is similar"
        return None, replace(analysis, action="create", reasons=[*analysis.reasons, reason])
    confidence = min(analysis.confidence, settings().execution.autonomous - 0.01)
    reason = f"it changes {similar.title!r}, similarity {similar.share:.2f}"
    return similar.id, replace(
        analysis, confidence=round(max(confidence, 0.0), 2), reasons=[*analysis.reasons, reason]
    )


def decision_payload(chunk: UUID) -> dict[str, Any]:
    """Return what an approval of a undecided chunk approves: the payload of the workflow it starts."""
    return {"chunk": str(chunk), "decision": "apply"}


def decide(connection: Connection, chunk: UUID, *, apply: bool, actor: str) -> UUID | None:
    """Apply or reject a undecided or escalated chunk; return the item it became.

    Raises:
        IllegalTransitionError: the chunk was decided already.
        QflowError: there is no such chunk.
    """
    query = select(tables.work_chunks.c.analysis).where(tables.work_chunks.c.id == chunk).with_for_update()
    stored = connection.scalar(query)
    if stored is None:
        raise QflowError(f"there is no chunk {chunk}")
    if not apply:
        transition(connection, [chunk], "rejected", actor=actor)
        return None
    return _apply(connection, chunk, stored, actor=actor)


def apply_approved(engine: Engine, *, worker: str, run_id: str | None = None) -> list[CreationResult]:
    """Turn every chunk whose approval was granted into a work item, each in a transaction of its own."""

    def claim_batch() -> list[Workflow]:
        with engine.begin() as connection:
            return claim(connection, DECISION, worker=worker, limit=BATCH, run_id=run_id)

    results: list[CreationResult] = []
    for claimed in batches(claim_batch):
        with kept_alive(engine, claimed):
            results += [_apply_approved(engine, decision, worker) for decision in claimed]
    return results


def _apply_approved(engine: Engine, decision: Workflow, worker: str) -> CreationResult:
    chunk = UUID(decision.payload["chunk"])
    try:
        # In one transaction, so that a worker that was killed, or lost its lease, has applied nothing.
        with engine.begin() as connection:
            item = decide(connection, chunk, apply=True, actor=worker)
            complete(connection, [decision], [{"work_item": str(item)}])
        return CreationResult(chunk, item, None)
    except LeaseLostError as lost:
        return CreationResult(chunk, None, str(lost))
    except QflowError as error:
        with suppress(LeaseLostError), engine.begin() as connection:
            fail(connection, [decision], [{"message": str(error)}], retry=False)
        return CreationResult(chunk, None, str(error))


def undecided(connection: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Return the chunks that nobody has decided yet, oldest first."""
    query = text("""
        SELECT c.id, w.status AS state, c.confidence, c.analysis ->> 'level' AS level, c.text, c.requested_by,
               c.created_at
        FROM work_chunks c JOIN workflows w ON w.id = c.id WHERE w.status IN ('waiting', 'escalated')
        ORDER BY c.id LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"limit": limit}).mappings()]


def _apply(connection: Connection, chunk: UUID, stored: dict[str, Any], *, actor: str) -> UUID:
    get(connection, chunk)
    if stored["updates"]:
        item = UUID(stored["updates"])
        before = work_items.show(connection, item)["description"]
        table = tables.work_items
        connection.execute(update(table).where(table.c.id == item).values(description=stored["description"]))
        data = {"text": str(chunk), "description": {"from": before, "to": stored["description"]}}
        work_items.note(connection, item, actor=actor, data=data)
    else:
        new = NewItem(
            level=stored["level"],
            title=stored["name"],
            description=stored["description"],
            source="text",
            kind=stored["kind"],
            acceptance=stored["acceptance"],
            repository_id=stored["repository_id"],
            parent_id=stored["parent_id"] and UUID(stored["parent_id"]),
            key=f"chunk:{chunk}",
        )
        [item] = work_items.create(connection, [new], actor=actor)
        if dependencies := stored.get("needs"):
            work_items.depend(connection, item, [UUID(id_) for id_ in dependencies])
        safe_work_planner.inherit(connection, stored["repository_id"])
    table = tables.work_chunks
    connection.execute(update(table).where(table.c.id == chunk).values(work_item_id=item))
    transition(connection, [chunk], "applied", actor=actor, data={"work_item": str(item)})
    return item
