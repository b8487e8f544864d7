"""When the pending rows of a table get a run that drains them: one decision, and one factory of such sensors."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.resources.database import Database

# Wait after a failed run in seconds; doubles with each that failed in a row.
RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 3_600.0
# Runs of the job that are looked at.
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
    """A run of the draining job: its status, and when it last changed (seconds since the epoch)."""

    status: dg.DagsterRunStatus
    updated_at: float


def decide(pending: bool, recent: Sequence[Recent], now: float) -> tuple[bool, str]:
    """Whether to request a run, and why (not).

    `recent`: the job's last runs, newest first. Rows are claimed in the run, so one run at a
    time drains what is pending, however much; after failures the pause grows.
    """
    if not pending:
        return False, "nothing is pending"
    if any(run.status in IN_FLIGHT for run in recent):
        return False, "a run is under way"
    failures = 0
    for run in recent:
        if run.status not in FAILED:
            break
        failures += 1
    if failures:
        pause = min(RETRY_SECONDS * 2 ** (failures - 1), MAX_RETRY_SECONDS)
        remaining = recent[0].updated_at + pause - now
        if remaining > 0:
            return False, f"{failures} runs failed in a row, the next in {remaining:.0f} s"
    return True, "rows are pending"


def decide_for(context: dg.SensorEvaluationContext, pending: bool, job_name: str) -> tuple[bool, str]:
    """Return `decide` for the runs of that job; Dagster is queried only where something is pending."""
    if not pending:
        return decide(False, (), 0.0)
    records = context.instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=MAX_RUNS)
    recent = [Recent(record.dagster_run.status, record.update_timestamp.timestamp()) for record in records]
    return decide(True, recent, time.time())


class Pending(NamedTuple):
    """Whether rows are pending, what a skipped tick says besides, and the tags of the run."""

    rows: bool
    message: str = ""
    tags: Mapping[str, str] | None = None


def drain_sensor(
    name: str,
    job: Any,
    pending: Callable[[Connection], Pending | bool],
    description: str,
    *,
    interval: int = 5,
) -> dg.SensorDefinition:
    """Make a sensor that requests a run of `job` while rows are pending and no such run is under way.

    `pending` looks at the tables in a transaction, for which it has the time of a tick; `interval` is in seconds.
    """

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
    )
    def sense(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
        with database.engine().begin() as connection:
            found = pending(connection)
        rows, message, tags = found if isinstance(found, Pending) else Pending(found)
        request, reason = decide_for(context, rows, job.name)
        if request:
            return dg.SensorResult(run_requests=[dg.RunRequest(tags=dict(tags or {}))])
        return dg.SensorResult(skip_reason="; ".join(part for part in (reason, message) if part))

    return sense
