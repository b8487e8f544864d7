"""Recording of errors and successes, and error rates.

`track_errors` stores in the caller's transaction. `ErrorTracker` is for programs with
thousands of errors: it buffers and writes in batches. Text that looks like a secret is removed before
it is stored. Does not belong here: grouping (`error_analysis`).
"""

import atexit
import functools
import itertools
import json
import math
import threading
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, ParamSpec, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.database.refusals import store_separately
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure.call_counts import count_calls_once
from qflow_dagster.quantumflow import Json
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import cut, redact, redact_text
from qflow_dagster.safety.storable import storable, storable_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

SEVERITIES = ("debug", "info", "warning", "error", "critical")
MAX_OPERATION_LENGTH = 200
MAX_MESSAGE_LENGTH = 10_000
MAX_STACK_LENGTH = 100_000
MAX_LINE_LENGTH = 2_000
# Maximum characters of a context as JSON, and entries of an object or list in it.
MAX_CONTEXT_BYTES = 100_000
MAX_CONTEXT_ENTRIES = 200
# Maximum age of a reported error in seconds.
MAX_AGE = 10 * 365 * 86_400.0
MAX_COUNT = 1_000_000_000
# An `ErrorTracker` writes after this many seconds or entries, and buffers at most this many.
FLUSH_SECONDS = 0.2
FLUSH_ENTRIES = 1_000
MAX_BUFFERED = 100_000

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Occurrence:
    """An error as it is reported."""

    operation: str
    kind: str = "Error"
    message: str = ""
    # The stack trace as the program's language prints it.
    stack: str | None = None
    # The exceptions of an SDK's event with their frames, the cause first: see `stacks.chain_from`.
    exceptions: Json = None
    context: Json = None
    severity: str = "error"
    correlation_id: str | None = None
    run_id: str | None = None
    source: str = "python"
    # Seconds ago it happened: the clock is the database's.
    age: float = 0.0
    # The id its sender gave it: what has the same is stored once.
    event_id: str | None = None


class Success(NamedTuple):
    """Successful calls of an operation, as they are reported."""

    operation: str
    # Seconds ago they happened.
    age: float
    calls: int
    # The id its sender gave it: what has the same is stored once.
    event_id: str | None = None
    # The trace of the call: an error of the same operation in it is of the same call.
    trace: str | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """Errors among all calls of an operation within a window of seconds."""

    operation: str
    errors: int
    total: int
    window: float
    # Successes that took longer than the limit of the operation's circuit breaker.
    slow: int = 0

    @property
    def rate(self) -> float:
        """Return errors per call, 0 to 1; 0 without a call."""
        return self.errors / self.total if self.total else 0.0


_INSERT_ERRORS = text("""
INSERT INTO error_occurrences (operation, kind, message, stack, exceptions, context, severity, correlation_id,
                               run_id, source, at, event_id)
SELECT operation, kind, message, stack, exceptions, context, severity, correlation_id, run_id, source,
       clock_timestamp() - make_interval(secs => age), event_id
FROM json_to_recordset(CAST(:given AS json)) AS given(
    operation text, kind text, message text, stack text, exceptions jsonb, context jsonb, severity text,
    correlation_id text, run_id text, source text, age float8, event_id text)
ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING
""")

_INSERT_SUCCESSES = text("""
INSERT INTO operation_successes (operation, at, count, slow, event_id, trace)
SELECT operation, clock_timestamp() - make_interval(secs => age), count, slow, event_id, trace
FROM json_to_recordset(CAST(:given AS json)) AS given(
    operation text, age float8, count integer, slow integer, event_id text, trace text)
ON CONFLICT (event_id) WHERE event_id IS NOT NULL DO NOTHING
""")

_RATES = text("""
SELECT operation, sum(errors)::bigint AS errors, sum(total)::bigint AS total, sum(slow)::bigint AS slow FROM (
    SELECT operation, count(*) AS errors, count(*) AS total, 0 AS slow FROM error_occurrences
    WHERE at > statement_timestamp() - make_interval(secs => :window) AND at <= clock_timestamp()
      AND severity IN ('error', 'critical')
      AND (CAST(:operation AS text) IS NULL OR operation = :operation) GROUP BY operation
    UNION ALL
    SELECT operation, 0, sum(count), sum(slow) FROM operation_successes
    WHERE at > statement_timestamp() - make_interval(secs => :window)
      AND (CAST(:operation AS text) IS NULL OR operation = :operation) GROUP BY operation
) AS calls GROUP BY operation ORDER BY operation
""")


def track_errors(connection: Connection, occurrences: Sequence[Occurrence]) -> None:
    """Store errors, without their secrets, in the caller's transaction: all or none.

    Characters that the database cannot store are replaced, and long texts are truncated.

    Raises:
        UsageError: An error has no operation, an unknown severity, or a context that is not JSON.
    """
    if not occurrences:
        return
    rows = [_prepared(occurrence) for occurrence in occurrences]
    connection.execute(_INSERT_ERRORS, {"given": to_json(rows, "an error's context")})
    count_calls_once(
        connection,
        [(row["correlation_id"], row["operation"]) for row in rows if row["source"] in ("sentry", "otlp")],
    )


