"""Read how far the plan is and how it went: items by state, today and by day, age of started work, what is for when.

Does not belong here: drawing it (`pictures.plan`), forecasts (`iterations`).
"""

from datetime import date
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.execution import work_items
from qflow_dagster.execution.iterations import WINDOW_DAYS


class Day(NamedTuple):
    """Numbers of items of the planned level at the end of a day, by state; cancelled ones are not counted."""

    day: date
    waiting: int
    started: int
    done: int


class Started(NamedTuple):
    """An item in progress, and the days since it was started."""

    title: str
    days: float


class Planned(NamedTuple):
    """An epic or theme with the time its items are planned for; `starts` is None if only due dates are stated."""

    title: str
    starts: date | None
    ends: date
    items: int
    done: int


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


def flow(connection: Connection, repository_id: int | None = None, *, days: int = WINDOW_DAYS) -> list[Day]:
    """Return the numbers of items by state at the end of each of the last days, today being the last one."""
    query = text("""
        WITH states AS (
            SELECT e.to_status AS status, e.at,
                   lead(e.at, 1, 'infinity') OVER (PARTITION BY e.workflow_id ORDER BY e.seq) AS until
            FROM work_items i JOIN workflow_events e ON e.workflow_id = i.id
            WHERE i.level = :level AND (CAST(:id AS bigint) IS NULL OR i.repository_id = :id))
        SELECT current_date - ago AS day, count(*) FILTER (WHERE s.status = 'backlog') AS waiting,
               count(*) FILTER (WHERE s.status = 'in_progress') AS started,
               count(*) FILTER (WHERE s.status = 'done') AS done
        FROM generate_series(0, :days - 1) AS ago
        LEFT JOIN states s ON s.at < current_date - ago + 1 AND s.until >= current_date - ago + 1
        GROUP BY ago ORDER BY ago DESC
    """)
    values = {"id": repository_id, "level": work_items.planned_level(), "days": days}
    return [Day(*row) for row in connection.execute(query, values)]


def aging(connection: Connection, repository_id: int | None = None) -> tuple[list[Started], list[float]]:
    """Return the items in progress, the oldest first, and in how many days items were done in the last 90 days."""
    query = text("""
        SELECT i.title, w.status,
               extract(epoch FROM coalesce(w.finished_at, clock_timestamp()) - s.started)::float / 86400 AS days
        FROM work_items i JOIN workflows w ON w.id = i.id
        CROSS JOIN LATERAL (
            SELECT max(e.at) AS started FROM workflow_events e
            WHERE e.workflow_id = i.id AND e.to_status = 'in_progress' AND e.from_status <> 'in_progress') AS s
        WHERE i.level = :level AND (CAST(:id AS bigint) IS NULL OR i.repository_id = :id) AND s.started IS NOT NULL
          AND (w.status = 'in_progress'
               OR (w.status = 'done' AND w.finished_at > clock_timestamp() - make_interval(days => :days)))
        ORDER BY days DESC, i.title
    """)
    values = {"id": repository_id, "level": work_items.planned_level(), "days": WINDOW_DAYS}
    rows = connection.execute(query, values).all()
    started = [Started(row.title, row.days) for row in rows if row.status == "in_progress"]
    return started, sorted(row.days for row in rows if row.status == "done")


def roadmap(connection: Connection, repository_id: int | None = None) -> list[Planned]:
    """Return the items above the planned level whose items have iterations or due dates, the earliest first."""
    query = text("""
        WITH RECURSIVE below AS (
            SELECT i.id AS top, i.id FROM work_items i WHERE i.level = :above
            UNION SELECT b.top, c.id FROM below b JOIN work_items c ON c.parent_id = b.id)
        SELECT t.title, min(n.starts_on) AS starts, max(greatest(n.ends_on, i.due)) AS ends,
               count(*) FILTER (WHERE i.id <> t.id) AS items,
               count(*) FILTER (WHERE i.id <> t.id AND w.status = 'done') AS done
        FROM below b JOIN work_items t ON t.id = b.top JOIN workflows tw ON tw.id = t.id
        JOIN work_items i ON i.id = b.id JOIN workflows w ON w.id = i.id AND w.status <> 'cancelled'
        LEFT JOIN iterations n ON n.name = i.iteration
        WHERE tw.status <> 'cancelled' AND (CAST(:id AS bigint) IS NULL OR t.repository_id = :id)
        GROUP BY t.id HAVING max(greatest(n.ends_on, i.due)) IS NOT NULL
        ORDER BY coalesce(min(n.starts_on), max(greatest(n.ends_on, i.due))), t.title
    """)
    values = {"id": repository_id, "above": work_items.parent_level(work_items.planned_level())}
    return [Planned(*row) for row in connection.execute(query, values)]
