"""Whether code raises, returns or only names an error where it stands, read from the tree.

Belongs here: how each language raises: statements, calls and macros that fail with what they are given. Does not belong
here: answers (`raise_answers`), which lines have a name (`mentions`).
"""

import re
from typing import TYPE_CHECKING

from qflow_dagster.knowledge.assigned_errors import ASSIGNMENTS, is_returned
from qflow_dagster.knowledge.code_trees import text_of

if TYPE_CHECKING:
    from tree_sitter import Node

RAISED, RETURNED, KEPT = "raised", "returned", "kept"
# Statements that raise; Kotlin and Swift have one kind of node for all jumps.
_STATEMENTS = re.compile(r"^(?:throw|raise)_|^(?:jump_expression|control_transfer_statement)$")
_STARTS = re.compile(r"(?:throw|raise)\b")
# What is called with an error to fail with it.
_FAILING = re.compile(
    r"Err|raise|fail|reject|panic|failure|bail|ensure|rethrow|ok_or|ok_or_else|map_err|completeExceptionally"
    r"|(?:[A-Z0-9]+_)*(?:THROW|RAISE)(?:_[A-Z0-9]+)*"
)
_CALLS = re.compile(r"call|invocation|creation|^new_expression$|^token_tree$")
_CALLEES = ("function", "method", "macro", "name", "type", "constructor", "target")
_COMPARING = re.compile(r"^(?:==|!=|===|!==|is|in|instanceof)$")
# Calls of Go that compare errors.
_ASKING = frozenset({"Is", "As", "AsType"})
# Calls that put an error into another one.
_WRAPPING = re.compile(r"(?i)err|wrap|join|with")
_FUNCTIONS = re.compile(
    r"^(?:function|method|constructor)_?(?:item|definition|declaration|signature)?$|^singleton_method$"
)
# Languages where the last expression of a function is its value.
_TAILS = (".rs", ".rb", ".kt", ".scala", ".ex", ".exs")


def how_used(path: str, node: "Node", *, made: bool, followed: bool = False) -> str:
    """Return whether an error is raised where its name stands, or returned for the caller to raise; '' if neither.

    In Go, to return an error is to raise it, also by a variable that it is assigned to (unless that is `followed`
    already); what is assigned, and not seen to be returned, is kept. `made`: the line makes the error; what is only
    named in what is given to another call is not raised.
    """
    if node.type == "preproc_arg":
        return RAISED if re.search(r"\b(?:throw|raise)\b", text_of(node)) else ""
    go = path.endswith(".go")
    given = made or go or path.endswith(".rs")
    passed, tail, wrapped = False, True, True
    child, around = node, node.parent
    while around is not None:
        if in_pattern(around) or _compares(around):
            return ""
        if _STATEMENTS.search(around.type) and _STARTS.match(text_of(around)):
            return RAISED if given or not passed else ""
        callee = _callee(around, child)
        if callee and go and callee in _ASKING:
            return ""
        if go and around.type in ASSIGNMENTS:
            return "" if followed or not wrapped else _assigned(path, around, node)
        wrapped = wrapped and (not callee or _WRAPPING.search(callee) is not None)
        if callee and _FAILING.fullmatch(callee):
            return RAISED if given or not passed else ""
        passed = passed or bool(callee)
        if around.type.startswith("return") or (around.type == "jump_expression"):
            if passed and not given:
                return ""
            return RAISED if go else RETURNED
        if _FUNCTIONS.match(around.type):
            return RETURNED if tail and made and path.endswith(_TAILS) else ""
        if around.type in ("block", "body_statement", "statements") and child != around.named_children[-1]:
            tail = False
        child, around = around, around.parent
    return ""


def _assigned(path: str, assignment: "Node", node: "Node") -> str:
    """Return whether an error that Go assigns is returned."""
    left = assignment.child_by_field_name("left")
    if left is not None and left.start_byte <= node.start_byte < left.end_byte:
        return ""

    def raises(variable: "Node") -> bool:
        return how_used(path, variable, made=True, followed=True) == RAISED

    return RAISED if is_returned(assignment, node, raises) else KEPT


def in_pattern(node: "Node") -> bool:
    """Return whether a node is a pattern that is matched, not a value: `Err(e) =>`."""
    return node.type.endswith("_pattern") and node.type != "token_tree_pattern"


def is_matched(node: "Node | None") -> bool:
    """Return whether a name stands in a pattern."""
    while node is not None and not _FUNCTIONS.match(node.type) and not node.type.endswith("block"):
        if in_pattern(node):
            return True
        node = node.parent
    return False


def _compares(node: "Node") -> bool:
    return any(_COMPARING.match(child.type) for child in node.children if not child.is_named)


def _callee(node: "Node", argument: "Node") -> str:
    """Return the last name of what a call calls, if a node is among its arguments."""
    if not _CALLS.search(node.type):
        return ""
    if node.type == "token_tree":
        called = node.prev_named_sibling if node.parent and node.parent.type == "token_tree" else None
    else:
        fields = (node.child_by_field_name(field) for field in _CALLEES)
        called = next((field for field in fields if field is not None), node.named_child(0))
    if called is None or called == argument or argument == node.child_by_field_name("receiver"):
        return ""
    return re.split(r"[^\w!?]+", text_of(called))[-1].rstrip("!")
