"""Checks on what was ingested: nothing lost, nothing invented, readable, and fresh."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.assets import ingestion as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.repository_check import repository_check
from qflow_dagster.ingestion import git, queries, remotes
from qflow_dagster.ingestion import repositories as registered

# Share of parsed files that may have a syntax error before the grammars are to be doubted.
PARSE_ERROR_LIMIT = 0.05


@repository_check(assets.SNAPSHOT, blocking=True)
def every_path_is_accounted_for(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """The snapshot holds exactly the paths and objects that git lists for the commit."""
    objects = registered.find(connection, snapshot.repository).objects
    listed = {entry.path: entry.oid for entry in git.list_tree(objects, snapshot.commit_oid)}
    stored = queries.snapshot_paths(connection, snapshot)
    wrong = sorted(path for path, _ in listed.items() ^ stored.items())
    unread = queries.files_without_facts(connection, snapshot)
    return dg.AssetCheckResult(
        passed=not wrong and not unread,
        metadata={
            "paths_in_git": len(listed),
            "paths_stored": len(stored),
            "wrong": wrong[:20],
            "unread": unread,
        },
    )


@repository_check(assets.FILES, blocking=True)
def totals_add_up(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Files, bytes and lines of the rows are those the snapshot was published with."""
    summed = queries.totals_of_files(connection, snapshot)
    stated = {name: getattr(snapshot, name) for name in summed}
    return dg.AssetCheckResult(passed=summed == stated, metadata={"summed": summed, "stated": stated})


@repository_check(assets.DEPENDENCIES)
def no_dependency_points_nowhere(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Both ends of every resolved import are files of the snapshot."""
    dangling = queries.dangling_dependencies(connection, snapshot)
    return dg.AssetCheckResult(passed=not dangling, metadata={"dangling": table(dangling, MAX_ROWS)})


@repository_check(assets.SYMBOLS)
def few_parse_errors(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """At most 5 % of the files with a syntax tree have a syntax error (tests and vendored code aside)."""
    rate = queries.parse_error_rate(connection, snapshot)
    share = rate["with_errors"] / rate["parsed"] if rate["parsed"] else 0.0
    return dg.AssetCheckResult(
        passed=share <= PARSE_ERROR_LIMIT,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "share": share,
            "files_parsed": rate["parsed"],
            "files_with_errors": rate["with_errors"],
            "worst": table(rate["worst"]),
        },
    )


@repository_check(assets.SNAPSHOT)
def is_at_head(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """The snapshot is the repository's present HEAD (an older revision may have been asked for)."""
    head = remotes.head(snapshot.location)
    return dg.AssetCheckResult(
        passed=head == snapshot.commit_oid,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"head": head, "snapshot": snapshot.commit_oid},
    )


checks = [
    every_path_is_accounted_for,
    totals_add_up,
    no_dependency_points_nowhere,
    few_parse_errors,
    is_at_head,
]
