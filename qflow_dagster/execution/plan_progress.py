"""Read how far the plan is: items by level and state, and what was planned and done per week.

Does not belong here: the items themselves (`work_items`), when the rest will be done (`iterations`).
"""

from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.execution.work_items import planned_level


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


def burn_up(connection: Connection, repository_id: int, *, weeks: int = 52) -> list[dict[str, Any]]:
    """Return how many planned items were done and open at the end of each of the last weeks, oldest first.

    Weeks before the first item are left out; a cancelled item counts until it was cancelled.
    """
    query = text("""
        WITH item AS (
            SELECT i.created_at, w.finished_at, w.status FROM work_items i JOIN workflows w ON w.id = i.id
            WHERE i.repository_id = :id AND i.level = :level
        )
        SELECT week, count(*) FILTER (WHERE finished_at < week + interval '1 week' AND status = 'done') AS done,
               count(*) FILTER (WHERE finished_at IS NULL OR finished_at >= week + interval '1 week') AS open
        FROM generate_series(date_trunc('week', statement_timestamp()) - make_interval(weeks => :weeks - 1),
                             statement_timestamp(), interval '1 week') AS week
        JOIN item ON item.created_at < week + interval '1 week'
        GROUP BY week ORDER BY week
    """)
    parameters = {"id": repository_id, "level": planned_level(), "weeks": weeks}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]
