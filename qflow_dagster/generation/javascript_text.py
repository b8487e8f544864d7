"""The text of an expression of JavaScript where it is put: parentheses and semicolons that its surroundings need.

Belongs here: what depends on the syntax around a replaced expression. Does not belong here: whether it may be
replaced (`preconditions`).
"""

import re
from collections.abc import Sequence

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import javascript_scopes as scopes
from qflow_dagster.evolution.analysis.nodes import span_of
from qflow_dagster.evolution.matchers import Edit, Match
from qflow_dagster.generation.preconditions.file import File

_LISTS = ("program", "statement_block", "switch_case", "switch_default", "class_static_block")
# At the beginning of a statement, or behind `export default`, these declare something.
_DECLARING = re.compile(r"(?:async\s+)?function\b|class\b")
LANGUAGES = ("javascript", "typescript", "tsx")
# Within these, by field, an operator such as ** or ! needs parentheses around it.
_TIGHTER = {
    "member_expression": "object",
    "subscript_expression": "object",
    "call_expression": "function",
    "new_expression": "constructor",
    "unary_expression": "argument",
    "await_expression": None,
    "non_null_expression": None,
    "as_expression": None,
    "satisfies_expression": None,
    "class_heritage": None,
    "extends_clause": None,
}


def in_context(file: File, match: Match, edits: Sequence[Edit]) -> list[Edit]:
    """Return the edits with the parentheses and semicolons that are needed where they are, and no more."""
    if file.language not in LANGUAGES or [(edit.start, edit.end) for edit in edits] != [
        (match.start, match.end)
    ]:
        return list(edits)
    text = edits[0].text
    node = file.innermost((match.start, match.end))
    if node.kind().endswith(("statement", "declaration")):
        # A semicolon only where there was one.
        if not node.text().endswith(";"):
            text = text.removesuffix(";")
        return [Edit(match.start, match.end, text)]
    if _needs_parentheses(node, text):
        text = f"({text})"
    statement = _begun_by(node)
    # Alone after `if (a)` a semicolon would be the whole body.
    parent = statement.parent() if statement is not None else None
    if statement is not None and parent is not None and parent.kind() in _LISTS:
        before = statement.prev()
        while before is not None and before.kind() == "comment":
            before = before.prev()
        if before is not None and before.is_named() and scopes.continues(before, text):
            text = f";{text}"
    return [Edit(match.start, match.end, text)]


def _needs_parentheses(node: SgNode, text: str) -> bool:
    parent = node.parent()
    if parent is None:
        return False
    if text.startswith("{") and (_begun_by(node) is not None or _begins_arrow_body(node)):
        return True
    if _DECLARING.match(text) and (_begun_by(node) is not None or _begins_default_export(node)):
        return True
    if " ** " in text:
        if parent.kind() == "binary_expression":
            left, operator = parent.field("left"), parent.field("operator")
            return (
                left is not None
                and span_of(left) == span_of(node)
                and operator is not None
                and operator.text() == "**"
            )
        return _is_tighter(parent, node)
    return False


def _is_tighter(parent: SgNode, node: SgNode) -> bool:
    if parent.kind() not in _TIGHTER:
        return False
    name = _TIGHTER[parent.kind()]
    child = parent.field(name) if name else node
    return child is not None and span_of(child) == span_of(node)


def _begun_by(node: SgNode) -> SgNode | None:
    """Return the statement whose first token is the node's first token."""
    start = span_of(node)[0]
    for ancestor in node.ancestors():
        if span_of(ancestor)[0] != start:
            return None
        if ancestor.kind() == "expression_statement":
            return ancestor
    return None


def _begins_default_export(node: SgNode) -> bool:
    start = span_of(node)[0]
    values = [outer.field("value") for outer in node.ancestors() if outer.kind() == "export_statement"]
    return any(value is not None and span_of(value)[0] == start for value in values)


def _begins_arrow_body(node: SgNode) -> bool:
    start = span_of(node)[0]
    for ancestor in node.ancestors():
        if ancestor.kind() == "arrow_function":
            body = ancestor.field("body")
            return body is not None and span_of(body)[0] == start
        if span_of(ancestor)[0] != start:
            return False
    return False
