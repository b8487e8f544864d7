"""Preconditions of JavaScript and TypeScript about promises, branches and regular expressions."""

import re
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import javascript_scopes as scopes
from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

_ERRORS = ("Error", "TypeError", "RangeError", "SyntaxError", "ReferenceError", "EvalError", "URIError")
_BIG_NUMBER = re.compile(r"\bBigInt\b|\bbigint\b|\b(?:\d[\d_]*|0[xob][\da-f_]+)n\b", re.I)
_LOOPS = ("while_statement", "do_statement", "for_statement")


def async_function(file: File, match: Match, variable: Any) -> str | None:
    """Check that a function is an async one of the file, which returns a promise and nothing else."""
    name = file.captured(match, variable) or ""
    declared = scopes.declarations(file.root, name)
    if len(declared) != 1 or scopes.writes(file.root, name):
        return f"{name} is declared or assigned more than once"
    node = declared[0][0]
    function = node.field("value") if node.kind() == "variable_declarator" else node
    if function is None or function.kind() not in (
        "function_declaration",
        "arrow_function",
        "function_expression",
    ):
        return f"{name} is no async function"
    return None if _is_async(function) else f"{name} is no async function"


def in_async_function(file: File, match: Match, argument: Any) -> str | None:
    """Check that await is allowed here."""
    node = file.innermost((match.start, match.end))
    function = _function_of(node)
    if function is None or not _is_async(function):
        return "it is not in an async function"
    if node.kind() == "return_statement" and any(child.kind() == "*" for child in function.children()):
        return "a generator awaits what it returns by itself"
    parameters = function.field("parameters") or function.field("parameter")
    if parameters is not None and span_of(parameters)[0] <= match.start < span_of(parameters)[1]:
        return "await is not allowed in a default value"
    return None


def _function_of(node: SgNode) -> SgNode | None:
    return next((outer for outer in node.ancestors() if outer.kind() in scopes.FUNCTIONS), None)


def _is_async(function: SgNode) -> bool:
    return any(child.kind() == "async" for child in function.children())


def ends_a_branch(file: File, match: Match, argument: Any) -> str | None:
    """Check that nothing follows a statement in its branch, and that nothing in its function catches it."""
    statement = file.innermost((match.start, match.end))
    while statement.kind() != "expression_statement":
        parent = statement.parent()
        if parent is None:
            return "the statement was not understood"
        statement = parent
    outer = statement.parent()
    if outer is not None and outer.kind() == "statement_block":
        if span_of(named_children(outer)[-1]) != span_of(statement):
            return "the statements that follow would never run"
        outer = outer.parent()
    if outer is None or outer.kind() not in ("if_statement", "else_clause"):
        return "it is not in a branch: the function would do nothing else"
    for ancestor in outer.ancestors():
        if ancestor.kind() in scopes.FUNCTIONS:
            return None
        if ancestor.kind() == "try_statement":
            return "a catch clause around it may be there for something else"
    return "it is not in a function"


def builtin_error(file: File, match: Match, variable: Any) -> str | None:
    """Check that a class is one of the errors of the language, whose constructor does nothing else."""
    name = file.captured(match, variable) or ""
    if name not in _ERRORS:
        return f"the constructor of {name} may do something"
    return f"the file declares a {name} of its own" if scopes.declared(file.root, name) else None


def only_tested(file: File, match: Match, variable: Any) -> str | None:
    """Check that a regular expression is only asked whether it matches, and not for one match after another."""
    name = file.captured(match, variable) or ""
    declared = scopes.declarations(file.root, name)
    if len(declared) != 1 or scopes.writes(file.root, name):
        return f"{name} is declared or assigned more than once"
    if "export" in {child.kind() for child in _statement_of(declared[0][0]).children()}:
        return f"other files may use {name}"
    asked: list[str] = []
    for use in scopes.uses(file.root, name):
        parent = use.parent()
        if parent is None or span_of(parent) == span_of(declared[0][0]):
            continue
        call = parent.parent()
        method = parent.field("property") if parent.kind() == "member_expression" else None
        if method is None or method.text() != "test" or call is None or call.kind() != "call_expression":
            return f"{name} is used for more than test()"
        if _steps_through(file, use):
            return f"a loop may go from one match of {name} to the next"
        if _same_text(call):
            return f"{name} may be asked for one match of the same text after another"
        asked.append(call.text())
    return f"{name} is asked for one match after another" if len(asked) > len(set(asked)) else None


