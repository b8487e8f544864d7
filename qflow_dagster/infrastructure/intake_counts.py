"""What programs report beside errors: sessions of releases, check-ins of jobs, and events that an SDK dropped.

A check-in is the heartbeat of a service named after the monitor, so that a missed one is an incident. Does not belong
here: the formats (`web`), probing services (`service_probes`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from sqlalchemy import Connection, delete, func, select, text
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.infrastructure.tables import discarded_events, health_services, session_states
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.settings import settings

# Monitors that check-ins may create, since anything may send them.
MAX_MONITORS = 500
# Seconds for which a session is updated after it began; as Sentry does, an update after that is not counted.
MAX_SESSION_AGE = 5 * 86_400.0


_COUNT_SESSIONS = text("""
WITH given AS (
    SELECT id, (clock_timestamp() - make_interval(secs => age))::date AS day, release, environment,
           total, failed, crashed
    FROM json_to_recordset(CAST(:given AS json)) AS given(
        id text, release text, environment text, age float8, total bigint, failed bigint, crashed bigint)
), stored AS (
    INSERT INTO session_states AS s (id, day, release, environment, total, failed, crashed)
    -- Always in the same order, so that concurrent writers cannot deadlock.
    SELECT id, day, release, environment, total, failed, crashed FROM given WHERE id IS NOT NULL ORDER BY id
    ON CONFLICT (id) DO UPDATE SET
        was_failed = s.failed, was_crashed = s.crashed,
        failed = greatest(s.failed, excluded.failed), crashed = greatest(s.crashed, excluded.crashed)
    RETURNING day, release, environment, CASE WHEN was_failed IS NULL THEN total ELSE 0 END AS total,
              failed - coalesce(was_failed, 0) AS failed, crashed - coalesce(was_crashed, 0) AS crashed
), added AS (
    SELECT * FROM stored UNION ALL
    SELECT day, release, environment, total, failed, crashed FROM given WHERE id IS NULL
)
INSERT INTO release_sessions AS r (day, release, environment, total, errored, crashed)
SELECT day, release, environment, sum(total), sum(failed - crashed), sum(crashed) FROM added
GROUP BY day, release, environment HAVING sum(total) > 0 OR sum(failed) > 0 OR sum(crashed) > 0
ORDER BY day, release, environment
ON CONFLICT (day, release, environment) DO UPDATE SET
    total = r.total + excluded.total, errored = r.errored + excluded.errored, crashed = r.crashed + excluded.crashed
""")


@dataclass(frozen=True, kw_only=True, slots=True)
class Sessions:
    """Sessions of a release, of which some failed, of which some crashed."""

    release: str
    environment: str = ""
    total: int = 0
    failed: int = 0
    crashed: int = 0
    # What is counted once, however often it comes; None if that cannot be said.
    id: str | None = None
    # Seconds since they began.
    age: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckIn:
    """A sign of life of a job; `period` are the seconds until the next one is late, if its sender says so."""

    monitor: str
    period: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Discarded:
    """Events that an SDK dropped before they were sent."""

    category: str
    reason: str
    quantity: int


def count_sessions(connection: Connection, sessions: Sequence[Sessions]) -> None:
    """Add to the counts of the day on which the sessions began, by release and environment.

    An update of a session that was counted before changes only how it ended, and only for the worse: what comes
    again, late or in another order counts once.
    """
    by_id: dict[str, Sessions] = {}
    rows = []
    for item in sessions:
        if item.id is None:
            rows.append(item)
        else:
            before = by_id.get(item.id, item)
            worst = {"failed": max(before.failed, item.failed), "crashed": max(before.crashed, item.crashed)}
            by_id[item.id] = replace(before, **worst)
    rows += by_id.values()
    if rows:
        connection.execute(_COUNT_SESSIONS, {"given": to_json([asdict(row) for row in rows], "sessions")})


def prune_sessions(connection: Connection) -> int:
    """Delete the states of sessions of which no update is taken any more; return the number."""
    oldest = func.current_date() - int(MAX_SESSION_AGE / 86_400) - 1
    return connection.execute(delete(session_states).where(session_states.c.day < oldest)).rowcount


def count_discarded(connection: Connection, discarded: Sequence[Discarded]) -> None:
    """Add to the counts of the day, by category and reason."""
    counts: dict[tuple[str, str], int] = {}
    for item in discarded:
        counts[item.category, item.reason] = counts.get((item.category, item.reason), 0) + item.quantity
    rows = [
        {"category": category, "reason": reason, "quantity": quantity}
        for (category, reason), quantity in sorted(counts.items())
    ]
    if rows:
        statement = insert(discarded_events).values(rows)
        added = {"quantity": discarded_events.c.quantity + statement.excluded.quantity}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["day", "category", "reason"], set_=added)
        )


def receive_check_ins(connection: Connection, check_ins: Sequence[CheckIn]) -> None:
    """Record check-ins as heartbeats; the first with a schedule registers its monitor as a service.

    Services that a person registered are left alone, also if they have the name of a monitor.
    """
    latest = {
        item.monitor: item for item in sorted(check_ins, key=lambda item: (item.monitor, item.period or 0))
    }
    for monitor, item in latest.items():
        columns = health_services.c
        own = columns.heartbeat.is_not(None) & columns.token_hash.is_(None)
        seen: dict[str, Any] = {"beat_at": func.clock_timestamp()}
        if item.period is None:
            connection.execute(health_services.update().where(columns.name == monitor, own).values(seen))
            continue
        seen["heartbeat"] = item.period
        monitors = connection.scalar(select(func.count()).select_from(health_services).where(own)) or 0
        known = connection.scalar(select(columns.name).where(columns.name == monitor))
        if known is None and monitors >= MAX_MONITORS:
            continue
        row = {
            "name": monitor,
            "expected_status": 200,
            "timeout_ms": settings().health.response,
            "restart_limit": 0,
            **seen,
        }
        statement = insert(health_services).values(row)
        connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=seen, where=own))


def releases(connection: Connection, *, days: int = 30) -> list[dict[str, Any]]:
    """Return the sessions of each release and environment in the last days, with the share that did not crash."""
    query = text("""
        SELECT s.release, s.environment, r.first_seen, sum(total)::bigint AS sessions, sum(errored)::bigint AS errored,
               sum(crashed)::bigint AS crashed,
               (1 - sum(crashed)::float8 / greatest(sum(total), sum(crashed), 1)) AS crash_free
        FROM release_sessions s LEFT JOIN error_releases r ON r.release = s.release
        WHERE day > current_date - :days GROUP BY 1, 2, 3 ORDER BY max(day) DESC, sessions DESC, 1, 2 LIMIT 200
    """)
    return [dict(row) for row in connection.execute(query, {"days": days}).mappings()]


def discarded(connection: Connection, *, days: int = 30) -> list[dict[str, Any]]:
    """Return how many events SDKs dropped in the last days, by category and reason."""
    query = text("""
        SELECT category, reason, sum(quantity)::bigint AS quantity FROM discarded_events
        WHERE day > current_date - :days GROUP BY 1, 2 ORDER BY quantity DESC LIMIT 200
    """)
    return [dict(row) for row in connection.execute(query, {"days": days}).mappings()]
