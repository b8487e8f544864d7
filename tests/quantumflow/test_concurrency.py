"""Several processes on one database, and what is left of one that is killed."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe
from multiprocessing.context import ForkServerProcess

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
from tests import forks
from tests.quantumflow import worker

Start = Callable[..., tuple[ForkServerProcess, Pipe]]


@pytest.fixture
def start(database: URL) -> Start:
    """Start a command of `worker` with its arguments; the process, and the pipe on which it says what it does."""
    url = database.render_as_string(hide_password=False)

    def started(command: Callable[..., None], *arguments: object) -> tuple[ForkServerProcess, Pipe]:
        ours, theirs = forks.Pipe(duplex=False)
        with theirs:
            return forks.start(worker.work, url, command, theirs, *arguments), ours

    return started


def rest(pipe: Pipe) -> Iterator[str]:
    """What else comes until the process ends."""
    with suppress(EOFError):
        while True:
            yield pipe.recv()


def codes(workers: list[tuple[ForkServerProcess, Pipe]]) -> list[int | None]:
    """The exit codes of processes that end by themselves."""
    for process, _ in workers:
        process.join(240)
    return [process.exitcode for process, _ in workers]


def count(connection: Connection, table: str) -> int:
    return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_eight_processes_claim_twenty_thousand_workflows_each_exactly_once(
    engine: Engine, start: Start
) -> None:
    with engine.begin() as connection:
        for _ in range(20):
            create_workflows(connection, _jobs(1_000), actor="test")
    workers = [start(worker.drain, f"worker-{n}", 20) for n in range(8)]
    done = [id_ for _, pipe in workers for id_ in rest(pipe)]
    assert codes(workers) == [0] * 8
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
    workers = [start(worker.struggle, f"worker-{n}", 3) for n in range(8)]
    assert codes(workers) == [0] * 8
    with engine.connect() as connection:
        assert count(connection, "workflows") > 100
        assert find(connection, status="running") == []
        assert verify_history(connection) is None


def test_what_a_killed_worker_held_comes_back_and_its_late_report_is_refused(
    engine: Engine, start: Start
) -> None:
    with engine.begin() as connection:
        ids = create_workflows(connection, _jobs(10), actor="test")
    victim, pipe = start(worker.hold, "victim", 1)
    assert pipe.recv() == 10
    with engine.connect() as connection:
        late = find(connection, status="running")
    victim.kill()
    victim.join()
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
    victim, pipe = start(worker.drain, "victim", 50)
    said = [pipe.recv() for _ in range(200)]
    victim.kill()
    said += rest(pipe)
    victim.join()
    with engine.connect() as connection:
        completed = "SELECT count(*) FROM workflows WHERE status = 'completed'"
        # The batch that was committed when it died may be missing from what it said, no other.
        assert connection.execute(text(completed)).scalar_one() - len(said) in range(51)
        assert find(connection, status="running") == []
        assert verify_history(connection) is None


def test_a_listener_killed_again_and_again_misses_nothing_and_repeats_nothing_acknowledged(
    engine: Engine, start: Start
) -> None:
    sent, seen, acknowledged = [], [], []
    dice = random.Random(7)
    for _ in range(4):
        listener, pipe = start(worker.follow, "reader", 30, 3)
        with engine.begin() as connection:
            sent += [str(create_workflow(connection, "test.announced", actor="test")) for _ in range(10)]
        for line in (pipe.recv() for _ in range(dice.randint(3, 12))):
            _note(line, seen, acknowledged)
        listener.kill()
        for line in rest(pipe):
            _note(line, seen, acknowledged)
        listener.join()
    last = start(worker.follow, "reader", 2, 1)
    for line in rest(last[1]):
        _note(line, seen, acknowledged)
    assert codes([last]) == [0]
    first_seen = list(dict.fromkeys(seen))
    assert first_seen == sent
    assert acknowledged == sorted(set(acknowledged), key=sent.index)
    assert acknowledged[-1] == sent[-1]


def _note(line: str, seen: list[str], acknowledged: list[str]) -> None:
    if line.startswith("acknowledged "):
        acknowledged.append(line.removeprefix("acknowledged "))
    else:
        # What was acknowledged, and everything before it, is never seen again.
        assert not acknowledged or line not in seen[: seen.index(acknowledged[-1]) + 1]
        seen.append(line)


def _jobs(number: int) -> list[NewWorkflow]:
    return [NewWorkflow(type="test.job") for _ in range(number)]