def track_successes(
    connection: Connection, successes: Sequence[Success | tuple[str, float, int]], *, slow: bool = False
) -> None:
    """Store successes as (operation, seconds ago, count) in the caller's transaction: all or none.

    `slow`: they took longer than the limit of their circuit breaker.

    Raises:
        UsageError: An entry has no operation, or a count below 1.
    """
    if not successes:
        return
    rows = [
        {
            "operation": check_operation(name),
            "age": _age(age),
            "count": _count(count),
            "slow": _count(count) if slow else 0,
            "event_id": event_id,
            # As the correlation of errors, which it is compared with.
            "trace": _clean(trace, MAX_OPERATION_LENGTH),
        }
        for name, age, count, event_id, trace in map(_success, successes)
    ]
    connection.execute(_INSERT_SUCCESSES, {"given": to_json(rows, "the successes")})
    count_calls_once(connection, [(row["trace"], row["operation"]) for row in rows])


def rates(connection: Connection, *, operation: str | None = None, window: float | None = None) -> list[Rate]:
    """Return the rates of all operations (or one) over the last `window` seconds, exact to the millisecond."""
    seconds = float(settings().errors.window if window is None else window)
    rows = connection.execute(_RATES, {"operation": operation, "window": seconds})
    return [Rate(row.operation, row.errors, row.total, seconds, row.slow) for row in rows]


def rate(connection: Connection, operation: str, *, window: float | None = None) -> Rate:
    """Return the rate of one operation; no calls if it is not known."""
    matching = rates(connection, operation=operation, window=window)
    return matching[0] if matching else Rate(operation, 0, 0, float(window or settings().errors.window))


def occurrence_of(operation: str, error: BaseException, **details: Any) -> Occurrence:
    """Return an exception as an occurrence; `details` are further fields of it."""
    stack = "".join(traceback.format_tb(error.__traceback__))
    return Occurrence(
        operation=operation, kind=type(error).__name__, message=str(error), stack=stack or None, **details
    )


