"""History: reading it, sealing it, and finding where it was tampered with.

Each workflow's events form a chain of SHA-256 hashes, so writers of different workflows
never wait for each other. A chain shows what was changed inside it; what it cannot show is
that it is gone altogether. So `checkpoint` seals the heads of all chains, and the seals are
a chain themselves. The newest seal's hash, kept outside the database, shows even a history
that was rewritten from end to end.

Does not belong here: moving history to archives (`retention`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from qflow_dagster.database.locks import lock
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow.archives import archive_folder, archive_of, archived_events
from qflow_dagster.quantumflow.arguments import check_id
from qflow_dagster.quantumflow.rows import Event
from qflow_dagster.quantumflow.tables import seals, workflow_events
from qflow_dagster.registry import Lock

_SEAL = """
WITH last AS (
    SELECT coalesce(max(id), 0) AS id, coalesce((array_agg(hash ORDER BY id DESC))[1], '') AS hash FROM seals
), head AS (
    INSERT INTO sealed_heads (workflow_id, seal_id, seq, hash)
    SELECT w.id, last.id + 1, w.head_seq, w.head_hash FROM last CROSS JOIN workflows w WHERE {chosen}
    RETURNING workflow_id, seq, hash
), gathered AS (
    SELECT count(*)::integer AS head_count,
           coalesce(string_agg(workflow_id || ' ' || seq || ' ' || encode(hash, 'hex'), ','
                               ORDER BY workflow_id), '') AS heads
    FROM head
)
INSERT INTO seals (id, kind, head_count, archive, archive_hash, at, prev_hash, hash)
SELECT last.id + 1, CAST(:kind AS text), head_count, CAST(:archive AS text), CAST(:archive_hash AS bytea),
       statement_timestamp(), last.hash,
       seal_hash(last.hash, last.id + 1, CAST(:kind AS text), head_count, CAST(:archive AS text),
                 CAST(:archive_hash AS bytea), statement_timestamp(), heads)
FROM last CROSS JOIN gathered
RETURNING id, kind, head_count, hash
"""
_SEAL_CHANGED = text(
    _SEAL.format(
        chosen="NOT EXISTS (SELECT FROM sealed_heads h WHERE h.workflow_id = w.id AND h.seq = w.head_seq)"
    )
)
_SEAL_GIVEN = text(_SEAL.format(chosen="w.id = ANY(CAST(:ids AS uuid[]))"))

_BROKEN_EVENT = text("""
WITH chained AS (
    SELECT e.*,
           coalesce(lag(seq) OVER chain, 0) AS last_seq,
           coalesce(lag(hash) OVER chain, '') AS last_hash,
           lead(seq) OVER chain IS NULL AS is_head
    FROM workflow_events e
    WHERE CAST(:workflow_id AS uuid) IS NULL OR workflow_id = :workflow_id
    WINDOW chain AS (PARTITION BY workflow_id ORDER BY seq)
), verified AS (
    SELECT c.workflow_id, c.seq, CASE
        WHEN c.hash <> workflow_event_hash(c.prev_hash, c.workflow_id, c.seq, c.from_status, c.to_status,
                                           c.attempt, c.actor, c.data, c.run_id, c.at)
            THEN 'the event was altered'
        WHEN c.seq <> c.last_seq + 1 THEN 'events before it are missing'
        WHEN c.prev_hash <> c.last_hash THEN 'the event does not follow the one before it'
        WHEN c.is_head AND w.id IS NULL THEN 'the workflow is gone, its history is not'
        WHEN c.is_head AND (w.head_seq, w.head_hash) IS DISTINCT FROM (c.seq, c.hash)
            THEN 'the workflow has another last event: later ones are missing, or were added'
        WHEN c.is_head AND w.status <> c.to_status
            THEN 'the status of the workflow is not that of its last event'
        END AS reason
    FROM chained c LEFT JOIN workflows w ON w.id = c.workflow_id AND c.is_head
)
SELECT workflow_id, seq, reason FROM verified WHERE reason IS NOT NULL
UNION ALL
SELECT w.id, 1, 'the history of the workflow is gone' FROM workflows w
WHERE (CAST(:workflow_id AS uuid) IS NULL OR w.id = :workflow_id)
  AND NOT EXISTS (SELECT FROM workflow_events e WHERE e.workflow_id = w.id)
ORDER BY workflow_id, seq LIMIT 1
""")

_BROKEN_HEAD = text("""
SELECT h.workflow_id, h.seq,
       CASE WHEN e.hash IS NULL THEN 'the event was sealed and is gone, and no archive holds it'
            ELSE 'the event is not the one that was sealed: its history was rewritten' END AS reason
FROM sealed_heads h
LEFT JOIN workflow_events e ON e.workflow_id = h.workflow_id AND e.seq = h.seq
WHERE (CAST(:workflow_id AS uuid) IS NULL OR h.workflow_id = :workflow_id)
  AND e.hash IS DISTINCT FROM h.hash
  AND NOT EXISTS (
      SELECT FROM sealed_heads p JOIN seals ON seals.id = p.seal_id
      WHERE p.workflow_id = h.workflow_id AND kind = 'prune' AND p.seq >= h.seq)
