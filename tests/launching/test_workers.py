"""Workers execute launched runs, each once, and end them when they are terminated or killed: with every broker."""

import ctypes
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.launcher import DefaultRunLauncher, LaunchRunContext
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from sqlalchemy import URL, insert

from benchmarks import brokers
from qflow_dagster.cli.dagster_configuration import MAX_PROCESSES
from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import engine, ready_engine
from qflow_dagster.ingestion.repositories import register
from qflow_dagster.ingestion.tables import repositories
from qflow_dagster.jobs.run_tags import QUEUE
from qflow_dagster.launching import broker, prefetch, wakeups, worker
from qflow_dagster.launching.broker import queue_of_machine
from qflow_dagster.launching.daemon import WokenQueue
from qflow_dagster.launching.launcher import WorkerLauncher
from qflow_dagster.launching.run_locks import is_held
from qflow_dagster.launching.wakeups import Wakeups
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import leases
from qflow_dagster.resources.health import queues_served
from qflow_dagster.settings import settings
from tests import databases, forks
from tests.folders import new_home
from tests.launching import launchable

PATIENCE = 120.0
SUCCESS = dg.DagsterRunStatus.SUCCESS
# A name space for the name of the machine; see unshare(2).
CLONE_NEWUTS = 0x04000000


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.fixture
def rabbitmq() -> Iterator[brokers.Server]:
    with brokers.rabbitmq() as server:
        yield server or pytest.skip("RabbitMQ is not installed")


@pytest.fixture
def redis() -> Iterator[brokers.Server]:
    with brokers.redis() as server:
        yield server or pytest.skip("neither Valkey nor Redis is installed")


