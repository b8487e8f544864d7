"""Reading task graphs: lists, one graph with its tasks, progress, the critical path.

Does not belong here: any change (`task_graph`), pictures (`task_pictures`).
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import resolve

_GRAPHS = """
SELECT g.id, g.name, w.status AS state, c.tasks, c.completed, c.failed, g.requested_by, g.created_at,
       extract(epoch FROM coalesce(w.finished_at, clock_timestamp()) - g.created_at)::float AS seconds
FROM task_graphs g JOIN workflows w ON w.id = g.id
CROSS JOIN LATERAL (
    SELECT count(*) AS tasks, count(*) FILTER (WHERE tw.status IN ('completed', 'skipped')) AS completed,
           count(*) FILTER (WHERE tw.status IN ('failed', 'blocked')) AS failed
    FROM tasks t JOIN workflows tw ON tw.id = t.id WHERE t.graph_id = g.id) AS c
"""
# `ready` is pending with nothing to wait for.
_STATE = """CASE WHEN w.status = 'pending' AND w.remaining_dependencies = 0 AND w.available_at <= clock_timestamp()
                 THEN 'ready' ELSE w.status END"""


def find(connection: Connection, *, state: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Graphs, newest first; of that state."""
    query = text(f"""SELECT * FROM ({_GRAPHS}
        WHERE CAST(:state AS text) IS NULL OR w.status = :state ORDER BY g.id DESC LIMIT :limit) AS found""")
    return [dict(row) for row in connection.execute(query, {"state": state, "limit": limit}).mappings()]


def show(connection: Connection, id_: UUID, *, limit: int = 1_000) -> dict[str, Any]:
    """One graph with its first `limit` tasks, result and error.

    Raises:
        QflowError: there is none.
    """
    query = text(f"""SELECT found.*, g.input, g.description, w.result FROM ({_GRAPHS} WHERE g.id = :id) AS found
        JOIN task_graphs g ON g.id = found.id JOIN workflows w ON w.id = found.id""")
    row = connection.execute(query, {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no task graph {id_}")
    return {**row, "tasks_total": row["tasks"], "tasks": tasks_of(connection, id_, limit=limit)}


def tasks_of(connection: Connection, id_: UUID, *, limit: int = 100_000) -> list[dict[str, Any]]:
    """The tasks of a graph, parts after what they are parts of, in the order of the definition."""
    query = text(f"""
        WITH RECURSIVE tree AS (
            SELECT t.id, 0 AS depth, ARRAY[t.position] AS place FROM tasks t JOIN workflows w ON w.id = t.id
            WHERE t.graph_id = :id AND w.parent_id = :id
            UNION ALL
            SELECT t.id, tree.depth + 1, tree.place || t.position
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
        ORDER BY tree.place LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"id": id_, "limit": limit}).mappings()]


def result(connection: Connection, id_: UUID) -> Any:
    """What a task or graph put out."""
    return connection.scalar(text("SELECT result FROM workflows WHERE id = :id"), {"id": id_})


def progress(connection: Connection, id_: UUID) -> list[dict[str, Any]]:
    """Tasks by state."""
    query = text(f"""SELECT {_STATE} AS state, count(*) AS tasks FROM tasks t JOIN workflows w ON w.id = t.id
        WHERE t.graph_id = :id GROUP BY 1 ORDER BY tasks DESC""")
    return [dict(row) for row in connection.execute(query, {"id": id_}).mappings()]


def stuck(connection: Connection) -> list[dict[str, Any]]:
    """Graphs that run but have nothing ready, running or waited for, and tasks whose worker is gone for minutes."""
    query = text("""
        SELECT g.id, g.name, 'nothing of it can go on' AS problem FROM task_graphs g JOIN workflows gw ON gw.id = g.id
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
    """Names and seconds of the longest way through a graph's own tasks; what is not done yet counts nothing."""
    top = {task["name"]: task for task in tasks if task["depth"] == 0}
    longest: dict[str, tuple[float, list[str]]] = {}
    waiting = list(top)
    while waiting:
        name = waiting[-1]
        missing = [other for other in top[name]["depends_on"] if other in top and other not in longest]
        if missing:
            waiting += missing
            continue
        waiting.pop()
        if name in longest:
            continue
        before = [longest[other] for other in top[name]["depends_on"] if other in longest]
        seconds, path = max(before, default=(0.0, []), key=lambda found: found[0])
        longest[name] = (seconds + (top[name]["seconds"] or 0.0), [*path, name])
    seconds, path = max(longest.values(), default=(0.0, []), key=lambda found: found[0])
    return path, seconds


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """The task graph whose id begins with `prefix`."""
    return resolve(connection, prefix, table="task_graphs", noun="task graph", see="qflow tasks list")


def resolve_task(connection: Connection, prefix: str) -> UUID:
    """The task whose id begins with `prefix`."""
    return resolve(connection, prefix, table="tasks", noun="task", see="qflow tasks show GRAPH --json")
