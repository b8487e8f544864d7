"""Jobs of infrastructure: analyze errors, check health, deliver notifications, maintain the database."""

import dagster as dg

from qflow_dagster.agents.request_description import explain
from qflow_dagster.assets import infrastructure
from qflow_dagster.assets.approvals import APPROVALS
from qflow_dagster.infrastructure import health_agent, maintenance, services
from qflow_dagster.ingestion import suspects
from qflow_dagster.jobs import run_tags
from qflow_dagster.notifications import delivery
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.health import all_checks
from qflow_dagster.resources.workers import worker
from qflow_dagster.safety.display import visible_line


@dg.op(description="Groups new errors, sends alerts, updates circuit breakers, and finds suspected commits.")
def analyze_new_errors(context: dg.OpExecutionContext, database: Database) -> None:
    """Analyze all new errors, in batches of a transaction each."""
    analysis, suspected = suspects.analyze_errors(database.engine(), run_id=context.run_id)
    context.add_output_metadata(
        {
            "occurrences": analysis.occurrences,
            "new_groups": len(analysis.new_groups),
            "regressed": len(analysis.regressed),
            "alerts": visible_line(", ".join(analysis.alerts)) or "none",
            "breakers_opened": visible_line(", ".join(analysis.opened)) or "none",
            "suspected_commits": suspected,
        }
    )


@dg.job(tags=run_tags.quick("errors"), description="Analyzes new errors.")
def analyze_errors() -> None:
    """Analyze once."""
    analyze_new_errors()


@dg.op(
    description="Runs every health check, including deep ones, and restarts services that may be restarted."
)
def check_everything(context: dg.OpExecutionContext, database: Database) -> None:
    """Store the results; the asset `infrastructure/health` shows them."""
    engine = database.engine()
    changes = health_agent.run(engine, all_checks(engine, context.instance))
    for change in changes:
        message = visible_line(f"{change['name']}: {change['from']} -> {change['to']}: {change['message']}")
        context.log.info("%s", message)
    restarts = services.restart_unhealthy(engine, worker=worker(context), run_id=context.run_id)
    context.add_output_metadata(
        {"changes": len(changes), "restarts": visible_line("; ".join(restarts)) or "none"}
    )


@dg.job(tags=run_tags.quick("health"), description="Runs every health check, including deep ones.")
def check_health() -> None:
    """Run all health checks once."""
    check_everything()


@dg.op(description="Distributes and delivers notifications that no other worker has taken.")
def deliver_pending(context: dg.OpExecutionContext, database: Database) -> None:
    """Deliver until nothing is due."""
    delivered = delivery.deliver_pending(database.engine(), worker=worker(context), explain=explain)
    context.add_output_metadata({"delivered": delivered})


@dg.job(tags=run_tags.quick("notifications"), description="Delivers notifications, where no notifier runs.")
def deliver_notifications() -> None:
    """Deliver what neither `qflow inbox` nor `qflow notify work` has delivered."""
    deliver_pending()


@dg.op(description="Seals the heads of all histories, so that a history that is deleted later is detected.")
def seal_histories(context: dg.OpExecutionContext, database: Database) -> None:
    """Seal the histories that changed since the last seal."""
    seal = maintenance.seal(database.engine())
    context.add_output_metadata({"seal": seal.id, "heads": seal.head_count, "hash": seal.hash.hex()})


@dg.op(
    ins={"after": dg.In(dg.Nothing)},
    description="Archives ended workflows, and deletes other rows, when their retention is over.",
)
def prune_workflows(context: dg.OpExecutionContext, database: Database) -> None:
    """Archive in batches of a transaction each, until no workflow is old enough."""
    context.add_output_metadata(maintenance.prune_all(database.engine()))


@dg.job(
    tags=run_tags.long("maintenance"),
    description="Seals the histories and archives rows past their retention.",
)
def maintain_workflows() -> None:
    """Seal before archiving, so that every archived history is sealed."""
    prune_workflows(after=seal_histories())


observe_operations = dg.define_asset_job(
    "observe_operations",
    selection=dg.AssetSelection.groups(infrastructure.GROUP) | dg.AssetSelection.assets(APPROVALS),
    tags=run_tags.long(),
    description="Summarizes approvals, errors, circuit breakers and health.",
)

jobs = [analyze_errors, check_health, deliver_notifications, maintain_workflows, observe_operations]
