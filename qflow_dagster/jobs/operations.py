"""Jobs of operations: using approvals, analysing errors, checking health, delivering.

Belongs here also: which job uses the approvals of a kind (`CONSUMERS`). Does not belong here: deciding,
for a run does not know who launched it.
"""

from typing import Any
from uuid import UUID

import dagster as dg

from qflow_dagster.approvals.approved_workflows import start_approved
from qflow_dagster.assets.operations import APPROVALS
from qflow_dagster.infrastructure import error_analysis, error_records, health_agent, services
from qflow_dagster.ingestion.suspects import suspected_commit
from qflow_dagster.jobs.evolution import apply_approved_rule_changes
from qflow_dagster.jobs.improvement import apply_approved_edits
from qflow_dagster.notifications import delivery
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.health import all_checks
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings

# So many rounds of a hundred in a run; the sensor asks again if more wait.
MAX_ROUNDS = 50


@dg.op(description="Uses approved requests for workflows, and starts the workflows, a hundred at a time.")
def use_workflow_approvals(context: dg.OpExecutionContext, database: Database) -> None:
    """Each in a transaction of its own: one that fails holds up no other."""
    worker = f"dagster run {context.run_id[:8]}"
    started, problems = [], []
    for _ in range(MAX_ROUNDS):
        batch = start_approved(database.engine(), worker=worker, run_id=context.run_id)
        done = [item for item in batch if item.problem is None]
        started += done
        problems = [item for item in batch if item.problem is not None]
        for item in problems:
            context.log.warning("approval %s: %s", item.approval_id, visible_line(item.problem or ""))
        if not done:
            break
    inbox = settings().inbox.address
    shown = [
        {"approval": f"{inbox}/approvals/{item.approval_id}", "workflow": str(item.workflow_id)}
        for item in started
    ]
    context.add_output_metadata(
        {
            "started": len(started),
            "not_started": len(problems),
            "workflows": dg.MetadataValue.json(shown[:100]),
        }
    )


@dg.job(tags={"qflow/drain": "workflow_approvals"}, description="Starts workflows whose start was approved.")
def start_approved_workflows() -> None:
    """The consumer of approvals of kind `workflow`."""
    use_workflow_approvals()


# Which job uses the approvals of a kind; a kind without one is used by whoever holds the token.
CONSUMERS: dict[str, Any] = {
    "workflow": start_approved_workflows,
    "edit": apply_approved_edits,
    "rule": apply_approved_rule_changes,
}


@dg.op(description="Groups new errors, alerts, tells breakers, and names suspected commits.")
def analyse_new_errors(context: dg.OpExecutionContext, database: Database) -> None:
    """All there are, in batches, each a transaction."""
    engine = database.engine()
    found = error_analysis.analyse(engine, run_id=context.run_id)
    with engine.begin() as connection:
        groups = error_records.without_suspect(connection, sorted(found.groups))
        suspects: dict[UUID, dict] = {}
        for group, frames in groups:
            suspect = suspected_commit(connection, frames)
            if suspect is not None:
                suspects[group] = suspect
        error_records.set_suspects(connection, suspects)
    context.add_output_metadata(
        {
            "occurrences": found.occurrences,
            "new_groups": len(found.new_groups),
            "regressed": len(found.regressed),
            "alerts": visible_line(", ".join(found.alerts)) or "none",
            "breakers_opened": visible_line(", ".join(found.opened)) or "none",
            "suspected_commits": len(suspects),
        }
    )


@dg.job(tags={"qflow/drain": "errors"}, description="Makes sense of errors that came in.")
def analyze_errors() -> None:
    """One analysis."""
    analyse_new_errors()


@dg.op(description="Runs every health check, the deep ones too, and restarts what may be restarted.")
def check_everything(context: dg.OpExecutionContext, database: Database) -> None:
    """What is believed afterwards is in the asset `infrastructure/health`."""
    engine = database.engine()
    changes = health_agent.run(engine, all_checks(engine, context.instance))
    for change in changes:
        words = visible_line(f"{change['name']}: {change['from']} -> {change['to']}: {change['message']}")
        context.log.info("%s", words)
    done = services.restart_unhealthy(
        engine, worker=f"dagster run {context.run_id[:8]}", run_id=context.run_id
    )
    context.add_output_metadata(
        {"changes": len(changes), "restarts": visible_line("; ".join(done)) or "none"}
    )


@dg.job(tags={"qflow/drain": "health"}, description="Runs every health check, the deep ones too.")
def check_health() -> None:
    """One look at everything."""
    check_everything()


@dg.op(description="Distributes and delivers notifications that no other worker has taken.")
def deliver_waiting(context: dg.OpExecutionContext, database: Database) -> None:
    """Until nothing is due."""
    engine = database.engine()
    worker = f"dagster run {context.run_id[:8]}"
    delivered = 0
    for _ in range(MAX_ROUNDS):
        with engine.begin() as connection:
            made = delivery.distribute(connection)
        done = delivery.deliver(engine, worker=worker)
        delivered += done
        if not made and not done:
            break
    context.add_output_metadata({"delivered": delivered})


@dg.job(tags={"qflow/drain": "notifications"}, description="Delivers notifications, where no notifier runs.")
def deliver_notifications() -> None:
    """The net under `qflow inbox` and `qflow notify work`."""
    deliver_waiting()


observe_operations = dg.define_asset_job(
    "observe_operations",
    selection=dg.AssetSelection.groups("infrastructure") | dg.AssetSelection.assets(APPROVALS),
    description="Look at approvals, errors, breakers and health.",
)

jobs = [
    start_approved_workflows,
    analyze_errors,
    check_health,
    deliver_notifications,
    observe_operations,
]
