"""The task graph engine: graphs of tasks as workflow rows, their life, and what follows what.

A task is a workflow with dependencies; readiness is the core's counter, so nothing polls a task.
Whatever a task was split into (a map's elements, a goal's parts, an agent's assignment) are
workflows with it as their parent; it waits, and ends when they have. A graph is the parent of
its tasks. So one rule ends everything: `settle`.

Belongs here: submitting, splitting, settling; by hand: retry, amend, cancel. Does not belong
here: doing tasks (`task_worker`), reading them (`task_records`).
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import UsageError
from qflow_dagster.execution.tables import task_graphs, tasks
from qflow_dagster.execution.task_definitions import MAX_DEPTH, Task, TaskGraph, check_tasks
from qflow_dagster.quantumflow import (
    Held,
    NewWorkflow,
    StateMachine,
    add_dependencies,
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
# Ready is no state: it is pending with nothing left to wait for, and needs no transition.
TASK = StateMachine(
    name="task",
    initial="pending",
    transitions={
        "pending": frozenset({"running", "blocked", "skipped", "cancelled"}),
        "running": frozenset({"completed", "failed", "pending", "waiting", "skipped", "cancelled"}),
        # For what it was split into.
        "waiting": frozenset({"completed", "failed", "cancelled"}),
        "completed": frozenset(),
        "failed": frozenset({"pending", "waiting"}),
        # What it depends on failed; a retry of that brings it back.
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
# A type per role, so that one role's limit holds up no other.
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
    """Store a graph and its tasks; ready tasks may be done from now on. Return its id.

    With a key, submitting it again finds the first; its input is then that of the first.
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
    if connection.scalar(text("SELECT true FROM task_graphs WHERE id = :id"), {"id": id_}):
        return id_
    values = {**graph.input, **(input or {})}
    row = (id_, graph.name, graph.description, to_json(values, "the input"), requested_by)
    copy_rows(connection, task_graphs, ["id", "name", "description", "input", "requested_by"], [row])
    _create(connection, id_, id_, graph.tasks, depth=0, actor=requested_by)
    return id_


def _create(
    connection: Connection,
    graph_id: UUID,
    parent_id: UUID,
    new: Sequence[Task],
    *,
    depth: int,
    actor: str,
    elements: Sequence[Any] | None = None,
    beside: Mapping[str, UUID] | None = None,
) -> None:
    # As many as a map has elements, and those have no names to depend on.
    made = [
        NewWorkflow(
            type=TASK_TYPES[task.role],
            parent_id=parent_id,
            priority=task.priority,
            max_attempts=task.max_attempts,
        )
        for task in new
    ]
    ids = {**(beside or {}), **{task.name: workflow.id for task, workflow in zip(new, made, strict=True)}}
    linked = [
        NewWorkflow(
            type=workflow.type,
            parent_id=parent_id,
            priority=workflow.priority,
            max_attempts=workflow.max_attempts,
            depends_on=[ids[name] for name in task.depends_on],
            id=workflow.id,
        )
        for task, workflow in zip(new, made, strict=True)
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
                number,
                depth,
                task.model_dump_json(exclude_defaults=True),
                None if elements is None else to_json(elements[number], "an element"),
            )
            for number, (task, workflow) in enumerate(zip(new, made, strict=True))
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
) -> None:
    """Let a running task wait for these parts instead of being done itself.

    Raises:
        UsageError: it would be too deep.
        LeaseLostError: it is not held any more; nothing was created.
    """
    if depth + 1 > MAX_DEPTH:
        raise UsageError(f"a task at depth {depth} is not split again: {MAX_DEPTH} levels are allowed")
    await_children(connection, held, actor=actor)
    _create(connection, graph_id, held.id, parts, depth=depth + 1, actor=actor, elements=elements)


def await_children(connection: Connection, held: Held, *, actor: str) -> None:
    """Let a running task wait for the workflows that have it as their parent."""
    transition(connection, [held], "waiting", actor=actor)


# Who has a task in the way: it failed (or was skipped with them), was cancelled, or is blocked.
_DEPENDENTS = text("""
WITH RECURSIVE hit(id) AS (
    SELECT workflow_id FROM workflow_dependencies WHERE depends_on_id = ANY(CAST(:ids AS uuid[]))
    UNION
    SELECT d.workflow_id FROM hit JOIN workflow_dependencies d ON d.depends_on_id = hit.id
)
SELECT w.id FROM hit JOIN workflows w ON w.id = hit.id WHERE w.status = ANY(:states) ORDER BY w.id FOR UPDATE OF w
""")


