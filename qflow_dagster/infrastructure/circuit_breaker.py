"""Circuit breakers: one per operation, in the database, shared by all processes.

Closed, it counts consecutive failures, failed calls and slow calls; open, it refuses calls and returns the remaining
time; half open, it admits one probe at a time, selected by the row's lock. A person may hold it open or closed. Every
change of state is an event and a notification.

The names of states and their meaning are Nygard's (Release It!, 2007); slow calls and holding are resilience4j's. Does
not belong here: the row and its changes (`breaker_states`), which exceptions count as failures (the caller decides).
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Connection, Engine, Row, text
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure.breaker_states import (
    COLUMNS,
    change,
    close,
    count_failures,
    count_probes,
    ensure,
    half_open,
    limits_for,
    lock,
    open_,
    open_by_rates,
    read,
    release_probe,
    renew_probe,
    start_probe,
)
from qflow_dagster.infrastructure.error_rate_tracker import (
    check_operation,
    occurrence_of,
    track_errors,
    track_successes,
)
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

MAX_REASON_LENGTH = 1_000


class CircuitOpenError(QflowError):
    """The breaker of an operation is open; `seconds` until the next probe is let through, None while it is held."""

    def __init__(self, operation: str, seconds: float | None, reason: str | None = None) -> None:
        self.operation = operation
        self.seconds = None if seconds is None else max(seconds, 0.0)
        if self.seconds is None:
            message = (
                f"the circuit breaker of {operation} is held open ({reason}); "
                f"`qflow breakers release {operation}` ends that"
            )
        else:
            message = (
                f"{operation} failed too often: its circuit breaker is open for another {self.seconds:.0f} s; "
                f"`qflow breakers show {operation}` says why, `qflow breakers reset {operation}` closes it"
            )
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Admission:
    """The admission of a call; its result counts only in the breaker's generation that admitted it."""

    operation: str
    generation: int = 0
    probe: UUID | None = None
    # On the monotonic clock.
    at: float = field(default_factory=time.monotonic)

    @property
    def seconds(self) -> float:
        """Return how long ago the call was admitted."""
        return time.monotonic() - self.at


_ALL = text(f"""
SELECT {COLUMNS} FROM circuit_breakers b JOIN workflows w ON w.id = b.id
WHERE CAST(:status AS text) IS NULL OR w.status = :status ORDER BY b.operation LIMIT :limit
""")


