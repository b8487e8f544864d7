"""Preconditions of Go: what its file says; types are the compiler's part (the gate `compiles`)."""

from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

_DECLARING = (
    "short_var_declaration",
    "var_spec",
    "const_spec",
    "parameter_declaration",
    "range_clause",
    "type_spec",
)
_PURE = (
    "identifier",
    "selector_expression",
    "interpreted_string_literal",
    "raw_string_literal",
    "int_literal",
    "nil",
)


def package(file: File, match: Match, name: Any) -> str | None:
    """Check that the name (or what captured it) is that of the imported package, and nothing else is called so."""
    name = file.captured(match, name) or name
    path = name.split("/")[-1]
    imported = False
    for spec in file.root.find_all(kind="import_spec"):
        target, alias = spec.field("path"), spec.field("name")
        own = (
            alias.text()
            if alias is not None
            else (target.text().strip('"`').split("/")[-1] if target else "")
        )
        if own == path:
            imported = target is not None and alias is None and target.text().strip('"`') == name
    if not imported:
        return f"{path} is not the package {name} here"
    for node in file.root.find_all(any=[{"kind": kind} for kind in _DECLARING]):
        if any(child.text() == path for child in _declared(node)):
            return f"line {file.source.line_of(span_of(node)[0])} declares another {path}"
    return None


def _pure(file: File, match: Match, variable: Any) -> str | None:
    node = file.innermost(match.captures[variable])
    impure = node.find(any=[{"kind": "call_expression"}, {"kind": "unary_expression", "regex": "^<-"}])
    if impure is not None or node.kind() == "call_expression":
        return f"{_short(node)} would run before the clock is read, not after it"
    return None


def _condition(file: File, match: Match, argument: Any) -> str | None:
    """Check that only a bool is allowed here, so that the compiler refuses the change for every other type."""
    node = file.innermost((match.start, match.end))
    for parent in node.ancestors():
        kind = parent.kind()
        if kind == "parenthesized_expression" or (
            kind == "unary_expression" and parent.text().startswith("!")
        ):
            node = parent
            continue
        if kind == "binary_expression" and _operator(parent) in ("&&", "||"):
            node = parent
            continue
        if kind in ("if_statement", "for_statement", "for_clause"):
            condition = parent.field("condition") or node
            return None if span_of(condition) == span_of(node) else _NO_CONDITION
        if kind in ("expression_list", "return_statement"):
            if kind == "expression_list" and len(named_children(parent)) > 1:
                return _NO_CONDITION
            if kind == "return_statement":
                return None if _returns_bool(parent) else _NO_CONDITION
            continue
        return _NO_CONDITION
    return _NO_CONDITION


_NO_CONDITION = "the type of the value needs Go's type checker: here it need not be bool"


def _returns_bool(statement: SgNode) -> bool:
    functions = ("function_declaration", "method_declaration", "func_literal")
    function = next((ancestor for ancestor in statement.ancestors() if ancestor.kind() in functions), None)
    result = function.field("result") if function is not None else None
    return result is not None and result.text() == "bool"


def _operator(node: SgNode) -> str:
    operator = node.field("operator")
    return operator.text() if operator is not None else ""


def _declared(node: SgNode) -> list[SgNode]:
    left = node.field("left")
    parts = named_children(left) if left is not None else named_children(node)
    return [part for part in parts if part.kind() in ("identifier", "type_identifier")]


def _short(node: SgNode) -> str:
    return " ".join(node.text().split())[:40]


PRECONDITIONS = {
    "go-package": Precondition("The name is that of the imported package.", package),
    "go-pure": Precondition("The value is not computed by a call.", _pure),
    "go-condition": Precondition("The value is used where Go allows a bool only.", _condition),
}
