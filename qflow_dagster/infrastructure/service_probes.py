"""Probing monitored services: requests with conditions on the response, and heartbeats that services send.

Each service has a deadline of its own, for name resolution, headers and body together, so that one that hangs hides no
other. Does not belong here: registering services and restarts (`services`).
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.exc import DBAPIError

from qflow_dagster.errors import UsageError
from qflow_dagster.infrastructure.health_agent import DEADLINE, CheckResult
from qflow_dagster.infrastructure.incidents import Status
from qflow_dagster.infrastructure.outgoing import Answer, NoResponseError, Request, fetch
from qflow_dagster.infrastructure.tables import health_services

# Services probed at the same time, and the most seconds for one: the results of all must be there by the deadline of
# the checks.
AT_ONCE, MAX_SECONDS = 50, DEADLINE - 4
# Bytes of a body; it is read also where no condition needs it, because a response that never ends is none.
MAX_BODY_BYTES = 10_000_000
DAY = 86_400.0


def probe_all(engine: Engine) -> dict[str, CheckResult]:
    """Probe every service, at the same time, and return the results by name of the check."""
    columns = health_services.c
    age = text("extract(epoch FROM clock_timestamp() - beat_at)::float8 AS silent")
    with engine.connect() as connection:
        query = select(health_services, age).order_by(columns.name)
        watched = [dict(row) for row in connection.execute(query).mappings()]
    if not watched:
        return {}
    end = time.monotonic() + MAX_SECONDS
    with ThreadPoolExecutor(min(AT_ONCE, len(watched)), thread_name_prefix="service") as pool:
        results = list(pool.map(lambda service: probe(engine, service, end - time.monotonic()), watched))
    return {f"service:{service['name']}": result for service, result in zip(watched, results, strict=True)}


def probe(engine: Engine, service: Mapping[str, Any], seconds: float = MAX_SECONDS) -> CheckResult:
    """Probe a service, within `seconds` at most.

    It is unhealthy without a response, or with one that misses a condition; degraded if it is slow or its certificate
    expires soon; unknown where there was no time to wait as long as it may take.
    """
    if service["url"] is None:
        return _heartbeat_result(service)
    limit, conditions = service["timeout_ms"], service["conditions"]
    patience = max(limit / 1_000 * 2, 1.0)
    if seconds <= 0:
        return CheckResult("unknown", "there was no time left to probe it", None, limit, "ms")
    started = time.perf_counter()
    try:
        answer = fetch(
            Request("GET", service["url"]),
            seconds=min(patience, seconds),
            max_bytes=MAX_BODY_BYTES,
        )
    except NoResponseError as error:
        known = patience <= seconds or time.perf_counter() - started < seconds
        return CheckResult("unhealthy" if known else "unknown", f"no answer: {error}", None, limit, "ms")
    took = (time.perf_counter() - started) * 1_000
    missed = _missed(engine, service, answer)
    if missed:
        return CheckResult("unhealthy", missed, took, limit, "ms")
    days = None if answer.certificate_end is None else _days_until(answer.certificate_end)
    if days is not None and days < conditions.get("certificate_days", 14):
        return CheckResult("degraded", f"its certificate expires in {days:.1f} days", took, limit, "ms")
    if took > limit:
        return CheckResult("degraded", f"answered {answer.status} after {took:.0f} ms", took, limit, "ms")
    return CheckResult("healthy", f"answered {answer.status} within {took:.0f} ms", took, limit, "ms")


def check_conditions(connection: Connection, conditions: Mapping[str, Any]) -> None:
    """Check conditions before they are stored.

    Raises:
        UsageError: The JSON condition is no predicate of SQL/JSON path, or a header has no text.
    """
    for name, expected in conditions.get("headers", {}).items():
        if not name or not expected:
            raise UsageError(f"the condition on the header {name!r} has no text; expected NAME=TEXT")
    path = conditions.get("json")
    if path is None:
        return
    try:
        with connection.begin_nested():
            # Without `silent`: what is no predicate, such as `$.status`, is an error here.
            check = text("SELECT jsonb_path_match(CAST('{}' AS jsonb), CAST(:path AS jsonpath))")
            connection.execute(check, {"path": path})
    except DBAPIError:
        raise UsageError(
            f"{path!r} is not a condition on JSON; expected a predicate such as '$.status == \"ok\"' (SQL/JSON path)"
        ) from None


def _heartbeat_result(service: Mapping[str, Any]) -> CheckResult:
    """Return the result for a service that sends heartbeats: unhealthy if none came within its period."""
    period, silent = service["heartbeat"], service["silent"]
    if silent is None:
        return CheckResult("unknown", "it has sent no heartbeat yet", None, period, "s")
    status: Status = "unhealthy" if silent > period else "healthy"
    message = f"{silent:.0f} s since its last heartbeat (or its registration)"
    return CheckResult(status, message, silent, period, "s")


def _missed(engine: Engine, service: Mapping[str, Any], answer: Answer) -> str | None:
    """Return which condition a response misses; None if it meets all."""
    conditions = service["conditions"]
    if answer.status != service["expected_status"]:
        return f"answered {answer.status}, expected {service['expected_status']}"
    for name, expected in conditions.get("headers", {}).items():
        if expected not in answer.headers.get(name.lower(), ""):
            return f"its header {name} does not contain {expected!r}"
    if conditions.get("body") and conditions["body"] not in answer.text:
        return f"its body does not contain {conditions['body']!r}"
    if conditions.get("json") and not _matches(engine, answer.text, conditions["json"]):
        return f"its body does not match {conditions['json']}"
    return None


def _matches(engine: Engine, body: str, path: str) -> bool:
    """Return whether a body is JSON for which the predicate is true."""
    query = text("SELECT jsonb_path_match(CAST(:body AS jsonb), CAST(:path AS jsonpath), silent => true)")
    try:
        with engine.begin() as connection:
            connection.execute(text("SET LOCAL statement_timeout = '2s'"))
            return bool(connection.scalar(query, {"body": body, "path": path}))
    # Not JSON, or a predicate that takes too long on it.
    except (DBAPIError, ValueError):
        return False


def _days_until(moment: datetime) -> float:
    return (moment - datetime.now(UTC)).total_seconds() / DAY
