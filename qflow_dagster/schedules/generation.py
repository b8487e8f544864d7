"""The nightly run of the improvement loop, for repositories whose recent outcomes require it."""

import dagster as dg

from qflow_dagster.agents.improvement_policy import should_act
from qflow_dagster.agents.self_improvement import record_of
from qflow_dagster.ingestion import queries
from qflow_dagster.jobs.generation import improve_repository
from qflow_dagster.resources.database import Database


@dg.schedule(
    job=improve_repository,
    cron_schedule="0 4 * * *",
    # Off by default: it writes to no repository, but sends approval requests to people.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Runs the improvement loop for repositories with poor outcomes, or with none for a long time.",
)
def nightly_improvement(context: dg.ScheduleEvaluationContext, database: Database) -> list[dg.RunRequest]:
    """Request a run for each repository whose recent outcomes require it."""
    requests = []
    night = context.scheduled_execution_time.date().isoformat()
    with database.engine().connect() as connection:
        for row in queries.repositories(connection):
            if not row["snapshot_id"]:
                continue
            act, why = should_act(record_of(connection, row["id"]))
            if act:
                tags = {"qflow/why": why}
                requests.append(
                    dg.RunRequest(run_key=f"{row['name']}:{night}", partition_key=row["name"], tags=tags)
                )
    return requests


schedules = [nightly_improvement]
