"""Branches of JavaScript that are never taken, because of the conditions before them in a chain of `else if`."""

from itertools import product
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children

# Alternatives of a condition that are looked at.
MAX_ALTERNATIVES = 64
# A condition as alternatives (joined by ||) of facts (joined by &&), as they are written.
Alternatives = set[frozenset[str]]


def is_dead(node: SgNode, language: str, argument: Any) -> bool:
    """Return whether each alternative of an `else if` is part of a condition before it in its chain."""
    own = _condition(node)
    before: Alternatives = set()
    outer = node.parent()
    while outer is not None and outer.kind() == "else_clause":
        statement = outer.parent()
        if statement is None:
            break
        before |= _condition(statement)
        outer = statement.parent()
    return bool(own and before) and all(
        any(earlier <= alternative for earlier in before) for alternative in own
    )


def _condition(statement: SgNode) -> Alternatives:
    condition = statement.field("condition")
    # What is called may answer otherwise the second time.
    if condition is None or condition.find(kind="call_expression") is not None:
        return set()
    return _alternatives(condition)


def _alternatives(node: SgNode) -> Alternatives:
    if node.kind() == "parenthesized_expression":
        return _alternatives(named_children(node)[0])
    operator = node.field("operator") if node.kind() == "binary_expression" else None
    left, right = node.field("left"), node.field("right")
    if operator is None or left is None or right is None or operator.text() not in ("&&", "||"):
        return {frozenset([_written(node)])}
    sides = _alternatives(left), _alternatives(right)
    if operator.text() == "||":
        return sides[0] | sides[1]
    if len(sides[0]) * len(sides[1]) > MAX_ALTERNATIVES:
        return {frozenset([_written(node)])}
    return {one | other for one, other in product(*sides)}


def _written(node: SgNode) -> str:
    """Return an expression without comments and white space between its tokens."""
    if node.is_leaf():
        return "" if node.kind() == "comment" else node.text()
    return " ".join(filter(None, map(_written, node.children())))
