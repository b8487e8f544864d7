"""Metrics of functions; content-addressed like the symbols they measure, so computed only once."""

import time

import pandas as pd
from sqlalchemy import Connection, Engine, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, snapshot_by_id
from qflow_dagster.metrics import formulae
from qflow_dagster.metrics.store import MetricResult, insert, read
from qflow_dagster.metrics.tables import function_metrics

BATCH = 100_000
# The file's top level (seq 0) is measured like a function, because it has control structures too.
MISSING = f"""
    SELECT s.id AS symbol_id, s.code_lines, s.parameters, s.nesting, s.decisions, s.cognitive,
           s.operators, s.operands, s.distinct_operators, s.distinct_operands
    FROM (SELECT DISTINCT f.blob_id FROM files f WHERE {IN_SNAPSHOT} AND f.blob_id IS NOT NULL) b
    JOIN symbols s ON s.blob_id = b.blob_id
    WHERE s.decisions IS NOT NULL
      AND NOT EXISTS (SELECT FROM function_metrics m WHERE m.symbol_id = s.id)
    LIMIT {BATCH}
"""
COUNT = f"""
    SELECT count(*) FROM files f JOIN symbols s ON s.blob_id = f.blob_id
    JOIN function_metrics m ON m.symbol_id = s.id
    WHERE {IN_SNAPSHOT} AND s.seq > 0
"""


def compute_functions(engine: Engine, snapshot_id: int) -> MetricResult:
    """Measure the functions of the snapshot that are not measured yet; return the number of all."""
    started = time.monotonic()
    with engine.connect() as connection:
        snapshot = snapshot_by_id(connection, snapshot_id)
    while True:
        with engine.begin() as connection:
            # Concurrent runs would measure the same symbols.
            connection.execute(text("LOCK TABLE function_metrics IN SHARE ROW EXCLUSIVE MODE"))
            frame = measure(read(connection, MISSING, snapshot.interval))
            insert(connection, function_metrics, [c.name for c in function_metrics.columns], frame)
        if len(frame) < BATCH:
            break
    with engine.connect() as connection:
        count = function_count(connection, snapshot.interval)
    return MetricResult(count, time.monotonic() - started)


def function_count(connection: Connection, interval: dict[str, int]) -> int:
    """Count the measured functions and methods in a snapshot."""
    return connection.scalar(text(COUNT), interval) or 0


def measure(symbols: pd.DataFrame) -> pd.DataFrame:
    """Compute the metrics of symbols from their structure counts, as columns of `function_metrics`."""
    counts = symbols.astype("int64") if len(symbols) else symbols
    volume = formulae.halstead_volume(
        counts["operators"], counts["operands"], counts["distinct_operators"] + counts["distinct_operands"]
    )
    difficulty = formulae.halstead_difficulty(
        counts["distinct_operators"], counts["operands"], counts["distinct_operands"]
    )
    complexity = formulae.cyclomatic(counts["decisions"])
    return pd.DataFrame(
        {
            "symbol_id": counts["symbol_id"],
            "code_lines": counts["code_lines"],
            "parameters": counts["parameters"],
            "nesting": counts["nesting"],
            "cyclomatic": complexity,
            "cognitive": counts["cognitive"],
            "halstead_volume": volume,
            "halstead_difficulty": difficulty,
            "halstead_effort": formulae.halstead_effort(difficulty, volume),
            "maintainability": formulae.maintainability(volume, complexity, counts["code_lines"]),
        }
    )
