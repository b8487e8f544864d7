"""Read goals: lists, one goal with its phases, progress.

Does not belong here: any change (`sparc`), statistics of strategies (`sparc_strategies`).
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.execution.sparc_targets import Target
from qflow_dagster.quantumflow import get_events, resolve

_ROWS = """
SELECT g.id, w.status AS state, r.name AS repository, g.title, p.phase, g.round, g.strategy, g.target, g.goal_type,
       g.language, g.work_item_id AS work_item, g.requested_by, g.created_at, w.finished_at, p.reason
FROM sparc_goals g JOIN workflows w ON w.id = g.id JOIN repositories r ON r.id = g.repository_id
LEFT JOIN LATERAL (SELECT phase, reason FROM sparc_phases WHERE goal_id = g.id ORDER BY id DESC LIMIT 1) AS p ON true
"""


def find(
    connection: Connection, *, state: str | None = None, repository_id: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return goals, newest first, optionally only those in one state or of one repository."""
    query = text(f"""{_ROWS} WHERE (CAST(:state AS text) IS NULL OR w.status = :state)
        AND (CAST(:repository AS bigint) IS NULL OR g.repository_id = :repository) ORDER BY g.id DESC LIMIT :limit""")
    rows = connection.execute(query, {"state": state, "repository": repository_id, "limit": limit})
    return [_described(dict(row)) for row in rows.mappings()]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """Return one goal with its phases (artifacts and verdicts, in order), what was measured, and its history.

    Raises:
        QflowError: there is no such goal.
    """
    query = text(
        f"SELECT base.*, g.measured, g.considered, g.success, g.quality, g.seconds, g.cost "
        f"FROM ({_ROWS} WHERE g.id = :id) AS base JOIN sparc_goals g ON g.id = base.id"
    )
    row = connection.execute(query, {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no goal {id_}")
    phases = text("""
        SELECT p.id, p.phase, p.round, w.status AS state, p.author, p.gate, p.verdict, p.reason, p.artifact, p.data,
               w.attempt, p.seconds, p.cost, w.created_at, w.finished_at
        FROM sparc_phases p JOIN workflows w ON w.id = p.id WHERE p.goal_id = :id ORDER BY p.id
    """)
    events = [
        {"at": e.at, "from": e.from_status, "to": e.to_status, "actor": e.actor, "data": e.data}
        for e in get_events(connection, id_)
    ]
    phase_rows = [dict(phase) for phase in connection.execute(phases, {"id": id_}).mappings()]
    return {**_described(dict(row)), "phases": phase_rows, "history": events}


def _described(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "target": Target.model_validate(row["target"]).description}


def progress(connection: Connection) -> list[tuple[str, int]]:
    """Count goals by state."""
    query = text("""SELECT w.status, count(*) FROM sparc_goals g JOIN workflows w ON w.id = g.id
        GROUP BY 1 ORDER BY 2 DESC""")
    return [(row[0], row[1]) for row in connection.execute(query)]


def orphaned(connection: Connection) -> list[dict[str, Any]]:
    """Return goals that are being worked on but have no open phase: nothing would ever move them."""
    query = text("""
        SELECT g.id, g.title FROM sparc_goals g JOIN workflows w ON w.id = g.id
        WHERE w.status = 'working' AND NOT EXISTS (
            SELECT FROM sparc_phases p JOIN workflows pw ON pw.id = p.id
            WHERE p.goal_id = g.id AND pw.finished_at IS NULL)
        ORDER BY g.id LIMIT 20
    """)
    return [dict(row) for row in connection.execute(query).mappings()]


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the goal whose id begins with `prefix`."""
    return resolve(connection, prefix, table="sparc_goals", noun="goal", see="qflow sparc list")
