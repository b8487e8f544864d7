"""Branches of JavaScript that are never taken, because of the conditions before them in a chain of `else if`."""

from itertools import product
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children
from qflow_dagster.evolution.analysis.tree import Tree

# Alternatives of a condition, nested operators, and conditions of a chain that are looked at.
MAX_ALTERNATIVES, MAX_DEPTH, MAX_CONDITIONS = 64, 50, 100
# A condition as alternatives (joined by ||) of facts (joined by &&), as they are written.
Alternatives = set[frozenset[str]]


def is_dead(tree: Tree, node: SgNode, argument: Any) -> bool:
    """Return whether each alternative of an `else if` is part of a condition before it in its chain."""
    own = _condition(node)
    before: Alternatives = set()
    outer = node.parent()
    for _ in range(MAX_CONDITIONS):
        if outer is None or outer.kind() != "else_clause":
            break
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


def _alternatives(node: SgNode, depth: int = 0) -> Alternatives:
    if node.kind() == "parenthesized_expression" and depth < MAX_DEPTH:
        return _alternatives(named_children(node)[0], depth + 1)
    operator = node.field("operator") if node.kind() == "binary_expression" else None
    left, right = node.field("left"), node.field("right")
    whole = {frozenset([_written(node)])}
    if operator is None or left is None or right is None or depth >= MAX_DEPTH:
        return whole
    if operator.text() not in ("&&", "||"):
        return whole
    sides = _alternatives(left, depth + 1), _alternatives(right, depth + 1)
    if operator.text() == "||":
        return sides[0] | sides[1]
    if len(sides[0]) * len(sides[1]) > MAX_ALTERNATIVES:
        return whole
    return {one | other for one, other in product(*sides)}


def _written(node: SgNode) -> str:
    """Return an expression without comments and white space between its tokens."""
    tokens, pending = [], [node]
    while pending:
        part = pending.pop()
        if not part.is_leaf():
            pending += reversed(part.children())
        elif part.kind() != "comment":
            tokens.append(part.text())
    return " ".join(tokens)
