"""The values that a function of Rust returns: its last expression, and the temporaries in that."""

from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.analysis.tree import Tree

_FUNCTIONS = ("function_item", "closure_expression")
# These take their receiver by value, so that it is no temporary that is dropped at the end.
_CONSUMING = frozenset(
    """
    unwrap expect unwrap_or unwrap_or_else unwrap_or_default map and_then ok ok_or ok_or_else err map_err
    collect sum count filter filter_map flat_map enumerate rev zip skip take chain copied cloned fold all
    any find position into_iter into is_some_and is_ok_and min max last product skip_while take_while
    peekable flatten
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
# These return a value without a destructor: a number, a reference, an iterator over references.
_PLAIN = frozenset(
    """
    len iter iter_mut chars bytes as_str as_ref as_bytes as_slice trim trim_start trim_end lines split
    split_whitespace keys values abs pow min max is_empty as_mut as_deref
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)


def is_tail(tree: Tree, node: SgNode, argument: Any) -> bool:
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
        elif kind == "expression_statement":
            # With a semicolon the value of an `if` or `match` is dropped.
            if node.kind() != "return_expression" and parent.text().endswith(";"):
                return False
        elif kind not in ("else_clause", "match_block", "unsafe_block"):
            return False
        node = parent


def _is_last(block: SgNode, node: SgNode) -> bool:
    """Return whether nothing follows a node in its block, and no attribute is before it."""
    statements = named_children(block)
    # After `return` more semicolons change nothing; after `if` or `match` they drop its value.
    while statements and statements[-1].kind() == "empty_statement" and node.text().endswith(";"):
        statements.pop()
    if not statements or span_of(statements[-1]) != span_of(node):
        return False
    return len(statements) < 2 or statements[-2].kind() != "attribute_item"


def drops_in_time(tree: Tree, node: SgNode, argument: Any) -> bool:
    """Return whether no temporary of a `return` would outlive the variables of its function as the last expression."""
    function = next((ancestor for ancestor in node.ancestors() if ancestor.kind() in _FUNCTIONS), None)
    values = named_children(node)
    if function is None or not values or function.find(kind="let_declaration") is None:
        return True
    return _temporary(values[0]) is None


def _temporary(node: SgNode) -> SgNode | None:
    """Return a call within an expression whose result is dropped only at the expression's end."""
    for call in [node, *node.find_all(any=[{"kind": "call_expression"}, {"kind": "macro_invocation"}])]:
        if call.kind() not in ("call_expression", "macro_invocation"):
            continue
        parent = call.parent()
        # A `?` hands its operand on.
        while parent is not None and parent.kind() == "try_expression":
            parent = parent.parent()
        if parent is None or span_of(call) == span_of(node):
            continue
        kind = parent.kind()
        if kind == "field_expression":
            consumer = parent.field("field")
            called = consumer is not None and consumer.text() in _CONSUMING and _is_called(parent)
            if not called and method_of(call) not in _PLAIN:
                return call
        elif kind in ("reference_expression", "index_expression", "match_expression", "let_condition"):
            if method_of(call) not in _PLAIN:
                return call
        elif (
            kind == "binary_expression"
            and _operator_of(parent) in ("==", "!=", "<", ">", "<=", ">=")
            and method_of(call) not in _PLAIN
        ) or (kind == "unary_expression" and parent.text().startswith("*")):
            return call
    return None


def _is_called(field: SgNode) -> bool:
    parent = field.parent()
    function = parent.field("function") if parent is not None else None
    return function is not None and span_of(function) == span_of(field)


def method_of(node: SgNode) -> str:
    """Return the name of the method that a call calls; '' if it calls none."""
    function = node.field("function") if node.kind() == "call_expression" else None
    if function is not None and function.kind() == "generic_function":
        function = function.field("function")
    name = function.field("field") if function is not None and function.kind() == "field_expression" else None
    return name.text() if name is not None else ""


def _operator_of(node: SgNode) -> str:
    operator = node.field("operator")
    return operator.text() if operator is not None else ""
