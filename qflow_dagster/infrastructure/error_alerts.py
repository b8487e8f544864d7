"""Alerts of operations with a high error rate or a spike of errors, and their end.

An operation is one incident: it is notified of once when it begins, once more if it becomes far worse, and when it is
over. Does not belong here: groups of errors (`error_analysis`), exact rates (`error_rate_tracker`).
"""

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, tuple_, update

from qflow_dagster.infrastructure.error_rate_tracker import Rate, rates
from qflow_dagster.infrastructure.tables import operation_alerts
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Queue
from qflow_dagster.settings import settings

# Errors that are older than this when they are analyzed (a backlog) cause no alert.
OLDEST_ALERT = 3_600
HIGH, SPIKE = "high_error_rate", "error_spike"
# An alert is repeated once, if it became so many times worse.
FAR_WORSE = 3
# Share of the limits of a spike below which it is over.
EASE = 0.5
# A spike: the errors of the last five minutes beside those of the hour before.
SPIKE_STRETCH = 300
SPIKE_STRETCHES = 12
MIN_SPIKE = 10
# By chance, one of 30,000 stretches has so many; three of them, one of 700, were several alarms a day.
DEVIATIONS = 4

# The worst window that ends with any of the batch's errors: so that
# a burst older than a minute when it is analyzed causes an alert too.
_WORST_WINDOW = text("""
WITH calls AS (
    SELECT operation, at, 1 AS errors, 1 AS total FROM error_occurrences
    WHERE operation = ANY(:operations) AND at BETWEEN :since - make_interval(secs => :window) AND :until
      AND severity IN ('error', 'critical')
    UNION ALL
    SELECT operation, at, 0, count FROM operation_successes
    WHERE operation = ANY(:operations) AND at BETWEEN :since - make_interval(secs => :window) AND :until
), windows AS (
    SELECT operation, at, errors AS is_error, sum(errors) OVER sliding AS errors, sum(total) OVER sliding AS total
    FROM calls
    WINDOW sliding AS (PARTITION BY operation ORDER BY at
                       RANGE BETWEEN make_interval(secs => :window) PRECEDING AND CURRENT ROW)
)
SELECT DISTINCT ON (operation) operation, errors::bigint, total::bigint FROM windows
WHERE is_error = 1 AND at >= :since AND total >= :least AND errors >= total * :rate
  AND (errors - total * :rate) ^ 2 >= :deviations ^ 2 * total * :rate * (1 - :rate)
ORDER BY operation, errors DESC
""")

_BEFORE_AND_LATELY = text("""
SELECT operation, count(*) FILTER (WHERE at > :until - make_interval(secs => :stretch)) AS lately,
       count(*) FILTER (WHERE at <= :until - make_interval(secs => :stretch)) AS before
FROM error_occurrences
WHERE operation = ANY(:operations) AND at > :until - make_interval(secs => :whole) AND at <= :until
  AND severity IN ('error', 'critical')
GROUP BY operation ORDER BY operation
""")

# `since` is when the operation's first alert began: what was told of later was an escalation already.
_OPEN = text("""
WITH given AS (
    SELECT operation, errors, total,
           coalesce((SELECT min(o.since) FROM operation_alerts o WHERE o.operation = g.operation AND o.alerting),
                    statement_timestamp()) AS since
    FROM unnest(CAST(:operations AS text[]), CAST(:errors AS bigint[]), CAST(:totals AS bigint[]))
         AS g(operation, errors, total)
    WHERE :until > statement_timestamp() - make_interval(secs => :oldest)
      -- Of an operation with a high rate, a spike is no news.
      AND (:kind = :high OR NOT EXISTS (
          SELECT FROM operation_alerts o WHERE o.operation = g.operation AND o.kind = :high AND o.alerting))
)
INSERT INTO operation_alerts AS a (operation, kind, alerting, since, told_at, errors, total)
SELECT operation, :kind, true, since, statement_timestamp(), errors, total FROM given
ON CONFLICT (operation, kind) DO UPDATE SET
    alerting = true, errors = excluded.errors, told_at = excluded.told_at,
    -- The errors before a spike stay those before it began.
    total = CASE WHEN a.alerting AND a.kind <> :high THEN a.total - a.errors + excluded.errors ELSE excluded.total END,
    since = CASE WHEN a.alerting THEN a.since ELSE excluded.since END
WHERE NOT a.alerting
   OR (a.told_at = a.since AND a.told_at <= statement_timestamp() - make_interval(secs => :cooldown)
       AND CASE WHEN a.kind = :high THEN excluded.errors * a.total >= :worse * a.errors * excluded.total
                ELSE excluded.errors >= :worse * a.errors END)
RETURNING operation, errors, total, told_at > since AS worse
""")


