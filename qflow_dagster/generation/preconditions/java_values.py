"""Preconditions of Java about names: imports, fields and parameters, and files of tests."""

import re
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

_METHODS = (
    "method_declaration",
    "constructor_declaration",
    "compact_constructor_declaration",
    "lambda_expression",
)
_LOOPS = ("while_statement", "do_statement", "for_statement", "enhanced_for_statement")
_UNCHECKED = frozenset(
    """
    RuntimeException IllegalArgumentException IllegalStateException UnsupportedOperationException NullPointerException
    IndexOutOfBoundsException NoSuchElementException UncheckedIOException ArithmeticException SecurityException
    ConcurrentModificationException NumberFormatException ClassCastException AssertionError Error
    """.split()  # noqa: SIM905  (a list of each would fill a page)
)
_TEST = re.compile(r"(^|/)(test|tests|it)/|(Test|Tests|TestCase|IT)\.java$")


def _imported(file: File, match: Match, name: Any) -> str | None:
    package, _, simple = name.rpartition(".")
    imports = {
        node.text().removeprefix("import").strip(" ;")
        for node in file.root.find_all(kind="import_declaration")
    }
    others = [path for path in imports if path.endswith(f".{simple}") and path != name]
    if others or not imports & {name, f"{package}.*"}:
        return f"{simple} is not imported from {package} here"
    return None


def _own_field(file: File, match: Match, variable: Any) -> str | None:
    """Check that a name is a parameter of this method, and a field of this object that may be assigned."""
    name = file.captured(match, variable)
    node = file.node(match)
    method = next((ancestor for ancestor in node.ancestors() if ancestor.kind() in _METHODS), None)
    parameters = method.field("parameters") if method is not None else None
    body = method.parent() if method is not None else None
    if method is None or parameters is None or body is None or body.kind() != "class_body":
        return "it is not in a method of a class"
    if name not in [text for part in named_children(parameters) if (text := _text(part, "name"))]:
        return f"{name} is not a parameter of this method"
    if "static" in _modifiers(method):
        return "a static method has no object"
    for field in named_children(body):
        if field.kind() == "field_declaration" and name in _declared(field):
            fixed = _modifiers(field) & {"static", "final"}
            return f"the field {name} is {fixed.pop()}" if fixed else None
    return f"the class has no field {name} of its own"


def _may_be_thrown(file: File, match: Match, variable: Any) -> str | None:
    """Check that an exception that is only made ends a branch, and may be thrown there: unchecked, or declared."""
    statement = file.innermost((match.start, match.end))
    block = statement.parent()
    branch = block.parent() if block is not None and block.kind() == "block" else None
    if branch is None or branch.kind() not in ("if_statement", "catch_clause"):
        return "it is not in a branch: the method would do nothing else"
    if any(outer.kind() in _LOOPS for outer in statement.ancestors()):
        return "the loop around it may be meant to go on"
    if block is None or span_of(named_children(block)[-1]) != span_of(statement):
        return "the statements that follow would never run"
    name = (file.captured(match, variable) or "").rpartition(".")[2]
    method = next((outer for outer in statement.ancestors() if outer.kind() in _METHODS), None)
    declared = [part.text() for part in named_children(method) if part.kind() == "throws"] if method else []
    if any(re.search(rf"\b({re.escape(name)}|Exception|Throwable)\b", text) for text in declared):
        return None
    return None if name in _UNCHECKED else f"whether {name} has to be declared needs the project's class path"


def _not_test(file: File, match: Match, argument: Any) -> str | None:
    return "a test needs no secret" if _TEST.search(file.path) else None


def _declared(field: SgNode) -> list[str]:
    return [_text(part, "name") for part in named_children(field) if part.kind() == "variable_declarator"]


def _modifiers(node: SgNode) -> set[str]:
    first = named_children(node)[:1]
    return (
        {part.text() for part in first[0].children()} if first and first[0].kind() == "modifiers" else set()
    )


def _text(node: SgNode, field: str) -> str:
    found = node.field(field)
    return found.text() if found is not None else ""


PRECONDITIONS = {
    "java-imported": Precondition("The class is imported from its package.", _imported),
    "java-own-field": Precondition("A field of the object has the name of the parameter.", _own_field),
    "java-may-be-thrown": Precondition("The exception may be thrown, and ends a branch.", _may_be_thrown),
    "java-not-test": Precondition("The file is not a test.", _not_test),
}
