"""Preconditions of Java: types that the file declares, and where a boolean or an identity matters."""

import re
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.java_types import PRIMITIVES, Types
from qflow_dagster.evolution.analysis.nodes import span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition

# What tells two equal objects apart.
_IDENTITY = re.compile(
    r"\b(identityHashCode|IdentityHashMap|Weak\w+|SoftReference|PhantomReference|assert(Not)?Same|isSameAs|sameInstance"
    r"|isNotSameAs)\b"
)
_CONDITIONS = ("if_statement", "while_statement", "do_statement", "for_statement", "ternary_expression")
_CLASSES = (
    "class_declaration",
    "enum_declaration",
    "record_declaration",
    "interface_declaration",
    "class_body",
)


def _type(file: File, match: Match, argument: Any) -> str | None:
    """`argument` is {metavariable: [types]}."""
    types = Types(file.root)
    for variable, allowed in argument.items():
        # A variable of another form of the pattern.
        if variable not in match.captures:
            continue
        node = file.innermost(match.captures[variable])
        found = types.of(node)
        if found is None:
            return f"the type of {_short(node)} is not known: it needs the project's class path"
        if found not in allowed:
            return f"{_short(node)} is of type {found}"
    return None


def _float(file: File, match: Match, variable: Any) -> str | None:
    """Float has no valueOf(double)."""
    if file.captured(match, "T") != "Float":
        return None
    return _type(
        file, match, {variable: ["float", "Float", "String", "int", "short", "byte", "char", "long"]}
    )


def _not_own(file: File, match: Match, argument: Any) -> str | None:
    name = (file.captured(match, argument) or argument).removeprefix("java.lang.")
    return f"the file declares a {name} of its own" if Types(file.root).declares_class(name) else None


def _no_identity(file: File, match: Match, argument: Any) -> str | None:
    """Check that the file looks at no identity, by which alone a new and a shared object differ."""
    types = Types(file.root)
    named = _IDENTITY.search(file.text)
    if named is not None:
        return f"the file compares objects by identity ({named[0]})"
    for node in file.root.find_all(any=[{"kind": "binary_expression"}, {"kind": "synchronized_statement"}]):
        line = file.source.line_of(span_of(node)[0])
        if node.kind() == "synchronized_statement":
            if not re.match(r"synchronized\s*\((this|[\w.]+\.class)\)", node.text()):
                return f"line {line} synchronizes on an object"
            continue
        operator = node.field("operator")
        if operator is None or operator.text() not in ("==", "!="):
            continue
        sides = [types.of(side) for side in (node.field("left"), node.field("right")) if side is not None]
        if not any(side in PRIMITIVES or side == "null" for side in sides):
            return f"line {line} may compare objects by identity"
    return None


def _not_in_is_empty(file: File, match: Match, argument: Any) -> str | None:
    """In isEmpty of a collection, the collection asked could be the object itself."""
    node = file.node(match)
    for ancestor in node.ancestors():
        if ancestor.kind() == "method_declaration" and _text(ancestor, "name") == "isEmpty":
            owner = next((outer for outer in ancestor.ancestors() if outer.kind() in _CLASSES[:4]), None)
            if owner is None or owner.field("superclass") or owner.field("interfaces"):
                return "isEmpty would call itself"
    return None


def _boolean(file: File, match: Match, variable: Any) -> str | None:
    """Where Java wants a boolean, the compiler refuses every other type."""
    # A variable of another form of the pattern.
    if variable not in match.captures:
        return None
    if Types(file.root).of(file.innermost(match.captures[variable])) == "boolean":
        return None
    node = file.innermost((match.start, match.end))
    for parent in node.ancestors():
        kind = parent.kind()
        if kind == "parenthesized_expression":
            node = parent
            continue
        if (kind == "unary_expression" and parent.text().startswith("!")) or _text(parent, "operator") in (
            "&&",
            "||",
        ):
            return None
        if kind == "return_statement":
            return None if _returns(parent) == "boolean" else _NOT_BOOLEAN
        if kind in _CONDITIONS:
            condition = parent.field("condition")
            return None if condition is not None and span_of(condition) == span_of(node) else _NOT_BOOLEAN
        return _NOT_BOOLEAN
    return _NOT_BOOLEAN


_NOT_BOOLEAN = (
    "a Boolean here may be null, which the comparison refuses; its type needs the project's class path"
)


def _returns(statement: SgNode) -> str:
    for ancestor in statement.ancestors():
        if ancestor.kind() == "lambda_expression":
            return ""
        if ancestor.kind() == "method_declaration":
            return _text(ancestor, "type")
    return ""


def _text(node: SgNode, field: str) -> str:
    found = node.field(field)
    return found.text() if found is not None else ""


def _short(node: SgNode) -> str:
    return " ".join(node.text().split())[:40]


PRECONDITIONS = {
    "java-type": Precondition("The file declares the value with one of these types.", _type),
    "java-float": Precondition("A Float is made of a float or a text.", _float),
    "java-not-own": Precondition("The class is that of java.lang.", _not_own),
    "java-no-identity": Precondition("The file compares no objects by identity.", _no_identity),
    "java-not-in-is-empty": Precondition("It is not the isEmpty of a collection.", _not_in_is_empty),
    "java-boolean": Precondition("The value is used where Java allows a boolean only.", _boolean),
}
