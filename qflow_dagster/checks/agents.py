"""Checks on agents: every outcome is counted."""

import dagster as dg

from qflow_dagster.agents import assignments
from qflow_dagster.assets import agents as assets
from qflow_dagster.assets.metadata import MAX_ROWS, table
from qflow_dagster.checks.verdicts import verdict
from qflow_dagster.resources.database import Database


@dg.asset_check(
    asset=assets.AGENT_PERFORMANCE,
    description="Every attempted assignment has its outcomes in the agents' statistics.",
)
def every_assignment_is_counted(database: Database) -> dg.AssetCheckResult:
    """Fail for ended assignments that are missing in the statistics."""
    with database.engine().connect() as connection:
        found = assignments.without_outcome(connection)
    agents = sorted({row["agent"] for row in found})
    return dg.AssetCheckResult(
        passed=not found,
        description=verdict(len(found), "ended assignment", "without an outcome", agents, limit=20),
        metadata={"uncounted": table(found, MAX_ROWS)},
    )


checks = [every_assignment_is_counted]
