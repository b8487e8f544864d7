"""Checks on task graphs, goals, agents and the knowledge index: nothing stuck, nothing uncounted, nothing stale."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import assignments
from qflow_dagster.assets import coordination as assets
from qflow_dagster.assets.metadata import table
from qflow_dagster.checks.ingestion import repository_check
from qflow_dagster.execution import sparc_records, task_records
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import index
from qflow_dagster.resources.database import Database


@dg.asset_check(asset=assets.TASK_GRAPHS, description="Every running graph has something that can go on.")
def no_graph_is_stuck(database: Database) -> dg.AssetCheckResult:
    """Graphs without a task to go on with; tasks whose worker is gone."""
    with database.engine().connect() as connection:
        found = task_records.stuck(connection)
    return dg.AssetCheckResult(passed=not found, metadata={"stuck": table(found, 20)})


@dg.asset_check(asset=assets.SPARC_GOALS, description="Every goal that is worked on has an open phase.")
def no_goal_is_left_alone(database: Database) -> dg.AssetCheckResult:
    """Goals that nothing would ever move."""
    with database.engine().connect() as connection:
        found = sparc_records.orphaned(connection)
    return dg.AssetCheckResult(passed=not found, metadata={"orphaned": table(found, 20)})


@dg.asset_check(
    asset=assets.AGENT_PERFORMANCE, description="Every assignment that was tried has its outcomes."
)
def every_assignment_is_counted(database: Database) -> dg.AssetCheckResult:
    """Ended assignments that the statistics do not know of."""
    with database.engine().connect() as connection:
        found = assignments.without_outcome(connection)
    return dg.AssetCheckResult(passed=not found, metadata={"uncounted": table(found, 20)})


@repository_check(assets.KNOWLEDGE_INDEX)
def every_file_is_indexed(connection: Connection, snapshot: Snapshot) -> dg.AssetCheckResult:
    """Every text file of the snapshot has its entries, by this version."""
    found = index.missing(connection, snapshot)
    return dg.AssetCheckResult(
        passed=not found, metadata={"missing": len(found), "for_example": ", ".join(found[:10]) or "none"}
    )


checks = [no_graph_is_stuck, no_goal_is_left_alone, every_assignment_is_counted, every_file_is_indexed]
