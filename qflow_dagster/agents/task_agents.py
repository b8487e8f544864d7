"""Tasks of a task graph that an agent does: the adapter `agent`.

Arguments: `domain`, `task` (any JSON), and optionally `input_type`, `output_type`, `complexity`.
Does not belong here: who gets it (`coordination`), the other adapters (`execution.task_adapters`).
"""

from sqlalchemy import Connection, text

from qflow_dagster.agents import assignments
from qflow_dagster.agents.coordination import Wanted
from qflow_dagster.execution import task_adapters
from qflow_dagster.execution.task_adapters import Adapters, Call, Elsewhere, TaskFailed
from qflow_dagster.quantumflow import NewWorkflow, Workflow, get, register
from qflow_dagster.settings import settings

# A run of a Dagster job or of assets that a task asked for; `jobs.execution` follows it.
DAGSTER_RUN = register("dagster_run").name
_ARGUMENTS = {"domain", "task", "input_type", "output_type", "complexity"}


def start_assignment(connection: Connection, call: Call) -> NewWorkflow:
    """An assignment whose result becomes the task's."""
    given = call.arguments
    if "domain" not in given or set(given) - _ARGUMENTS:
        raise TaskFailed(f"agent takes {', '.join(sorted(_ARGUMENTS))}, and needs `domain`", kind="arguments",
                         retry=False)  # fmt: skip
    wanted = Wanted(
        given["domain"], given.get("input_type", "requirements"), given.get("output_type", "code"),
        given.get("complexity", "medium"),
    )  # fmt: skip
    task = {"title": call.title, "graph": str(call.graph_id), "task": given.get("task"), "inputs": call.seen}
    new = NewWorkflow(
        type=assignments.TYPE, parent_id=call.id, max_attempts=assignments.ATTEMPTS,
        ttl=min(call.timeout or settings().agents.wait, settings().agents.wait),
    )  # fmt: skip
    assignments.describe(connection, new.id, task, wanted, requested_by=f"task {call.name}")
    return new


def start_run(connection: Connection, call: Call) -> NewWorkflow:
    """A Dagster run: `job` or `asset`, with `partition` and `config`; a sensor requests it."""
    given = call.arguments
    if set(given) - {"job", "asset", "partition", "config"} or ("job" in given) == ("asset" in given):
        raise TaskFailed(
            "dagster takes `job` or `asset`, with `partition` and `config`", kind="arguments", retry=False
        )
    return NewWorkflow(type=DAGSTER_RUN, payload=dict(given), parent_id=call.id, max_attempts=1)


def open_runs(connection: Connection, what: str, *, limit: int) -> list[Workflow]:
    """Runs of a `job` or an `asset` that were asked for and have not ended, the oldest first."""
    query = text("""SELECT id FROM workflows WHERE type = :type AND finished_at IS NULL AND payload ? :what
        ORDER BY id LIMIT :limit""")
    ids = connection.scalars(query, {"type": DAGSTER_RUN, "what": what, "limit": limit}).all()
    return [get(connection, id_) for id_ in ids]


ADAPTERS: Adapters = {
    **task_adapters.ADAPTERS,
    "agent": Elsewhere(start_assignment),
    "dagster": Elsewhere(start_run),
}
