"""Runs whose process was killed: marked failed, so that what they held is free and they are tried again.

Dagster's own monitoring asks the launcher whether a run lives, and the default launcher
cannot tell: such a run would stay "started" for ever. It runs on the machine where this
sensor is evaluated, so that a look at the process is enough. Other launchers know themselves.
"""

import re
import time
from collections.abc import Callable

import dagster as dg
import psutil

# What the default launcher writes on its runs. One that a command runs by itself has none, and may be
# on another machine.
LAUNCHED = ".dagster/grpc_info"
# A run that began less than so many seconds ago may not have written its process's number yet.
GRACE_PERIOD_SECONDS = 10.0
# A process that has not said in so many seconds that it exists was killed before it could.
START_TIMEOUT_SECONDS = 90.0
# The first word of the process that the default launcher starts for a run.
STARTED_MESSAGE = re.compile(r"Started process for run \(pid: (\d+)\)")


def is_alive(pid: int, began: float) -> bool:
    """Whether the process that had this number at `began` (seconds since the epoch) still runs."""
    try:
        process = psutil.Process(pid)
        # A number is used again; whoever has it now began before the run did, or is another.
        return process.create_time() <= began + 1.0 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def dead(
    instance: dg.DagsterInstance, now: float, alive: Callable[[int, float], bool] = is_alive
) -> list[dg.DagsterRun]:
    """The runs under way whose process is gone, or never came to be."""
    under_way = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]
    records = instance.get_run_records(dg.RunsFilter(statuses=under_way), limit=100)
    found = []
    for record in records:
        run = record.dagster_run
        began = record.start_time or record.update_timestamp.timestamp()
        if LAUNCHED not in run.tags or now - began < GRACE_PERIOD_SECONDS:
            continue
        words = instance.all_logs(
            run.run_id, of_type={dg.DagsterEventType.RUN_START, dg.DagsterEventType.ENGINE_EVENT}
        )
        births = [(pid, entry.timestamp) for entry in words if (pid := born(entry))]
        if not alive(*births[-1]) if births else now - began >= START_TIMEOUT_SECONDS:
            found.append(run)
    return found


def born(entry: dg.EventLogEntry) -> int | None:
    """The number of the process that says with this event that it runs the run."""
    event = entry.dagster_event
    if event is None:
        return None
    if event.event_type is dg.DagsterEventType.RUN_START:
        return event.pid
    first = STARTED_MESSAGE.match(event.message or "")
    return int(first[1]) if first else None


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Marks runs failed whose process was killed; Dagster then tries them again.",
)
def dead_runs(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Nothing, where the launcher can tell by itself."""
    instance = context.instance
    if instance.run_launcher.supports_check_run_worker_health:
        return dg.SkipReason("the launcher watches its runs itself")
    found = dead(instance, time.time())
    for run in found:
        instance.report_run_failed(run, "the run's process ended without a word: it was killed")
        context.log.warning("run %s of %s was killed", run.run_id, run.job_name)
    return dg.SkipReason(f"{len(found)} runs had been killed")


sensors = [dead_runs]
