"""Assets of the improvement loop: findings, the plan, candidates, suggestions, edits and their outcomes.

Belongs here: thin materializations and what the page shows of them. However many findings there
are, each asset is one step: rows are drained inside, in batches.
"""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import builtin_agents, self_improvement
from qflow_dagster.agents import edits as agent_edits
from qflow_dagster.agents import tables as agent_tables
from qflow_dagster.assets import metrics
from qflow_dagster.assets.metadata import column_schema, markdown, picture, table, worker
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.evolution import findings as finding_records
from qflow_dagster.evolution import rule_engine
from qflow_dagster.evolution import tables as evolution_tables
from qflow_dagster.execution import safe_work_planner, work_items
from qflow_dagster.execution import tables as execution_tables
from qflow_dagster.generation import candidate_records, orchestrator
from qflow_dagster.generation import tables as generation_tables
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.quantumflow.recording import recorded
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress
from qflow_dagster.safety.display import visible, visible_line
from qflow_dagster.settings import settings

FINDINGS = dg.AssetKey(["rules", "findings"])
WORK_ITEMS = dg.AssetKey(["execution", "work_items"])
PLAN = dg.AssetKey(["execution", "plan"])
CANDIDATES = dg.AssetKey(["generation", "candidates"])
SUGGESTIONS = dg.AssetKey(["generation", "suggestions"])
EDITS = dg.AssetKey(["agents", "edits"])
EDIT_OUTCOMES = dg.AssetKey(["agents", "edit_outcomes"])
MAX_ROWS = 20
# Rows a run drains at a time, and at most.
BATCH = 10
MAX_BATCHES = 1_000


class GenerationConfig(dg.Config):
    """How much one run generates."""

    items: int | None = None


@dg.asset(
    key=FINDINGS,
    group_name="rules",
    deps=[metrics.REPOSITORY, metrics.HOTSPOTS, metrics.FUNCTIONS],
    partitions_def=repositories,
    kinds={"python", "postgres"},
    code_version="1",
    description="What the rules find in the current snapshot: open, fixed, suppressed, found again.",
    metadata={"dagster/column_schema": column_schema(evolution_tables.findings)},
)
def findings(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Each rule looks at each blob once."""
    engine = database.engine()
    evaluation = rule_engine.evaluate(engine, context.partition_key, progress=progress)
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        changes = finding_records.update(connection, snapshot, evaluation.rules)
        counted = finding_records.counts(connection, snapshot.repository_id)
        worst = finding_records.find(connection, snapshot.repository_id, limit=MAX_ROWS)
    by_severity = [
        (severity, sum(row["open"] for row in counted if row["severity"] == severity))
        for severity in finding_records.SEVERITIES
    ]
    shown = ("severity", "rule", "path", "line", "message")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "dagster/row_count": sum(count for _, count in by_severity),
            "files_evaluated": evaluation.files,
            "files_not_readable": evaluation.problems,
            "seconds": round(evaluation.seconds, 2),
            **changes,
            "worst": table([{name: row[name] for name in shown} for row in worst], MAX_ROWS),
            "by_rule": table(counted, MAX_ROWS),
            "by_severity": picture(histogram(by_severity, "Open findings by severity")),
        },
    )


@dg.asset(
    key=WORK_ITEMS,
    group_name="execution",
    deps=[FINDINGS],
    partitions_def=repositories,
    kinds={"python", "postgres"},
    code_version="1",
    description="Work in the SAFe hierarchy: what findings, measures and errors ask for, scored by WSJF.",
    metadata={"dagster/column_schema": column_schema(execution_tables.work_items)},
)
def work_items_asset(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Ranks what changed."""
    progress("planning", 0, 1)
    with database.engine().begin() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        planned = safe_work_planner.plan(connection, snapshot)
        best = work_items.find(
            connection, repository_id=snapshot.repository_id, level="feature", state="open", limit=MAX_ROWS
        )
        why = safe_work_planner.explain(connection, best[0]["id"]) if best else ["no feature is open"]
    progress("planning", 1, 1)
    shown = ("wsjf", "state", "title")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "dagster/row_count": planned.features,
            "created": planned.created,
            "done_by_themselves": planned.done,
            "ranked": planned.ranked,
            "without_score": planned.without_score,
            "next": table([{name: row[name] for name in shown} for row in best], MAX_ROWS),
            "why_the_first": dg.MetadataValue.text(visible("\n".join(why))),
        },
    )


