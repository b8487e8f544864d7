"""Jobs of the agents: apply approved edits, and complete assignments."""

import dagster as dg

from qflow_dagster.agents import builtin_agents
from qflow_dagster.assets.agents import EDIT_OUTCOMES, EDITS
from qflow_dagster.jobs import run_tags
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker

apply_approved_edits = dg.define_asset_job(
    "apply_approved_edits",
    selection=dg.AssetSelection.assets(EDITS, EDIT_OUTCOMES),
    tags=run_tags.quick("edit_approvals"),
    description="Applies approved edits, each as a commit on its branch, and verifies their effects.",
)


@dg.op(description="Routes assignments, and completes those of the built-in agents.")
def do_assignments(context: dg.OpExecutionContext, database: Database) -> None:
    """Process assignments of the built-in agents until none is left."""
    result = builtin_agents.work(database.engine(), worker=worker(context), run_id=context.run_id)
    context.add_output_metadata(result._asdict())


@dg.job(
    tags=run_tags.quick("assignments"),
    description="Routes assignments, and completes those of the built-in agents.",
)
def work_assignments() -> None:
    """Route assignments and process those of the built-in agents; external agents claim theirs themselves."""
    do_assignments()


jobs = [apply_approved_edits, work_assignments]
