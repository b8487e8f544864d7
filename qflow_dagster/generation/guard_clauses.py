"""Invert conditions of Python functions, so that what follows is nested less; behaviour provably stays.

Two forms: an `if` without `else` that ends a function or the body of a loop becomes `if not ...: return` (`continue`)
with its body after it; an `else` after a branch that always leaves loses its indentation. Refused: statements that
share a line. Does not belong here: whether it is worth it (`generators.extract_function`).
"""

import ast
from collections.abc import Iterator, Sequence

from qflow_dagster.generation.function_names import Function
from qflow_dagster.generation.python_lines import lines_of, moved
from qflow_dagster.generation.regions import BRANCHES, LEAVING

_EXACT: dict[type[ast.cmpop], str] = {ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in"}
_SIMPLE = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant)


def flattened(text: str, function: Function) -> Iterator[str]:
    """Yield the text of a module after each inversion that can be made in a function, the outermost first."""
    lines = lines_of(text)
    for condition, leave in _ends(function.body, "return"):
        if (changed := _inverted(lines, condition, leave)) is not None:
            yield "".join(changed)
    for condition in ast.walk(function):
        if isinstance(condition, ast.If) and (changed := _without_else(lines, condition)) is not None:
            yield "".join(changed)


def _ends(suite: Sequence[ast.stmt], leave: str) -> Iterator[tuple[ast.If, str]]:
    """Yield the conditions that end a function or the body of a loop, with what leaves there."""
    last = suite[-1]
    if isinstance(last, ast.If) and not last.orelse:
        yield last, leave
    for statement in suite:
        if isinstance(statement, ast.For | ast.While):
            yield from _ends(statement.body, "continue")
        elif isinstance(statement, ast.If | ast.With | ast.Try):
            # A loop further inside; what ends these does not end the function.
            for inner in ("body", "orelse", "finalbody"):
                for nested in getattr(statement, inner, ()):
                    if isinstance(nested, ast.For | ast.While):
                        yield from _ends(nested.body, "continue")


def _inverted(lines: Sequence[str], condition: ast.If, leave: str) -> list[str] | None:
    row = condition.lineno
    body = dedented(lines, condition, condition.body, row)
    test = negated("".join(lines), condition.test)
    # A body without branches gains nothing, and a comment beside the condition would be lost.
    branches = any(isinstance(node, BRANCHES) for s in condition.body for node in ast.walk(s))
    if body is None or test is None or not branches or "#" in lines[row - 1] or _is_elif(lines, condition):
        return None
    first = condition.body[0]
    outer, inner = lines[row - 1][: condition.col_offset], lines[first.lineno - 1][: first.col_offset]
    guard = [f"{outer}if {test}:\n", f"{inner}{leave}\n"]
    return [*lines[: row - 1], *guard, *body, *lines[condition.body[-1].end_lineno or 0 :]]


def _without_else(lines: Sequence[str], condition: ast.If) -> list[str] | None:
    if not condition.orelse or not isinstance(condition.body[-1], LEAVING):
        return None
    row = condition.body[-1].end_lineno or 0
    # Not an `elif`, and no comment before the `else` that would be lost.
    if lines[row].strip() != "else:" or _is_elif(lines, condition):
        return None
    body = dedented(lines, condition, condition.orelse, row + 1)
    return None if body is None else [*lines[:row], *body, *lines[condition.orelse[-1].end_lineno or 0 :]]


def _is_elif(lines: Sequence[str], condition: ast.If) -> bool:
    """Return whether a condition is part of the one above it."""
    return lines[condition.lineno - 1].encode()[condition.col_offset :].startswith(b"elif")


def dedented(
    lines: Sequence[str],
    condition: ast.If,
    statements: Sequence[ast.stmt],
    start: int,
    level: ast.stmt | None = None,
) -> list[str] | None:
    """Return the lines of statements, from `start`, at the indentation of a condition; None where that is refused.

    `level`: at the indentation of this statement instead.
    """
    first = statements[0]
    target = level or condition
    outer = lines[target.lineno - 1][: target.col_offset]
    indent = lines[first.lineno - 1][: first.col_offset]
    if outer.strip() or indent.strip() or not indent.startswith(outer) or indent == outer:
        return None
    # Only comments stand above the first statement: the condition is in one line.
    if any(not line.lstrip().startswith("#") for line in lines[start : first.lineno - 1] if line.strip()):
        return None
    return moved(lines, statements, start, outer)


def negated(text: str, test: ast.expr) -> str | None:
    """Return the negation of a condition of one line; `==` stays, because a class may define `!=` otherwise."""
    source = ast.get_source_segment(text, test)
    if source is None or test.lineno != test.end_lineno:
        return None
    if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not) and isinstance(test.operand, _SIMPLE):
        return ast.get_source_segment(text, test.operand)
    if isinstance(test, ast.Compare) and len(test.ops) == 1 and type(test.ops[0]) in _EXACT:
        sides = (test.left, test.comparators[0])
        if all(isinstance(side, _SIMPLE) for side in sides):
            left, right = (ast.get_source_segment(text, side) for side in sides)
            return f"{left} {_EXACT[type(test.ops[0])]} {right}"
    return f"not {source}" if isinstance(test, _SIMPLE) else f"not ({source})"
