"""The gate `behaviour`: a change that makes a function do something else never reaches a person."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from qflow_dagster.agents import self_improvement
from qflow_dagster.generation.repository_gates import behaviour_driver
from qflow_dagster.generation.repository_gates.behaviour_inputs import plan
from qflow_dagster.generation.repository_gates.drivers import report_in
from qflow_dagster.settings import settings
from tests.improvement_loop import NONE, Loop


def compared(folder: Path, before: str, after: str, line: int) -> dict[str, Any]:
    """What the driver reports of the function in that line, outside any sandbox."""
    (folder / "module.py").write_text(before)
    [function] = plan(before, [line])
    assert function.inputs, function.reason
    called = {
        "path": "module.py",
        "name": function.name,
        "kind": function.kind,
        "typed": function.typed,
        "inputs": function.inputs,
    }
    jobs = [{"files": {"module.py": after}, "seconds": 20, "functions": [called]}]
    (folder / "jobs.json").write_text(json.dumps(jobs))
    ran = subprocess.run(
        [sys.executable, behaviour_driver.__file__, "jobs.json"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    [[outcome]] = report_in(ran.stdout)
    assert (folder / "module.py").read_text() == before
    return outcome


SAME = {
    "an input that is not for it": (
        "def f(item, found=[]):\n    return [*found, item]\n",
        "def f(item, found=None):\n    if found is None:\n        found = []\n    return [*found, item]\n",
    ),
    "a number that is returned": ("def f(x: int):\n    return x\n", "def f(x: int):\n    return x + 0\n"),
    "none": ("def f(x):\n    return x == None\n", "def f(x):\n    return x is None\n"),
    "annotated": (
        "def f(xs: list[int], n: int = 2) -> int:\n    return sum([x for x in xs]) + n\n",
        "def f(xs: list[int], n: int = 2) -> int:\n    return sum(xs) + n\n",
    ),
    "method": (
        "class A:\n    def __init__(self, n: int):\n        self.n = n\n\n    def f(self, x: str):\n        return str(x) * self.n\n",
        "class A:\n    def __init__(self, n: int):\n        self.n = n\n\n    def f(self, x: str):\n        return x * self.n\n",
    ),
    "generator": ("def f(n: int):\n    for i in range(n):\n        yield i\n", "def f(n: int):\n    yield from range(n)\n"),
    "async": ("async def f(x: int):\n    return not not x\n", "async def f(x: int):\n    return bool(x)\n"),
    "random": (
        "import random\n\n\ndef f(x: int):\n    return random.random() + x\n",
        "import random\n\n\ndef f(x: int):\n    return x + random.random()\n",
    ),
    "logged": (
        "import logging\n\n\ndef f(x: str):\n    logging.warning(f'a {x}')\n",
        "import logging\n\n\ndef f(x: str):\n    logging.warning('a %s', x)\n",
    ),
}  # fmt: skip
DIFFERENT = {
    "a state kept in a default": (
        "def f(x, seen=[]):\n    seen.append(x)\n    return len(seen)\n",
        "def f(x, seen=None):\n    if seen is None:\n        seen = []\n    seen.append(x)\n    return len(seen)\n",
    ),
    "another exception": (
        "def f(xs: list[int]):\n    return list(xs)[0]\n",
        "def f(xs: list[int]):\n    return next(iter(xs))\n",
    ),
    "None is not False": ("def f(ok):\n    return ok == False\n", "def f(ok):\n    return not ok\n"),
    "a changed argument": (
        "def f(xs: list[int]):\n    return sorted(xs)\n",
        "def f(xs: list[int]):\n    xs.sort()\n    return xs\n",
    ),
    "printed": ("def f(x: int):\n    print(x)\n", "def f(x: int):\n    print(x + 0.0)\n"),
    "a constant of the function": (
        "def f(n: int):\n    return not n > 4711\n",
        "def f(n: int):\n    return n < 4711\n",
    ),
    "a text that has a constant of the function in it twice": (
        "def f(s: str):\n    return s[:-4] if s.endswith('.txt') else s\n",
        "def f(s: str):\n    return s.replace('.txt', '') if s.endswith('.txt') else s\n",
    ),
    "an asynchronous generator": (
        "async def f(n: int):\n    yield n\n",
        "async def f(n: int):\n    yield -n\n",
    ),
    "the object of a method": (
        "class A:\n    def f(self, x: int):\n        self.x = x\n",
        "class A:\n    def f(self, x: int):\n        self.x = -x\n",
    ),
    "a value of the module": (
        "def f(x: int):\n    seen.append(x)\n\n\nseen = []\n",
        "def f(x: int):\n    seen.append(-x)\n\n\nseen = []\n",
    ),
    "errors shown": (
        "def f(x: int):\n    print(x, file=sys.stderr)\n\n\nimport sys\n",
        "def f(x: int):\n    print(-x, file=sys.stderr)\n\n\nimport sys\n",
    ),
    "the argument instead of a copy": (
        "def f(xs: list[int]):\n    return list(xs)\n",
        "def f(xs: list[int]):\n    return xs\n",
    ),
    "an object without a dictionary": (
        "def f(x: int):\n    return A(x)\n\n\nclass A:\n    __slots__ = ('x',)\n\n    def __init__(self, x):\n        self.x = x\n",
        "def f(x: int):\n    return A(-x)\n\n\nclass A:\n    __slots__ = ('x',)\n\n    def __init__(self, x):\n        self.x = x\n",
    ),
    "the end of the process": (
        "def f(x: int):\n    os._exit(3)\n\n\nimport os\n",
        "def f(x: int):\n    os._exit(4)\n\n\nimport os\n",
    ),
    "the order of evaluation": (
        "def f(a: str, b: str):\n    return '{1} {0}'.format(a, b)\n",
        "def f(a: str, b: str):\n    return f'{a} {b}'\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SAME)
def test_a_function_that_does_the_same_is_called_with_many_inputs(tmp_path: Path, case: str) -> None:
    before, after = SAME[case]
    line = before.count("\n")
    outcome = compared(tmp_path, before, after, line)
    assert "different" not in outcome
    assert outcome["compared"] >= 10


@pytest.mark.parametrize("case", DIFFERENT)
def test_a_difference_is_shown_as_the_smallest_input_with_both_results(tmp_path: Path, case: str) -> None:
    before, after = DIFFERENT[case]
    text, was, now = compared(tmp_path, before, after, 2)["different"]
    assert was != now
    assert len(text) < 40


@pytest.mark.parametrize(
    ("code", "line", "reason"),
    [
        (
            "import socket\n\n\ndef f(s: socket.socket):\n    return s\n",
            5,
            "no s: socket.socket can be generated",
        ),
        ("x = 1\n", 1, "code outside functions runs at import"),
        ("class A(B):\n    def f(self):\n        return 1\n", 3, "the constructor of A is not in its body"),
    ],
)
def test_what_cannot_be_called_says_why(code: str, line: int, reason: str) -> None:
    [function] = plan(code, [line])
    assert (function.inputs, function.reason) == ((), reason)


def test_a_function_with_varying_results_is_not_compared(tmp_path: Path) -> None:
    code = "import time\n\n\ndef f(x: int):\n    return time.perf_counter() + x\n"
    outcome = compared(tmp_path, code, code.replace("+ x", "+ 1"), 5)
    assert outcome == {"compared": 0, "reason": "its results vary, or no call ended in time"}


def test_what_varies_after_the_change_only_is_not_compared(tmp_path: Path) -> None:
    code = """
