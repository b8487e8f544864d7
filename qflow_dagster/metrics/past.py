"""Size and complexity of a repository at commits of its whole past, which were never ingested.

Belongs here: which commits are measured, and reading their files for a few numbers each; of a file that is stored
already, they come from the database. Does not belong here: the metrics of snapshots, with all that is known of them.
"""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, delete, text
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import attributes, git, pipeline, repositories, trees
from qflow_dagster.ingestion.blob_reader import batches_of, reading
from qflow_dagster.ingestion.facts import EXTRACTOR_VERSION, BlobFacts
from qflow_dagster.ingestion.repositories import Repository
from qflow_dagster.ingestion.store import BlobKey, FileRow
from qflow_dagster.ingestion.workers import BlobTask, extract_all
from qflow_dagster.metrics.tables import past_metrics
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

# Points of a picture; each costs the reading of the files that differ from those of the next one.
COMMITS = 16

STORED = text("""
    SELECT b.oid, b.language, b.generated, b.binary OR b.lfs_bytes IS NOT NULL AS empty, b.code_lines,
           array_agg(s.cognitive) FILTER (WHERE s.seq > 0 AND s.decisions IS NOT NULL) AS cognitive
    FROM unnest(CAST(:oids AS text[]), CAST(:languages AS text[])) AS w (oid, language)
    JOIN blobs b ON b.oid = w.oid AND b.language = w.language AND b.extractor_version = :version
    LEFT JOIN symbols s ON s.blob_id = b.id
    WHERE NOT b.missing GROUP BY b.id
""")
PENDING = text("""
    SELECT r.id FROM repositories r
    WHERE r.current_snapshot_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM past_metrics p WHERE p.repository_id = r.id AND p.extractor_version = :version
    )
    ORDER BY r.id
""")

# Those that were ingested as well are in `repository_metrics`, with more.
MEASURED = text("""
    SELECT p.commit_oid AS commit, p.committed_at, p.code_lines, p.functions, p.cognitive_p90
    FROM past_metrics p
    WHERE p.repository_id = :id AND p.unread_files = 0 AND NOT EXISTS (
        SELECT FROM snapshots s JOIN repository_metrics m ON m.snapshot_id = s.id
        WHERE s.repository_id = :id AND s.commit_oid = p.commit_oid
    )
    ORDER BY p.committed_at
""")


class Measured(NamedTuple):
    """What counts of a file: lines of code, the cognitive complexity of each function, whether it is generated text."""

    code_lines: int
    cognitive: Sequence[int]
    generated: bool
    text: bool = True


NO_TEXT = Measured(0, (), generated=False, text=False)


def pending(connection: Connection) -> list[int]:
    """Return the ids of ingested repositories whose past is not measured with the present extractor."""
    return list(connection.scalars(PENDING, {"version": EXTRACTOR_VERSION}))


def past_commits(connection: Connection, repository_id: int) -> list[dict[str, Any]]:
    """Return size and complexity at the measured commits of the past, oldest first.

    Those of which a file could not be read are left out, because their numbers lack it.
    """
    return [dict(row) for row in connection.execute(MEASURED, {"id": repository_id}).mappings()]


def measure_past(engine: Engine, repository_id: int, progress: ReportProgress | None = None) -> int:
    """Measure commits spread evenly over the time from the first one to the first that was ingested.

    Returns their number. All are stored together, so the next run begins anew after an aborted one.

    Raises:
        GitError: The history cannot be read.
    """
    report = progress or (lambda stage, done, total: None)
    with engine.connect() as connection:
        repository = repositories.find_by_id(connection, repository_id)
        query = text("SELECT commit_oid FROM snapshots WHERE repository_id = :id ORDER BY seq LIMIT 1")
        first = connection.scalar(query, {"id": repository_id})
    if first is None:
        return 0
    chosen = spread(first_parents(repository.objects, first), COMMITS)
    known: dict[BlobKey, Measured | None] = {}
    rows = []
    # Neighbours share most files: of each commit only those are read that no newer one has.
    for number, (oid, seconds) in enumerate(chosen):
        report("measuring the past", number, len(chosen))
        rows.append(
            {
                "repository_id": repository_id,
                "commit_oid": oid,
                "extractor_version": EXTRACTOR_VERSION,
                "committed_at": datetime.fromtimestamp(seconds, UTC),
                **_measure(engine, repository, oid, known),
            }
        )
    report("measuring the past", len(chosen), len(chosen))
    with engine.begin() as connection:
        connection.execute(delete(past_metrics).where(past_metrics.c.repository_id == repository_id))
        connection.execute(insert(past_metrics).on_conflict_do_nothing(), rows)
    return len(rows)


