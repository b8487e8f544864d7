"""Read how the findings of a repository developed: found, fixed and open, per week.

Does not belong here: the findings themselves (`findings`).
"""

from typing import Any

from sqlalchemy import Connection, text


def weekly(connection: Connection, repository_id: int, *, weeks: int = 52) -> list[dict[str, Any]]:
    """Return the findings found and fixed in each of the last weeks, and open at its end, oldest first."""
    query = text("""
        WITH week AS (
            SELECT generate_series(date_trunc('week', statement_timestamp()) - make_interval(weeks => :weeks - 1),
                                   statement_timestamp(), interval '1 week') AS since
        ), found AS (
            SELECT date_trunc('week', found_at) AS since, count(*) AS n FROM findings
            WHERE repository_id = :id GROUP BY 1
        ), ended AS (
            SELECT date_trunc('week', changed_at) AS since, count(*) AS n,
                   count(*) FILTER (WHERE state = 'fixed') AS fixed
            FROM findings WHERE repository_id = :id AND state IN ('fixed', 'suppressed') GROUP BY 1
        )
        SELECT w.since AS week, coalesce(f.n, 0) AS found, coalesce(e.fixed, 0) AS fixed,
               ((SELECT coalesce(sum(n), 0) FROM found WHERE since <= w.since)
                - (SELECT coalesce(sum(n), 0) FROM ended WHERE since <= w.since))::bigint AS open
        FROM week w LEFT JOIN found f ON f.since = w.since LEFT JOIN ended e ON e.since = w.since ORDER BY w.since
    """)
    return [dict(row) for row in connection.execute(query, {"id": repository_id, "weeks": weeks}).mappings()]