@dg.asset(
    key=PLAN,
    group_name="execution",
    deps=[WORK_ITEMS],
    partitions_def=repositories,
    kinds={"postgres"},
    code_version="1",
    description="The plan as a tree, with how far it is.",
)
def plan(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Look at the hierarchy."""
    with database.engine().connect() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        tree = work_items.tree(connection, snapshot.repository_id)
        progress = work_items.progress(connection, snapshot.repository_id)
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
            "dagster/row_count": len(tree),
            "tree": dg.MetadataValue.md("  \n".join(lines) or "*nothing is planned*"),
            "progress": table(progress, MAX_ROWS),
            "best": picture(
                histogram(
                    [(row["title"][:14], round(row["best"] or 0)) for row in capabilities],
                    "Highest WSJF of the best capabilities",
                )
            ),
        },
    )


@dg.asset(
    key=CANDIDATES,
    group_name="generation",
    deps=[WORK_ITEMS],
    partitions_def=repositories,
    kinds={"python", "git", "postgres"},
    code_version="1",
    description="Patches for the best work items, each put to the gates; the best become suggestions.",
    metadata={"dagster/column_schema": column_schema(generation_tables.candidates)},
)
def candidates(
    context: dg.AssetExecutionContext,
    config: GenerationConfig,
    database: Database,
    progress: dg.ResourceParam[Progress],
) -> dg.MaterializeResult:
    """As many items as are allowed and as there is capacity for suggestions; in batches."""
    engine = database.engine()
    payload = {"repository": context.partition_key}
    with recorded(
        engine, self_improvement.CYCLE, payload, worker=worker(context), run_id=context.run.run_id
    ) as record:
        with engine.begin() as connection:
            snapshot = current_snapshot(connection, context.partition_key)
            capacity = self_improvement.remaining_capacity(connection, snapshot.repository_id)
            wanted = settings().generation.items if config.items is None else config.items
            asked = orchestrator.request_generation(connection, snapshot, limit=min(wanted, capacity))
            choose = builtin_agents.chooser(connection)
        total = orchestrator.Summary(0, 0, 0, 0)
        for _ in range(MAX_BATCHES):
            done = orchestrator.work(
                engine,
                worker=worker(context),
                accept=_suggest,
                run_id=context.run.run_id,
                limit=BATCH,
                progress=progress,
                choose=choose,
            )
            total = orchestrator.Summary(*(a + b for a, b in zip(total, done, strict=True)))
            if not done.items:
                break
        record({"asked": len(asked), **total._asdict()})
    with engine.begin() as connection:
        builtin_agents.record_outcomes(connection)
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
            "without_candidate": total.nothing,
            "room_for_suggestions": capacity,
            **analytics,
        },
    )


def _suggest(connection: Connection, candidate: Candidate) -> None:
    self_improvement.suggest(connection, candidate)


@dg.asset(
    key=SUGGESTIONS,
    group_name="generation",
    deps=[CANDIDATES],
    partitions_def=repositories,
    kinds={"postgres"},
    code_version="1",
    description="Changes that passed the gates: what waits for a person, and what became of the rest.",
    metadata={"dagster/column_schema": column_schema(agent_tables.suggestions)},
)
def suggestions(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Follow what was decided, and show what waits."""
    with database.engine().begin() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        self_improvement.follow_decisions(connection)
        found = self_improvement.find(connection, repository_id=snapshot.repository_id, limit=1_000)
        by_rule = self_improvement.statistics(connection)
    states: dict[str, int] = {}
    for row in found:
        states[row["state"]] = states.get(row["state"], 0) + 1
    shown = ("title", "risk", "lines", "branch", "approval")
    waiting = [{name: row[name] for name in shown} for row in found if row["state"] == "awaiting_approval"]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(found),
            "awaiting_approval": table(waiting, MAX_ROWS),
            "by_state": picture(histogram(sorted(states.items()), "Suggestions by state")),
            "by_rule": table(by_rule, MAX_ROWS),
            "inbox": dg.MetadataValue.url(settings().inbox.address),
        }
    )


@dg.asset(
    key=EDITS,
    group_name="agents",
    kinds={"git", "postgres"},
    code_version="1",
    description="Approved suggestions applied: a commit on a branch of its own for each.",
    metadata={"dagster/column_schema": column_schema(agent_tables.edits)},
)
def edits(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Drain the approved ones; one that cannot be applied holds up no other."""
    engine = database.engine()
    applied, problems = [], []
    for _ in range(MAX_BATCHES):
        batch = agent_edits.apply_approved(engine, worker=worker(context), run_id=context.run.run_id)
        done = [one for one in batch if one.problem is None]
        applied += done
        problems = [one for one in batch if one.problem is not None]
        if not done:
            break
    for one in problems:
        context.log.warning("suggestion %s: %s", one.suggestion_id, visible_line(one.problem or ""))
    with engine.connect() as connection:
        found = agent_edits.find(connection, limit=MAX_ROWS)
    shown = ("state", "repository", "branch", "commit", "title", "applied_at")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(applied),
            "not_applied": len(problems),
            "edits": table([{name: row[name] for name in shown} for row in found], MAX_ROWS),
        }
    )


@dg.asset(
    key=EDIT_OUTCOMES,
    group_name="agents",
    deps=[EDITS],
    kinds={"git", "postgres"},
    code_version="1",
    description="What edits did: tests, finding and measures before and after; what got worse is reverted.",
)
def edit_outcomes(context: dg.AssetExecutionContext, database: Database) -> dg.MaterializeResult:
    """Drain the edits not verified yet."""
    engine = database.engine()
    verified = [*agent_edits.verify_applied(engine), *agent_edits.revert_suspected(engine)]
    for one in verified:
        context.log.info("edit %s: %s", one.edit_id, visible_line(one.reason))
    with engine.connect() as connection:
        by_week = self_improvement.statistics(connection, "week")
        by_generator = self_improvement.statistics(connection, "generator")
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(verified),
            "verified": sum(one.good for one in verified),
            "reverted": sum(not one.good for one in verified),
            "by_week": table(by_week, MAX_ROWS),
            "by_generator": table(by_generator, MAX_ROWS),
        }
    )


assets = [findings, work_items_asset, plan, candidates, suggestions, edits, edit_outcomes]
