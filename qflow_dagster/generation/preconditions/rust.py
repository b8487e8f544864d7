"""Preconditions of Rust: what its file says; types are the compiler's part (the gate `compiles`)."""

from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.analysis.tails import method_of
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
_ITERATORS = frozenset(
    """
    iter iter_mut into_iter chars char_indices bytes lines split split_whitespace keys values values_mut
    drain map filter_map enumerate rev zip skip take chain copied cloned flat_map skip_while take_while
    windows chunks flatten into_keys into_values peekable by_ref inspect step_by
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)


def _last_expression(file: File, match: Match, argument: Any) -> str | None:
    """Check that the operand of `return` can be the last expression of the function."""
    values = named_children(file.innermost((match.start, match.end)))
    if not values:
        return None
    value = first = values[0]
    while not first.is_leaf() and span_of(first)[0] == span_of(value)[0]:
        children = first.children()
        if first.kind() in _BLOCKS and first is not value and span_of(first) != span_of(value):
            return "an expression that begins with a block would end as a statement there"
        first = children[0]
    return None


def _iterator(file: File, match: Match, variable: Any) -> str | None:
    # A variable of another form of the pattern.
    if variable not in match.captures:
        return None
    value = file.innermost(match.captures[variable])
    if value.kind() == "range_expression" or (
        value.kind() == "parenthesized_expression" and ".." in value.text()
    ):
        return None
    if method_of(value) in _ITERATORS:
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
