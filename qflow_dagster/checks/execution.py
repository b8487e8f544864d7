"""Checks on task graphs and SPARC goals: nothing is stuck."""

import dagster as dg

from qflow_dagster.assets import execution as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.execution import sparc_records, task_records
from qflow_dagster.resources.database import Database


@dg.asset_check(asset=assets.TASK_GRAPHS, description="Every running task graph has a task that can proceed.")
def no_graph_is_stuck(database: Database) -> dg.AssetCheckResult:
    """Fail for graphs without a task that can proceed, and tasks whose worker is gone."""
    with database.engine().connect() as connection:
        found = task_records.stuck(connection)
    named = [f"{row['name']} ({row['problem']})" for row in found]
    return dg.AssetCheckResult(
        passed=not found,
        description=verdict(len(found), "running task graph", "stuck", named, limit=20),
        metadata={"stuck": table(found, MAX_ROWS)},
    )


@dg.asset_check(asset=assets.SPARC_GOALS, description="Every goal in progress has an open phase.")
def no_goal_is_left_alone(database: Database) -> dg.AssetCheckResult:
    """Fail for goals that no event or worker can advance."""
    with database.engine().connect() as connection:
        found = sparc_records.orphaned(connection)
    titles = [row["title"] for row in found]
    return dg.AssetCheckResult(
        passed=not found,
        description=verdict(len(found), "unfinished goal", "without an open phase", titles, limit=20),
        metadata={"orphaned": table(found, MAX_ROWS)},
    )


checks = [no_graph_is_stuck, no_goal_is_left_alone]
