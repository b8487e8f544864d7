"""Make one function of statements that several functions of a Python module have; behaviour provably stays.

Copies are the same text, apart from indentation, with the same parameters and results (`interfaces`). The new function
is one of the module, before the first that has them. Refused: copies with comments, which would be lost, and what
`interfaces` refuses. Does not belong here: copies with other names or in other files, whether it is worth it
(`generators.remove_duplication`).
"""

import ast
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qflow_dagster.generation.function_names import Function, decorators_known
from qflow_dagster.generation.interfaces import interface, written
from qflow_dagster.generation.python_lines import above, lines_of, moved
from qflow_dagster.generation.regions import Region, free_name, functions, suites_of

# Shorter ones are not worth a function.
MIN_LINES = 4
MAX_STATEMENTS = 30
MAX_GROUPS = 40


class _Copy(NamedTuple):
    function: Function
    owner: ast.ClassDef | None
    region: Region


def shared(text: str, excluded: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield the text of a module after each group of copies became one function, those that save most lines first.

    `excluded`: the names of functions that stay as they are.
    """
    lines, tree = lines_of(text), ast.parse(text)
    groups: dict[tuple[str, ...], list[_Copy]] = {}
    for function, owner in functions(tree):
        if function.name in excluded or not decorators_known(tree, function):
            continue
        for region in _windows(function):
            if region.last - region.first + 1 < MIN_LINES:
                continue
            body = moved(lines, region.statements, region.first - 1, "    ")
            # An `elif` is part of the statement above it.
            if body is not None and not body[0].lstrip().startswith("elif") and "#" not in "".join(body):
                groups.setdefault(tuple(body), []).append(_Copy(function, owner, region))
    ranked = sorted(groups.items(), key=lambda group: -len(group[0]) * (len(_apart(group[1])) - 1))
    for body, copies in [group for group in ranked if len(_apart(group[1])) > 1][:MAX_GROUPS]:
        yield from _extracted(text, body, copies)


def _windows(function: Function) -> Iterator[Region]:
    """Yield all runs of statements of a function: of its body also the whole, without the docstring."""
    start = 1 if ast.get_docstring(function, clean=False) is not None else 0
    yield from _runs(function.body, (), (), start)


def _runs(
    suite: Sequence[ast.stmt],
    around: tuple[ast.stmt, ...],
    suites: tuple[tuple[Sequence[ast.stmt], int], ...],
    start: int,
) -> Iterator[Region]:
    for first in range(start, len(suite)):
        path = (*suites, (suite, first))
        for last in range(first + 1, min(len(suite), first + MAX_STATEMENTS) + 1):
            yield Region(suite[first:last], around, path)
        for inner in suites_of(suite[first]):
            yield from _runs(inner, (*around, suite[first]), path, 0)


def _apart(copies: Sequence[_Copy]) -> list[_Copy]:
    """Return the copies that do not overlap one before."""
    kept: list[_Copy] = []
    for copy in sorted(copies, key=lambda copy: copy.region.first):
        if not kept or copy.region.first > kept[-1].region.last:
            kept.append(copy)
    return kept


def _extracted(text: str, body: Sequence[str], copies: Sequence[_Copy]) -> Iterator[str]:
    by_interface: dict[str, list[_Copy]] = {}
    for copy in copies:
        found = interface(*copy)
        if found is not None:
            by_interface.setdefault(repr(found), []).append(copy)
    for same in by_interface.values():
        apart = _apart(same)
        if len(apart) < 2:
            continue
        lines, first = lines_of(text), apart[0]
        found = interface(*first)
        assert found is not None  # noqa: S101  (it is the same as that of the group)
        helper, call = written(found, free_name(text, first.function.name, first.region), body)
        for copy in reversed(apart):
            region = copy.region
            indent = lines[region.first - 1][: region.statements[0].col_offset]
            lines[region.first - 1 : region.last] = [f"{indent}{call}\n"]
        row = above(lines, first.owner or first.function)
        yield "".join([*lines[:row], *helper, "\n\n", *lines[row:]])
