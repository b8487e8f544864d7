"""Dagster's daemon, woken by what happens instead of looking every few seconds.

A sensor says which messages concern it (`sensors.wakes`). A message makes its tick due at once. The tick is the
ordinary one, evaluated by the only evaluator there is: a decision is made by one function, and never twice for one
event. Regular ticks stay, for what becomes due by time and as the net for what is lost. The queue of runs is looked
at whenever a run is queued or ends.

Belongs here: the daemons of Dagster's that are woken, and running them with the others. Does not belong here: where
wake-ups come from (`wakeups`).
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.launcher import LaunchRunContext
from dagster._core.remote_representation.external import RemoteSensor
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.workspace.context import IWorkspaceProcessContext
from dagster._daemon import asset_daemon
from dagster._daemon.auto_run_reexecution.event_log_consumer import EventLogConsumerDaemon
from dagster._daemon.controller import create_daemons_from_instance, daemon_controller_from_instance
from dagster._daemon.daemon import DaemonIterator, SensorDaemon
from dagster._daemon.freshness import FreshnessDaemon
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._daemon.utils import DaemonErrorCapture
from sqlalchemy import URL

from qflow_dagster.database import dagster_url, direct_url, ready_engine
from qflow_dagster.ingestion import queries
from qflow_dagster.jobs.run_tags import QUEUE
from qflow_dagster.launching.code import load_target
from qflow_dagster.launching.launcher import WorkerLauncher, destinations
from qflow_dagster.launching.wakeups import (
    Busy,
    Runs,
    Wakeups,
    listen_to_messages,
    listen_to_runs,
    watch_commits,
)
from qflow_dagster.quantumflow import leases
from qflow_dagster.registry import Channel, Queue, RunQueue
from qflow_dagster.resources.database import RUN_LEASE
from qflow_dagster.resources.live_workers import DAEMON_LEASE, live_workers
from qflow_dagster.safety import logs
from qflow_dagster.sensors.wakes import AT_A_TIME, WOKEN_BY

# Seconds between two looks at which regular ticks are due, and at the queue of runs.
REGULAR = 10.0
# Seconds between two looks while a woken sensor waits for a run to end.
WHILE_WAITING = 1.0
# Seconds between two looks at what needs no haste: runs to retry whose end was not notified, assets whose condition
# holds, and assets that are out of date, which their policies measure in hours.
SELDOM, FRESHNESS = 30.0, 300.0
# Seconds between two ticks of a sensor, however often it is woken.
MIN_PAUSE = 0.5
# Seconds for which a run that a tick requested is waited for, until it is seen.
UNTIL_SEEN = 5.0
# Seconds until a run that no worker has begun is sent again, doubled each time.
SEND_AGAIN = 30.0
logger = logs.logger(__name__)


@dataclass
class Woken:
    """A sensor that was woken: whether since its last tick, when that was, and which of its jobs were busy then."""

    fresh: bool
    ticked_at: float = 0.0
    busy: frozenset[Busy] = frozenset()

    def is_due(self, jobs: frozenset[Busy], busy: frozenset[Busy], now: float) -> bool:
        """Return whether to tick: a message came, or a run ended of a job of its, and a job of its is free.

        `jobs` are the runs that there may be of the sensor's jobs at a time, `busy` those of them in progress.
        """
        ended = self.busy - busy
        # A run that was requested since is waited for, too.
        self.busy = busy
        if now - self.ticked_at < MIN_PAUSE or (jobs and busy == jobs):
            self.fresh = self.fresh or bool(ended)
            return False
        return self.fresh or bool(ended)

    def is_over(self, now: float) -> bool:
        """Return whether nothing is waited for."""
        return not self.fresh and not self.busy and now - self.ticked_at > UNTIL_SEEN


class WokenSensors(SensorDaemon):
    """Dagster's daemon of sensors, whose ticks are due when something happened that concerns them."""

    def __init__(self, settings: Any, wakeups: Wakeups, runs: Runs) -> None:
        super().__init__(settings)
        self._wakeups, self._runs = wakeups, runs
        self._woken: dict[str, Woken] = {}

    def core_loop(
        self, workspace_process_context: IWorkspaceProcessContext, shutdown_event: threading.Event
    ) -> DaemonIterator:
        """Evaluate what is due, for ever."""
        ticks: dict[str, Future[Any]] = {}
        regular = 0.0
        while not shutdown_event.is_set():
            names = self._wakeups.take(WHILE_WAITING if self._woken else REGULAR)
            try:
                due = self._make_due(workspace_process_context, names, ticks)
                if due or time.monotonic() >= regular:
                    regular = time.monotonic() + REGULAR
                    yield from execute_sensor_iteration(
                        workspace_process_context,
                        self._logger,
                        threadpool_executor=self._threadpool_executor,
                        submit_threadpool_executor=self._submit_threadpool_executor,
                        sensor_tick_futures=ticks,
                    )
            except Exception:
                yield DaemonErrorCapture.process_exception(
                    sys.exc_info(), logger=self._logger, log_message="the sensors could not be evaluated"
                )
            yield None

    def _make_due(
        self, context: IWorkspaceProcessContext, names: set[str], ticks: dict[str, Future[Any]]
    ) -> bool:
        """Make the ticks of woken sensors due; return whether there are any."""
        if not names and not self._woken:
            return False
        now, made_due = time.monotonic(), False
        for sensor in _sensors(context):
            id_ = sensor.selector_id
            if names & _queues(sensor):
                self._woken.setdefault(id_, Woken(fresh=True)).fresh = True
            woken, tick = self._woken.get(id_), ticks.get(id_)
            # A tick that is under way may have read before the message came.
            if woken is None or (tick is not None and not tick.done()):
                continue
            numbers = range(1, _metadata(sensor, AT_A_TIME, 1) + 1)
            jobs = frozenset(
                (target.job_name, number) for target in sensor.get_targets() for number in numbers
            )
            if woken.is_due(jobs, jobs & self._runs.busy, now):
                woken.fresh, woken.ticked_at, made_due = False, now, True
                _forget_last_tick(context.instance, sensor)
            elif woken.is_over(now):
                del self._woken[id_]
        return made_due


