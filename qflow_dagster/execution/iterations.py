"""Iterations with capacity, and when open work will be done, by Monte Carlo simulation on measured throughput."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from sqlalchemy import Connection, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import work_items
from qflow_dagster.execution.tables import iterations as table
from qflow_dagster.execution.tables import work_items as items

# Days of the past that the throughput is measured on, and the shares of simulated futures that a date is given for.
WINDOW_DAYS = 90
# Days before the plan had an item say nothing; fewer than these say too little.
MIN_WINDOW_DAYS = 14
SHARES = (0.5, 0.85)
SIMULATIONS = 10_000
MAX_DAYS = 3_650
MAX_NAME = 100


class Forecast(NamedTuple):
    """Open items, items done in the measured days, and by when all are done in a share of the simulations."""

    open: int
    done: int
    days: int
    dates: dict[float, date | None]


def save(
    connection: Connection,
    name: str,
    starts_on: date,
    ends_on: date,
    *,
    capacity: float | None = None,
    planning_interval: str | None = None,
) -> None:
    """Create an iteration or planning interval, or change it.

    Raises:
        UsageError: it has no name, ends before it starts, or its capacity is negative; its planning interval does not
            exist, or is itself within one; or iterations of it would lie outside.
    """
    if not name.strip() or len(name) > MAX_NAME or not name.isprintable():
        raise UsageError(
            f"the name of an iteration has 1 to {MAX_NAME} printable characters, not {name[:80]!r}"
        )
    if ends_on < starts_on:
        raise UsageError(f"{name} ends on {ends_on}, before it starts on {starts_on}")
    if capacity is not None and not 0 <= capacity < 1_000_000:
        raise UsageError(f"the capacity of {name} must be 0 or more, not {capacity}")
    if planning_interval is not None:
        outer = connection.execute(select(table).where(table.c.name == planning_interval)).one_or_none()
        if outer is None:
            raise UsageError(f"there is no planning interval {planning_interval!r}; create it first")
        if planning_interval == name:
            raise UsageError(f"{name} cannot lie within itself")
        if outer.planning_interval is not None:
            raise UsageError(
                f"{planning_interval} is no planning interval, but an iteration of {outer.planning_interval}"
            )
        if starts_on < outer.starts_on or ends_on > outer.ends_on:
            raise UsageError(
                f"{name} must lie within {planning_interval}: {outer.starts_on} to {outer.ends_on}"
            )
    inner = (
        select(table).where(table.c.planning_interval == name, table.c.name != name).order_by(table.c.name)
    )
    for row in connection.execute(inner):
        if planning_interval is not None:
            raise UsageError(f"{name} has iterations, such as {row.name}, so it lies in no planning interval")
        if row.starts_on < starts_on or row.ends_on > ends_on:
            raise UsageError(f"{row.name} of {name} would lie outside: {row.starts_on} to {row.ends_on}")
    values = {
        "starts_on": starts_on,
        "ends_on": ends_on,
        "capacity": capacity,
        "planning_interval": planning_interval,
    }
    statement = insert(table).values(name=name, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=values))


def schedule(connection: Connection, item: UUID, iteration: str, *, actor: str) -> None:
    """Plan an item for an iteration.

    Raises:
        UsageError: there is no such iteration.
        QflowError: there is no such item, or it has ended.
    """
    if connection.scalar(select(table.c.name).where(table.c.name == iteration)) is None:
        raise UsageError(f"there is no iteration {iteration!r}; see qflow work iterations")
    before = connection.scalar(select(items.c.iteration).where(items.c.id == item))
    work_items.note(connection, item, actor=actor, data={"iteration": {"from": before, "to": iteration}})
    connection.execute(update(items).where(items.c.id == item).values(iteration=iteration))


def loads(connection: Connection) -> list[dict[str, Any]]:
    """Return each iteration with its capacity, and the job size of its items: planned, done, beyond capacity."""
    query = text("""
        SELECT t.name, t.planning_interval, t.starts_on, t.ends_on, t.capacity,
               coalesce(sum(s.size), 0) AS planned, coalesce(sum(s.size) FILTER (WHERE w.status = 'done'), 0) AS done,
               greatest(coalesce(sum(s.size), 0) - t.capacity, 0) AS beyond
        FROM iterations t LEFT JOIN work_items i ON i.iteration = t.name LEFT JOIN workflows w ON w.id = i.id
        LEFT JOIN LATERAL (
            SELECT coalesce(i.points, (i.inputs -> 'job_size' ->> 'value')::int, 1)::float AS size
            WHERE i.id IS NOT NULL AND w.status <> 'cancelled') AS s ON true
        GROUP BY t.name ORDER BY t.starts_on, t.ends_on DESC, t.name
    """)
    return [dict(row) for row in connection.execute(query).mappings()]


def forecast(connection: Connection, repository_id: int | None = None, *, seed: int = 0) -> Forecast:
    """Return by when the open items of the planned level will be done, if the past repeats itself."""
    values = {"id": repository_id, "level": work_items.planned_level(), "days": WINDOW_DAYS}
    open_ = connection.scalar(
        text("""
            SELECT count(*) FROM work_items i JOIN workflows w ON w.id = i.id
            WHERE i.level = :level AND w.finished_at IS NULL
              AND (CAST(:id AS bigint) IS NULL OR i.repository_id = :id)
        """),
        values,
    )
    daily = connection.scalars(
        text("""
            SELECT count(i.id) FROM (
                SELECT least(:days, greatest(:least, current_date - min(least(x.created_at, x.finished_at))::date))
                FROM work_items p JOIN workflows x ON x.id = p.id
                WHERE p.level = :level AND (CAST(:id AS bigint) IS NULL OR p.repository_id = :id)
            ) AS plan(age) CROSS JOIN LATERAL generate_series(1, plan.age) AS ago
            LEFT JOIN workflows w ON w.status = 'done' AND w.finished_at::date = current_date - ago
            LEFT JOIN work_items i ON i.id = w.id AND i.level = :level
              AND (CAST(:id AS bigint) IS NULL OR i.repository_id = :id)
            GROUP BY ago ORDER BY ago
        """),
        {**values, "least": MIN_WINDOW_DAYS},
    ).all()
    today = connection.scalars(select(func.current_date())).one()
    days = days_needed(open_ or 0, daily, seed=seed)
    dates = {share: None if count is None else today + timedelta(days=count) for share, count in days.items()}
    return Forecast(open_ or 0, sum(daily), len(daily), dates)


def days_needed(remaining: int, daily: Sequence[int], *, seed: int = 0) -> dict[float, int | None]:
    """Return in how many days `remaining` items are done in each share of the simulations.

    Each simulated day is one of the measured days, drawn at random. None: nothing was done in them, or it takes more
    than ten years.
    """
    if remaining <= 0:
        return dict.fromkeys(SHARES, 0)
    if not any(daily):
        return dict.fromkeys(SHARES)
    random = np.random.default_rng(seed)
    done = np.zeros(SIMULATIONS, dtype=np.int64)
    needed = np.full(SIMULATIONS, MAX_DAYS + 1)
    for day in range(1, MAX_DAYS + 1):
        done += random.choice(np.asarray(daily), SIMULATIONS)
        needed = np.where((done >= remaining) & (needed > MAX_DAYS), day, needed)
        if needed.max() <= MAX_DAYS:
            break
    quantiles = {share: int(np.quantile(needed, share, method="higher")) for share in SHARES}
    return {share: days if days <= MAX_DAYS else None for share, days in quantiles.items()}