class ErrorTracker:
    """Buffer errors and successes and write them in batches; an instance per process is enough.

    `track` and `succeeded` never wait for the database. The buffer is written within `FLUSH_SECONDS`,
    on `close` and at the end of the process; while the database is unavailable, entries are kept and
    retried, up to `MAX_BUFFERED`. Entries dropped beyond that, or that can never be stored, are counted
    in `dropped` and reported as an error.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.dropped = 0
        self._errors: deque[tuple[float, Occurrence]] = deque()
        # (operation, millisecond) -> successes.
        self._successes: Counter[tuple[str, int]] = Counter()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._write_on, name="error-tracker", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def track(self, occurrence: Occurrence) -> None:
        """Buffer an error.

        Raises:
            UsageError: It could never be stored; raised here, so that the stack shows the caller.
        """
        _check(occurrence)
        with self._lock:
            if len(self._errors) >= MAX_BUFFERED:
                self.dropped += 1
                return
            self._errors.append((time.monotonic(), occurrence))
            full = len(self._errors) >= FLUSH_ENTRIES
        if full:
            self._wake.set()

    def succeeded(self, operation: str) -> None:
        """Buffer a success.

        Raises:
            UsageError: The operation has no name, or one that is too long.
        """
        check_operation(operation)
        with self._lock:
            self._successes[operation, int(time.monotonic() * 1_000)] += 1

    @contextmanager
    def operation(self, name: str, *, context: Json = None) -> Iterator[str]:
        """Count the body as a success, or track the exception it raises; yields the correlation id."""
        check_operation(name)
        correlation_id = uuid4().hex
        try:
            yield correlation_id
        except Exception as error:
            self.track(occurrence_of(name, error, context=context, correlation_id=correlation_id))
            raise
        self.succeeded(name)

    def tracked(self, name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
        """Decorate a function so that its calls are counted and its exceptions tracked."""

        def decorate(function: Callable[P, T]) -> Callable[P, T]:
            @functools.wraps(function)
            def call(*args: P.args, **kwargs: P.kwargs) -> T:
                with self.operation(name):
                    return function(*args, **kwargs)

            return call

        return decorate

    def flush(self) -> None:
        """Write the buffer now; entries that can never be stored are dropped, without stopping the others.

        Raises:
            SQLAlchemyError: The database is unavailable; all entries are kept for the next attempt.
        """
        with self._writing:
            with self._lock:
                errors, successes, dropped = list(self._errors), dict(self._successes), self.dropped
            if not errors and not successes:
                return
            now = time.monotonic()
            waited = [replace(occurrence, age=occurrence.age + now - at) for at, occurrence in errors]
            counted = [(name, now - at / 1_000, count) for (name, at), count in successes.items()]
            if dropped:
                lost = f"{dropped} errors were dropped"
                waited.append(Occurrence(operation="error_tracker", kind="BufferOverflow", message=lost))
            with self.engine.begin() as connection:
                refused = [
                    *store_separately(connection, waited, functools.partial(track_errors, connection)),
                    *store_separately(connection, counted, functools.partial(track_successes, connection)),
                ]
            with self._lock:
                for _ in errors:
                    self._errors.popleft()
                self._successes.subtract(successes)
                self._successes += Counter()
                self.dropped += len(refused) - dropped
            for _, problem in refused:
                logger.error("an error that cannot be stored is dropped: %s", type(problem).__name__)

    def close(self) -> None:
        """Write the remaining entries, and stop."""
        if self._closed:
            return
        self._closed = True
        self._wake.set()
        self._thread.join()
        atexit.unregister(self.close)
        try:
            self.flush()
        except (SQLAlchemyError, QflowError) as error:
            logger.error("%d errors could not be stored: %s", len(self._errors), error)

    def _write_on(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            try:
                self.flush()
            except (SQLAlchemyError, QflowError) as error:
                logger.warning("errors are kept until the database is back: %s", type(error).__name__)
                # Do not retry at once, because a full buffer wakes this thread with every entry.
                time.sleep(FLUSH_SECONDS)


def _success(success: Success | tuple[str, float, int]) -> Success:
    return success if isinstance(success, Success) else Success(*success)


def check_operation(name: str) -> str:
    """Return the name of an operation as it is stored.

    Raises:
        UsageError: It is empty or too long.
    """
    if not isinstance(name, str) or not 0 < len(name) <= MAX_OPERATION_LENGTH:
        raise UsageError(f"an error's operation has 1 to {MAX_OPERATION_LENGTH} characters")
    return redact_text(storable_text(name))[:MAX_OPERATION_LENGTH]


def _age(seconds: float) -> float:
    return min(max(float(seconds), 0.0), MAX_AGE) if math.isfinite(seconds) else 0.0


def _count(count: int) -> int:
    if not isinstance(count, int) or count < 1:
        raise UsageError("an operation's successes are counted from 1")
    return int(min(count, MAX_COUNT))


def _check_severity(severity: str) -> None:
    if severity not in SEVERITIES:
        raise UsageError(f"{severity!r} is not a severity; valid ones: {', '.join(SEVERITIES)}")


def _check(occurrence: Occurrence) -> None:
    check_operation(occurrence.operation)
    _check_severity(occurrence.severity)
    if occurrence.context is not None:
        to_json(occurrence.context, "an error's context")


def _clean(value: str | None, limit: int) -> str | None:
    return None if value is None else redact_text(cut(storable_text(value), limit))[:limit]


def _prepared(occurrence: Occurrence) -> dict[str, Any]:
    """Return the row of an occurrence: checked, cut to size, without secrets."""
    _check_severity(occurrence.severity)
    stack = _clean(occurrence.stack, MAX_STACK_LENGTH)
    return {
        "operation": check_operation(occurrence.operation),
        "kind": _clean(occurrence.kind, MAX_OPERATION_LENGTH) or "Error",
        "message": _clean(occurrence.message, MAX_MESSAGE_LENGTH),
        "stack": stack and "\n".join(line[:MAX_LINE_LENGTH] for line in stack.split("\n")),
        "exceptions": redact(_bounded(storable(occurrence.exceptions))),
        "context": _context(occurrence.context),
        "severity": occurrence.severity,
        "correlation_id": _clean(occurrence.correlation_id, MAX_OPERATION_LENGTH),
        "run_id": _clean(occurrence.run_id, MAX_OPERATION_LENGTH),
        "source": occurrence.source,
        "age": _age(occurrence.age),
        "event_id": _clean(occurrence.event_id, MAX_OPERATION_LENGTH),
    }


def _context(context: Json) -> Json:
    """Return a context that can be stored, without secrets, and of bounded size."""
    if context is None:
        return None
    kept = redact(_bounded(storable(context)))
    size = len(to_json(kept, "an error's context"))
    if size <= MAX_CONTEXT_BYTES:
        return kept
    if not isinstance(kept, dict):
        return f"[{size:,} characters left out]"
    # Shorten the largest entries first: small ones, such as tags and the release, are the most useful.
    sizes = {name: len(json.dumps(value)) for name, value in kept.items()}
    for name in sorted(sizes, key=lambda name: sizes[name], reverse=True):
        if size <= MAX_CONTEXT_BYTES:
            break
        size -= sizes[name]
        kept[name] = f"[{sizes[name]:,} characters left out]"
    return kept


def _bounded(value: Json) -> Json:
    """Return `value` with the first entries of each list and object, and the prefixes of its texts."""
    if isinstance(value, str):
        return cut(value, MAX_MESSAGE_LENGTH)
    if isinstance(value, Mapping):
        some = itertools.islice(value.items(), MAX_CONTEXT_ENTRIES)
        return {cut(name, MAX_OPERATION_LENGTH): _bounded(item) for name, item in some}
    if isinstance(value, list):
        return [_bounded(item) for item in value[:MAX_CONTEXT_ENTRIES]]
    return value