@pytest.fixture(params=["postgresql", "redis", "rabbitmq"])
def home(request: pytest.FixtureRequest, database: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of an installation whose runs are executed by workers, with each broker."""
    folder = new_home("qflow-workers-")
    monkeypatch.setenv("QFLOW_HOME", str(folder))
    monkeypatch.setenv("QFLOW_DATABASE_URL", database.render_as_string(hide_password=False))
    if request.param != "postgresql":
        monkeypatch.setenv("QFLOW_WORKERS_BROKER", request.getfixturevalue(request.param).address)
    for cached in (settings, engine, ready_engine):
        cached.cache_clear()
    for name, value in dagster_environment().items():
        monkeypatch.setenv(name, value)
    settings.cache_clear()
    broker.install()
    yield folder
    engine().dispose()
    for cached in (settings, engine, ready_engine):
        cached.cache_clear()
    databases.drop(database.set(database=f"{database.database}_dagster"))
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.get() as instance:
        yield instance


def serve() -> None:
    worker.work(["long"], 1)


def serve_on(host: str) -> None:
    """Serve on a machine of another name, as far as the kernel can make it one."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUTS):
        raise OSError(ctypes.get_errno(), "unshare")
    socket.sethostname(host)
    serve()


@pytest.fixture
def process(home: Path) -> Iterator[psutil.Process]:
    """A worker that executes one run at a time."""
    started = forks.start(serve)
    yield psutil.Process(started.pid)
    forks.kill_session(started)


class Runs:
    """Runs of a job that waits for a file."""

    def __init__(self, instance: dg.DagsterInstance, home: Path) -> None:
        self.instance, self.go, self.begun = instance, home / "go", home / "begun"
        self.launcher = instance.run_launcher

    def launch(self, repository: str | None = None, mebibytes: int = 0, until: Path | None = None) -> str:
        run_id = self.create(repository, mebibytes, until)
        self.send(run_id)
        return run_id

    def create(self, repository: str | None = None, mebibytes: int = 0, until: Path | None = None) -> str:
        job = dg.reconstructable(launchable.waiting)
        config = {"file": str(self.begun), "until": str(until or self.go), "mebibytes": mebibytes}
        run = self.instance.create_run_for_job(
            launchable.waiting,
            run_config={"ops": {"write_and_wait": {"config": config}}},
            status=dg.DagsterRunStatus.STARTING,
            tags={"dagster/partition": repository} if repository else {},
            job_code_origin=job.get_python_origin(),
        )
        return run.run_id

    def send(self, run_id: str) -> None:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        self.launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def starts(self) -> list[str]:
        return self.begun.read_text().split() if self.begun.exists() else []


def test_a_worker_executes_each_run_once_and_ends_what_is_terminated_or_killed(
    instance: dg.DagsterInstance, home: Path, process: psutil.Process
) -> None:
    assert isinstance(instance.run_launcher, WorkerLauncher)
    runs = Runs(instance, home)
    status = dg.DagsterRunStatus

    # A message that arrives while its run is executed, or later, does nothing.
    first = runs.launch()
    runs.send(first)
    eventually(lambda: runs.starts() == [first], "the first run has begun")
    assert is_held(first)

    # A run that waits for the worker is terminated before it begins.
    waits = runs.launch()
    assert runs.launcher.terminate(waits)
    runs.go.touch()
    eventually(lambda: runs.status(first) is status.SUCCESS, "the first run has ended")
    runs.send(first)
    eventually(lambda: runs.status(waits) is status.CANCELED, "a run that waited is canceled")
    runs.go.unlink()

    # A run that is executed is interrupted.
    executed = runs.launch()
    eventually(lambda: executed in runs.starts(), "the run has begun")
    assert runs.launcher.terminate(executed)
    eventually(lambda: runs.status(executed) is status.CANCELED, "the run is canceled")
    assert not runs.launcher.terminate(executed)

    # A run whose process is killed holds its lock no more.
    killed = runs.launch()
    eventually(lambda: killed in runs.starts(), "the run has begun")
    assert is_held(killed)
    [child] = [child for child in process.children() if child.ppid() == process.pid]
    child.send_signal(signal.SIGKILL)
    eventually(lambda: not is_held(killed), "the killed run is not held")

    # The worker goes on with another process, even if that one is killed while it waits for a run.
    runs.go.touch()
    more: list[str] = []
    for _ in range(2):
        more.append(runs.launch())
        eventually(lambda: runs.status(more[-1]) is status.SUCCESS, "the worker goes on")
        [child] = [child for child in process.children() if child.ppid() == process.pid]
        child.kill()
        eventually(lambda child=child: not child.is_running(), "it is gone")
    more.append(runs.launch())
    eventually(lambda: runs.status(more[-1]) is status.SUCCESS, "the worker goes on")
    assert runs.starts() == [first, executed, killed, *more]


def serve_and_keep() -> None:
    """Serve; a broker does not take back within a test what this worker received and has not begun."""
    broker.VISIBILITY_TIMEOUT = 3_600
    serve()


def test_no_run_waits_behind_another_while_a_worker_is_idle(instance: dg.DagsterInstance, home: Path) -> None:
    runs, long = Runs(instance, home), home / "long"
    workers = [forks.start(serve_and_keep) for _ in range(2)]
    try:
        begun = [runs.launch(until=long), runs.launch()]
        eventually(lambda: sorted(runs.starts()) == sorted(begun), "both workers are busy")
        waiting = [runs.launch() for _ in range(4)]
        runs.go.touch()
        for run in waiting:
            eventually(
                lambda run=run: runs.status(run) is SUCCESS, "the worker that is free takes all of them"
            )
        assert runs.status(begun[0]) is dg.DagsterRunStatus.STARTED
        # The other one goes on, too, when its run has ended.
        long.touch()
        eventually(lambda: runs.status(begun[0]) is SUCCESS, "the long run has ended")
        runs.go.unlink()
        last = [runs.launch() for _ in workers]
        eventually(lambda: set(last) <= set(runs.starts()), "both workers are busy again")
    finally:
        for worker in workers:
            forks.kill_session(worker)
    assert sorted(runs.starts()) == sorted([*begun, *waiting, *last])


def serve_two() -> None:
    """Serve two runs at a time, and never look for messages of which it was not notified."""
    prefetch.LOOK_FOR_MESSAGES = 3_600.0
    worker.work(["long"], 2)


def test_what_waited_while_a_worker_was_busy_begins_without_a_notification(
    instance: dg.DagsterInstance, home: Path
) -> None:
    runs, process = Runs(instance, home), forks.start(serve_two)
    try:
        launched = [runs.launch() for _ in range(2)]
        eventually(lambda: sorted(runs.starts()) == sorted(launched), "both processes are busy")
        launched += [runs.launch() for _ in range(4)]
        runs.go.touch()
        for run in launched:
            eventually(lambda run=run: runs.status(run) is SUCCESS, "each process takes the next")
    finally:
        forks.kill_session(process)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a process another host name")
def test_a_run_on_a_repository_of_another_machine_waits_for_a_worker_there(
    instance: dg.DagsterInstance, home: Path, process: psutil.Process, tmp_path: Path
) -> None:
    runs = Runs(instance, home)
    runs.go.touch()
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "here")], check=True)
    with engine().begin() as connection:
        register(connection, str(tmp_path / "here"))
        moved = {"host": "build-7", "location": "/srv/shop"}
        connection.execute(
            insert(repositories).values(name="there", mirrored=False, object_format="sha1", **moved)
        )
    there = runs.launch("there")
    here = runs.launch("here")
    status = dg.DagsterRunStatus
    eventually(
        lambda: runs.status(here) is status.SUCCESS, "a run on a repository of this machine is executed"
    )
    assert runs.starts() == [here]
    assert any("lies on build-7" in event.message for event in instance.all_logs(there))
    elsewhere = forks.start(serve_on, "build-7")
    try:
        eventually(lambda: runs.status(there) is status.SUCCESS, "the other machine executes it")
    finally:
        forks.kill_session(elsewhere)


