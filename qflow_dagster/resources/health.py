"""The checks of the whole system: infrastructure's, and what the other domains and Dagster know of themselves.

Belongs here: putting them together, and asking Dagster's instance. Does not belong here:
running and recording them (`infrastructure.health_agent`).
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime

import dagster as dg
from sqlalchemy import Connection, Engine

from qflow_dagster.approvals import records as approval_records
from qflow_dagster.database.locks import lock
from qflow_dagster.infrastructure import durations, health_checks
from qflow_dagster.infrastructure.health_agent import Check, CheckResult, threshold_result
from qflow_dagster.infrastructure.outgoing import NoResponseError, Request, fetch
from qflow_dagster.ingestion import queries
from qflow_dagster.quantumflow import leases
from qflow_dagster.registry import Lock, RunQueue
from qflow_dagster.resources.live_workers import DAEMON_LEASE, live_workers
from qflow_dagster.settings import settings

# A daemon sends a heartbeat every 30 seconds.
HEARTBEAT_LATE = 120.0
HEARTBEAT_GONE = 300.0
# A run that reports nothing for so long hangs.
STUCK = 3_600.0
RECENT_TICKS = 3
# The last runs that are looked at, and failed runs in a row that count.
LAST_RUNS, FAILED_IN_A_ROW = 200, 3
# Seconds of the past whose ticks are counted at first.
FIRST_TICKS = 600.0
# Bytes of the page's answer.
MAX_RESPONSE_BYTES = 1_000_000


def all_checks(engine: Engine, instance: dg.DagsterInstance | None = None) -> list[Check]:
    """Every check there is; Dagster's need its instance (default: that of the environment)."""
    instance = instance or dg.DagsterInstance.get()

    def approvals() -> Mapping[str, CheckResult]:
        with engine.connect() as connection:
            return approvals_in_time(connection)

    def freshness() -> Mapping[str, CheckResult]:
        with engine.connect() as connection:
            return repositories_fresh(connection)

    def daemon() -> Mapping[str, CheckResult]:
        with engine.connect() as connection:
            host = daemon_host(connection)
        return daemon_alive(instance, host)

    def workers() -> Mapping[str, CheckResult]:
        with engine.connect() as connection:
            return queues_served(connection)

    return [
        *health_checks.checks(engine),
        Check("approvals", approvals),
        Check("freshness", freshness),
        Check("daemon", daemon),
        Check("workers", workers),
        Check("runs", lambda: no_run_hangs(instance)),
        Check("failing_jobs", lambda: jobs_succeed(instance)),
        Check("ticks", lambda: ticks_succeed(instance)),
        Check("code_location", lambda: code_location_loads(instance)),
    ]


def approvals_in_time(connection: Connection) -> dict[str, CheckResult]:
    """Approvals about to expire undecided, and expired ones the sweep has not seen."""
    late = approval_records.pending_past_expiry(connection)
    if late:
        return {
            "approvals": CheckResult(
                "unhealthy", f"{late:,} are past their end and still open", late, 0, "approvals"
            )
        }
    near = approval_records.about_to_expire(connection)
    return {
        "approvals": threshold_result(near, 0, None, f"{near:,} are about to expire undecided", "approvals")
    }


def repositories_fresh(connection: Connection) -> dict[str, CheckResult]:
    """How long ago each repository was ingested or found unchanged; never ingested is degraded."""
    results: dict[str, CheckResult] = {}
    limit = settings().health.freshness
    for repository, age in queries.seconds_since_measured(connection).items():
        name = f"freshness:{repository}"
        if age is None:
            results[name] = CheckResult("degraded", "never ingested yet")
        else:
            results[name] = threshold_result(
                age, limit, None, f"ingested or measured {age / 3_600:.1f} h ago", "s"
            )
    return results


def daemon_host(connection: Connection) -> str | None:
    """Return the machine on which the daemon is active; None where none is, or it was not started by us."""
    active = [lease for lease in leases.by_name(connection, DAEMON_LEASE) if lease.remaining > 0]
    return active[0].host if active else None


def queues_served(connection: Connection) -> dict[str, CheckResult]:
    """Check that workers take the runs of each queue; nothing where no daemon is active, or runs have processes."""
    if not settings().workers.enabled or daemon_host(connection) is None:
        return {}
    workers = live_workers(connection)
    results = {}
    for queue in RunQueue:
        by_host: Counter[str] = Counter()
        for worker in workers:
            if queue in worker.queues:
                by_host[worker.host] += worker.runs
        if by_host:
            message = ", ".join(f"{count} at a time on {host}" for host, count in sorted(by_host.items()))
            result = CheckResult("healthy", message, by_host.total(), None, "runs")
        else:
            message = (
                f"no worker takes {queue} runs, which stay queued: qflow worker --queues {queue} starts one"
            )
            result = CheckResult("unhealthy", message, 0, None, "runs")
        results[f"workers:{queue}"] = result
    return results


