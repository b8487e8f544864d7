"""Failed runs are logged with their reason and repository."""

import dagster as dg


@dg.run_failure_sensor(
    monitor_all_code_locations=True,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Logs every failed run.",
)
def run_failures(context: dg.RunFailureSensorContext) -> None:
    """Log one line per failed run."""
    run = context.dagster_run
    context.log.error(
        "run %s of %s%s failed: %s",
        run.run_id,
        run.job_name,
        f" on {run.tags['dagster/partition']}" if "dagster/partition" in run.tags else "",
        context.failure_event.message,
    )


sensors = [run_failures]
