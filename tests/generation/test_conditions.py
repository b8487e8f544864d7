"""Conditions with a name: what is made, and what is left because it would do something else."""

import ast

import pytest

from qflow_dagster.generation import conditions
from qflow_dagster.generation.generators.extract_function import lowered
from qflow_dagster.generation.regions import functions


def variables_of(body: str) -> list[str]:
    """Every body of a function after one condition became a variable."""
    text = f"def f(a, b, c):\n{body}"
    [(function, _)] = functions(ast.parse(text))
    return [after.partition("\n")[2] for after in conditions.named(text, function)]


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (
            "    # Why.\n    if a is None and b is not c:\n        c()\n    return a is None and b is not c or c\n",
            "    # Why.\n    is_a_b = a is None and b is not c\n    if is_a_b:\n        c()\n    return is_a_b or c\n",
        ),
        (
            "    for d in b:\n        e = d in c\n        if e or a is None:\n            c(d)\n        c(e or a is None)\n",
            "    for d in b:\n        e = d in c\n        is_e_a = e or a is None\n        if is_e_a:\n            c(d)\n"
            "        c(is_e_a)\n",
        ),
        (
            "    if c:\n        b()\n    elif a is None or b is None:\n        c()\n    return a is None or b is None\n",
            "    is_a_b = a is None or b is None\n    if c:\n        b()\n    elif is_a_b:\n        c()\n"
            "    return is_a_b\n",
        ),
    ],
)
def test_a_repeated_condition_becomes_a_variable(body: str, after: str) -> None:
    assert variables_of(body) == [after]


@pytest.mark.parametrize(
    "body",
    [
        # Calls, attributes and other comparisons may do something, or change.
        "    if a and b:\n        c()\n    return a and b\n",
        "    if a == 1 and b is None:\n        c()\n    return a == 1 and b is None\n",
        "    if a.b is None and b is None:\n        c()\n    return a.b is None and b is None\n",
        "    if c(a) is None and b is None:\n        c()\n    return c(a) is None and b is None\n",
        # Assigned between them.
        "    if a is None and b is None:\n        a = 1\n    return a is None and b is None\n",
        "    for a in b:\n        c(a is None and b is None)\n    return a is None and b is None\n",
        "    d = a in b\n    if d or c is None:\n        d = not d\n    return d or c is None\n",
        # Perhaps not bound.
        "    if c:\n        d = 1\n    if c or d is None and b is None:\n        c()\n    return d is None and b is None\n",
        # Read by a function within it.
        "    def d():\n        nonlocal a\n        a = None\n    if a is None and b is None:\n        d()\n"
        "    return a is None and b is None\n",
        "    if a is None and b is None:\n        c()\n    return lambda a: a is None and b is None\n",
        "    if a is None and b is None:\n        c(locals())\n    return a is None and b is None\n",
        # A bool in one place only, and shared by two names.
        "    d = a in b\n    if c:\n        d = c\n    if d or a is None:\n        c()\n    return d or a is None\n",
        "    (d, e) = (a in b, 1)\n    if d or a is None:\n        c()\n    return d or a is None\n",
    ],
)
def test_what_may_differ_the_second_time_stays(body: str) -> None:
    assert variables_of(body) == []


METHOD = """
class Reader:
    def read(self, rows, limit):
        for row in rows:
            if row is None or row.skip and not self.all:
                continue
            elif (
                row.size > limit
                and row.name in self.names
            ):
                return row
        while limit and row is None or row.skip and not self.all:
            limit -= 1
        return None
"""


def test_conditions_become_functions_of_the_module_that_return_bools() -> None:
    after = lowered(METHOD, "Reader.read", 8, extract="conditions")
    assert after is not None
    assert "    return row is None or (bool(row.skip) and not self.all)\n" in after
    assert "    return bool(row.size > limit) and row.name in self.names\n" in after
    assert "            elif (\n                _read_limit(limit, row, self)\n            ):\n" in after
    # `row` may be unbound where the loop has ended.
    assert "        while limit and row is None or row.skip and not self.all:\n" in after


def test_the_same_condition_becomes_the_same_call() -> None:
    text = (
        "def f(a, b):\n    if a and b:\n        return 1\n    while a and b:\n        b = a.c\n    return b\n"
    )
    after = lowered(text, "f", 2, extract="conditions")
    assert after is not None
    assert after.count("_f_a(a, b)") == 3


@pytest.mark.parametrize(
    "condition",
    [
        "(c := a) and b",
        "a and (yield b)",
        "a and locals()",
        "a and __class__",
        "a and any(lambda: b for _ in a)",
        "(a and  # Why.\n            b)",
    ],
)
def test_a_condition_that_depends_on_where_it_is_stays(condition: str) -> None:
    text = f"def f(a, b):\n    for a in b:\n        if {condition}:\n            return 1\n    return b\n"
    assert lowered(text, "f", 2, extract="conditions") is None