ONLY_POSTGRESQL = pytest.mark.parametrize("home", ["postgresql"], indirect=True)


@ONLY_POSTGRESQL
def test_runs_that_no_worker_takes_stay_queued_and_take_no_place(
    instance: dg.DagsterInstance, home: Path
) -> None:
    machine = "build-7"
    with engine().begin() as connection:
        rows = [
            {"name": f"there-{number}", "location": f"/srv/{number}", "host": machine} for number in range(5)
        ]
        connection.execute(insert(repositories).values(mirrored=False, object_format="sha1"), rows)
    # Of two runs on one repository, whoever requests them, one is launched.
    here = [{"dagster/partition": "here"}, {"dagster/partition": "here"}]
    tags = [*({"dagster/partition": row["name"]} for row in rows), *here, {QUEUE: "quick"}]
    config = {"ops": {"write_and_wait": {"config": {"file": "", "until": ""}}}}
    origin = RemoteJobOrigin(
        RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("here"), "all"), launchable.waiting.name
    )

    # The limit of long runs is four.
    def queued(tags: dict[str, str]) -> str:
        run = instance.create_run_for_job(
            launchable.waiting,
            run_config=config,
            status=dg.DagsterRunStatus.QUEUED,
            tags={QUEUE: "long", **tags},
            remote_job_origin=origin,
            job_code_origin=dg.reconstructable(launchable.waiting).get_python_origin(),
        )
        return run.run_id

    there, on_one, quick = ([queued(each) for each in part] for part in (tags[:5], tags[5:7], tags[7:]))
    queue = WokenQueue(5, Wakeups(), wakeups.Runs())

    def launched(*workers: tuple[str, str]) -> list[str]:
        with engine().begin() as connection:
            for host, served in workers:
                leases.keep(connection, f"worker {host} 1 2 {served} {queue_of_machine(served, host)}")
        queue._instance = instance
        runs = queue._get_runs_to_dequeue(instance, instance.get_concurrency_config(), None)
        return [run.run_id for run in runs]

    assert launched() == []
    message = instance.all_logs(there[0])[-1].message
    assert "No worker takes long runs on build-7, where its repository lies: it stays queued" in message
    # Once, however often the queue is looked at.
    assert launched((host_name(), "quick")) == quick
    assert [entry.message for entry in instance.all_logs(there[0])].count(message) == 1
    assert launched((host_name(), "long")) == on_one[:1] + quick
    assert launched((machine, "long")) == there[:4] + quick
    # What waits for a worker that has much to do has not failed, an hour later.
    assert instance.run_monitoring_start_timeout_seconds > 3_600


