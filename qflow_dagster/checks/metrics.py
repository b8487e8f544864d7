"""Checks on metrics: values are possible and complete."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.assets import metrics as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.repository_check import repository_check
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.metrics import queries


@repository_check(assets.HOTSPOTS)
def metrics_are_in_range(connection: Connection, snapshot: Snapshot) -> dg.AssetCheckResult:
    """Check that ratios are between 0 and 1, shorter windows do not exceed longer ones, and counts are consistent."""
    wrong = queries.out_of_range(connection, snapshot.id)
    named = [f"{row['path']} ({row['problem']})" for row in wrong]
    return dg.AssetCheckResult(
        passed=not wrong,
        description=verdict(len(wrong), "metrics row", "impossible", named, limit=20),
        metadata={"wrong": table(wrong, MAX_ROWS)},
    )


@repository_check(assets.FUNCTIONS)
def every_function_is_measured(connection: Connection, snapshot: Snapshot) -> dg.AssetCheckResult:
    """Check that every function and method of the snapshot has metrics."""
    left_out = queries.functions_without_metrics(connection, snapshot.interval)
    return dg.AssetCheckResult(
        passed=left_out == 0,
        description=verdict(left_out, "function", "without metrics"),
        metadata={"left_out": left_out},
    )


checks = [metrics_are_in_range, every_function_is_measured]
