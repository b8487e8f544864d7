"""Context of a match: what must be so around the matched node that a pattern cannot say, by name.

A matcher names them in `context`, each by its name or as {name: argument}. Belongs here: the registry, and what names
mean and how they are declared, where the file alone says it. What it does not say is assumed to be so: a finding is
not a change. Does not belong here: what a fix needs (`generation.preconditions`).
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import branches, tails
from qflow_dagster.evolution.analysis.declared_types import declared_type, nearest
from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.analysis.tree import Tree


class ContextCondition(NamedTuple):
    """A condition: what must be so (a sentence), and a check of (tree, matched node, argument)."""

    sentence: str
    holds: Callable[[Tree, SgNode, Any], bool]


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
        or re.search(rf"/\*\s*globals?\b[^*]*\b{re.escape(name)}\s*:\s*off\b", tree.text)
        for name in _names(node, argument)
    )


def _java_lang(tree: Tree, node: SgNode, argument: Any) -> bool:
    imported = [
        line.text().removeprefix("import").strip(" ;")
        for line in tree.root.find_all(kind="import_declaration")
    ]
    others = {path.rpartition(".")[2] for path in imported if not path.startswith("java.lang.")}
    return not any(tree.types.declares_class(name) or name in others for name in _names(node, argument))


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
        if written is not None and not re.search(pattern, written):
            return False
    return True


def _includes(tree: Tree, node: SgNode, variable: Any) -> bool:
    """Look into a type that the file declares: it has includes() with the parameters of indexOf()."""
    captured = node.get_match(variable)
    written = declared_type(captured, tree.declarations) if captured is not None else None
    if written is None:
        return True
    if re.search(r"\|\s*\{", written):
        return False
    for kind in ("type_alias_declaration", "interface_declaration"):
        for declaration in tree.root.find_all(kind=kind):
            if _field(declaration, "name") == written:
                parameters = [
                    re.search(rf"\b{method}\((.*?)\)\s*:", declaration.text())
                    for method in ("indexOf", "includes")
                ]
                return all(parameters) and len({found[1] for found in parameters if found}) == 1
    return True


def _is_empty(tree: Tree, node: SgNode, variable: Any) -> bool:
    """Look into a type that the file declares: it has an is_empty() of its own."""
    captured = node.get_match(variable)
    declaration = nearest(captured, tree.declarations) if captured is not None else None
    if declaration is None:
        return True
    text = _field(declaration, "type") or _field(declaration, "value")
    name = re.match(r"(?:&|\b(?:mut|dyn|impl)\b|\s|\w+::)*(\w*)", text)
    type_ = name[1] if name else ""
    # Its is_empty is not stable.
    if type_ == "ExactSizeIterator":
        return False
    kinds = ("struct_item", "enum_item", "trait_item")
    own = [item for kind in kinds for item in tree.root.find_all(kind=kind) if _field(item, "name") == type_]
    if not own:
        return True
    bodies = [item for item in own if item.kind() == "trait_item"]
    bodies += [item for item in tree.root.find_all(kind="impl_item") if _field(item, "type") == type_]
    return any(re.search(r"\bfn is_empty\(&self\)\s*->\s*bool\b", body.text()) for body in bodies)


def _pure_calls(tree: Tree, node: SgNode, variable: Any) -> bool:
    """Look into the functions that are called: each is len, or one of the file that returns an expression at once."""
    captured = node.get_match(variable)
    if captured is None:
        return True
    if captured.find(kind="unary_expression", regex="^<-") is not None:
        return False
    calls = [
        *captured.find_all(kind="call_expression"),
        *([captured] if captured.kind() == "call_expression" else []),
    ]
    called = {_field(call, "function") for call in calls} - {"len", "cap"}
    pure = {
        _field(item, "name")
        for item in (tree.root.find_all(kind="function_declaration") if called else ())
        if _only_returns(item)
    }
    return called <= pure


def _only_returns(function: SgNode) -> bool:
    body = function.field("body")
    statements = named_children(body) if body is not None else []
    return (
        bool(statements)
        and re.match(r"return [^,]+$", statements[0].text()) is not None
        and statements[0].find(any=[{"kind": "call_expression"}, {"kind": "nil"}]) is None
    )


def _field(node: SgNode, name: str) -> str:
    found = node.field(name)
    return found.text() if found is not None else ""


CONDITIONS = {
    "js-global": ContextCondition(
        "The name is the global one: nothing of that name is declared around it.", _global
    ),
    "js-dead-branch": ContextCondition(
        "A condition before it in the chain is true whenever this one is.", branches.is_dead
    ),
    "ts-includes": ContextCondition("The type of the value has an includes() like its indexOf().", _includes),
    "java-field": ContextCondition("The name is no parameter or local variable.", _java_field),
    "java-is": ContextCondition("The file declares the value with this type.", _java_is),
    "java-lang": ContextCondition("The class is that of java.lang.", _java_lang),
    "declared": ContextCondition(
        "If the file declares the type of the value, it is one of these.", _declared
    ),
    "go-pure-calls": ContextCondition("What is called in it only computes something.", _pure_calls),
    "rust-is-empty": ContextCondition("The type of the value has an is_empty().", _is_empty),
    "rust-early-drop": ContextCondition(
        "No temporary in its value would outlive the variables of the function.", tails.drops_in_time
    ),
    "rust-tail": ContextCondition("Its value is what the function returns.", tails.is_tail),
}
