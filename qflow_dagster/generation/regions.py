"""The parts of a Python function that may become functions, and the functions of a module. Pure functions.

Does not belong here: whether a part may become a function (`interfaces`), the text that is made of it (`extraction`).
"""

import ast
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qflow_dagster.generation.function_names import FUNCTIONS, SCOPES, Function

LEAVING = (ast.Return, ast.Raise, ast.Continue, ast.Break)
BRANCHES = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.BoolOp, ast.IfExp)


class Region(NamedTuple):
    """Consecutive statements of a suite, and the statements around them (from the function inwards)."""

    statements: Sequence[ast.stmt]
    around: Sequence[ast.stmt]
    # The suites that lead to it, each with the position of the statement that contains it.
    suites: Sequence[tuple[Sequence[ast.stmt], int]]

    @property
    def first(self) -> int:
        """The number of its first line."""
        return self.statements[0].lineno

    @property
    def last(self) -> int:
        """The number of its last line."""
        return max(statement.end_lineno or 0 for statement in self.statements)

    @property
    def weight(self) -> int:
        """The number of its branches."""
        return sum(isinstance(node, BRANCHES) for s in self.statements for node in ast.walk(s))


def functions(tree: ast.Module) -> Iterator[tuple[Function, ast.ClassDef | None]]:
    """Yield the functions of a module and the methods of its classes; not those within functions."""
    for node in tree.body:
        if isinstance(node, FUNCTIONS):
            yield node, None
        elif isinstance(node, ast.ClassDef):
            yield from ((method, node) for method in node.body if isinstance(method, FUNCTIONS))


def regions(function: Function, *, by_lines: bool = False) -> list[Region]:
    """Return the regions of a function that have branches, those with most of them first; or all, the longest first."""
    found = [*_regions(function.body, (), ()), *_sections(function)]
    if by_lines:
        return sorted(found, key=lambda region: region.first - region.last)
    return sorted((region for region in found if region.weight), key=lambda region: -region.weight)


def _sections(function: Function) -> Iterator[Region]:
    """Yield the statements of a function's body between empty lines or comments: what its author wrote as a section."""
    body = function.body
    start = 1 if ast.get_docstring(function, clean=False) is not None else 0
    for position in range(start + 1, len(body) + 1):
        if position < len(body) and body[position].lineno == (body[position - 1].end_lineno or 0) + 1:
            continue
        if start < position - 1 and (start or position < len(body)):
            yield Region(body[start:position], (), ((body, start),))
        start = position


def _regions(
    suite: Sequence[ast.stmt],
    around: tuple[ast.stmt, ...],
    suites: tuple[tuple[Sequence[ast.stmt], int], ...],
) -> Iterator[Region]:
    for position, statement in enumerate(suite):
        path = (*suites, (suite, position))
        # All of a function's body would be the function again.
        if around or position:
            yield Region(suite[position:], around, path)
        if around or len(suite) > 1:
            yield Region([statement], around, path)
        for inner in suites_of(statement):
            yield from _regions(inner, (*around, statement), path)


def suites_of(statement: ast.stmt) -> Iterator[list[ast.stmt]]:
    """Yield the suites of a statement, none of a function or class."""
    if isinstance(statement, SCOPES):
        return
    for name in ("body", "orelse", "finalbody"):
        if inner := getattr(statement, name, None):
            yield inner
    for handler in getattr(statement, "handlers", ()):
        yield handler.body


def free_name(text: str, function: str, region: Region) -> str:
    """Return a name for an extracted function that the module does not have: what its first branch is about."""
    statement = next((s for s in region.statements if isinstance(s, BRANCHES)), region.statements[0])
    heads = (getattr(statement, field, None) for field in ("target", "test", "value"))
    head = next((head for head in heads if head is not None), None)
    words = [n.id for n in ast.walk(head) if isinstance(n, ast.Name)] if head is not None else []
    about = next((word.lower() for word in words if word not in ("self", "cls", "isinstance", "len")), "")
    base, about = function.strip("_"), about.strip("_")
    base = base if base.endswith(about) else f"{base}_{about}"
    name, number = f"_{base}", 1
    while re.search(rf"\b{re.escape(name)}\b", text):
        number += 1
        name = f"_{base}_{number}"
    return name
