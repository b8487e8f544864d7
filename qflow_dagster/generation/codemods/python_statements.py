"""Codemods of Python that repair statements: raise, assert, except, the head of a loop."""

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.fixes import EditsOf
from qflow_dagster.generation.preconditions.file import File
from qflow_dagster.generation.preconditions.python_flow import caught_name, operands
from qflow_dagster.generation.preconditions.python_syntax import node_of


def assert_tuple(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``assert x, "message"`` for ``assert (x, "message")``."""
    statement = node_of(file, match, "assert_statement")
    pair = named_children(statement)[0] if statement is not None else None
    elements = named_children(pair) if pair is not None and pair.kind() == "tuple" else []
    if statement is None or pair is None or len(elements) != 2 or len(named_children(statement)) != 1:
        return "it is not a pair of a condition and a message"
    condition, message = elements
    if message.kind() not in ("string", "concatenated_string"):
        return "the second value is not known to be a message"
    if "\n" in pair.text() or condition.kind() in ("named_expression", "list_splat"):
        return "the condition and its message are written on several lines"
    return [Edit(*span_of(pair), f"{condition.text()}, {message.text()}")]


def except_or(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``except (A, B):`` for ``except A or B:``."""
    operator = node_of(file, match, "boolean_operator")
    if operator is None:
        return "the clause was not understood"
    names = ", ".join(operand.text() for operand in operands(operator))
    outer = operator.parent()
    inside = outer is not None and outer.kind() == "parenthesized_expression"
    return [Edit(*span_of(operator), names if inside else f"({names})")]


def raise_from(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``raise Error() from error`` where the handler calls what it caught ``error``."""
    statement = node_of(file, match, "raise_statement")
    name = caught_name(file, match)
    values = named_children(statement) if statement is not None else []
    if name is None:
        return "the handler does not name what it caught: whether it is the cause is not known"
    if statement is None or len(values) != 1:
        return "the statement was not understood"
    if values[0].kind() != "call" or values[0].text() == name:
        return "what is raised may be something that was caught before"
    end = span_of(values[0])[1]
    return [Edit(end, end, f" from {name}")]


def awaited(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``await save()`` for ``save()``."""
    return [Edit(match.start, match.start, "await ")]


def loop_over_copy(file: File, match: Match) -> list[Edit] | str | None:
    """Write ``for key in list(d):`` for ``for key in d:``."""
    loop = node_of(file, match, "for_statement")
    iterated: SgNode | None = loop.field("right") if loop is not None else None
    if iterated is None:
        return "the loop was not understood"
    start, end = span_of(iterated)
    return [Edit(start, start, "list("), Edit(end, end, ")")]


CODEMODS: dict[str, EditsOf] = {
    "python/assert-on-tuple": assert_tuple,
    "python/changed-while-iterating": loop_over_copy,
    "python/except-or": except_or,
    "python/missing-await": awaited,
    "python/raise-without-from": raise_from,
}
