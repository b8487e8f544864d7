"""Which runs were killed: their process is gone, and they never said so.

Dagster's own monitoring asks the launcher whether a run is alive, and the default launcher cannot tell: such a run
would stay "started" for ever. It runs on the machine where the sensor is evaluated, so a look at the process is
enough. Other launchers know themselves.
"""

import re
from collections.abc import Callable

import dagster as dg
import psutil

# What the default launcher writes on its runs. One that a command runs by itself has none, and may be
# on another machine.
LAUNCHED = ".dagster/grpc_info"
# A run that began less than so many seconds ago may not have written its process's number yet.
GRACE_PERIOD_SECONDS = 10.0
# A process that has not reported its start in so many seconds was killed before it could.
START_TIMEOUT_SECONDS = 90.0
# The first message of the process that the default launcher starts for a run.
STARTED_MESSAGE = re.compile(r"Started process for run \(pid: (\d+)\)")


def is_alive(pid: int, began: float) -> bool:
    """Return whether the process that had this number at `began` (seconds since the epoch) still runs."""
    try:
        process = psutil.Process(pid)
        # A number is used again; whoever has it now began before the run did, or is another.
        return process.create_time() <= began + 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def find_dead(
    instance: dg.DagsterInstance, now: float, alive: Callable[[int, float], bool] = is_alive
) -> list[dg.DagsterRun]:
    """Return the runs under way whose process is gone, or never started."""
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
    """Return the number of the process that reports with this event that it executes the run."""
    event = entry.dagster_event
    if event is None:
        return None
    if event.event_type is dg.DagsterEventType.RUN_START:
        return event.pid
    match = STARTED_MESSAGE.match(event.message or "")
    return int(match[1]) if match else None
