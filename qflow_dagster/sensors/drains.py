"""When a table's waiting rows get a run that drains them: one decision for all such sensors.

Belongs here: the pure decision, and reading of Dagster what it needs. Does not belong here:
looking at any table of ours (each sensor does).
"""

import time
from collections.abc import Sequence
from typing import NamedTuple

import dagster as dg

# Wait after a failed run in seconds; doubles with each that failed in a row.
RETRY_SECONDS = 30.0
MAX_RETRY_SECONDS = 3_600.0
LOOKED_AT = 8

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


def decide(waiting: bool, recent: Sequence[Recent], now: float) -> tuple[bool, str]:
    """Whether to request a run, and why (not).

    `recent`: the job's last runs, newest first. Rows are claimed in the run, so one run at a
    time drains what waits, however much; after failures the pause grows.
    """
    if not waiting:
        return False, "nothing waits"
    if any(run.status in IN_FLIGHT for run in recent):
        return False, "a run is under way"
    failures = 0
    for run in recent:
        if run.status not in FAILED:
            break
        failures += 1
    if failures:
        pause = min(RETRY_SECONDS * 2 ** (failures - 1), MAX_RETRY_SECONDS)
        left = recent[0].updated_at + pause - now
        if left > 0:
            return False, f"{failures} runs failed in a row, the next in {left:.0f} s"
    return True, "rows wait"


def drain(context: dg.SensorEvaluationContext, waiting: bool, job_name: str) -> tuple[bool, str]:
    """`decide`, on the runs of that job; Dagster is asked only where something waits."""
    if not waiting:
        return decide(False, (), 0.0)
    records = context.instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=LOOKED_AT)
    recent = [Recent(record.dagster_run.status, record.update_timestamp.timestamp()) for record in records]
    return decide(True, recent, time.time())
