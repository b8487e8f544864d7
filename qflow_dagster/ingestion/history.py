"""Storing commits and what each changed, and keeping them up to date.

A commit is written once; commits that a rewritten branch abandons are kept and marked unreachable.
To count changed lines takes many times as long as all else, so those of commits more than a year older
than the newest are counted afterwards. Commits are read in `commit_log`.
"""

import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from sqlalchemy import ARRAY, Connection, Engine, Text, any_, delete, literal, select, text, update

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_text
from qflow_dagster.ingestion import git, repositories
from qflow_dagster.ingestion.blob_reader import with_reconnect
from qflow_dagster.ingestion.commit_log import LoggedCommit, read_commits
from qflow_dagster.ingestion.tables import commits, file_changes
from qflow_dagster.ingestion.tables import repositories as repositories_table
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

COMMIT_COLUMNS = (
    "id",
    "repository_id",
    "oid",
    "parents",
    "author_name",
    "author_email",
    "authored_at",
    "committer_name",
    "committer_email",
    "committed_at",
    "subject",
    "body",
    "co_authors",
    "line_counts",
    "reachable",
)
CHANGE_COLUMNS = (
    "commit_id",
    "path",
    "repository_id",
    "kind",
    "previous_path",
    "added_lines",
    "deleted_lines",
)


# Commits that are at most so many seconds older than the newest have their lines counted at once.
RECENT = 366 * 86_400
# A date later than now by more seconds than this is wrong.
TOLERANCE = 86_400


class HistoryResult(NamedTuple):
    """The number of stored commits and changes, and the duration in seconds."""

    new_commits: int
    new_changes: int
    seconds: float


class CountResult(NamedTuple):
    """The number of commits whose lines were counted, and of those whose lines cannot be."""

    counted: int
    missing: int


def ingest_history(
    engine: Engine, repository_id: int, commit_oid: str, *, progress: ReportProgress | None = None
) -> HistoryResult:
    """Store the ancestors of `commit_oid` that are not stored yet; make it the history's tip.

    Batches are committed as they are read and a commit is stored at most once, so an aborted run
    continues; the tip moves in the last transaction. `count_lines` completes the old ones.

    Raises:
        GitError: The history cannot be read.
    """
    started = time.monotonic()
    report = progress or (lambda stage, done, total: None)
    with engine.connect() as connection:
        repository = repositories.find_by_id(connection, repository_id)
    with engine.begin() as connection:
        retry_missing(connection, repository_id)
    if repository.history_tip == commit_oid:
        return HistoryResult(0, 0, time.monotonic() - started)
    objects = repository.objects
    # Parents before children whatever their dates, else in the order of dates: rows are numbered in it.
    listed = git.run(objects, "rev-list", "--date-order", "--timestamp", commit_oid, timeout=600).decode()
    dates = {oid: int(seconds) for seconds, oid in map(str.split, listed.splitlines())}
    reachable = list(dates)
    with engine.begin() as connection:
        mark_reachable(connection, repository_id, reachable)
        stored = stored_commits(connection, repository_id)
    missing = [oid for oid in reversed(reachable) if oid not in stored]
    commit_count = changes = 0
    report("reading history", 0, len(missing))
    for batch in read_commits(objects, missing, commit_oid, settings().ingestion.processes, old(dates)):
        changes += with_reconnect(
            engine, lambda connection, batch=batch: store_commits(connection, repository_id, batch)
        )
        commit_count += len(batch)
        report("reading history", commit_count, len(missing))
    with_reconnect(engine, lambda connection: set_tip(connection, repository_id, commit_oid))
    return HistoryResult(commit_count, changes, time.monotonic() - started)


def old(dates: Mapping[str, int]) -> set[str]:
    """Return the commits that are more than a year older than the newest (dates in seconds, by object id).

    Dates in the future are wrong, and do not make the others old.
    """
    now = time.time() + TOLERANCE
    newest = max((seconds for seconds in dates.values() if seconds <= now), default=0)
    return {oid for oid, seconds in dates.items() if seconds < newest - RECENT}


