"""Twenty programs in three languages, killed at random: every assignment is done, and done once."""

import logging
import random
import shutil
import sys
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import Connection, Engine, event, text

from qflow_dagster.agents import agent_program, assignments, coordination
from qflow_dagster.agents.coordination import Requirement
from qflow_dagster.quantumflow import LeaseLostError, reclaim_expired, verify_history
from tests import databases, forks
from tests.agents import external

AGENTS, ASSIGNMENTS, KILLS = 20, 60, 12
# Seconds of a lease, so that what a killed agent had comes back within the test.
LEASE = "6"
ROOT = Path(__file__).parents[2]
# A program that closes the database while it works.
SHUT = """
import sys
sys.path.insert(0, sys.argv[1])
from sqlalchemy import make_url
from tests import databases
databases.shut(make_url(sys.argv[2]))
print(7)
"""


@pytest.mark.timeout(400)
@pytest.mark.skipif(shutil.which("node") is None, reason="no node here")
def test_killed_at_random_nothing_is_lost_and_nothing_is_done_twice(engine: Engine) -> None:
    url = engine.url.render_as_string(hide_password=False)
    environment = {"QFLOW_AGENTS_LEASE": LEASE, "QFLOW_AGENTS_ASSIGN_TIMEOUT": "5"}
    ids: list[UUID] = []

    def create(connection: Connection, count: int) -> None:
        for _ in range(count):
            wanted = Requirement("refactoring", "code", "patch", "simple")
            ids.append(assignments.create(connection, {"number": len(ids)}, wanted, requested_by="test"))
        # However often its agents are killed, the test is about who does it, not about giving up.
        connection.execute(text("UPDATE workflows SET max_attempts = 50"))

    with engine.begin() as connection:
        create(connection, ASSIGNMENTS)
    languages = ("python", "node", "shell")

    def begin(number: int) -> ForkServerProcess:
        return forks.start(
            external.work, url, f"agent-{number}", languages[number % 3], environment=environment
        )

    agents = {number: begin(number) for number in range(AGENTS)}
    chance = random.Random(20)
    killed, deadline = 0, time.monotonic() + 240
    try:
        while time.monotonic() < deadline:
            with engine.begin() as connection:
                reclaim_expired(connection)
                connection.execute(
                    text("UPDATE workflows SET available_at = clock_timestamp() WHERE status = 'queued'")
                )
                done = assignments.counts(connection).get("succeeded", 0)
                busy = connection.scalars(
                    text(
                        "SELECT agent FROM assignments s JOIN workflows w ON w.id = s.id "
                        "WHERE w.status = 'running'"
                    )
                ).all()
                # However quick they are, there is something to do until the last is killed.
                if killed < KILLS:
                    create(connection, max(0, AGENTS - (len(ids) - done)))
            if done == len(ids):
                break
            # One that is at work: its program goes with it, as when a machine loses power.
            if busy and killed < KILLS:
                victim = int(chance.choice(list(busy)).removeprefix("agent-"))
                forks.kill_session(agents[victim])
                agents[victim] = begin(victim)
                killed += 1
            time.sleep(0.5)
    finally:
        for process in agents.values():
            forks.kill_session(process)
    assert killed == KILLS
    heard, by = [], set()
    with engine.connect() as connection:
        for number, id_ in enumerate(ids):
            found = assignments.show(connection, id_)
            assert found["state"] == "succeeded", found
            assert [event["to"] for event in found["history"]].count("succeeded") == 1
            heard.append(found["result"]["heard"])
            by.add(found["result"]["by"])
            assert found["result"]["heard"] == number
        lost = connection.scalar(text("SELECT count(*) FROM outcomes WHERE feedback = 'stopped reporting'"))
        good = connection.scalar(text("SELECT count(*) FROM outcomes WHERE success"))
        assert verify_history(connection) is None
    assert (sorted(heard), by) == (list(range(len(ids))), set(languages))
    # Who was killed over it has it on record as a failure; successes are one for each.
    assert good == len(ids)
    assert 0 < (lost or 0) <= KILLS


