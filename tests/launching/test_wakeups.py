"""What happens wakes the daemon: messages, rows, runs and commits; and which sensors then tick, and when."""

import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from sqlalchemy import URL, Engine

from qflow_dagster.definitions import build_definitions
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors
from qflow_dagster.launching import daemon
from qflow_dagster.launching.daemon import MIN_PAUSE, UNTIL_SEEN, Woken
from qflow_dagster.launching.wakeups import (
    RUNS,
    Busy,
    Runs,
    Wakeups,
    listen_to_messages,
    listen_to_runs,
    watch_commits,
)
from qflow_dagster.quantumflow import send_with_notify
from qflow_dagster.registry import Channel, Queue
from qflow_dagster.sensors.wakes import WOKEN_BY

PATIENCE = 30.0
Listen = Callable[..., Wakeups]


@pytest.fixture
def listening() -> Iterator[Listen]:
    """Start a listener; all end with the test."""
    stop, threads = threading.Event(), []

    def start(listen: Callable[..., None], *arguments: Any, several: bool = True) -> Wakeups:
        wakeups = Wakeups()
        target = [wakeups] if several else wakeups
        threads.append(threading.Thread(target=listen, args=(*arguments, target, stop), daemon=True))
        threads[-1].start()
        return wakeups

    yield start
    stop.set()


def address(database: URL) -> str:
    return database.set(drivername="postgresql").render_as_string(hide_password=False)


def test_messages_and_new_errors_wake_and_a_lost_connection_counts_as_all_of_them(
    database: URL, engine: Engine, listening: Listen
) -> None:
    channels = {Queue.APPROVAL_NOTIFICATIONS, Queue.KNOWLEDGE_REQUESTS, Channel.OCCURRENCES}
    wakeups = listening(listen_to_messages, address(database), channels)
    assert wakeups.take(PATIENCE) == channels
    with engine.begin() as connection:
        send_with_notify(connection, Queue.APPROVAL_NOTIFICATIONS, [{}])
        send_with_notify(connection, Queue.ERROR_NOTIFICATIONS, [{}])
    assert wakeups.take(PATIENCE) == {Queue.APPROVAL_NOTIFICATIONS}
    with engine.begin() as connection:
        track_errors(connection, [Occurrence(operation="shop.pay", kind="KeyError", message="price")])
    assert wakeups.take(PATIENCE) == {Channel.OCCURRENCES}
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'qflow wake-ups' AND datname = current_database()"
        )
    assert wakeups.take(PATIENCE) == channels


def test_runs_wake_when_one_is_queued_or_ends(database: URL, listening: Listen) -> None:
    with psycopg.connect(address(database), autocommit=True) as connection:
        # The part of Dagster's table that is read.
        connection.execute("CREATE TABLE runs (run_id text, pipeline_name text, status text)")
        runs = Runs()
        wakeups = listening(listen_to_runs, address(database), runs)
        for statement, woken, expected in (
            ("INSERT INTO runs VALUES ('1', 'mine', 'QUEUED')", {RUNS}, Runs(True, frozenset({("mine", 1)}))),
            ("UPDATE runs SET status = 'STARTED'", set(), Runs(False, frozenset({("mine", 1)}))),
            (
                "INSERT INTO runs VALUES ('2', 'mine', 'STARTED')",
                {RUNS},
                Runs(False, frozenset({("mine", 1), ("mine", 2)})),
            ),
            ("UPDATE runs SET status = 'SUCCESS'", {RUNS}, Runs(False, frozenset())),
        ):
            connection.execute(statement.encode())
            connection.execute("NOTIFY run_events, '1_1'")
            assert wakeups.take(PATIENCE if woken else 0.5) == woken
            assert runs == expected


def test_the_columns_of_runs_are_those_of_dagster() -> None:
    from dagster._core.storage.runs.schema import RunsTable

    assert {"run_id", "pipeline_name", "status"} <= set(RunsTable.c.keys())
    waiting = {"QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"}
    ended = {status.value for status in dg.DagsterRunStatus} - waiting
    assert ended == {"SUCCESS", "FAILURE", "CANCELED", "MANAGED", "SUSPENDED"}


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    subprocess.run(["git", *identity, "-C", str(folder), *arguments], check=True, capture_output=True)


