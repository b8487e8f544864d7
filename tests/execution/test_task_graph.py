"""Task graphs: what is refused, what waits for what, what comes back, and what happens when it goes wrong."""

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.execution import references, task_graph, task_interventions, task_records
from qflow_dagster.execution.task_adapters import ADAPTERS, Call, TaskFailedError
from qflow_dagster.execution.task_definitions import Task, read_graph
from qflow_dagster.execution.task_policy import PolicyViolationError, check
from qflow_dagster.execution.task_worker import Summary, work
from qflow_dagster.quantumflow import get_events, verify_history
from qflow_dagster.safety.documents import parse
from qflow_dagster.settings import settings as configured
from tests.ingestion.conftest import GitRepository, Ingested


class Script:
    """An adapter that does what the test says, and remembers what was done."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.answers: dict[str, Callable[[Call], Any]] = {}
        self.lock = threading.Lock()

    def __call__(self, call: Call) -> Any:
        with self.lock:
            self.calls.append(call)
        answer = self.answers.get(
            call.name.split("-")[0], lambda call: call.arguments.get("value", call.name)
        )
        return answer(call)

    @property
    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    @property
    def adapters(self) -> Mapping[str, Any]:
        return {**ADAPTERS, "python": self}


@pytest.fixture
def script() -> Script:
    return Script()


def graph(*tasks: dict[str, Any], **fields: Any) -> str:
    return json.dumps(
        {
            "name": "test",
            "tasks": [
                t if {"adapter", "tasks", "template"} & set(t) else {"adapter": "python", **t} for t in tasks
            ],
            **fields,
        }
    )


def submit(engine: Engine, script: Script, *tasks: dict[str, Any], **fields: Any) -> UUID:
    definition = read_graph(parse(graph(*tasks, **fields), "test.yaml"), script.adapters)
    with engine.begin() as connection:
        return task_graph.submit(connection, definition, requested_by="tester")


def do(engine: Engine, script: Script) -> Summary:
    return work(engine, worker="worker", adapters=script.adapters, threads=4)


def states(engine: Engine, id_: UUID) -> dict[str, str]:
    with engine.connect() as connection:
        return {row["name"]: row["state"] for row in task_records.tasks_of(connection, id_)}


def whole(engine: Engine, id_: UUID) -> dict[str, Any]:
    with engine.connect() as connection:
        return task_records.show(connection, id_)


def task_id(engine: Engine, id_: UUID, name: str) -> UUID:
    with engine.connect() as connection:
        return next(row["id"] for row in task_records.tasks_of(connection, id_) if row["name"] == name)


def test_a_task_gets_the_outputs_of_what_it_depends_on_by_name(engine: Engine, script: Script) -> None:
    id_ = submit(
        engine,
        script,
        {"name": "report", "depends_on": ["left", "right"], "arguments": {"value": "${left} and ${right}"}},
        {"name": "left", "arguments": {"value": "${run.word}"}},
        {"name": "right", "arguments": {"value": {"deep": [1, "${run.word}"]}}},
        input={"word": "hello"},
    )
    assert do(engine, script) == Summary(completed=3)
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


def failing(times: int, **given: Any) -> Callable[[Call], Any]:
    left = [times]

    def answer(call: Call) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise TaskFailedError("not yet", kind="external", **given)
        return "done"

    return answer


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
    assert do(engine, script) == Summary()


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


@pytest.mark.parametrize(
    ("tasks", "place", "words"),
    [
        ([{"name": "a", "depends_on": ["b"]}], "", "depends on 'b', which is not a task beside it"),
        ([{"name": "a", "depends_on": ["b"]}, {"name": "b", "depends_on": ["a"]}], "", "cycle: "),
        ([{"name": "a"}, {"name": "a"}], "", "'a' is defined twice"),
        ([{"name": "a", "adapter": "teleport"}], "", "has the adapter 'teleport'; there are: "),
        ([{"name": "a", "map": "b.items"}], "", "maps over 'b' and does not depend on it"),
        ([{"name": "a b"}], "", "should match pattern"),
        ([{"name": "a", "colour": "red"}], "", "Extra inputs are not permitted"),
        ([{"name": "a", "tasks": [{"name": "b"}]}], "", "exactly one of adapter, tasks, template"),
        (
            [{"name": "a", "arguments": {"x": ["${b.y}"]}}],
            "",
            "${b...} is not visible to it; visible are: run",
        ),
        ([{"name": "a", "arguments": {"x": "${item}"}}], "", "${item...} is not visible to it"),
        ([{"name": "a", "when": {"b": 1}}], "", "which is not visible to it; visible are: run"),
        ([{"name": "a", "adapter": "shell"}], "", "shell needs `command`, a list of strings"),
        (
            [{"name": "a", "adapter": "shell", "arguments": {"command": "ls"}}],
            "",
            "`command` of shell must be a list of strings, not 'ls'",
        ),
        (
            [{"name": "a", "adapter": "shell", "arguments": {"command": ["ls"], "repo": "x"}}],
            "",
            "shell has no argument 'repo'; it has: command, repository, check",
        ),
        (
            [{"name": "a", "adapter": "files", "arguments": {"repository": 3, "paths": ["a"]}}],
            "",
            "`repository` of files must be a string, not 3",
        ),
        (
            [
                {
                    "name": "a",
                    "role": "admin",
                    "adapter": "http",
                    "arguments": {"url": "http://x/", "method": "SEND"},
                }
            ],
            "",
            "`method` of http must be one of GET, POST",
        ),
        (
            [
                {
                    "name": "a",
                    "role": "admin",
                    "adapter": "http",
                    "arguments": {"url": "http://x/", "headers": {"a": 1}},
                }
            ],
            "",
            "`headers` of http must be an object of strings",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(
    engine: Engine, script: Script, tasks: list[dict[str, Any]], place: str, words: str
) -> None:
    with pytest.raises(UsageError) as refused:
        submit(engine, script, *tasks)
    assert words in str(refused.value)
    assert str(refused.value).startswith("test.yaml:1:")
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM workflows")) == 0


@pytest.mark.parametrize(
    ("line", "column"),
    [("depends_on: [b]", 18), ('arguments: {x: [1, "${b}"]}', 24), ("when: {b: 1}", 15)],
)
def test_the_place_is_the_line_and_column(script: Script, line: str, column: int) -> None:
    document = parse(f"name: x\ntasks:\n  - name: a\n    adapter: python\n    {line}\n", "g.yaml")
    with pytest.raises(UsageError, match=rf"^g\.yaml:5:{column}: "):
        read_graph(document, script.adapters)


def test_an_argument_that_is_wrong_once_filled_in_is_refused_before_it_runs(
    engine: Engine, script: Script
) -> None:
    id_ = submit(
        engine,
        script,
        {"name": "read", "adapter": "files", "arguments": {"repository": "${run.name}", "paths": []}},
        input={"name": 7},
    )
    do(engine, script)
    [row] = whole(engine, id_)["tasks"]
    assert (row["state"], row["attempt"]) == ("failed", 1)
    assert row["error"] == {"kind": "arguments", "message": "`repository` of files must be a string, not 7"}


def test_what_was_filled_in_is_no_reference(engine: Engine, script: Script) -> None:
    script.answers["fetch"] = lambda call: {"texts": ["${run.secret} ${item}", "$${x"], "all": "${index}"}
    id_ = submit(
        engine,
        script,
        {"name": "fetch"},
        {
            "name": "each",
            "map": "fetch.texts",
            "depends_on": ["fetch"],
            "arguments": {
                "value": "${index}: ${item}, of ${fetch.all}, $${plain}",
                "list": ["${fetch.texts}"],
            },
        },
        input={"secret": "s"},
    )
    do(engine, script)
    assert whole(engine, id_)["result"]["each"] == [
        "0: ${run.secret} ${item}, of ${index}, ${plain}",
        "1: $${x, of ${index}, ${plain}",
    ]
    assert script.calls[-1].arguments["list"] == [["${run.secret} ${item}", "$${x"]]


PIECES = ["${b.x}", "${item}", "${index}", "$", "{", "}", "$${", "${ ", " "]
TEXTS = st.lists(st.sampled_from([*PIECES, "${run.x}", "item"]), min_size=1, max_size=6).map("".join)


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), TEXTS, TEXTS)
def test_filling_in_twice_is_filling_in_once(template: str, one: str, other: str) -> None:
    value = {"text": template, "list": ["${b}", "${item}", 1]}
    elements, seen = {"item": other, "index": 3}, {"b": {"x": one}}
    once = references.fill(value, seen | elements)
    assert references.fill(references.fill_except(elements, value, seen), elements) == once
    assert set(references.names_in(template)) <= {"b", "item", "index"}


@pytest.mark.parametrize(
    ("adapter", "arguments"),
    [
        ("http", {"url": "https://${run.x}@evil.com/"}),
        ("http", {"url": "${run.x}"}),
        ("files", {"paths": ["${run.x}/../../etc/passwd"]}),
    ],
)
def test_what_looks_like_a_reference_is_let_through_only_before_it_is_filled_in(
    adapter: str, arguments: dict[str, Any]
) -> None:
    check("researcher", adapter, arguments, None, filled=False)
    with pytest.raises(PolicyViolationError):
        check("researcher", adapter, arguments, None, filled=True)


def test_an_argument_of_another_kind_is_refused_though_it_looks_like_a_reference(
    engine: Engine, script: Script
) -> None:
    id_ = submit(
        engine,
        script,
        {"name": "read", "adapter": "files", "arguments": {"repository": "r", "paths": "${run.paths}"}},
        input={"paths": "${run.name}"},
    )
    do(engine, script)
    [row] = whole(engine, id_)["tasks"]
    assert row["error"]["message"] == "`paths` of files must be a list of strings, not '${run.name}'"


@pytest.mark.parametrize(
    ("role", "adapter", "arguments", "timeout", "words"),
    [
        ("coder", "http", {"url": "https://docs.rs/x"}, None, "may not use http"),
        ("coder", "shell", {"command": ["mixer"]}, None, "may not run 'mixer'"),
        ("coder", "shell", {"command": ["./git"]}, None, "may not run './git'"),
        ("coder", "shell", {"command": "git status"}, None, "is a list of strings"),
        ("coder", "shell", {"command": ["git"]}, 301, "may take 300 s, not 301"),
        ("tester", "shell", {"command": ["git", "push"]}, None, "may not run 'git'"),
        ("critic", "shell", {"command": ["cat"]}, None, "may not use shell"),
        ("critic", "python", {}, 31, "may take 30 s"),
        (
            "researcher",
            "http",
            {"url": "https://github.com.evil.com/"},
            None,
            "may not request github.com.evil.com",
        ),
        ("researcher", "http", {"url": "https://github.com@evil.com/"}, None, "a URL with a password"),
        ("researcher", "http", {"url": "file:///etc/passwd"}, None, "is not an http or https URL"),
        ("researcher", "http", {"url": "https://evilgithub.com"}, None, "may not request"),
        ("researcher", "files", {"paths": ["../etc/passwd"]}, None, "not a path within a repository"),
        ("researcher", "files", {"paths": ["/etc/passwd"]}, None, "not a path within a repository"),
        ("researcher", "files", {"paths": ["a/.git/config"]}, None, "not a path within a repository"),
        ("architect", "shell", {"command": ["ls"]}, None, "no role 'architect'"),
    ],
)
def test_what_a_role_may_not_is_refused(
    role: str, adapter: str, arguments: dict[str, Any], timeout: float | None, words: str
) -> None:
    with pytest.raises(PolicyViolationError, match=words):
        check(role, adapter, arguments, timeout, filled=False)


def test_what_a_role_may_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    check("coder", "shell", {"command": ["git", "status"]}, 300, filled=True)
    check("researcher", "http", {"url": "https://docs.rs/serde"}, 60, filled=True)
    check("admin", "shell", {"command": ["anything"]}, 9_000, filled=True)
    check("tester", "shell", {"command": ["pytest", "-q"]}, 600, filled=True)


def test_a_value_filled_in_is_checked_before_anything_runs(engine: Engine, script: Script) -> None:
    id_ = submit(
        engine,
        script,
        {
            "name": "ask",
            "role": "researcher",
            "adapter": "http",
            "arguments": {"url": "https://${run.host}/x"},
        },
        input={"host": "evil.com"},
    )
    do(engine, script)
    [row] = whole(engine, id_)["tasks"]
    assert (row["state"], row["error"]["kind"]) == ("failed", "policy_violation")
    assert "may not request evil.com" in row["error"]["message"]


def test_files_and_commands_see_the_ingested_commit_and_nothing_else(
    engine: Engine, script: Script, repository: GitRepository, ingested: Ingested
) -> None:
    repository.commit({"src/a[1].py": "x = 1\n", "b.py": "y = 2\n"})
    (repository.path / "link").symlink_to("b.py")
    repository.git("add", "-A")
    repository.commit({"c.py": "z = 3\n"})
    ingested(repository)
    # In the work tree only.
    (repository.path / "b.py").write_text("y = 'not committed'\n")

    def read(name: str, path: str) -> dict[str, Any]:
        return {
            "name": name,
            "adapter": "files",
            "max_attempts": 1,
            "arguments": {"repository": "project", "paths": [path]},
        }

    tree = {"command": ["cat", "b.py"], "repository": "project"}
    id_ = submit(
        engine,
        script,
        read("odd", "src/a[1].py"),
        read("folder", "src"),
        read("link", "link"),
        read("none", "d.py"),
        {"name": "shell", "adapter": "shell", "arguments": tree},
    )
    do(engine, script)
    assert whole(engine, id_)["result"] == {
        "odd": {"src/a[1].py": "x = 1\n"},
        "shell": {"code": 0, "output": "y = 2\n"},
    }
    errors = {row["name"]: row["error"] for row in whole(engine, id_)["tasks"] if row["error"]}
    assert {name: error["kind"] for name, error in errors.items()} == dict.fromkeys(
        ("folder", "link", "none"), "not_found"
    )


def test_a_role_has_its_limit_of_tasks_at_a_time(
    engine: Engine, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qflow_dagster.settings.improvement_loop import RoleSettings

    monkeypatch.setitem(configured().execution.roles, "coder", RoleSettings(concurrency=2))
    running, most = [0], [0]

    def count(call: Call) -> None:
        with script.lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.05)
        with script.lock:
            running[0] -= 1

    script.answers["t"] = count
    id_ = submit(engine, script, *({"name": f"t-{n}"} for n in range(12)))
    do(engine, script)
    assert most[0] == 2
    assert whole(engine, id_)["state"] == "completed"


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
