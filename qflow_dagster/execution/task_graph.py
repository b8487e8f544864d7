"""The task graph engine: graphs of tasks as workflow rows, and what follows when one of them ends.

A task is a workflow with dependencies; readiness is the core's counter, so nothing polls a task.
The parts a task is split into (a map's elements, a goal's parts, an agent's assignment) are
workflows with that task as their parent; the task waits, and ends when all parts have ended. A graph is the
parent of its tasks. So one function ends graphs and tasks alike: `finalize`.

Belongs here: submitting, splitting, finalizing. Does not belong here: running tasks (`task_worker`), what a
person does to a graph (`task_interventions`), reading (`task_records`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import UsageError
from qflow_dagster.execution.tables import task_graphs, tasks
from qflow_dagster.execution.task_definitions import MAX_DEPTH, Task, TaskGraph
from qflow_dagster.quantumflow import (
    Held,
    NewWorkflow,
    StateMachine,
    cancel,
    create_workflow,
    create_workflows,
    register,
    skip_dependency,
    transition,
)
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Queue, WorkflowTypeName

ACTOR = "task graph engine"

_ENDED = frozenset({"completed", "failed", "skipped", "cancelled", "blocked"})
# Ready is not a state of its own: it is pending without remaining dependencies, and needs no transition.
TASK = StateMachine(
    name="task",
    initial="pending",
    transitions={
        "pending": frozenset({"running", "blocked", "skipped", "cancelled"}),
        "running": frozenset({"completed", "failed", "pending", "waiting", "skipped", "cancelled"}),
        # Waiting for the parts it was split into.
        "waiting": frozenset({"completed", "failed", "cancelled"}),
        "completed": frozenset(),
        "failed": frozenset({"pending", "waiting"}),
        # A dependency failed; a retry of that makes the task pending again.
        "blocked": frozenset({"pending", "skipped", "cancelled"}),
        "skipped": frozenset({"pending"}),
        "cancelled": frozenset({"pending"}),
    },
    terminal=_ENDED,
    completed="completed",
    claimable=frozenset({"pending"}),
    claimed="running",
    leased=frozenset({"running"}),
    failed="pending",
    dead="failed",
    released="pending",
    cancelled="cancelled",
)
GRAPH = StateMachine(
    name="task_graph",
    initial="running",
    transitions={
        "running": frozenset({"completed", "failed", "cancelled"}),
        "completed": frozenset(),
        "failed": frozenset({"running", "cancelled"}),
        "cancelled": frozenset(),
    },
    terminal=frozenset({"completed", "failed", "cancelled"}),
    completed="completed",
    cancelled="cancelled",
    expired="failed",
)
ROLES = ("coder", "tester", "critic", "researcher", "admin")
GRAPH_TYPE = register(WorkflowTypeName.TASK_GRAPH, machine=GRAPH, queue=Queue.TASK_GRAPH_NOTIFICATIONS).name
# One workflow type per role, so that the limit of one role does not delay another.
TASK_TYPES = {
    role: register(WorkflowTypeName(f"task_{role}"), machine=TASK, queue=Queue.TASK_GRAPH_NOTIFICATIONS).name
    for role in ROLES
}


def submit(
    connection: Connection,
    graph: TaskGraph,
    *,
    requested_by: str,
    input: dict[str, Any] | None = None,  # noqa: A002
    key: str | None = None,
    parent_id: UUID | None = None,
) -> UUID:
    """Store a graph and its tasks and return its id; workers may start ready tasks from then on.

    With a `key`, a second submission returns the id of the first and changes nothing.
    """
    id_ = create_workflow(
        connection,
        GRAPH_TYPE,
        {"name": graph.name},
        actor=requested_by,
        key=key,
        ttl=graph.timeout,
        parent_id=parent_id,
    )
    if connection.scalar(select(task_graphs.c.id).where(task_graphs.c.id == id_)):
        return id_
    values = {**graph.input, **(input or {})}
    row = (id_, graph.name, graph.description, to_json(values, "the input"), requested_by)
    copy_rows(connection, task_graphs, ["id", "name", "description", "input", "requested_by"], [row])
    create_tasks(connection, id_, id_, graph.tasks, depth=0, actor=requested_by)
    return id_


def create_tasks(
    connection: Connection,
    graph_id: UUID,
    parent_id: UUID,
    definitions: Sequence[Task],
    *,
    depth: int,
    actor: str,
    elements: Sequence[Any] | None = None,
    siblings: Mapping[str, UUID] | None = None,
) -> None:
    """Create tasks below a graph or a split task; `elements` are those of a map, one per task.

    `siblings` are tasks that exist already and may be named as dependencies (name -> id).
    """
    workflows = [
        NewWorkflow(
            type=TASK_TYPES[task.role],
            parent_id=parent_id,
            priority=task.priority,
            max_attempts=task.max_attempts,
        )
        for task in definitions
    ]
    ids = {
        **(siblings or {}),
        **{task.name: workflow.id for task, workflow in zip(definitions, workflows, strict=True)},
    }
    linked = [
        NewWorkflow(
            type=workflow.type,
            parent_id=parent_id,
            priority=workflow.priority,
            max_attempts=workflow.max_attempts,
            depends_on=[ids[name] for name in task.depends_on],
            id=workflow.id,
        )
        for task, workflow in zip(definitions, workflows, strict=True)
    ]
    create_workflows(connection, linked, actor=actor)
    copy_rows(
        connection,
        tasks,
        ["id", "graph_id", "name", "position", "depth", "spec", "element"],
        [
            (
                workflow.id,
                graph_id,
                task.name,
                position,
                depth,
                task.model_dump_json(exclude_defaults=True),
                None if elements is None else to_json(elements[position], "an element"),
            )
            for position, (task, workflow) in enumerate(zip(definitions, workflows, strict=True))
        ],
    )


def split(
    connection: Connection,
    held: Held,
    graph_id: UUID,
    depth: int,
    parts: Sequence[Task],
    *,
    actor: str,
    elements: Sequence[Any] | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Make a running task wait for these parts instead of being run itself; `data` is kept in its history.

    Raises:
        UsageError: more than `MAX_DEPTH` levels.
        LeaseLostError: the caller no longer holds the task; nothing was created.
    """
    if depth + 1 > MAX_DEPTH:
        raise UsageError(
            f"a task at depth {depth} cannot be split again: at most {MAX_DEPTH} levels are allowed"
        )
    transition(connection, [held], "waiting", actor=actor, data=data)
    create_tasks(connection, graph_id, held.id, parts, depth=depth + 1, actor=actor, elements=elements)


