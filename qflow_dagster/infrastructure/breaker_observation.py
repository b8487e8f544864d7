"""Circuit breakers and calls that bypass them: reported errors open, reported successes or quiet close.

A breaker that a person holds keeps its state. Does not belong here: guarded calls (`circuit_breaker`).
"""

from sqlalchemy import Connection, text

from qflow_dagster.infrastructure import CIRCUIT_BREAKER
from qflow_dagster.infrastructure.breaker_states import (
    change,
    close,
    count_failures,
    count_probes,
    ensure,
    half_open,
    limits_for,
    lock,
    open_,
)


def observe(connection: Connection, operation: str, *, failures: int, successes_before: int) -> str:
    """Count failures of calls that bypassed the breaker; return its current state.

    `successes_before`: successes since the failure before these.
    """
    row = ensure(connection, operation)
    if row.status == "closed":
        if successes_before:
            row = change(connection, operation, failures=0)
        return count_failures(connection, row, failures, "reported errors")
    if row.held:
        return "open"
    if row.status == "open" and row.wait <= 0:
        # A call failed, which counts as a failed probe.
        open_(connection, half_open(connection, row, "time to probe"), "a call after the wait failed")
    elif row.status == "half_open" and row.probe is None:
        open_(connection, row, "a call while half open failed")
    return "open"


def observe_successes(connection: Connection) -> list[str]:
    """Close breakers whose operation succeeds again in calls that bypass them; return these operations."""
    query = text(f"""
        SELECT b.operation, sum(s.count) AS successes
        FROM workflows w JOIN circuit_breakers b ON b.id = w.id
        JOIN operation_successes s ON s.operation = b.operation AND s.at > b.probe_at
        WHERE w.type = '{CIRCUIT_BREAKER}' AND w.status IN ('open', 'half_open') AND b.probe IS NULL
          AND NOT b.held
        GROUP BY b.operation
    """)
    closed = []
    for observed in connection.execute(query).all():
        if observed.successes < limits_for(observed.operation).breaker_successes:
            continue
        row = lock(connection, observed.operation)
        if row.status == "open" and not row.held:
            row = half_open(connection, row, "it succeeds again")
        if row.status == "half_open" and row.probe is None:
            count_probes(connection, row, int(observed.successes))
            closed.append(row.operation)
    return closed


def observe_quiet(connection: Connection) -> list[str]:
    """Close breakers without guarded calls once no failure is reported any more; return these operations.

    If an operation only reports errors, their absence for twice the wait of an open breaker is the only sign
    of recovery.
    """
    query = text(f"""
        SELECT b.operation, 2 * extract(epoch FROM b.probe_at - b.opened_at) AS quiet
        FROM workflows w JOIN circuit_breakers b ON b.id = w.id
        WHERE w.type = '{CIRCUIT_BREAKER}' AND w.status = 'open' AND NOT b.guarded AND NOT b.held
          AND greatest(b.opened_at, (SELECT max(at) FROM error_occurrences o WHERE o.operation = b.operation))
              < clock_timestamp() - 2 * (b.probe_at - b.opened_at)
    """)
    closed = []
    for observed in connection.execute(query).all():
        row = lock(connection, observed.operation)
        if row.status == "open" and not row.guarded and not row.held:
            row = half_open(connection, row, "it is quiet")
            close(connection, row, f"no failure was reported for {observed.quiet:.0f} s")
            closed.append(row.operation)
    return closed
