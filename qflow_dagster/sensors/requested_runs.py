"""Runs requested by rows of a table: the decision of a sensor tick about each row, given its run.

A run is tagged with the id of the row that requested it. A tick reads open rows and their runs, and does only
what is missing, so it is idempotent.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.agents.task_agents import DAGSTER_RUN, open_runs
from qflow_dagster.assets.partitions import REPOSITORIES
from qflow_dagster.execution import task_graph
from qflow_dagster.quantumflow import Workflow, claim, complete, fail
from qflow_dagster.resources.database import Database

TAG = "qflow/workflow"
WORKER = "requested runs"
# Maximum duration of a run in seconds.
LEASE = 86_400.0
# Maximum rows per tick.
MAX_REQUESTS = 20


class Step(NamedTuple):
    """A decision about a row: request its run, end the row (as failed if there is a problem), or wait."""

    action: str
    workflow: Workflow
    problem: str | None = None
    run: dg.DagsterRun | None = None


def decide(
    rows: Sequence[Workflow], runs: Mapping[str, dg.DagsterRun], problem_of: Callable[[Any], str | None]
) -> list[Step]:
    """Decide about each row: `runs` by row id; `problem_of` returns what is wrong with a request, or None."""
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


def end_rows(connection: Connection, steps: Sequence[Step]) -> None:
    """End the rows whose run has ended or cannot be started."""
    for step in steps:
        if step.action == "complete" and step.run is not None:
            complete(connection, [step.workflow], [{"run": step.run.run_id}])
        elif step.action == "fail":
            fail(connection, [step.workflow], [{"kind": "run", "message": step.problem}], retry=False)


def step_forward(
    context: dg.SensorEvaluationContext,
    database: Database,
    target: str,
    problem_of: Callable[[Any], str | None],
) -> list[Step]:
    """Claim the rows that request a run of a `target` ("job" or "asset"), end them or return their requests."""
    with database.engine().begin() as connection:
        pending = [
            row.id for row in open_runs(connection, target, limit=MAX_REQUESTS) if row.status == "pending"
        ]
        if pending:
            claim(connection, DAGSTER_RUN, worker=WORKER, limit=MAX_REQUESTS, among=pending, lease=LEASE)
        rows = [row for row in open_runs(connection, target, limit=MAX_REQUESTS) if row.status == "running"]
    runs = runs_by_tag(context.instance, TAG, [str(row.id) for row in rows])
    steps = decide(rows, runs, problem_of)
    with database.engine().begin() as connection:
        end_rows(connection, steps)
    parents = [step.workflow.parent_id for step in steps if step.action in ("complete", "fail")]
    with database.engine().begin() as connection:
        task_graph.finalize(connection, [parent for parent in parents if parent is not None])
    return [step for step in steps if step.action == "request"]


def runs_by_tag(instance: dg.DagsterInstance, tag: str, values: Sequence[str]) -> dict[str, dg.DagsterRun]:
    """Return the newest run of each value of a tag."""
    if not values:
        return {}
    runs = instance.get_runs(dg.RunsFilter(tags={tag: list(values)}))
    return {run.tags[tag]: run for run in reversed(runs)}


def partition_problem(context: dg.SensorEvaluationContext, needed: bool, partition: str | None) -> str | None:
    """Return what is wrong with the partition of a request, if anything."""
    if not needed:
        return f"it has no partitions, and {partition!r} is given" if partition is not None else None
    if partition is None:
        return "it is partitioned by repository: say `partition`"
    if not context.instance.has_dynamic_partition(REPOSITORIES, partition):
        return f"there is no repository {partition!r}; see `qflow repos list`"
    return None


def run_request(step: Step, **target: Any) -> dg.RunRequest:
    """Request the run of a row once per attempt, for the given target."""
    partition = step.workflow.payload.get("partition")
    return dg.RunRequest(
        run_key=f"{step.workflow.id}:{step.workflow.attempt}",
        partition_key=partition,
        tags={TAG: str(step.workflow.id)},
        **target,
    )
