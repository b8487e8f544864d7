"""Preconditions of JavaScript and TypeScript: what a value is, as far as its file alone says, and where it stands."""

import re
from typing import Any

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis import javascript_scopes as scopes
from qflow_dagster.evolution.analysis.nodes import named_children, span_of
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.preconditions.file import File, Precondition
from qflow_dagster.generation.preconditions.javascript_values import Values
from qflow_dagster.generation.preconditions.meant import reason_for_beginning

TYPESCRIPT = ("typescript", "tsx")
# A statement of these may come before the `require` that becomes a constant: nothing in it can read the name.
_HARMLESS = ("import_statement", "comment", "hash_bang_line", "empty_statement", "class_declaration")
# In these, what a match is replaced by has another meaning than as a value.
_TARGETS = ("assignment_expression", "augmented_assignment_expression", "for_in_statement")


def _kind(file: File, match: Match, argument: Any) -> str | None:
    """`argument` is {metavariable: [kinds]}."""
    for variable, kinds in argument.items():
        # A variable of another form of the pattern.
        if variable not in match.captures:
            continue
        node = file.innermost(match.captures[variable])
        kind = Values(file.root, file.language).kind(node)
        if kind is None:
            return f"whether {_short(node)} is {_listed(kinds)} is not known"
        if kind not in kinds:
            return f"{_short(node)} is {_listed([kind])}, not {_listed(kinds)}"
    return None


def _searchable(file: File, match: Match, argument: Any) -> str | None:
    """IndexOf and includes differ for NaN, for holes of an array, and for a regular expression."""
    if not set(argument) <= set(match.captures):
        return None
    values = Values(file.root, file.language)
    where, what = (file.innermost(match.captures[name]) for name in argument)
    kind, sought = values.kind(where), values.kind(what)
    if kind == "string":
        return (
            None
            if sought == "string"
            else f"includes() refuses a regular expression, and {_short(what)} may be one"
        )
    if sought in ("string", "boolean", "null") or (what.kind() == "number" and kind == "array"):
        return None
    if kind == "array" and values.elements_are_plain(where):
        return None
    return f"includes() finds NaN and indexOf() does not; {_short(what)} may be it"


def _read_only(file: File, match: Match, argument: Any) -> str | None:
    node = file.innermost((match.start, match.end))
    parent = _outside_parentheses(node)
    if parent is None:
        return None
    if parent.kind() in ("call_expression", "new_expression") and _is_field(parent, "function", node):
        return "a method loses its this"
    kinds = {ancestor.kind() for ancestor in _up_to_statement(node)}
    if kinds & {"array_pattern", "object_pattern", "update_expression"} or (
        parent.kind() in _TARGETS and _is_field(parent, "left", node)
    ):
        return "it is assigned to"
    if parent.kind() == "unary_expression" and parent.text().startswith("delete"):
        return "it is deleted"
    return None


def _removable(file: File, match: Match, argument: Any) -> str | None:
    node = file.innermost((match.start, match.end))
    parent = node.parent()
    if parent is None or parent.kind() not in ("statement_block", "program", "switch_case", "switch_default"):
        return "it is the whole body of a statement, which would guard the next one"
    siblings = [child for child in parent.children() if child.is_named() and child.kind() != "comment"]
    position = next(number for number, sibling in enumerate(siblings) if span_of(sibling) == span_of(node))
    before, after = siblings[:position], siblings[position + 1 : position + 2]
    if after and _is_directive(after[0]) and all(map(_is_directive, before)):
        return "the text after it would become a directive"
    if after and before and scopes.continues(before[-1], after[0].text()):
        return "the line before has no semicolon and would go on in the line after"
    return None


def _constant(file: File, match: Match, argument: Any) -> str | None:
    """Check that the variables of a declaration at the top of a module can be constants."""
    declaration = file.innermost((match.start, match.end))
    names = scopes.names_in(file.innermost(match.captures[argument]))
    if file.root.find(any=[{"kind": "with_statement"}, {"pattern": "eval($$$)"}]):
        return "the file has eval or with"
    before = [child for child in file.root.children() if span_of(child)[1] <= match.start]
    busy = next((child for child in before if child.is_named() and not _is_harmless(child)), None)
    if busy is not None:
        return f"line {file.source.line_of(span_of(busy)[0])} runs before it and may read the name"
    for name in names:
        if len(scopes.declarations(file.root, name)) > 1:
            return f"{name} is declared more than once"
        if scopes.writes(file.root, name):
            return f"{name} is assigned again"
        uses = [node for node in scopes.uses(file.root, name) if span_of(node)[0] < span_of(declaration)[0]]
        if any(not scopes.in_function(node) for node in uses):
            return f"{name} is read before its line"
    return None


