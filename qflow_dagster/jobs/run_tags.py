"""Tags of the runs of a job: which workers execute them, and what excludes another run of the kind."""

import dagster as dg
from dagster._core.storage.tags import RETRY_STRATEGY_TAG

from qflow_dagster.registry import RunQueue

# As dagster-celery, whose import takes a while, calls it.
QUEUE = "dagster-celery/queue"
# The limit for it is in `dagster.yaml`.
DRAIN = "qflow/drain"
# A killed run is executed again as a whole, which costs only what is not done yet. By default Dagster takes the steps
# that had not succeeded, and fails where all had.
AGAIN = {RETRY_STRATEGY_TAG: "ALL_STEPS"}


def quick(drain: str) -> dict[str, str]:
    """Return the tags of a job that takes seconds, and that somebody may be waiting for."""
    return {QUEUE: RunQueue.QUICK.value, DRAIN: drain, **AGAIN}


def long(drain: str | None = None) -> dict[str, str]:
    """Return the tags of any other job; `drain`: rows are claimed in it, so that one run at a time is enough."""
    return {QUEUE: RunQueue.LONG.value, **({DRAIN: drain} if drain else {}), **AGAIN}


def others_wait(instance: dg.DagsterInstance, job_name: str) -> bool:
    """Return whether a long run of another job waits for a worker: its limits allow it, and nothing has begun it."""
    launched = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING], tags={QUEUE: RunQueue.LONG.value})
    return any(run.job_name != job_name for run in instance.get_runs(launched))
