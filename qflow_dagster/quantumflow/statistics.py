"""Statistics of workflows: counts, throughput, latency, retries, dead ones, the oldest pending; per type and over time.

Only workflows created within a period are read, by their ids, which begin with their time (UUIDv7); so the
statements use the primary key and need no other index. Does not belong here: the state of one workflow (`workflows`).
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

# Newest workflows of a period that are read.
MAX_ROWS = 100_000
DAY = 86_400.0

_RECENT = """
recent AS (
    SELECT type, status, attempt, created_at, finished_at
    FROM workflows WHERE id >= CAST(:first AS uuid) ORDER BY id DESC LIMIT :limit
)
"""


def by_type(connection: Connection, seconds: float = DAY) -> list[dict[str, Any]]:
    """Return per type: workflows created in the period and still open, ended, dead, retried; latencies in seconds.

    The latency is the time from creation to the end; `open` and `oldest` count open ones of any age.
    """
    query = text(f"""
        WITH {_RECENT}, ended AS (
            SELECT type, count(*) AS created, count(finished_at) AS ended,
                   count(*) FILTER (WHERE status = 'dead') AS dead, count(*) FILTER (WHERE attempt > 1) AS retried,
                   percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (
                       ORDER BY extract(epoch FROM finished_at - created_at)::float8)
                       FILTER (WHERE finished_at IS NOT NULL) AS latency
            FROM recent GROUP BY type
        ), pending AS (
            SELECT type, count(*) AS open, extract(epoch FROM statement_timestamp() - min(created_at))::float8 AS oldest
            FROM workflows WHERE finished_at IS NULL GROUP BY type
        )
        SELECT coalesce(e.type, p.type) AS type, coalesce(p.open, 0) AS open, p.oldest,
               coalesce(e.created, 0) AS created, coalesce(e.ended, 0) AS ended,
               coalesce(e.dead, 0) AS dead, coalesce(e.retried, 0) AS retried,
               e.latency[1] AS median, e.latency[2] AS p95, e.latency[3] AS p99
        FROM ended e FULL JOIN pending p ON p.type = e.type ORDER BY 1
    """)
    return [dict(row) for row in connection.execute(query, _period(connection, seconds)).mappings()]


def over_time(connection: Connection, seconds: float = DAY, buckets: int = 48) -> list[dict[str, Any]]:
    """Return per bucket of the period, oldest first: workflows created, ended and dead, and the median latency."""
    query = text(f"""
        WITH {_RECENT}, bucket AS (
            SELECT n, statement_timestamp() - make_interval(secs => :seconds - n * :seconds / :buckets) AS since
            FROM generate_series(0, :buckets - 1) AS n
        ), placed AS (
            SELECT width_bucket(extract(epoch FROM statement_timestamp() - finished_at)::float8,
                                :seconds, 0, :buckets) - 1 AS ended_in,
                   width_bucket(extract(epoch FROM statement_timestamp() - created_at)::float8,
                                :seconds, 0, :buckets) - 1 AS created_in, status,
                   extract(epoch FROM finished_at - created_at)::float8 AS latency
            FROM recent
        ), created AS (SELECT created_in AS n, count(*) AS created FROM placed GROUP BY 1
        ), ended AS (
            SELECT ended_in AS n, count(*) AS ended, count(*) FILTER (WHERE status = 'dead') AS dead,
                   percentile_cont(0.5) WITHIN GROUP (ORDER BY latency) AS median
            FROM placed WHERE ended_in IS NOT NULL GROUP BY 1
        )
        SELECT since AS at, coalesce(created, 0) AS created, coalesce(ended, 0) AS ended,
               coalesce(dead, 0) AS dead, median
        FROM bucket LEFT JOIN created USING (n) LEFT JOIN ended USING (n) ORDER BY n
    """)
    parameters = {**_period(connection, seconds), "seconds": float(seconds), "buckets": buckets}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def _period(connection: Connection, seconds: float) -> dict[str, Any]:
    """Return the parameters of `_RECENT`: the first id that a workflow created within the period can have."""
    now = connection.scalar(text("SELECT extract(epoch FROM statement_timestamp())::float8")) or 0.0
    # Clocks of machines differ: a minute earlier.
    milliseconds = max(int((now - seconds - 60.0) * 1000), 0)
    return {"first": UUID(int=milliseconds << 80), "limit": MAX_ROWS}
