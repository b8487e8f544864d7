"""Every night: measure each repository again, and keep the durable core in shape."""

import dagster as dg

from qflow_dagster.agents.improvement_policy import should_act
from qflow_dagster.agents.self_improvement import record_of
from qflow_dagster.ingestion import queries
from qflow_dagster.jobs.evolution import evolve_rules, mine_rules
from qflow_dagster.jobs.improvement import improve_repository
from qflow_dagster.jobs.maintenance import maintain_workflows
from qflow_dagster.jobs.repository import compute_metrics
from qflow_dagster.resources.database import Database


@dg.schedule(
    job=compute_metrics,
    cron_schedule="0 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Measures every repository that is ingested.",
)
def nightly_metrics(context: dg.ScheduleEvaluationContext, database: Database) -> list[dg.RunRequest]:
    """One run per ingested repository."""
    with database.engine().connect() as connection:
        ingested = [row["name"] for row in queries.repositories(connection) if row["snapshot_id"]]
    night = context.scheduled_execution_time.date().isoformat()
    return [
        dg.RunRequest(run_key=f"{name}:{night}", partition_key=name, tags={"qflow/repository": name})
        for name in ingested
    ]


@dg.schedule(
    job=improve_repository,
    cron_schedule="0 4 * * *",
    # It writes to no repository, but asks people: who wants that turns it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Runs the improvement loop where it is time to act: poor outcomes, or none for long.",
)
def nightly_improvement(context: dg.ScheduleEvaluationContext, database: Database) -> list[dg.RunRequest]:
    """One run per repository whose record calls for one."""
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


nightly_maintenance = dg.ScheduleDefinition(
    job=maintain_workflows,
    cron_schedule="30 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Seals the history of the day and archives what is past its retention.",
)

nightly_evolution = dg.ScheduleDefinition(
    name="nightly_evolution",
    job=evolve_rules,
    cron_schedule="0 5 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Rules learn from the day, few decisions or many; trials that are over end.",
)

weekly_mining = dg.ScheduleDefinition(
    name="weekly_mining",
    job=mine_rules,
    cron_schedule="0 6 * * 0",
    # Minutes of every core for each repository, and it asks people: who wants that turns it on.
    default_status=dg.DefaultScheduleStatus.STOPPED,
    description="Mines every repository's history for rules.",
)

schedules = [nightly_metrics, nightly_improvement, nightly_maintenance, nightly_evolution, weekly_mining]
