"""Extract a part of a Python function into a function of its own, where behaviour provably stays.

A region is one statement, or the rest of a suite. The new function is one of the module, also where the region is of a
method: no subclass, metaclass or protocol sees it. Does not belong here: what is refused (`interfaces`), which region
is worth it (`generators.extract_function`).
"""

import ast
from collections.abc import Sequence

from qflow_dagster.generation.function_names import Function
from qflow_dagster.generation.interfaces import interface, written
from qflow_dagster.generation.python_lines import above, lines_of, moved
from qflow_dagster.generation.regions import Region, regions


def extract(
    text: str, function: Function, owner: ast.ClassDef | None, region: Region, name: str
) -> str | None:
    """Return the text of a module with a region of a function as a new function; None where that is refused.

    Where the function has the same lines again, that is the same call.
    """
    lines = lines_of(text)
    found = _extractable(lines, function, owner, region)
    if found is None:
        return None
    helper, call = written(found[0], name, found[1])
    for other in sorted(
        [region, *_twins(lines, function, owner, region)], reverse=True, key=lambda r: r.first
    ):
        indent = lines[other.first - 1][: other.statements[0].col_offset]
        lines[other.first - 1 : other.last] = [f"{indent}{call}\n"]
    if owner is not None:
        row = above(lines, owner)
        return "".join([*lines[:row], *helper, "\n\n", *lines[row:]])
    end = (function.end_lineno or 0) + len(lines) - len(lines_of(text))
    return "".join([*lines[:end], "\n\n", *helper, *lines[end:]])


def repeated(text: str, function: Function, owner: ast.ClassDef | None, region: Region) -> bool:
    """Return whether a function has the lines of a region again, so that both can be the same call."""
    return bool(_twins(lines_of(text), function, owner, region))


def _extractable(
    lines: Sequence[str], function: Function, owner: ast.ClassDef | None, region: Region
) -> tuple[tuple[list[str], list[str], bool], list[str]] | None:
    """Return the interface of a region and its lines in a new function; None where that is refused."""
    found = interface(function, owner, region)
    body = None if found is None else moved(lines, region.statements, region.first - 1, "    ")
    # An `elif` is part of the statement above it.
    if found is None or body is None or body[0].lstrip().startswith("elif"):
        return None
    return found, body


def _twins(
    lines: Sequence[str], function: Function, owner: ast.ClassDef | None, region: Region
) -> list[Region]:
    """Return the other regions of a function with the same lines and the same interface, without comments."""
    found = _extractable(lines, function, owner, region)
    twins: list[Region] = []
    for other in regions(function, by_lines=True):
        apart = all(other.last < r.first or other.first > r.last for r in (region, *twins))
        if (
            apart
            and len(other.statements) == len(region.statements)
            and other.last - other.first == region.last - region.first
            and found is not None
            and not any("#" in line for line in found[1])
            and _extractable(lines, function, owner, other) == found
        ):
            twins.append(other)
    return twins
