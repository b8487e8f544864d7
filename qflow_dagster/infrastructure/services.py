"""External services: registration, their heartbeats, and restarts where allowed.

A restart command is an argument list that the operator registered; it never comes from the service. It runs through a
circuit breaker, with a limit per hour, and each restart is recorded. Does not belong here: probing (`service_probes`).
"""

import hashlib
import secrets
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, null, select, text, update
from sqlalchemy.dialects.postgresql import insert

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.infrastructure.circuit_breaker import CircuitOpenError, through_breaker
from qflow_dagster.infrastructure.health_exceptions import check_dependencies
from qflow_dagster.infrastructure.service_probes import check_conditions
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
NO_CONDITIONS: Mapping[str, Any] = MappingProxyType({})


class RestartFailedError(QflowError):
    """A restart command failed."""


def add(
    connection: Connection,
    name: str,
    url: str | None,
    *,
    heartbeat: int | None = None,
    expected_status: int = 200,
    conditions: Mapping[str, Any] = NO_CONDITIONS,
    timeout_ms: int | None = None,
    depends_on: Sequence[str] = (),
    restart_command: str | None = None,
    restart_limit: int = 3,
) -> str | None:
    """Register a service to monitor, or update the one of the same name; return the token of its heartbeats.

    A service either has an address, or sends a heartbeat at least every `heartbeat` seconds. `conditions` on a
    response: `headers` and `body` contain a text, `json` (an SQL/JSON path predicate) is true, the certificate is valid
    for more than `certificate_days`. While a check of `depends_on` fails, the service is not reported.

    Raises:
        UsageError: The name, address, a condition, a dependency or the command is invalid.
    """
    if (url is None) == (heartbeat is None):
        raise UsageError("a service has an address to request, or a period of its heartbeats")
    if url is not None:
        _check_address(url)
    if not name or ":" in name or len(name) > 100:
        raise UsageError("a service's name has 1 to 100 characters and no colon")
    check_name(name, "a service")
    command = _command(restart_command) if restart_command else None
    check_conditions(connection, conditions)
    check_dependencies(connection, name, depends_on)
    token = secrets.token_urlsafe(24) if heartbeat is not None else None
    service = {
        "url": url,
        "heartbeat": heartbeat,
        "token_hash": _token_hash(token) if token else None,
        # Its first heartbeat is due a period after the registration.
        "beat_at": func.clock_timestamp() if heartbeat is not None else None,
        "conditions": to_jsonb(dict(conditions), "the conditions"),
        "depends_on": list(depends_on),
        "expected_status": expected_status,
        "timeout_ms": timeout_ms or settings().health.response,
        "restart_command": to_jsonb(command, "the command") if command else null(),
        "restart_limit": restart_limit,
    }
    upsert = insert(health_services).values(name=name, **service)
    connection.execute(upsert.on_conflict_do_update(index_elements=["name"], set_=service))
    return token


def receive_heartbeat(connection: Connection, token: str) -> str | None:
    """Record the heartbeat of the service that the token belongs to; return its name, None if there is none."""
    columns = health_services.c
    statement = update(health_services).where(columns.token_hash == _token_hash(token))
    return connection.scalar(statement.values(beat_at=func.clock_timestamp()).returning(columns.name))


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


def _check_address(url: str) -> None:
    parts = http_url(url)
    if parts is None:
        raise UsageError(f"{url!r} is not an address of a service; expected http(s)://host/path")
    if parts.username or parts.password:
        raise UsageError("an address of a service is stored in clear: leave the password out")


def _command(line: str) -> list[str]:
    """Return the arguments of a command line as a shell reads them.

    Raises:
        UsageError: It cannot be read, or has operators, which only a shell understands.
    """
    try:
        words = list(shlex.shlex(line, posix=True, punctuation_chars=True))
        operators = [word for word in words if set(word) <= set("();<>|&")]
        if operators or "$(" in line or "`" in line:
            operator = next(iter(operators), "a command in it")
            raise UsageError(
                f"no shell runs the restart command: {operator!r} would be an argument; quote it, or give "
                f"sh -c {shlex.quote(line)}"
            )
        return shlex.split(line)
    except ValueError as error:
        raise UsageError(f"the restart command cannot be read: {error}") from None


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


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
