"""The nightly measurement of each repository."""

import dagster as dg

from qflow_dagster.ingestion import queries
from qflow_dagster.jobs.metrics import compute_metrics
from qflow_dagster.resources.database import Database


@dg.schedule(
    job=compute_metrics,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Measures every ingested repository.",
)
def nightly_metrics(context: dg.ScheduleEvaluationContext, database: Database) -> list[dg.RunRequest]:
    """Request a run for each ingested repository."""
    with database.engine().connect() as connection:
        ingested = [row["name"] for row in queries.repositories(connection) if row["snapshot_id"]]
    night = context.scheduled_execution_time.date().isoformat()
    return [dg.RunRequest(run_key=f"{name}:{night}", partition_key=name) for name in ingested]


schedules = [nightly_metrics]
