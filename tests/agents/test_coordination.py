"""Agents: who fits, who gets an assignment, and what happens to it when they fail or go away."""

import socket
import sys
import threading
import time
from pathlib import Path
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import URL, Engine, text

from qflow_dagster.agents import agent_messages, agent_program, assignments, coordination
from qflow_dagster.agents.coordination import Agent, Capability, Requirement, candidates, fit
from qflow_dagster.database import engine_for
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.processes import host_name
from qflow_dagster.quantumflow import LeaseLostError, reclaim_expired
from tests import forks

REFACTOR = Requirement("refactoring", "code", "patch", "simple")


def agent(name: str = "one", **fields: object) -> Agent:
    base = Agent(
        name,
        "refactoring",
        ("refactoring",),
        ("code",),
        ("patch",),
        "complex",
        100.0,
        "available",
        1,
        0,
        0,
        0,
    )
    return base._replace(**fields)


def register(engine: Engine, name: str, **fields: object) -> None:
    given = {
        "domains": ("refactoring",),
        "output_types": ("patch",),
        "complexity": "complex",
        "heartbeat": 30.0,
    }
    with engine.begin() as connection:
        coordination.register(connection, Capability(name=name, **{**given, **fields}))  # type: ignore[arg-type]


def assign(engine: Engine, wanted: Requirement = REFACTOR, task: object = None, **fields: object) -> UUID:
    with engine.begin() as connection:
        return assignments.create(connection, task or {"say": "hello"}, wanted, requested_by="test", **fields)  # type: ignore[arg-type]


def route(engine: Engine) -> int:
    with engine.begin() as connection:
        return assignments.route(connection)


def shown(engine: Engine, id_: UUID) -> dict:
    with engine.connect() as connection:
        return assignments.show(connection, id_)


def test_a_perfect_fit_by_the_formula() -> None:
    # 0.3 domain + 0.3 types + 0.2 of a success rate of 4 in 5 + 0.2 available.
    assert fit(agent(), REFACTOR) == pytest.approx(0.3 + 0.3 + 0.16 + 0.2)
    assert fit(agent(domains=()), REFACTOR) == pytest.approx(0.15 + 0.3 + 0.16 + 0.2)
    assert fit(agent(input_types=()), REFACTOR) == pytest.approx(0.3 + 0.3 * 0.65 + 0.16 + 0.2)


@pytest.mark.parametrize("fields", [{"availability": "offline"}, {"complexity": "simple"}])
def test_who_is_out_of_the_question(fields: dict) -> None:
    assert fit(agent(**fields), REFACTOR._replace(complexity="medium")) is None


@given(st.integers(0, 500), st.integers(0, 500))
def test_success_moves_the_fit_and_stays_within_bounds(good: int, bad: int) -> None:
    value = fit(agent(successes=good, failures=bad), REFACTOR)
    better = fit(agent(successes=good + 1, failures=bad), REFACTOR)
    assert value is not None
    assert better is not None
    assert 0 < value < better <= 1


def test_of_equals_the_cheaper_is_first() -> None:
    found = candidates([agent("dear", cost=9.0), agent("cheap", cost=1.0)], REFACTOR)
    assert [one.name for _, one in found] == ["cheap", "dear"]


def test_the_best_fit_gets_it_and_its_result_is_kept(engine: Engine) -> None:
    register(engine, "writer", domains=("documentation",))
    register(engine, "mender")
    id_ = assign(engine)
    assert route(engine) == 1
    with engine.begin() as connection:
        assert assignments.claim_assigned(connection, "writer") == []
        [taken] = assignments.claim_assigned(connection, "mender")
    assert taken.payload["task"] == {"say": "hello"}
    assignments.succeed(engine, taken, "mender", {"patch": "..."})
    found = shown(engine, id_)
    assert (found["state"], found["agent"], found["result"]) == ("succeeded", "mender", {"patch": "..."})
    with engine.connect() as connection:
        [outcome] = coordination.statistics(connection, "mender")
    assert (outcome["outcomes"], outcome["succeeded"]) == (1, 1)


