"""When tasks fail: what is blocked, tried again, amended, split, cancelled, or taken from its worker."""

import threading
from typing import Any

import pytest
from sqlalchemy import Engine, text

from qflow_dagster.errors import QflowError
from qflow_dagster.execution import task_interventions
from qflow_dagster.execution.task_adapters import Call, TaskFailedError
from qflow_dagster.execution.task_definitions import Task
from qflow_dagster.execution.task_worker import TaskCounts, work
from qflow_dagster.quantumflow import get_events, verify_history
from qflow_dagster.settings import settings as configured
from tests.execution.conftest import Script, do, failing, states, submit, task_id, whole


def test_a_failed_task_blocks_what_depends_on_it_and_the_rest_is_kept(engine: Engine, script: Script) -> None:
    script.answers["bad"] = failing(1, retry=False)
    id_ = submit(
        engine,
        script,
        {"name": "bad"},
        {"name": "next", "depends_on": ["bad"]},
        {"name": "last", "depends_on": ["next"]},
        {"name": "other"},
    )
    do(engine, script)
    assert states(engine, id_) == {
        "bad": "failed",
        "next": "blocked",
        "last": "blocked",
        "other": "completed",
    }
    shown = whole(engine, id_)
    assert shown["state"] == "failed"
    with engine.begin() as connection:
        assert task_interventions.retry_failed(connection, id_, actor="ada") == 1
    assert states(engine, id_)["last"] == "pending"
    do(engine, script)
    assert set(states(engine, id_).values()) == {"completed"}
    assert whole(engine, id_)["state"] == "completed"
    assert script.names.count("other") == 1
    with engine.connect() as connection:
        assert verify_history(connection) is None
        assert [event.to_status for event in get_events(connection, id_)] == [
            "running",
            "failed",
            "running",
            "completed",
        ]


def test_what_depends_on_a_failure_goes_on_where_it_says_so(engine: Engine, script: Script) -> None:
    script.answers["bad"] = failing(1, retry=False)
    id_ = submit(
        engine, script, {"name": "bad", "on_failure": "continue"}, {"name": "next", "depends_on": ["bad"]}
    )
    do(engine, script)
    assert states(engine, id_) == {"bad": "failed", "next": "completed"}
    assert script.calls[-1].inputs == {"run": {}}
    assert whole(engine, id_)["state"] == "completed"


def test_attempts_are_made_again_after_a_growing_pause(
    engine: Engine, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configured().quantumflow, "retry_delay", 0.05)
    script.answers["flaky"] = failing(2)
    id_ = submit(engine, script, {"name": "flaky", "max_attempts": 3})
    for _ in range(50):
        do(engine, script)
        if whole(engine, id_)["state"] != "running":
            break
        threading.Event().wait(0.05)
    assert whole(engine, id_)["state"] == "completed"
    assert [call.attempt for call in script.calls] == [1, 2, 3]


def test_a_part_that_fails_fails_the_goal_and_a_retry_mends_both(engine: Engine, script: Script) -> None:
    script.answers["a"] = failing(1, retry=False)
    parts = [{"name": "a", "adapter": "python"}, {"name": "b", "adapter": "python", "depends_on": ["a"]}]
    id_ = submit(engine, script, {"name": "goal", "tasks": parts}, {"name": "after", "depends_on": ["goal"]})
    do(engine, script)
    assert states(engine, id_) == {"goal": "failed", "a": "failed", "b": "blocked", "after": "blocked"}
    with engine.begin() as connection:
        task_interventions.retry_failed(connection, id_, actor="ada")
    do(engine, script)
    assert set(states(engine, id_).values()) == {"completed"}


def test_an_amended_task_is_tried_again_and_the_change_is_in_its_history(
    engine: Engine, script: Script
) -> None:
    def picky(call: Call) -> str:
        if call.arguments["value"] == "wrong":
            raise TaskFailedError("wrong", kind="arguments", retry=False)
        return "right"

    script.answers["task"] = picky
    id_ = submit(engine, script, {"name": "task", "arguments": {"value": "wrong"}})
    do(engine, script)
    failed = task_id(engine, id_, "task")
    with engine.begin() as connection:
        task_interventions.amend(
            connection, failed, script.adapters, actor="ada", reason="typo", arguments={"value": "ok"}
        )
    do(engine, script)
    assert whole(engine, id_)["state"] == "completed"
    with engine.connect() as connection:
        [event] = [event for event in get_events(connection, failed) if event.actor == "ada"]
    assert (event.data["reason"], event.data["to"]["arguments"]) == ("typo", {"value": "ok"})


