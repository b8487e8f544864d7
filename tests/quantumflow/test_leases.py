"""Leases of processes: kept while the process lives, on whichever machine, and free soon after it is killed."""

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest
from sqlalchemy import URL, Engine, make_url, text

from qflow_dagster.database import engine_for
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import leases
from tests import forks

# A machine with much else to do may stop a process for a second.
SHORT = {"LEASE": 3.0, "RENEWAL": 0.3, "STANDBY": 0.1}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases last three seconds instead of twenty."""
    for name, value in SHORT.items():
        monkeypatch.setattr(leases, name, value)


def remaining(engine: Engine, name: str) -> float | None:
    with engine.connect() as connection:
        return next((lease.remaining for lease in leases.by_name(connection, name)), None)


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a function returns true."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def stay(url: str, name: str, exclusive: bool) -> None:
    """Keep or hold a lease until this process is killed."""
    for constant, value in SHORT.items():
        setattr(leases, constant, value)
    engine = engine_for(make_url(url))
    if exclusive:
        with leases.hold(engine, name, on_wait=lambda _: None, on_loss=lambda: os._exit(3)):
            time.sleep(600)
    else:
        with leases.kept(engine, name, afterwards=600.0):
            time.sleep(600)


@pytest.fixture
def address(database: URL) -> str:
    return database.render_as_string(hide_password=False)


def test_a_lease_is_kept_while_its_process_lives_and_runs_out_when_it_is_killed(
    engine: Engine, address: str
) -> None:
    process = forks.start(stay, address, "run 1", False)
    wait_until(lambda: remaining(engine, "run 1") is not None)
    time.sleep(1.5 * SHORT["LEASE"])
    assert (remaining(engine, "run 1") or 0) > 0
    forks.kill_session(process)
    assert (remaining(engine, "run 1") or 0) <= SHORT["LEASE"]
    wait_until(lambda: (remaining(engine, "run 1") or 1) <= 0)


def test_a_lease_is_kept_on_after_the_database_was_away_for_longer(engine: Engine) -> None:
    with leases.kept(engine, "run 1"):
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE leases RENAME TO away"))
        time.sleep(1.5 * SHORT["LEASE"])
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE away RENAME TO leases"))
        wait_until(lambda: (remaining(engine, "run 1") or 0) > 0)
    assert remaining(engine, "run 1") is None


def test_what_ends_in_order_keeps_its_lease_for_what_follows(engine: Engine) -> None:
    with leases.kept(engine, "run 1", afterwards=60.0):
        assert 0 < (remaining(engine, "run 1") or 0) <= SHORT["LEASE"]
    assert 50 < (remaining(engine, "run 1") or 0) <= 60
    with engine.begin() as connection:
        leases.forget(connection, ["run 1"])
        assert leases.by_name(connection, "run") == []


def test_there_is_one_holder_and_the_next_takes_over_from_one_that_was_killed(
    engine: Engine, address: str
) -> None:
    first = forks.start(stay, address, "daemon", True)
    wait_until(lambda: remaining(engine, "daemon") is not None)
    waited: list[leases.ProcessLease] = []
    taken = threading.Event()

    def second() -> None:
        with leases.hold(engine, "daemon", on_wait=waited.append, on_loss=lambda: None):
            taken.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert not taken.wait(1.5 * SHORT["LEASE"])
    assert [(lease.host, lease.holder.split()[1]) for lease in waited] == [(host_name(), str(first.pid))]
    forks.kill_session(first)
    assert taken.wait(30)
    thread.join()
    # Who ends in order leaves nothing to wait for.
    assert remaining(engine, "daemon") is None


def test_a_holder_that_was_suspended_hears_that_another_took_its_place(engine: Engine, address: str) -> None:
    first = forks.start(stay, address, "daemon", True)
    wait_until(lambda: remaining(engine, "daemon") is not None)
    assert first.pid is not None
    os.kill(first.pid, signal.SIGSTOP)
    with leases.hold(engine, "daemon", on_wait=lambda _: None, on_loss=lambda: None):
        os.kill(first.pid, signal.SIGCONT)
        first.join(30)
        assert first.exitcode == 3


def test_the_leases_of_a_process_that_was_ended_can_be_removed_at_once(engine: Engine) -> None:
    with engine.begin() as connection:
        assert leases.take(connection, "daemon", f"{host_name()} 41 abc", seconds=60.0)
        assert leases.take(connection, "other", f"{host_name()} 410 abc", seconds=60.0)
        leases.forget_process(connection, 41)
        assert [lease.name for lease in leases.by_name(connection, "")] == ["other"]


def test_who_stops_waiting_holds_nothing(engine: Engine) -> None:
    stop = threading.Event()
    with (
        leases.hold(engine, "daemon", on_wait=lambda _: None, on_loss=lambda: None) as held,
        leases.hold(engine, "daemon", on_wait=lambda _: stop.set(), on_loss=lambda: None, stop=stop) as other,
    ):
        assert (held, other) == (True, False)


def test_a_lease_that_ran_out_while_the_server_was_down_can_still_be_renewed(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE", 1e9)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO leases VALUES ('run 1', 'x', 'there', now(), now() - interval '1 hour')")
        )
        assert leases.by_name(connection, "run ")[0].remaining > 0
