"""Checks on ingestion: snapshots are complete, consistent, parsed and current."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.assets import ingestion as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.repository_check import repository_check
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.ingestion import git, queries, remotes
from qflow_dagster.ingestion import repositories as registered

# Maximum share of parsed files with a syntax error; above it, a grammar is probably wrong.
PARSE_ERROR_LIMIT = 0.05


@repository_check(assets.SNAPSHOT, blocking=True)
def every_path_is_accounted_for(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Check that the snapshot has exactly the paths and objects that git lists for the commit."""
    objects = registered.find(connection, snapshot.repository).objects
    listed = {entry.path: entry.oid for entry in git.list_tree(objects, snapshot.commit_oid)}
    stored = queries.snapshot_paths(connection, snapshot)
    wrong = sorted(path for path, _ in listed.items() ^ stored.items())
    unread = queries.files_without_facts(connection, snapshot)
    return dg.AssetCheckResult(
        passed=not wrong and not unread,
        description=f"Git lists {len(listed):,} paths. "
        + verdict(len(wrong), "path", "different in the snapshot", wrong)
        + " "
        + verdict(len(unread), "file", "unread", unread, limit=20),
        metadata={
            "paths_in_git": len(listed),
            "paths_stored": len(stored),
            "wrong": wrong[:20],
            "unread": unread,
        },
    )


@repository_check(assets.FILES, blocking=True)
def totals_add_up(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Check that files, bytes and lines of the rows add up to the totals of the snapshot."""
    summed = queries.totals_of_files(connection, snapshot)
    stated = {name: getattr(snapshot, name) for name in summed}
    differing = [f"{name} ({summed[name]} in rows)" for name in summed if summed[name] != stated[name]]
    return dg.AssetCheckResult(
        passed=not differing,
        description=verdict(len(differing), "total", "different from the sum of the rows", differing),
        metadata={"summed": summed, "stated": stated},
    )


@repository_check(assets.DEPENDENCIES)
def no_dependency_points_nowhere(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Check that source and target of every resolved import are files of the snapshot."""
    dangling = queries.dangling_dependencies(connection, snapshot)
    return dg.AssetCheckResult(
        passed=not dangling,
        description=verdict(
            len(dangling), "resolved import", "from or to a file that is not in the snapshot", limit=20
        ),
        metadata={"dangling": table(dangling, MAX_ROWS)},
    )


@repository_check(assets.SYMBOLS)
def few_parse_errors(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Check that at most 5 % of the parsed files have a syntax error (tests and vendored code excluded)."""
    rate = queries.parse_error_rate(connection, snapshot)
    share = rate["with_errors"] / rate["parsed"] if rate["parsed"] else 0.0
    return dg.AssetCheckResult(
        passed=share <= PARSE_ERROR_LIMIT,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Of {rate['parsed']:,} parsed files, {rate['with_errors']:,} ({share:.1%}) have a syntax error; "
        f"up to {PARSE_ERROR_LIMIT:.0%} is normal.",
        metadata={
            "share": share,
            "files_parsed": rate["parsed"],
            "files_with_errors": rate["with_errors"],
            "worst": table(rate["worst"]),
        },
    )


@repository_check(assets.SNAPSHOT)
def is_at_head(connection: Connection, snapshot: queries.Snapshot) -> dg.AssetCheckResult:
    """Check that the snapshot is the repository's current HEAD (an older revision may have been requested)."""
    head = remotes.head(snapshot.location)
    return dg.AssetCheckResult(
        passed=head == snapshot.commit_oid,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"The snapshot is that of HEAD, {head[:10]}."
        if head == snapshot.commit_oid
        else f"The snapshot is that of {snapshot.commit_oid[:10]}, and HEAD is {head[:10]}.",
        metadata={"head": head, "snapshot": snapshot.commit_oid},
    )


checks = [
    every_path_is_accounted_for,
    totals_add_up,
    no_dependency_points_nowhere,
    few_parse_errors,
    is_at_head,
]
