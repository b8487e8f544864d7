"""Metrics of files: totals over their functions and top level, documentation, and coupling by imports."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import scipy
from sqlalchemy import Connection, Engine

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.metrics import formulae
from qflow_dagster.metrics.store import MetricResult, compute, read
from qflow_dagster.metrics.tables import file_metrics

FILES = f"""
    SELECT f.path, b.language, f.test, f.vendored, f.generated, b.lines, b.code_lines, b.comment_lines,
           b.parsed, m.functions, m.cyclomatic, m.cyclomatic_max, m.cognitive, m.cognitive_max,
           m.halstead_volume, m.function_volume, m.function_code, m.function_cyclomatic,
           m.documentable, m.documented
    FROM files f JOIN blobs b ON b.id = f.blob_id
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE s.seq > 0 AND x.symbol_id IS NOT NULL) AS functions,
               sum(x.cyclomatic) AS cyclomatic, max(x.cyclomatic) AS cyclomatic_max,
               sum(x.cognitive) AS cognitive, max(x.cognitive) AS cognitive_max,
               sum(x.halstead_volume) AS halstead_volume,
               avg(x.halstead_volume) AS function_volume,
               avg(x.code_lines) AS function_code, avg(x.cyclomatic) AS function_cyclomatic,
               count(*) FILTER (WHERE s.seq > 0) AS documentable,
               count(*) FILTER (WHERE s.seq > 0 AND s.docstring) AS documented
        FROM symbols s LEFT JOIN function_metrics x ON x.symbol_id = s.id WHERE s.blob_id = f.blob_id
    ) m ON b.parsed
    WHERE {IN_SNAPSHOT} AND NOT b.binary AND b.lfs_bytes IS NULL
"""
# `at_import`: some import of the target runs when the source is imported.
EDGES = f"""
    SELECT f.source_path, f.target_path, bool_or(NOT coalesce(i.deferred, false)) AS at_import
    FROM dependencies f JOIN files s ON s.repository_id = f.repository_id AND s.path = f.source_path
         AND s.from_seq <= :seq AND (s.to_seq IS NULL OR s.to_seq > :seq)
    LEFT JOIN imports i ON i.blob_id = s.blob_id AND i.line = f.line AND i.module = f.module
    WHERE {IN_SNAPSHOT} AND f.target_path IS NOT NULL AND f.target_path <> f.source_path
    GROUP BY f.source_path, f.target_path
"""
COUNTS = ["functions", "cyclomatic", "cyclomatic_max", "cognitive", "cognitive_max"]


def compute_files(engine: Engine, snapshot_id: int) -> MetricResult:
    """Measure the text files of the snapshot; requires the metrics of functions."""
    return compute(engine, snapshot_id, file_metrics, measure)


def measure(connection: Connection, snapshot: Snapshot) -> pd.DataFrame:
    """Compute the rows of `file_metrics` of a snapshot."""
    files = read(connection, FILES, snapshot.interval)
    edges = read(connection, EDGES, snapshot.interval)
    numeric = [
        *COUNTS,
        "halstead_volume",
        "function_volume",
        "function_code",
        "function_cyclomatic",
        "documentable",
        "documented",
    ]
    files[numeric] = files[numeric].astype(float)
    files[COUNTS] = files[COUNTS].fillna(0).astype("int64")
    files["halstead_volume"] = files["halstead_volume"].fillna(0.0)
    # Means over the file's functions and its top level, as the index was calibrated on modules' means.
    files["maintainability"] = formulae.maintainability(
        files["function_volume"], files["function_cyclomatic"], files["function_code"]
    )
    written = (files["code_lines"] + files["comment_lines"]).astype(float)
    files["comment_ratio"] = files["comment_lines"] / written.where(written > 0)
    files["docstring_ratio"] = files["documented"] / files["documentable"].where(files["documentable"] > 0)
    files["fan_in"] = files["path"].map(edges.groupby("target_path").size()).fillna(0).astype("int64")
    files["fan_out"] = files["path"].map(edges.groupby("source_path").size()).fillna(0).astype("int64")
    files["instability"] = formulae.instability(files["fan_in"].to_numpy(), files["fan_out"].to_numpy())
    cycle_of, size_of = {}, {}
    running = [(source, target) for source, target, at_import in edges.itertuples(index=False) if at_import]
    for number, members in enumerate(import_cycles(running), 1):
        for path in members:
            cycle_of[path], size_of[path] = number, len(members)
    files["cycle_size"] = files["path"].map(size_of).fillna(0).astype("int64")
    # Integers with missing values are kept as objects; pandas would convert them to floats.
    files["cycle"] = pd.Series([cycle_of.get(path) for path in files["path"]], dtype=object)
    return files.replace({np.nan: np.nan})


def import_cycles(edges: Iterable[tuple[str, str]]) -> list[list[str]]:
    """Return sets of files that import each other in a cycle, largest first, each sorted.

    These are the strongly connected components of more than one file.
    """
    pairs = list(edges)
    if not pairs:
        return []
    paths = sorted({path for pair in pairs for path in pair})
    number = {path: position for position, path in enumerate(paths)}
    sources, targets = zip(*((number[source], number[target]) for source, target in pairs), strict=True)
    graph = scipy.sparse.coo_array((np.ones(len(pairs)), (sources, targets)), shape=(len(paths), len(paths)))
    count, labels = scipy.sparse.csgraph.connected_components(graph.tocsr(), connection="strong")
    components: list[list[str]] = [[] for _ in range(count)]
    for path, label in zip(paths, labels, strict=True):
        components[label].append(path)
    cycles = [component for component in components if len(component) > 1]
    return sorted(cycles, key=lambda members: (-len(members), members))
