"""A Celery worker that executes runs, with everything imported before the first one.

Belongs here: its Celery app with the task that a launched run is, and the signals of its processes. Does not belong
here: launching (`launcher`), the broker (`broker`).
"""

import multiprocessing
import signal
from collections.abc import Sequence
from typing import Any, cast

import dagster as dg
from celery import Task
from celery.signals import worker_process_init
from celery.worker.request import Request
from dagster._cli.api import _execute_run_command_body
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster._utils.interrupts import setup_interrupt_handlers
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.database import engine
from qflow_dagster.launching.broker import make_app, queue_of_machine
from qflow_dagster.launching.pool import Processes
from qflow_dagster.launching.prefetch import ReceiveWhatCanBegin
from qflow_dagster.launching.run_locks import holding
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import leases
from qflow_dagster.resources.database import BETWEEN_STEPS, RUN_LEASE
from qflow_dagster.resources.live_workers import worker_lease
from qflow_dagster.safety import logs

logger = logs.logger(__name__)
app = make_app()
cast(dict[str, set[type]], app.steps)["consumer"].add(ReceiveWhatCanBegin)

# Seconds from the receipt of a run until its process renews the lease.
UNTIL_RENEWED = 30.0


class LeasedRequest(Request):
    """A message that is acknowledged when its run has a lease: from then on no other worker would begin it."""

    def acknowledge(self) -> None:
        """Begin the lease of the run, which its process renews; a worker that is killed in between leaves it behind."""
        run_id = unpack_value(self.kwargs["execute_job_args_packed"], as_type=ExecuteRunArgs).run_id
        try:
            with engine().begin() as connection:
                leases.keep(connection, RUN_LEASE + run_id, seconds=UNTIL_RENEWED)
        except SQLAlchemyError as error:
            logger.warning("run %s begins without a lease: %s", run_id, type(error).__name__)
        super().acknowledge()


class LeasedTask(Task):
    """A task whose messages are acknowledged in this way."""

    Request = LeasedRequest


@app.task(name=TASK_EXECUTE_JOB_NAME, base=LeasedTask)
def execute_job(execute_job_args_packed: Any) -> None:
    """Execute a launched run. A message that arrives again, while the run is executed or later, does nothing."""
    arguments = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs)
    with holding(arguments.run_id) as free, dg.DagsterInstance.get() as instance:
        run = instance.get_run_by_id(arguments.run_id)
        if not free or run is None or run.is_finished:
            return
        if run.status is dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(run)
            return
        # From now on, not from its first step.
        with leases.kept(engine(), RUN_LEASE + run.run_id, afterwards=BETWEEN_STEPS):
            _execute_run_command_body(
                run_id=run.run_id,
                instance=instance,
                write_stream_fn=lambda _event: None,
                set_exit_code_on_failure=False,
            )


@worker_process_init.connect
def _prepare(**_: Any) -> None:
    """Use no connection of the parent; let an interrupt reach the run, which reports it (Celery ignores it)."""
    engine().dispose(close=False)
    # An executor may start processes of its own; those of Celery may not, unless they are of this kind.
    multiprocessing.current_process()._config["daemon"] = False  # pyright: ignore[reportAttributeAccessIssue]
    signal.signal(signal.SIGINT, signal.default_int_handler)
    setup_interrupt_handlers()


def work(queues: Sequence[str], concurrency: int) -> None:
    """Execute the runs of some queues, `concurrency` at a time, until the process is interrupted.

    Those on repositories that lie on this machine, too. Its lease says so to the daemon.
    """
    served = [*queues, *(queue_of_machine(queue, host_name()) for queue in queues)]
    with leases.kept(engine(), worker_lease(served, concurrency)):
        app.Worker(
            queues=served,
            concurrency=concurrency,
            pool=Processes,
            optimization="fair",
            hostname=f"{'-'.join(queues)}@%h",
            loglevel="WARNING",
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
            quiet=True,
        ).start()
