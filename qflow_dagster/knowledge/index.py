"""The full-text index: names, docstrings, comments, sections and commit messages, in PostgreSQL.

Belongs here: updating it (each blob once, for all repositories). Does not belong here: searching (`search`), reading
blobs (`workers`), extracting their text (`entries`), answers (`answers`).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Connection, Engine, any_, delete, literal, select, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.ingestion import commit_graphs, repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.ingestion.store import lock_facts
from qflow_dagster.ingestion.tables import symbols as symbols_table
from qflow_dagster.knowledge.tables import knowledge_entries
from qflow_dagster.knowledge.words import Entry, Symbol
from qflow_dagster.processes import in_processes
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    from qflow_dagster.knowledge.workers import Task

# Raised whenever the entries of a blob change.
VERSION = 2
MAX_BLOB_BYTES = 1_000_000
BATCH_BYTES, BATCH_FILES = 1_500_000, 200


class IndexUpdateResult(NamedTuple):
    """The additions to the index: blobs, entries, commits."""

    blobs: int
    entries: int
    commits: int


_MISSING = text(f"""
SELECT DISTINCT ON (b.id) b.id AS blob_id, b.oid, b.language, f.path, b.bytes AS size
FROM files f JOIN blobs b ON b.id = f.blob_id
WHERE {IN_SNAPSHOT} AND NOT b.binary AND NOT b.missing AND NOT f.vendored AND NOT f.generated
  AND b.lfs_bytes IS NULL AND b.bytes <= {MAX_BLOB_BYTES} AND b.language <> ''
  AND NOT EXISTS (SELECT FROM knowledge_entries e WHERE e.blob_id = b.id AND e.seq = 0 AND e.version = {VERSION})
ORDER BY b.id
""")
_COMMITS = text("""
INSERT INTO knowledge_commits (commit_id, tsv)
SELECT c.id, to_tsvector('english', left(c.subject || ' ' || c.body, 4000)) FROM commits c
WHERE c.repository_id = :id AND NOT EXISTS (SELECT FROM knowledge_commits k WHERE k.commit_id = c.id)
ON CONFLICT DO NOTHING
""")


def update(
    engine: Engine, snapshot: Snapshot, *, progress: ReportProgress | None = None
) -> IndexUpdateResult:
    """Index the blobs of the snapshot that are not indexed yet; each batch is committed when it is done."""
    with engine.connect() as connection:
        objects = repositories.find(connection, snapshot.repository).objects
        missing = connection.execute(_MISSING, snapshot.interval).all()
        symbols = _symbols(connection, missing) if missing else {}
    entries = _read(engine, objects, missing, symbols, progress) if missing else 0
    with engine.begin() as connection:
        commits = connection.execute(_COMMITS, {"id": snapshot.repository_id}).rowcount
    if commits:
        commit_graphs.write(objects, snapshot.commit_oid)
    return IndexUpdateResult(len(missing), entries, commits)


def _read(
    engine: Engine,
    objects: Path,
    blobs: Sequence[Any],
    symbols: dict[int, list[Symbol]],
    progress: ReportProgress | None,
) -> int:
    """Read blobs and store their entries; return how many there are."""
    # The parsers take longer to import than a question to answer, and mostly there is nothing to read.
    from qflow_dagster.knowledge import workers

    report = progress or (lambda stage, done, total: None)
    tasks = [
        workers.Task(b.blob_id, b.oid, b.language, b.path, b.size, symbols.get(b.blob_id, [])) for b in blobs
    ]
    entries = done = 0
    report("indexing words", 0, len(tasks))
    limits = settings().ingestion
    context = (objects, float(limits.parse_timeout))
    results = in_processes(workers.read_batch, context, _batches(tasks), limits.processes, lost=workers.lost)
    for batch in results:
        with engine.begin() as connection:
            entries += _store(connection, batch)
        done += len(batch)
        report("indexing words", done, len(tasks))
    return entries


def kinds(connection: Connection, snapshot: Snapshot) -> list[tuple[str, int]]:
    """Count the entries of the snapshot by kind, most first."""
    query = text(f"""SELECT e.kind, count(*) FROM files f JOIN knowledge_entries e ON e.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} GROUP BY 1 ORDER BY 2 DESC, 1""")
    return [(row[0], row[1]) for row in connection.execute(query, snapshot.interval)]


def missing(connection: Connection, snapshot: Snapshot) -> list[str]:
    """Return the paths of the snapshot that should be indexed and are not, or by an older version."""
    return [row.path for row in connection.execute(_MISSING, snapshot.interval)]


def _symbols(connection: Connection, missing: Sequence[Any]) -> dict[int, list[Symbol]]:
    table = symbols_table.c
    query = (
        select(table.blob_id, *(table[name] for name in Symbol._fields))
        .where(table.blob_id == any_(literal([blob.blob_id for blob in missing], ARRAY(BigInteger))))
        .order_by(table.blob_id, table.seq)
    )
    symbols: dict[int, list[Symbol]] = {}
    for row in connection.execute(query):
        symbols.setdefault(row.blob_id, []).append(Symbol(*row[1:]))
    return symbols


def _batches(tasks: "Sequence[Task]") -> "list[list[Task]]":
    batches: list[list[Task]] = []
    size = 0
    for task in tasks:
        if not batches or size + task.size > BATCH_BYTES or len(batches[-1]) >= BATCH_FILES:
            batches.append([])
            size = 0
        batches[-1].append(task)
        size += task.size
    return batches


def _store(connection: Connection, batch: Sequence[tuple[int, list[Entry]]]) -> int:
    # Two runs may read the same blob; the second one skips it.
    lock_facts(connection)
    ids = [blob_id for blob_id, _ in batch]
    table = knowledge_entries
    query = select(table.c.blob_id).where(
        table.c.blob_id.in_(ids), table.c.seq == 0, table.c.version == VERSION
    )
    indexed = set(connection.scalars(query))
    new = [(blob_id, entries) for blob_id, entries in batch if blob_id not in indexed]
    connection.execute(delete(table).where(table.c.blob_id.in_([blob_id for blob_id, _ in new])))
    columns = ["blob_id", "seq", "version", "line", "kind", "name", "name_words", "words", "code_words"]
    rows = [(blob_id, e.seq, VERSION, *e[1:]) for blob_id, entries in new for e in entries]
    return copy_rows(connection, knowledge_entries, columns, rows)