def count_lines(engine: Engine, repository_id: int, *, progress: ReportProgress | None = None) -> CountResult:
    """Count the changed lines of the commits for which this is pending, newest first.

    Each batch is committed, so an aborted run continues.

    Raises:
        GitError: The history cannot be read.
    """
    report = progress or (lambda stage, done, total: None)
    table = commits.c
    query = select(table.oid).where(
        table.repository_id == repository_id, table.line_counts == "pending", table.reachable
    )
    with engine.connect() as connection:
        repository = repositories.find_by_id(connection, repository_id)
        oids = list(connection.scalars(query.order_by(table.id.desc())))
    tip = repository.history_tip
    if not oids or tip is None:
        return CountResult(0, 0)
    counted = missing = 0
    report("counting lines", 0, len(oids))
    for batch in read_commits(repository.objects, oids, tip, settings().ingestion.processes):
        with_reconnect(engine, lambda connection, batch=batch: store_lines(connection, repository_id, batch))
        missing += sum(commit.line_counts == "missing" for commit in batch)
        counted += len(batch)
        report("counting lines", counted, len(oids))
    return CountResult(counted - missing, missing)


def store_lines(connection: Connection, repository_id: int, batch: list[LoggedCommit]) -> None:
    """Replace the changes of stored commits by those of `batch`, with their lines.

    Renames may be others too: where blobs were missing, only exact ones could be found. Commits that
    another process counted meanwhile stay as they are.
    """
    table = commits.c
    query = select(table.oid, table.id).where(
        table.repository_id == repository_id,
        table.oid.in_([commit.oid for commit in batch]),
        table.line_counts == "pending",
    )
    ids = {row.oid: row.id for row in connection.execute(query.order_by(table.id).with_for_update())}
    batch = [commit for commit in batch if commit.oid in ids]
    connection.execute(delete(file_changes).where(file_changes.c.commit_id.in_(ids.values())))
    copy_changes(connection, repository_id, [(ids[commit.oid], commit) for commit in batch])
    for state in {commit.line_counts for commit in batch}:
        of_state = [ids[commit.oid] for commit in batch if commit.line_counts == state]
        connection.execute(update(commits).where(table.id.in_(of_state)).values(line_counts=state))


def retry_missing(connection: Connection, repository_id: int) -> None:
    """Have the lines of commits counted that lacked an object, which may be there now."""
    table = commits.c
    lacking = (table.repository_id == repository_id, table.line_counts == "missing")
    connection.execute(update(commits).where(*lacking).values(line_counts="pending"))


def stored_commits(connection: Connection, repository_id: int) -> set[str]:
    """Return the ids of all stored commits of a repository."""
    return set(connection.scalars(select(commits.c.oid).where(commits.c.repository_id == repository_id)))


def mark_reachable(connection: Connection, repository_id: int, reachable: list[str]) -> None:
    """Mark which stored commits are ancestors of the new tip, or the tip itself."""
    table = commits.c
    is_reachable = table.oid == any_(literal(reachable, ARRAY(Text)))
    connection.execute(
        update(commits)
        .where(table.repository_id == repository_id, table.reachable != is_reachable)
        .values(reachable=~table.reachable)
    )


def store_commits(connection: Connection, repository_id: int, batch: list[LoggedCommit]) -> int:
    """Store commits that are not stored yet, with their changes; return the number of changes."""
    table = commits.c
    query = select(table.oid).where(
        table.repository_id == repository_id, table.oid.in_([commit.oid for commit in batch])
    )
    existing = set(connection.scalars(query))
    new = [commit for commit in batch if commit.oid not in existing]
    ids = list(
        connection.scalars(
            text("SELECT nextval(pg_get_serial_sequence('commits', 'id')) FROM generate_series(1, :count)"),
            {"count": len(new)},
        )
    )
    rows = (
        copy_line((number, repository_id, *commit[:12], True)).encode()
        for number, commit in zip(ids, new, strict=True)
    )
    copy_text(connection, "commits", COMMIT_COLUMNS, [b"".join(rows)])
    return copy_changes(connection, repository_id, zip(ids, new, strict=True))


def copy_changes(
    connection: Connection, repository_id: int, numbered: Iterable[tuple[int, LoggedCommit]]
) -> int:
    """Store the changes of commits, given with their row ids; return the number of changes."""
    changes = [
        copy_line((number, change.path, repository_id, *change[1:])).encode()
        for number, commit in numbered
        for change in commit.changes
    ]
    copy_text(connection, "file_changes", CHANGE_COLUMNS, [b"".join(changes)])
    return len(changes)


def set_tip(connection: Connection, repository_id: int, commit_oid: str) -> None:
    """Record that the history up to `commit_oid` is stored."""
    table = repositories_table
    connection.execute(update(table).where(table.c.id == repository_id).values(history_tip=commit_oid))