def test_commits_wake_in_checkouts_and_bare_repositories(tmp_path: Path, listening: Listen) -> None:
    work, bare = tmp_path / "work", tmp_path / "bare.git"
    for folder, kind in ((work, "--quiet"), (bare, "--bare")):
        folder.mkdir()
        git(folder, "init", kind, "--initial-branch=main")
    git(work, "commit", "--allow-empty", "-m", "first")
    locations = [str(work), str(bare), "https://example.org/a.git", str(tmp_path / "gone")]
    wakeups = listening(watch_commits, lambda: locations, several=False)
    # Until it watches.
    while not wakeups.take(0.5):
        git(work, "commit", "--allow-empty", "-m", "again")
    while wakeups.take(1.0):
        pass
    git(work, "push", str(bare), "main")
    assert wakeups.take(PATIENCE) == {Channel.COMMITS}


def test_ended_runs_are_read_when_one_has_ended_and_not_every_few_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(daemon, "SELDOM", 3_600.0)
    wakeups, stop = Wakeups(), threading.Event()
    with (
        dg.instance_for_test() as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as context,
    ):
        loop = daemon.WokenRetries(wakeups).core_loop(context, stop)
        reading = threading.Thread(target=lambda: [*loop], daemon=True)
        reading.start()
        reading.join(0.2)
        cursors = {f"EVENT_LOG_CONSUMER_CURSOR-{kind}" for kind in ("PIPELINE_FAILURE", "PIPELINE_SUCCESS")}
        assert not instance.daemon_cursor_storage.get_cursor_values(cursors)
        stop.set()
        wakeups.add({RUNS})
        reading.join(PATIENCE)
        assert instance.daemon_cursor_storage.get_cursor_values(cursors).keys() == cursors


def test_a_woken_sensor_ticks_at_once_then_waits_for_its_runs() -> None:
    jobs, none = frozenset({("a", 1), ("b", 1)}), frozenset[Busy]()
    woken = Woken(fresh=True)
    assert woken.is_due(jobs, none, 100.0)
    woken.fresh, woken.ticked_at = False, 100.0
    assert not woken.is_due(jobs, none, 101.0)
    # The run that its tick requested, and its end: whatever came meanwhile is looked at then.
    assert not woken.is_due(jobs, frozenset({("a", 1)}), 102.0)
    assert not woken.is_over(200.0)
    assert woken.is_due(jobs, none, 103.0)
    woken.ticked_at = 103.0
    assert not woken.is_over(103.0 + UNTIL_SEEN)
    assert woken.is_over(103.1 + UNTIL_SEEN)


def test_a_woken_sensor_does_not_tick_while_all_its_jobs_are_busy_nor_in_a_burst() -> None:
    job, none = frozenset({("a", 1)}), frozenset[Busy]()
    woken = Woken(fresh=True)
    assert not woken.is_due(job, job, 100.0)
    assert woken.is_due(job, none, 101.0)
    woken.fresh, woken.ticked_at = True, 101.0
    assert not woken.is_due(job, none, 101.0 + MIN_PAUSE / 2)
    assert woken.is_due(job, none, 101.0 + MIN_PAUSE)
    # Of a sensor that requests a run for each of many, any may end or be requested while others go on.
    several, woken = frozenset({("a", 1), ("a", 2), ("a", 3)}), Woken(fresh=True)
    assert woken.is_due(several, job, 100.0)
    woken.fresh, woken.ticked_at = False, 100.0
    assert not woken.is_due(several, job | {("a", 2)}, 101.0)
    assert woken.is_due(several, job, 102.0)
    # A run that ends within the pause is not forgotten.
    woken = Woken(fresh=False, ticked_at=100.0, busy=job)
    assert not woken.is_due(job, none, 100.0 + MIN_PAUSE / 2)
    assert woken.is_due(job, none, 100.0 + MIN_PAUSE)


def test_a_woken_sensor_ticks_beside_a_run_of_its_job_where_there_may_be_two() -> None:
    first, second = ("a", 1), ("a", 2)
    woken = Woken(fresh=True)
    assert woken.is_due(frozenset({first, second}), frozenset({first}), 100.0)
    woken.ticked_at = 100.0
    assert not woken.is_due(frozenset({first, second}), frozenset({first, second}), 102.0)
    # One of the two has ended.
    woken.fresh = False
    assert woken.is_due(frozenset({first, second}), frozenset({first}), 103.0)


def test_every_sensor_that_is_woken_names_channels_that_exist() -> None:
    channels = {*Queue, *Channel}
    sensors = build_definitions().get_repository_def().sensor_defs
    named = {
        sensor.name: str(sensor.metadata[WOKEN_BY].value).split(", ")
        for sensor in sensors
        if WOKEN_BY in sensor.metadata and sensor.metadata[WOKEN_BY].value
    }
    assert {channel for names in named.values() for channel in names} <= channels
    assert {"approval_decisions", "new_errors", "ready_tasks", "repository_commits"} <= named.keys()