def await_children(connection: Connection, held: Held, *, actor: str) -> None:
    """Make a running task wait for the workflows that have it as their parent."""
    transition(connection, [held], "waiting", actor=actor)


# Transitive dependents of tasks, in the given states, locked in the order of their ids.
DEPENDENTS = text("""
WITH RECURSIVE dependent(id) AS (
    SELECT workflow_id FROM workflow_dependencies WHERE depends_on_id = ANY(CAST(:ids AS uuid[]))
    UNION
    SELECT d.workflow_id FROM dependent JOIN workflow_dependencies d ON d.depends_on_id = dependent.id
)
SELECT w.id FROM dependent JOIN workflows w ON w.id = dependent.id WHERE w.status = ANY(:states)
ORDER BY w.id FOR UPDATE OF w
""")


def propagate(connection: Connection, ended: Iterable[tuple[UUID, str, Task]]) -> None:
    """Block, skip or release the dependents of tasks that ended otherwise than completed.

    `ended` holds (id, state, task) each.
    """
    for id_, state, task in ended:
        if (state == "failed" and task.on_failure == "continue") or (
            state == "skipped" and task.otherwise == "skip"
        ):
            skip_dependency(connection, [id_])
            continue
        dependents = connection.scalars(DEPENDENTS, {"ids": [id_], "states": ["pending"]}).all()
        target_state = "skipped" if state == "skipped" else "blocked"
        transition(connection, dependents, target_state, actor=ACTOR, data={"reason": f"{task.name} {state}"})


_UNPROPAGATED = text(f"""
SELECT DISTINCT t.id, w.status, t.spec FROM workflows g
JOIN tasks t ON t.graph_id = g.id JOIN workflows w ON w.id = t.id
JOIN workflow_dependencies d ON d.depends_on_id = t.id JOIN workflows p ON p.id = d.workflow_id
WHERE g.type = '{GRAPH_TYPE}' AND g.finished_at IS NULL AND w.status IN ('failed', 'skipped', 'cancelled')
  AND p.status = 'pending'
""")
_OPEN_PARENTS = text(f"""
SELECT w.id FROM workflows w
WHERE w.type = ANY(:types) AND w.status IN ('waiting', 'running') AND w.finished_at IS NULL
  AND (w.type = '{GRAPH_TYPE}' OR w.status = 'waiting')
  AND NOT EXISTS (SELECT FROM workflows c WHERE c.parent_id = w.id AND c.finished_at IS NULL)
""")


def unfinalized(connection: Connection) -> Sequence[UUID]:
    """Return graphs and waiting tasks that are still open although all of their parts have ended."""
    types = [GRAPH_TYPE, *TASK_TYPES.values()]
    return connection.scalars(_OPEN_PARENTS, {"types": types}).all()


