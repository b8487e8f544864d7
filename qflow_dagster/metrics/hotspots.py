"""Hotspots: files that change often and are hard to understand (Tornhill: Your Code as a Crime Scene).

Score = percentile rank of commits in the last year x percentile rank of cognitive complexity,
among the files with a syntax tree that are neither vendored, generated nor tests. A repository
without another commit in that year is ranked by all its commits.
"""

import pandas as pd
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.metrics.formulae import percentile_rank
from qflow_dagster.metrics.store import MetricResult, compute, read
from qflow_dagster.metrics.tables import hotspots

CANDIDATES = """
    SELECT m.path, m.cognitive, m.cognitive_max, m.code_lines, m.fan_in, c.commits, c.commits_365,
           c.authors, c.bus_factor, c.bug_fixes, c.knowledge_loss, coalesce(d.ratio, 0) AS duplicated
    FROM file_metrics m
    JOIN change_metrics c ON c.snapshot_id = m.snapshot_id AND c.path = m.path
    LEFT JOIN duplication d ON d.snapshot_id = m.snapshot_id AND d.path = m.path
    WHERE m.snapshot_id = :id AND m.maintainability IS NOT NULL
      AND NOT m.vendored AND NOT m.generated AND NOT m.test
"""


def compute_hotspots(engine: Engine, snapshot_id: int) -> MetricResult:
    """Rank the snapshot's files; requires the metrics of files, changes and duplication."""
    return compute(engine, snapshot_id, hotspots, measure)


def measure(connection: Connection, snapshot: Snapshot) -> pd.DataFrame:
    """Return the rows of `hotspots`: every file that changed and has any complexity, highest score first."""
    return rank(read(connection, CANDIDATES, {"id": snapshot.id}))


def rank(files: pd.DataFrame) -> pd.DataFrame:
    """Rank candidate files (columns as in `CANDIDATES`), with an explanation of each rank."""
    recent = files["commits_365"] if (files["commits_365"] > 0).any() else files["commits"]
    ranked = files.assign(
        change_rank=percentile_rank(recent.to_numpy()),
        complexity_rank=percentile_rank(files["cognitive"].to_numpy()),
    )
    ranked = ranked[(recent > 0) & (files["cognitive"] > 0)]
    ranked = ranked.assign(score=ranked["change_rank"] * ranked["complexity_rank"])
    ranked = ranked.sort_values(["score", "commits", "path"], ascending=[False, False, True])
    ranked["rank"] = range(1, len(ranked) + 1)
    ranked["reason"] = [reason(row) for row in ranked.to_dict("records")]
    return ranked


def reason(file: dict) -> str:
    """Explain in words why a file is a hotspot: its changes, complexity, and aggravating factors."""
    reasons = [f"{file['commits_365']} commits in a year", f"cognitive complexity {file['cognitive']}"]
    if file["cognitive_max"] > 15:
        reasons.append(f"{file['cognitive_max']} in one function")
    if file["bug_fixes"] >= 3:
        reasons.append(f"{file['bug_fixes']} bug fixes")
    if file["fan_in"] >= 10:
        reasons.append(f"{file['fan_in']} files depend on it")
    if file["bus_factor"] == 1 and file["authors"] > 2:
        reasons.append("one author holds half of it")
    if file["knowledge_loss"] >= 0.5:
        reasons.append(f"{file['knowledge_loss']:.0%} by authors who left")
    if file["duplicated"] >= 0.2:
        reasons.append(f"{file['duplicated']:.0%} duplicated")
    return ", ".join(reasons)
