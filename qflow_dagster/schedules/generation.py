"""Run the improvement loop at night, on repositories whose record calls for it."""

import dagster as dg

from qflow_dagster.agents.improvement_policy import should_act
from qflow_dagster.agents.self_improvement import record_of
from qflow_dagster.ingestion import queries
from qflow_dagster.jobs.generation import improve_repository
from qflow_dagster.resources.database import Database


@dg.schedule(
    job=improve_repository,
    cron_schedule="0 4 * * *",
    # It writes to no repository, but sends requests to people: whoever wants that turns it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Runs the improvement loop where it is time to act: poor outcomes, or none for long.",
)
def nightly_improvement(context: dg.ScheduleEvaluationContext, database: Database) -> list[dg.RunRequest]:
    """Request one run per repository whose record calls for one."""
    requests = []
    night = context.scheduled_execution_time.date().isoformat()
    with database.engine().connect() as connection:
        for row in queries.repositories(connection):
            if not row["snapshot_id"]:
                continue
            act, why = should_act(record_of(connection, row["id"]))
            if act:
                tags = {"qflow/repository": row["name"], "qflow/why": why}
                requests.append(
                    dg.RunRequest(run_key=f"{row['name']}:{night}", partition_key=row["name"], tags=tags)
                )
    return requests


schedules = [nightly_improvement]