def _steps_through(file: File, use: SgNode) -> bool:
    """Return whether a test is in a loop, or in a function that a loop calls in its head."""
    for ancestor in use.ancestors():
        if ancestor.kind() in _LOOPS:
            return True
        if ancestor.kind() in scopes.FUNCTIONS:
            declarator = ancestor.parent()
            own = ancestor.field("name") or (declarator.field("name") if declarator is not None else None)
            heads = [loop.field("condition") for loop in of_kinds(file.root, _LOOPS)]
            called = {node.text() for head in heads if head is not None for node in _identifiers(head)}
            return own is not None and own.text() in called
    return False


def _same_text(call: SgNode) -> bool:
    """Return whether a function may test a text that is not its own again: in a callback, or as it calls itself."""
    function = _function_of(call)
    if function is None:
        return False
    declarator = function.parent()
    own = function.field("name") or (declarator.field("name") if declarator is not None else None)
    names = [node.text() for node in of_kinds(function, ("call_expression",))]
    if own is not None and any(text.startswith(f"{own.text()}(") for text in names):
        return True
    tested = call.field("arguments")
    parameters = function.field("parameters") or function.field("parameter")
    given = {node.text() for node in _identifiers(parameters)} if parameters is not None else set()
    for node in of_kinds(function, ("variable_declarator",)):
        left = node.field("name")
        given |= {left.text(), *(each.text() for each in _identifiers(left))} if left is not None else set()
    if tested is None or "this" in tested.text():
        return False
    asked = {node.text() for node in _identifiers(tested)}
    return bool(asked) and not asked & given


def no_big_number_caught(file: File, match: Match, variables: Any) -> str | None:
    """Check that nothing waits for the TypeError of Math.pow for a BigInt, which an operator takes."""
    node = file.innermost((match.start, match.end))
    if any((file.captured(match, variable) or "").replace(".", "").isdigit() for variable in variables):
        return None
    if _BIG_NUMBER.search(file.text):
        return "the file has BigInt, which Math.pow refuses"
    for ancestor in node.ancestors():
        if ancestor.kind() in scopes.FUNCTIONS:
            return None
        if ancestor.kind() == "try_statement":
            return "a catch clause may be there for a BigInt, which Math.pow refuses"
    return None


def _identifiers(node: SgNode) -> list[SgNode]:
    return of_kinds(node, ("identifier", "property_identifier"))


def _statement_of(declarator: SgNode) -> SgNode:
    declaration = declarator.parent() or declarator
    return declaration.parent() or declaration


def distinct_cases(file: File, match: Match, argument: Any) -> str | None:
    """Check that no value of an `or` has a case of its own, and that it is no switch of conditions."""
    case = next(
        (
            outer
            for outer in file.innermost((match.start, match.end)).ancestors()
            if outer.kind() == "switch_case"
        ),
        None,
    )
    body = case.parent() if case is not None else None
    if case is None or body is None:
        return "the case was not understood"
    own = {
        node.text().strip("\"'")
        for node in of_kinds(file.innermost((match.start, match.end)), ("string", "number"))
    }
    for other in named_children(body):
        value = other.field("value") if other.kind() == "switch_case" else None
        if value is not None and span_of(other) != span_of(case):
            values = {node.text().strip("\"'") for node in [value, *of_kinds(value, ("string", "number"))]}
            if own & values:
                return f"{sorted(own & values)[0]} has another case"
    return None


PRECONDITIONS = {
    "js-async-function": Precondition("The function is an async one of the file.", async_function),
    "js-in-async-function": Precondition("It is in an async function.", in_async_function),
    "js-ends-a-branch": Precondition(
        "Nothing follows it in its branch, and nothing catches it.", ends_a_branch
    ),
    "js-builtin-error": Precondition("The class is an error of the language.", builtin_error),
    "js-only-tested": Precondition(
        "The regular expression is used for test() alone, outside loops.", only_tested
    ),
    "js-no-big-number-caught": Precondition(
        "No catch clause waits for what a BigInt raises.", no_big_number_caught
    ),
    "js-distinct-cases": Precondition("No value has a case of its own.", distinct_cases),
}
