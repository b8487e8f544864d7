"""Runs of Dagster are operations like any other: a failed one is an error, a finished one a success."""

import os
import warnings

import dagster as dg
from sqlalchemy import text

from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors, track_successes
from qflow_dagster.resources.database import Database
from qflow_dagster.safety.display import visible

# Dagster's own decorator passes a parameter that is in beta on.
warnings.filterwarnings("ignore", message="Parameter `owners`", category=dg.BetaWarning)

# Such sensors take five runs a tick otherwise, and in a storm of failures fall behind by days.
os.environ.setdefault("DAGSTER_RUN_STATUS_SENSOR_PROCESS_LIMIT", "200")

_KNOWN = text("""
SELECT EXISTS (SELECT FROM error_occurrences WHERE operation = :operation AND run_id = :run_id
               AND at > statement_timestamp() - interval '1 day')
""")


@dg.run_failure_sensor(
    monitor_all_code_locations=True,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Records every failed run as an error.",
)
def run_failures(context: dg.RunFailureSensorContext, database: Database) -> None:
    """Once per run, even where Dagster tells of it twice."""
    run = context.dagster_run
    operation = f"dagster.{run.job_name}"
    failed = [event.step_failure_data.error for event in context.get_step_failure_events()]
    # The innermost cause: what a step raised, rather than that it did.
    error = next((e for e in failed if e), None)
    while error is not None and error.cause is not None:
        error = error.cause
    message = error.message if error else context.failure_event.message or "the run failed"
    occurrence = Occurrence(
        operation=operation,
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
        known = connection.scalar(_KNOWN, {"operation": operation, "run_id": run.run_id})
        if not known:
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
    """One success of the job's operation."""
    with database.engine().begin() as connection:
        track_successes(connection, [(f"dagster.{context.dagster_run.job_name}", 0.0, 1)])


sensors = [run_failures, run_successes]
