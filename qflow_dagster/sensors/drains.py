"""Sensors that request a run while a table has pending rows: the decision, and the factory of such sensors."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.jobs.run_tags import DRAIN, others_wait
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
    """A run of the processing job: its status, when it last changed and was requested (since the epoch), its drain."""

    status: dg.DagsterRunStatus
    updated_at: float
    created_at: float = 0.0
    drain: str = ""


def decide(
    useful: int, recent: Sequence[Recent], now: float, newest: Callable[[], float | None] = lambda: None
) -> tuple[int, str]:
    """Decide how many runs to request, with the reason.

    `useful`: how many runs would have work, those in progress included. Rows are claimed in the run, so a single run
    would process all that is pending; more share it. `recent`: the job's last runs, newest first. The pause grows with
    consecutive failures, and after them a single run is tried. `newest` returns when the newest
    row became due: no failed run has seen a row that is newer than it, so that row does not wait for its pause.
    """
    if not useful:
        return 0, "nothing is pending"
    ended = [run for run in recent if run.status not in IN_FLIGHT]
    in_flight = len(recent) - len(ended)
    failures = 0
    for run in ended:
        if run.status not in FAILED:
            break
        failures += 1
    if in_flight >= (1 if failures else useful):
        return 0, "a run is in progress" if in_flight == 1 else f"{in_flight} runs are in progress"
    if failures:
        pause = min(RETRY_SECONDS * 2 ** (failures - 1), MAX_RETRY_SECONDS)
        remaining = ended[0].updated_at + pause - now
        if remaining > 0 and (newest() or 0.0) > ended[0].created_at:
            return 1, "new rows are pending since the last run failed"
        if remaining > 0:
            return 0, f"{failures} runs failed in a row, the next in {remaining:.0f} s"
        return 1, "rows are pending"
    return useful - in_flight, "rows are pending"


def recent_runs(context: dg.SensorEvaluationContext, job_name: str, at_a_time: int = 1) -> list[Recent]:
    """Return what the decision considers of a job's runs."""
    filters, limit = dg.RunsFilter(job_name=job_name), MAX_RUNS + at_a_time
    return [
        Recent(
            record.dagster_run.status,
            record.update_timestamp.timestamp(),
            record.create_timestamp.timestamp(),
            record.dagster_run.tags.get(DRAIN, ""),
        )
        for record in context.instance.get_run_records(filters, limit=limit)
    ]


def _read(database: Database, newest: Callable[[Connection], float | None]) -> float | None:
    with database.engine().connect() as connection:
        return newest(connection)


def newest_of(*types: str) -> Callable[[Connection], float | None]:
    """Return what reads when the newest claimable workflow of these types became available."""
    return lambda connection: newest_due(connection, types)


class Pending(NamedTuple):
    """How many runs would have work (true: one), an additional message for skipped ticks, and the tags of a run."""

    useful: int
    message: str = ""
    tags: Mapping[str, str] | None = None


def drain_sensor(
    name: str,
    job: Any,
    pending: Callable[[Connection], Pending | int],
    description: str,
    *,
    newest: Callable[[Connection], float | None] = lambda connection: None,
    woken_by: Sequence[Queue | Channel] = (),
    interval: int = 60,
    at_a_time: int = 1,
) -> dg.SensorDefinition:
    """Build a sensor that requests a run of `job` while rows are pending and no such run is in progress.

    Where more than one run at a time is useful, each has its own value of the tag `qflow/drain`, of which the
    queue starts one at a time. While a run of another job waits for a worker, there is one.

    `pending` queries the tables in a transaction, which must fit into a tick; `newest` returns when the newest pending
    row became due (seconds since the epoch), so that it does not wait because earlier runs failed; `woken_by` are the
    queues whose messages say that rows may be pending; `interval` is in seconds; `at_a_time` are the most runs.
    """
    drain = job.tags.get(DRAIN, "")
    drains = [drain, *(f"{drain}-{number}" for number in range(2, at_a_time + 1))]

    @dg.sensor(
        name=name,
        job=job,
        minimum_interval_seconds=interval,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=description,
        metadata=wakes.woken_by(*woken_by, at_a_time=at_a_time),
    )
    def sense(context: dg.SensorEvaluationContext, database: Database) -> dg.SensorResult:
        with database.engine().begin() as connection:
            found = pending(connection)
        useful, message, tags = found if isinstance(found, Pending) else Pending(found)
        if useful > 1 and others_wait(context.instance, job.name):
            useful = 1
        recent = recent_runs(context, job.name, at_a_time) if useful else []
        count, reason = decide(useful, recent, time.time(), lambda: _read(database, newest))
        taken = {run.drain for run in recent if run.status in IN_FLIGHT}
        free = [name for name in drains if name not in taken][:count]
        if free:
            return dg.SensorResult(
                run_requests=[
                    dg.RunRequest(tags={**(tags or {}), **({DRAIN: name} if name else {})}) for name in free
                ]
            )
        return dg.SensorResult(skip_reason="; ".join(part for part in (reason, message) if part))

    return sense
