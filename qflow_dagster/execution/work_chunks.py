"""Free text that becomes work: classified, gated by confidence, applied or decided by a person.

Belongs here: a chunk's life. A chunk is stored before anything else is done with it, so none is
lost. Does not belong here: the words (`classifier`), asking for the approval (whoever may).
"""

from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import safe_work_planner, work_items
from qflow_dagster.execution.classifier import CHANGES, Analysis, classify
from qflow_dagster.execution.work_items import PARENT, NewItem
from qflow_dagster.quantumflow import (
    StateMachine,
    claim,
    complete,
    create_workflow,
    fail,
    get,
    register,
    transition,
    uuid7,
)
from qflow_dagster.quantumflow.rows import to_json
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
# What an approval of kind `workflow` starts; its payload is {"chunk": id, "decision": "apply"}.
DECISION = register(WorkflowTypeName.WORK_CHUNK_DECISION).name
LONGEST = 20_000
SIMILAR = 0.5

_SIMILAR = text("""
WITH given AS (SELECT tsvector_to_array(to_tsvector('english', :text)) AS words)
SELECT i.id, i.title, overlap.share FROM work_items i JOIN workflows w ON w.id = i.id CROSS JOIN given
CROSS JOIN LATERAL (SELECT tsvector_to_array(to_tsvector('english', i.title || ' ' || i.description)) AS words) AS own
CROSS JOIN LATERAL (
    SELECT cardinality(ARRAY(SELECT unnest(given.words) INTERSECT SELECT unnest(own.words)))::float8
           / greatest(least(cardinality(given.words), cardinality(own.words)), 1) AS share
) AS overlap
WHERE i.level = :level AND w.finished_at IS NULL ORDER BY overlap.share DESC, i.created_at LIMIT 1
""")


class Added(NamedTuple):
    """A chunk, its state (applied, waiting or escalated), what was made of it, and the item it became."""

    chunk_id: UUID
    state: str
    analysis: Analysis
    work_item_id: UUID | None


def add_chunk(
    connection: Connection,
    given: str,
    *,
    requested_by: str,
    relates_to: UUID | None = None,
    updates: UUID | None = None,
    repository_id: int | None = None,
    analysis: Analysis | None = None,
) -> Added:
    """Classify a free text (unless its analysis is given) and turn it into a work item if that is sure enough.

    `waiting`: the caller asks for an approval of `decision_payload`; `escalated`: a person has to
    look (`decide`).

    Raises:
        UsageError: the text is empty or too long, or `relates_to` cannot be its parent.
    """
    given = given.strip()
    if not given or len(given) > LONGEST:
        raise UsageError(f"the text has {len(given)} characters; 1 to {LONGEST:,} are taken")
    first = analysis or classify(given, updates=updates is not None)
    parent, similarity = relates_to, None
    if first.action == "update" and updates is None:
        updates, first = _changed(connection, first)
        # A guess which item is meant waits for a person, however clear the words are.
        analysis = first
    if parent is None and updates is None and first.level in PARENT:
        found = _similar(connection, given, PARENT[first.level])
        if found is not None:
            parent, similarity = found.id, found.share
    analysis = analysis or classify(given, updates=updates is not None, similarity=similarity)
    needed, unknown = [], []
    for words in analysis.depends_on:
        found = _similar(connection, words, analysis.level)
        (needed if found is not None else unknown).append(found.id if found is not None else words)
    if unknown:
        words = f"it needs what no {analysis.level} is called: {'; '.join(unknown)}"
        analysis = replace(analysis, reasons=[*analysis.reasons, words])
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
        text("""
            INSERT INTO work_chunks (id, text, requested_by, analysis, confidence)
            VALUES (:id, :text, :by, CAST(:analysis AS jsonb), :confidence)
        """),
        {
            "id": chunk,
            "text": given,
            "by": requested_by,
            "analysis": to_json(stored, "an analysis"),
            "confidence": analysis.confidence,
        },
    )
    limits = settings().execution
    if analysis.confidence >= limits.autonomous:
        return Added(chunk, "applied", analysis, _apply(connection, chunk, stored, actor=requested_by))
    state = "waiting" if analysis.confidence >= limits.collaborative else "escalated"
    transition(connection, [chunk], state, actor=requested_by, data={"confidence": analysis.confidence})
    return Added(chunk, state, analysis, None)


