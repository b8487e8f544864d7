"""What was stored about the health: the current status of every check, incidents, trends, uptime.

Does not belong here: checking and storing (`health_agent`).
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, delete, func, text

from qflow_dagster.infrastructure import INCIDENT
from qflow_dagster.infrastructure.heartbeats import WATCHERS
from qflow_dagster.infrastructure.incidents import STATUSES, Status, worst
from qflow_dagster.infrastructure.tables import health_samples
from qflow_dagster.settings import settings

# Seconds after which a status without a new result becomes unknown: three times the interval of the checks.
STALE = 180.0
# Maximum seconds between two samples of a continuous period.
MAX_GAP_SECONDS = 600.0
# Names of the deep checks, which run hourly.
DEEP_CHECKS = frozenset({"history"})


def states(connection: Connection) -> list[dict[str, Any]]:
    """Return the current status of every check, the worst first; outdated ones are unknown."""
    query = text("""
        SELECT name, status, message, value, threshold, unit, since, at, flapping,
               extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM health_states ORDER BY name
    """)
    states_of_checks = []
    for row in connection.execute(query).mappings():
        state = dict(row)
        if state.pop("age") > _patience(row["name"]):
            if row["name"] in WATCHERS:
                # The web process stopped; whether it should run is another check's matter.
                continue
            state |= {
                "status": "unknown",
                "message": "nobody has checked it since; is Dagster's daemon running?",
            }
        states_of_checks.append(state)
    return sorted(states_of_checks, key=lambda state: (-STATUSES.index(state["status"]), state["name"]))


def is_watched(connection: Connection) -> bool:
    """Return whether the checks of each minute ran lately."""
    query = text("""
        SELECT max(at) > clock_timestamp() - make_interval(secs => :patience) FROM health_states
        WHERE name <> ALL(:watchers)
    """)
    return bool(connection.scalar(query, {"patience": STALE, "watchers": list(WATCHERS)}))


def has_checks(connection: Connection) -> bool:
    """Return whether any check ever ran."""
    query = text("SELECT EXISTS (SELECT FROM health_states WHERE name <> ALL(:watchers))")
    return bool(connection.scalar(query, {"watchers": list(WATCHERS)}))


def overall(states: Sequence[Mapping[str, Any]]) -> Status:
    """Return the worst status of all checks."""
    return worst([state["status"] for state in states])


def incidents(connection: Connection, *, status: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return incidents, newest first, with their duration in seconds (so far, for open ones)."""
    query = text(f"""
        SELECT id, status, payload ->> 'check' AS "check",
               -- What was so last while it was open.
               coalesce((SELECT e.data ->> 'message' FROM workflow_events e WHERE e.workflow_id = w.id
                         AND e.to_status = 'open' AND e.data ->> 'message' IS NOT NULL
                         ORDER BY e.seq DESC LIMIT 1), payload ->> 'message') AS message,
               (SELECT s.status FROM (SELECT payload ->> 'status' UNION ALL SELECT e.data ->> 'status'
                                      FROM workflow_events e WHERE e.workflow_id = w.id) AS s(status)
                ORDER BY array_position(ARRAY['unknown', 'degraded', 'unhealthy'], s.status) DESC
                         NULLS LAST LIMIT 1) AS worst,
               created_at AS opened_at, finished_at AS closed_at,
               round(extract(epoch FROM coalesce(finished_at, clock_timestamp()) - created_at))::bigint AS seconds
        FROM workflows w WHERE type = '{INCIDENT}' AND (CAST(:status AS text) IS NULL OR status = :status)
        ORDER BY id DESC LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"status": status, "limit": limit}).mappings()]


def forecasts(connection: Connection, *, days: int = 7) -> dict[str, float]:
    """Forecast the seconds until values reach their thresholds, for checks whose trend leads there."""
    # Imported late, because it imports numpy, which slows down every command.
    from qflow_dagster.infrastructure.trends import time_to_threshold

    query = text("""
        SELECT s.name, h.threshold, array_agg(extract(epoch FROM s.at)::float8 ORDER BY s.at) AS times,
               array_agg(s.value ORDER BY s.at) AS values
        FROM health_states h JOIN health_samples s ON s.name = h.name
        WHERE h.threshold IS NOT NULL AND s.value IS NOT NULL
          AND s.at > statement_timestamp() - make_interval(days => :days)
        GROUP BY s.name, h.threshold HAVING count(*) >= 10
    """)
    seconds_left = {}
    for row in connection.execute(query, {"days": days}):
        left = time_to_threshold(row.times, row.values, row.threshold)
        if left is not None:
            seconds_left[row.name] = left
    return seconds_left


def uptimes(connection: Connection, names: Collection[str], *, days: float = 30) -> dict[str, float]:
    """Return the share of time, 0 to 1, that each check was healthy or degraded; those without samples are missing.

    Each sample stands for the time until the next, at most ten minutes; other time without
    samples is ignored.
    """
    query = text("""
        WITH stretch AS (
            SELECT name, status,
                   least(extract(epoch FROM lead(at) OVER (PARTITION BY name ORDER BY at) - at), :gap)::float8
                       AS seconds
            FROM health_samples
            WHERE name = ANY(:names) AND at > statement_timestamp() - make_interval(secs => :seconds)
        )
        SELECT name, sum(seconds) FILTER (WHERE status IN ('healthy', 'degraded')) AS up,
               sum(seconds) FILTER (WHERE status <> 'unknown') AS known FROM stretch GROUP BY name
    """)
    parameters = {"names": list(names), "gap": MAX_GAP_SECONDS, "seconds": days * 86_400.0}
    rows = connection.execute(query, parameters)
    return {row.name: (row.up or 0.0) / row.known for row in rows if row.known}


def recent_values(connection: Connection, *, points: int = 48) -> dict[str, list[float]]:
    """Return the mean values of the last 24 hours by check, oldest first, at most `points` of each."""
    query = text("""
        SELECT name, array_agg(value ORDER BY bucket) AS values FROM (
            SELECT name, floor(extract(epoch FROM at) / (86400 / :points)) AS bucket, avg(value) AS value
            FROM health_samples
            WHERE name IN (SELECT name FROM health_states) AND value IS NOT NULL
              AND at > statement_timestamp() - interval '1 day'
            GROUP BY name, bucket) AS sampled
        GROUP BY name
    """)
    return {row.name: row.values for row in connection.execute(query, {"points": points})}


def prune_samples(connection: Connection) -> int:
    """Delete samples past their retention; return the number."""
    oldest = func.statement_timestamp() - timedelta(days=settings().health.retention)
    return connection.execute(delete(health_samples).where(health_samples.c.at < oldest)).rowcount


def _patience(name: str) -> float:
    """Return the seconds for which a result is valid; deep checks run hourly."""
    return 3 * 3_600.0 if name.split(":")[0] in DEEP_CHECKS else STALE
