"""Definitions and arguments of tasks: what is refused and where, and what references are filled in with."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from qflow_dagster.errors import UsageError
from qflow_dagster.execution import references
from qflow_dagster.execution.task_definitions import read_graph
from qflow_dagster.safety.documents import parse
from tests.execution.conftest import Script, do, submit, whole


@pytest.mark.parametrize(
    ("tasks", "place", "words"),
    [
        ([{"name": "a", "depends_on": ["b"]}], "", "depends on 'b', which is not a task beside it"),
        ([{"name": "a", "depends_on": ["b"]}, {"name": "b", "depends_on": ["a"]}], "", "cycle: "),
        ([{"name": "a"}, {"name": "a"}], "", "'a' is defined twice"),
        ([{"name": "a", "adapter": "teleport"}], "", "has the adapter 'teleport'; there are: "),
        ([{"name": "a", "map": "b.items"}], "", "maps over 'b' and does not depend on it"),
        ([{"name": "a b"}], "", "does not match"),
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