def test_who_failed_is_not_asked_again_while_there_is_another(engine: Engine) -> None:
    register(engine, "first", cost=1.0)
    register(engine, "second", cost=2.0)
    id_ = assign(engine)
    for name in ("first", "second"):
        with engine.begin() as connection:
            connection.execute(text("UPDATE workflows SET available_at = clock_timestamp()"))
        route(engine)
        with engine.begin() as connection:
            [taken] = assignments.claim_assigned(connection, name)
        assignments.report_failure(engine, taken, name, "it did not work")
    assert shown(engine, id_)["tried"] == ["first", "second"]


def test_too_late_is_told_and_changes_nothing(engine: Engine) -> None:
    register(engine, "slow", cost=1.0)
    id_ = assign(engine)
    route(engine)
    with engine.begin() as connection:
        [taken] = assignments.claim_assigned(connection, "slow")
        connection.execute(
            text("UPDATE workflows SET lease_expires_at = clock_timestamp() - interval '1 hour'")
        )
    with engine.begin() as connection:
        reclaim_expired(connection)
    with pytest.raises(LeaseLostError):
        assignments.succeed(engine, taken, "slow", "late")
    assert shown(engine, id_)["result"] is None


def test_a_silent_agent_is_offline_and_its_work_goes_to_another(engine: Engine) -> None:
    register(engine, "silent", cost=1.0)
    register(engine, "there", cost=2.0)
    assign(engine)
    route(engine)
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE agents SET heartbeat_at = now() - interval '1 hour' WHERE name = 'silent'")
        )
        assert coordination.show(connection, "silent").availability == "offline"
    route(engine)
    with engine.begin() as connection:
        [taken] = assignments.claim_assigned(connection, "there")
    assert taken.payload["attempt"] == 1


def test_an_agent_and_what_it_holds_name_the_machine(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    register(engine, "mender")
    register(engine, "ours", heartbeat=None)
    with engine.connect() as connection:
        assert [agent.host for agent in coordination.agents(connection)] == [host_name(), None]
    monkeypatch.setattr(socket, "gethostname", lambda: "build-7")
    assign(engine)
    route(engine)
    with engine.begin() as connection:
        coordination.heartbeat(connection, "mender")
        assert coordination.show(connection, "mender").host == "build-7"
        [taken] = assignments.claim_assigned(connection, "mender")
    assert taken.lease_owner == "agent mender on build-7"


def test_the_same_key_is_the_same_assignment(engine: Engine) -> None:
    assert assign(engine, key="once") == assign(engine, key="once")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM assignments")) == 1


def test_bad_agents_and_assignments_are_refused(engine: Engine) -> None:
    for fields in (
        {"name": "a b"},
        {"name": "a", "role": "boss"},
        {"name": "a", "domains": ("gossip",)},
        {"name": "a", "max_assignments": 0},
    ):
        with pytest.raises(UsageError):
            Capability(**fields)
    with pytest.raises(UsageError, match="gossip"):
        assign(engine, Requirement("gossip"))
    with pytest.raises(UsageError, match="nobody"), engine.begin() as connection:
        coordination.set_availability(connection, "nobody", "offline")
    with pytest.raises(QflowError, match="nobody"), engine.begin() as connection:
        coordination.show(connection, "nobody")


def test_messages_reach_all_others_or_one(engine: Engine) -> None:
    for name in ("ann", "bob", "eve"):
        register(engine, name)
    with engine.begin() as connection:
        agent_messages.send(connection, "ann", None, "greeting", {"words": "hello"})
        agent_messages.send(connection, "ann", "bob", "secret", None)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT queue, payload ->> 'kind' FROM messages WHERE queue LIKE 'agent.%' ORDER BY id")
        ).all()
    assert [tuple(row) for row in rows] == [
        ("agent.bob", "greeting"),
        ("agent.eve", "greeting"),
        ("agent.bob", "secret"),
    ]
    with pytest.raises(UsageError), engine.begin() as connection:
        agent_messages.send(connection, "ann", "ann", "note", None)


