"""Circuit breakers: one per operation, in the database, shared by all processes.

Closed, it counts consecutive failures; open, it refuses calls and returns the remaining time; half
open, it admits one probe at a time, selected by the row's lock. Every change of state is an event and
a notification.

The names of states and their meaning are Nygard's (Release It!, 2007). Does not belong here:
which exceptions count as failures (the caller decides).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, func, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure import CIRCUIT_BREAKER
from qflow_dagster.infrastructure.error_rate_tracker import (
    occurrence_of,
    rate,
    track_errors,
    track_successes,
)
from qflow_dagster.infrastructure.tables import circuit_breakers as table
from qflow_dagster.quantumflow import create_workflow, transition
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

logger = logs.logger(__name__)


class CircuitOpenError(QflowError):
    """The breaker of an operation is open; `seconds` until the next probe is let through."""

    def __init__(self, operation: str, seconds: float) -> None:
        self.operation, self.seconds = operation, max(seconds, 0.0)
        super().__init__(
            f"{operation} failed too often: its circuit breaker is open for another {self.seconds:.0f} s; "
            f"`qflow breakers show {operation}` says why, `qflow breakers reset {operation}` closes it"
        )


@dataclass(frozen=True, slots=True)
class Admission:
    """The admission of a call; a probe must report under this id before its time limit."""

    operation: str
    probe: UUID | None = None


_COLUMNS = """
    b.operation, b.id, w.status, b.failures, b.successes, b.failed_at, b.opened_at, b.probe, b.probe_until,
    b.reason, b.guarded, w.updated_at,
    extract(epoch FROM b.opened_at - clock_timestamp()) + CAST(:reset AS float8) AS wait,
    extract(epoch FROM b.probe_until - clock_timestamp()) AS probe_left
"""
_READ = text(
    f"SELECT {_COLUMNS} FROM circuit_breakers b JOIN workflows w ON w.id = b.id WHERE b.operation = :operation"
)
_LOCK = text(f"""
SELECT {_COLUMNS} FROM circuit_breakers b JOIN workflows w ON w.id = b.id
WHERE b.operation = :operation
-- Both: only a locked row is read as it is after the wait for its lock.
FOR UPDATE OF b, w
""")
_ALL = text(f"""
SELECT {_COLUMNS} FROM circuit_breakers b JOIN workflows w ON w.id = b.id
WHERE CAST(:status AS text) IS NULL OR w.status = :status ORDER BY b.operation LIMIT :limit
""")
_NO_PROBE: dict[str, Any] = {"probe": None, "probe_until": None}


@contextmanager
def through_breaker(
    engine: Engine, operation: str, *, ignore: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Run the body guarded by the circuit breaker of `operation`; exceptions not in `ignore` count as failures.

    While the database is unavailable, calls are admitted without a guard, because they may succeed.

    Raises:
        CircuitOpenError: The breaker is open; the body was not run.
    """
    try:
        with engine.begin() as connection:
            admission = admit(connection, operation)
    except SQLAlchemyError as error:
        logger.warning("no circuit breaker for %s: %s", operation, type(error).__name__)
        yield
        return
    if isinstance(admission, CircuitOpenError):
        raise admission
    try:
        yield
    except ignore:
        # The remote system answered; the call was wrong.
        _report(engine, admission, None)
        raise
    except Exception as error:
        _report(engine, admission, error)
        raise
    except BaseException:
        # An interrupted probe has no result; another may follow at once.
        with engine.begin() as connection:
            _release_probe(connection, admission)
        raise
    _report(engine, admission, None)


def admit(connection: Connection, operation: str) -> Admission | CircuitOpenError:
    """Admit a call, as the only probe if the breaker is not closed.

    A refusal is returned, not raised, so that its changes (an expired probe) are committed.
    """
    row = _read(connection, operation)
    if row is None or row.status == "closed":
        return Admission(operation)
    row = _lock(connection, operation)
    if row.status == "closed":
        return Admission(operation)
    if row.status == "half_open" and row.probe is not None:
        if row.probe_left > 0:
            return CircuitOpenError(operation, row.probe_left)
        # A probe without a report counts as a failure, because the service may hang.
        _open(connection, row, "the probe did not report back")
        return CircuitOpenError(operation, settings().errors.breaker_reset)
    if row.status == "open":
        if row.wait > 0:
            return CircuitOpenError(operation, row.wait)
        transition(connection, [row.id], "half_open", actor="qflow", data={"reason": "time to probe"})
    admission = Admission(operation, uuid4())
    term = timedelta(seconds=settings().errors.breaker_probe)
    _set(
        connection,
        operation,
        probe=admission.probe,
        probe_until=func.clock_timestamp() + term,
        successes=0 if row.status == "open" else table.c.successes,
    )
    return admission


