"""Alerts of operations with a high error rate or a spike of errors, and their end.

Does not belong here: groups of errors (`error_analysis`), exact rates (`error_rate_tracker`).
"""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, text, update

from qflow_dagster.infrastructure.error_rate_tracker import rates
from qflow_dagster.infrastructure.tables import operation_alerts
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Queue
from qflow_dagster.settings import settings

# Errors that are older than this when they are analyzed (a backlog) cause no alert.
OLDEST_ALERT = 3_600
# A spike: the errors of the last five minutes beside those of the hour before.
SPIKE_STRETCH = 300
SPIKE_STRETCHES = 12
MIN_SPIKE = 10

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


def alert(connection: Connection, rows: Sequence[Row[Any]]) -> list[str]:
    """Send alerts of the operations of new errors whose rate is high or has jumped; return these operations.

    `rows` are errors (operation, at) that happened lately.
    """
    if not rows:
        return []
    limits = settings().errors
    parameters = {
        "operations": sorted({row.operation for row in rows}),
        "since": min(row.at for row in rows),
        "until": max(row.at for row in rows),
        "window": float(limits.window),
        "least": limits.alert_total,
        "rate": limits.alert_rate,
        # Without it, a single error among twenty calls would alert.
        "deviations": limits.alert_deviations,
    }
    worst = connection.execute(_WORST_WINDOW, parameters).all()
    high = _notify(
        connection, "high_error_rate", [(w.operation, w.errors, w.total) for w in worst], parameters["until"]
    )
    seconds = {"stretch": float(SPIKE_STRETCH), "whole": float(SPIKE_STRETCH * (SPIKE_STRETCHES + 1))}
    counted = connection.execute(_BEFORE_AND_LATELY, {**parameters, **seconds}).all()
    spikes = [
        (c.operation, c.lately, c.lately + c.before)
        for c in counted
        # Without earlier errors there is no baseline for a spike; the rate alert covers that case.
        if c.before and is_spike(c.lately, c.before, SPIKE_STRETCHES)
    ]
    notified = _notify(connection, "error_spike", spikes, parameters["until"])
    return [*high, *(operation for operation in notified if operation not in high)]


def recover(connection: Connection) -> list[str]:
    """Notify of recovered operations that had an alert; return these operations."""
    table = operation_alerts.c
    operations = connection.scalars(select(table.operation).distinct().where(table.alerting)).all()
    if not operations:
        return []
    now = {rate.operation: rate for rate in rates(connection)}
    limit = settings().errors.alert_rate
    well = [name for name in operations if name not in now or now[name].rate < limit]
    if well:
        ended = (
            update(operation_alerts)
            .where(table.alerting, table.operation.in_(well))
            .values(alerting=False, since=func.clock_timestamp())
            .returning(table.operation)
        )
        # Of concurrent sensors, only the one that updates the row notifies.
        well = sorted(set(connection.scalars(ended)))
        send_with_notify(
            connection,
            Queue.ERROR_NOTIFICATIONS,
            [{"event": "recovered", "operation": name} for name in well],
        )
    return well


def is_spike(lately: int, before: int, stretches: int) -> bool:
    """Return whether `lately`, the errors in a period, are far more than in the equal `stretches` before it.

    That is at least ten, and more than three standard deviations above the mean. Independent errors
    are Poisson distributed, so that the variance equals the mean (Poisson, 1837).
    """
    mean = before / stretches
    return lately >= MIN_SPIKE and lately > mean + 3 * math.sqrt(max(mean, 1.0))


def _notify(
    connection: Connection, kind: str, alerts: Sequence[tuple[str, int, int]], until: datetime
) -> list[str]:
    """Send an alert for each (operation, errors, total) without a recent one; return their operations."""
    if not alerts:
        return []
    limits = settings().errors
    # The cooldown is part of the upsert, so that only one of concurrent analyses alerts.
    upsert = text("""
        INSERT INTO operation_alerts AS a (operation, kind, alerting, since, told_at, errors, total)
        SELECT operation, :kind, true, clock_timestamp(), clock_timestamp(), errors, total
        FROM unnest(CAST(:operations AS text[]), CAST(:errors AS bigint[]), CAST(:totals AS bigint[]))
             AS given(operation, errors, total)
        WHERE :until > clock_timestamp() - make_interval(secs => :oldest)
        ON CONFLICT (operation, kind) DO UPDATE SET
            alerting = true, errors = excluded.errors, total = excluded.total, told_at = excluded.told_at,
            since = CASE WHEN a.alerting THEN a.since ELSE excluded.since END
        WHERE a.told_at IS NULL OR a.told_at <= clock_timestamp() - make_interval(secs => :cooldown)
        RETURNING operation, errors, total
    """)
    notified = connection.execute(
        upsert,
        {
            "kind": kind,
            "operations": [f[0] for f in alerts],
            "errors": [f[1] for f in alerts],
            "totals": [f[2] for f in alerts],
            "until": until,
            "oldest": OLDEST_ALERT,
            "cooldown": limits.alert_cooldown,
        },
    ).all()
    messages: list[dict[str, Any]] = []
    for row in notified:
        message = {"event": kind, "operation": row.operation, "errors": row.errors}
        if kind == "high_error_rate":
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
