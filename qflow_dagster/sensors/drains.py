"""Sensors that request a run while a table has pending rows: the decision, and the factory of such sensors."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.quantumflow import newest_due
from qflow_dagster.registry import Channel, Queue
from qflow_dagster.resources.database import Database
from qflow_dagster.sensors import wakes

# Seconds to wait after a failed run; doubled for each consecutive failure.
RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 3_600.0
# Number of recent runs that the decision considers.
MAX_RUNS = 8

IN_FLIGHT = frozenset(
    {
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    }
)
FAILED = frozenset({dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED})


class Recent(NamedTuple):
    """A run of the processing job: its status, and when it last changed and was requested (seconds since the epoch)."""

    status: dg.DagsterRunStatus
    updated_at: float
    created_at: float = 0.0


def decide(
    pending: bool, recent: Sequence[Recent], now: float, newest: Callable[[], float | None] = lambda: None
) -> tuple[bool, str]:
    """Decide whether to request a run, with the reason.

    `recent`: the job's last runs, newest first. Rows are claimed in the run, so a single run at
    a time processes all that is pending; the pause grows with consecutive failures. `newest` returns when the newest
    row became due: no failed run has seen a row that is newer than it, so that row does not wait for its pause.
    """
    if not pending:
        return False, "nothing is pending"
    if any(run.status in IN_FLIGHT for run in recent):
        return False, "a run is in progress"
    failures = 0
    for run in recent:
        if run.status not in FAILED:
            break
        failures += 1
    if failures:
        pause = min(RETRY_SECONDS * 2 ** (failures - 1), MAX_RETRY_SECONDS)
        remaining = recent[0].updated_at + pause - now
        if remaining > 0 and (newest() or 0.0) > recent[0].created_at:
            return True, "new rows are pending since the last run failed"
        if remaining > 0:
            return False, f"{failures} runs failed in a row, the next in {remaining:.0f} s"
    return True, "rows are pending"


def decide_for(
    context: dg.SensorEvaluationContext,
    pending: bool,
    job_name: str,
    newest: Callable[[], float | None] = lambda: None,
) -> tuple[bool, str]:
    """Return the decision of `decide` for the job's runs; Dagster is queried only if rows are pending."""
    if not pending:
        return decide(False, (), 0.0)
    records = context.instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=MAX_RUNS)
    recent = [
        Recent(
            record.dagster_run.status,
            record.update_timestamp.timestamp(),
            record.create_timestamp.timestamp(),
        )
        for record in records
    ]
    return decide(True, recent, time.time(), newest)


def _read(database: Database, newest: Callable[[Connection], float | None]) -> float | None:
    with database.engine().connect() as connection:
        return newest(connection)


def newest_of(*types: str) -> Callable[[Connection], float | None]:
    """Return what reads when the newest claimable workflow of these types became available."""
    return lambda connection: newest_due(connection, types)


class Pending(NamedTuple):
    """Whether rows are pending, an additional message for skipped ticks, and the tags of the run."""

    rows: bool
    message: str = ""
    tags: Mapping[str, str] | None = None


def drain_sensor(
    name: str,
    job: Any,
    pending: Callable[[Connection], Pending | bool],
    description: str,
    *,
    newest: Callable[[Connection], float | None] = lambda connection: None,
    woken_by: Sequence[Queue | Channel] = (),
    interval: int = 60,
) -> dg.SensorDefinition:
    """Build a sensor that requests a run of `job` while rows are pending and no such run is in progress.

    `pending` queries the tables in a transaction, which must fit into a tick; `newest` returns when the newest pending
    row became due (seconds since the epoch), so that it does not wait because earlier runs failed; `woken_by` are the
    queues whose messages say that rows may be pending; `interval` is in seconds.
    """

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
        metadata=wakes.woken_by(*woken_by),
    )
    def sense(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
        with database.engine().begin() as connection:
            found = pending(connection)
        rows, message, tags = found if isinstance(found, Pending) else Pending(found)
        request, reason = decide_for(context, rows, job.name, lambda: _read(database, newest))
        if request:
            return dg.SensorResult(run_requests=[dg.RunRequest(tags=dict(tags or {}))])
        return dg.SensorResult(skip_reason="; ".join(part for part in (reason, message) if part))

    return sense
