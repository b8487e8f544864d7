"""Jobs of the improvement loop: the whole loop up to the approval, and what follows the approval."""

from uuid import UUID

import dagster as dg

from qflow_dagster.assets.improvement import EDIT_OUTCOMES, EDITS, PLAN, WORK_ITEMS
from qflow_dagster.errors import QflowError
from qflow_dagster.execution import work_chunks
from qflow_dagster.quantumflow import claim, complete, fail
from qflow_dagster.resources.database import Database
from qflow_dagster.safety.display import visible_line

# What concerns one repository; goals and task graphs are looked at elsewhere.
LOOP = dg.AssetSelection.groups("ingestion", "metrics", "rules", "generation") | dg.AssetSelection.assets(
    WORK_ITEMS, PLAN
)

improve_repository = dg.define_asset_job(
    "improve_repository",
    selection=LOOP,
    description="The whole loop up to the approval: ingest, measure, find, plan, generate, validate, suggest.",
)
apply_approved_edits = dg.define_asset_job(
    "apply_approved_edits",
    selection=dg.AssetSelection.assets(EDITS, EDIT_OUTCOMES),
    tags={"qflow/drain": "edit_approvals"},
    description="Applies approved edits, each as a commit on its branch, and verifies what they did.",
)


@dg.op(description="Turns texts whose approval was granted into work items.")
def decide_chunks(context: dg.OpExecutionContext, database: Database) -> None:
    """Until none waits; each in a transaction of its own."""
    worker = f"dagster run {context.run_id[:8]}"
    engine = database.engine()
    applied = 0
    while True:
        with engine.begin() as connection:
            claimed = claim(connection, work_chunks.DECISION, worker=worker, limit=1, run_id=context.run_id)
        if not claimed:
            break
        [decision] = claimed
        try:
            with engine.begin() as connection:
                chunk = UUID(decision.payload["chunk"])
                item = work_chunks.decide(connection, chunk, apply=True, actor=worker)
                complete(connection, [decision], [{"work_item": str(item)}])
            applied += 1
        except QflowError as error:
            with engine.begin() as connection:
                fail(connection, [decision], [{"message": str(error)}], retry=False)
            context.log.warning("chunk %s: %s", decision.payload, visible_line(str(error)))
    context.add_output_metadata({"applied": applied})


@dg.job(tags={"qflow/drain": "work_chunks"}, description="Plans free texts that were approved.")
def plan_approved_work() -> None:
    """The consumer of approved chunks."""
    decide_chunks()


jobs = [improve_repository, apply_approved_edits, plan_approved_work]
