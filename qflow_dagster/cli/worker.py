"""`qflow worker`: execute runs on this machine, besides or instead of those that `qflow up` starts."""

import os
from typing import Annotated

import typer

from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.registry import RunQueue
from qflow_dagster.settings import settings


def worker(
    queues: Annotated[str, typer.Option(help="Queues to serve, separated by commas.")] = "quick,long",
    concurrency: Annotated[
        int | None, typer.Option(min=1, max=1_000, help="Runs at a time; default: the settings' sum.")
    ] = None,
) -> None:
    """Execute runs until Ctrl-C. Any number of workers on any number of machines share the queues."""
    limits = settings().workers
    if not limits.enabled:
        raise UsageError("QFLOW_WORKERS_ENABLED is false: each run starts a process of its own")
    names = queues.split(",")
    sizes = {RunQueue.QUICK: limits.quick, RunQueue.LONG: limits.long}
    if unknown := set(names) - set(sizes):
        raise UsageError(
            f"there is no queue {', '.join(sorted(unknown))!r}; there are: {', '.join(RunQueue)}"
        )
    ready_engine()
    os.environ.update(dagster_environment())
    from qflow_dagster.launching import broker
    from qflow_dagster.launching import worker as celery_worker

    broker.install()
    celery_worker.work(names, concurrency or sum(sizes[RunQueue(name)] for name in names))
