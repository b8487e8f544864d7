"""Detection of killed runs: their status is still in progress, but no process keeps their lease.

Every run of the project keeps a lease from the moment it gets its database (`resources.database`), in whatever process
and on whatever machine it is executed.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import dagster as dg

from qflow_dagster.quantumflow.leases import ProcessLease
from qflow_dagster.resources.database import RUN_LEASE

# Seconds after which a run that has not taken its lease is considered killed before it could.
START_TIMEOUT = 90.0
# A run is stored before it is queued. One that stays so was requested by a process that was killed, or lost the
# database.
IN_PROGRESS = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


class InProgress(NamedTuple):
    """A run in progress: its id, whether it must have a lease after a while, when it last changed (since the epoch)."""

    run_id: str
    needs_lease: bool
    updated_at: float


def find_dead(runs: Sequence[InProgress], leases: Mapping[str, ProcessLease], now: float) -> dict[str, str]:
    """Return the ids of runs that no process executes any more, with the reason; `leases` are by their names."""
    dead: dict[str, str] = {}
    for run in runs:
        lease = leases.get(f"{RUN_LEASE}{run.run_id}")
        if lease is not None and lease.remaining <= 0:
            dead[run.run_id] = (
                f"its process on {lease.host} has given no sign of life for {-lease.remaining:.0f} s: it was killed, "
                "or has lost the database"
            )
        elif lease is None and run.needs_lease and now - run.updated_at >= START_TIMEOUT:
            dead[run.run_id] = f"no process has begun it within {START_TIMEOUT:.0f} s"
    return dead


def in_progress(instance: dg.DagsterInstance, jobs: Collection[str]) -> dict[InProgress, dg.DagsterRun]:
    """Return the runs that are being queued, started, executed or canceled, at most a thousand.

    `jobs` are the names of the jobs whose runs keep leases. A run that is being started may wait for a worker; only
    Dagster's default launcher starts its process at once.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=list(IN_PROGRESS)), limit=1_000)
    queues = instance.run_launcher.supports_check_run_worker_health
    return {
        InProgress(
            record.dagster_run.run_id,
            record.dagster_run.job_name in jobs
            and not (queues and record.dagster_run.status == dg.DagsterRunStatus.STARTING),
            record.update_timestamp.timestamp(),
        ): record.dagster_run
        for record in records
    }
