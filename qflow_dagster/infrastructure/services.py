"""External services: registration, availability checks, and restarts where allowed.

A restart command is an argument list that the operator registered; it never comes from the service.
It runs through a circuit breaker, with a limit per hour, and each restart is recorded.
"""

import shlex
import subprocess
import time
from typing import Any

from sqlalchemy import Connection, Engine, delete, null, select, text
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpenError, through_breaker
from qflow_dagster.infrastructure.health_agent import CheckResult
from qflow_dagster.infrastructure.outgoing import NoResponseError, Request, fetch
from qflow_dagster.infrastructure.tables import health_services
from qflow_dagster.quantumflow import register
from qflow_dagster.quantumflow.recording import RECORDED, recorded
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.registry import Queue, WorkflowTypeName
from qflow_dagster.safety.names import check_name
from qflow_dagster.safety.urls import http_url
from qflow_dagster.settings import settings

SERVICE_RESTART = register(
    WorkflowTypeName.SERVICE_RESTART, machine=RECORDED, queue=Queue.HEALTH_NOTIFICATIONS
).name
RESTART_TIMEOUT = 120.0


class RestartFailedError(QflowError):
    """A restart command failed."""


def add(
    connection: Connection,
    name: str,
    url: str,
    *,
    expected_status: int = 200,
    timeout_ms: int | None = None,
    restart_command: str | None = None,
    restart_limit: int = 3,
) -> None:
    """Register a service to monitor, or update the one of the same name.

    Raises:
        UsageError: The name, address or command is invalid.
    """
    parts = http_url(url)
    if parts is None:
        raise UsageError(f"{url!r} is not an address of a service; expected http(s)://host/path")
    if parts.username or parts.password:
        raise UsageError("an address of a service is stored in clear: leave the password out")
    if not name or ":" in name or len(name) > 100:
        raise UsageError("a service's name has 1 to 100 characters and no colon")
    check_name(name, "a service")
    try:
        command = shlex.split(restart_command) if restart_command else None
    except ValueError as error:
        raise UsageError(f"the restart command cannot be read: {error}") from None
    service = {
        "url": url,
        "expected_status": expected_status,
        "timeout_ms": timeout_ms or settings().health.response,
        "restart_command": to_jsonb(command, "the command") if command else null(),
        "restart_limit": restart_limit,
    }
    upsert = insert(health_services).values(name=name, **service)
    connection.execute(upsert.on_conflict_do_update(index_elements=["name"], set_=service))


def remove(connection: Connection, name: str) -> None:
    """Remove a service from monitoring.

    Raises:
        UsageError: There is no service of that name.
    """
    if not connection.execute(delete(health_services).where(health_services.c.name == name)).rowcount:
        raise UsageError(f"there is no service {name!r}; see `qflow health services`")


def find(connection: Connection) -> list[dict[str, Any]]:
    """Return all monitored services."""
    query = select(health_services).order_by(health_services.c.name)
    return [dict(row) for row in connection.execute(query).mappings()]


def probe_all(engine: Engine) -> dict[str, CheckResult]:
    """Check each service and return the results."""
    with engine.connect() as connection:
        watched = find(connection)
    return {f"service:{service['name']}": probe(service) for service in watched}


def probe(service: dict[str, Any]) -> CheckResult:
    """Check a service: unhealthy if the status differs or there is no response, degraded if it is slow."""
    limit = service["timeout_ms"]
    started = time.perf_counter()
    try:
        # Only the status is needed; the body may be endless and is not read.
        status = fetch(Request("GET", service["url"]), seconds=max(limit / 1_000 * 2, 1.0)).status
    except NoResponseError as error:
        return CheckResult("unhealthy", f"no answer: {error}", None, limit, "ms")
    took = (time.perf_counter() - started) * 1_000
    if status != service["expected_status"]:
        message = f"answered {status}, expected {service['expected_status']}"
        return CheckResult("unhealthy", message, took, limit, "ms")
    if took > limit:
        return CheckResult("degraded", f"answered {status} after {took:.0f} ms", took, limit, "ms")
    return CheckResult("healthy", f"answered {status} within {took:.0f} ms", took, limit, "ms")


def restart_unhealthy(engine: Engine, *, worker: str, run_id: str | None = None) -> list[str]:
    """Restart unhealthy services whose operator allowed it; return messages about the restarts."""
    query = text(f"""
        SELECT s.name, s.restart_command, s.restart_limit,
               (SELECT count(*) FROM workflows w WHERE w.type = '{SERVICE_RESTART}'
                AND w.payload ->> 'service' = s.name
                AND w.created_at > statement_timestamp() - interval '1 hour') AS lately
        FROM health_services s JOIN health_states h ON h.name = 'service:' || s.name
        WHERE h.status = 'unhealthy' AND s.restart_command IS NOT NULL
    """)
    with engine.connect() as connection:
        due = connection.execute(query).all()
    done = []
    for service in due:
        if service.lately >= service.restart_limit:
            done.append(
                f"{service.name}: restarted {service.lately} times within an hour already; not restarted again"
            )
            continue
        try:
            with (
                through_breaker(engine, f"restart:{service.name}"),
                recorded(
                    engine,
                    SERVICE_RESTART,
                    {"title": f"restart of {service.name}", "service": service.name},
                    worker=worker,
                    run_id=run_id,
                ) as set_result,
            ):
                set_result({"exit_code": _run(service.name, service.restart_command)})
            done.append(f"{service.name}: restarted")
        except (CircuitOpenError, RestartFailedError) as problem:
            done.append(f"{service.name}: {problem}")
    return done


def _run(name: str, command: list[str]) -> int:
    try:
        ended = subprocess.run(
            command, capture_output=True, timeout=RESTART_TIMEOUT, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise RestartFailedError(f"the restart of {name} did not run: {type(error).__name__}") from None
    if ended.returncode:
        raise RestartFailedError(f"the restart of {name} ended with exit code {ended.returncode}")
    return ended.returncode
