"""The launcher of runs: Celery's, for workers that have imported everything.

Dagster's daemon and page load it by its name in `dagster.yaml`. What it needs to know comes from the settings, so that
no password is in that file. Does not belong here: executing runs (`worker`), interrupting their
processes (`run_locks`).
"""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import dagster as dg
from celery.exceptions import DuplicateTaskNameWarning
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from sqlalchemy import Connection

from qflow_dagster.database import engine
from qflow_dagster.ingestion.repositories import machines_of
from qflow_dagster.jobs.run_tags import QUEUE
from qflow_dagster.launching.broker import install, make_app, queue_of_machine
from qflow_dagster.launching.run_locks import interrupt, is_held
from qflow_dagster.processes import host_name
from qflow_dagster.registry import RunQueue

# Celery's launcher declares its task again for each run; only its name matters here.
warnings.filterwarnings("ignore", category=DuplicateTaskNameWarning)


class Destination(NamedTuple):
    """The queue whose workers execute a run, and the machine that they are on; None: on any."""

    queue: str
    host: str | None


def destinations(connection: Connection, runs: Sequence[dg.DagsterRun]) -> list[Destination]:
    """Return where each run goes."""
    machines = machines_of(connection, {run.tags.get(PARTITION_NAME_TAG, "") for run in runs})
    found = []
    for run in runs:
        queue = run.tags.get(QUEUE, RunQueue.LONG.value)
        host = machines.get(run.tags.get(PARTITION_NAME_TAG, ""))
        found.append(Destination(queue if host is None else queue_of_machine(queue, host), host))
    return found


class WorkerLauncher(CeleryRunLauncher):
    """A launcher that hands runs to the workers of `qflow up` and `qflow worker`."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(default_queue=RunQueue.LONG.value, inst_data=inst_data)
        # Ours, as the workers have it: a broker refuses a queue that is declared in two ways.
        self.celery = make_app()
        self._installed = False

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Return that nothing is configured in `dagster.yaml`."""
        return {}

    def launch_run(self, context: LaunchRunContext) -> None:
        """Send the run to a worker, which may be the first to start after this."""
        if not self._installed:
            install()
            self._installed = True
        run = context.dagster_run
        with engine().connect() as connection:
            [(queue, host)] = destinations(connection, [run])
        if host not in (None, host_name()):
            message = f"Its repository lies on {host}: a worker there executes it"
            self._instance.report_engine_event(message, run, cls=type(self))
        # The tag that is stored stays what it was: the limits of the queue go by it.
        super().launch_run(context._replace(dagster_run=run.with_tags({**run.tags, QUEUE: queue})))

    def terminate(self, run_id: str) -> bool:
        """Interrupt the run on the machine that executes it; one that waits is not started."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        if is_held(run_id):
            # The run reports its end itself.
            interrupt(run_id)
        else:
            self._instance.report_run_canceled(run)
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Return nothing that the run's lease does not say: `sensors.dead_runs` finds a killed run by it."""
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    @property
    def supports_resume_run(self) -> bool:
        """Return that a killed run is not resumed: its rows are claimed again by the next run."""
        return False
