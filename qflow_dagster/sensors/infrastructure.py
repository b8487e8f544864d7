"""Sensors on errors, notifications, expired leases, and on the runs of Dagster themselves."""

import os
import time
import warnings

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.jobs.infrastructure import analyze_errors, deliver_notifications
from qflow_dagster.notifications import delivery
from qflow_dagster.quantumflow import expire_due, reclaim_expired
from qflow_dagster.resources.database import Database
from qflow_dagster.safety.display import visible
from qflow_dagster.sensors.dead_runs import find_dead
from qflow_dagster.sensors.drains import Pending, drain_sensor

# Dagster's own decorator passes a parameter that is in beta on.
warnings.filterwarnings("ignore", message="Parameter `owners`", category=dg.BetaWarning)

# Sensors on the status of runs take five runs a tick otherwise, and in a storm of failures fall behind by days.
os.environ.setdefault("DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT", "200")


def has_new_errors(connection: Connection) -> Pending:
    """Return whether errors came in; note operations that have recovered, which needs no run."""
    newest = error_records.newest_unanalysed(connection)
    recovered = error_analysis.recover(connection)
    return Pending(
        newest is not None, f"{len(recovered)} operations have recovered", {"qflow/occurrence": str(newest)}
    )


new_errors = drain_sensor(
    "new_errors",
    analyze_errors,
    has_new_errors,
    "New rows in error_occurrences, whoever wrote them: requests one run that analyses them.",
    interval=10,
)
undelivered_notifications = drain_sensor(
    "undelivered_notifications",
    deliver_notifications,
    delivery.has_overdue,
    "Notifications nobody delivers: requests a run that does, where no notifier is running.",
    interval=30,
)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Returns workflows whose worker stopped reporting, expires those whose time is over.",
)
def expired_leases(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """Handle at most a thousand of each in a tick; the next one takes the rest."""
    with database.engine().begin() as connection:
        reclaimed, expired = reclaim_expired(connection), expire_due(connection)
    return dg.SkipReason(f"{len(reclaimed)} leases returned, {len(expired)} workflows expired")


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs failed whose process was killed; Dagster then tries them again.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Do nothing where the launcher can tell by itself."""
    instance = context.instance
    if instance.run_launcher.supports_check_run_worker_health:
        return dg.SkipReason("the launcher watches its runs itself")
    dead = find_dead(instance, time.time())
    for run in dead:
        instance.report_run_failed(run, "the run's process ended without reporting: it was killed")
        context.log.warning("run %s of %s was killed", run.run_id, run.job_name)
    return dg.SkipReason(f"{len(dead)} runs had been killed")


@dg.run_failure_sensor(
    monitor_all_code_locations=True,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records every failed run as an error.",
)
def run_failures(context: dg.RunFailureSensorContext, database: Database) -> None:
    """Record it once per run, even where Dagster reports it twice."""
    run = context.dagster_run
    step_errors = [event.step_failure_data.error for event in context.get_step_failure_events()]
    # The innermost cause: what a step raised, rather than that it did.
    error = next((e for e in step_errors if e), None)
    while error is not None and error.cause is not None:
        error = error.cause
    message = error.message if error else context.failure_event.message or "the run failed"
    occurrence = Occurrence(
        operation=f"dagster.{run.job_name}",
        kind=(error.cls_name if error else None) or "RunFailed",
        message=message.strip(),
        stack="".join(error.stack) if error else None,
        context={
            name: value
            for name, value in run.tags.items()
            if name.startswith(("qflow/", "dagster/partition"))
        },
        run_id=run.run_id,
        source="dagster",
    )
    with database.engine().begin() as connection:
        if not error_records.is_recorded(connection, occurrence.operation, run.run_id):
            track_errors(connection, [occurrence])
    context.log.error("run %s of %s failed: %s", run.run_id, run.job_name, visible(message))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitor_all_code_locations=True,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Counts every finished run: a rate needs successes as well.",
)
def run_successes(context: dg.RunStatusSensorContext, database: Database) -> None:
    """Count one success of the job's operation."""
    with database.engine().begin() as connection:
        track_successes(connection, [(f"dagster.{context.dagster_run.job_name}", 0.0, 1)])


sensors = [new_errors, undelivered_notifications, expired_leases, dead_runs, run_failures, run_successes]
