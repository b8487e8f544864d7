"""Calls that report both an error and a success: they are one call, which failed.

A program's SDK reports an exception and, at the end of the request, its transaction; both name the trace. Does not
belong here: storing either (`error_rate_tracker`).
"""

from collections.abc import Sequence

from sqlalchemy import Connection, text

# Each error of a trace takes one call off the successes of its operation in it, whichever came first.
_COUNT_CALLS_ONCE = text("""
WITH named AS (
    SELECT DISTINCT trace, operation FROM unnest(CAST(:traces AS text[]), CAST(:operations AS text[]))
           AS named(trace, operation)
), calls AS (
    SELECT s.id, s.count, sum(s.count) OVER earlier - s.count AS before,
           (SELECT count(*) FROM error_occurrences e
            WHERE e.correlation_id = s.trace AND e.operation = s.operation AND e.source IN ('sentry', 'otlp')
              AND e.severity IN ('error', 'critical')) - sum(s.failed) OVER whole AS errors
    FROM named JOIN operation_successes s USING (trace, operation)
    WINDOW earlier AS (PARTITION BY trace, operation ORDER BY s.id), whole AS (PARTITION BY trace, operation)
)
UPDATE operation_successes s
SET count = s.count - least(calls.count, calls.errors - calls.before),
    failed = s.failed + least(calls.count, calls.errors - calls.before)
FROM calls WHERE s.id = calls.id AND calls.errors > calls.before AND calls.count > 0
""")


def count_calls_once(connection: Connection, calls: Sequence[tuple[str | None, str]]) -> None:
    """Take calls (trace, operation) that reported an error off the successes, since each call is one or the other."""
    traced = sorted({(trace, operation) for trace, operation in calls if trace})
    if traced:
        traces, operations = zip(*traced, strict=True)
        connection.execute(_COUNT_CALLS_ONCE, {"traces": list(traces), "operations": list(operations)})
