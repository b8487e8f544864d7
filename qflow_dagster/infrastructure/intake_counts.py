"""What programs report beside errors: sessions of releases, check-ins of jobs, and events that an SDK dropped.

A check-in is the heartbeat of a service named after the monitor, so that a missed one is an incident. Does not belong
here: the formats (`web`), probing services (`service_probes`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, func, select, text
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.infrastructure.tables import discarded_events, health_services, release_sessions
from qflow_dagster.settings import settings

# Monitors that check-ins may create, since anything may send them.
MAX_MONITORS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Sessions:
    """Sessions of a release that began or ended."""

    release: str
    environment: str = ""
    total: int = 0
    errored: int = 0
    crashed: int = 0


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
    """Add to the counts of the day, by release and environment."""
    counts: dict[tuple[str, str], list[int]] = {}
    for item in sessions:
        counted = counts.setdefault((item.release, item.environment), [0, 0, 0])
        for at, number in enumerate((item.total, item.errored, item.crashed)):
            counted[at] += number
    rows = [
        {
            "release": release,
            "environment": environment,
            "total": total,
            "errored": errored,
            "crashed": crashed,
        }
        # Always in the same order, so that concurrent writers cannot deadlock.
        for (release, environment), (total, errored, crashed) in sorted(counts.items())
    ]
    if rows:
        statement = insert(release_sessions).values(rows)
        columns = release_sessions.c
        added = {name: columns[name] + statement.excluded[name] for name in ("total", "errored", "crashed")}
        connection.execute(
            statement.on_conflict_do_update(index_elements=["day", "release", "environment"], set_=added)
        )


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
