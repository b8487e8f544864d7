"""Sensors on errors, notifications, expired leases, and on the runs of Dagster themselves."""

import os
import time
import warnings
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.infrastructure import error_analysis, error_records
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.jobs.infrastructure import analyze_errors, deliver_notifications
from qflow_dagster.notifications import NOTIFICATION, delivery
from qflow_dagster.quantumflow import expire_due, leases, reclaim_expired
from qflow_dagster.registry import Channel
from qflow_dagster.resources.database import RUN_LEASE, Database
from qflow_dagster.resources.live_workers import WORKER_LEASE
from qflow_dagster.safety import logs
from qflow_dagster.safety.display import visible
from qflow_dagster.sensors.dead_runs import find_dead, in_progress
from qflow_dagster.sensors.drains import Pending, drain_sensor, newest_of

logger = logs.logger(__name__)

# Dagster's own decorator passes on a parameter that is in beta.
warnings.filterwarnings("ignore", message="Parameter `owners`", category=dg.BetaWarning)

# By default, run status sensors process five runs per tick, and would fall behind by days after many failures.
os.environ.setdefault("DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT", "200")


def has_new_errors(connection: Connection) -> Pending:
    """Return whether there are new errors; also record recovered operations, which needs no run."""
    newest = error_records.newest_unanalyzed(connection)
    recovered = error_analysis.recover(connection)
    return Pending(
        newest is not None, f"{len(recovered)} operations have recovered", {"qflow/occurrence": str(newest)}
    )


new_errors = drain_sensor(
    "new_errors",
    analyze_errors,
    has_new_errors,
    "New rows in error_occurrences from any program: requests a run that analyzes them.",
    newest=error_records.newest_unanalyzed_time,
    woken_by=[Channel.OCCURRENCES],
)
undelivered_notifications = drain_sensor(
    "undelivered_notifications",
    deliver_notifications,
    delivery.has_overdue,
    "Undelivered notifications: requests a run that delivers them, if no notifier is running.",
    newest=newest_of(NOTIFICATION),
    interval=60,
)


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Returns workflows whose lease has expired to the queue, and expires those past their time limit.",
)
def expired_leases(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """Process at most a thousand of each per tick."""
    with database.engine().begin() as connection:
        reclaimed, expired = reclaim_expired(connection), expire_due(connection)
    return dg.SkipReason(f"{len(reclaimed)} leases returned, {len(expired)} workflows expired")


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs as failed that no process executes any more, on any machine; Dagster then retries them.",
)
def dead_runs(context: dg.SensorEvaluationContext, database: Database) -> dg.SkipReason:
    """End the runs whose lease ran out, and forget the leases of what has ended."""
    instance = context.instance
    # In this order: the lease of a run that ends in between is missing, but the run is not among them either.
    with database.engine().connect() as connection:
        run_leases = {lease.name: lease for lease in leases.by_name(connection, RUN_LEASE)}
        workers = leases.by_name(connection, WORKER_LEASE)
    jobs = {job.name for job in context.repository_def.get_all_jobs()} if context.repository_def else set()
    candidates = in_progress(instance, jobs)
    runs = {run.run_id: run for run in candidates.values()}
    dead = find_dead(list(candidates), run_leases, time.time())
    for run_id, reason in dead.items():
        run = runs[run_id]
        if run.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run, reason)
        else:
            instance.report_run_failed(run, reason)
        context.log.warning("run %s of %s: %s", run_id, run.job_name, reason)
    over = [
        name
        for name, lease in run_leases.items()
        if lease.remaining <= 0
        and (name.removeprefix(RUN_LEASE) in dead or name.removeprefix(RUN_LEASE) not in runs)
    ]
    # A worker that was cut off makes its lease again when it is back.
    over += [lease.name for lease in workers if lease.remaining <= 0]
    with database.engine().begin() as connection:
        leases.forget(connection, over)
    return dg.SkipReason(f"{len(dead)} runs had been killed, {len(runs) - len(dead)} are executed")


@dg.run_failure_sensor(
    monitor_all_code_locations=True,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records every failed run as an error.",
)
def run_failures(context: dg.RunFailureSensorContext, database: Database) -> None:
    """Record the failure once per run, even if Dagster reports it twice; an interrupted run is no error."""
    run = context.dagster_run
    error = _cause(context)
    if error and error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        # Its worker was stopped, which somebody wanted: what it left is due again.
        context.log.info("run %s of %s was interrupted", run.run_id, run.job_name)
        return
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
    # The line that the console shows.
    logger.error("run %s of %s failed: %s", run.run_id[:8], run.job_name, message.strip())


def _cause(context: dg.RunFailureSensorContext) -> Any:
    """Return why a run failed: what its step raised, or why it could not be started."""
    errors = [event.step_failure_data.error for event in context.get_step_failure_events()]
    failure = context.failure_event.event_specific_data
    errors.append(getattr(failure, "error", None))
    if not any(errors):
        # A run that was never executed says only that it was marked as failed; the reason was reported before.
        entries = context.instance.all_logs(
            context.dagster_run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT
        )
        events = [entry.dagster_event for entry in reversed(entries) if entry.dagster_event]
        errors += [event.engine_event_data.error for event in events]
    error = next((error for error in errors if error), None)
    # The innermost one is the cause, not Dagster's report of it.
    while error is not None and error.cause is not None:
        error = error.cause
    return error


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitor_all_code_locations=True,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Counts every successful run, because error rates need successes as well.",
)
def run_successes(context: dg.RunStatusSensorContext, database: Database) -> None:
    """Count a success of the job's operation."""
    with database.engine().begin() as connection:
        track_successes(connection, [(f"dagster.{context.dagster_run.job_name}", 0.0, 1)])


sensors = [new_errors, undelivered_notifications, expired_leases, dead_runs, run_failures, run_successes]