ECHO = "import json, sys; given = json.load(sys.stdin); json.dump({'heard': given['task']}, sys.stdout)"


def test_a_program_that_takes_too_long_is_ended_with_all_it_started(engine: Engine, tmp_path: Path) -> None:
    id_ = assign(engine)
    mark = tmp_path / "mark"
    program = ["sh", "-c", f"(sleep 3; touch {mark}) & sleep 60"]
    stop = threading.Event()
    capability = Capability(
        name="slow", domains=("refactoring",), output_types=("patch",), complexity="complex"
    )
    started = time.monotonic()
    agent_program.work(
        engine, capability, program, timeout=0.5, poll=0.05, stop=stop.is_set, report=lambda words: stop.set()
    )
    # It had its child's pipe open: that must not be waited for either.
    assert time.monotonic() - started < 40
    assert "took longer than 0.5 s" in shown(engine, id_)["error"]["message"]
    time.sleep(max(0.0, 3.5 - (time.monotonic() - started)))
    assert not mark.exists()


def test_twenty_programs_some_of_which_fail_do_every_assignment_once(engine: Engine) -> None:
    ids = [assign(engine, task={"number": number}) for number in range(40)]
    # Every fourth program ends with an error: its assignments go to the others.
    programs = {
        f"agent-{number}": [sys.executable, "-c", "raise SystemExit(3)" if number % 4 == 0 else ECHO]
        for number in range(20)
    }
    stop = threading.Event()

    def run(name: str) -> None:
        capability = Capability(
            name=name, domains=("refactoring",), output_types=("patch",), complexity="complex", heartbeat=30.0
        )
        agent_program.work(engine, capability, programs[name], poll=0.05, stop=stop.is_set)

    threads = [threading.Thread(target=run, args=(name,)) for name in programs]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        with engine.begin() as connection:
            connection.execute(
                text("UPDATE workflows SET available_at = clock_timestamp() WHERE status = 'queued'")
            )
            left = connection.scalar(text("SELECT count(*) FROM workflows WHERE finished_at IS NULL"))
        if not left:
            break
        time.sleep(0.1)
    stop.set()
    for thread in threads:
        thread.join(60)
    for number, id_ in enumerate(ids):
        found = shown(engine, id_)
        moves = [event["to"] for event in found["history"]]
        assert moves.count("succeeded") + moves.count("failed") == 1
        if found["state"] == "succeeded":
            assert found["result"] == {"heard": {"number": number}}
        else:
            # Given up only after three programs failed it.
            assert moves.count("running") == assignments.MAX_ATTEMPTS
    assert sum(shown(engine, id_)["state"] == "succeeded" for id_ in ids) > 30


def sleep_over_assignments(database: URL) -> None:
    first = Capability(
        name="first",
        domains=("refactoring",),
        output_types=("patch",),
        complexity="complex",
        cost=1,
        heartbeat=30.0,
    )
    agent_program.work(engine_for(database), first, ["sleep", "600"], poll=0.05)


def test_a_killed_agent_loses_its_assignment_to_another(engine: Engine) -> None:
    register(engine, "second", cost=200.0)
    id_ = assign(engine)
    process = forks.start(sleep_over_assignments, engine.url)
    deadline = time.monotonic() + 120
    while shown(engine, id_)["state"] != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    process.kill()
    process.join()
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE workflows SET lease_expires_at = clock_timestamp() - interval '1 second'")
        )
        reclaim_expired(connection)
        connection.execute(text("UPDATE workflows SET available_at = clock_timestamp()"))
    route(engine)
    with engine.begin() as connection:
        [taken] = assignments.claim_assigned(connection, "second")
    assignments.succeed(engine, taken, "second", "done")
    found = shown(engine, id_)
    assert (found["agent"], found["tried"]) == ("second", ["first"])
    with engine.connect() as connection:
        [outcome] = coordination.statistics(connection, "first")
    assert outcome["succeeded"] == 0