import pathlib

STARTS = pathlib.Path(__file__).with_name("starts")
STARTS.write_text(STARTS.read_text() + "." if STARTS.exists() else ".")


def f(x: int):
    return x + len(STARTS.read_text()) // 2 * (len(STARTS.read_text()) % 2 == 0)
"""
    outcome = compared(tmp_path, code, code.replace("return x +", "return  x +"), 9)
    assert outcome == {"compared": 0, "reason": "its results vary, or no call ended in time"}


@pytest.mark.parametrize("result", ["lambda y: x + y", "object()", "[min, lambda: x]"])
def test_a_result_that_shows_nothing_is_not_compared(tmp_path: Path, result: str) -> None:
    code = f"def f(x: int):\n    return {result}\n"
    outcome = compared(tmp_path, code, code.replace("(x: int)", "(x: int, /)"), 2)
    assert outcome == {"compared": 0, "reason": "a result is something that cannot be compared"}


def test_a_function_that_never_ends_is_not_compared(tmp_path: Path) -> None:
    code = "import signal\n\n\ndef f(x: int):\n    signal.pause()\n    return x\n"
    outcome = compared(tmp_path, code, code.replace("return x", "return -x"), 6)
    assert outcome == {"compared": 0, "reason": "its results vary, or no call ended in time"}


def test_calls_that_do_not_end_are_tried_a_few_times(tmp_path: Path) -> None:
    code = "import signal\n\n\ndef f(x: int):\n    if x < 0:\n        signal.pause()\n    return x\n"
    outcome = compared(tmp_path, code, code.replace("return x", "return x + 0"), 7)
    assert outcome["compared"] < 20
    assert "different" not in outcome


def test_a_module_that_cannot_be_imported_is_not_compared(tmp_path: Path) -> None:
    code = "import nowhere_to_be_had\n\n\ndef f(x: int):\n    return x\n"
    outcome = compared(tmp_path, code, code, 5)
    assert (
        outcome["reason"] == "could not be imported: ModuleNotFoundError: No module named 'nowhere_to_be_had'"
    )


def test_the_gate_tells_what_it_called_and_withholds_what_differs(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().generation, "behaviour_seconds", 20)
    refused = "def refused(ok):\n    return ok == False\n"
    loop.repository.commit({"a.py": NONE, "b.py": refused})
    [suggestion] = loop.improve()
    assert suggestion["paths"] == ["a.py"]
    with loop.engine.connect() as connection:
        gates = {gate["gate"]: gate for gate in self_improvement.show(connection, suggestion["id"])["gates"]}
    assert gates["behaviour"]["verdict"] == "passed"
    assert gates["behaviour"]["evidence"].endswith("inputs, as before")


def test_the_fix_of_a_bug_says_what_it_changes_and_is_not_compared(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings().generation, "behaviour_seconds", 20)
    loop.repository.commit({"a.py": 'import re\n\n\ndef f(x: str):\n    return re.sub("a", "", x, re.I)\n'})
    [suggestion] = loop.improve()
    with loop.engine.connect() as connection:
        gates = {gate["gate"]: gate for gate in self_improvement.show(connection, suggestion["id"])["gates"]}
    assert gates["behaviour"]["verdict"] == "not applicable"
    assert gates["behaviour"]["evidence"].endswith(
        "on purpose: the flag takes effect, and all occurrences are replaced"
    )


@pytest.mark.skipif(shutil.which("crosshair") is None, reason="needs crosshair")
def test_crosshair_searches_for_what_the_generated_inputs_do_not_show(tmp_path: Path) -> None:
    before = "def f(x: int, y: int) -> bool:\n    return x * 3 == y + 12344 and y > 99\n"
    outcome = compared(tmp_path, before, before.replace("y > 99", "y > 100"), 2)
    assert outcome["different"][0] == "((), (), {'x': 4148, 'y': 100})"
