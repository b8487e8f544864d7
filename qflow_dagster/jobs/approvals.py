"""Jobs that use approvals, and the mapping from kinds of approvals to jobs.

No job decides on an approval: a run has no proof of who launched it.
"""

from typing import Any

import dagster as dg

from qflow_dagster.approvals.approved_workflows import start_all_approved
from qflow_dagster.jobs import run_tags
from qflow_dagster.jobs.agents import apply_approved_edits
from qflow_dagster.jobs.evolution import apply_approved_rule_changes
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.workers import worker
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings


@dg.op(description="Uses approved requests for workflows, and starts the workflows, a hundred at a time.")
def use_workflow_approvals(context: dg.OpExecutionContext, database: Database) -> None:
    """Start each workflow in its own transaction, so that a failure does not stop the others."""
    started, problems = start_all_approved(database.engine(), worker=worker(context), run_id=context.run_id)
    for result in problems:
        context.log.warning("approval %s: %s", result.row, visible_line(result.problem or ""))
    inbox = settings().inbox.address
    rows = [
        {"approval": f"{inbox}/approvals/{result.row}", "workflow": str(result.created)} for result in started
    ]
    context.add_output_metadata(
        {
            "started": len(started),
            "not_started": len(problems),
            "workflows": dg.MetadataValue.json(rows[:100]),
        }
    )


@dg.job(tags=run_tags.quick("workflow_approvals"), description="Starts workflows whose start was approved.")
def start_approved_workflows() -> None:
    """Use the approvals of kind `workflow`."""
    use_workflow_approvals()


# Which job uses the approvals of a kind; those of a kind without a job are used by the holder of the token.
CONSUMERS: dict[str, Any] = {
    "workflow": start_approved_workflows,
    "edit": apply_approved_edits,
    "rule": apply_approved_rule_changes,
}

jobs = [start_approved_workflows]