def _annotated(file: File, match: Match, argument: Any) -> str | None:
    """In TypeScript the type of an empty array is that of the variable, if it says so."""
    if file.language not in TYPESCRIPT:
        return None
    node = file.innermost((match.start, match.end))
    parent = _outside_parentheses(node)
    if parent is not None and (
        parent.kind() == "assignment_expression"
        or (
            parent.kind() in ("variable_declarator", "public_field_definition")
            and parent.field("type") is not None
        )
    ):
        return None
    return "the type that the empty array gets here needs the TypeScript compiler"


def _sought_anywhere(file: File, match: Match, argument: Any) -> str | None:
    """Check that a condition on indexOf asks whether a text is there, not whether it is not the beginning."""
    where, sought = (file.innermost(match.captures[name]) for name in ("X", "S"))
    if sought.kind() != "string" or where.find(kind="call_expression") is not None:
        return "what is sought is not a literal, or where may have an effect"
    if re.search(r"\bindexOf\s*(\([^()]*\)\s*\{|[:=][^=])", file.text):
        return "the file defines an indexOf of its own"
    kinds = ("if_statement", "while_statement", "ternary_expression")
    branch = next((outer for outer in where.ancestors() if outer.kind() in kinds), None)
    body = branch.field("consequence") or branch.field("body") if branch is not None else None
    if body is None:
        return "the branch was not understood"
    return reason_for_beginning(sought.text()[1:-1], where.text(), body.text())


def _is_harmless(statement: SgNode) -> bool:
    if statement.kind() in _HARMLESS or _is_directive(statement):
        return statement.find(kind="call_expression") is None
    if statement.kind() in ("function_declaration", "generator_function_declaration"):
        return True
    if statement.kind() not in ("variable_declaration", "lexical_declaration"):
        return False
    values = [declarator.field("value") for declarator in named_children(statement)]
    return all(value is None or scopes.is_require(value) for value in values)


def _is_directive(statement: SgNode) -> bool:
    children = named_children(statement)
    return (
        statement.kind() == "expression_statement" and len(children) == 1 and children[0].kind() == "string"
    )


def _outside_parentheses(node: SgNode) -> SgNode | None:
    parent = node.parent()
    while parent is not None and parent.kind() == "parenthesized_expression":
        parent = parent.parent()
    return parent


def _is_field(parent: SgNode, name: str, node: SgNode) -> bool:
    # The constructor of `new` has another name than the function of a call.
    child = parent.field(name) or parent.field("constructor")
    start, end = span_of(node)
    return child is not None and span_of(child)[0] <= start and end <= span_of(child)[1]


def _up_to_statement(node: SgNode) -> list[SgNode]:
    found = []
    for ancestor in node.ancestors():
        if ancestor.kind().endswith(("statement", "declaration")) or ancestor.kind() in ("arguments", "pair"):
            break
        found.append(ancestor)
    return found


def _listed(kinds: list[str]) -> str:
    return " or ".join(f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}" for kind in kinds)


def _short(node: SgNode) -> str:
    return " ".join(node.text().split())[:40]


PRECONDITIONS = {
    "js-kind": Precondition("The file shows that the value is an array (or a string, ...).", _kind),
    "js-searchable": Precondition("includes() finds exactly what indexOf() finds.", _searchable),
    "js-read-only": Precondition("The value is read, and is not called, assigned to or deleted.", _read_only),
    "js-removable": Precondition(
        "Without the statement, the statements around it mean the same.", _removable
    ),
    "js-constant": Precondition("The variable is never assigned again, nor read before its line.", _constant),
    "js-sought-anywhere": Precondition(
        "The text is not meant to begin with what is sought.", _sought_anywhere
    ),
    "ts-annotated": Precondition("In TypeScript, the type of the value is written beside it.", _annotated),
}
