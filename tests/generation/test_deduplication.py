"""Copies within a module that become one function, and those that stay because they would do something else."""

import ast

import pytest

from qflow_dagster.generation.deduplication import shared

COPY = """
        kept = []
        for row in rows:
            if row > limit:
                kept.append(row)
"""
MODULE = f'''
import functools


# Rows of one kind.
class Rows:
    def first(self, rows, limit):
        """Return the first."""{COPY}        return kept[0]

    def last(self, rows, limit):
        if limit:{COPY.replace(chr(10) + "    ", chr(10) + "        ")}            return kept[-1]


@functools.cache
def both(rows, limit):{COPY.replace(chr(10) + "    ", chr(10))}    return [*kept, *kept]
'''


def run(text: str) -> list[object]:
    names: dict[str, object] = {}
    exec(compile(text, "copies", "exec"), names)
    rows, both = names["Rows"](), names["both"]  # type: ignore[operator]
    return [rows.first((1, 5, 7), 3), rows.last((1, 5, 7), 3), rows.last((), 0), both((1, 5), 0)]  # type: ignore[operator]


def test_the_copies_of_methods_and_functions_are_calls_of_one_function() -> None:
    after = next(shared(MODULE))
    assert after.startswith("\nimport functools\n\n\ndef _first_row(limit, rows):\n    kept = []\n")
    assert after.count("kept = _first_row(limit, rows)\n") == 3
    assert "    return kept\n\n\n# Rows of one kind.\nclass Rows:\n" in after
    assert run(after) == run(MODULE)


def test_the_whole_body_of_functions_may_be_a_copy() -> None:
    body = "    if a:\n        return b\n    a = b + 1\n    return a * b\n"
    text = f'def f(a, b):\n    """Do."""\n{body}\n\ndef g(a, b):\n{body}'
    after = next(shared(text))
    assert after.count("    return _f_a(a, b)\n") == 2
    ast.parse(after)


LOOP = "    for n in a:\n        if n > b:\n            c(n)\n        b = n\n"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        # `b` is a parameter here, and unbound there.
        (f"def f(a, b, c):\n{LOOP}", f"def g(a, c):\n{LOOP}"),
        # What one of them reads later is lost in the other.
        (f"def f(a, b, c):\n{LOOP}    return b\n", f"def g(a, b, c):\n{LOOP}    return a\n"),
        # A decorator that may compile it.
        (f"def f(a, b, c):\n{LOOP}", f"@compiled\ndef g(a, b, c):\n{LOOP}"),
    ],
)
def test_copies_that_mean_something_else_stay(first: str, second: str) -> None:
    assert list(shared(f"{first}\n\n{second}")) == []


@pytest.mark.parametrize(
    "body",
    [
        "    for n in a:\n        # Why.\n        if n:\n            b(n)\n",
        "    for n in a:\n        if n:\n            yield n\n        b(n)\n",
        "    for n in a:\n        if n:\n            b(locals())\n        b(n)\n",
        "    for n in a:\n        if n:\n            b.__c(n)\n        b(n)\n",
        "    for n in a:\n        if n:\n            super().f(n)\n        b(n)\n",
        # Shorter than a function is worth.
        "    for n in a:\n        if n:\n            b(n)\n",
    ],
)
def test_copies_that_depend_on_where_they_are_stay(body: str) -> None:
    inner = body.replace("    ", "        ", 1).replace("\n    ", "\n        ")
    assert list(shared(f"class C:\n    def f(a, b):\n{inner}\n    def g(a, b):\n{inner}")) == []
