"""Health by the clock: quick checks each minute within the tick, everything each hour in a run.

A run a minute would flood the event log and keep a core busy; a tick that asks for no run
leaves a row.
"""

import dagster as dg

from qflow_dagster.infrastructure import health_agent
from qflow_dagster.jobs.operations import check_health
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.health import all_checks


@dg.schedule(
    job=check_health,
    cron_schedule="* * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs the quick health checks in the tick itself; asks for a run only to restart a service.",
)
def health_each_minute(
    context: dg.ScheduleEvaluationContext, database: Database
) -> dg.SkipReason | dg.RunRequest:
    """A run where a service that may be restarted became unhealthy."""
    engine = database.engine()
    checks = [check for check in all_checks(engine, context.instance) if not check.deep]
    changes = health_agent.run(engine, checks)
    fell = [c for c in changes if c["name"].startswith("service:") and c["to"] == "unhealthy"]
    if fell:
        return dg.RunRequest(run_key=f"restart:{context.scheduled_execution_time.isoformat()}")
    words = ", ".join(f"{change['name']} is {change['to']}" for change in changes)
    return dg.SkipReason(words or f"{len(checks)} checks, nothing changed")


health_each_hour = dg.ScheduleDefinition(
    name="health_each_hour",
    job=check_health,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Runs every health check, the deep ones too.",
)

schedules = [health_each_minute, health_each_hour]