def _similar(connection: Connection, words: str, level: str) -> Any:
    """The open item of that level that is most similar to the words, where it is similar enough; else None."""
    found = connection.execute(_SIMILAR, {"text": words, "level": level}).one_or_none()
    return found if found is not None and found.share >= SIMILAR else None


def _changed(connection: Connection, analysis: Analysis) -> tuple[UUID | None, Analysis]:
    """The item that a text means to change, by similarity; without one it is something new."""
    found = _similar(connection, CHANGES.sub("", analysis.description), analysis.level)
    if found is None:
        words = f"it may mean to change something, and no {analysis.level} is like it"
        return None, replace(analysis, action="create", reasons=[*analysis.reasons, words])
    sure = min(analysis.confidence, settings().execution.autonomous - 0.01)
    words = f"it changes {found.title!r}, similarity {found.share:.2f}"
    return found.id, replace(
        analysis, confidence=round(max(sure, 0.0), 2), reasons=[*analysis.reasons, words]
    )


def decision_payload(chunk: UUID) -> dict[str, Any]:
    """What an approval of a waiting chunk approves: the payload of the workflow it starts."""
    return {"chunk": str(chunk), "decision": "apply"}


def decide(connection: Connection, chunk: UUID, *, apply: bool, actor: str) -> UUID | None:
    """Apply or reject a chunk that waits or was escalated; returns the item it became.

    Raises:
        IllegalTransitionError: it was decided already.
        QflowError: there is no such chunk.
    """
    query = text("SELECT analysis FROM work_chunks WHERE id = :id FOR UPDATE")
    stored = connection.scalar(query, {"id": chunk})
    if stored is None:
        raise QflowError(f"there is no chunk {chunk}")
    if not apply:
        transition(connection, [chunk], "rejected", actor=actor)
        return None
    return _apply(connection, chunk, stored, actor=actor)


class DecisionResult(NamedTuple):
    """An approved chunk: the work item it became, or why it could not be applied."""

    chunk: str
    work_item_id: UUID | None
    problem: str | None


def apply_approved(engine: Engine, *, worker: str, run_id: str | None = None) -> list[DecisionResult]:
    """Turn every chunk whose approval was granted into a work item, each in a transaction of its own."""
    results: list[DecisionResult] = []
    while True:
        with engine.begin() as connection:
            claimed = claim(connection, DECISION, worker=worker, limit=1, run_id=run_id)
        if not claimed:
            return results
        [decision] = claimed
        chunk = decision.payload["chunk"]
        try:
            with engine.begin() as connection:
                item = decide(connection, UUID(chunk), apply=True, actor=worker)
                complete(connection, [decision], [{"work_item": str(item)}])
            results.append(DecisionResult(chunk, item, None))
        except QflowError as error:
            with engine.begin() as connection:
                fail(connection, [decision], [{"message": str(error)}], retry=False)
            results.append(DecisionResult(chunk, None, str(error)))


def waiting(connection: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """Chunks that nobody has decided yet, oldest first."""
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
        connection.execute(
            text("UPDATE work_items SET description = :description WHERE id = :id"),
            {"id": item, "description": stored["description"]},
        )
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
        if needed := stored.get("needs"):
            work_items.depend(connection, item, [UUID(id_) for id_ in needed])
        safe_work_planner.inherit(connection, stored["repository_id"])
    connection.execute(
        text("UPDATE work_chunks SET work_item_id = :item WHERE id = :id"), {"item": item, "id": chunk}
    )
    transition(connection, [chunk], "applied", actor=actor, data={"work_item": str(item)})
    return item
