"""The gates that every candidate is put to."""

import dataclasses

import pytest

from qflow_dagster.generation import validation
from tests.generation.conftest import DEEP, RULES, request
from tests.improvement_loop import NONE


@pytest.mark.parametrize(
    ("after", "gate"),
    [
        ({"a.py": NONE.replace("== None", "is None"), "b.py": "x"}, "intended_files"),
        ({"a.py": "def missing(value:\n"}, "parses"),
        ({"a.py": NONE + "\n"}, "finding_gone"),
        ({"a.py": "def missing(value, seen=[]):\n    return value is None\n"}, "no_new_finding"),
        ({"a.py": "def missing(value):\n    return vlaue is None\n"}, "no_new_finding"),
        (
            {"a.py": "import os, sys\ndef missing(value):\n    return value is None and os and sys\n"},
            "linter",
        ),
        (
            {
                "a.py": "def missing(v):\n"
                + "".join(f"    if v == {n}:\n        return v\n" for n in range(9))
                + "    return v is None\n"
            },
            "metrics",
        ),
    ],
)
def test_each_gate_stops_what_it_is_for(after: dict[str, str], gate: str) -> None:
    gates = validation.run_gates(
        request(), after, [rule for rule in RULES.values() if not rule.matcher.metric]
    )
    assert (gates[-1].name, gates[-1].verdict) == (gate, "failed")
    assert all(one.verdict != "failed" for one in gates[:-1])
    assert gates[-1].evidence


def test_a_good_change_passes_all_gates() -> None:
    rules = [rule for rule in RULES.values() if not rule.matcher.metric]
    gates = validation.run_gates(request(), {"a.py": NONE.replace("== None", "is None")}, rules)
    assert [gate.name for gate in gates] == list(validation.GATES)
    assert {gate.verdict for gate in gates} == {"passed"}


def test_a_measure_that_did_not_change_is_no_finding_gone() -> None:
    gates = validation.run_gates(request("maintainability/deep-nesting", DEEP), {"a.py": DEEP + "\n"}, [])
    assert (gates[-1].name, gates[-1].evidence) == ("finding_gone", "0 of 1 gone")


def test_python_newer_than_the_interpreter_is_judged_by_a_parser_that_knows_it() -> None:
    code = 'type Number = int\nunion = f"{f"{1}"}"\n' + NONE
    newer = dataclasses.replace(request(code=code), target="py314")
    good = validation.run_gates(newer, {"a.py": code.replace("== None", "is None")}, [])
    bad = validation.run_gates(newer, {"a.py": code.replace("== None", "is is None")}, [])
    marked = request(code="\ufeff" + NONE)
    mark = validation.run_gates(marked, {"a.py": marked.text.replace("== None", "is None")}, [])
    assert [gates[1].verdict for gates in (good, bad, mark)] == ["passed", "failed", "passed"]


def test_what_the_oldest_supported_python_lacks_is_a_syntax_error() -> None:
    code = NONE + 'text = "{}".format(missing(1))\n'
    older = dataclasses.replace(request(code=code), target="py37")
    gates = validation.run_gates(older, {"a.py": code + "match code:\n    case 1:\n        pass\n"}, [])
    assert (gates[-1].name, gates[-1].verdict) == ("parses", "failed")
