"""The health agent: runs checks, updates their status after damping, opens and closes incidents.

A check is a named probe and may have several results (`queue_depth:code_ingestion`). A probe that
raises or hangs is unknown, never healthy. Does not belong here: the checks (`health_checks`, and the
domains), their times (schedules).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, delete, text

from qflow_dagster.database.locks import lock
from qflow_dagster.infrastructure import INCIDENT
from qflow_dagster.infrastructure.health_exceptions import depends_on_failing, in_maintenance
from qflow_dagster.infrastructure.incidents import DampedState, Status, damp
from qflow_dagster.infrastructure.tables import health_states
from qflow_dagster.quantumflow import create_workflow, transition
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Lock
from qflow_dagster.safety import logs
from qflow_dagster.safety.redaction import redact_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

AT_ONCE = 6
# Maximum seconds of all probes together; a tick of Dagster has sixty.
DEADLINE = 20.0
# A value is well again only below this share of its limit, so that one around the limit is one incident.
WELL_AGAIN = 0.95
# Seconds after which a healthy result that its check no longer returns is deleted.
FORGOTTEN = 3_600.0


@dataclass(frozen=True)
class CheckResult:
    """The result of a probe."""

    status: Status
    message: str
    value: float | None = None
    threshold: float | None = None
    unit: str | None = None
    # The status by limits that are a little lower: what it was stays so until the value is clearly better.
    near: Status | None = None


Probe = Callable[[], Mapping[str, CheckResult]]


@dataclass(frozen=True)
class Check:
    """A named probe; `deep` ones take seconds and run hourly."""

    name: str
    probe: Probe
    deep: bool = False


def threshold_result(
    value: float, warning: float, critical: float | None, message: str, unit: str
) -> CheckResult:
    """Return a result by thresholds: above `warning` degraded, above `critical` (if any) unhealthy."""

    def status_at(share: float) -> Status:
        if critical is not None and value > critical * share:
            return "unhealthy"
        return "degraded" if value > warning * share else "healthy"

    limit = warning if critical is None else critical
    return CheckResult(status_at(1.0), message, value, limit, unit, status_at(WELL_AGAIN))


def probe_all(checks: Sequence[Check], *, deadline: float = DEADLINE) -> dict[str, dict[str, CheckResult]]:
    """Run all checks concurrently, at most `deadline` seconds, and return their results by name."""
    pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="health")
    futures = {check.name: pool.submit(check.probe) for check in checks}
    # Do not wait for hanging probes; their threads end with their own timeouts.
    pool.shutdown(wait=False)
    findings: dict[str, dict[str, CheckResult]] = {}
    end = datetime.now(UTC).timestamp() + deadline
    for name, future in futures.items():
        try:
            left = end - datetime.now(UTC).timestamp()
            findings[name] = dict(future.result(max(left, 0.01)))
        except FutureTimeout:
            future.cancel()
            findings[name] = {name: CheckResult("unknown", f"no answer within {deadline:.0f} s")}
        except Exception as error:
            message = redact_text(str(error)).split("\n")[0][:300]
            findings[name] = {
                name: CheckResult("unknown", f"cannot be checked: {type(error).__name__}: {message}")
            }
    return findings


def record(connection: Connection, findings: Mapping[str, Mapping[str, CheckResult]]) -> list[dict[str, Any]]:
    """Store the results, open and close incidents; return the status changes.

    One process at a time. What its check no longer returns is healthy, and deleted after an hour. Bad results during
    a maintenance window, or while something fails on which the check depends, change no status.
    """
    lock(connection, Lock.HEALTH_STATES)
    now: float = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8"))  # type: ignore[assignment]
    query = text("""
        SELECT name, status, result, streak, recent, flapping, extract(epoch FROM since)::float8 AS since,
               incident_id
        FROM health_states
    """)
    before = {row.name: row for row in connection.execute(query)}
    results = {name: result for finding in findings.values() for name, result in finding.items()}
    gone = [name for name in before if name not in results and name.split(":")[0] in findings]
    for name in gone:
        check = name.split(":")[0]
        if check in findings[check] and findings[check][check].status == "unknown" and check != name:
            # The complete probe failed, so all its earlier results become unknown.
            results[name] = findings[check][check]
        elif before[name].incident_id or now - before[name].since < FORGOTTEN:
            # Damped like any other result: what comes and goes is one incident.
            results[name] = CheckResult("healthy", "it is not there any more")
    bad = {name for name, result in results.items() if result.status != "healthy"}
    excused = {**depends_on_failing(connection, bad), **in_maintenance(connection, bad)}
    changes: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    limits = settings().health
    for name, result in results.items():
        row = before.get(name)
        state = _damped(row)
        incident = row.incident_id if row else None
        if name in excused:
            kept = state or DampedState("unknown", "unknown", 0, (), now)
            result = replace(result, message=f"{excused[name]}; {result.message}")
            rows.append(_row(name, result, kept, incident, sample="unknown"))
            continue
        sample = result.status
        if state and sample != state.status == result.near:
            result = replace(result, status=state.status, message=f"{result.message} (still near its limit)")
        damped = damp(state, result.status, now, confirmations=limits.confirmations, flapping=limits.flapping)
        # Of a new check, only a confirmed status is a change.
        confirmed = state is not None or damped.status == result.status
        if confirmed and damped.status != (state.status if state else "healthy"):
            incident = _follow(connection, name, result, damped, incident)
            changes.append(
                {"name": name, "from": row and row.status, "to": damped.status, "message": result.message}
            )
        rows.append(_row(name, result, damped, incident, sample=sample))
    _store(connection, rows)
    left = sorted(set(gone) - set(results))
    if left:
        connection.execute(delete(health_states).where(health_states.c.name.in_(left)))
    return changes


def run(engine: Engine, checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Run the checks and store the results; return the status changes."""
    findings = probe_all(checks)
    with engine.begin() as connection:
        return record(connection, findings)


