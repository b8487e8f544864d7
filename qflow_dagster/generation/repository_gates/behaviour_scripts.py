"""Functions of JavaScript and TypeScript that a change touches: which can be called by themselves, and how.

Belongs here: finding the functions of changed lines, and what their file says of their parameters. Does not belong
here: generating arguments and calling the functions, which the driver behaviour_driver.cjs does in the sandbox.

Runs in worker processes, because the text is hostile.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ast_grep_py import SgNode, SgRoot

from qflow_dagster.evolution.analysis.nodes import named_children, of_kinds, span_of
from qflow_dagster.generation.repository_gates.behaviour_inputs import CallPlan, InputTask

_FUNCTIONS = ("function_declaration", "generator_function_declaration")
_VALUES = ("arrow_function", "function_expression", "generator_function")
_CLASSES = ("class_declaration", "abstract_class_declaration")
_LITERALS = ("string", "number", "true", "false", "null", "array", "object", "unary_expression")
_NAMES = ("identifier", "member_expression")
_JSDOC = re.compile(r"@param[ \t]{1,8}\{([^{}\n]{1,80})\}[ \t]{1,8}\[?(\w{1,80})")
# An ending of an array, and the names of types that inputs are made of.
_TYPES = re.compile(r"(?:Array<)?(number|string|boolean|null|undefined)>?(\[\])?")
MAX_LITERALS, MAX_KEYS = 20, 12


class _Function(NamedTuple):
    """A function: expressions of what it is a property of ('' for none) and of itself, how it is called, its nodes."""

    owner: str
    name: str
    kind: str
    node: SgNode
    statement: SgNode
    constructor: SgNode | None = None


def plan_scripts(context: None, batch: list[InputTask]) -> tuple[int, list[CallPlan]]:
    """Return the functions of one file's changed lines (in a worker process; batches are of one)."""
    task = batch[0]
    return task.position, plan(task.text, task.language, task.lines)


def plan(text: str, language: str, lines: Sequence[int]) -> list[CallPlan]:
    """Return the outermost functions that hold the changed lines, with what is stated of their parameters."""
    root = SgRoot(text, language).root()
    planned: list[CallPlan] = []
    left = set(lines)
    for function in _functions(root):
        span = function.statement.range()
        inside = sorted(line for line in left if span.start.line < line <= span.end.line + 1)
        if inside:
            left -= set(inside)
            planned.append(_planned(root, function, tuple(inside)))
    if left:
        planned.append(CallPlan("", "", tuple(sorted(left)), (), "code outside functions runs at import"))
    return planned


def _functions(root: SgNode) -> Iterator[_Function]:
    for statement in named_children(root):
        declared = statement.field("declaration") if statement.kind() == "export_statement" else statement
        if declared is None:
            continue
        name = declared.field("name")
        if declared.kind() in _FUNCTIONS and name is not None:
            yield _Function("", name.text(), "function", declared, declared)
        elif declared.kind() in _CLASSES and name is not None:
            yield from _methods(declared, name.text())
        elif declared.kind() in ("lexical_declaration", "variable_declaration"):
            for declarator in named_children(declared):
                yield from _assigned(declarator.field("name"), declarator.field("value"), declarator)
        elif declared.kind() == "expression_statement":
            for expression in named_children(declared):
                if expression.kind() == "assignment_expression":
                    yield from _assigned(expression.field("left"), expression.field("right"), expression)


def _methods(declared: SgNode, name: str) -> Iterator[_Function]:
    body = declared.field("body")
    methods = (
        [] if body is None else [node for node in named_children(body) if node.kind() == "method_definition"]
    )
    constructor = next((node for node in methods if _name_of(node) == "constructor"), None)
    for method in methods:
        own = _name_of(method)
        keywords = {child.kind() for child in method.children()}
        if own is None or keywords & {"get", "set"}:
            continue
        if own == "constructor":
            yield _Function("", name, "constructor", method, method)
        elif "static" in keywords:
            yield _Function(name, own, "function", method, method)
        else:
            yield _Function(name, own, "method", method, method, constructor)


def _assigned(target: SgNode | None, value: SgNode | None, statement: SgNode) -> Iterator[_Function]:
    """Yield the functions of `name = function`, `a.name = function` and `name = {key: function}`."""
    if target is None or value is None or target.kind() not in _NAMES or target.find(kind="call_expression"):
        return
    if value.kind() in _VALUES:
        owner, name = target.field("object"), target.field("property")
        if owner is None or name is None:
            yield _Function("", target.text(), "function", value, statement)
        else:
            yield _Function(owner.text(), name.text(), "function", value, statement)
    elif value.kind() == "object":
        for entry in named_children(value):
            function = entry if entry.kind() == "method_definition" else entry.field("value")
            key = _name_of(entry) if entry.kind() == "method_definition" else entry.field("key")
            name = (
                key
                if isinstance(key, str)
                else key.text()
                if key and key.kind() == "property_identifier"
                else None
            )
            if function is not None and name and function.kind() in ("method_definition", *_VALUES):
                yield _Function(target.text(), name, "function", function, entry)