class WokenQueue(QueuedRunCoordinatorDaemon):
    """Dagster's daemon of queued runs, which launches them when they are queued or when a run has ended.

    Those that no live worker would take stay queued: they count against no limit, and do not fail by waiting. Those
    that nobody has begun are sent again: what launched them was killed or lost the database, or the broker lost them.
    """

    def __init__(self, interval_seconds: float, wakeups: Wakeups, runs: Runs) -> None:
        super().__init__(interval_seconds)
        self._wakeups, self._runs = wakeups, runs
        self._instance: dg.DagsterInstance | None = None
        self._reported: set[str] = set()
        # How often each run was sent again.
        self._again: dict[str, int] = {}

    def core_loop(
        self, workspace_process_context: IWorkspaceProcessContext, shutdown_event: threading.Event
    ) -> DaemonIterator:
        """Launch what may be launched, for ever."""
        regular = seldom = 0.0
        while not shutdown_event.is_set():
            self._wakeups.take(REGULAR)
            if not self._runs.queued and time.monotonic() < regular:
                continue
            regular = time.monotonic() + REGULAR
            self._instance = workspace_process_context.instance
            try:
                yield from self.run_iteration(workspace_process_context)
                # What was seen of runs is no proof that none waits: its notification may be lost, or its status late.
                if self._runs.busy or time.monotonic() >= seldom:
                    seldom = time.monotonic() + SELDOM
                    self.send_again(self._instance)
            except Exception:
                yield DaemonErrorCapture.process_exception(
                    sys.exc_info(), logger=self._logger, log_message="the queue of runs could not be read"
                )
            yield None

    def send_again(self, instance: dg.DagsterInstance) -> None:
        """Send what nobody has begun to a worker; of two messages, the second does nothing."""
        launcher = instance.run_launcher
        if not isinstance(launcher, WorkerLauncher):
            return
        records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING]))
        with ready_engine().connect() as connection:
            begun = {lease.name for lease in leases.by_name(connection, RUN_LEASE)}
        waiting = {
            record.dagster_run.run_id: record
            for record in records
            if RUN_LEASE + record.dagster_run.run_id not in begun
        }
        self._again = {run_id: times for run_id, times in self._again.items() if run_id in waiting}
        for run_id, record in waiting.items():
            times = self._again.get(run_id, 0)
            # It may wait for a worker: less and less often.
            if time.time() - record.update_timestamp.timestamp() < SEND_AGAIN * 2**times:
                continue
            self._again[run_id] = times + 1
            message = "No worker has begun it yet: it is sent again, in case that it was lost"
            instance.report_engine_event(message, record.dagster_run, cls=type(self))
            launcher.launch_run(LaunchRunContext(dagster_run=record.dagster_run, workspace=None))

    def _priority_sort(self, runs: Iterable[dg.DagsterRun]) -> list[dg.DagsterRun]:
        """Return the runs that a worker would take, the most urgent first: Dagster chooses from them."""
        queued = super()._priority_sort(runs)
        if self._instance is None or not isinstance(self._instance.run_launcher, WorkerLauncher):
            return queued
        with ready_engine().connect() as connection:
            served = {queue for worker in live_workers(connection) for queue in worker.queues}
            found = list(zip(queued, destinations(connection, queued), strict=True))
        for run, (queue, host) in found:
            if queue not in served and run.run_id not in self._reported:
                self._reported.add(run.run_id)
                kind = run.tags.get(QUEUE, RunQueue.LONG.value)
                where = f" on {host}, where its repository lies" if host else ""
                message = (
                    f"No worker takes {kind} runs{where}: it stays queued until `qflow worker` runs there"
                )
                self._instance.report_engine_event(message, run, cls=type(self))
        return [run for run, (queue, _) in found if queue in served]


