"""Interventions of a person in a task graph: cancel it, retry its failed tasks, amend one of them.

Does not belong here: how graphs run and end by themselves (`task_graph`).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text, update

from qflow_dagster.errors import UsageError
from qflow_dagster.execution.tables import tasks
from qflow_dagster.execution.task_definitions import Task, check_tasks
from qflow_dagster.execution.task_graph import (
    DEPENDENTS,
    DESCENDANTS,
    GRAPH_TYPE,
    cancel_descendants,
    create_tasks,
)
from qflow_dagster.quantumflow import add_dependencies, cancel, transition
from qflow_dagster.quantumflow.rows import to_jsonb


def cancel_graph(connection: Connection, id_: UUID, *, actor: str, reason: str | None = None) -> int:
    """Cancel a graph, its unfinished tasks and the workflows they started; return how many were cancelled.

    Tasks that are running are not interrupted; their results are discarded.

    Raises:
        IllegalTransitionError: the graph has ended.
    """
    cancel(connection, [id_], actor=actor, reason=reason)
    return cancel_descendants(connection, id_, actor=actor, reason=reason)


def retry_failed(connection: Connection, id_: UUID, *, actor: str, reason: str | None = None) -> int:
    """Give the failed tasks of a graph (or one task and its parts) one more attempt each; return how many.

    Tasks they blocked become pending again; the tasks and the graph they are parts of run on.

    Raises:
        UsageError: no task has failed.
    """
    query = text(f"""{DESCENDANTS}
        SELECT w.id FROM (SELECT id FROM descendant UNION SELECT CAST(:id AS uuid)) AS b
        JOIN workflows w ON w.id = b.id JOIN tasks t ON t.id = w.id
        WHERE w.status = 'failed' AND NOT EXISTS (
            SELECT FROM workflows c JOIN tasks ct ON ct.id = c.id WHERE c.parent_id = w.id AND c.status = 'failed')
        ORDER BY w.id FOR UPDATE OF w""")
    failed_ids = connection.scalars(query, {"id": id_}).all()
    if not failed_ids:
        raise UsageError(f"no task of {id_} has failed")
    _reopen(connection, failed_ids, actor=actor, data={"reason": reason or "retried by hand"})
    return len(failed_ids)


def _reopen(connection: Connection, ids: Sequence[UUID], *, actor: str, data: dict[str, Any]) -> None:
    """Make failed tasks pending again, unblock their dependents, and reopen their parents up to the graph."""
    transition(connection, ids, "pending", actor=actor, data=data)
    reopened = list(ids)
    while reopened:
        blocked = connection.scalars(DEPENDENTS, {"ids": reopened, "states": ["blocked"]}).all()
        transition(connection, blocked, "pending", actor=actor, data={"reason": "its dependency is retried"})
        failed_parents = text("""
            SELECT p.id, p.type FROM workflows p
            WHERE p.id IN (SELECT parent_id FROM workflows WHERE id = ANY(:ids)) AND p.status = 'failed'
            ORDER BY p.id FOR UPDATE
        """)
        rows = connection.execute(failed_parents, {"ids": reopened}).all()
        for target_state, parent_ids in (
            ("running", [r.id for r in rows if r.type == GRAPH_TYPE]),
            ("waiting", [r.id for r in rows if r.type != GRAPH_TYPE]),
        ):
            transition(
                connection,
                parent_ids,
                target_state,
                actor=actor,
                data={"reason": "one of its parts is retried"},
            )
        reopened = [row.id for row in rows if row.type != GRAPH_TYPE]


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
    """Change a failed task and try it again: new arguments, split into `parts`, or a new task run `before` it.

    The change is recorded in the task's history.

    Raises:
        UsageError: the task has not failed, or the change is invalid (see `task_definitions.check_tasks`).
        PolicyViolationError: the task's role does not allow it.
    """
    query = text("""
        SELECT t.graph_id, t.depth, t.position, t.name, t.spec, w.status, w.parent_id
        FROM tasks t JOIN workflows w ON w.id = t.id WHERE t.id = :id FOR UPDATE
    """)
    row = connection.execute(query, {"id": id_}).one_or_none()
    if row is None or row.status != "failed":
        raise UsageError(
            f"task {id_} is {row.status if row else 'missing'}: only a failed task can be amended"
        )
    spec = dict(row.spec)
    if arguments is not None:
        spec["arguments"] = arguments
    if parts is not None:
        spec = {name: spec[name] for name in spec if name not in ("adapter", "arguments", "map", "template")}
        spec["tasks"] = [part.model_dump(mode="json", exclude_defaults=True) for part in parts]
    siblings_query = text("""
        SELECT t.name, t.id FROM tasks t JOIN workflows w ON w.id = t.id WHERE w.parent_id = :parent AND t.id <> :id
    """)
    sibling_rows = connection.execute(siblings_query, {"parent": row.parent_id, "id": id_})
    sibling_ids: dict[str, UUID] = {sibling.name: sibling.id for sibling in sibling_rows}
    if before is not None:
        check_tasks([before], adapters, depth=row.depth, beside={row.name, *sibling_ids})
        spec["depends_on"] = [*spec.get("depends_on", ()), before.name]
    names = {*sibling_ids, *([before.name] if before else [])}
    check_tasks([Task.model_validate(spec)], adapters, depth=row.depth, beside=names)
    data = {"reason": reason, "from": row.spec, "to": spec}
    connection.execute(update(tasks).where(tasks.c.id == id_).values(spec=to_jsonb(spec, "a task")))
    _reopen(connection, [id_], actor=actor, data=data | ({"before": before.name} if before else {}))
    if before is not None:
        create_tasks(
            connection,
            row.graph_id,
            row.parent_id,
            [before],
            depth=row.depth,
            actor=actor,
            siblings=sibling_ids | {row.name: id_},
        )
        before_id = connection.scalars(
            select(tasks.c.id)
            .where(tasks.c.graph_id == row.graph_id, tasks.c.name == before.name)
            .order_by(tasks.c.id.desc())
            .limit(1)
        ).one()
        add_dependencies(connection, [(id_, before_id)])