def test_the_result_of_a_program_outlives_an_absence_of_the_database(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    with engine.begin() as connection:
        wanted = Requirement("refactoring", "code", "patch", "simple")
        id_ = assignments.create(connection, {}, wanted, requested_by="test")
    agent = coordination.Capability(
        name="steady", domains=("refactoring",), output_types=("patch",), complexity="complex"
    )

    def come_back(record: logging.LogRecord) -> bool:
        databases.admit(engine.url)
        return True

    agent_program.logger.addFilter(come_back)
    try:
        agent_program.work(
            engine,
            agent,
            [sys.executable, "-c", SHUT, str(ROOT), engine.url.render_as_string(hide_password=False)],
            idle=0.5,
            poll=0.1,
        )
    finally:
        agent_program.logger.removeFilter(come_back)
        databases.admit(engine.url)
    assert "the database does not answer" in caplog.text
    with engine.connect() as connection:
        shown = assignments.show(connection, id_)
    assert (shown["result"], shown["attempt"]) == (7, 1)


def test_an_agent_lost_in_the_middle_of_a_routing_is_on_record_before_another_gets_its_work(
    engine: Engine,
) -> None:
    with engine.begin() as connection:
        for name in ("lost", "next"):
            coordination.register(
                connection,
                coordination.Capability(
                    name=name, domains=("refactoring",), output_types=("patch",), complexity="complex"
                ),
            )
        wanted = Requirement("refactoring", "code", "patch", "simple")
        assignments.create(connection, {}, wanted, requested_by="test")
        assignments.route(connection)
    with engine.begin() as connection:
        agent = connection.scalar(text("SELECT agent FROM assignments"))
        assert agent
        assert assignments.claim_assigned(connection, agent)

    def expire(_connection: Connection, _cursor: object, statement: str, *_others: object) -> None:
        if "abandoned" in statement:
            with engine.begin() as other:
                other.execute(text("UPDATE workflows SET lease_expires_at = now() - interval '1 s'"))
                reclaim_expired(other)
                other.execute(text("UPDATE workflows SET available_at = now()"))

    event.listen(engine, "after_cursor_execute", expire)
    with engine.begin() as connection:
        assert assignments.route(connection) == 0
    event.remove(engine, "after_cursor_execute", expire)
    with engine.begin() as connection:
        assert assignments.route(connection) == 1
        assert connection.execute(text("SELECT agent, feedback FROM outcomes")).all() == [
            (agent, "stopped reporting")
        ]
        assert connection.scalar(text("SELECT agent FROM assignments")) != agent


def test_a_slow_agent_loses_its_lease_and_is_fenced(engine: Engine) -> None:
    with engine.begin() as connection:
        for name in ("slow", "quick"):
            capability = coordination.Capability(
                name=name,
                domains=("refactoring",),
                output_types=("patch",),
                complexity="complex",
                cost=1 if name == "slow" else 2,
                heartbeat=30.0,
            )
            coordination.register(connection, capability)
        id_ = assignments.create(
            connection,
            {"number": 1},
            Requirement("refactoring", "code", "patch", "simple"),
            requested_by="test",
        )
        assignments.route(connection)
    with engine.begin() as connection:
        [late] = assignments.claim_assigned(connection, "slow")
        connection.execute(
            text("UPDATE workflows SET lease_expires_at = now() - interval '1 s' WHERE id = :id"), {"id": id_}
        )
        reclaim_expired(connection)
        connection.execute(text("UPDATE workflows SET available_at = now() WHERE id = :id"), {"id": id_})
    with engine.begin() as connection:
        assignments.route(connection)
        [taken] = assignments.claim_assigned(connection, "quick")
    with pytest.raises(LeaseLostError):
        assignments.succeed(engine, late, "slow", "too late")
    assignments.succeed(engine, taken, "quick", "in time")
    with pytest.raises(LeaseLostError):
        assignments.report_failure(engine, late, "slow", "too late as well")
    with engine.connect() as connection:
        assert assignments.show(connection, id_)["result"] == "in time"
        slow = coordination.statistics(connection, "slow")
    assert [(row["outcomes"], row["succeeded"]) for row in slow] == [(1, 0)]