def record_success(connection: Connection, admission: Admission) -> None:
    """Report that an admitted call succeeded."""
    track_successes(connection, [(admission.operation, 0.0, 1)])
    row = _read(connection, admission.operation)
    if row is None or (row.status == "closed" and not row.failures):
        return
    row = _lock(connection, admission.operation)
    if row.status == "closed":
        _set(connection, row.operation, failures=0)
    elif row.status == "half_open" and row.probe == admission.probe:
        _probe_succeeded(connection, row, 1)


def record_failure(connection: Connection, admission: Admission, error: BaseException) -> None:
    """Report that an admitted call failed; the error is tracked as one of the operation."""
    track_errors(connection, [occurrence_of(admission.operation, error, source="breaker")])
    row = _ensure(connection, admission.operation)
    if not row.guarded:
        row = _set(connection, row.operation, guarded=True)
    if row.status == "half_open" and row.probe == admission.probe:
        _open(connection, row, f"the probe failed: {type(error).__name__}")
    elif row.status == "closed":
        _failed(connection, row, 1, f"{type(error).__name__}")


def observe(connection: Connection, operation: str, *, failures: int, successes_before: int) -> str:
    """Count failures of calls that bypassed the breaker; return its current state.

    `successes_before`: successes since the failure before these.
    """
    row = _ensure(connection, operation)
    if row.status == "closed":
        if successes_before:
            row = _set(connection, operation, failures=0)
        return _failed(connection, row, failures, "reported errors")
    if row.status == "open" and row.wait <= 0:
        # A call failed, which counts as a failed probe.
        transition(connection, [row.id], "half_open", actor="qflow", data={"reason": "time to probe"})
        _open(connection, row, "a call after the wait failed")
    elif row.status == "half_open" and row.probe is None:
        _open(connection, row, "a call while half open failed")
    return "open"


def observe_successes(connection: Connection) -> list[str]:
    """Close breakers whose operation succeeds again in calls that bypass them; return these operations."""
    limits = settings().errors
    query = text(f"""
        SELECT b.operation, sum(s.count) AS successes
        FROM workflows w JOIN circuit_breakers b ON b.id = w.id
        JOIN operation_successes s ON s.operation = b.operation
             AND s.at > b.opened_at + make_interval(secs => :reset)
        WHERE w.type = '{CIRCUIT_BREAKER}' AND w.status IN ('open', 'half_open') AND b.probe IS NULL
        GROUP BY b.operation HAVING sum(s.count) >= :enough
    """)
    recovered = connection.execute(
        query, {"reset": limits.breaker_reset, "enough": limits.breaker_successes}
    ).all()
    closed = []
    for observed in recovered:
        row = _lock(connection, observed.operation)
        if row.status == "open":
            transition(connection, [row.id], "half_open", actor="qflow", data={"reason": "it succeeds again"})
        if row.status in ("open", "half_open") and row.probe is None:
            _probe_succeeded(connection, row, int(observed.successes))
            closed.append(row.operation)
    return closed


def observe_quiet(connection: Connection) -> list[str]:
    """Close breakers without guarded calls once no failure is reported any more; return these operations.

    If an operation only reports errors, their absence for twice the wait of an open breaker is the only sign
    of recovery.
    """
    query = text(f"""
        SELECT b.operation FROM workflows w JOIN circuit_breakers b ON b.id = w.id
        WHERE w.type = '{CIRCUIT_BREAKER}' AND w.status = 'open' AND NOT b.guarded
          AND greatest(b.opened_at, (SELECT max(at) FROM error_occurrences o WHERE o.operation = b.operation))
              < clock_timestamp() - make_interval(secs => :quiet)
    """)
    closed = []
    quiet = 2 * settings().errors.breaker_reset
    for operation in connection.scalars(query, {"quiet": quiet}).all():
        row = _lock(connection, operation)
        if row.status == "open" and not row.guarded:
            transition(connection, [row.id], "half_open", actor="qflow", data={"reason": "it is quiet"})
            _close(connection, row, "qflow", f"no failure was reported for {quiet:.0f} s")
            closed.append(operation)
    return closed


def reset(connection: Connection, operation: str, *, actor: str) -> None:
    """Close a breaker by hand.

    Raises:
        UsageError: There is no breaker of that name, or it is closed.
    """
    row = _require(connection, operation)
    if row.status == "closed":
        raise UsageError(f"the circuit breaker of {operation} is closed already")
    _close(connection, row, actor, "reset by hand")


def open_by_hand(connection: Connection, operation: str, *, actor: str, reason: str) -> None:
    """Open a breaker by hand, for example before maintenance; it probes and closes by itself as usual.

    Raises:
        UsageError: It is already open.
    """
    row = _ensure(connection, operation)
    if row.status == "open":
        raise UsageError(f"the circuit breaker of {operation} is open already")
    _open(connection, row, reason, actor=actor)