def _name_of(method: SgNode) -> str | None:
    name = method.field("name")
    return name.text() if name is not None and name.kind() == "property_identifier" else None


def _planned(root: SgNode, function: _Function, lines: tuple[int, ...]) -> CallPlan:
    parameters = _parameters(root, function.node, function.statement, function.name)
    constructor = function.constructor
    own = [] if constructor is None else _parameters(root, constructor, constructor, "")
    call = {
        "owner": function.owner,
        "key": function.name,
        "parameters": parameters,
        "constructor": own,
        "constants": _constants(function.node),
    }
    name = f"{function.owner}.{function.name}" if function.owner else function.name
    return CallPlan(name, function.kind, lines, (json.dumps(call),))


def _parameters(root: SgNode, node: SgNode, statement: SgNode, name: str) -> list[dict[str, Any]]:
    """Return what the file says of each parameter: types, literals of calls, names of properties that are read."""
    single = node.field("parameter")
    formal = node.field("parameters")
    nodes = [single] if single is not None else [] if formal is None else named_children(formal)
    documented = {name: kind for kind, name in _JSDOC.findall(_comment_before(statement))}
    literals = _literals(root, name) if name else {}
    body = node.field("body")
    return [
        _parameter(parameter, body, documented, literals.get(position, []))
        for position, parameter in enumerate(nodes)
        if parameter.text() != "this"
    ]


def _parameter(
    node: SgNode, body: SgNode | None, documented: dict[str, str], literals: list[str]
) -> dict[str, Any]:
    annotation = node.field("type")
    pattern = node.field("pattern") or node.field("left") or node
    default = node.field("value") or node.field("right")
    name = pattern.text() if pattern.kind() == "identifier" else ""
    stated = annotation.text().lstrip(": ") if annotation is not None else documented.get(name, "")
    values = [*literals, default.text()] if default is not None and _is_literal(default) else literals
    keys = [child.text() for child in of_kinds(pattern, ["shorthand_property_identifier_pattern"])]
    called = False
    if name and body is not None:
        keys += [found.text() for found in _properties(body, name)]
        called = body.find(pattern=f"{name}($$$)") is not None
    return {
        "types": _types(stated),
        "literals": list(dict.fromkeys(values))[:MAX_LITERALS],
        "keys": list(dict.fromkeys(keys))[:MAX_KEYS],
        "called": called,
        "optional": default is not None or node.kind() == "optional_parameter",
        "rest": "rest_pattern" in (node.kind(), pattern.kind()),
    }


def _constants(node: SgNode) -> list[str]:
    """Return the numbers and texts in a function."""
    texts = [found.text() for found in of_kinds(node, ["number", "string"])]
    return list(dict.fromkeys(text for text in texts if len(text) < 50))[:MAX_LITERALS]


def _properties(body: SgNode, name: str) -> Iterator[SgNode]:
    for found in body.find_all(pattern=f"{name}.$KEY"):
        key = found.get_match("KEY")
        if key is not None:
            yield key


def _types(stated: str) -> list[str]:
    """Return the types of a union that inputs can be made of; empty if there is another among them."""
    types = []
    for part in stated.split("|"):
        match = _TYPES.fullmatch(part.strip().strip("()"))
        if match is None:
            return []
        types.append(f"{match[1]}[]" if match[2] or part.strip().startswith("Array<") else match[1])
    return types


def _comment_before(statement: SgNode) -> str:
    node = statement
    for ancestor in statement.ancestors():
        if ancestor.kind() in ("program", "class_body", "object"):
            break
        node = ancestor
    before = node.prev()
    return before.text() if before is not None and before.kind() == "comment" else ""


def _literals(root: SgNode, name: str) -> dict[int, list[str]]:
    """Return the literals that calls of a function in the file have at each position."""
    literals: dict[int, list[str]] = {}
    for call in of_kinds(root, ["call_expression"]):
        called, arguments = call.field("function"), call.field("arguments")
        own = called.field("property") or called if called is not None else None
        if own is None or own.text() != name or arguments is None:
            continue
        for position, argument in enumerate(named_children(arguments)):
            if _is_literal(argument):
                literals.setdefault(position, []).append(argument.text())
    return literals


def _is_literal(node: SgNode) -> bool:
    """Return whether an expression is made of literals alone."""
    allowed = {*_LITERALS, "pair", "property_identifier", "string_fragment", "escape_sequence"}
    pending = [node]
    while pending:
        current = pending.pop()
        if current.kind() not in allowed:
            return False
        pending += named_children(current)
    return span_of(node)[1] - span_of(node)[0] < 200
