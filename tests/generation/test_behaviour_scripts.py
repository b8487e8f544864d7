"""The gate `behaviour` on JavaScript: functions are called before and after a change, on inputs of fast-check."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from qflow_dagster.generation.repository_gates import behaviour
from qflow_dagster.generation.repository_gates.behaviour_scripts import plan
from qflow_dagster.generation.repository_gates.drivers import report_in
from tests.generation.conftest import Project
from tests.improvement_loop import Loop

DRIVER = behaviour.SUPPORTED[1].driver


def compared(
    folder: Path, tools: Path, before: str, after: str, line: int, name: str = "module.js"
) -> dict[str, Any]:
    """What the driver reports of the function in that line, outside any sandbox."""
    language = "typescript" if name.endswith(".ts") else "javascript"
    [function] = plan(before, language, [line])
    assert function.inputs, function.reason
    (folder / name).write_text(before)
    called = {"path": name, "name": function.name, "kind": function.kind, "inputs": function.inputs}
    jobs = [{"files": {name: after}, "seconds": 20, "functions": [called]}]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    ran = subprocess.run(
        [*DRIVER.command, DRIVER.path, "jobs.json"],
        cwd=folder,
        env={**os.environ, "PATH": f"{tools / 'bin'}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    [[outcome]] = report_in(ran.stdout)
    assert (folder / name).read_text() == before
    return outcome


SAME = {
    "a declaration": ("function f(xs) {\n  return xs.indexOf('a') !== -1;\n}\n", "xs.indexOf('a') !== -1", "xs.includes('a')"),
    "a constant": ("const f = (a, b = 2) => {\n  return Math.pow(a, b);\n};\n", "Math.pow(a, b)", "a ** b"),
    "an export of a module": ("export function f(a) {\n  return Object.assign({}, a);\n}\n", "Object.assign({}, a)", "{ ...a }"),
    "a property": ("exports.f = function (a) {\n  return !(a > 1);\n};\n", "!(a > 1)", "!(1 < a)"),
    "a method": (
        "class A {\n  constructor(n = 1) { this.n = n; }\n  f(x) {\n    return [this.n, !!x];\n  }\n}\n",
        "!!x",
        "Boolean(x)",
    ),
    "a method of an object": ("module.exports = {\n  n: 2,\n  f(x) {\n    return this.n * x;\n  },\n};\n", "this.n * x", "x * this.n"),
    "async": ("async function f(x) {\n  return await x;\n}\n", "return await x", "return x"),
    "without parameters": ("function f() {\n  return new Object();\n}\n", "new Object()", "{}"),
}  # fmt: skip
DIFFERENT = {
    "NaN": ("function f(xs) {\n  return [NaN, 1].indexOf(xs) >= 0;\n}\n", "[NaN, 1].indexOf(xs) >= 0", "[NaN, 1].includes(xs)"),
    "another exception": ("function f(a) {\n  return a && a.b;\n}\n", "a && a.b", "a.b"),
    "a changed argument": ("function f(a) {\n  return Object.assign({}, a, { n: 1 });\n}\n", "Object.assign({}, a", "Object.assign(a"),
    "printed": ("function f(a) {\n  console.log('%s', a);\n}\n", "'%s', ", ""),
    "an asynchronous generator": ("async function* f(a) {\n  yield 1;\n}\n", "yield 1", "yield 2"),
    "a state of the module": ("let n = 0;\nfunction f() {\n  return n++;\n}\n", "n++", "n"),
    "calls back in another order": (
        "function f(g) {\n  return [g(1), g(2)];\n}\n",
        "[g(1), g(2)]",
        "[g(2), g(1)].reverse()",
    ),
    "a property that is read": ("function f(o) {\n  return o.size == null;\n}\n", "o.size == null", "!o.size"),
    "a literal of a call": ("function f(kind) {\n  return kind == 'qu-x7';\n}\nf('qu-x7');\n", "kind == 'qu-x7'", "false"),
    "a constant of the function": ("function f(n) {\n  return n > 4711;\n}\n", "n > 4711", "n >= 4711"),
    "a documented type": (
        "/** @param {string} text */\nfunction f(text) {\n  return text.replace('a', '');\n}\n",
        "'a'",
        "/a/g",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_a_function_that_does_the_same_is_called_with_many_inputs(
    tmp_path: Path, node_folder: Path, case: str
) -> None:
    before, old, new = SAME[case]
    line = before.count("\n", 0, before.index(old)) + 1
    name = "module.mjs" if "export " in before else "module.js"
    outcome = compared(tmp_path, node_folder, before, before.replace(old, new), line, name)
    assert "different" not in outcome
    assert outcome["compared"] >= (1 if case == "without parameters" else 30)
    assert outcome["raised"] < outcome["compared"]


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_difference_is_shown_as_the_smallest_input_with_both_results(
    tmp_path: Path, node_folder: Path, case: str
) -> None:
    before, old, new = DIFFERENT[case]
    line = before.count("\n", 0, before.index(old)) + 1
    text, was, now = compared(tmp_path, node_folder, before, before.replace(old, new), line)["different"]
    assert was != now
    assert len(text) < 40


def test_a_function_that_is_returned_is_not_compared(tmp_path: Path, node_folder: Path) -> None:
    code = "function f(x) {\n  return { get: () => x };\n}\n"
    outcome = compared(tmp_path, node_folder, code, code.replace("=> x", "=> 1"), 2)
    assert outcome == {"compared": 0, "reason": "its results are functions, which cannot be compared"}


def test_a_call_that_does_not_end_is_left_out(tmp_path: Path, node_folder: Path) -> None:
    wait = "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)"
    code = f"function f(x) {{\n  if (x === null) {wait};\n  return [x];\n}}\n"
    outcome = compared(tmp_path, node_folder, code, code.replace("[x]", "[[x]]"), 3)
    assert outcome["different"][0] == "(0)"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("const a = 1;\n", "code outside functions runs at import"),
        ("const f = () => Math.random();\n", "its results vary, or no call ended in time"),
        ("require('nowhere-to-be-had');\nfunction f() {}\n", "could not be imported: Error: Cannot find module"),
        ("export const f = (x: number): number => x;\n", "could not be imported: TypeError: Unknown file extension"),
    ],
)  # fmt: skip
def test_what_cannot_be_called_says_why(tmp_path: Path, node_folder: Path, code: str, reason: str) -> None:
    [function] = plan(code, "typescript", [code.count("\n")])
    if function.inputs:
        name = "module.ts" if ": number" in code else "module.js"
        outcome = compared(tmp_path, node_folder, code, code.replace("x;", "1;"), code.count("\n"), name)
        assert outcome["compared"] == 0
        assert outcome["reason"].startswith(reason)
    else:
        assert function.reason == reason


@pytest.mark.usefixtures("node_tools")
def test_the_gate_blames_the_location_that_differs(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    project = Project(
        loop, {"a.js": "function f(a) {\n  return a == null;\n}\nfunction g(a) {\n  return a + 1;\n}\n"}
    )
    monkeypatch.setattr(behaviour.settings().generation, "behaviour_seconds", 20)
    changed = project.candidate(
        "a.js", ("a == null", "a === null"), ("a + 1", "1 + a"), language="javascript"
    )
    same = project.candidate("a.js", ("a == null", "null == a"), language="javascript")
    with project.batch() as batch:
        results = behaviour.check(batch, [changed, same])
    gate, blamed = results[changed.id]
    assert (gate.verdict, gate.evidence) == (
        "failed",
        "f(undefined): returned false; arguments [ undefined ]; returned false; arguments [ undefined ]; "
        "before: returned true; arguments [ undefined ]; returned true; arguments [ undefined ]",
    )
    assert [line for _, line in blamed] == [2, 5]
    assert results[same.id].gate.evidence.startswith("f: ")
    assert results[same.id].gate.evidence.endswith(" inputs, as before")
