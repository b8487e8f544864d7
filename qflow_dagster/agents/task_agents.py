"""Tasks of a task graph that an agent does: the adapter `agent`.

Arguments: `domain`, `task` (any JSON), and optionally `input_type`, `output_type`, `complexity`.
Does not belong here: who gets it (`coordination`), the other adapters (`execution.task_adapters`).
"""

from typing import get_args

from sqlalchemy import Connection, text

from qflow_dagster.agents import assignments
from qflow_dagster.agents.coordination import DOMAINS, Complexity, Wanted
from qflow_dagster.execution import task_adapters
from qflow_dagster.execution.task_adapters import Adapters, Call, Elsewhere
from qflow_dagster.execution.task_arguments import ANYTHING, OBJECT, TEXT, Takes, one_of
from qflow_dagster.quantumflow import NewWorkflow, Workflow, get, register
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.settings import settings

# A run of a Dagster job or of assets that a task asked for; `sensors.requested_runs` follows it.
DAGSTER_RUN = register(WorkflowTypeName.DAGSTER_RUN).name
_ASSIGNMENT = Takes(
    {"domain": one_of(DOMAINS)},
    {"task": ANYTHING, "input_type": TEXT, "output_type": TEXT, "complexity": one_of(get_args(Complexity))},
)
_RUN = Takes(
    optional={"job": TEXT, "asset": TEXT, "partition": TEXT, "config": OBJECT}, either=("job", "asset")
)


def start_assignment(connection: Connection, call: Call) -> NewWorkflow:
    """An assignment whose result becomes the task's."""
    given = call.arguments
    wanted = Wanted(
        given["domain"],
        given.get("input_type", "requirements"),
        given.get("output_type", "code"),
        given.get("complexity", "medium"),
    )
    task = {"title": call.title, "graph": str(call.graph_id), "task": given.get("task"), "inputs": call.seen}
    new = NewWorkflow(
        type=assignments.TYPE,
        parent_id=call.id,
        max_attempts=assignments.ATTEMPTS,
        ttl=min(call.timeout or settings().agents.wait, settings().agents.wait),
    )
    assignments.describe(connection, new.id, task, wanted, requested_by=f"task {call.name}")
    return new


def start_run(connection: Connection, call: Call) -> NewWorkflow:
    """A Dagster run: `job` or `asset`, with `partition` and `config`; a sensor requests it."""
    return NewWorkflow(type=DAGSTER_RUN, payload=dict(call.arguments), parent_id=call.id, max_attempts=1)


def open_runs(connection: Connection, what: str, *, limit: int) -> list[Workflow]:
    """Runs of a `job` or an `asset` that were asked for and have not ended, the oldest first."""
    query = text("""SELECT id FROM workflows WHERE type = :type AND finished_at IS NULL AND payload ? :what
        ORDER BY id LIMIT :limit""")
    ids = connection.scalars(query, {"type": DAGSTER_RUN, "what": what, "limit": limit}).all()
    return [get(connection, id_) for id_ in ids]


ADAPTERS: Adapters = {
    **task_adapters.ADAPTERS,
    "agent": Elsewhere(start_assignment, _ASSIGNMENT),
    "dagster": Elsewhere(start_run, _RUN),
}
