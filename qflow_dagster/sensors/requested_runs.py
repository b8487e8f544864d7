"""Runs that others ask for: tasks of a graph, and answers that call for a new look at a repository.

A row asks, a run with the row's id as its tag answers. A tick reads open rows and their runs, and
does what is missing, so a tick that is lost or repeated changes nothing.

Belongs here: what may be asked for, requesting, and telling the row how its run ended.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents.task_agents import DAGSTER_RUN, open_runs
from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.execution import task_graph
from qflow_dagster.jobs import coordination, improvement, operations, repository
from qflow_dagster.knowledge import requests
from qflow_dagster.quantumflow import Workflow, claim, complete, fail
from qflow_dagster.resources.database import Database

TAG, FOLLOW_UP_TAG = "qflow/workflow", "qflow/follow_up"
# None that decides anything for a person: a task must not approve what it asked for.
JOBS = [
    *repository.jobs,
    improvement.improve_repository,
    operations.check_health,
    operations.observe_operations,
    coordination.observe_coordination,
    coordination.index_knowledge,
]
WORKER = "requested runs"
LEASE = 86_400.0
MOST = 20


class Step(NamedTuple):
    """What a tick does about a row: request its run, end it (with a problem: as failed), or wait."""

    action: str
    workflow: Workflow
    problem: str | None = None
    run: dg.DagsterRun | None = None


def decide(
    rows: Sequence[Workflow], runs: Mapping[str, dg.DagsterRun], problem_of: Callable[[Any], str | None]
) -> list[Step]:
    """What to do about each row: `runs` by row id, `problem_of` says what is wrong with a request."""
    steps = []
    for row in rows:
        run = runs.get(str(row.id))
        if run is None:
            problem = problem_of(row.payload)
            steps.append(Step("fail" if problem else "request", row, problem))
        elif run.status == dg.DagsterRunStatus.SUCCESS:
            steps.append(Step("complete", row, None, run))
        elif run.status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED):
            steps.append(Step("fail", row, f"the run {run.run_id} ended as {run.status.value}", run))
        else:
            steps.append(Step("wait", row, None, run))
    return steps


def tell(connection: Connection, steps: Sequence[Step]) -> None:
    """End the rows whose run has ended, or that cannot have one, and let what waits for them go on."""
    for step in steps:
        if step.action == "complete" and step.run is not None:
            complete(connection, [step.workflow], [{"run": step.run.run_id}])
        elif step.action == "fail":
            fail(connection, [step.workflow], [{"kind": "run", "message": step.problem}], retry=False)


def _act(
    context: dg.SensorEvaluationContext,
    database: Database,
    what: str,
    problem_of: Callable[[Any], str | None],
) -> list[Step]:
    """Claim the open rows that ask for a `what`, decide, and tell; the steps that were decided."""
    with database.engine().begin() as connection:
        waiting = [row.id for row in open_runs(connection, what, limit=MOST) if row.status == "pending"]
        if waiting:
            claim(connection, DAGSTER_RUN, worker=WORKER, limit=MOST, among=waiting, lease=LEASE)
        rows = [row for row in open_runs(connection, what, limit=MOST) if row.status == "running"]
    runs = runs_by_tag(context.instance, TAG, [str(row.id) for row in rows])
    steps = decide(rows, runs, problem_of)
    with database.engine().begin() as connection:
        tell(connection, steps)
    parents = [step.workflow.parent_id for step in steps if step.action in ("complete", "fail")]
    with database.engine().begin() as connection:
        task_graph.finalize(connection, [parent for parent in parents if parent is not None])
    return [step for step in steps if step.action == "request"]


def runs_by_tag(instance: dg.DagsterInstance, tag: str, values: Sequence[str]) -> dict[str, dg.DagsterRun]:
    """The newest run of each value of a tag."""
    if not values:
        return {}
    found = instance.get_runs(dg.RunsFilter(tags={tag: list(values)}))
    return {run.tags[tag]: run for run in reversed(found)}


def _partition_problem(
    context: dg.SensorEvaluationContext, needed: bool, partition: str | None
) -> str | None:
    if not needed:
        return f"it has no partitions, and {partition!r} is given" if partition is not None else None
    if partition is None:
        return "it is partitioned by repository: say `partition`"
    if not context.instance.has_dynamic_partition(REPOSITORIES, partition):
        return f"there is no repository {partition!r}; see `qflow repos list`"
    return None


@dg.sensor(
    jobs=JOBS,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tasks that ask for a run of a job: requests it, and tells the task how it ended.",
)
def requested_jobs(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """One run per row, ever."""
    names = sorted(job.name for job in JOBS)

    def problem_of(payload: Any) -> str | None:
        name = payload["job"]
        if name not in names:
            return f"no job {name!r} can be asked for; there are: {', '.join(names)}"
        job = _repository(context).get_job(name)
        try:
            dg.validate_run_config(job, payload.get("config") or {})
        except dg.DagsterInvalidConfigError as error:
            return " ".join(str(error).split())[:1_000]
        return _partition_problem(context, job.partitions_def is not None, payload.get("partition"))

    steps = _act(context, database, "job", problem_of)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{step.workflow.id}:{step.workflow.attempt}",
                job_name=step.workflow.payload["job"],
                partition_key=step.workflow.payload.get("partition"),
                run_config=step.workflow.payload.get("config") or {},
                tags=_tags(step),
            )
            for step in steps
        ],
        skip_reason=None if steps else "no task asks for a job",
    )


@dg.sensor(
    target=dg.AssetSelection.all(),
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tasks that ask for an asset: requests its materialization, and tells the task how it ended.",
)
def requested_assets(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """One run per row, ever."""
    graph = _repository(context).asset_graph

    def problem_of(payload: Any) -> str | None:
        key = dg.AssetKey.from_user_string(str(payload["asset"]))
        if not graph.has(key):
            return f"there is no asset {payload['asset']!r}"
        if payload.get("config"):
            return "an asset takes no `config` here; ask for a job"
        return _partition_problem(
            context, graph.get(key).partitions_def is not None, payload.get("partition")
        )

    steps = _act(context, database, "asset", problem_of)
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"{step.workflow.id}:{step.workflow.attempt}",
                asset_selection=[dg.AssetKey.from_user_string(step.workflow.payload["asset"])],
                partition_key=step.workflow.payload.get("partition"),
                tags=_tags(step),
            )
            for step in steps
        ],
        skip_reason=None if steps else "no task asks for an asset",
    )


@dg.sensor(
    job=repository.run_repository,
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Answers that call for a new look at a repository: requests the run, once for each.",
)
def knowledge_follow_ups(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
    """Noted as done when its run is there."""
    with database.engine().connect() as connection:
        due = requests.due_follow_ups(connection, "rescan", limit=MOST)
    runs = runs_by_tag(context.instance, FOLLOW_UP_TAG, [str(one.resolution_id) for one in due])
    known = set(context.instance.get_dynamic_partitions(REPOSITORIES))
    # A repository that was removed has nothing to be looked at again.
    done = [one.resolution_id for one in due if str(one.resolution_id) in runs or one.repository not in known]
    if done:
        with database.engine().begin() as connection:
            requests.followed_up(connection, done)
    wanted = [one for one in due if one.resolution_id not in done and one.repository is not None]
    return dg.SensorResult(
        run_requests=[
            dg.RunRequest(
                run_key=f"follow-up:{one.resolution_id}",
                partition_key=one.repository,
                tags={FOLLOW_UP_TAG: str(one.resolution_id), "qflow/repository": str(one.repository)},
            )
            for one in wanted
        ],
        skip_reason=None if wanted else "no answer calls for it",
    )


def _tags(step: Step) -> dict[str, str]:
    partition = step.workflow.payload.get("partition")
    return {TAG: str(step.workflow.id), **({"qflow/repository": partition} if partition else {})}


def _repository(context: dg.SensorEvaluationContext) -> dg.RepositoryDefinition:
    if context.repository_def is None:
        raise RuntimeError("a sensor of this project is evaluated with its definitions")
    return context.repository_def


sensors = [requested_jobs, requested_assets, knowledge_follow_ups]
