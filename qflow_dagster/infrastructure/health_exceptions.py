"""Bad results that are no news: during maintenance windows, and of checks that depend on something that fails.

Does not belong here: what happens to them (`health_agent`).
"""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, func, insert, select, text, update

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure.tables import health_services, maintenance_windows

# Longest maintenance window, in seconds.
MAX_WINDOW = 30 * 86_400.0


def plan(
    connection: Connection,
    pattern: str,
    *,
    seconds: float,
    reason: str,
    actor: str,
    starts: datetime | None = None,
) -> int:
    """Plan a maintenance window for checks, from now or `starts`, and return its id.

    `pattern`: names of checks, as `service:shop*`.

    Raises:
        UsageError: The pattern or reason is empty, or the length is out of range.
    """
    if not pattern.strip() or not reason.strip():
        raise UsageError("a maintenance window has a pattern of names of checks and a reason")
    if not 0 < seconds <= MAX_WINDOW:
        raise UsageError(f"a maintenance window lasts up to {MAX_WINDOW / 86_400:.0f} days")
    if starts is not None and starts + timedelta(seconds=seconds) <= datetime.now(UTC):
        raise UsageError("the maintenance window would be over already")
    begin = func.statement_timestamp() if starts is None else starts
    values = {
        "pattern": pattern,
        "starts_at": begin,
        "ends_at": begin + timedelta(seconds=seconds),
        "reason": reason,
        "actor": actor,
    }
    planned = insert(maintenance_windows).values(values).returning(maintenance_windows.c.id)
    return connection.execute(planned).scalar_one()


def end(connection: Connection, id_: int) -> None:
    """End a maintenance window now; one that has not begun never will.

    Raises:
        UsageError: There is no such window, or it is over.
    """
    columns = maintenance_windows.c
    now = func.statement_timestamp()
    ended = update(maintenance_windows).where(columns.id == id_, columns.ends_at > now)
    if not connection.execute(
        ended.values(ends_at=now, starts_at=func.least(columns.starts_at, now))
    ).rowcount:
        raise UsageError(f"there is no maintenance window {id_} to end; see `qflow health maintenance list`")


def windows(connection: Connection) -> list[dict[str, Any]]:
    """Return the maintenance windows that are not over, the next first."""
    columns = maintenance_windows.c
    query = (
        select(maintenance_windows)
        .where(columns.ends_at > func.statement_timestamp())
        .order_by(columns.starts_at)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def in_maintenance(connection: Connection, names: Collection[str]) -> dict[str, str]:
    """Return those of the checks that are in a maintenance window, with the reason."""
    columns = maintenance_windows.c
    now = func.statement_timestamp()
    query = select(columns.pattern, columns.reason).where(columns.starts_at <= now, columns.ends_at > now)
    return {
        name: f"in maintenance ({row.reason})"
        for row in connection.execute(query)
        for name in names
        if fnmatchcase(name, row.pattern)
    }


def depends_on_failing(connection: Connection, bad: Collection[str]) -> dict[str, str]:
    """Return those of the checks with a bad result that depend on another one of these, with the reason."""
    query = select(health_services.c.name, health_services.c.depends_on).where(
        health_services.c.depends_on != text("'{}'")
    )
    excused = {}
    for row in connection.execute(query):
        failing = [name for name in row.depends_on if name in bad]
        if failing and f"service:{row.name}" in bad:
            excused[f"service:{row.name}"] = f"it depends on {failing[0]}, which fails"
    return excused


def check_dependencies(connection: Connection, name: str, depends_on: Collection[str]) -> None:
    """Refuse dependencies of a service that lead back to it.

    Raises:
        UsageError: A service would depend on itself.
    """
    columns = health_services.c
    query = select(columns.name, columns.depends_on)
    needs: dict[str, list[str]] = {
        f"service:{row.name}": list(row.depends_on) for row in connection.execute(query)
    }
    for needed in depends_on:
        if needed.startswith("service:") and needed not in needs and needed != f"service:{name}":
            raise UsageError(f"there is no {needed} to depend on; see `qflow health services list`")
    reached, waiting = set(), list(depends_on)
    while waiting:
        current = waiting.pop()
        if current == f"service:{name}":
            raise UsageError(f"service {name} would depend on itself")
        if current not in reached:
            reached.add(current)
            waiting += needs.get(current, [])