def _damped(row: Row[Any] | None) -> DampedState | None:
    if row is None:
        return None
    return DampedState(row.status, row.result, row.streak, tuple(row.recent), row.since, row.flapping)


def _follow(
    connection: Connection, name: str, result: CheckResult, state: DampedState, incident: UUID | None
) -> UUID | None:
    """Open, update or close the incident of a check; return the id of the open incident."""
    message = result.message
    if state.flapping:
        message = f"flapping, the worst of its last {len(state.recent)} results counts; {message}"
    data = {"status": state.status, "message": message}
    if state.status == "healthy":
        if incident is not None:
            transition(connection, [incident], "closed", actor="health_agent", data=data)
        return None
    if incident is None:
        payload = {"title": name, "check": name, **data}
        return create_workflow(connection, INCIDENT, payload, actor="health_agent")
    transition(connection, [incident], "open", actor="health_agent", data=data)
    return incident


def _store(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store the current status and a sample of every check, in two statements."""
    source = """json_to_recordset(CAST(:given AS json)) AS given(
        name text, status text, message text, value float8, threshold float8, unit text, since float8,
        result text, streak integer, recent jsonb, flapping boolean, incident_id uuid, sample text)"""
    upsert = text(f"""
        INSERT INTO health_states (name, status, message, value, threshold, unit, since, at, result, streak,
                                   recent, flapping, incident_id)
        SELECT name, status, message, value, threshold, unit, to_timestamp(since), clock_timestamp(), result,
               streak, recent, flapping, incident_id
        FROM {source}
        ON CONFLICT (name) DO UPDATE SET
            status = excluded.status, message = excluded.message, value = excluded.value,
            threshold = excluded.threshold, unit = excluded.unit, since = excluded.since, at = excluded.at,
            result = excluded.result, streak = excluded.streak, recent = excluded.recent,
            flapping = excluded.flapping, incident_id = excluded.incident_id
    """)
    sample = text(f"""
        INSERT INTO health_samples (name, at, status, value)
        SELECT name, clock_timestamp(), sample, value FROM {source}
    """)
    parameters = {"given": to_json(list(rows), "a health check's result")}
    connection.execute(upsert, parameters)
    connection.execute(sample, parameters)


def _row(
    name: str, result: CheckResult, damped: DampedState, incident: UUID | None, *, sample: Status
) -> dict[str, Any]:
    return {
        "name": name,
        "status": damped.status,
        "message": result.message[:1_000],
        "value": result.value,
        "threshold": result.threshold,
        "unit": result.unit,
        "since": damped.since,
        "result": damped.result,
        "streak": damped.streak,
        "recent": list(damped.recent),
        "flapping": damped.flapping,
        "sample": sample,
        "incident_id": str(incident) if incident else None,
    }
