"""The health agent: runs checks, updates their status after damping, opens and closes incidents.

A check is a named probe and may have several results (`queue_depth:code_ingestion`). A probe that
raises or hangs is unknown, never healthy. Does not belong here: the checks (`health_checks`, and the
domains), their times (schedules).
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Row, delete, func, text

from qflow_dagster.database.locks import lock
from qflow_dagster.infrastructure import INCIDENT
from qflow_dagster.infrastructure.incidents import STATUSES, DampedState, Status, damp, worst
from qflow_dagster.infrastructure.tables import health_samples, health_states
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
# Seconds after which a status without a new result becomes unknown.
STALE = 300.0
# Maximum seconds between two samples of a continuous period.
MAX_GAP_SECONDS = 600.0


@dataclass(frozen=True)
class CheckResult:
    """The result of a probe."""

    status: Status
    message: str
    value: float | None = None
    threshold: float | None = None
    unit: str | None = None


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
    status: Status = "healthy"
    if critical is not None and value > critical:
        status = "unhealthy"
    elif value > warning:
        status = "degraded"
    return CheckResult(status, message, value, warning if critical is None else critical, unit)


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

    One process at a time. A stored result that its check no longer returns is deleted.
    """
    lock(connection, Lock.HEALTH_STATES)
    now: float = connection.scalar(text("SELECT extract(epoch FROM clock_timestamp())::float8"))  # type: ignore[assignment]
    query = text("""
        SELECT name, status, result, streak, changes, extract(epoch FROM since)::float8 AS since, incident_id
        FROM health_states
    """)
    before = {row.name: row for row in connection.execute(query)}
    results = {name: result for finding in findings.values() for name, result in finding.items()}
    gone = [name for name in before if name not in results and name.split(":")[0] in findings]
    for name in gone:
        # The complete probe failed, so all its earlier results become unknown.
        check = name.split(":")[0]
        if check in findings[check] and findings[check][check].status == "unknown" and check != name:
            results[name] = findings[check][check]
    changes: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    limits = settings().health
    for name, result in results.items():
        row = before.get(name)
        damped = damp(
            _damped(row), result.status, now, confirmations=limits.confirmations, flapping=limits.flapping
        )
        incident = row.incident_id if row else None
        if damped.status != (row.status if row else "healthy"):
            incident = _follow(connection, name, result, damped.status, incident)
            changes.append(
                {"name": name, "from": row and row.status, "to": damped.status, "message": result.message}
            )
        rows.append(_row(name, result, damped, incident))
    _store(connection, rows)
    left = sorted(set(gone) - set(results))
    for name in left:
        if before[name].incident_id:
            ended = CheckResult("healthy", "it is not there any more")
            _follow(connection, name, ended, "healthy", before[name].incident_id)
    if left:
        connection.execute(delete(health_states).where(health_states.c.name.in_(left)))
    return changes


def states(connection: Connection) -> list[dict[str, Any]]:
    """Return the current status of every check, the worst first; outdated ones are unknown."""
    query = text("""
        SELECT name, status, message, value, threshold, unit, since, at,
               extract(epoch FROM clock_timestamp() - at)::float8 AS age FROM health_states ORDER BY name
    """)
    states_of_checks = []
    for row in connection.execute(query).mappings():
        state = dict(row)
        if state.pop("age") > _patience(row["name"]):
            state |= {
                "status": "unknown",
                "message": "nobody has checked it since; is Dagster's daemon running?",
            }
        states_of_checks.append(state)
    return sorted(states_of_checks, key=lambda state: (-STATUSES.index(state["status"]), state["name"]))


def is_watched(connection: Connection) -> bool:
    """Return whether the checks of each minute ran lately."""
    query = text("SELECT max(at) > clock_timestamp() - make_interval(secs => :patience) FROM health_states")
    return bool(connection.scalar(query, {"patience": STALE}))


def overall(states: Sequence[Mapping[str, Any]]) -> Status:
    """Return the worst status of all checks."""
    return worst([state["status"] for state in states])