def first_parents(objects: Path, commit: str) -> list[tuple[str, int]]:
    """Return the commit and its chain of first parents, newest first, each with the second it was committed.

    A commit that is dated after its child gets the child's date: clocks of committers are wrong at times.
    """
    printed = git.run(objects, "rev-list", "--first-parent", "--timestamp", commit).decode()
    chain, latest = [], int(time.time())
    for line in printed.splitlines():
        seconds, oid = line.split()
        latest = max(0, min(latest, int(seconds)))
        chain.append((oid, latest))
    return chain


def spread(chain: Sequence[tuple[str, int]], most: int) -> list[tuple[str, int]]:
    """Return `most` commits of a chain (newest first): the newest of each of as many equal times, and the oldest."""
    newest, oldest = chain[0][1], chain[-1][1]
    step = max(1, (newest - oldest) / max(1, most - 1))
    # Of each time the first in the chain is kept, which is its newest.
    of_time = {int((newest - chain[n][1]) // step): n for n in reversed(range(len(chain)))}
    chosen = sorted({*of_time.values(), len(chain) - 1})
    if len(chosen) > most:
        del chosen[-2]
    return [chain[number] for number in chosen]


def _measure(
    engine: Engine, repository: Repository, oid: str, known: dict[BlobKey, Measured | None]
) -> dict[str, float | None]:
    """Return the columns of a commit; what is read is added to `known`."""
    try:
        entries = git.list_tree(repository.objects, oid)
    except QflowError:
        return {"files": 0, "code_lines": 0, "functions": 0, "cognitive_p90": None, "unread_files": 1}
    own = [(e.path, e.oid) for e in entries if attributes.is_file(e.path) and trees.KINDS[e.mode] == "file"]
    sizes = {entry.oid: entry.size or 0 for entry in entries}
    rows = [
        row
        for row in pipeline.file_rows(repository.objects, entries, own)
        if row.language is not None and not row.vendored and row.generated is not True
    ]
    wanted = {(row.oid, row.language or ""): row.path for row in rows}
    wanted = {key: path for key, path in wanted.items() if key not in known}
    with engine.connect() as connection:
        known.update(_stored(connection, list(wanted)))
    tasks = [BlobTask(*key, 0, path, sizes[key[0]]) for key, path in wanted.items() if key not in known]
    known.update(_read(repository.objects, tasks))
    return _summed(rows, known)


def _summed(rows: Iterable[FileRow], known: Mapping[BlobKey, Measured | None]) -> dict[str, float | None]:
    files = lines = unread = 0
    counts: Counter[int] = Counter()
    for row in rows:
        file = known[row.oid, row.language or ""]
        if file is None:
            unread += 1
        elif file.text and not (file.generated and row.generated is None):
            files += 1
            lines += file.code_lines
            counts.update(file.cognitive)
    return {
        "files": files,
        "code_lines": lines,
        "functions": counts.total(),
        "cognitive_p90": _percentile(counts, 0.9),
        "unread_files": unread,
    }


def _percentile(counts: Counter[int], share: float) -> float | None:
    """Return the value at a share of all, between the two nearest as `pandas.Series.quantile` does."""
    if not counts:
        return None
    position = (counts.total() - 1) * share
    values = sorted(counts.elements())
    low, high = values[int(position)], values[min(int(position) + 1, len(values) - 1)]
    return low + (high - low) * (position - int(position))


def _stored(connection: Connection, keys: Sequence[BlobKey]) -> dict[BlobKey, Measured | None]:
    given = {"oids": [k[0] for k in keys], "languages": [k[1] for k in keys], "version": EXTRACTOR_VERSION}
    return {
        (row.oid, row.language): NO_TEXT
        if row.empty
        else Measured(row.code_lines, row.cognitive or (), row.generated)
        for row in connection.execute(STORED, given)
    }


def _read(objects: Path, tasks: list[BlobTask]) -> dict[BlobKey, Measured | None]:
    found: dict[BlobKey, Measured | None] = {}
    number = settings().ingestion.processes
    with closing(extract_all(reading(objects, measured), batches_of(tasks), number)) as extracted:
        for results in extracted:
            found.update(((r.task.oid, r.task.language), None if r.missing else r.kept) for r in results)
    return found


def measured(task: BlobTask, facts: BlobFacts) -> Measured:
    """Return what counts of a file's facts."""
    if facts.binary or facts.lfs_bytes is not None:
        return NO_TEXT
    cognitive = [s.cognitive or 0 for s in facts.symbols if s.seq > 0 and s.decisions is not None]
    return Measured(facts.code_lines, cognitive, facts.generated)
