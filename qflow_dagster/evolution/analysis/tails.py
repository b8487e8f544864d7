"""Expressions of Rust whose value is what their function returns, because they are the last in it."""

from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of

_FUNCTIONS = ("function_item", "closure_expression")


def is_tail(node: SgNode, language: str, argument: Any) -> bool:
    """Return whether an expression or statement is the last one of a function or closure, in each of its branches."""
    while True:
        parent = node.parent()
        if parent is None:
            return False
        kind = parent.kind()
        if kind in _FUNCTIONS:
            return True
        if kind == "block":
            if not _is_last(parent, node):
                return False
        elif kind == "if_expression":
            condition = parent.field("condition")
            # Without an else the value of the branch is nobody's.
            if (
                condition is None
                or span_of(condition) == span_of(node)
                or parent.field("alternative") is None
            ):
                return False
        elif kind == "match_arm":
            value = parent.field("value")
            if value is None or span_of(value) != span_of(node):
                return False
        elif kind == "match_expression":
            if node.kind() != "match_block":
                return False
        elif kind not in ("else_clause", "expression_statement", "match_block"):
            return False
        node = parent


def _is_last(block: SgNode, node: SgNode) -> bool:
    """Return whether nothing but empty statements follows a node in its block, and no attribute is before it."""
    statements = [child for child in named_children(block) if child.kind() != "empty_statement"]
    if not statements or span_of(statements[-1]) != span_of(node):
        return False
    return len(statements) < 2 or statements[-2].kind() != "attribute_item"