def incidents(connection: Connection, *, status: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
    """Return incidents, newest first, with their duration in seconds (so far, for open ones)."""
    query = text(f"""
        SELECT id, status, payload ->> 'check' AS "check", payload ->> 'message' AS message,
               (SELECT e.data ->> 'status' FROM workflow_events e WHERE e.workflow_id = w.id
                ORDER BY array_position(ARRAY['unknown', 'degraded', 'unhealthy'], e.data ->> 'status') DESC
                         NULLS LAST LIMIT 1) AS worst,
               created_at AS opened_at, finished_at AS closed_at,
               round(extract(epoch FROM coalesce(finished_at, clock_timestamp()) - created_at))::bigint AS seconds
        FROM workflows w WHERE type = '{INCIDENT}' AND (CAST(:status AS text) IS NULL OR status = :status)
        ORDER BY id DESC LIMIT :limit
    """)
    return [dict(row) for row in connection.execute(query, {"status": status, "limit": limit}).mappings()]


def forecasts(connection: Connection, *, days: int = 7) -> dict[str, float]:
    """Forecast the seconds until values reach their thresholds, for checks whose trend leads there."""
    # Imported late, because it imports numpy, which slows down every command.
    from qflow_dagster.infrastructure.trends import time_to_threshold

    query = text("""
        SELECT s.name, h.threshold, array_agg(extract(epoch FROM s.at)::float8 ORDER BY s.at) AS times,
               array_agg(s.value ORDER BY s.at) AS values
        FROM health_states h JOIN health_samples s ON s.name = h.name
        WHERE h.threshold IS NOT NULL AND s.value IS NOT NULL
          AND s.at > statement_timestamp() - make_interval(days => :days)
        GROUP BY s.name, h.threshold HAVING count(*) >= 10
    """)
    seconds_left = {}
    for row in connection.execute(query, {"days": days}):
        left = time_to_threshold(row.times, row.values, row.threshold)
        if left is not None:
            seconds_left[row.name] = left
    return seconds_left


def uptime(connection: Connection, name: str, *, days: float = 30) -> float | None:
    """Return the share of time, 0 to 1, that a check was healthy or degraded; None without samples.

    Each sample stands for the time until the next, at most ten minutes; other time without
    samples is ignored.
    """
    query = text("""
        WITH stretch AS (
            SELECT status, least(extract(epoch FROM lead(at) OVER (ORDER BY at) - at), :gap)::float8 AS seconds
            FROM health_samples
            WHERE name = :name AND at > statement_timestamp() - make_interval(secs => :seconds)
        )
        SELECT sum(seconds) FILTER (WHERE status IN ('healthy', 'degraded')) AS up,
               sum(seconds) FILTER (WHERE status <> 'unknown') AS known FROM stretch
    """)
    row = connection.execute(query, {"name": name, "gap": MAX_GAP_SECONDS, "seconds": days * 86_400.0}).one()
    return (row.up or 0.0) / row.known if row.known else None


def prune_samples(connection: Connection) -> int:
    """Delete samples past their retention; return the number."""
    oldest = func.statement_timestamp() - timedelta(days=settings().health.retention)
    return connection.execute(delete(health_samples).where(health_samples.c.at < oldest)).rowcount


def run(engine: Engine, checks: Sequence[Check]) -> list[dict[str, Any]]:
    """Run the checks and store the results; return the status changes."""
    findings = probe_all(checks)
    with engine.begin() as connection:
        return record(connection, findings)


def _patience(name: str) -> float:
    """Return the seconds for which a result is valid; deep checks run hourly."""
    return 3 * 3_600.0 if name.split(":")[0] in DEEP_CHECKS else STALE


# Names of the deep checks.
DEEP_CHECKS = frozenset({"history"})


def _damped(row: Row[Any] | None) -> DampedState | None:
    if row is None:
        return None
    return DampedState(row.status, row.result, row.streak, tuple(row.changes), row.since)


def _follow(
    connection: Connection, name: str, result: CheckResult, status: Status, incident: UUID | None
) -> UUID | None:
    """Open, update or close the incident of a check; return the id of the open incident."""
    data = {"status": status, "message": result.message}
    if status == "healthy":
        if incident is not None:
            transition(connection, [incident], "closed", actor="health_agent", data=data)
        return None
    if incident is None:
        payload = {
            "title": f"{name} is {status}: {result.message}"[:300],
            "check": name,
            "message": result.message,
        }
        incident = create_workflow(connection, INCIDENT, payload, actor="health_agent")
    transition(connection, [incident], "open", actor="health_agent", data=data)
    return incident


def _store(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Store the current status and a sample of every check, in two statements."""
    source = """json_to_recordset(CAST(:given AS json)) AS given(
        name text, status text, message text, value float8, threshold float8, unit text, since float8,
        result text, streak integer, changes jsonb, incident_id uuid)"""
    upsert = text(f"""
        INSERT INTO health_states (name, status, message, value, threshold, unit, since, at, result, streak,
                                   changes, incident_id)
        SELECT name, status, message, value, threshold, unit, to_timestamp(since), clock_timestamp(), result,
               streak, changes, incident_id
        FROM {source}
        ON CONFLICT (name) DO UPDATE SET
            status = excluded.status, message = excluded.message, value = excluded.value,
            threshold = excluded.threshold, unit = excluded.unit, since = excluded.since, at = excluded.at,
            result = excluded.result, streak = excluded.streak, changes = excluded.changes,
            incident_id = excluded.incident_id
    """)
    sample = text(f"""
        INSERT INTO health_samples (name, at, status, value)
        SELECT name, clock_timestamp(), result, value FROM {source}
    """)
    parameters = {"given": to_json(list(rows), "a health check's result")}
    connection.execute(upsert, parameters)
    connection.execute(sample, parameters)


def _row(name: str, result: CheckResult, damped: DampedState, incident: UUID | None) -> dict[str, Any]:
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
        "changes": list(damped.changes),
        "incident_id": str(incident) if incident else None,
    }
