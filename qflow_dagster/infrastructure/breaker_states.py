"""The row of a circuit breaker, its limits, and its changes of state.

Each change of state raises the breaker's `generation`: the result of a call counts only in the generation that
admitted it. Does not belong here: admitting calls (`circuit_breaker`), calls that bypass the breaker
(`breaker_observation`).
"""

from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import Connection, Row, func, text, update
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.infrastructure import CIRCUIT_BREAKER
from qflow_dagster.infrastructure.error_rate_tracker import rate
from qflow_dagster.infrastructure.tables import circuit_breakers as table
from qflow_dagster.quantumflow import create_workflow, transition
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import ErrorsSettings

# After this many openings without a recovery, the wait does not grow any more, whatever its maximum.
MAX_DOUBLINGS = 20
COLUMNS = """
    b.operation, b.id, w.status, b.failures, b.successes, b.failed_at, b.opened_at, b.probe_at, b.probe,
    b.probe_until, b.openings, b.generation, b.held, b.reason, b.guarded, w.updated_at,
    extract(epoch FROM b.probe_at - clock_timestamp())::float8 AS wait,
    extract(epoch FROM b.probe_until - clock_timestamp())::float8 AS probe_left,
    extract(epoch FROM clock_timestamp() - w.updated_at)::float8 AS unchanged
"""
_READ = text(
    f"SELECT {COLUMNS} FROM circuit_breakers b JOIN workflows w ON w.id = b.id WHERE b.operation = :operation"
)
_LOCK = text(f"""
SELECT {COLUMNS} FROM circuit_breakers b JOIN workflows w ON w.id = b.id
WHERE b.operation = :operation
-- Both: only a locked row is read as it is after the wait for its lock.
FOR UPDATE OF b, w
""")
_NO_PROBE: dict[str, Any] = {"probe": None, "probe_until": None}


def limits_for(operation: str) -> ErrorsSettings:
    """Return the settings with the limits of the first pattern in `QFLOW_ERRORS_BREAKERS` that matches."""
    errors = settings().errors
    for pattern, given in errors.breakers.items():
        if fnmatchcase(operation, pattern):
            return errors.model_copy(update=errors.own_limits(given))
    return errors


def read(connection: Connection, operation: str) -> Row[Any] | None:
    """Return the breaker, not locked; None where no call has failed yet."""
    return connection.execute(_READ, {"operation": operation}).one_or_none()


def lock(connection: Connection, operation: str) -> Row[Any]:
    """Return the breaker, locked for the transaction."""
    return connection.execute(_LOCK, {"operation": operation}).one()


def ensure(connection: Connection, operation: str) -> Row[Any]:
    """Return the breaker, locked; insert it, closed, if it does not exist."""
    if read(connection, operation) is None:
        id_ = create_workflow(
            connection,
            CIRCUIT_BREAKER,
            {"title": f"circuit breaker {operation}"[:200]},
            actor="qflow",
            key=operation,
        )
        closed = {"operation": operation, "id": id_, "failures": 0, "successes": 0, "guarded": False}
        connection.execute(insert(table).values(closed).on_conflict_do_nothing())
    return lock(connection, operation)


def change(connection: Connection, operation: str, **values: Any) -> Row[Any]:
    """Change columns of a breaker and return it, locked."""
    connection.execute(update(table).where(table.c.operation == operation).values(**values))
    return lock(connection, operation)


def count_failures(connection: Connection, row: Row[Any], count: int, what: str) -> str:
    """Count failed calls of a closed breaker; return its state, which is open if they are too many."""
    row = change(
        connection, row.operation, failures=table.c.failures + count, failed_at=func.clock_timestamp()
    )
    if row.failures >= limits_for(row.operation).breaker_failures and not row.held:
        open_(connection, row, f"{row.failures} consecutive failures, the last {what}")
        return "open"
    return open_by_rates(connection, row)


def open_by_rates(connection: Connection, row: Row[Any]) -> str:
    """Open a closed breaker if too many calls since it was closed failed or were slow; return its state."""
    limits = limits_for(row.operation)
    window = limits.window
    if row.generation:
        # Calls before its last change of state led to that change, and do not count again.
        window = min(window, row.unchanged)
    calls = rate(connection, row.operation, window=window)
    if row.held or calls.total < limits.alert_total:
        return "closed"
    if calls.rate >= limits.breaker_rate:
        reason = f"{calls.errors} of {calls.total} calls failed within {calls.window:.0f} s"
    elif limits.breaker_slow is not None and calls.slow / calls.total >= limits.breaker_slow_rate:
        reason = f"{calls.slow} of {calls.total} calls took {limits.breaker_slow:g} s or more"
    else:
        return "closed"
    open_(connection, row, reason)
    return "open"


def open_(
    connection: Connection, row: Row[Any], reason: str, *, actor: str = "qflow", held: bool = False
) -> None:
    """Open a breaker. It waits twice as long as the time before if it did not close since."""
    limits = limits_for(row.operation)
    wait = min(
        limits.breaker_reset * 2 ** min(row.openings, MAX_DOUBLINGS),
        max(limits.breaker_reset, limits.breaker_reset_max),
    )
    transition(connection, [row.id], "open", actor=actor, data={"reason": reason})
    change(
        connection,
        row.operation,
        opened_at=func.clock_timestamp(),
        probe_at=func.clock_timestamp() + timedelta(seconds=wait),
        openings=row.openings + (not held),
        successes=0,
        reason=reason,
        held=held,
        generation=row.generation + 1,
        **_NO_PROBE,
    )


def half_open(connection: Connection, row: Row[Any], reason: str, *, actor: str = "qflow") -> Row[Any]:
    """Let an open breaker admit probes."""
    transition(connection, [row.id], "half_open", actor=actor, data={"reason": reason})
    return change(
        connection, row.operation, successes=0, held=False, generation=row.generation + 1, **_NO_PROBE
    )


def close(
    connection: Connection, row: Row[Any], reason: str, *, actor: str = "qflow", held: bool = False
) -> None:
    """Close a breaker and forget what was counted."""
    transition(connection, [row.id], "closed", actor=actor, data={"reason": reason})
    change(
        connection,
        row.operation,
        failures=0,
        successes=0,
        openings=0,
        opened_at=None,
        probe_at=None,
        reason=reason if held else None,
        held=held,
        generation=row.generation + 1,
        **_NO_PROBE,
    )


def start_probe(connection: Connection, row: Row[Any], probe: Any, seconds: float) -> None:
    """Make a call the only probe for the next `seconds`."""
    until = func.clock_timestamp() + timedelta(seconds=seconds)
    change(connection, row.operation, probe=probe, probe_until=until)


def renew_probe(connection: Connection, operation: str, probe: Any, seconds: float) -> None:
    """Let a probe that still runs go on for `seconds` from now."""
    held = (table.c.operation == operation) & (table.c.probe == probe)
    until = func.clock_timestamp() + timedelta(seconds=seconds)
    connection.execute(update(table).where(held).values(probe_until=until))


def release_probe(connection: Connection, operation: str, probe: Any) -> None:
    """End a probe without a result, so that another may follow at once."""
    held = (table.c.operation == operation) & (table.c.probe == probe)
    connection.execute(update(table).where(held).values(_NO_PROBE))


def count_probes(connection: Connection, row: Row[Any], count: int) -> None:
    """Count successful probes; enough of them close the breaker."""
    row = change(connection, row.operation, successes=table.c.successes + count, **_NO_PROBE)
    if row.successes >= limits_for(row.operation).breaker_successes:
        close(connection, row, f"{row.successes} successful probes")
