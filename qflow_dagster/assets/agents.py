"""Assets of the group `agents`: edits, their verification, and how the agents perform."""

import shlex
from collections.abc import Mapping
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import assignments, builtin_agents, coordination, self_improvement, tables
from qflow_dagster.agents import edits as agent_edits
from qflow_dagster.assets.metadata import HOURLY, MAX_ROWS, approval_link, picture, table, table_metadata
from qflow_dagster.ingestion import repositories
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker
from qflow_dagster.safety.display import visible_line

GROUP = "agents"
EDITS = dg.AssetKey([GROUP, "edits"])
EDIT_OUTCOMES = dg.AssetKey([GROUP, "edit_outcomes"])
AGENT_PERFORMANCE = dg.AssetKey([GROUP, "performance"])


@dg.asset(
    key=EDITS,
    group_name=GROUP,
    kinds={"git", "postgres"},
    code_version="1",
    description="Approved suggestions that were applied: each as a commit on its own branch.",
    metadata=table_metadata(tables.edits),
)
def edits(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Apply all approved suggestions; one that cannot be applied does not stop the others."""
    engine = database.engine()
    applied, problems = agent_edits.apply_all_approved(
        engine, worker=worker(context), run_id=context.run.run_id
    )
    for result in problems:
        context.log.warning("suggestion %s: %s", result.suggestion_id, visible_line(result.problem or ""))
    with engine.connect() as connection:
        rows = agent_edits.find(connection, limit=MAX_ROWS)
        links = _links_of(connection, rows[0]) if rows else {}
    columns = ("state", "repository", "branch", "commit", "title", "applied_at")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(applied),
            "not_applied": len(problems),
            "edits": table(rows, MAX_ROWS, columns),
            **links,
        }
    )


def _links_of(connection: Connection, edit: Mapping[str, Any]) -> dict[str, dg.MetadataValue]:
    """Return links to the newest edit: its approval in the inbox, and its branch in git."""
    objects = repositories.find(connection, edit["repository"]).objects
    command = shlex.join(["git", "-C", str(objects), "log", "-p", "-1", edit["branch"]])
    return {
        "newest": approval_link(agent_edits.show(connection, edit["id"])["approval"]),
        "newest_branch": dg.MetadataValue.text(visible_line(command)),
    }


@dg.asset(
    key=EDIT_OUTCOMES,
    group_name=GROUP,
    deps=[EDITS],
    kinds={"git", "postgres"},
    code_version="1",
    description="Effects of edits: tests, finding and metrics before and after; edits with worse results are reverted.",
)
def edit_outcomes(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Verify all edits that are not verified yet."""
    engine = database.engine()
    verified = agent_edits.verify_all(engine)
    for result in verified:
        context.log.info("edit %s: %s", result.edit_id, visible_line(result.reason))
    with engine.connect() as connection:
        by_week = self_improvement.statistics(connection, "week")
        by_generator = self_improvement.statistics(connection, "generator")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(verified),
            "verified": sum(result.good for result in verified),
            "reverted": sum(not result.good for result in verified),
            "by_week": table(by_week, MAX_ROWS),
            "by_generator": table(by_generator, MAX_ROWS),
        }
    )


@dg.asset(
    key=AGENT_PERFORMANCE,
    freshness_policy=HOURLY,
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="Agents: who is registered, their pending assignments, and their success rates by domain.",
    metadata=table_metadata(tables.outcomes),
)
def agent_performance(database: Database) -> dg.MaterializeResult:
    """Count the outcomes of generators in the improvement loop, and summarize all agents."""
    with database.engine().begin() as connection:
        builtin_agents.register_all(connection)
        counted = builtin_agents.record_outcomes(connection)
        agents = coordination.agents(connection)
        statistics = coordination.statistics(connection)
        waiting = assignments.counts(connection)
    rows = [
        {
            "agent": agent.name,
            "role": agent.role,
            "availability": agent.availability,
            "load": agent.load,
            "outcomes": agent.successes + agent.failures,
            "success_rate": agent.success_rate,
        }
        for agent in agents
    ]
    bars = [
        (agent.name[:14], round(agent.success_rate * 100))
        for agent in agents
        if agent.successes + agent.failures
    ][:8]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(agents),
            "outcomes_counted": counted,
            "agents": table(rows, MAX_ROWS),
            "assignments": table([{"state": k, "assignments": v} for k, v in waiting.items()], MAX_ROWS),
            "by_domain": table(statistics, MAX_ROWS),
            "success_rates": picture(histogram(bars, "Success rate in percent (posterior mean)")),
        }
    )


assets = [edits, edit_outcomes, agent_performance]
