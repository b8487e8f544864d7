"""Histograms of durations: of what is stored in tables, and of what passes (runs, ticks).

Belongs here: counting durations in buckets, and reading them for monitoring. Does not belong here: the format of
Prometheus (`web`).
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, func, select
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.infrastructure.tables import duration_histograms

# Upper bounds of the buckets in seconds, by what is measured.
BOUNDS: Mapping[str, tuple[float, ...]] = {
    "run": (1, 2, 5, 10, 30, 60, 300, 900, 3_600),
    "tick": (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    "gate": (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300),
    "decision": (60, 300, 900, 3_600, 14_400, 86_400, 604_800),
}


class Histogram(NamedTuple):
    """Durations of one label: cumulative numbers per bound, the number of all, and their total in seconds."""

    label: str
    cumulative: Sequence[int]
    number: int
    total: float


def of_query(connection: Connection, name: str, query: Select[Any]) -> list[Histogram]:
    """Return the histograms of a query of labels and seconds."""
    values = query.subquery()
    seconds = values.c.seconds
    columns = [
        func.count().filter(seconds <= bound).label(f"to_{number}")
        for number, bound in enumerate(BOUNDS[name])
    ]
    summary = select(
        values.c.label,
        func.count().label("number"),
        func.coalesce(func.sum(seconds), 0.0).label("total"),
        *columns,
    )
    rows = connection.execute(summary.group_by(values.c.label).order_by(values.c.label)).all()
    return [Histogram(row[0], list(row[3:]), row.number, float(row.total)) for row in rows]


def observe(connection: Connection, name: str, durations: Iterable[tuple[str, float, float]]) -> None:
    """Count durations, as (label, seconds, end as seconds since the epoch), once each.

    Of a label, only what ended after everything counted before is counted; so whatever is passed twice counts once.
    """
    ended: dict[str, list[tuple[float, float]]] = {}
    for label, seconds, end in durations:
        ended.setdefault(label, []).append((seconds, end))
    table = duration_histograms
    query = select(table).where(table.c.name == name, table.c.label.in_(ended)).order_by(table.c.label)
    rows = {row.label: row for row in connection.execute(query.with_for_update())}
    changed = []
    for label, all_ended in sorted(ended.items()):
        row = rows.get(label)
        until = row.until.timestamp() if row else 0.0
        counts = list(row.counts) if row else [0] * (len(BOUNDS[name]) + 1)
        new = [(seconds, end) for seconds, end in all_ended if end > until]
        if not new:
            continue
        for seconds, _ in new:
            counts[next((n for n, bound in enumerate(BOUNDS[name]) if seconds <= bound), -1)] += 1
        values = {
            "name": name,
            "label": label,
            "counts": counts,
            "sum": (row.sum if row else 0.0) + sum(seconds for seconds, _ in new),
            "until": datetime.fromtimestamp(max(end for _, end in new), UTC),
        }
        changed.append(values)
    if changed:
        upsert = insert(table).values(changed)
        columns = {column: upsert.excluded[column] for column in ("counts", "sum", "until")}
        connection.execute(upsert.on_conflict_do_update(index_elements=["name", "label"], set_=columns))


def observed(connection: Connection, name: str) -> list[Histogram]:
    """Return the histograms of what `observe` counted."""
    table = duration_histograms
    rows = connection.execute(select(table).where(table.c.name == name).order_by(table.c.label)).all()
    return [Histogram(row.label, list(accumulate(row.counts))[:-1], sum(row.counts), row.sum) for row in rows]


def until(connection: Connection, name: str) -> dict[str, float]:
    """Return when the newest counted duration of each label ended, in seconds since the epoch."""
    table = duration_histograms
    query = select(table.c.label, table.c.until).where(table.c.name == name)
    return {row.label: row.until.timestamp() for row in connection.execute(query)}
