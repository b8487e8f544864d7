"""The full-text index: names, docstrings, comments, sections and commit messages, in PostgreSQL.

Belongs here: updating it (each blob once, for all repositories), and searching. Does not
belong here: reading blobs (`workers`), extracting their text (`entries`), answers (`answers`).
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ARRAY, BigInteger, Connection, Engine, any_, delete, literal, select, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.ingestion.store import lock_facts
from qflow_dagster.ingestion.tables import symbols as symbols_table
from qflow_dagster.knowledge import entries as index_entries
from qflow_dagster.knowledge.entries import Entry, Symbol
from qflow_dagster.knowledge.tables import knowledge_entries
from qflow_dagster.knowledge.workers import Task, lost, read_batch
from qflow_dagster.processes import in_processes
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

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
    report = progress or (lambda stage, done, total: None)
    with engine.connect() as connection:
        objects = repositories.find(connection, snapshot.repository).objects
        missing = connection.execute(_MISSING, snapshot.interval).all()
        tasks = _with_symbols(connection, missing)
    entries = done = 0
    report("indexing words", 0, len(tasks))
    limits = settings().ingestion
    context = (objects, float(limits.parse_timeout))
    results = in_processes(read_batch, context, _batches(tasks), limits.processes, lost=lost)
    for batch in results:
        with engine.begin() as connection:
            entries += _store(connection, batch)
        done += len(batch)
        report("indexing words", done, len(tasks))
    with engine.begin() as connection:
        commits = connection.execute(_COMMITS, {"id": snapshot.repository_id}).rowcount
    return IndexUpdateResult(len(tasks), entries, commits)


def kinds(connection: Connection, snapshot: Snapshot) -> list[tuple[str, int]]:
    """Count the entries of the snapshot by kind, most first."""
    query = text(f"""SELECT e.kind, count(*) FROM files f JOIN knowledge_entries e ON e.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} GROUP BY 1 ORDER BY 2 DESC, 1""")
    return [(row[0], row[1]) for row in connection.execute(query, snapshot.interval)]


def missing(connection: Connection, snapshot: Snapshot) -> list[str]:
    """Return the paths of the snapshot that should be indexed and are not, or by an older version."""
    return [row.path for row in connection.execute(_MISSING, snapshot.interval)]


def _with_symbols(connection: Connection, missing: Sequence[Any]) -> list[Task]:
    table = symbols_table.c
    query = (
        select(table.blob_id, *(table[name] for name in Symbol._fields))
        .where(table.blob_id == any_(literal([blob.blob_id for blob in missing], ARRAY(BigInteger))))
        .order_by(table.blob_id, table.seq)
    )
    symbols: dict[int, list[Symbol]] = {}
    for row in connection.execute(query):
        symbols.setdefault(row.blob_id, []).append(Symbol(*row[1:]))
    return [Task(b.blob_id, b.oid, b.language, b.path, b.size, symbols.get(b.blob_id, [])) for b in missing]


def _batches(tasks: Sequence[Task]) -> list[list[Task]]:
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


class Hit(NamedTuple):
    """A place that matches a search: location, content, score."""

    path: str
    line: int
    kind: str
    name: str
    words: str
    score: float


_LEXEMES = text("SELECT tsvector_to_array(to_tsvector('english', :question))")
# How many entries contain each lexeme: rare ones weigh more.
_RARITY = text("""
SELECT lexeme, (SELECT count(*) FROM (SELECT FROM knowledge_entries WHERE tsv @@ CAST(quote_literal(lexeme) AS tsquery)
                                      LIMIT 20000) AS matching) AS entries
