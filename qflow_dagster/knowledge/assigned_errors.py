"""Errors in variables: what one that is raised was assigned, and whether Go returns what it assigns afterwards.

Belongs here: what is before and after an assignment in its function. Does not belong here: whether an expression raises
(`raising`).
"""

import re
from collections.abc import Callable, Container, Iterator
from typing import TYPE_CHECKING

from qflow_dagster.knowledge.code_trees import text_of
from qflow_dagster.knowledge.mentions import occurrences

if TYPE_CHECKING:
    from tree_sitter import Node

ASSIGNMENTS = frozenset({"assignment_statement", "short_var_declaration", "var_spec"})
_FUNCTIONS = frozenset({"function_declaration", "method_declaration", "func_literal"})


# `raise error`, `throw $error;`, and what makes the error that a variable is assigned.
_OF_VARIABLE = re.compile(
    r"\b(?:raise|throw|fail)\s{1,9}(\$?[a-z_]\w{0,80})\s{0,9}(?:;|$|\}|#|//|\bif\b|\bfrom\b)"
)
_ASSIGNED = (
    r"(?<![\w.>])\$?{0}\s{{0,9}}(?::[^=;]{{1,80}})?=\s{{0,9}}(?:await\s{{1,9}})?(?:new\s{{1,9}})?"
    r"([\w.:\\]{{1,120}}?)(?:\.new)?\s?[({{]"
)


def assigned(path: str, content: str, line: int, function: Container[int]) -> list[tuple[int, str]]:
    """Return what was assigned to the variable that a line raises, each with its line (number, name), in a function.

    Nothing if the line raises something else. That later lines give the variable another value is not looked at.
    """
    lines = content.splitlines()
    raised = _OF_VARIABLE.search(lines[line - 1][:500])
    if raised is None:
        return []
    name = raised[1].removeprefix("$")
    value = re.compile(_ASSIGNED.format(re.escape(name)))
    words = re.compile(rf"(?<!\w){re.escape(name)}(?!\w)")
    numbers = dict.fromkeys(found.line for found in occurrences(path, content, words))
    return [
        (number, match[1])
        for number in numbers
        if number in function and number < line and (match := value.search(lines[number - 1][:500]))
    ]


def is_returned(assignment: "Node", value: "Node", raises: "Callable[[Node], bool]") -> bool:
    """Return whether the variable that an assignment gives a value is returned before it has another one.

    `value` is what is assigned, or what it is in; `raises` says whether a variable is raised where it stands.
    """
    name = _variable(assignment, value)
    function = _function_of(assignment)
    if not name or function is None:
        return False
    assigns = assignment.type == "assignment_statement"
    named = assigns and name in _results(function)
    if assigns and not named and _of_outer_function(function, name):
        return True
    node = assignment
    while node != function and node.parent is not None:
        following = node.next_named_sibling if node.parent.type == "statement_list" else None
        while following is not None:
            returned = _returns(following, name, raises, named=named)
            if returned is not None:
                return returned
            following = following.next_named_sibling
        node = node.parent
    return False


def _returns(statement: "Node", name: str, raises: "Callable[[Node], bool]", *, named: bool) -> bool | None:
    """Return whether a statement may return a variable; None if it does not, and leaves it as it is."""
    nodes = list(_within(statement))
    variables = [node for node in nodes if node.type == "identifier" and text_of(node) == name]
    if any(map(raises, variables)):
        return True
    if named and any(node.type == "return_statement" and not node.named_children for node in nodes):
        return True
    if statement.type == "return_statement":
        return False
    if statement.type == "assignment_statement":
        left, right = statement.child_by_field_name("left"), statement.child_by_field_name("right")
        written = left is not None and any(variable in left.named_children for variable in variables)
        read = right is not None and any(node in variables for node in _within(right))
        return False if written and not read else None
    return None


def _variable(assignment: "Node", value: "Node") -> str:
    """Return the variable that is given a value; '' if a field or an element is."""
    left = assignment.child_by_field_name("left")
    names = left.named_children if left is not None else assignment.children_by_field_name("name")
    right = assignment.child_by_field_name("right") or assignment.child_by_field_name("value")
    values = right.named_children if right is not None else []
    index = next(
        (i for i, each in enumerate(values) if each.start_byte <= value.start_byte < each.end_byte), None
    )
    if index is None or index >= len(names) or names[index].type != "identifier":
        return ""
    return text_of(names[index])


def _function_of(node: "Node") -> "Node | None":
    around = node.parent
    while around is not None and around.type not in _FUNCTIONS:
        around = around.parent
    return around


def _results(function: "Node") -> set[str]:
    """Return the names of the results of a function."""
    result = function.child_by_field_name("result")
    declared = result.named_children if result is not None and result.type == "parameter_list" else []
    return {text_of(name) for each in declared for name in each.children_by_field_name("name")}


def _of_outer_function(function: "Node", name: str) -> bool:
    """Return whether a name is that of a result of a function around a function without a name."""
    outer = _function_of(function)
    while outer is not None and name not in _results(outer):
        outer = _function_of(outer)
    return outer is not None


def _within(node: "Node") -> "Iterator[Node]":
    pending = [node]
    while pending:
        yield (inner := pending.pop())
        pending += inner.named_children
