"""Assets of the group `generation`: candidates for changes, and the suggestions made from them."""

import dagster as dg

from qflow_dagster.agents import improvement_cycle, self_improvement, suggestion_statistics
from qflow_dagster.agents import tables as agent_tables
from qflow_dagster.assets import execution
from qflow_dagster.assets.metadata import MAX_ROWS, approval_link, links, picture, table, table_metadata
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.generation import candidate_records, tables
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.resources.workers import worker
from qflow_dagster.settings import settings

# No asset of this group has a freshness policy: changes are generated when a person starts a run, or at night for
# repositories that need it (see `nightly_improvement`).
GROUP = "generation"
CANDIDATES = dg.AssetKey([GROUP, "candidates"])
SUGGESTIONS = dg.AssetKey([GROUP, "suggestions"])


class GenerationConfig(dg.Config):
    """How much one run generates."""

    items: int | None = None


@dg.asset(
    key=CANDIDATES,
    group_name=GROUP,
    deps=[execution.WORK_ITEMS],
    partitions_def=repositories,
    kinds={"python", "git", "postgres"},
    code_version="1",
    description="Candidate patches for the best work items, checked by the quality gates; the best become suggestions.",
    metadata=table_metadata(tables.candidates),
)
def candidates(
    context: dg.AssetExecutionContext,
    config: GenerationConfig,
    database: Database,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult:
    """Generate candidates in batches, up to the run's limit and the number of open suggestions allowed."""
    engine = database.engine()
    snapshot, capacity, total = improvement_cycle.generate(
        engine,
        context.partition_key,
        worker=worker(context),
        items=config.items,
        run_id=context.run.run_id,
        progress=progress,
    )
    with engine.connect() as connection:
        analytics = {
            f"by_{by}": table(
                candidate_records.analytics(connection, snapshot.repository_id, by=by), MAX_ROWS
            )
            for by in ("generator", "rule", "language")
        }
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "dagster/row_count": total.candidates,
            "work_items": total.items,
            "passed_all_gates": total.passed,
            "without_candidate": total.without_candidate,
            "capacity_for_suggestions": capacity,
            **analytics,
        },
    )


@dg.asset(
    key=SUGGESTIONS,
    group_name=GROUP,
    deps=[CANDIDATES],
    partitions_def=repositories,
    kinds={"postgres"},
    code_version="1",
    description="Changes that passed the quality gates: those pending a decision, and the results of the others.",
    metadata=table_metadata(agent_tables.suggestions),
)
def suggestions(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Update suggestions from decisions on their approvals, and show those that are pending."""
    with database.engine().begin() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        self_improvement.follow_decisions(connection)
        found = self_improvement.find(connection, repository_id=snapshot.repository_id, limit=1_000)
        by_rule = suggestion_statistics.statistics(connection)
    states: dict[str, int] = {}
    for row in found:
        states[row["state"]] = states.get(row["state"], 0) + 1
    columns = ("title", "risk", "lines", "branch", "approval")
    waiting = [row for row in found if row["state"] == "awaiting_approval"]
    return dg.MaterializeResult(
        metadata={
            "by_state": picture(histogram(sorted(states.items()), "Suggestions by state")),
            "dagster/row_count": len(found),
            "awaiting_approval": table(waiting, MAX_ROWS, columns),
            "by_rule": table(by_rule, MAX_ROWS),
            "inbox": dg.MetadataValue.url(settings().inbox.address),
            "approvals": links(approval_link(row["approval"], row["title"]) for row in waiting[:MAX_ROWS]),
        }
    )


assets = [candidates, suggestions]
