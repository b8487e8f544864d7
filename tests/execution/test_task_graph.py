"""Running task graphs: what waits for what, what comes back, conditions, goals, and what is stored of an output."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from qflow_dagster.execution import task_records
from qflow_dagster.execution.task_worker import TaskCounts
from tests.execution.conftest import Script, do, failing, states, submit, whole


def test_a_task_gets_the_outputs_of_what_it_depends_on_by_name(engine: Engine, script: Script) -> None:
    id_ = submit(
        engine,
        script,
        {"name": "report", "depends_on": ["left", "right"], "arguments": {"value": "${left} and ${right}"}},
        {"name": "left", "arguments": {"value": "${run.word}"}},
        {"name": "right", "arguments": {"value": {"deep": [1, "${run.word}"]}}},
        input={"word": "hello"},
    )
    assert do(engine, script) == TaskCounts(completed=3)
    assert script.names[-1] == "report"
    assert script.calls[-1].inputs == {
        "run": {"word": "hello"},
        "left": "hello",
        "right": {"deep": [1, "hello"]},
    }
    shown = whole(engine, id_)
    assert shown["state"] == "completed"
    assert shown["result"] == {"report": 'hello and {"deep": [1, "hello"]}'}


def test_the_parallel_example_of_pgflow(engine: Engine, script: Script) -> None:
    script.answers["fetch"] = lambda call: {"title": "A page", "length": 40}
    script.answers["summarise"] = lambda call: f"{call.inputs['fetch']['title']}, short"
    script.answers["tags"] = lambda call: ["a", "b"]
    script.answers["save"] = lambda call: {
        "saved": [call.inputs["summarise"], call.inputs["tags"], call.inputs["run"]["url"]]
    }
    id_ = submit(
        engine,
        script,
        {"name": "fetch"},
        {"name": "summarise", "depends_on": ["fetch"]},
        {"name": "tags", "depends_on": ["fetch"]},
        {"name": "save", "depends_on": ["summarise", "tags"]},
        input={"url": "https://example.com"},
    )
    do(engine, script)
    assert whole(engine, id_)["result"] == {
        "save": {"saved": ["A page, short", ["a", "b"], "https://example.com"]}
    }


def test_the_map_example_of_pgflow_outputs_come_back_in_order(engine: Engine, script: Script) -> None:
    script.answers["double"] = lambda call: call.arguments["n"] * 2
    script.answers["sum"] = lambda call: sum(call.inputs["double"])
    id_ = submit(
        engine,
        script,
        {"name": "double", "map": "run.numbers", "arguments": {"n": "${item}"}},
        {"name": "sum", "depends_on": ["double"]},
        input={"numbers": list(range(50))},
    )
    do(engine, script)
    assert whole(engine, id_)["result"] == {"sum": sum(range(50)) * 2}
    with engine.connect() as connection:
        row = next(row for row in task_records.tasks_of(connection, id_) if row["name"] == "double")
        assert task_records.result(connection, row["id"]) == [n * 2 for n in range(50)]


def test_a_map_over_nothing_ends_at_once_and_what_is_no_array_fails(engine: Engine, script: Script) -> None:
    empty = submit(
        engine,
        script,
        {"name": "each", "map": "run.list"},
        {"name": "after", "depends_on": ["each"]},
        input={"list": []},
    )
    wrong = submit(engine, script, {"name": "each", "map": "run.list"}, input={"list": "text"})
    do(engine, script)
    assert states(engine, empty) == {"each": "completed", "after": "completed"}
    assert script.calls[-1].inputs["each"] == []
    assert states(engine, wrong) == {"each": "failed"}
    assert "is not an array but str" in whole(engine, wrong)["tasks"][0]["error"]["message"]


def test_conditions_skip_a_task_its_dependents_too_or_fail(engine: Engine, script: Script) -> None:
    id_ = submit(
        engine,
        script,
        {"name": "gate", "arguments": {"value": {"plan": "free", "seats": [1, 2]}}},
        {"name": "paid", "depends_on": ["gate"], "when": {"gate": {"plan": "paid"}}},
        {"name": "after_paid", "depends_on": ["paid", "gate"]},
        {"name": "free", "depends_on": ["gate"], "when": {"gate": {"plan": "free", "seats": [2]}}},
        {
            "name": "cascade",
            "depends_on": ["gate"],
            "when": {"gate": {"plan": "paid"}},
            "otherwise": "skip_dependents",
        },
        {"name": "under_cascade", "depends_on": ["cascade"]},
    )
    do(engine, script)
    assert states(engine, id_) == {
        "gate": "completed",
        "paid": "skipped",
        "after_paid": "completed",
        "free": "completed",
        "cascade": "skipped",
        "under_cascade": "skipped",
    }
    assert "paid" not in next(call for call in script.calls if call.name == "after_paid").inputs
    assert whole(engine, id_)["state"] == "completed"


def test_a_goal_is_done_by_its_parts(engine: Engine, script: Script) -> None:
    part = {"adapter": "python"}
    id_ = submit(
        engine,
        script,
        {"name": "before"},
        {
            "name": "goal",
            "type": "goal",
            "depends_on": ["before"],
            "tasks": [{"name": "a", **part}, {"name": "b", "depends_on": ["a"], **part}],
        },
        {"name": "after", "depends_on": ["goal"]},
    )
    do(engine, script)
    assert script.names == ["before", "a", "b", "after"]
    assert script.calls[-1].inputs["goal"] == {"b": "b"}
    assert states(engine, id_)["goal"] == "completed"


dags = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=30),
        st.sets(st.integers(0, n - 1), max_size=3),
    )
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(dags)
def test_any_graph_ends_and_no_task_is_done_before_what_it_depends_on(engine: Engine, drawn: Any) -> None:
    number, pairs, bad = drawn
    script = Script()
    edges = {(high, low) for high, low in pairs if high > low}
    for n in bad:
        script.answers[f"t{n}"] = failing(1, retry=False)
    tasks = [
        {"name": f"t{n}", "depends_on": [f"t{low}" for high, low in sorted(edges) if high == n]}
        for n in range(number)
    ]
    id_ = submit(engine, script, *tasks)
    do(engine, script)
    blocked: set[int] = set()
    for n in range(number):
        if any(low in bad or low in blocked for high, low in edges if high == n):
            blocked.add(n)
    expected = {
        f"t{n}": "blocked" if n in blocked else "failed" if n in bad else "completed" for n in range(number)
    }
    assert states(engine, id_) == expected
    assert sorted(script.names) == sorted(f"t{n}" for n in range(number) if n not in blocked)
    place = {name: at for at, name in enumerate(script.names)}
    assert all(place[f"t{low}"] < place[f"t{high}"] for high, low in edges if high not in blocked)
    assert whole(engine, id_)["state"] == ("failed" if bad else "completed")


@pytest.mark.parametrize("isolated", ["shell", "python"])
def test_what_cannot_be_stored_of_an_output_is_replaced_and_the_task_completes(
    engine: Engine, script: Script, isolated: str
) -> None:
    printed = {
        "nan": ("NaN", None),
        "metrics": ('{"loss": NaN, "best": 1e999}', {"loss": None, "best": None}),
        "nul": (r'{"a": "\u0000", "b": "\udc00"}', {"a": "\ufffd", "b": "\ufffd"}),
        "integer": ("9" * 5_000, "[integer of 5000 digits]"),
        "deep": ("[" * 20_000, ...),
        "whole": ("[" * 5_000 + "]" * 5_000, ...),
    }
    if isolated == "shell":
        id_ = submit(
            engine,
            script,
            *(
                {
                    "name": name,
                    "adapter": "shell",
                    "role": "admin",
                    "arguments": {"command": ["printf", "%s", words]},
                }
                for name, (words, _) in printed.items()
            ),
        )
    else:
        endless: list[Any] = []
        endless.append(endless)
        values = {
            "nan": float("nan"),
            "nul": "\0\ud800",
            "integer": 10**5_000,
            "endless": endless,
            "set": {1},
        }
        script.answers.update({name: lambda _, value=value: value for name, value in values.items()})
        id_ = submit(engine, script, *({"name": name, "max_attempts": 1} for name in (*values, "good")))
    do(engine, script)
    result = whole(engine, id_)["result"]
    if isolated == "shell":
        assert set(states(engine, id_).values()) == {"completed"}
        assert [result[name]["output"] for name in printed] == [words for words, _ in printed.values()]
        assert {
            name: result[name].get("value") for name, (_, value) in printed.items() if value is not ...
        } == {name: value for name, (_, value) in printed.items() if value is not ...}
        assert "value" not in result["deep"]
    else:
        # What JSON does not know is refused, alone.
        assert {name for name, state in states(engine, id_).items() if state != "completed"} == {"set"}
        assert result["nul"] == "\ufffd\ufffd"
        assert result["endless"] == ["[nested too deeply]"]
