"""Metrics of a repository at a snapshot, and its monthly trend from history alone."""

import time

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, snapshot_by_id
from qflow_dagster.metrics.changes import read_commits
from qflow_dagster.metrics.formulae import fewest_holding_half
from qflow_dagster.metrics.people import people
from qflow_dagster.metrics.store import IN_HISTORY, MetricResult, history_of, read, replace
from qflow_dagster.metrics.tables import repository_metrics, repository_trend

# Delivery metrics cover this many days before the snapshot's commit.
DELIVERY_DAYS = 90
# A revert or an urgent fix of an earlier change stands for a failed change.
FAILURE = r"(?i)^revert\b|\bhot-?fix\b"

FUNCTIONS = f"""
    SELECT m.cyclomatic, m.cognitive, m.maintainability
    FROM files f JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
    WHERE {IN_SNAPSHOT} AND s.seq > 0 AND NOT f.vendored AND NOT f.generated
"""
FILES = "SELECT * FROM file_metrics WHERE snapshot_id = :id"
DUPLICATED = "SELECT coalesce(sum(duplicated_lines), 0) AS lines FROM duplication WHERE snapshot_id = :id"
MONTHS = f"""
    SELECT date_trunc('month', c.committed_at AT TIME ZONE 'UTC')::date AS month,
           coalesce(sum(h.added_lines), 0)::bigint AS added_lines,
           coalesce(sum(h.deleted_lines), 0)::bigint AS deleted_lines,
           count(DISTINCT h.path) AS files_changed
    FROM commits c LEFT JOIN file_changes h ON h.commit_id = c.id
    WHERE {IN_HISTORY} GROUP BY 1 ORDER BY 1
"""


def compute_repository(engine: Engine, snapshot_id: int) -> MetricResult:
    """Measure the repository at the snapshot, and its months; return the number of months."""
    started = time.monotonic()
    with engine.begin() as connection:
        snapshot = snapshot_by_id(connection, snapshot_id)
        history = history_of(connection, snapshot)
        commits = read_commits(connection, snapshot, history)
        who = people(commits)
        replace(connection, repository_metrics, snapshot, totals(connection, snapshot, commits, who))
        months = trend(read(connection, MONTHS, history), commits, who)
        replace(connection, repository_trend, snapshot, months)
    return MetricResult(len(months), time.monotonic() - started)


def totals(
    connection: Connection, snapshot: Snapshot, commits: pd.DataFrame, who: pd.DataFrame
) -> pd.DataFrame:
    """Compute the row of `repository_metrics`, without vendored and generated files."""
    files = read(connection, FILES, {"id": snapshot.id})
    files = files[~files["vendored"].astype(bool) & ~files["generated"].astype(bool)]
    functions = read(connection, FUNCTIONS, snapshot.interval)
    duplicated = int(read(connection, DUPLICATED, {"id": snapshot.id})["lines"].iloc[0])
    by_language = files[files["language"] != ""].groupby("language")["code_lines"].sum()
    languages = by_language.sort_values(ascending=False)
    recent = commits[commits["days"] <= DELIVERY_DAYS]
    lines = int(files["lines"].sum())
    of_late = who[who["days"] <= DELIVERY_DAYS]
    uncounted = commits[commits["line_counts"] != "complete"]
    row = {
        "files": len(files),
        "code_lines": int(files["code_lines"].sum()),
        "comment_lines": int(files["comment_lines"].sum()),
        "functions": len(functions),
        "languages": languages.to_json(),
        "cyclomatic_median": _quantile(functions["cyclomatic"], 0.5),
        "cyclomatic_p90": _quantile(functions["cyclomatic"], 0.9),
        "cognitive_median": _quantile(functions["cognitive"], 0.5),
        "cognitive_p90": _quantile(functions["cognitive"], 0.9),
        "maintainability_median": _quantile(functions["maintainability"], 0.5),
        "duplication_ratio": duplicated / lines if lines else 0.0,
        "misdated_commits": int(commits["misdated"].sum()),
        "uncounted_commits": len(uncounted),
        "lines_counted_after": uncounted["committed_at"].max(),
        "import_cycles": int(files["cycle"].nunique()),
        "contributors": int(who["email"].nunique()),
        "contributors_90": int(of_late["email"].nunique()),
        "bus_factor": fewest_holding_half(who.groupby("email")["share"].sum().to_numpy()),
        **delivery(recent),
    }
    return pd.DataFrame([row])


def delivery(recent: pd.DataFrame) -> dict[str, float]:
    """Compute delivery metrics of the last `DELIVERY_DAYS` from git (proxies for DORA's four keys).

    Deployments and incidents are not in git: commits and merges a week stand for how often
    changes land, the median time from writing to committing on the branch for lead time, and the
    share of reverts and hot fixes for the change failure rate.
    """
    weeks = DELIVERY_DAYS / 7
    merge = recent["parents"].str.len() > 1
    ordinary = recent[~merge]
    written = pd.to_datetime(ordinary["authored_at"], utc=True)
    hours = (ordinary["committed_at"] - written).dt.total_seconds() / 3_600
    failed = ordinary["subject"].astype(str).str.contains(FAILURE, regex=True)
    return {
        "commits_per_week": len(recent) / weeks,
        "merges_per_week": int(merge.sum()) / weeks,
        "lead_time_hours": _quantile(hours.clip(lower=0), 0.5),
        "change_failure_ratio": float(failed.mean()) if len(ordinary) else np.nan,
    }


def trend(months: pd.DataFrame, commits: pd.DataFrame, who: pd.DataFrame) -> pd.DataFrame:
    """Compute the rows of `repository_trend`, one per month with a commit; impossible dates have no month."""
    commits = commits[commits["possible"]]
    month = commits["committed_at"].dt.tz_localize(None).dt.to_period("M").dt.start_time.dt.date
    by_month = commits.assign(month=month).groupby("month")
    months = months[months["month"].isin(by_month.groups.keys())].reset_index(drop=True)
    months["commits"] = months["month"].map(by_month.size()).astype("int64")
    by_person = who.merge(commits.assign(month=month)[["commit_id", "month"]], on="commit_id")
    authors = by_person.groupby("month")["email"].nunique()
    months["authors"] = months["month"].map(authors).fillna(0).astype("int64")
    months["bug_fixes"] = months["month"].map(by_month["bug_fix"].sum()).astype("int64")
    added, deleted = months["added_lines"].astype("int64"), months["deleted_lines"].astype("int64")
    limit = np.iinfo(np.int32).max
    return months.assign(
        added_lines=added.clip(upper=limit),
        deleted_lines=deleted.clip(upper=limit),
        net_lines=(added - deleted).cumsum().clip(-limit, limit),
    )


def _quantile(values: pd.Series, share: float) -> float:
    return float(values.quantile(share)) if len(values) else np.nan
