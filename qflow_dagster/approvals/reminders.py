"""Reminders of requests that nobody has decided yet.

Does not belong here: whom a message reaches, and how (`notifications`).
"""

from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.approvals.approval import QUEUES, TYPES
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.settings import settings


def warn_of_expiry(connection: Connection, *, limit: int = 1_000) -> list[UUID]:
    """Remind of pending approvals whose next reminder is due, each once; return their ids.

    The reminders come after the parts of the term in `QFLOW_APPROVALS_REMINDERS`; what was missed is not made up for.
    """
    query = text("""
        WITH due AS MATERIALIZED (
            SELECT id FROM approvals WHERE warn_at <= statement_timestamp()
            ORDER BY warn_at LIMIT :limit FOR UPDATE SKIP LOCKED
        ), warned AS (
            UPDATE approvals a SET warn_at = (
                SELECT min(moment) FROM (
                    SELECT a.requested_at + (a.expires_at - a.requested_at) * part AS moment
                    FROM unnest(CAST(:parts AS float8[])) AS part
                ) AS reminder WHERE moment > statement_timestamp())
            FROM due WHERE a.id = due.id
            RETURNING a.id, a.kind, a.target, a.expires_at,
                (SELECT count(*) FROM unnest(CAST(:parts AS float8[])) AS part
                 WHERE a.requested_at + (a.expires_at - a.requested_at) * part <= statement_timestamp()) AS number
        )
        SELECT warned.* FROM warned JOIN workflows w ON w.id = warned.id
        WHERE w.status = 'pending' AND w.expires_at > statement_timestamp()
    """)
    parts = settings().approvals.reminders
    rows = connection.execute(query, {"limit": limit, "parts": parts}).all()
    for queue in {QUEUES[row.kind] for row in rows}:
        messages = [
            {
                "workflow_id": str(row.id),
                "type": TYPES[row.kind],
                "event": "expiring",
                "expires_at": row.expires_at.isoformat(),
                "reminder": max(row.number, 1),
                "reminders": len(parts),
            }
            for row in rows
            if QUEUES[row.kind] == queue
        ]
        send_with_notify(connection, queue, messages)
    return [row.id for row in rows]
