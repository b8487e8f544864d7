"""Preconditions of Rust: what its file says; types are the compiler's part (the gate `compiles`)."""

from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

_BLOCKS = (
    "block",
    "unsafe_block",
    "if_expression",
    "match_expression",
    "loop_expression",
    "while_expression",
)
_BLOCKS += ("for_expression", "async_block", "const_block", "gen_block")
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
_ITERATORS = frozenset(
    """
    iter iter_mut into_iter chars char_indices bytes lines split split_whitespace keys values values_mut
    drain map filter_map enumerate rev zip skip take chain copied cloned flat_map skip_while take_while
    windows chunks flatten into_keys into_values peekable by_ref inspect step_by
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)


def _last_expression(file: File, match: Match, variable: Any) -> str | None:
    """Check that the operand of `return` can be the last expression of the function."""
    value = file.innermost(match.captures[variable])
    first = value
    while not first.is_leaf() and span_of(first)[0] == span_of(value)[0]:
        children = first.children()
        if first.kind() in _BLOCKS and first is not value and span_of(first) != span_of(value):
            return "an expression that begins with a block would end as a statement there"
        first = children[0]
    function = next(
        ancestor for ancestor in file.node(match).ancestors() if ancestor.kind() == "function_item"
    )
    body = function.field("body")
    if body is not None and body.find(kind="let_declaration") is not None:
        temporary = _temporary(value)
        if temporary is not None:
            return f"{_short(temporary)} is a temporary, which would outlive the variables of the function"
    return None


def _iterator(file: File, match: Match, variable: Any) -> str | None:
    value = file.innermost(match.captures[variable])
    if value.kind() == "range_expression" or (
        value.kind() == "parenthesized_expression" and ".." in value.text()
    ):
        return None
    if _method(value) in _ITERATORS:
        own = {
            name.text() for item in file.root.find_all(kind="function_item") if (name := item.field("name"))
        }
        return None if not own & {"filter", "find"} else "the file has a filter or find of its own"
    return f"whether {_short(value)} is an iterator that may be changed is not known"


def _condition(file: File, match: Match, argument: Any) -> str | None:
    """Check that only a bool is allowed here, so that the compiler refuses the change for every other type."""
    node = file.innermost((match.start, match.end))
    for parent in node.ancestors():
        kind = parent.kind()
        if kind == "parenthesized_expression" or (
            kind == "binary_expression" and _operator(parent) in ("&&", "||")
        ):
            node = parent
        elif kind in ("if_expression", "while_expression"):
            condition = parent.field("condition")
            return None if condition is not None and span_of(condition) == span_of(node) else _NOT_BOOL
        elif kind == "let_declaration":
            annotation = parent.field("type")
            return None if annotation is not None and annotation.text() == "bool" else _NOT_BOOL
        elif kind == "block":
            function = parent.parent()
            last = named_children(parent)[-1:]
            if (
                function is None
                or function.kind() != "function_item"
                or [span_of(n) for n in last] != [span_of(node)]
            ):
                return _NOT_BOOL
            result = function.field("return_type")
            return None if result is not None and result.text() == "bool" else _NOT_BOOL
        else:
            return _NOT_BOOL
    return _NOT_BOOL


_NOT_BOOL = "the type of the value needs rustc: here it need not be bool"


def _no_own(file: File, match: Match, names: Any) -> str | None:
    for item in file.root.find_all(kind="function_item"):
        name = item.field("name")
        if name is not None and name.text() in names:
            return f"line {file.source.line_of(span_of(item)[0])} defines its own {name.text()}"
    return None


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
            if not called and _method(call) not in _PLAIN:
                return call
        elif kind in ("reference_expression", "index_expression", "match_expression", "let_condition"):
            if _method(call) not in _PLAIN:
                return call
        elif (
            kind == "binary_expression"
            and _operator(parent) in ("==", "!=", "<", ">", "<=", ">=")
            and _method(call) not in _PLAIN
        ) or (kind == "unary_expression" and parent.text().startswith("*")):
            return call
    return None


def _is_called(field: SgNode) -> bool:
    parent = field.parent()
    function = parent.field("function") if parent is not None else None
    return function is not None and span_of(function) == span_of(field)


def _method(node: SgNode) -> str:
    """Return the name of the method that a call calls; '' if it calls none."""
    function = node.field("function") if node.kind() == "call_expression" else None
    if function is not None and function.kind() == "generic_function":
        function = function.field("function")
    name = function.field("field") if function is not None and function.kind() == "field_expression" else None
    return name.text() if name is not None else ""


def _operator(node: SgNode) -> str:
    operator = node.field("operator")
    return operator.text() if operator is not None else ""


def _short(node: SgNode) -> str:
    return " ".join(node.text().split())[:40]


PRECONDITIONS = {
    "rust-last-expression": Precondition(
        "The value can be the last expression of the function.", _last_expression
    ),
    "rust-iterator": Precondition("The value is an iterator that an adaptor has just returned.", _iterator),
    "rust-condition": Precondition("The value is used where Rust allows a bool only.", _condition),
    "rust-no-own": Precondition("The file defines no function of these names.", _no_own),
}
