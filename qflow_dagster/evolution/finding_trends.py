"""Read how the findings of a repository developed: found, fixed and open, per week.

Does not belong here: the findings themselves (`findings`).
"""

from typing import Any

from sqlalchemy import Connection, text


def weekly(connection: Connection, repository_id: int, *, weeks: int = 52) -> list[dict[str, Any]]:
    """Return the findings found and fixed in each of the last weeks, and open at its end by severity, oldest first."""
    query = text("""
        WITH week AS (
            SELECT generate_series(date_trunc('week', statement_timestamp()) - make_interval(weeks => :weeks - 1),
                                   statement_timestamp(), interval '1 week') AS since
        ), change AS (
            SELECT found_at AS at, severity, 1 AS found, 0 AS fixed, 1 AS open
            FROM findings WHERE repository_id = :id
            UNION ALL
            SELECT changed_at, severity, 0, (state = 'fixed')::int, -1
            FROM findings WHERE repository_id = :id AND state IN ('fixed', 'suppressed')
        ), weekly AS (
            SELECT date_trunc('week', at) AS since, severity,
                   sum(found) AS found, sum(fixed) AS fixed, sum(open) AS open
            FROM change GROUP BY 1, 2
        )
        SELECT w.since AS week,
               coalesce(sum(c.found) FILTER (WHERE c.since = w.since), 0)::bigint AS found,
               coalesce(sum(c.fixed) FILTER (WHERE c.since = w.since), 0)::bigint AS fixed,
               coalesce(sum(c.open), 0)::bigint AS open,
               coalesce(sum(c.open) FILTER (WHERE c.severity = 'error'), 0)::bigint AS error,
               coalesce(sum(c.open) FILTER (WHERE c.severity = 'warning'), 0)::bigint AS warning,
               coalesce(sum(c.open) FILTER (WHERE c.severity = 'info'), 0)::bigint AS info
        FROM week w LEFT JOIN weekly c ON c.since <= w.since GROUP BY w.since ORDER BY w.since
    """)
    return [dict(row) for row in connection.execute(query, {"id": repository_id, "weeks": weeks}).mappings()]
