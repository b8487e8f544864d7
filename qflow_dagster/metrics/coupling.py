"""Change coupling: files that keep changing in the same commits (Tornhill: Your Code as a Crime Scene)."""

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.metrics.changes import read_changes
from qflow_dagster.metrics.formulae import coupling_degree
from qflow_dagster.metrics.store import MetricResult, compute, history_of
from qflow_dagster.metrics.tables import change_coupling
from qflow_dagster.settings import settings

MAX_PAIRS = 20_000


def compute_coupling(engine: Engine, snapshot_id: int) -> MetricResult:
    """Find the coupled pairs of the snapshot's files."""
    return compute(engine, snapshot_id, change_coupling, measure)


def measure(connection: Connection, snapshot: Snapshot) -> pd.DataFrame:
    """Compute the rows of `change_coupling`: the `MAX_PAIRS` strongest pairs with enough common commits."""
    limits = settings().metrics
    changes = read_changes(connection, snapshot, history_of(connection, snapshot))
    changes = changes[["commit_id", "path"]].drop_duplicates()
    pairs = count_pairs(changes, limits.coupling_support, limits.coupling_files)
    pairs["degree"] = coupling_degree(pairs["common_commits"], pairs["commits_a"], pairs["commits_b"])
    ordered = pairs.sort_values(
        ["degree", "common_commits", "path_a", "path_b"], ascending=[False, False, True, True]
    )
    return ordered.head(MAX_PAIRS)


def count_pairs(changes: pd.DataFrame, support: int, max_files: int) -> pd.DataFrame:
    """Return pairs of paths with at least `support` common commits (columns commit_id, path; no duplicates).

    Commits of more than `max_files` files are no evidence of coupling: they are not common commits, but
    count as commits of their files, as do those of one file. A path with fewer than `support` commits
    cannot be in a pair; most paths are excluded by that.
    """
    commits = changes["path"].value_counts()
    size = changes.groupby("commit_id")["path"].transform("size")
    changes = changes[(size >= 2) & (size <= max_files)]
    changes = changes[changes["path"].isin(commits[commits >= support].index)]
    codes, paths = pd.factorize(changes["path"], sort=True)
    ordered = pd.DataFrame({"commit": changes["commit_id"].to_numpy(), "code": codes}).sort_values(
        ["commit", "code"]
    )
    _, starts, sizes = np.unique(ordered["commit"].to_numpy(), return_index=True, return_counts=True)
    code = ordered["code"].to_numpy(np.int64)
    keys = []
    for length in np.unique(sizes[sizes >= 2]):
        members = code[starts[sizes == length][:, None] + np.arange(length)]
        left, right = np.triu_indices(length, 1)
        keys.append((members[:, left] * len(paths) + members[:, right]).ravel())
    pair_codes, common = np.unique(
        np.concatenate(keys) if keys else np.empty(0, np.int64), return_counts=True
    )
    pair_codes, common = pair_codes[common >= support], common[common >= support]
    a, b = np.divmod(pair_codes, max(len(paths), 1))
    frame = pd.DataFrame({"path_a": paths[a], "path_b": paths[b], "common_commits": common})
    return frame.assign(
        commits_a=frame["path_a"].map(commits).astype("int64"),
        commits_b=frame["path_b"].map(commits).astype("int64"),
    )
