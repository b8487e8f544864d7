"""Adapters for tasks that run elsewhere: `agent` (an assignment) and `dagster` (a Dagster run).

Arguments of `agent`: `domain`, `task` (any JSON), and optionally `input_type`, `output_type`, `complexity`.
Does not belong here: choosing the agent (`coordination`), the other adapters (`execution.task_adapters`).
"""

from typing import get_args

from sqlalchemy import Connection, select

from qflow_dagster.agents import assignments
from qflow_dagster.agents.coordination import DOMAINS, Complexity, Requirement
from qflow_dagster.execution import task_adapters
from qflow_dagster.execution.task_adapters import Adapters, Call, ExternalAdapter
from qflow_dagster.execution.task_arguments import ANYTHING, OBJECT, TEXT, ArgumentSpec, one_of
from qflow_dagster.quantumflow import NewWorkflow, Workflow, get, register
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.settings import settings

# A run of a Dagster job or asset that a task requested; `sensors.requested_runs` launches and follows it.
DAGSTER_RUN = register(WorkflowTypeName.DAGSTER_RUN).name
_ASSIGNMENT = ArgumentSpec(
    {"domain": one_of(DOMAINS)},
    {"task": ANYTHING, "input_type": TEXT, "output_type": TEXT, "complexity": one_of(get_args(Complexity))},
)
_RUN = ArgumentSpec(
    optional={"job": TEXT, "asset": TEXT, "partition": TEXT, "config": OBJECT},
    exactly_one_of=("job", "asset"),
)


def start_assignment(connection: Connection, call: Call) -> NewWorkflow:
    """Create the assignment whose result becomes the task's."""
    arguments = call.arguments
    requirement = Requirement(
        arguments["domain"],
        arguments.get("input_type", "requirements"),
        arguments.get("output_type", "code"),
        arguments.get("complexity", "medium"),
    )
    task = {
        "title": call.title,
        "graph": str(call.graph_id),
        "task": arguments.get("task"),
        "inputs": call.inputs,
    }
    new = NewWorkflow(
        type=assignments.TYPE,
        parent_id=call.id,
        max_attempts=assignments.MAX_ATTEMPTS,
        ttl=min(call.timeout or settings().agents.wait, settings().agents.wait),
    )
    assignments.describe(connection, new.id, task, requirement, requested_by=f"task {call.name}")
    return new


def start_run(connection: Connection, call: Call) -> NewWorkflow:
    """Return the workflow of a Dagster run: `job` or `asset`, with `partition` and `config`; a sensor requests it."""
    return NewWorkflow(type=DAGSTER_RUN, payload=dict(call.arguments), parent_id=call.id, max_attempts=1)


def open_runs(connection: Connection, what: str, *, limit: int) -> list[Workflow]:
    """Return requested runs of a `job` or an `asset` (`what`) that have not ended, oldest first."""
    table = workflows.c
    query = (
        select(table.id)
        .where(table.type == DAGSTER_RUN, table.finished_at.is_(None), table.payload.has_key(what))
        .order_by(table.id)
        .limit(limit)
    )
    ids = connection.scalars(query).all()
    return [get(connection, id_) for id_ in ids]


ADAPTERS: Adapters = {
    **task_adapters.ADAPTERS,
    "agent": ExternalAdapter(start_assignment, _ASSIGNMENT),
    "dagster": ExternalAdapter(start_run, _RUN),
}
