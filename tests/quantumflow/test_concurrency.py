"""Several processes on one database, and what is left of one that is killed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, Engine, text

from qflow_dagster.quantumflow import (
    LeaseLostError,
    NewWorkflow,
    claim,
    complete,
    create_workflow,
    create_workflows,
    find,
    get_events,
    reclaim_expired,
    verify_history,
)

Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(database: URL) -> Start:
    """Start `worker.py` with a command and its arguments."""
    url = database.render_as_string(hide_password=False)

    def process(command: str, *arguments: object) -> subprocess.Popen:
        script = Path(__file__).with_name("worker.py")
        return subprocess.Popen(
            [sys.executable, str(script), command, url, *map(str, arguments)],
            stdout=subprocess.PIPE,
            text=True,
        )

    return process


def count(connection: Connection, table: str) -> int:
    return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_eight_processes_claim_twenty_thousand_workflows_each_exactly_once(
    engine: Engine, start: Start
) -> None:
    with engine.begin() as connection:
        for _ in range(20):
            create_workflows(connection, _jobs(1_000), actor="test")
    workers = [start("drain", f"worker-{n}", 20) for n in range(8)]
    done = [line for worker in workers for line in worker.communicate(timeout=240)[0].split()]
    assert [worker.returncode for worker in workers] == [0] * 8
    assert len(done) == len(set(done)) == 20_000
    with engine.connect() as connection:
        outcome = "SELECT count(*) FROM workflows WHERE status = 'completed' AND attempt = 1"
        assert connection.scalar(text(outcome)) == 20_000
        # created, claimed, completed: one event each, all chains whole.
        assert count(connection, "workflow_events") == 60_000
        assert verify_history(connection) is None


def test_eight_processes_doing_everything_leave_whole_chains_and_no_deadlock(
    engine: Engine, start: Start
) -> None:
    workers = [start("struggle", f"worker-{n}", 3) for n in range(8)]
    for worker in workers:
        worker.communicate(timeout=240)
    assert [worker.returncode for worker in workers] == [0] * 8
    with engine.connect() as connection:
        assert count(connection, "workflows") > 100
        assert find(connection, status="running") == []
        assert verify_history(connection) is None


def test_what_a_killed_worker_held_comes_back_and_its_late_report_is_refused(
    engine: Engine, start: Start
) -> None:
    with engine.begin() as connection:
        ids = create_workflows(connection, _jobs(10), actor="test")
    worker = start("hold", "victim", 1)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "10\n"
    with engine.connect() as connection:
        late = find(connection, status="running")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    with engine.begin() as connection:
        returned: list = []
        deadline = time.monotonic() + 60
        while len(returned) < 10 and time.monotonic() < deadline:
            returned += reclaim_expired(connection)
            time.sleep(0.05)
        assert sorted(returned) == ids
        again = claim(connection, "test.job", worker="heir", limit=20)
        assert sorted(w.id for w in again) == ids
        with pytest.raises(LeaseLostError):
            complete(connection, late)
        complete(connection, again)
        assert {e.actor for e in get_events(connection, ids[0])} == {"test", "victim", "qflow", "heir"}
        assert verify_history(connection) is None


def test_a_worker_killed_in_the_middle_of_a_batch_leaves_it_whole_or_untouched(
    engine: Engine, start: Start
) -> None:
    with engine.begin() as connection:
        for _ in range(5):
            create_workflows(connection, _jobs(1_000), actor="test")
    worker = start("drain", "victim", 50)
    assert worker.stdout is not None
    printed = [worker.stdout.readline().strip() for _ in range(200)]
    worker.kill()
    printed += worker.stdout.read().split()
    worker.wait()
    with engine.connect() as connection:
        completed = "SELECT count(*) FROM workflows WHERE status = 'completed'"
        # The batch that was committed when it died may be missing from what it said, no other.
        assert connection.execute(text(completed)).scalar_one() - len(printed) in range(51)
        assert find(connection, status="running") == []
        assert verify_history(connection) is None


def test_a_listener_killed_again_and_again_misses_nothing_and_repeats_nothing_acknowledged(
    engine: Engine, start: Start
) -> None:
    sent, seen, acknowledged = [], [], []
    dice = random.Random(7)
    for _ in range(4):
        listener = start("follow", "reader", 30, 3)
        with engine.begin() as connection:
            sent += [str(create_workflow(connection, "test.announced", actor="test")) for _ in range(10)]
        assert listener.stdout is not None
        for line in (listener.stdout.readline().strip() for _ in range(dice.randint(3, 12))):
            _note(line, seen, acknowledged)
        os.kill(listener.pid, signal.SIGKILL)
        for line in listener.stdout.read().splitlines():
            _note(line, seen, acknowledged)
        listener.wait()
    last = start("follow", "reader", 2, 1)
    for line in last.communicate(timeout=240)[0].splitlines():
        _note(line, seen, acknowledged)
    assert last.returncode == 0
    first_seen = list(dict.fromkeys(seen))
    assert first_seen == sent
    assert acknowledged == sorted(set(acknowledged), key=sent.index)
    assert acknowledged[-1] == sent[-1]


def _note(line: str, seen: list[str], acknowledged: list[str]) -> None:
    if line.startswith("acknowledged "):
        acknowledged.append(line.removeprefix("acknowledged "))
    elif line:
        # What was acknowledged, and everything before it, is never seen again.
        assert not acknowledged or line not in seen[: seen.index(acknowledged[-1]) + 1]
        seen.append(line)


def _jobs(number: int) -> list[NewWorkflow]:
    return [NewWorkflow(type="test.job") for _ in range(number)]
