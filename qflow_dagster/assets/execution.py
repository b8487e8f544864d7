"""Assets of the group `execution`: work items and their plan, task graphs, SPARC goals."""

import dagster as dg

from qflow_dagster.assets import rules
from qflow_dagster.assets.metadata import (
    HOURLY,
    MAX_ROWS,
    ON_COMMIT,
    markdown,
    picture,
    table,
    table_metadata,
)
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.execution import (
    plan_history,
    safe_work_planner,
    sparc_records,
    sparc_strategies,
    tables,
    task_records,
    work_items,
)
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.pictures import task_graph
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.safety.display import visible, visible_line

GROUP = "execution"
WORK_ITEMS = dg.AssetKey([GROUP, "work_items"])
PLAN = dg.AssetKey([GROUP, "plan"])
TASK_GRAPHS = dg.AssetKey([GROUP, "task_graphs"])
SPARC_GOALS = dg.AssetKey([GROUP, "sparc_goals"])


@dg.asset(
    key=WORK_ITEMS,
    freshness_policy=ON_COMMIT,
    group_name=GROUP,
    deps=[rules.FINDINGS],
    partitions_def=repositories,
    kinds={"python", "postgres"},
    code_version="1",
    description="Work items in the SAFe hierarchy, derived from findings, metrics and errors, scored by WSJF.",
    metadata=table_metadata(tables.work_items),
)
def work_items_asset(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Rank the work items that changed."""
    progress("planning", 0, 1)
    with database.engine().begin() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        planned = safe_work_planner.plan(connection, snapshot)
        best = work_items.find(
            connection, repository_id=snapshot.repository_id, level="feature", state="open", limit=MAX_ROWS
        )
        why = safe_work_planner.explain(connection, best[0]["id"]) if best else ["no feature is open"]
    progress("planning", 1, 1)
    columns = ("wsjf", "state", "title")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "dagster/row_count": planned.features,
            "created": planned.created,
            "done_by_themselves": planned.done,
            "ranked": planned.ranked,
            "without_score": planned.without_score,
            "next": table(best, MAX_ROWS, columns),
            "why_the_first": dg.MetadataValue.text(visible("\n".join(why))),
        },
    )


@dg.asset(
    key=PLAN,
    freshness_policy=ON_COMMIT,
    group_name=GROUP,
    deps=[WORK_ITEMS],
    partitions_def=repositories,
    kinds={"postgres"},
    code_version="1",
    description="The plan as a tree, with the progress of each item.",
    metadata=table_metadata(tables.work_items),
)
def plan(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Summarize the hierarchy of work items."""
    with database.engine().connect() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        tree = work_items.tree(connection, snapshot.repository_id)
        progress = plan_history.progress(connection, snapshot.repository_id)
    lines = [
        f"{'&nbsp;' * 4 * row['depth']}{row['level']} **{markdown(row['title'])}** ({row['state']}"
        + (
            f", {row['done']} of {row['features']} features, best {row['best'] or 0:.1f})"
            if row["features"]
            else ")"
        )
        for row in tree[:100]
    ]
    capabilities = sorted((row for row in tree if row["features"]), key=lambda row: -(row["best"] or 0))[:8]
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "best": picture(
                histogram(
                    [(row["title"][:14], round(row["best"] or 0)) for row in capabilities],
                    "Highest WSJF of the best capabilities",
                )
            ),
            "dagster/row_count": len(tree),
            "tree": dg.MetadataValue.md("  \n".join(lines) or "*nothing is planned*"),
            "progress": table(progress, MAX_ROWS),
        },
    )


@dg.asset(
    key=TASK_GRAPHS,
    freshness_policy=HOURLY,
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="Task graphs: the progress of each, and a drawing of the newest with the states of its tasks.",
    metadata=table_metadata(tables.tasks),
)
def task_graphs(database: Database) -> dg.MaterializeResult:
    """Summarize the task graphs; draw a running graph in preference to an ended one."""
    with database.engine().connect() as connection:
        found = task_records.find(connection, limit=1_000)
        drawn = next((row for row in found if row["state"] == "running"), found[0] if found else None)
        tasks = task_records.tasks_of(connection, drawn["id"]) if drawn else []
    states: dict[str, int] = {}
    for row in found:
        states[row["state"]] = states.get(row["state"], 0) + 1
    columns = ("name", "state", "tasks", "completed", "failed", "seconds", "requested_by")
    path, seconds = task_records.critical_path(tasks)
    metadata: dict[str, dg.MetadataValue | int | str] = {
        "by_state": picture(histogram(sorted(states.items()), "Task graphs by state")),
        "dagster/row_count": len(found),
        "graphs": table(found, MAX_ROWS, columns),
    }
    if drawn:
        graph = picture(task_graph.svg(tasks, f"{drawn['name']} ({drawn['state']})"))
        metadata = {"graph": graph, **metadata}
        metadata["critical_path"] = visible_line(f"{' > '.join(path[:20])} ({seconds:.1f} s)")
    return dg.MaterializeResult(metadata=metadata)


@dg.asset(
    key=SPARC_GOALS,
    freshness_policy=HOURLY,
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="SPARC goals: the progress of each, and the success of the strategies.",
    metadata=table_metadata(tables.sparc_goals),
)
def sparc_goals(database: Database) -> dg.MaterializeResult:
    """Summarize the goals."""
    with database.engine().connect() as connection:
        states = sparc_records.progress(connection)
        found = sparc_records.find(connection, limit=MAX_ROWS)
        strategies = sparc_strategies.statistics(connection)
    columns = ("state", "phase", "round", "strategy", "repository", "target", "reason")
    return dg.MaterializeResult(
        metadata={
            "by_state": picture(histogram(states, "Goals by state")),
            "dagster/row_count": sum(number for _, number in states),
            "goals": table(found, MAX_ROWS, columns),
            "strategies": table(strategies, MAX_ROWS),
        }
    )


assets = [work_items_asset, plan, task_graphs, sparc_goals]