@contextmanager
def through_breaker(
    engine: Engine, operation: str, *, ignore: tuple[type[Exception], ...] = ()
) -> Iterator[None]:
    """Run the body guarded by the circuit breaker of `operation`; exceptions not in `ignore` count as failures.

    A probe may take as long as its body does. While the database is unavailable, calls are admitted without a
    guard, because they may succeed.

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
        with _renewed(engine, admission):
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
        if admission.probe is not None:
            with engine.begin() as connection:
                release_probe(connection, operation, admission.probe)
        raise
    _report(engine, admission, None)


def admit(connection: Connection, operation: str) -> Admission | CircuitOpenError:
    """Admit a call, as the only probe if the breaker is not closed.

    A probe without a result counts as failed after `QFLOW_ERRORS_BREAKER_PROBE` seconds, unless it is renewed. A
    refusal is returned, not raised, so that its changes (an expired probe) are committed.
    """
    row = read(connection, operation)
    if row is None or row.status == "closed":
        return Admission(operation, row.generation if row else 0)
    row = lock(connection, operation)
    if row.status == "closed":
        return Admission(operation, row.generation)
    if row.status == "half_open" and row.probe is not None:
        if row.probe_left > 0:
            return CircuitOpenError(operation, row.probe_left)
        # A probe without a report counts as a failure, because its process died.
        open_(connection, row, "the probe did not report back")
        return CircuitOpenError(operation, lock(connection, operation).wait)
    if row.status == "open":
        if row.held:
            return CircuitOpenError(operation, None, row.reason)
        if row.wait > 0:
            return CircuitOpenError(operation, row.wait)
        row = half_open(connection, row, "time to probe")
    admission = Admission(operation, row.generation, uuid4())
    start_probe(connection, row, admission.probe, limits_for(operation).breaker_probe)
    return admission


def record_success(connection: Connection, admission: Admission) -> None:
    """Report that an admitted call succeeded; it may have been slow."""
    operation, limits = admission.operation, limits_for(admission.operation)
    slow = limits.breaker_slow is not None and admission.seconds >= limits.breaker_slow
    row = ensure(connection, operation) if slow else read(connection, operation)
    stale = row is not None and row.generation != admission.generation
    # A result that comes after a change of state belongs to the time before it.
    track_successes(connection, [(operation, admission.seconds if stale else 0.0, 1)], slow=slow)
    if row is None or stale or (row.status == "closed" and not row.failures and not slow):
        return
    row = lock(connection, operation)
    if row.generation != admission.generation:
        return
    if row.status == "closed":
        row = change(connection, operation, failures=0)
        if slow:
            open_by_rates(connection, row)
    elif row.status == "half_open" and row.probe == admission.probe:
        if slow:
            open_(connection, row, f"the probe took {admission.seconds:.1f} s")
        else:
            count_probes(connection, row, 1)


def record_failure(connection: Connection, admission: Admission, error: BaseException) -> None:
    """Report that an admitted call failed; the error is tracked as one of the operation."""
    row = ensure(connection, admission.operation)
    stale = row.generation != admission.generation
    age = admission.seconds if stale else 0.0
    track_errors(connection, [occurrence_of(admission.operation, error, source="breaker", age=age)])
    if not row.guarded:
        row = change(connection, row.operation, guarded=True)
    if stale:
        return
    if row.status == "half_open" and row.probe == admission.probe:
        open_(connection, row, f"the probe failed: {type(error).__name__}")
    elif row.status == "closed":
        count_failures(connection, row, 1, f"{type(error).__name__}")


def reset(connection: Connection, operation: str, *, actor: str) -> None:
    """Close a breaker by hand; it opens again as usual.

    Raises:
        UsageError: There is no breaker of that name, or it is closed.
    """
    row = _require(connection, operation)
    if row.status == "closed" and not row.held:
        raise UsageError(f"the circuit breaker of {operation} is closed already")
    close(connection, row, "reset by hand", actor=actor)


def hold(connection: Connection, operation: str, state: str, *, actor: str, reason: str) -> None:
    """Hold a breaker `open` (no call is made) or `closed` (all calls are made) until it is released.

    Raises:
        UsageError: It is held in that state already, the state is another, or the operation or reason is empty or too
            long.
    """
    check_operation(operation)
    if state not in ("open", "closed"):
        raise UsageError(f"a circuit breaker is held open or closed, not {state!r}")
    if not reason.strip() or len(reason) > MAX_REASON_LENGTH:
        raise UsageError(f"the reason to hold a circuit breaker has 1 to {MAX_REASON_LENGTH:,} characters")
    row = ensure(connection, operation)
    if row.held and row.status == state:
        raise UsageError(f"the circuit breaker of {operation} is held {state} already")
    if state == "open":
        open_(connection, row, reason, actor=actor, held=True)
    else:
        close(connection, row, reason, actor=actor, held=True)


def release(connection: Connection, operation: str, *, actor: str) -> None:
    """End a hold: an open breaker probes with the next call, a closed breaker counts again.

    Raises:
        UsageError: There is no breaker of that name, or it is not held.
    """
    row = _require(connection, operation)
    if not row.held:
        raise UsageError(f"the circuit breaker of {operation} is not held")
    if row.status == "open":
        half_open(connection, row, "released by hand", actor=actor)
    else:
        close(connection, row, "released by hand", actor=actor)


def breakers(
    connection: Connection, *, status: str | None = None, limit: int = 100_000
) -> list[dict[str, Any]]:
    """Return all breakers (or those in a state) with their counts and the seconds until the next probe."""
    rows = connection.execute(_ALL, {"status": status, "limit": limit})
    return [_as_dict(row) for row in rows]


def show(connection: Connection, operation: str) -> dict[str, Any]:
    """Return a breaker.

    Raises:
        UsageError: There is no breaker of that name.
    """
    row = read(connection, operation)
    if row is None:
        raise UsageError(f"there is no circuit breaker {operation!r}: none of its calls has failed yet")
    return _as_dict(row)


@contextmanager
def _renewed(engine: Engine, admission: Admission) -> Iterator[None]:
    """Renew the term of a probe while the body runs: only a probe whose process died ends without a result."""
    if admission.probe is None:
        yield
        return
    seconds = limits_for(admission.operation).breaker_probe
    over = threading.Event()

    def renew() -> None:
        while not over.wait(seconds / 3):
            try:
                with engine.begin() as connection:
                    renew_probe(connection, admission.operation, admission.probe, seconds)
            except SQLAlchemyError as error:
                logger.warning("a probe of %s was not renewed: %s", admission.operation, type(error).__name__)

    thread = threading.Thread(target=renew, name="breaker-probe", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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


def _require(connection: Connection, operation: str) -> Row[Any]:
    show(connection, operation)
    return lock(connection, operation)


def _as_dict(row: Row[Any]) -> dict[str, Any]:
    waits = row.status == "open" and not row.held
    return {
        "operation": row.operation,
        "id": row.id,
        "state": row.status,
        "held": row.held,
        "failures": row.failures,
        "successes": row.successes,
        "since": row.updated_at,
        "next_probe_in": round(max(row.wait, 0.0), 1) if waits else None,
        "reason": row.reason,
    }
