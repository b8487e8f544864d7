"""Brokers that are restarted and workers that are killed: no run is lost, none is begun twice; and runs that share work."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import psutil
import psycopg
import pytest
from dagster._core.definitions.reconstruct import ReconstructableRepository
from sqlalchemy import text

from benchmarks import brokers
from qflow_dagster.agents.task_agents import ADAPTERS
from qflow_dagster.database import dagster_url, engine
from qflow_dagster.definitions import build_definitions
from qflow_dagster.execution import task_graph
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.launching import broker, daemon, wakeups
from qflow_dagster.launching.daemon import WokenQueue
from qflow_dagster.launching.wakeups import Wakeups
from qflow_dagster.quantumflow import leases
from qflow_dagster.resources.database import RUN_LEASE, Database
from qflow_dagster.safety import documents
from qflow_dagster.sensors.execution import ready_tasks
from qflow_dagster.sensors.infrastructure import dead_runs
from qflow_dagster.settings import settings
from tests import forks
from tests.launching.test_wakeups import address
from tests.launching.test_workers import Runs, eventually, home, instance, process, rabbitmq, redis, serve

__all__ = ["home", "instance", "process", "rabbitmq", "redis"]
SENT_AGAIN = "No worker has begun it yet: it is sent again, in case that it was lost"
LOSE_CONNECTION = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$
"""
DECLARATIONS = 20
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


def database() -> Database:
    return Database(url=engine().url.render_as_string(hide_password=False))


