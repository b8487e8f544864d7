"""Preconditions of Java about names: imports, fields and parameters, and files of tests."""

import re
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import named_children
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

_METHODS = (
    "method_declaration",
    "constructor_declaration",
    "compact_constructor_declaration",
    "lambda_expression",
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
    "java-not-test": Precondition("The file is not a test.", _not_test),
}
