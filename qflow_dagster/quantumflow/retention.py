"""Retention: moving what ended long ago to Parquet archives, and dropping read messages.

An archive holds one row per workflow with its events nested in it, and is complete where it
is kept before anything is deleted. A prune is sealed in the chain of seals, with the archive's
name and SHA-256: that is how a pruned workflow differs from one that vanished.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, delete, literal, select, text

from qflow_dagster.quantumflow.archives import ArchiveFolder, archive_folder
from qflow_dagster.quantumflow.arguments import check_integer, check_seconds
from qflow_dagster.quantumflow.history import seal_archive
from qflow_dagster.quantumflow.rows import Event, Workflow, column_list
from qflow_dagster.quantumflow.tables import seals, workflow_dependencies, workflow_events
from qflow_dagster.quantumflow.tables import workflows as workflows_table
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa

# What ended, unless something unfinished still depends on it (a dead one may yet be retried).
_PRUNABLE = text(f"""
SELECT {column_list(Workflow, "w")} FROM workflows w
WHERE w.finished_at <= statement_timestamp() - make_interval(secs => :older_than)
  AND NOT EXISTS (
      SELECT FROM workflow_dependencies d JOIN workflows dependent ON dependent.id = d.workflow_id
      WHERE d.depends_on_id = w.id AND dependent.finished_at IS NULL)
ORDER BY w.id
LIMIT :limit
FOR UPDATE OF w SKIP LOCKED
""")


@dataclass(frozen=True, slots=True)
class PruneResult:
    """The result of one `prune`: what was moved, and the address of the archive; None if nothing was to be moved."""

    workflows: int
    events: int
    archive: str | None


def prune(
    connection: Connection,
    *,
    folder: ArchiveFolder | None = None,
    older_than: float | None = None,
    limit: int = 10_000,
) -> PruneResult:
    """Move up to `limit` workflows that ended over `older_than` seconds ago into one archive.

    Default: the retention setting, into `archive_folder()`. If the caller's transaction is
    rolled back the archive stays behind, unsealed and harmless.

    Raises:
        QflowError: the archive cannot be written; nothing was deleted.
    """
    check_integer(limit, "limit", 0)
    seconds = _age(older_than)
    rows = connection.execute(_PRUNABLE, {"older_than": seconds, "limit": limit}).all()
    if not rows:
        return PruneResult(0, 0, None)
    workflows = [Workflow(*row) for row in rows]
    ids = [workflow.id for workflow in workflows]
    table = _archive_table(connection, workflows)
    content = _parquet(table)
    digest = hashlib.sha256(content).digest()
    # A name made of its content: no archive is ever overwritten by another.
    name = f"workflows-{digest.hex()[:32]}.parquet"
    archives = folder or archive_folder()
    archives.write(name, content)
    seal_archive(connection, ids, name, digest)
    pruned = literal(ids, ARRAY(Uuid))
    events = connection.execute(
        delete(workflow_events).where(workflow_events.c.workflow_id == any_(pruned))
    ).rowcount
    connection.execute(delete(workflows_table).where(workflows_table.c.id == any_(pruned)))
    return PruneResult(len(ids), events, archives.of(name))


def prune_messages(connection: Connection, *, older_than: float | None = None) -> int:
    """Delete messages older than `older_than` seconds that every consumer of their queue has acknowledged.

    Turns of fairness keys that were not served for a day go, too: they say nothing any more.
    """
    seconds = _age(older_than)
    connection.execute(
        text("DELETE FROM fairness_turns WHERE served_at < statement_timestamp() - interval '1 day'")
    )
    statement = text("""
        DELETE FROM messages m
        WHERE m.created_at <= statement_timestamp() - make_interval(secs => :older_than)
          AND NOT EXISTS (SELECT FROM subscriptions s
                          WHERE s.queue = m.queue AND (s.xact, s.id) < (m.xact, m.id))
    """)
    return connection.execute(statement, {"older_than": seconds}).rowcount


def _age(older_than: float | None) -> float:
    check_seconds(older_than, "older_than", optional=True)
    return float(settings().quantumflow.retention * 86_400 if older_than is None else older_than)


def damaged_archives(connection: Connection, folder: ArchiveFolder | None = None) -> list[str]:
    """Return what is wrong with each sealed archive that is not in `folder`, or not as it was written."""
    sealed = connection.execute(
        select(seals.c.archive, seals.c.archive_hash).where(seals.c.kind == "prune").order_by(seals.c.id)
    )
    archives = folder or archive_folder()
    problems = (archives.problem(row.archive, row.archive_hash) for row in sealed)
    return [problem for problem in problems if problem]


def _archive_schema() -> "pa.Schema":
    """Return the columns of an archive. Ids and JSON are text: any tool that reads Parquet reads them."""
    # Imported here, because it takes longer than the rest of the core together.
    import pyarrow as pa

    time = pa.timestamp("us", tz="UTC")
    event = [
        ("seq", pa.int32()),
        ("from_status", pa.string()),
        ("to_status", pa.string()),
        ("attempt", pa.int32()),
        ("actor", pa.string()),
        ("data", pa.string()),
        ("run_id", pa.string()),
        ("at", time),
        ("prev_hash", pa.binary()),
        ("hash", pa.binary()),
    ]
    workflow = [
        ("id", pa.string()),
        ("type", pa.string()),
        ("key", pa.string()),
        ("status", pa.string()),
        ("priority", pa.int32()),
        ("payload", pa.string()),
        ("result", pa.string()),
        ("error", pa.string()),
        ("attempt", pa.int32()),
        ("max_attempts", pa.int32()),
        ("available_at", time),
        ("expires_at", time),
        ("parent_id", pa.string()),
        ("run_id", pa.string()),
        ("created_at", time),
        ("updated_at", time),
        ("finished_at", time),
        ("depends_on", pa.list_(pa.string())),
        ("events", pa.list_(pa.struct(event))),
    ]
    return pa.schema(workflow)


def _archive_table(connection: Connection, workflows: Sequence[Workflow]) -> "pa.Table":
    import pyarrow as pa

    schema = _archive_schema()
    ids = literal([workflow.id for workflow in workflows], ARRAY(Uuid))
    depends_on: defaultdict[UUID, list[str]] = defaultdict(list)
    dependencies = workflow_dependencies.c
    query = select(dependencies.workflow_id, dependencies.depends_on_id).where(
        dependencies.workflow_id == any_(ids)
    )
    for row in connection.execute(query):
        depends_on[row.workflow_id].append(str(row.depends_on_id))
    events: defaultdict[UUID, list[dict[str, Any]]] = defaultdict(list)
    columns = workflow_events.c
    query = (
        select(*(columns[name] for name in Event._fields))
        .where(columns.workflow_id == any_(ids))
        .order_by(columns.workflow_id, columns.seq)
    )
    for row in connection.execute(query):
        events[row.workflow_id].append({**row._mapping, "data": _json_text(row.data)})
    return pa.Table.from_pylist(
        [
            {
                **{name: getattr(workflow, name, None) for name in schema.names},
                "id": str(workflow.id),
                "parent_id": workflow.parent_id and str(workflow.parent_id),
                "payload": _json_text(workflow.payload),
                "result": _json_text(workflow.result),
                "error": _json_text(workflow.error),
                "depends_on": depends_on[workflow.id],
                "events": events[workflow.id],
            }
            for workflow in workflows
        ],
        schema=schema,
    )


def _json_text(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)


def _parquet(table: "pa.Table") -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue().to_pybytes()