def on(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("home", names, indirect=True)


@on("redis", "rabbitmq")
def test_a_broker_that_is_restarted_loses_no_run_and_starts_none_twice(
    request: pytest.FixtureRequest, instance: dg.DagsterInstance, home: Path, process: psutil.Process
) -> None:
    server: brokers.Server = request.getfixturevalue(request.node.callspec.params["home"])
    runs = Runs(instance, home)
    executed = runs.launch()
    eventually(lambda: runs.starts() == [executed], "the run has begun")
    waits = runs.launch()
    server.stop()
    server.start()
    restarted = time.monotonic()
    last = runs.launch()
    runs.go.touch()
    for run in (executed, waits, last):
        eventually(lambda run=run: runs.status(run) is SUCCESS, "all runs have ended")
    print(f"all runs had ended {time.monotonic() - restarted:.1f} s after the restart")
    assert runs.starts()[0] == executed
    assert sorted(runs.starts()) == sorted([executed, waits, last])


@on("postgresql")
def test_a_run_whose_worker_is_killed_after_its_receipt_is_failed_within_a_minute(
    instance: dg.DagsterInstance, home: Path
) -> None:
    runs = Runs(instance, home)
    received = runs.launch()
    with psycopg.connect(address(dagster_url())) as locked:
        # The process of the run cannot read what it is to execute.
        locked.execute("LOCK TABLE runs IN ACCESS EXCLUSIVE MODE")
        worker = forks.start(serve)

        def is_leased() -> bool:
            with engine().connect() as connection:
                return bool(leases.by_name(connection, RUN_LEASE + received))

        eventually(is_leased, "the worker has received it")
        # And acknowledged it.
        time.sleep(1.0)
        forks.kill_session(worker)
        killed = time.monotonic()

    def is_found() -> bool:
        with dg.build_sensor_context(instance=instance, resources={"database": database()}) as context:
            dead_runs(context)
        return runs.status(received) is FAILURE

    eventually(is_found, "it is marked as failed")
    print(f"it was marked as failed {time.monotonic() - killed:.1f} s after the worker was killed")
    assert time.monotonic() - killed < 60
    # Nothing begins it afterwards.
    runs.go.touch()
    another = forks.start(serve)
    try:
        last = runs.launch()
        eventually(lambda: runs.status(last) is SUCCESS, "another worker goes on")
        assert runs.starts() == [last]
    finally:
        forks.kill_session(another)


@on("postgresql")
def test_a_run_whose_message_was_never_sent_or_lost_is_sent_again_less_and_less_often(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, queue = Runs(instance, home), WokenQueue(5, Wakeups(), wakeups.Runs())
    lost = runs.create()

    def times_sent() -> int:
        queue.send_again(instance)
        return sum(SENT_AGAIN in entry.message for entry in instance.all_logs(lost))

    assert times_sent() == 0
    monkeypatch.setattr(daemon, "SEND_AGAIN", 0.1)
    eventually(lambda: times_sent() == 1, "it is sent again")
    eventually(lambda: times_sent() == 3, "and again, while it waits for a worker")
    assert queue._again == {lost: 3}
    worker = forks.start(serve)
    try:
        eventually(lambda: runs.starts() == [lost], "a worker has begun it")
        sent = times_sent()
        runs.go.touch()
        last = runs.launch()
        eventually(lambda: runs.status(last) is SUCCESS, "what was sent again is over")
    finally:
        forks.kill_session(worker)
    # Once begun, it is not sent again; its other messages did nothing.
    assert times_sent() == sent
    assert (runs.starts(), queue._again) == ([lost, last], {})


@on("postgresql")
def test_a_worker_goes_on_when_an_acknowledgement_is_lost(
    instance: dg.DagsterInstance, home: Path, process: psutil.Process
) -> None:
    """Until it is acknowledged, the worker receives nothing, and so does not see that its connection is gone."""
    runs = Runs(instance, home)
    runs.go.touch()

    def execute() -> str:
        run = runs.launch()
        eventually(lambda: runs.status(run) is SUCCESS, "it has been executed")
        return run

    executed = [execute()]
    with psycopg.connect(address(dagster_url()), autocommit=True) as connection:
        connection.execute(LOSE_CONNECTION)
        connection.execute("CREATE TRIGGER lose BEFORE DELETE ON pgmq.q_long EXECUTE FUNCTION lose()")
        executed.append(execute())
        connection.execute("DROP TRIGGER lose ON pgmq.q_long")
    executed.append(execute())
    assert runs.starts() == executed


@on("postgresql")
def test_workers_that_start_at_once_declare_the_same_queues(home: Path) -> None:
    broker.install()

    def declare(_: int) -> int:
        with broker.make_app().connection_for_read() as connection:
            for _ in range(DECLARATIONS):
                connection.default_channel.queue_declare("long")
        return DECLARATIONS

    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(declare, range(4))) == [DECLARATIONS] * 4


@on("rabbitmq")
def test_a_run_whose_worker_is_killed_before_it_has_acknowledged_it_is_begun_by_another(
    instance: dg.DagsterInstance, home: Path
) -> None:
    runs = Runs(instance, home)
    runs.go.touch()
    received = runs.launch()
    with psycopg.connect(address(engine().url)) as locked:
        # No lease can begin, and without one no message is acknowledged.
        locked.execute("LOCK TABLE leases IN ACCESS EXCLUSIVE MODE")
        worker = forks.start(serve)

        def is_received() -> bool:
            waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'leases'::regclass"
            return locked.execute(waiting).fetchone() is not None

        eventually(is_received, "the worker has received it")
        forks.kill_session(worker)
        killed = time.monotonic()
    another = forks.start(serve)
    try:
        eventually(lambda: runs.status(received) is SUCCESS, "another worker has executed it")
    finally:
        forks.kill_session(another)
    print(f"it had ended {time.monotonic() - killed:.1f} s after the worker was killed")
    assert runs.starts() == [received]


@on("postgresql")
def test_two_runs_on_two_workers_share_one_graph_and_do_each_task_once(
    instance: dg.DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFLOW_EXECUTION_TASK_THREADS", "2")
    settings.cache_clear()
    task = "{name: t%d, role: admin, adapter: shell, arguments: {command: [sleep, '1']}}"
    graph = "name: shared\ntasks: [" + ", ".join(task % number for number in range(40)) + "]"
    with engine().begin() as connection:
        task_graph.submit(
            connection, read_graph(documents.parse(graph, "graph"), ADAPTERS), requested_by="ada"
        )
    with dg.build_sensor_context(
        instance=instance, definitions=build_definitions(), resources={"database": database()}
    ) as context:
        requests = ready_tasks(context).run_requests
    assert [request.tags["qflow/drain"] for request in requests] == ["tasks", "tasks-2"]
    repository = ReconstructableRepository.for_module("qflow_dagster.definitions", "definitions")
    job = repository.get_reconstructable_job("run_task_graphs")
    runs, workers = Runs(instance, home), [forks.start(serve) for _ in range(2)]
    try:
        for _ in workers:
            runs.launch()
        eventually(lambda: len(runs.starts()) == 2, "both workers execute runs")
        runs.go.touch()
        begun = [
            instance.create_run_for_job(
                job.get_definition(),
                status=dg.DagsterRunStatus.STARTING,
                tags=dict(request.tags),
                job_code_origin=job.get_python_origin(),
            ).run_id
            for request in requests
        ]
        for run in begun:
            runs.send(run)
        for run in begun:
            eventually(lambda run=run: runs.status(run) is SUCCESS, "both runs have ended")
    finally:
        for worker in workers:
            forks.kill_session(worker)
    query = "SELECT status, run_id, count(*) FROM workflows WHERE type = 'task_admin' GROUP BY 1, 2"
    claims = "SELECT count(*) FROM workflow_events e JOIN workflows w ON w.id = e.workflow_id "
    with engine().connect() as connection:
        done = {(status, run): count for status, run, count in connection.execute(text(query))}
        running = connection.scalar(text(claims + "WHERE w.type = 'task_admin' AND e.to_status = 'running'"))
    print(f"tasks by run: {sorted(done.values())}")
    assert done.keys() == {("completed", run) for run in begun}
    assert sum(done.values()) == running == 40