ORDER BY h.workflow_id, h.seq LIMIT 1
""")

_BROKEN_SEAL = text("""
WITH gathered AS (
    SELECT seal_id, count(*)::integer AS head_count,
           string_agg(workflow_id || ' ' || seq || ' ' || encode(hash, 'hex'), ','
                      ORDER BY workflow_id) AS heads
    FROM sealed_heads GROUP BY seal_id
), verified AS (
    SELECT id AS seq, CASE
        WHEN seals.head_count <> coalesce(g.head_count, 0) THEN 'heads of it were added or removed'
        WHEN hash <> seal_hash(prev_hash, id, kind, coalesce(g.head_count, 0), archive, archive_hash, at,
                               coalesce(heads, '')) THEN 'the seal or its heads were altered'
        WHEN id <> coalesce(lag(id) OVER (ORDER BY id), 0) + 1 THEN 'seals before it are missing'
        WHEN prev_hash <> coalesce(lag(hash) OVER (ORDER BY id), '')
            THEN 'it does not follow the seal before it'
        END AS reason
    FROM seals LEFT JOIN gathered g ON g.seal_id = seals.id
)
SELECT NULL AS workflow_id, seq, reason FROM verified WHERE reason IS NOT NULL ORDER BY seq LIMIT 1
""")


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """Where history is not what was written: event `seq` of a workflow or, without one, seal `seq`."""

    workflow_id: UUID | None
    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Seal:
    """A sealed set of chain heads; `hash` covers every seal before it."""

    id: int
    kind: str
    head_count: int
    hash: bytes


def get_events(connection: Connection, workflow_id: UUID) -> list[Event]:
    """Return the events of a workflow, first to last, also those of an archived one.

    Raises:
        ArchiveMissingError: Its archive cannot be read.
    """
    check_id(workflow_id, "the workflow")
    query = (
        select(*(workflow_events.c[name] for name in Event._fields))
        .where(workflow_events.c.workflow_id == workflow_id)
        .order_by(workflow_events.c.seq)
    )
    events = [Event(*row) for row in connection.execute(query)]
    return events or archived_events(connection, workflow_id)


def checkpoint(connection: Connection) -> Seal:
    """Seal the heads of all chains that moved since they were last sealed.

    Run it daily. From then on a workflow that vanishes is found; keep the returned hash
    outside the database and `verify_history` finds a rewritten chain of seals too.
    """
    lock(connection, Lock.SEALS)
    parameters = {"kind": "checkpoint", "archive": None, "archive_hash": None}
    return Seal(*connection.execute(_SEAL_CHANGED, parameters).one())


def seal_archive(connection: Connection, ids: Sequence[UUID], archive: str, archive_hash: bytes) -> Seal:
    """Seal the last heads of workflows that now are in the file `archive`; now they may be deleted."""
    lock(connection, Lock.SEALS)
    parameters = {"kind": "prune", "archive": archive, "archive_hash": archive_hash, "ids": list(ids)}
    return Seal(*connection.execute(_SEAL_GIVEN, parameters).one())


def verify_history(
    connection: Connection, workflow_id: UUID | None = None, *, kept_hash: bytes | None = None
) -> BrokenLink | None:
    """Return the first position where history is not what was written, or None: all of it, or one workflow's.

    Found are: an event altered, removed, added, reordered or replaced; a workflow whose status
    is not that of its history; a workflow sealed by a checkpoint that is gone without having
    been pruned; a seal altered or removed. With `kept_hash` (of a seal, kept outside the
    database): seals cut off or rewritten as well. Of an archived workflow, given by its id, the archive is checked
    against its seal. Not found: a workflow created and removed
    between two checkpoints.
    """
    check_id(workflow_id, "the workflow", optional=True)
    if not isinstance(kept_hash, bytes | None):
        raise UsageError(f"kept_hash is the hash of a seal (bytes), not {type(kept_hash).__name__}")
    parameters = {"workflow_id": workflow_id}
    statements = [_BROKEN_EVENT, _BROKEN_HEAD] if workflow_id else [_BROKEN_EVENT, _BROKEN_HEAD, _BROKEN_SEAL]
    for statement in statements:
        row = connection.execute(statement, parameters if statement is not _BROKEN_SEAL else {}).first()
        if row is not None:
            return BrokenLink(row.workflow_id, row.seq, row.reason)
    if workflow_id is not None and (archive := archive_of(connection, workflow_id)):
        problem = archive_folder().problem(*archive)
        if problem:
            return BrokenLink(workflow_id, 1, problem)
    if kept_hash is not None:
        kept = connection.scalar(select(seals.c.id).where(seals.c.hash == kept_hash))
        if kept is None:
            last = connection.scalar(select(func.max(seals.c.id)))
            return BrokenLink(None, last or 0, "the seal that was kept outside is not in the chain")
    return None