class WokenRetries(EventLogConsumerDaemon):
    """Dagster's daemon that has killed runs executed again, which looks when a run has ended."""

    def __init__(self, wakeups: Wakeups) -> None:
        super().__init__()
        self._wakeups = wakeups

    def core_loop(
        self, workspace_process_context: IWorkspaceProcessContext, shutdown_event: threading.Event
    ) -> DaemonIterator:
        """Have what was killed executed again, for ever."""
        while not shutdown_event.is_set():
            self._wakeups.take(SELDOM)
            try:
                yield from self.run_iteration(workspace_process_context)
            except Exception:
                yield DaemonErrorCapture.process_exception(
                    sys.exc_info(), logger=self._logger, log_message="ended runs could not be read"
                )
            yield None


def _sensors(context: IWorkspaceProcessContext) -> Iterator[RemoteSensor]:
    for entry in context.create_request_context().get_code_location_entries().values():
        if entry.code_location is not None:
            for repository in entry.code_location.get_repositories().values():
                yield from repository.get_sensors()


def _queues(sensor: RemoteSensor) -> set[str]:
    return set(str(_metadata(sensor, WOKEN_BY, "")).split(", "))


def _metadata(sensor: RemoteSensor, name: str, default: Any) -> Any:
    metadata = sensor.metadata.standard_metadata if sensor.metadata is not None else None
    value = (metadata or {}).get(name)
    return value.value if value is not None else default


def _forget_last_tick(instance: dg.DagsterInstance, sensor: RemoteSensor) -> None:
    """Make a sensor's tick due, by the field from which Dagster computes it."""
    state = instance.get_instigator_state(sensor.get_remote_origin_id(), sensor.selector_id)
    if state is not None and isinstance(state.instigator_data, SensorInstigatorData):
        data = state.instigator_data._replace(last_tick_start_timestamp=None, last_tick_timestamp=None)
        instance.update_instigator_state(state.with_data(data))


@contextmanager
def _woken(instance: dg.DagsterInstance) -> Iterator[Sequence[Any]]:
    """Yield Dagster's daemons, some of them woken by threads that end with the block."""
    stop, runs = threading.Event(), Runs()
    for_sensors, for_queue, for_retries = Wakeups(), Wakeups(), Wakeups()
    # Every five seconds otherwise.
    setattr(asset_daemon, "MIN_INTERVAL_LOOP_SECONDS", SELDOM)  # noqa: B010

    def locations() -> list[str]:
        with ready_engine().connect() as connection:
            return [row["location"] for row in queries.repositories(connection)]

    threads = [
        threading.Thread(target=target, args=(*arguments, stop), daemon=True)
        for target, arguments in (
            (listen_to_messages, (_conninfo(direct_url()), [*Queue, *Channel], [for_sensors])),
            (listen_to_runs, (_conninfo(dagster_url()), runs, [for_sensors, for_queue, for_retries])),
            (watch_commits, (locations, for_sensors)),
        )
    ]
    daemons = []
    for daemon in create_daemons_from_instance(instance):
        if isinstance(daemon, SensorDaemon):
            daemon = WokenSensors(instance.get_sensor_settings(), for_sensors, runs)
        elif isinstance(daemon, QueuedRunCoordinatorDaemon):
            daemon = WokenQueue(daemon.interval_seconds, for_queue, runs)
        elif isinstance(daemon, EventLogConsumerDaemon):
            daemon = WokenRetries(for_retries)
        elif isinstance(daemon, FreshnessDaemon):
            daemon.interval_seconds = FRESHNESS
        daemons.append(daemon)
    for thread in threads:
        thread.start()
    try:
        yield daemons
    finally:
        stop.set()
        for each in (for_sensors, for_queue, for_retries):
            each.add(set(Channel))


def _conninfo(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def run(workspace: Path | None = None) -> None:
    """Run Dagster's daemons for a workspace (see `load_target`) until the process is interrupted, one at a time.

    Another one, on this machine or elsewhere, is waited for. Two would request and launch everything twice.
    """

    def report_other(other: leases.ProcessLease) -> None:
        # An error only in that people see it.
        logger.error("a daemon is active on %s (%s); this one waits for its end", other.host, other.holder)

    def leave() -> None:
        logger.error("another daemon took over, because this one did not reach the database; it ends")
        os.kill(os.getpid(), signal.SIGINT)

    with leases.hold(ready_engine(), DAEMON_LEASE, on_wait=report_other, on_loss=leave):
        _run(workspace)


def _run(workspace: Path | None) -> None:
    with (
        dg.DagsterInstance.get() as instance,
        _woken(instance) as daemons,
        daemon_controller_from_instance(
            instance,
            workspace_load_target=load_target(workspace),
            gen_daemons=lambda _instance: daemons,
            log_level="warning",
            code_server_log_level="warning",
        ) as controller,
    ):
        # A code server says when its definitions have changed; ours change with the program. To load and compare all
        # of them each minute was most of what an idle daemon did.
        setattr(controller, "check_workspace_freshness", lambda last: last)  # noqa: B010
        controller.check_daemon_loop()