FROM unnest(CAST(:lexemes AS text[])) AS lexeme
""")
_SEARCH = text(f"""
WITH terms AS (
    SELECT * FROM unnest(CAST(:lexemes AS text[]), CAST(:weights AS float8[])) AS w(lexeme, weight)
), likely AS MATERIALIZED (
    SELECT e.blob_id, e.seq, f.path, f.test
    FROM knowledge_entries e JOIN files f ON f.blob_id = e.blob_id
    WHERE e.tsv @@ CAST(:query AS tsquery) AND {IN_SNAPSHOT} AND (e.kind IN ('section', 'document')) = :prose
    ORDER BY ts_rank(e.tsv, CAST(:query AS tsquery)) DESC LIMIT 3000
)
SELECT l.path, e.line, e.kind, e.name, e.words, scored.score * CASE WHEN l.test THEN 0.6 ELSE 1 END AS score
FROM likely l JOIN knowledge_entries e ON e.blob_id = l.blob_id AND e.seq = l.seq
CROSS JOIN LATERAL (
    SELECT sum(CASE WHEN e.tsv @@ CAST(quote_literal(w.lexeme) || '\\:A' AS tsquery) THEN 1.6 * w.weight
                    WHEN e.tsv @@ CAST(quote_literal(w.lexeme) || '\\:B' AS tsquery) THEN w.weight
                    WHEN e.tsv @@ CAST(quote_literal(w.lexeme) AS tsquery) THEN 0.6 * w.weight ELSE 0 END
               + CASE WHEN strpos(lower(l.path), w.lexeme) > 0 THEN 0.8 * w.weight ELSE 0 END)
           / (1 + 0.15 * ln(1 + length(e.tsv))) AS score FROM terms w
) AS scored
ORDER BY score DESC, l.path, e.line LIMIT :limit
""")
_SEARCH_COMMITS = text("""
SELECT c.oid, c.subject, c.author_name, c.authored_at,
       (SELECT sum(w.weight) FROM unnest(CAST(:lexemes AS text[]), CAST(:weights AS float8[])) AS w(lexeme, weight)
        WHERE k.tsv @@ CAST(quote_literal(w.lexeme) AS tsquery)) AS score
FROM knowledge_commits k JOIN commits c ON c.id = k.commit_id
WHERE c.repository_id = :id AND c.reachable AND k.tsv @@ CAST(:query AS tsquery)
ORDER BY score DESC, c.authored_at DESC LIMIT :limit
""")


def search(
    connection: Connection, snapshot: Snapshot, question: str, *, limit: int = 10, prose: bool = False
) -> list[Hit]:
    """Return the places in code, or in documents (`prose`), that match the question best, best first.

    The score is the sum of the words' inverse document frequencies, higher for words in names, damped by the
    length of the entry.
    """
    terms = _terms(connection, question)
    if not terms:
        return []
    rows = connection.execute(
        _SEARCH, {**snapshot.interval, **_parameters(terms), "limit": limit, "prose": prose}
    )
    return [Hit(*row) for row in rows]


def search_commits(connection: Connection, snapshot: Snapshot, question: str, *, limit: int = 5) -> list[Any]:
    """Return the commits whose messages match best: (oid, subject, author_name, authored_at, score)."""
    terms = _terms(connection, question)
    if not terms:
        return []
    parameters = {"id": snapshot.repository_id, **_parameters(terms), "limit": limit}
    return list(connection.execute(_SEARCH_COMMITS, parameters))


def _terms(connection: Connection, question: str) -> dict[str, float]:
    lexemes = connection.scalar(_LEXEMES, {"question": f"{question} {index_entries.parts(question)}"}) or []
    rows = connection.execute(_RARITY, {"lexemes": lexemes[:24]}).all()
    return {row.lexeme: math.log(1 + 20_000 / (1 + row.entries)) for row in rows if row.entries}


def _parameters(terms: dict[str, float]) -> dict[str, Any]:
    quoted = ["'" + lexeme.replace("\\", "\\\\").replace("'", "''") + "'" for lexeme in terms]
    return {"lexemes": list(terms), "weights": list(terms.values()), "query": " | ".join(quoted)}