def daemon_alive(instance: dg.DagsterInstance, host: str | None = None) -> dict[str, CheckResult]:
    """Check that Dagster's daemon sends heartbeats; `host` is the machine where it is active."""
    heartbeats = instance.get_daemon_heartbeats()
    if not heartbeats:
        return {"daemon": CheckResult("unknown", "no daemon has ever run here: qflow up starts one")}
    newest = max(heartbeat.timestamp for heartbeat in heartbeats.values())
    age = max(time.time() - newest, 0.0)
    errors = [
        name
        for name, heartbeat in heartbeats.items()
        if heartbeat.errors and heartbeat.timestamp > time.time() - HEARTBEAT_GONE
    ]
    message = f"the last heartbeat was {age:.0f} s ago" + (f", on {host}" if host else "")
    if errors:
        message += f"; errors in: {', '.join(sorted(errors))}"
    result = threshold_result(age, HEARTBEAT_LATE, HEARTBEAT_GONE, message, "s")
    if errors and result.status == "healthy":
        result = CheckResult("degraded", message, age, HEARTBEAT_LATE, "s")
    return {"daemon": result}


def no_run_hangs(instance: dg.DagsterInstance) -> dict[str, CheckResult]:
    """Count the runs that have reported nothing for a long time, and those that are queued."""
    under_way = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    records = instance.get_run_records(dg.RunsFilter(statuses=under_way), limit=200)
    hanging = [r for r in records if r.update_timestamp.timestamp() < time.time() - STUCK]
    waiting = instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
    message = f"{len(records)} running, {waiting} queued"
    if hanging:
        message += f"; {hanging[0].dagster_run.job_name} {hanging[0].dagster_run.run_id[:8]} reports nothing"
    return {"runs": threshold_result(len(hanging), 0, None, message, "runs")}


def jobs_succeed(instance: dg.DagsterInstance) -> dict[str, CheckResult]:
    """Find jobs whose last runs all failed: sensors that process pending rows then pause before the next run."""
    failed = {dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED}
    in_a_row: dict[str, int] = {}
    over: set[str] = set()
    for run in instance.get_runs(limit=LAST_RUNS):
        if run.status in failed and run.job_name not in over:
            in_a_row[run.job_name] = in_a_row.get(run.job_name, 0) + 1
        elif run.status == dg.DagsterRunStatus.SUCCESS:
            over.add(run.job_name)
    failing = {name: count for name, count in sorted(in_a_row.items()) if count >= FAILED_IN_A_ROW}
    message = ", ".join(f"{name}: {count} runs failed in a row" for name, count in failing.items())
    message = message or "no job fails again and again"
    return {"failing_jobs": threshold_result(len(failing), 0, None, message, "jobs")}


def observe_durations(engine: Engine, instance: dg.DagsterInstance) -> None:
    """Count the runs and ticks that ended since the last call in their histograms."""
    over = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    with engine.begin() as connection:
        lock(connection, Lock.HEALTH_STATES)
        since = max(durations.until(connection, "run").values(), default=0.0)
        finished = dg.RunsFilter(statuses=over, updated_after=datetime.fromtimestamp(since, UTC))
        runs = instance.get_run_records(finished, limit=LAST_RUNS)
        spans = [(run.dagster_run.job_name, run.start_time, run.end_time) for run in runs]
        durations.observe(
            connection, "run", [(job, end - start, end) for job, start, end in spans if start and end]
        )
        counted, ended = durations.until(connection, "tick"), []
        for state in instance.all_instigator_state():
            if not state.is_running:
                continue
            name = state.instigator_name
            after = counted.get(name, time.time() - FIRST_TICKS)
            ticks = instance.get_ticks(
                state.instigator_origin_id, state.selector_id, after=after, limit=LAST_RUNS
            )
            ended += [(name, tick.timestamp, tick.end_timestamp) for tick in ticks]
        durations.observe(connection, "tick", [(name, end - start, end) for name, start, end in ended if end])


def ticks_succeed(instance: dg.DagsterInstance) -> dict[str, CheckResult]:
    """Sensors and schedules whose last ticks all failed."""
    failing, seen = [], 0
    for state in instance.all_instigator_state():
        if not state.is_running:
            continue
        seen += 1
        ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=RECENT_TICKS)
        if len(ticks) == RECENT_TICKS and all(tick.is_failure for tick in ticks):
            failing.append(state.instigator_name)
    message = f"failing: {', '.join(sorted(failing))}" if failing else f"{seen} sensors and schedules tick"
    return {"ticks": threshold_result(len(failing), 0, None, message, "sensors")}


def code_location_loads(instance: dg.DagsterInstance) -> dict[str, CheckResult]:
    """Whether Dagster's page has our definitions, asked of the process that serves it."""
    address = settings().page_address
    seconds = settings().health.response / 1_000 * 2
    # A page that is there may be slower than this on a busy machine.
    silent = f"no page of Dagster's answered at {address} within {seconds:g} s"
    try:
        answer = fetch(
            Request("GET", f"{address}/health/ready"), seconds=seconds, max_bytes=MAX_RESPONSE_BYTES
        )
        locations = json.loads(answer.body)["code_locations"]
    except (NoResponseError, ValueError, KeyError, TypeError):
        locations = {}
    broken = sorted(name for name, loaded in locations.items() if not loaded)
    if broken:
        return {"code_location": CheckResult("unhealthy", f"does not load: {', '.join(broken)}")}
    if locations:
        return {"code_location": CheckResult("healthy", f"{len(locations)} loaded")}
    heartbeats = instance.get_daemon_heartbeats()
    if any(heartbeat.timestamp > time.time() - HEARTBEAT_GONE for heartbeat in heartbeats.values()):
        # The schedule that asks runs inside the code location: that is loaded at least there.
        return {"code_location": CheckResult("healthy", f"the daemon has it; {silent}")}
    return {"code_location": CheckResult("unknown", silent)}
