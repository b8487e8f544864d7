"""Metrics of change: how often and by whom each file of the snapshot was changed.

Times count back from the newest commit of the history, not from today: the same snapshot always
measures the same. Commits dated after they were ingested do not count as the newest; they, and those
after it, count as made at that time. A file's history includes that under its former names (git's renames).
"""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.metrics import people
from qflow_dagster.metrics.store import IN_HISTORY, MetricResult, compute, history_of, read
from qflow_dagster.metrics.tables import change_metrics

# A commit is a bug fix if its subject has such a word: the usual approximation (Mockus, Votta 2000).
BUG_FIX = r"(?i)\b(?:fix(?:e[sd]|ing)?|bug(?:s|fix(?:es)?)?|defects?|hotfix|regressions?|crash(?:e[sd])?)\b"
WINDOWS = (30, 90, 365)

PATHS = f"SELECT f.path FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')"
CHANGES = f"""
    SELECT h.commit_id, h.path, h.previous_path, h.kind, coalesce(h.added_lines, 0) AS added,
           coalesce(h.deleted_lines, 0) AS deleted
    FROM file_changes h JOIN commits c ON c.id = h.commit_id
    WHERE {IN_HISTORY}
"""
COMMITS = f"""
    SELECT c.id AS commit_id, c.oid, c.author_name, c.author_email, c.committed_at, c.authored_at, c.subject,
           c.parents, c.line_counts, c.co_authors
    FROM commits c WHERE {IN_HISTORY}
"""
# A date may be as much later than that of a child, or than the ingestion, before it counts as wrong.
TOLERANCE = pd.Timedelta(days=1)


def compute_changes(engine: Engine, snapshot_id: int) -> MetricResult:
    """Measure the history of each file of the snapshot."""
    return compute(engine, snapshot_id, change_metrics, measure)


def read_commits(connection: Connection, snapshot: Snapshot, history: Mapping[str, Any]) -> pd.DataFrame:
    """Return the snapshot's commit and its ancestors, which `history` selects.

    Adds their age in days, whether their date is possible, whether it is wrong (not possible, or before
    that of a parent), and whether they fix a bug.
    """
    commits = read(connection, COMMITS, history)
    commits["committed_at"] = pd.to_datetime(commits["committed_at"], utc=True)
    latest = pd.Timestamp(snapshot.created_at) + TOLERANCE
    commits["possible"] = commits["committed_at"].between(pd.Timestamp(TOLERANCE.value, tz="UTC"), latest)
    commits["misdated"] = ~commits["possible"] | before_a_parent(commits)
    newest = commits["committed_at"].where(commits["possible"]).max()
    now = pd.Timestamp(snapshot.committed_at) if pd.isna(newest) else newest
    commits["days"] = (now - commits["committed_at"]).dt.total_seconds().clip(lower=0) / 86_400
    commits["bug_fix"] = commits["subject"].astype(str).str.contains(BUG_FIX, regex=True)
    return commits


def before_a_parent(commits: pd.DataFrame) -> pd.Series:
    """Return which commits (columns oid, parents, committed_at) are dated before a parent of theirs."""
    dates = commits.set_index("oid")["committed_at"]
    newest_parent = commits["parents"].explode().map(dates).groupby(level=0).max()
    return commits["committed_at"] < newest_parent.reindex(commits.index) - TOLERANCE


def read_changes(connection: Connection, snapshot: Snapshot, history: Mapping[str, Any]) -> pd.DataFrame:
    """Return the changes of the snapshot's history, each with the current path of its file."""
    changes = read(connection, CHANGES, history)
    changes["path"] = present_paths(changes)
    paths = read(connection, PATHS, snapshot.interval)["path"]
    return changes[changes["path"].isin(set(paths))]


def present_paths(changes: pd.DataFrame) -> pd.Series:
    """Return the current path of the file of each change.

    Commits are numbered as they were stored, parents first. In reverse order, each rename assigns
    the earlier history of the old path to the new path.
    """
    newest_first = changes.sort_values("commit_id", ascending=False, kind="stable")
    # Only renames move history; copies have an old path too, but start a new history.
    previous_paths = newest_first["previous_path"].where(newest_first["kind"] == "renamed")
    current_names: dict[Any, Any] = {}
    paths = []
    for path, previous in zip(newest_first["path"].tolist(), previous_paths.tolist(), strict=True):
        present = current_names.get(path, path)
        paths.append(present)
        if isinstance(previous, str):
            current_names[previous] = present
    return pd.Series(paths, index=newest_first.index, dtype=object).reindex(changes.index)


def measure(connection: Connection, snapshot: Snapshot) -> pd.DataFrame:
    """Compute the rows of `change_metrics` of a snapshot."""
    history = history_of(connection, snapshot)
    commits = read_commits(connection, snapshot, history)
    changes = read_changes(connection, snapshot, history)
    if changes.empty:
        return pd.DataFrame(columns=[column.name for column in change_metrics.columns])
    joined = changes.merge(commits, on="commit_id")
    joined["churn"] = joined["added"] + joined["deleted"]
    by_path = joined.groupby("path", sort=True)
    rows = pd.DataFrame(
        {
            "commits": by_path["commit_id"].nunique(),
            "churn": by_path["churn"].sum(),
            "age_days": by_path["days"].max(),
            "idle_days": by_path["days"].min(),
            "last_changed_at": by_path["committed_at"].max(),
            "bug_fixes": by_path["bug_fix"].sum(),
        }
    )
    for days in WINDOWS:
        recent = joined[joined["days"] <= days].groupby("path")
        rows[f"commits_{days}"] = recent["commit_id"].nunique()
        rows[f"churn_{days}"] = recent["churn"].sum()
    rows = rows.fillna(0).join(people.ownership(joined, commits)).reset_index()
    integer_columns = [c.name for c in change_metrics.columns if c.name in rows and str(c.type) == "INTEGER"]
    rows[integer_columns] = rows[integer_columns].astype("int64")
    return rows
