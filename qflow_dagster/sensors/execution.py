"""Sensors on task graphs, SPARC goals and approved texts, and on the runs that tasks request."""

from typing import Any

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents import sparc_changes
from qflow_dagster.execution import sparc_worker, task_worker
from qflow_dagster.execution.task_graph import TASK_TYPES
from qflow_dagster.execution.work_chunks import DECISION
from qflow_dagster.jobs import generation, infrastructure, ingestion, knowledge, metrics
from qflow_dagster.jobs.execution import (
    observe_coordination,
    plan_approved_work,
    run_task_graphs,
    work_on_goals,
)
from qflow_dagster.quantumflow import due
from qflow_dagster.registry import Queue
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors.drains import drain_sensor, newest_of
from qflow_dagster.sensors.requested_runs import partition_problem, run_request, step_forward
from qflow_dagster.sensors.wakes import woken_by
from qflow_dagster.settings import settings

# The jobs a task may request. None decides for a person: a task must not approve what it requested.
REQUESTABLE_JOBS = [
    *ingestion.jobs,
    *metrics.jobs,
    *generation.jobs,
    infrastructure.check_health,
    infrastructure.observe_operations,
    observe_coordination,
    knowledge.index_knowledge,
]


def has_open_goals(connection: Connection) -> bool:
    """Return whether a goal has a phase to complete, a suggestion that ended, or a target to measure."""
    return sparc_worker.waiting(connection) or sparc_changes.decided(connection)


def has_approved_texts(connection: Connection) -> bool:
    """Return whether an approved text is pending."""
    return due(connection, [DECISION])


ready_tasks = drain_sensor(
    "ready_tasks",
    run_task_graphs,
    task_worker.useful_runs,
    "Tasks that are ready, or parents whose subtasks have ended: requests runs that execute them.",
    at_a_time=settings().execution.task_runs,
    newest=newest_of(*TASK_TYPES.values()),
    woken_by=[Queue.TASK_GRAPH_NOTIFICATIONS],
)
open_goals = drain_sensor(
    "open_goals",
    work_on_goals,
    has_open_goals,
    "Goals with a phase to complete, a change that was decided, or a target to measure: requests a run.",
    newest=newest_of(sparc_worker.PHASE_TYPE),
    woken_by=[Queue.SPARC_NOTIFICATIONS, Queue.SUGGESTION_NOTIFICATIONS],
)
approved_work = drain_sensor(
    "approved_work",
    plan_approved_work,
    has_approved_texts,
    "Approved texts: requests a run that creates work items from them.",
    newest=newest_of(DECISION),
    woken_by=[Queue.WORK_ITEM_NOTIFICATIONS, Queue.WORKFLOW_APPROVAL_NOTIFICATIONS],
)


@dg.sensor(
    jobs=REQUESTABLE_JOBS,
    minimum_interval_seconds=60,
    metadata=woken_by(Queue.TASK_GRAPH_NOTIFICATIONS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tasks that request a run of a job: requests it, and ends the task when the run has ended.",
)
def requested_jobs(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Request one run per row and attempt."""
    names = sorted(job.name for job in REQUESTABLE_JOBS)

    def problem_of(payload: Any) -> str | None:
        name = payload["job"]
        if name not in names:
            return f"no job {name!r} can be requested; there are: {', '.join(names)}"
        job = _definitions(context).get_job(name)
        try:
            dg.validate_run_config(job, payload.get("config") or {})
        except dg.DagsterInvalidConfigError as error:
            return " ".join(str(error).split())[:1_000]
        return partition_problem(context, job.partitions_def is not None, payload.get("partition"))

    steps = step_forward(context, database, "job", problem_of)
    return dg.SensorResult(
        run_requests=[
            run_request(
                step,
                job_name=step.workflow.payload["job"],
                run_config=step.workflow.payload.get("config") or {},
            )
            for step in steps
        ],
        skip_reason=None if steps else "no task requests a job",
    )


@dg.sensor(
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=60,
    metadata=woken_by(Queue.TASK_GRAPH_NOTIFICATIONS),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tasks that request an asset: requests its materialization, and ends the task when it has ended.",
)
def requested_assets(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Request one run per row and attempt."""
    graph = _definitions(context).asset_graph

    def problem_of(payload: Any) -> str | None:
        key = dg.AssetKey.from_user_string(str(payload["asset"]))
        if not graph.has(key):
            return f"there is no asset {payload['asset']!r}"
        if payload.get("config"):
            return "an asset takes no `config` here; request a job"
        return partition_problem(context, graph.get(key).partitions_def is not None, payload.get("partition"))

    steps = step_forward(context, database, "asset", problem_of)
    return dg.SensorResult(
        run_requests=[
            run_request(step, asset_selection=[dg.AssetKey.from_user_string(step.workflow.payload["asset"])])
            for step in steps
        ],
        skip_reason=None if steps else "no task requests an asset",
    )


def _definitions(context: dg.SensorEvaluationContext) -> dg.RepositoryDefinition:
    if context.repository_def is None:
        raise RuntimeError("a sensor of this project is evaluated with its definitions")
    return context.repository_def


sensors = [ready_tasks, open_goals, approved_work, requested_jobs, requested_assets]