def test_a_failed_task_is_split_or_gets_another_before_it(engine: Engine, script: Script) -> None:
    script.answers["big"] = failing(1, retry=False)
    script.answers["needy"] = failing(1, retry=False)
    id_ = submit(engine, script, {"name": "big"}, {"name": "needy"})
    do(engine, script)
    parts = [Task(name="one", adapter="python"), Task(name="two", adapter="python", depends_on=("one",))]
    with engine.begin() as connection:
        task_interventions.amend(
            connection,
            task_id(engine, id_, "big"),
            script.adapters,
            actor="ada",
            reason="too big",
            parts=parts,
        )
        task_interventions.amend(
            connection,
            task_id(engine, id_, "needy"),
            script.adapters,
            actor="ada",
            reason="needs data",
            before=Task(name="data", adapter="python"),
        )
    do(engine, script)
    assert whole(engine, id_)["state"] == "completed"
    assert script.names.index("one") < script.names.index("two")
    assert script.names.index("data") < len(script.names) - 1 - script.names[::-1].index("needy")


def test_a_task_done_before_stands_beside_the_others_and_is_seen(engine: Engine, script: Script) -> None:
    script.answers["needy"] = failing(1, retry=False)
    id_ = submit(
        engine,
        script,
        {"name": "base"},
        {"name": "needy", "depends_on": ["base"], "arguments": {"value": "${base}"}},
    )
    do(engine, script)
    needy = task_id(engine, id_, "needy")

    def amend(**change: Any) -> None:
        with engine.begin() as connection:
            task_interventions.amend(connection, needy, script.adapters, actor="ada", reason="r", **change)

    for wrong, words in (
        ({"before": Task(name="base", adapter="python")}, "is defined twice"),
        ({"before": Task(name="new", adapter="python", depends_on=("nobody",))}, "not a task beside it"),
        ({"before": Task(name="new", adapter="python", depends_on=("needy",))}, "cycle"),
        ({"arguments": {"value": "${new}"}}, "is not visible to it"),
    ):
        with pytest.raises(QflowError, match=words):
            amend(**wrong)
    amend(
        before=Task(name="new", adapter="python", depends_on=("base",), arguments={"value": "new ${base}"}),
        arguments={"value": "${new}"},
    )
    do(engine, script)
    assert whole(engine, id_)["state"] == "completed"
    assert script.calls[-1].arguments == {"value": "new base"}


def test_cancelling_ends_everything_unfinished(engine: Engine, script: Script) -> None:
    script.answers["bad"] = failing(9)
    id_ = submit(engine, script, {"name": "ok"}, {"name": "bad"}, {"name": "later", "depends_on": ["bad"]})
    do(engine, script)
    with engine.begin() as connection:
        assert task_interventions.cancel_graph(connection, id_, actor="ada", reason="no more") == 2
    assert states(engine, id_) == {"ok": "completed", "bad": "cancelled", "later": "cancelled"}
    assert do(engine, script) == TaskCounts()


def test_a_worker_that_lost_its_lease_is_not_believed(engine: Engine, script: Script) -> None:
    def stolen(call: Call) -> str:
        if call.attempt == 1:
            with engine.begin() as connection:
                connection.execute(
                    text("UPDATE workflows SET lease_expires_at = now() - interval '1 s' WHERE id = :id"),
                    {"id": call.id},
                )
                from qflow_dagster.quantumflow import reclaim_expired

                reclaim_expired(connection)
        return f"attempt {call.attempt}"

    script.answers["slow"] = stolen
    id_ = submit(engine, script, {"name": "slow"})
    do(engine, script)
    assert whole(engine, id_)["result"] == {"slow": "attempt 2"}
    with engine.connect() as connection:
        events = get_events(connection, task_id(engine, id_, "slow"))
    assert [event.to_status for event in events].count("completed") == 1


def test_a_task_that_breaks_what_begins_it_takes_no_other_with_it(engine: Engine, script: Script) -> None:
    class Broken:
        argument_spec = property(lambda self: 1 / 0)

    id_ = submit(engine, script, {"name": "bad", "max_attempts": 1}, {"name": "good"})
    with engine.begin() as connection:
        connection.execute(
            text("UPDATE tasks SET spec = spec || '{\"adapter\": \"broken\"}' WHERE name = 'bad'")
        )
    work(engine, worker="worker", adapters={**script.adapters, "broken": Broken()}, threads=4)  # type: ignore[dict-item]
    assert states(engine, id_) == {"bad": "failed", "good": "completed"}
