"""Detection of killed runs: their process is gone, but their status is still in progress.

Dagster's own monitoring asks the launcher whether a run is alive, and the default launcher cannot tell: such a run
would stay "started" for ever. It runs on the machine where the sensor is evaluated, so checking the process is
enough. Other launchers support Dagster's monitoring.
"""

import re
from collections.abc import Callable

import dagster as dg
import psutil

# Tag that the default launcher sets. A run that a command executes itself has none, and may be on another
# machine.
LAUNCHED = ".dagster/grpc_info"
# Seconds after its start within which a run may not have recorded its process id yet.
GRACE_PERIOD_SECONDS = 10.0
# Seconds after which a process that has not reported its start is considered killed.
START_TIMEOUT_SECONDS = 90.0
# The first message of the process that the default launcher starts for a run.
STARTED_MESSAGE = re.compile(r"Started process for run \(pid: (\d+)\)")


def is_alive(pid: int, began: float) -> bool:
    """Return whether the process that had this id at `began` (seconds since the epoch) is still running."""
    try:
        process = psutil.Process(pid)
        # Process ids are reused, so the start time of the process is compared as well.
        return process.create_time() <= began + 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_dead(
    instance: dg.DagsterInstance, now: float, alive: Callable[[int, float], bool] = is_alive
) -> list[dg.DagsterRun]:
    """Return the runs in progress whose process is gone or never started."""
    under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    records = instance.get_run_records(dg.RunsFilter(statuses=under_way), limit=100)
    dead = []
    for record in records:
        run = record.dagster_run
        began = record.start_time or record.update_timestamp.timestamp()
        if LAUNCHED not in run.tags or now - began < GRACE_PERIOD_SECONDS:
            continue
        entries = instance.all_logs(
            run.run_id, of_type={dg.DagsterEventType.RUN_START, dg.DagsterEventType.ENGINE_EVENT}
        )
        starts = [(pid, entry.timestamp) for entry in entries if (pid := started_process(entry))]
        if not alive(*starts[-1]) if starts else now - began >= START_TIMEOUT_SECONDS:
            dead.append(run)
    return dead


def started_process(entry: dg.EventLogEntry) -> int | None:
    """Return the id of the process that reports in this event that it executes the run."""
    event = entry.dagster_event
    if event is None:
        return None
    if event.event_type is dg.DagsterEventType.RUN_START:
        return event.pid
    match = STARTED_MESSAGE.match(event.message or "")
    return int(match[1]) if match else None