def breakers(
    connection: Connection, *, status: str | None = None, limit: int = 100_000
) -> list[dict[str, Any]]:
    """Return all breakers (or those in a state) with their counts and the seconds until the next probe."""
    rows = connection.execute(
        _ALL, {"status": status, "limit": limit, "reset": settings().errors.breaker_reset}
    )
    return [_as_dict(row) for row in rows]


def show(connection: Connection, operation: str) -> dict[str, Any]:
    """Return a breaker.

    Raises:
        UsageError: There is no breaker of that name.
    """
    row = _read(connection, operation)
    if row is None:
        raise UsageError(f"there is no circuit breaker {operation!r}: none of its calls has failed yet")
    return _as_dict(row)


def _as_dict(row: Row[Any]) -> dict[str, Any]:
    return {
        "operation": row.operation,
        "id": row.id,
        "state": row.status,
        "failures": row.failures,
        "successes": row.successes,
        "since": row.updated_at,
        "next_probe_in": round(max(row.wait, 0.0), 1) if row.status == "open" else None,
        "reason": row.reason if row.status != "closed" else None,
    }


def _report(engine: Engine, admission: Admission, error: Exception | None) -> None:
    """Log a database error of counting as a warning, because the call itself was made."""
    try:
        with engine.begin() as connection:
            if error is None:
                record_success(connection, admission)
            else:
                record_failure(connection, admission, error)
    except (SQLAlchemyError, QflowError) as problem:
        logger.warning("a call of %s could not be counted: %s", admission.operation, type(problem).__name__)


def _failed(connection: Connection, row: Row[Any], count: int, what: str) -> str:
    limits = settings().errors
    row = _set(connection, row.operation, failures=table.c.failures + count, failed_at=func.clock_timestamp())
    seen = rate(connection, row.operation)
    if row.failures >= limits.breaker_failures:
        reason = f"{row.failures} consecutive failures, the last {what}"
    elif seen.total >= limits.alert_total and seen.rate >= limits.breaker_rate:
        reason = f"{seen.errors} of {seen.total} calls failed within {seen.window:.0f} s"
    else:
        return "closed"
    _open(connection, row, reason)
    return "open"


def _open(connection: Connection, row: Row[Any], reason: str, actor: str = "qflow") -> None:
    transition(connection, [row.id], "open", actor=actor, data={"reason": reason})
    _set(
        connection,
        row.operation,
        opened_at=func.clock_timestamp(),
        successes=0,
        reason=reason,
        **_NO_PROBE,
    )


def _close(connection: Connection, row: Row[Any], actor: str, reason: str) -> None:
    transition(connection, [row.id], "closed", actor=actor, data={"reason": reason})
    _set(
        connection,
        row.operation,
        failures=0,
        successes=0,
        opened_at=None,
        reason=None,
        **_NO_PROBE,
    )


def _probe_succeeded(connection: Connection, row: Row[Any], count: int) -> None:
    row = _set(connection, row.operation, successes=table.c.successes + count, **_NO_PROBE)
    if row.successes >= settings().errors.breaker_successes:
        _close(connection, row, "qflow", f"{row.successes} successful probes")


def _release_probe(connection: Connection, admission: Admission) -> None:
    if admission.probe is not None:
        held = table.c.probe == admission.probe
        connection.execute(update(table).where(held).values(_NO_PROBE))


def _ensure(connection: Connection, operation: str) -> Row[Any]:
    """Return the breaker's row, locked; insert it if it does not exist."""
    if _read(connection, operation) is None:
        id_ = create_workflow(
            connection,
            CIRCUIT_BREAKER,
            {"title": f"circuit breaker {operation}"[:200]},
            actor="qflow",
            key=operation,
        )
        closed = {"operation": operation, "id": id_, "failures": 0, "successes": 0, "guarded": False}
        connection.execute(insert(table).values(closed).on_conflict_do_nothing())
    return _lock(connection, operation)


def _require(connection: Connection, operation: str) -> Row[Any]:
    show(connection, operation)
    return _lock(connection, operation)


def _read(connection: Connection, operation: str) -> Row[Any] | None:
    return connection.execute(
        _READ, {"operation": operation, "reset": settings().errors.breaker_reset}
    ).one_or_none()


def _lock(connection: Connection, operation: str) -> Row[Any]:
    return connection.execute(_LOCK, {"operation": operation, "reset": settings().errors.breaker_reset}).one()


def _set(connection: Connection, operation: str, **values: Any) -> Row[Any]:
    connection.execute(update(table).where(table.c.operation == operation).values(**values))
    return _lock(connection, operation)