@ONLY_POSTGRESQL
@pytest.mark.parametrize(
    ("limit", "mebibytes"),
    [
        (("QFLOW_WORKERS_MAX_RUNS", "2"), 0),
        # What a process has imported takes less than half of it.
        (("QFLOW_WORKERS_MAX_MEMORY", "700"), 700),
    ],
)
def test_a_process_is_replaced_after_its_number_of_runs_and_a_run_that_took_too_much_memory(
    instance: dg.DagsterInstance,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: tuple[str, str],
    mebibytes: int,
) -> None:
    monkeypatch.setenv(*limit)
    started = forks.start(serve)
    try:
        runs = Runs(instance, home)
        runs.go.touch()

        def process_of_run(mebibytes: int = 0) -> int:
            run = runs.launch(mebibytes=mebibytes)
            eventually(lambda: runs.status(run) is dg.DagsterRunStatus.SUCCESS, "the run has ended")
            messages = "\n".join(entry.message for entry in instance.all_logs(run))
            found = re.search(r"Executing steps in process \(pid: (\d+)\)", messages)
            assert found, messages
            return int(found[1])

        first = process_of_run()
        assert process_of_run(mebibytes) == first
        assert process_of_run() != first
    finally:
        forks.kill_session(started)


@ONLY_POSTGRESQL
def test_a_worker_says_what_it_takes_while_it_lives(home: Path) -> None:
    def health() -> dict[str, tuple[str, str]]:
        with engine().connect() as connection:
            return {
                name: (result.status, result.message) for name, result in queues_served(connection).items()
            }

    with engine().begin() as connection:
        assert leases.take(connection, "daemon", "build-7 1", seconds=600.0)
    nothing = "no worker takes {0} runs, which stay queued: qflow worker --queues {0} starts one"
    assert health() == {
        f"workers:{queue}": ("unhealthy", nothing.format(queue)) for queue in ("quick", "long")
    }
    started = forks.start(serve)
    try:
        eventually(
            lambda: health()["workers:long"] == ("healthy", f"1 at a time on {host_name()}"), "it says so"
        )
        assert health()["workers:quick"][0] == "unhealthy"
        assert started.pid is not None
        os.kill(started.pid, signal.SIGINT)
        eventually(lambda: health()["workers:long"][0] == "unhealthy", "it ended in order")
        with engine().connect() as connection:
            assert leases.by_name(connection, "worker ") == []
    finally:
        forks.kill_session(started)


@ONLY_POSTGRESQL
def test_a_worker_goes_on_when_all_its_connections_are_lost(
    instance: dg.DagsterInstance, home: Path, process: psutil.Process
) -> None:
    """What a restart of the server does to a run that is executed, and to what waits for the worker."""
    runs = Runs(instance, home)
    executed = runs.launch()
    eventually(lambda: runs.starts() == [executed], "the run has begun")
    waits = runs.launch()
    with engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
            "AND (datname = current_database() OR datname = current_database() || '_dagster')"
        )
    runs.go.touch()
    for run in (executed, waits):
        eventually(lambda run=run: runs.status(run) is dg.DagsterRunStatus.SUCCESS, "both runs have ended")
    assert runs.starts() == [executed, waits]


@ONLY_POSTGRESQL
def test_without_workers_dagster_itself_starts_a_process_for_each_run(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_WORKERS_ENABLED", "false")
    settings.cache_clear()
    for name, value in dagster_environment().items():
        monkeypatch.setenv(name, value)
    with dg.DagsterInstance.get() as instance:
        assert isinstance(instance.run_launcher, DefaultRunLauncher)
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == MAX_PROCESSES
        assert instance.run_monitoring_start_timeout_seconds == 300