def alert(connection: Connection, rows: Sequence[Row[Any]]) -> list[str]:
    """Send alerts of the operations of new errors whose rate is high or has jumped; return these operations.

    `rows` are errors (operation, at) that happened lately.
    """
    if not rows:
        return []
    operations = sorted({row.operation for row in rows})
    since, until = min(row.at for row in rows), max(row.at for row in rows)
    high = _notify(connection, HIGH, _worst_windows(connection, operations, since, until), until)
    spikes = [
        (c.operation, c.lately, c.lately + c.before)
        for c in _lately_and_before(connection, operations, until)
        # Without earlier errors there is no baseline for a spike; the rate alert covers that case.
        if c.before and is_spike(c.lately, c.before, SPIKE_STRETCHES)
    ]
    return [*high, *_notify(connection, SPIKE, spikes, until)]


def recover(connection: Connection) -> list[str]:
    """Notify of operations whose alert is over; return these operations.

    A high rate is over when no window in the time that the setting names would alert, and the average of that time is
    below the limit.
    """
    table = operation_alerts.c
    now = func.statement_timestamp()
    opened = connection.execute(
        select(
            table.operation,
            table.kind,
            (table.total - table.errors).label("before"),
            (now - table.since > timedelta(seconds=SPIKE_STRETCH * (SPIKE_STRETCHES + 1))).label("long"),
            now.label("now"),
        ).where(table.alerting)
    ).all()
    if not opened:
        return []
    limits = settings().errors
    operations, until = [row.operation for row in opened], opened[0].now
    seconds = max(limits.alert_cooldown, limits.window)
    lately = {rate.operation: rate for rate in rates(connection, window=seconds)}
    high = {name for name, calls in lately.items() if calls.rate >= limits.alert_rate}
    worst = _worst_windows(connection, operations, until - timedelta(seconds=seconds), until)
    high |= {operation for operation, _, _ in worst}
    counts = {row.operation: row for row in _lately_and_before(connection, operations, until)}
    over = {
        (row.operation, row.kind): event
        for row in opened
        if (event := _end_of(row, counts.get(row.operation), is_high=row.operation in high))
    }
    return _end(connection, over, lately, seconds) if over else []


def _worst_windows(
    connection: Connection, operations: Sequence[str], since: datetime, until: datetime
) -> list[tuple[str, int, int]]:
    """Return operations with a rate that alerts in a window that ended in that time, with the worst one's numbers."""
    limits = settings().errors
    parameters = {
        "operations": operations,
        "since": since,
        "until": until,
        "window": float(limits.window),
        "least": limits.alert_total,
        "rate": limits.alert_rate,
        # Without it, a single error among twenty calls would alert.
        "deviations": limits.alert_deviations,
    }
    return [(row.operation, row.errors, row.total) for row in connection.execute(_WORST_WINDOW, parameters)]


