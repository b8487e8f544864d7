"""Health checks every minute, a summary of operations every hour, and maintenance every night.

Quick health checks run each minute within the tick: a run a minute would flood the event log and keep a core
busy, while a tick that requests no run leaves a row.
"""

import dagster as dg

from qflow_dagster.infrastructure import health_agent
from qflow_dagster.jobs.infrastructure import check_health, maintain_workflows, observe_operations
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.health import all_checks, observe_durations


@dg.schedule(
    job=check_health,
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs the quick health checks in the tick itself; requests a run only to restart a service.",
)
def health_each_minute(
    context: dg.ScheduleEvaluationContext, database: Database
) -> dg.SkipReason | dg.RunRequest:
    """Request a run where a service that may be restarted became unhealthy."""
    engine = database.engine()
    checks = [check for check in all_checks(engine, context.instance) if not check.deep]
    changes = health_agent.run(engine, checks)
    observe_durations(engine, context.instance)
    fell = [c for c in changes if c["name"].startswith("service:") and c["to"] == "unhealthy"]
    if fell:
        return dg.RunRequest(run_key=f"restart:{context.scheduled_execution_time.isoformat()}")
    summary = ", ".join(f"{change['name']} is {change['to']}" for change in changes)
    return dg.SkipReason(summary or f"{len(checks)} checks, nothing changed")


health_each_hour = dg.ScheduleDefinition(
    name="health_each_hour",
    job=check_health,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every health check, including deep ones.",
)

operations_each_hour = dg.ScheduleDefinition(
    name="operations_each_hour",
    job=observe_operations,
    cron_schedule="12 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Summarizes approvals, errors, breakers and health: materializes the assets and runs their checks.",
)

nightly_maintenance = dg.ScheduleDefinition(
    job=maintain_workflows,
    cron_schedule="30 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Seals the histories and archives rows past their retention.",
)

schedules = [health_each_minute, health_each_hour, operations_each_hour, nightly_maintenance]
