"""Read how far the plan is: items by level and state.

Does not belong here: the items themselves (`work_items`), how it went (`plan_history`), when the rest will be done
(`iterations`).
"""

from typing import Any

from sqlalchemy import Connection, text


def progress(connection: Connection, repository_id: int | None = None) -> list[dict[str, Any]]:
    """Count items by level and state, with their share of all job sizes of the level, in percent."""
    query = text("""
        SELECT i.level, w.status AS state, count(*) AS items,
               round(100.0 * sum(size) / nullif(sum(sum(size)) OVER (PARTITION BY i.level), 0), 1)::float AS percent
        FROM work_items i JOIN workflows w ON w.id = i.id
        CROSS JOIN LATERAL (SELECT coalesce((i.inputs -> 'job_size' ->> 'value')::int, 1) AS size) AS s
        WHERE CAST(:repository_id AS bigint) IS NULL OR i.repository_id = :repository_id
        GROUP BY i.level, w.status
        ORDER BY array_position(ARRAY['theme', 'epic', 'capability', 'feature', 'story'], i.level), items DESC
    """)
    return [dict(row) for row in connection.execute(query, {"repository_id": repository_id}).mappings()]