def _lately_and_before(
    connection: Connection, operations: Sequence[str], until: datetime
) -> Sequence[Row[Any]]:
    whole = float(SPIKE_STRETCH * (SPIKE_STRETCHES + 1))
    parameters = {"operations": operations, "until": until, "stretch": float(SPIKE_STRETCH), "whole": whole}
    return connection.execute(_BEFORE_AND_LATELY, parameters).all()


def _end_of(row: Row[Any], counted: Row[Any] | None, *, is_high: bool) -> str | None:
    """Return how an open alert ended, if it did; `counted` are the operation's errors lately and before."""
    if row.kind == HIGH:
        return None if is_high else "recovered"
    if counted is None or not is_spike(counted.lately, row.before, SPIKE_STRETCHES, EASE):
        return "recovered"
    # So many errors for so long are no spike any more.
    was_so = row.long and not is_spike(counted.lately, counted.before, SPIKE_STRETCHES, EASE)
    return "new_error_level" if was_so else None


def is_spike(lately: int, before: int, stretches: int, ease: float = 1.0) -> bool:
    """Return whether `lately`, the errors in a period, are far more than in the equal `stretches` before it.

    That is at least ten, and four standard deviations above the mean. Independent errors are Poisson distributed, so
    that the square root of their number deviates by a half whatever the mean (Bartlett, 1936). `ease` is the share of
    both limits that counts.
    """
    return (
        lately >= MIN_SPIKE * ease
        and math.sqrt(lately) > math.sqrt(before / stretches) + DEVIATIONS / 2 * ease
    )


def _notify(
    connection: Connection, kind: str, alerts: Sequence[tuple[str, int, int]], until: datetime
) -> list[str]:
    """Send an alert for each (operation, errors, total) that is news; return their operations."""
    if not alerts:
        return []
    limits = settings().errors
    # The decision is part of the upsert, so that only one of concurrent analyses alerts.
    notified = connection.execute(
        _OPEN,
        {
            "kind": kind,
            "high": HIGH,
            "operations": [f[0] for f in alerts],
            "errors": [f[1] for f in alerts],
            "totals": [f[2] for f in alerts],
            "until": until,
            "oldest": OLDEST_ALERT,
            "cooldown": limits.alert_cooldown,
            "worse": FAR_WORSE,
        },
    ).all()
    messages: list[dict[str, Any]] = []
    for row in notified:
        message = {"event": kind, "operation": row.operation, "errors": row.errors, "worse": row.worse}
        if kind == HIGH:
            message |= {"total": row.total, "rate": round(row.errors / row.total, 4), "window": limits.window}
        else:
            message |= {
                "before": row.total - row.errors,
                "stretch": SPIKE_STRETCH,
                "stretches_before": SPIKE_STRETCHES,
            }
        messages.append(message)
    if messages:
        send_with_notify(connection, Queue.ERROR_NOTIFICATIONS, messages)
    return [row.operation for row in notified]


def _end(
    connection: Connection, over: Mapping[tuple[str, str], str], lately: Mapping[str, Rate], seconds: int
) -> list[str]:
    """End alerts (operation, kind), and notify of each operation that has none left; return these operations."""
    table = operation_alerts.c
    ended = (
        update(operation_alerts)
        .where(table.alerting, tuple_(table.operation, table.kind).in_(list(over)))
        .values(alerting=False, since=func.statement_timestamp())
        .returning(table.operation, table.kind)
    )
    # Of concurrent sensors, only the one that updates the row notifies.
    events = {row.operation: over[row.operation, row.kind] for row in connection.execute(ended)}
    left = select(table.operation).where(table.alerting, table.operation.in_(events))
    well = sorted(events.keys() - set(connection.scalars(left)))
    messages = []
    for name in well:
        calls = lately.get(name)
        errors, total = (calls.errors, calls.total) if calls else (0, 0)
        message = {"event": events[name], "operation": name, "errors": errors, "total": total}
        messages.append({**message, "window": seconds})
    send_with_notify(connection, Queue.ERROR_NOTIFICATIONS, messages)
    return well