def follow(connection: Connection, ended: Iterable[tuple[UUID, str, Task]]) -> None:
    """See to the dependents of tasks that ended otherwise than completed: (id, state, task) each."""
    for id_, state, task in ended:
        if (state == "failed" and task.on_failure == "continue") or (
            state == "skipped" and task.otherwise == "skip"
        ):
            skip_dependency(connection, [id_])
            continue
        waiting = connection.scalars(_DEPENDENTS, {"ids": [id_], "states": ["pending"]}).all()
        to = "skipped" if state == "skipped" else "blocked"
        transition(connection, waiting, to, actor=ACTOR, data={"reason": f"{task.name} {state}"})


_LEFT_BEHIND = text(f"""
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


def unsettled(connection: Connection) -> Sequence[UUID]:
    """Graphs and waiting tasks whose parts have all ended, but who have not."""
    types = [GRAPH_TYPE, *TASK_TYPES.values()]
    return connection.scalars(_OPEN_PARENTS, {"types": types}).all()


def settle_all(connection: Connection) -> None:
    """Do what a worker that was killed left undone after its last task, and end graphs whose time is over."""
    left = connection.execute(_LEFT_BEHIND).all()
    follow(connection, [(row.id, row.status, Task.model_validate(row.spec)) for row in left])
    settle(connection, unsettled(connection))
    over = text(f"""
        SELECT DISTINCT t.graph_id FROM workflows g JOIN tasks t ON t.graph_id = g.id JOIN workflows w ON w.id = t.id
        WHERE g.type = '{GRAPH_TYPE}' AND g.status IN ('failed', 'cancelled') AND w.finished_at IS NULL
    """)
    for graph in connection.scalars(over):
        _cancel_below(connection, graph, actor=ACTOR, reason="its graph has ended")


# Only where no part is open, which an index says: a graph of ten thousand is not looked through for each.
_LOCK = text(f"""
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
  -- Done elsewhere, a retry started it anew: the last one counts.
  AND CASE WHEN t.spec ? 'adapter' AND NOT t.spec ? 'map'
           THEN c.id = (SELECT l.id FROM workflows l WHERE l.parent_id = p.id ORDER BY l.id DESC LIMIT 1)
           ELSE ct.id IS NOT NULL END
GROUP BY p.id, p.parent_id, p.type, t.spec
""")


def settle(connection: Connection, parents: Sequence[UUID]) -> None:
    """End those of the graphs and waiting tasks whose parts have all ended, and what follows from it.

    Run it in a transaction after the one that ended a part: of two that end the last two parts
    at once, the later then sees both. A map's result is the list of its elements' results, in
    their order; a goal's and a graph's, the results nobody else used, by name.
    """
    waiting = list(dict.fromkeys(parents))
    while waiting:
        locked = connection.scalars(_LOCK, {"ids": waiting}).all()
        rows = connection.execute(_CHILDREN_ENDED, {"ids": locked}).all() if locked else []
        waiting = []
        for row in rows:
            state = "failed" if row.bad else "completed"
            data = {"failed": row.failed[:20]} if row.bad else None
            transition(connection, [row.id], state, actor=ACTOR, data=data, results=[row.result])
            if row.spec is not None:
                if state == "failed":
                    follow(connection, [(row.id, state, Task.model_validate(row.spec))])
                waiting.append(row.parent_id)


_BELOW = """
WITH RECURSIVE below(id) AS (
    SELECT id FROM workflows WHERE parent_id = :id
    UNION ALL
    SELECT w.id FROM below JOIN workflows w ON w.parent_id = below.id
)
"""


def cancel_graph(connection: Connection, id_: UUID, *, actor: str, reason: str | None = None) -> int:
    """Cancel a graph, its unfinished tasks, and what they started; return how many. Running ones end unheard.

    Raises:
        IllegalTransitionError: it has ended.
    """
    cancel(connection, [id_], actor=actor, reason=reason)
    return _cancel_below(connection, id_, actor=actor, reason=reason)


def _cancel_below(connection: Connection, id_: UUID, *, actor: str, reason: str | None) -> int:
    query = text(f"""{_BELOW}
        SELECT w.id FROM below JOIN workflows w ON w.id = below.id WHERE w.finished_at IS NULL
        ORDER BY w.id FOR UPDATE OF w""")
    ids = connection.scalars(query, {"id": id_}).all()
    cancel(connection, ids, actor=actor, reason=reason)
    return len(ids)


def retry_failed(connection: Connection, id_: UUID, *, actor: str, reason: str | None = None) -> int:
    """Give the failed tasks of a graph (or a task, and what it was split into) one more attempt each.

    What was blocked by them waits again, what they are parts of goes on. Returns how many.

    Raises:
        UsageError: none of them failed.
    """
    query = text(f"""{_BELOW}
        SELECT w.id FROM (SELECT id FROM below UNION SELECT CAST(:id AS uuid)) AS b
        JOIN workflows w ON w.id = b.id JOIN tasks t ON t.id = w.id
        WHERE w.status = 'failed' AND NOT EXISTS (
            SELECT FROM workflows c JOIN tasks ct ON ct.id = c.id WHERE c.parent_id = w.id AND c.status = 'failed')
        ORDER BY w.id FOR UPDATE OF w""")
    ids = connection.scalars(query, {"id": id_}).all()
    if not ids:
        raise UsageError(f"no task of {id_} has failed")
    _again(connection, ids, actor=actor, data={"reason": reason or "retried by hand"})
    return len(ids)


def _again(connection: Connection, ids: Sequence[UUID], *, actor: str, data: dict[str, Any]) -> None:
    """Put failed tasks back, unblock what waits for them, and open what they are parts of, up to the graph."""
    transition(connection, ids, "pending", actor=actor, data=data)
    going = list(ids)
    while going:
        blocked = connection.scalars(_DEPENDENTS, {"ids": going, "states": ["blocked"]}).all()
        transition(connection, blocked, "pending", actor=actor, data={"reason": "what blocked it is retried"})
        above = text("""
            SELECT p.id, p.type FROM workflows p
            WHERE p.id IN (SELECT parent_id FROM workflows WHERE id = ANY(:ids)) AND p.status = 'failed'
            ORDER BY p.id FOR UPDATE
        """)
        rows = connection.execute(above, {"ids": going}).all()
        for to, chosen in (
            ("running", [r.id for r in rows if r.type == GRAPH_TYPE]),
            ("waiting", [r.id for r in rows if r.type != GRAPH_TYPE]),
        ):
            transition(connection, chosen, to, actor=actor, data={"reason": "a part of it is retried"})
        going = [row.id for row in rows if row.type != GRAPH_TYPE]


def amend(
    connection: Connection,
    id_: UUID,
    adapters: Any,
    *,
    actor: str,
    reason: str,
    arguments: dict[str, Any] | None = None,
    parts: Sequence[Task] | None = None,
    before: Task | None = None,
) -> None:
    """Change a failed task and try it again: other arguments, split into `parts`, or a task done `before` it.

    The change is in the task's history.

    Raises:
        UsageError: it has not failed, or the change is not allowed (as `task_definitions.check_tasks`).
        PolicyViolationError: its role may not.
    """
    query = text("""
        SELECT t.graph_id, t.depth, t.position, t.name, t.spec, w.status, w.parent_id
        FROM tasks t JOIN workflows w ON w.id = t.id WHERE t.id = :id FOR UPDATE
    """)
    row = connection.execute(query, {"id": id_}).one_or_none()
    if row is None or row.status != "failed":
        raise UsageError(f"task {id_} is {row.status if row else 'not there'}: only a failed one is amended")
    spec = dict(row.spec)
    if arguments is not None:
        spec["arguments"] = arguments
    if parts is not None:
        spec = {name: spec[name] for name in spec if name not in ("adapter", "arguments", "map", "template")}
        spec["tasks"] = [part.model_dump(mode="json", exclude_defaults=True) for part in parts]
    siblings = text("""
        SELECT t.name, t.id FROM tasks t JOIN workflows w ON w.id = t.id WHERE w.parent_id = :parent AND t.id <> :id
    """)
    found = connection.execute(siblings, {"parent": row.parent_id, "id": id_})
    beside: dict[str, UUID] = {sibling.name: sibling.id for sibling in found}
    if before is not None:
        check_tasks([before], adapters, depth=row.depth, beside={row.name, *beside})
        spec["depends_on"] = [*spec.get("depends_on", ()), before.name]
    names = {*beside, *([before.name] if before else [])}
    check_tasks([Task.model_validate(spec)], adapters, depth=row.depth, beside=names)
    data = {"reason": reason, "from": row.spec, "to": spec}
    connection.execute(
        text("UPDATE tasks SET spec = CAST(:spec AS jsonb) WHERE id = :id"),
        {"id": id_, "spec": to_json(spec, "a task")},
    )
    _again(connection, [id_], actor=actor, data=data | ({"before": before.name} if before else {}))
    if before is not None:
        _create(
            connection,
            row.graph_id,
            row.parent_id,
            [before],
            depth=row.depth,
            actor=actor,
            beside=beside | {row.name: id_},
        )
        made = connection.scalar(
            text("SELECT id FROM tasks WHERE graph_id = :graph AND name = :name ORDER BY id DESC LIMIT 1"),
            {"graph": row.graph_id, "name": before.name},
        )
        add_dependencies(connection, [(id_, made)])
