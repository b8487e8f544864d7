"""Free text that becomes work: classified, then applied or left to a person, depending on the confidence.

Belongs here: the lifecycle of a chunk (one text). It is stored before anything else is done with it, so
none is lost. Does not belong here: classifying (`classifier`), what is done with each kind (`text_changes`),
requesting the approval (the caller).
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, select, text, update

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import tables, work_items
from qflow_dagster.execution.classifier import Analysis, classify
from qflow_dagster.execution.mentions import Item, mentions
from qflow_dagster.execution.text_changes import CHANGES, Request
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

# A text is compared with the items that share most words with it, open ones and those that ended lately.
_CANDIDATES = text("""
WITH request AS (SELECT tsvector_to_array(to_tsvector('english', :text)) AS lexemes),
candidates AS (
    SELECT i.id, i.level, i.title, w.finished_at IS NOT NULL AS ended,
           tsvector_to_array(to_tsvector('english', i.title)) AS lexemes
    FROM work_items i JOIN workflows w ON w.id = i.id
    WHERE w.finished_at IS NULL OR w.finished_at > clock_timestamp() - interval '1 year')
SELECT c.id, c.level, c.title, c.ended FROM candidates c, request r WHERE c.lexemes && r.lexemes
ORDER BY cardinality(ARRAY(SELECT unnest(c.lexemes) INTERSECT SELECT unnest(r.lexemes)))::float8
         / greatest(cardinality(c.lexemes), 1) DESC, c.id LIMIT 300
""")
_OUTCOMES = text("""
SELECT count(*) FILTER (WHERE w.status = 'applied') AS applied, count(*) AS decided
FROM work_chunks c JOIN workflows w ON w.id = c.id
WHERE w.status IN ('applied', 'rejected') AND c.confidence < :autonomous
  AND coalesce(c.analysis ->> 'by', 'cues') = :by AND c.analysis ->> 'action' = :action
""")
# Decisions of people that weigh as much as the classifier's own estimate.
PRIOR_DECISIONS = 10


class AddedChunk(NamedTuple):
    """A chunk, its state (applied, waiting or escalated), its classification, and the item it became."""

    chunk_id: UUID
    state: str
    analysis: Analysis
    work_item_id: UUID | None


def similar_items(connection: Connection, request: str) -> list[Item]:
    """Return the items that a text may mean: those whose titles share words with it."""
    rows = connection.execute(_CANDIDATES, {"text": request[:MAX_LENGTH]})
    return [Item(str(row.id), row.level, row.title, row.ended) for row in rows]


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
    """Classify a free text (unless `analysis` is passed) and, if the confidence suffices, do what it says.

    In state `waiting` the caller requests an approval of `decision_payload`; in state `escalated` a person
    has to decide (`decide`). What a text wants of an existing item always waits for a person, unless `updates` names
    the item.

    Raises:
        UsageError: the text is empty or longer than `MAX_LENGTH` characters, or `relates_to` cannot be its parent.
    """
    request = request.strip()
    if not request or len(request) > MAX_LENGTH:
        raise UsageError(f"the text has {len(request)} characters; allowed are 1 to {MAX_LENGTH:,}")
    items = similar_items(connection, request)
    today = connection.scalar(select(func.current_date()))
    analysis = analysis or classify(request, items, today=today)
    if updates is not None:
        level = work_items.show(connection, updates)["level"]
        analysis = replace(analysis, action="update", level=level, about=[str(updates)], confidence=0.95)
    else:
        analysis = _calibrated(connection, analysis)
    parent = relates_to
    if analysis.action == "create":
        analysis = _in_hierarchy(analysis)
        parent = parent or _parent(analysis, items)
    chunk = uuid7()
    stored = {
        **analysis.as_json(),
        "parent_id": parent and str(parent),
        "replaces": updates is not None,
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


def _calibrated(connection: Connection, analysis: Analysis) -> Analysis:
    """Return an analysis with a confidence that follows what people decided on such analyses of its classifier."""
    limit = settings().execution.autonomous
    if analysis.action == "question":
        return analysis
    values = {"by": analysis.by, "action": analysis.action, "autonomous": limit}
    outcomes = connection.execute(_OUTCOMES, values).one()
    weight = PRIOR_DECISIONS + outcomes.decided
    confidence = (PRIOR_DECISIONS * analysis.confidence + outcomes.applied) / weight
    if analysis.action != "create":
        # Which item it means is a guess: a person decides.
        confidence = min(confidence, limit - 0.01)
    reasons = list(analysis.reasons)
    if outcomes.decided:
        reasons.append(f"people applied {outcomes.applied} of {outcomes.decided} such texts")
    return replace(analysis, confidence=round(max(confidence, 0.0), 2), reasons=reasons)


def _in_hierarchy(analysis: Analysis) -> Analysis:
    """Return an analysis whose level is in the hierarchy in force: the next lower one, else the next higher one."""
    level = work_items.level_in_force(analysis.level)
    if level == analysis.level:
        return analysis
    reason = f"level {level}: the hierarchy has no level {analysis.level}"
    return replace(analysis, level=level, reasons=[*analysis.reasons, reason])


def _parent(analysis: Analysis, items: Sequence[Item]) -> UUID | None:
    """Return the open item of the level above that the text resembles most; None if it resembles none."""
    above = work_items.parent_level(analysis.level)
    open_ = [item for item in items if item.level == above and not item.ended]
    likely = mentions(analysis.description, open_, min_coverage=MIN_SIMILARITY)
    return UUID(likely[0].item.id) if likely else None


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
        SELECT c.id, w.status AS state, c.confidence, c.analysis ->> 'action' AS action,
               c.analysis ->> 'level' AS level,
               (SELECT string_agg(i.title, '; ') FROM work_items i
                WHERE coalesce(c.analysis -> 'about', '[]') ? i.id::text) AS about, c.text, c.requested_by,
               c.created_at
        FROM work_chunks c JOIN workflows w ON w.id = c.id WHERE w.status IN ('waiting', 'escalated')
        ORDER BY c.id LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"limit": limit}).mappings()]


def _apply(connection: Connection, chunk: UUID, stored: dict[str, Any], *, actor: str) -> UUID:
    get(connection, chunk)
    # A text that a person had to read becomes an item if that person applies it.
    action = "create" if stored["action"] == "question" else stored["action"]
    item = CHANGES[action](connection, Request(chunk, stored, actor))
    table = tables.work_chunks
    connection.execute(update(table).where(table.c.id == chunk).values(work_item_id=item))
    transition(connection, [chunk], "applied", actor=actor, data={"work_item": str(item)})
    return item
