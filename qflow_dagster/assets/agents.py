"""Assets of the group `agents`: edits, their verification, and how the agents perform."""

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import (
    assignments,
    builtin_agents,
    coordination,
    edit_lifecycle,
    edit_records,
    suggestion_statistics,
    tables,
)
from qflow_dagster.agents import edits as agent_edits
from qflow_dagster.assets.metadata import (
    HOURLY,
    MAX_ROWS,
    approval_link,
    link,
    links,
    markdown,
    picture,
    table,
    table_metadata,
)
from qflow_dagster.ingestion import remotes, repositories
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker
from qflow_dagster.safety.display import visible_line

# `edits` and `edit_outcomes` have no freshness policy: they are materialized when an edit is approved or unverified
# (see `sensors/`).
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
        rows = edit_records.find(connection, limit=MAX_ROWS)
        branches = list(_branches_of(connection, rows))
    columns = ("state", "repository", "branch", "commit", "title", "applied_at", "end_reason")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(applied),
            "not_applied": len(problems),
            "edits": table(rows, MAX_ROWS, columns),
            "approvals": links(approval_link(row["approval"], row["title"]) for row in rows),
            # A page of a branch exists once the edit is pushed (`qflow edits push`).
            "branches": links(branches),
        }
    )


def _branches_of(connection: Connection, edits: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield for each edit a link to its branch on the page of the repository, or the command that shows it."""
    names = {edit["repository"] for edit in edits}
    stored = {name: repositories.find(connection, name) for name in names}
    pages = {name: remotes.web_page(found.objects, found.location) for name, found in stored.items()}
    for edit in edits:
        page, branch = pages[edit["repository"]], edit["branch"]
        if page:
            yield link(branch, f"{page}/tree/{quote(branch)}")
        else:
            folder = str(stored[edit["repository"]].objects)
            yield markdown(shlex.join(["git", "-C", folder, "log", "-p", "-1", branch]))


@dg.asset(
    key=EDIT_OUTCOMES,
    group_name=GROUP,
    deps=[EDITS],
    kinds={"git", "postgres"},
    code_version="1",
    description="What became of edits: merged, superseded, conflicting with their target branch, closed or reverted; "
    "tests, finding and metrics before and after.",
    metadata=table_metadata(tables.edits),
    # Two runs would verify the same edit, and the tests of one could make those of the other exceed their time limit.
    pool="edit_verification",
)
def edit_outcomes(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Compare edits with their target branches, and verify all that are not verified yet."""
    engine = database.engine()
    followed, verified = edit_lifecycle.observe(engine)
    for result in (*followed, *verified):
        context.log.info("edit %s: %s", result.edit_id, visible_line(result.reason))
    by_state = Counter(result.state or "not_compared" for result in followed)
    followed_rows = [
        {"edit": str(result.edit_id), "state": result.state or "not compared", "reason": result.reason}
        for result in followed
    ]
    with engine.connect() as connection:
        by_week = suggestion_statistics.statistics(connection, "week")
        by_generator = suggestion_statistics.statistics(connection, "generator")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(verified),
            "verified": sum(result.good for result in verified),
            "reverted": sum(not result.good for result in verified),
            **{f"became_{state}": count for state, count in sorted(by_state.items())},
            "followed": table(followed_rows, MAX_ROWS),
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
            "success_rates": picture(histogram(bars, "Success rate in percent (posterior mean)")),
            "dagster/row_count": len(agents),
            "outcomes_counted": counted,
            "agents": table(rows, MAX_ROWS),
            "assignments": table([{"state": k, "assignments": v} for k, v in waiting.items()], MAX_ROWS),
            "by_domain": table(statistics, MAX_ROWS),
        }
    )


assets = [edits, edit_outcomes, agent_performance]
