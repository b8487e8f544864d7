"""Simplified conditions: what is made, and what is left because it would do something else."""

import ast

import pytest

from qflow_dagster.generation.generators.extract_function import lowered
from qflow_dagster.generation.regions import functions
from qflow_dagster.generation.simplification import simplified


def all_of(body: str) -> list[str]:
    """Every body of a function after one simplification."""
    text = f"def f(a, b, c):\n{body}"
    [(function, _)] = functions(ast.parse(text))
    made = [after.partition("\n")[2] for after in simplified(text, function)]
    for after in made:
        ast.parse(f"def f(a, b, c):\n{after}")
    return made


@pytest.mark.parametrize(
    ("body", "after"),
    [
        (
            "    if a:\n        b()\n    else:\n        if c:\n            # Why.\n            c()\n        else:\n            a()\n",
            "    if a:\n        b()\n    elif c:\n        # Why.\n        c()\n    else:\n        a()\n",
        ),
        (
            "    if a:\n        b()\n    elif b:\n        c()\n    else:\n        if c:\n            c()\n    a()\n",
            "    if a:\n        b()\n    elif b:\n        c()\n    elif c:\n        c()\n    a()\n",
        ),
        ("    if a:\n        if b:\n            c()\n", "    if a and b:\n        c()\n"),
        (
            "    if a or b:\n        if c and b:\n            c()\n            a()\n    b()\n",
            "    if (a or b) and c and b:\n        c()\n        a()\n    b()\n",
        ),
        (
            "    if a if b else c:\n        if not b or c:\n            c()\n",
            "    if (a if b else c) and (not b or c):\n        c()\n",
        ),
        (
            "    if a:\n        b()\n    elif b:\n        if c:\n            c()\n",
            "    if a:\n        b()\n    elif b and c:\n        c()\n",
        ),
        ("    if a is None:\n        return True\n    return False\n", "    return a is None\n"),
        (
            "    if a in b and not c:\n        return False\n    else:\n        return True\n",
            "    return not (a in b and not c)\n",
        ),
        ("    if False:\n        b()\n    c()\n", "    c()\n"),
        ("    if 0:\n        b()\n    else:\n        # Why.\n        c()\n", "    # Why.\n    c()\n"),
        (
            "    for a in b:\n        if c:\n            continue\n            b()\n",
            "    for a in b:\n        if c:\n            continue\n",
        ),
    ],
)
def test_what_is_simplified(body: str, after: str) -> None:
    assert after in all_of(body)


@pytest.mark.parametrize(
    "body",
    [
        # An else belongs to one of the two, or would be lost.
        "    if a:\n        if b:\n            c()\n    else:\n        a()\n",
        "    if a:\n        if b:\n            c()\n        else:\n            a()\n",
        "    if a:\n        if b:\n            c()\n        b()\n",
        "    if a:\n        b()\n    else:\n        if c:\n            c()\n        a()\n",
        # Comments would be lost, or describe something else.
        "    if a:\n        b()\n    else:\n        # Why.\n        if c:\n            c()\n",
        "    if a:\n        b()\n    else:  # Why.\n        if c:\n            c()\n",
        "    if a:  # Why.\n        if b:\n            c()\n",
        "    if a:\n        # Why.\n        if b:\n            c()\n",
        "    if a is None:\n        return True  # Why.\n    return False\n",
        # A comparison, or a value, may be something else than a bool.
        "    if a == b:\n        return True\n    return False\n",
        "    if a:\n        return True\n    return False\n",
        "    if a < b < c:\n        return True\n    return False\n",
        "    if a is None or b:\n        return True\n    return False\n",
        # One of two that return is not all there is.
        "    if a is None:\n        return True\n    b()\n    return False\n",
        "    if a is None:\n        return True\n    return True\n",
        "    if a is None:\n        return 1\n    return 0\n",
        "    if c:\n        b()\n    elif a is None:\n        return True\n    else:\n        return False\n",
        # Decides what is local, or whether it is a generator.
        "    if False:\n        b = 1\n    c()\n",
        "    if 0:\n        yield\n    c()\n",
        "    return a\n    yield\n",
        "    return a\n    import b\n",
        "    return a\n    for b in c: pass\n",
        # Several conditions or statements in a line, a condition over lines.
        "    if a: return 1; b()\n",
        "    if (a and\n            b):\n        if c:\n            a()\n",
        "    if (a):\n        if b:\n            a()\n",
        "    if (d := a):\n        if d:\n            a()\n",
        "    if True: b()\n    c()\n",
        "    if 0:\n        b()\n    elif c:\n        a()\n",
        # Nothing would be left.
        "    if False:\n        b()\n",
    ],
)
def test_what_is_left(body: str) -> None:
    assert all_of(body) == []


def test_a_measure_is_lowered_by_simplifying_alone() -> None:
    body = "    if a:\n        b()\n    else:\n        if b:\n            if c:\n                c()\n"
    after = lowered(f"def f(a, b, c):\n{body}", "f", 3, rewrites=[simplified], extract="none")
    assert after == "def f(a, b, c):\n    if a:\n        b()\n    elif b and c:\n        c()\n"
    assert lowered(f"def f(a, b, c):\n{body}", "f", 2, rewrites=[simplified], extract="none") is None
