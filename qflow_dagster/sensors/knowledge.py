"""Sensors on knowledge: unanswered requests, and answers that require a new run for a repository."""

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.jobs.ingestion import run_repository
from qflow_dagster.jobs.knowledge import answer_knowledge_requests
from qflow_dagster.knowledge import requests
from qflow_dagster.quantumflow import due
from qflow_dagster.registry import Queue
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import drain_sensor, newest_of
from qflow_dagster.sensors.requested_runs import MAX_REQUESTS, runs_by_tag
from qflow_dagster.sensors.wakes import woken_by

FOLLOW_UP_TAG = "qflow/follow_up"


def has_requests(connection: Connection) -> bool:
    """Return whether a request is due, or a rule must be flagged."""
    return due(connection, [requests.TYPE]) or bool(requests.due_follow_ups(connection, "flag", limit=1))


knowledge_requests = drain_sensor(
    "knowledge_requests",
    answer_knowledge_requests,
    has_requests,
    "Knowledge requests that are due and have no listener: requests a run that answers them.",
    newest=newest_of(requests.TYPE),
    woken_by=[Queue.KNOWLEDGE_REQUESTS],
)


@dg.sensor(
    job=run_repository,
    minimum_interval_seconds=60,
    metadata=woken_by(Queue.KNOWLEDGE_REQUESTS, at_a_time=MAX_REQUESTS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Answers that require a new run for a repository: requests the run, once for each.",
)
def knowledge_follow_ups(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Request the runs, and mark a follow-up as done when its run exists."""
    with database.engine().connect() as connection:
        due = requests.due_follow_ups(connection, "rescan", limit=MAX_REQUESTS)
    runs = runs_by_tag(context.instance, FOLLOW_UP_TAG, [str(row.resolution_id) for row in due])
    registered = set(context.instance.get_dynamic_partitions(REPOSITORIES))
    # A removed repository needs no further run.
    done = [
        row.resolution_id for row in due if str(row.resolution_id) in runs or row.repository not in registered
    ]
    if done:
        with database.engine().begin() as connection:
            requests.followed_up(connection, done)
    open_rows = [row for row in due if row.resolution_id not in done and row.repository is not None]
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"follow-up:{row.resolution_id}",
                partition_key=row.repository,
                tags={FOLLOW_UP_TAG: str(row.resolution_id)},
            )
            for row in open_rows
        ],
        skip_reason=None if open_rows else "no answer needs a new look",
    )


automated_assets = dg.AutomationConditionSensorDefinition(
    "automated_assets",
    target=dg.AssetSelection.all(),
    default_status=dg.DefaultSensorStatus.RUNNING,
    minimum_interval_seconds=60,
    description="Requests assets by their automation conditions: the search index follows each new snapshot.",
)

sensors = [knowledge_requests, knowledge_follow_ups, automated_assets]
