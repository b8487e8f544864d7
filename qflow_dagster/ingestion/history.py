"""Storing commits and what each changed, and keeping them up to date.

A commit is written once; commits that a rewritten branch abandons are kept and marked unreachable.
They are read in `commit_log`.
"""

import time
from typing import NamedTuple

from sqlalchemy import ARRAY, Connection, Engine, Text, any_, literal, select, text, update

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_text
from qflow_dagster.ingestion import git, repositories
from qflow_dagster.ingestion.commit_log import LoggedCommit, read_commits
from qflow_dagster.ingestion.pipeline import with_reconnect
from qflow_dagster.ingestion.tables import commits
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


class HistoryResult(NamedTuple):
    """The number of stored commits and changes, and the duration in seconds."""

    new_commits: int
    new_changes: int
    seconds: float


def ingest_history(
    engine: Engine, repository_id: int, commit_oid: str, *, progress: ReportProgress | None = None
) -> HistoryResult:
    """Store the ancestors of `commit_oid` that are not stored yet; make it the history's tip.

    Batches are committed as they are read and a commit is stored at most once, so an aborted run
    continues; the tip moves in the last transaction.

    Raises:
        GitError: The history cannot be read.
    """
    started = time.monotonic()
    report = progress or (lambda stage, done, total: None)
    with engine.connect() as connection:
        repository = repositories.find_by_id(connection, repository_id)
    if repository.history_tip == commit_oid:
        return HistoryResult(0, 0, time.monotonic() - started)
    objects = repository.objects
    reachable = git.run(objects, "rev-list", commit_oid, timeout=600).decode().split()
    with engine.begin() as connection:
        forget_unreachable(connection, repository_id, reachable, repository.history_tip)
        stored = stored_commits(connection, repository_id)
    missing = [oid for oid in reversed(reachable) if oid not in stored]
    commit_count = changes = 0
    report("reading history", 0, len(missing))
    for batch in read_commits(objects, missing, commit_oid, settings().ingestion.processes):
        changes += with_reconnect(
            engine, lambda connection, batch=batch: store_commits(connection, repository_id, batch)
        )
        commit_count += len(batch)
        report("reading history", commit_count, len(missing))
    with_reconnect(engine, lambda connection: set_tip(connection, repository_id, commit_oid))
    return HistoryResult(commit_count, changes, time.monotonic() - started)


def stored_commits(connection: Connection, repository_id: int) -> set[str]:
    """Return the ids of all stored commits of a repository."""
    return set(connection.scalars(select(commits.c.oid).where(commits.c.repository_id == repository_id)))


def forget_unreachable(
    connection: Connection, repository_id: int, reachable: list[str], tip: str | None
) -> None:
    """Mark which stored commits are ancestors of the new tip; nothing changes if the branch only grew."""
    if tip is None or tip in set(reachable):
        return
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
        copy_line((number, repository_id, *commit[:11], True)).encode()
        for number, commit in zip(ids, new, strict=True)
    )
    copy_text(connection, "commits", COMMIT_COLUMNS, [b"".join(rows)])
    changes = [
        copy_line((number, change.path, repository_id, *change[1:])).encode()
        for number, commit in zip(ids, new, strict=True)
        for change in commit.changes
    ]
    copy_text(connection, "file_changes", CHANGE_COLUMNS, [b"".join(changes)])
    return len(changes)


def set_tip(connection: Connection, repository_id: int, commit_oid: str) -> None:
    """Record that the history up to `commit_oid` is stored."""
    table = repositories_table
    connection.execute(update(table).where(table.c.id == repository_id).values(history_tip=commit_oid))
