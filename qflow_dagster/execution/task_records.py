"""Read task graphs: lists, one graph with its tasks, progress, the critical path.

Does not belong here: any change (`task_graph`), pictures (`pictures.task_graph`).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, select, text

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import resolve
from qflow_dagster.quantumflow.tables import workflows

_GRAPHS = """
SELECT g.id, g.name, w.status AS state, c.tasks, c.completed, c.failed, g.requested_by, g.created_at,
       extract(epoch FROM coalesce(w.finished_at, clock_timestamp()) - g.created_at)::float AS seconds
FROM task_graphs g JOIN workflows w ON w.id = g.id
CROSS JOIN LATERAL (
    SELECT count(*) AS tasks, count(*) FILTER (WHERE tw.status IN ('completed', 'skipped')) AS completed,
           count(*) FILTER (WHERE tw.status IN ('failed', 'blocked')) AS failed
    FROM tasks t JOIN workflows tw ON tw.id = t.id WHERE t.graph_id = g.id) AS c
"""
# `ready` is pending without remaining dependencies.
_STATE = """CASE WHEN w.status = 'pending' AND w.remaining_dependencies = 0 AND w.available_at <= clock_timestamp()
                 THEN 'ready' ELSE w.status END"""


def find(connection: Connection, *, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return graphs, newest first, optionally only those in one state."""
    query = text(f"""SELECT * FROM ({_GRAPHS}
        WHERE CAST(:state AS text) IS NULL OR w.status = :state ORDER BY g.id DESC LIMIT :limit) AS graphs""")
    return [dict(row) for row in connection.execute(query, {"state": state, "limit": limit}).mappings()]


def show(connection: Connection, id_: UUID, *, limit: int = 1_000) -> dict[str, Any]:
    """Return one graph with its first `limit` tasks, input and result.

    Raises:
        QflowError: there is no such graph.
    """
    query = text(f"""SELECT base.*, g.input, g.description, w.result FROM ({_GRAPHS} WHERE g.id = :id) AS base
        JOIN task_graphs g ON g.id = base.id JOIN workflows w ON w.id = base.id""")
    row = connection.execute(query, {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no task graph {id_}")
    return {**row, "tasks_total": row["tasks"], "tasks": tasks_of(connection, id_, limit=limit)}


def tasks_of(connection: Connection, id_: UUID, *, limit: int = 100_000) -> list[dict[str, Any]]:
    """Return the tasks of a graph in the order of its definition, the parts of a task directly after it."""
    query = text(f"""
        WITH RECURSIVE tree AS (
            SELECT t.id, 0 AS depth, ARRAY[t.position] AS ordinals FROM tasks t JOIN workflows w ON w.id = t.id
            WHERE t.graph_id = :id AND w.parent_id = :id
            UNION ALL
            SELECT t.id, tree.depth + 1, tree.ordinals || t.position
            FROM tree JOIN workflows w ON w.parent_id = tree.id JOIN tasks t ON t.id = w.id
        )
        SELECT t.id, t.name, {_STATE} AS state, tree.depth, t.spec ->> 'title' AS title,
               coalesce(t.spec ->> 'role', 'coder') AS role, t.spec ->> 'adapter' AS adapter,
               coalesce(t.spec -> 'depends_on', '[]') AS depends_on, w.parent_id, w.attempt, w.max_attempts,
               w.error, w.created_at, w.finished_at, s.started_at,
               extract(epoch FROM w.finished_at - s.started_at)::float AS seconds
        FROM tree JOIN tasks t ON t.id = tree.id JOIN workflows w ON w.id = t.id
        LEFT JOIN LATERAL (SELECT max(at) AS started_at FROM workflow_events e
                           WHERE e.workflow_id = t.id AND e.to_status = 'running') AS s ON true
        ORDER BY tree.ordinals LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"id": id_, "limit": limit}).mappings()]


def result(connection: Connection, id_: UUID) -> Any:
    """Return the result of a task or graph."""
    return connection.scalar(select(workflows.c.result).where(workflows.c.id == id_))


def progress(connection: Connection, id_: UUID) -> list[dict[str, Any]]:
    """Count the tasks of a graph by state."""
    query = text(f"""SELECT {_STATE} AS state, count(*) AS tasks FROM tasks t JOIN workflows w ON w.id = t.id
        WHERE t.graph_id = :id GROUP BY 1 ORDER BY tasks DESC""")
    return [dict(row) for row in connection.execute(query, {"id": id_}).mappings()]


def stuck(connection: Connection) -> list[dict[str, Any]]:
    """Return at most 20 graphs that can never go on, and tasks whose worker has been gone for 5 minutes."""
    query = text("""
        SELECT g.id, g.name, 'no task can run' AS problem FROM task_graphs g JOIN workflows gw ON gw.id = g.id
        WHERE gw.status = 'running' AND g.created_at < clock_timestamp() - interval '5 min' AND NOT EXISTS (
            SELECT FROM tasks t JOIN workflows w ON w.id = t.id WHERE t.graph_id = g.id
            AND (w.status IN ('running', 'waiting') OR (w.status = 'pending' AND w.remaining_dependencies = 0)))
        UNION ALL
        SELECT t.graph_id, t.name, 'its worker is gone' FROM workflows w JOIN tasks t ON t.id = w.id
        WHERE w.status = 'running' AND w.lease_expires_at < clock_timestamp() - interval '5 min'
        LIMIT 20
    """)
    return [dict(row) for row in connection.execute(query).mappings()]


def critical_path(tasks: Sequence[dict[str, Any]]) -> tuple[list[str], float]:
    """Return names and seconds of the longest path through a graph's top-level tasks; unfinished tasks take 0 s."""
    top = {task["name"]: task for task in tasks if task["depth"] == 0}
    longest: dict[str, tuple[float, list[str]]] = {}
    pending = list(top)
    while pending:
        name = pending[-1]
        missing = [
            dependency
            for dependency in top[name]["depends_on"]
            if dependency in top and dependency not in longest
        ]
        if missing:
            pending += missing
            continue
        pending.pop()
        if name in longest:
            continue
        predecessors = [
            longest[dependency] for dependency in top[name]["depends_on"] if dependency in longest
        ]
        seconds, path = max(predecessors, default=(0.0, []), key=lambda entry: entry[0])
        longest[name] = (seconds + (top[name]["seconds"] or 0.0), [*path, name])
    seconds, path = max(longest.values(), default=(0.0, []), key=lambda entry: entry[0])
    return path, seconds


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the task graph whose id begins with `prefix`."""
    return resolve(connection, prefix, table="task_graphs", noun="task graph", see="qflow tasks list")


def resolve_task(connection: Connection, prefix: str) -> UUID:
    """Return the id of the task whose id begins with `prefix`."""
    return resolve(connection, prefix, table="tasks", noun="task", see="qflow tasks show GRAPH --json")
