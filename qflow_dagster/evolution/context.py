"""Context of a match: what must be so around the matched node that a pattern cannot say, by name.

A matcher names them in `context`, each by its name or as {name: argument}. Belongs here: the registry, and what names
mean and how they are declared, where the file alone says it. What it does not say is assumed to be so: a finding is
not a change. Does not belong here: what a fix needs (`generation.preconditions`).
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import re2
from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import branches, tails
from qflow_dagster.evolution.analysis.declared_types import declared_type, nearest
from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.analysis.tree import Tree

MAX_TYPE_LENGTH = 200


class ContextCondition(NamedTuple):
    """A condition: what must be so, a check of (tree, matched node, argument), and which arguments it takes."""

    sentence: str
    holds: Callable[[Tree, SgNode, Any], bool]
    takes: Callable[[Any], bool]


def problem_of(condition: str | dict[str, Any]) -> str | None:
    """Return why an entry of `context` is not valid; None: it is."""
    pairs = condition if isinstance(condition, dict) else {condition: None}
    for name, argument in pairs.items():
        if name not in CONDITIONS:
            return f"no context {name!r}; there are {', '.join(CONDITIONS)}"
        if not CONDITIONS[name].takes(argument):
            return f"context {name!r} does not take {argument!r}"
    return None if len(pairs) == 1 else "an entry of `context` is a name, or one name with its argument"


def _nothing(argument: Any) -> bool:
    return argument is None


def _a_name(argument: Any) -> bool:
    return isinstance(argument, str)


def _some_names(argument: Any) -> bool:
    return all(map(_a_name, argument)) if isinstance(argument, list) else _a_name(argument)


def _types_by_name(argument: Any) -> bool:
    return isinstance(argument, dict) and all(_a_name(part) for pair in argument.items() for part in pair)


def _patterns_by_name(argument: Any) -> bool:
    if not _types_by_name(argument):
        return False
    try:
        return all(map(re2.compile, argument.values()))
    except re2.error:
        return False


def holds(conditions: tuple[str | dict[str, Any], ...], tree: Tree, node: SgNode) -> bool:
    """Return whether all conditions hold for a matched node."""
    pairs = [condition if isinstance(condition, dict) else {condition: None} for condition in conditions]
    return all(
        CONDITIONS[name].holds(tree, node, argument) for pair in pairs for name, argument in pair.items()
    )


def _names(node: SgNode, argument: Any) -> list[str]:
    """Return the names that an argument means: names, or what metavariables (in capital letters) captured."""
    names = argument if isinstance(argument, list) else [argument]
    captured = [(name, node.get_match(name) if name.isupper() else None) for name in names]
    return [found.text() if found is not None else name for name, found in captured]


def _global(tree: Tree, node: SgNode, argument: Any) -> bool:
    start, end = span_of(node)
    return not any(
        name in tree.written
        or any(first <= start and end <= last for first, last in tree.scopes.get(name, ()))
        or name in tree.switched_off
        for name in _names(node, argument)
    )


def _java_lang(tree: Tree, node: SgNode, argument: Any) -> bool:
    others = tree.once(_other_imports)
    return not any(tree.types.declares_class(name) or name in others for name in _names(node, argument))


def _other_imports(tree: Tree) -> set[str]:
    """Return the names of the classes that are imported from other packages than java.lang."""
    lines = [line.text() for line in tree.root.find_all(kind="import_declaration")]
    paths = [line.removeprefix("import").strip(" ;") for line in lines]
    return {path.rpartition(".")[2] for path in paths if not path.startswith("java.lang.")}


def _java_is(tree: Tree, node: SgNode, argument: Any) -> bool:
    """Check that captured expressions are of a type; `argument` is {metavariable: type}."""
    return all(
        (captured := node.get_match(variable)) is None or tree.types.of(captured) == wanted
        for variable, wanted in argument.items()
    )


def _java_field(tree: Tree, node: SgNode, variable: Any) -> bool:
    captured = node.get_match(variable)
    return captured is None or not tree.types.is_local(captured)


def _declared(tree: Tree, node: SgNode, argument: Any) -> bool:
    """`argument` is {metavariable: pattern of the type}."""
    for variable, pattern in argument.items():
        captured = node.get_match(variable)
        written = declared_type(captured, tree.declarations) if captured is not None else None
        if written is not None and not re2.search(pattern, written):
            return False
    return True


def _includes(tree: Tree, node: SgNode, variable: Any) -> bool:
    captured = node.get_match(variable)
    written = declared_type(captured, tree.declarations) if captured is not None else None
    return written is None or (
        re.search(r"\|\s{0,10}\{", written) is None and tree.once(_types_with_includes).get(written, True)
    )


def _types_with_includes(tree: Tree) -> dict[str, bool]:
    """Return for each type that the file declares whether it has includes() with the parameters of indexOf()."""
    found = {}
    for kind in ("type_alias_declaration", "interface_declaration"):
        for declaration in tree.root.find_all(kind=kind):
            text = declaration.text()
            parameters = [set(re.findall(rf"\b{name}\(([^()]*)\)", text)) for name in ("indexOf", "includes")]
            found[_field(declaration, "name")] = bool(parameters[0]) and parameters[0] == parameters[1]
    return found


def _is_empty(tree: Tree, node: SgNode, variable: Any) -> bool:
    captured = node.get_match(variable)
    declaration = nearest(captured, tree.declarations) if captured is not None else None
    if declaration is None:
        return True
    text = _field(declaration, "type") or _field(declaration, "value")
    name = re.match(r"(?:&|\b(?:mut|dyn|impl)\b|\s|\w+::)*(\w*)", text[:MAX_TYPE_LENGTH])
    return tree.once(_types_with_is_empty).get(name[1] if name else "", True)


def _types_with_is_empty(tree: Tree) -> dict[str, bool]:
    """Return for each type that the file declares whether it has an is_empty() of its own."""
    # That of ExactSizeIterator is not stable.
    found = {"ExactSizeIterator": False}
    for kind in ("struct_item", "enum_item", "trait_item"):
        for item in tree.root.find_all(kind=kind):
            found[_field(item, "name")] = kind == "trait_item" and _asks_for_empty(item)
    for item in tree.root.find_all(kind="impl_item"):
        name = _field(item, "type")
        if found.get(name) is False and _asks_for_empty(item):
            found[name] = True
    return found


def _asks_for_empty(item: SgNode) -> bool:
    return re.search(r"\bfn is_empty\(&self\) ?-> ?bool\b", item.text()) is not None


def _pure_calls(tree: Tree, node: SgNode, variable: Any) -> bool:
    captured = node.get_match(variable)
    if captured is None:
        return True
    if captured.find(kind="unary_expression", regex="^<-") is not None:
        return False
    calls = list(captured.find_all(kind="call_expression"))
    if captured.kind() == "call_expression":
        calls.append(captured)
    return {_field(call, "function") for call in calls} <= {"len", "cap", *tree.once(_pure_functions)}


def _pure_functions(tree: Tree) -> set[str]:
    """Return the functions of a file of Go that return an expression without calls at once."""
    names = set()
    for function in tree.root.find_all(kind="function_declaration"):
        body = function.field("body")
        first = next(iter(named_children(body)), None) if body is not None else None
        if (
            first is not None
            and re.match(r"return [^,]+$", first.text())
            and first.find(any=[{"kind": "call_expression"}, {"kind": "nil"}]) is None
        ):
            names.add(_field(function, "name"))
    return names


def _field(node: SgNode, name: str) -> str:
    found = node.field(name)
    return found.text() if found is not None else ""


CONDITIONS = {
    "js-global": ContextCondition(
        "The name is the global one: nothing of that name is declared around it.", _global, _some_names
    ),
    "js-dead-branch": ContextCondition(
        "A condition before it is true whenever this one is.", branches.is_dead, _nothing
    ),
    "ts-includes": ContextCondition(
        "The type of the value has an includes() like its indexOf().", _includes, _a_name
    ),
    "java-field": ContextCondition("The name is no parameter or local variable.", _java_field, _a_name),
    "java-is": ContextCondition("The file declares the value with this type.", _java_is, _types_by_name),
    "java-lang": ContextCondition("The class is that of java.lang.", _java_lang, _some_names),
    "declared": ContextCondition(
        "If the file declares the type of the value, it matches a pattern.", _declared, _patterns_by_name
    ),
    "go-pure-calls": ContextCondition("What is called in it only computes something.", _pure_calls, _a_name),
    "rust-is-empty": ContextCondition("The type of the value has an is_empty().", _is_empty, _a_name),
    "rust-early-drop": ContextCondition(
        "No temporary in its value would outlive the variables of the function.",
        tails.drops_in_time,
        _nothing,
    ),
    "rust-tail": ContextCondition("Its value is what the function returns.", tails.is_tail, _nothing),
}