def finalize_all(connection: Connection) -> None:
    """Finish what a killed worker left undone after its last task, and cancel the tasks of graphs that have ended."""
    unpropagated = connection.execute(_UNPROPAGATED).all()
    propagate(connection, [(row.id, row.status, Task.model_validate(row.spec)) for row in unpropagated])
    finalize(connection, unfinalized(connection))
    ended_graphs = text(f"""
        SELECT DISTINCT t.graph_id FROM workflows g JOIN tasks t ON t.graph_id = g.id JOIN workflows w ON w.id = t.id
        WHERE g.type = '{GRAPH_TYPE}' AND g.status IN ('failed', 'cancelled') AND w.finished_at IS NULL
    """)
    for graph_id in connection.scalars(ended_graphs):
        cancel_descendants(connection, graph_id, actor=ACTOR, reason="the graph has ended")


# Only where no part is open, which an index answers: a graph of 10,000 tasks is not read at the end of each task.
_LOCK_FINALIZABLE = text(f"""
SELECT w.id FROM workflows w WHERE w.id = ANY(CAST(:ids AS uuid[])) AND w.finished_at IS NULL
  AND (w.type = '{GRAPH_TYPE}' OR w.status = 'waiting')
  AND NOT EXISTS (SELECT FROM workflows o WHERE o.parent_id = w.id AND o.finished_at IS NULL)
ORDER BY w.id FOR UPDATE
""")
_CHILDREN_ENDED = text("""
SELECT p.id, p.parent_id, p.type, t.spec, count(c.id) AS children,
       count(*) FILTER (WHERE c.status NOT IN ('completed', 'skipped', 'succeeded')
                        AND coalesce(ct.spec ->> 'on_failure', 'block') = 'block') AS bad,
       coalesce(array_agg(coalesce(ct.name, c.type) ORDER BY ct.position) FILTER (
           WHERE c.status NOT IN ('completed', 'skipped', 'succeeded', 'blocked')), '{}') AS failed,
       CASE WHEN t.spec ? 'map' THEN jsonb_agg(c.result ORDER BY ct.position)
            WHEN t.spec ? 'adapter' THEN jsonb_agg(c.result) -> 0
            ELSE jsonb_object_agg(coalesce(ct.name, c.id::text), c.result) FILTER (
                WHERE c.status = 'completed' AND NOT c.has_dependents) END AS result
FROM workflows p LEFT JOIN tasks t ON t.id = p.id
JOIN workflows c ON c.parent_id = p.id LEFT JOIN tasks ct ON ct.id = c.id
WHERE p.id = ANY(CAST(:ids AS uuid[]))
  AND NOT EXISTS (SELECT FROM workflows o WHERE o.parent_id = p.id AND o.finished_at IS NULL)
  -- An external adapter starts a new workflow at each retry: the last one counts.
  AND CASE WHEN t.spec ? 'adapter' AND NOT t.spec ? 'map'
           THEN c.id = (SELECT l.id FROM workflows l WHERE l.parent_id = p.id ORDER BY l.id DESC LIMIT 1)
           ELSE ct.id IS NOT NULL END
GROUP BY p.id, p.parent_id, p.type, t.spec
""")


def finalize(connection: Connection, parents: Sequence[UUID]) -> None:
    """End those graphs and waiting tasks whose parts have all ended, and propagate their states.

    Call it in a transaction after the one that ended a part: when two workers end the last two parts
    at the same time, the later one then sees both. The result of a map is the list of its elements' results in
    their order; that of a goal or graph, the results no other task depends on, by name.
    """
    pending = list(dict.fromkeys(parents))
    while pending:
        locked = connection.scalars(_LOCK_FINALIZABLE, {"ids": pending}).all()
        rows = connection.execute(_CHILDREN_ENDED, {"ids": locked}).all() if locked else []
        pending = []
        for row in rows:
            state = "failed" if row.bad else "completed"
            data = {"failed": row.failed[:20]} if row.bad else None
            transition(connection, [row.id], state, actor=ACTOR, data=data, results=[row.result])
            if row.spec is not None:
                if state == "failed":
                    propagate(connection, [(row.id, state, Task.model_validate(row.spec))])
                pending.append(row.parent_id)


DESCENDANTS = """
WITH RECURSIVE descendant(id) AS (
    SELECT id FROM workflows WHERE parent_id = :id
    UNION ALL
    SELECT w.id FROM descendant JOIN workflows w ON w.parent_id = descendant.id
)
"""


def cancel_descendants(connection: Connection, id_: UUID, *, actor: str, reason: str | None) -> int:
    """Cancel the unfinished workflows below a graph, whatever their depth; return how many."""
    query = text(f"""{DESCENDANTS}
        SELECT w.id FROM descendant JOIN workflows w ON w.id = descendant.id WHERE w.finished_at IS NULL
        ORDER BY w.id FOR UPDATE OF w""")
    ids = connection.scalars(query, {"id": id_}).all()
    cancel(connection, ids, actor=actor, reason=reason)
    return len(ids)
