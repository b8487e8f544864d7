"""What a change of a member's parameters or result concerns beside its calls: what overrides or implements it.

Belongs here: the members of subtypes and bases with the name of a member. Does not belong here: which types inherit
from which (`inheritance`), calls (`callers`).
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from qflow_dagster.knowledge.callers import is_constructor
from qflow_dagster.knowledge.declarations import Definition
from qflow_dagster.knowledge.evidence import Evidence, QuestionContext
from qflow_dagster.knowledge.inheritance import Inheritance, location
from qflow_dagster.knowledge.lookups import SymbolLocation, members, short_name
from qflow_dagster.knowledge.scopes import is_member

# Subtypes that are looked at.
MAX_TYPES = 50
# What no subtype has.
_OWN_ALONE = re.compile(r"\bprivate\b|^#")
# Here members of a name with other parameters are others.
_WITH_OVERLOADS = frozenset(["Java", "C#", "Kotlin", "C++", "Swift"])


class Overrides(NamedTuple):
    """The members that override or implement one, those that may, and those that it overrides or implements itself."""

    below: list[Definition]
    possible: list[Definition]
    above: list[Definition]


def described(context: QuestionContext, parts: Sequence[SymbolLocation]) -> tuple[list[str], list[Evidence]]:
    """Name what overrides a member, and what it overrides; `parts` are its overloads."""
    found = of_member(context, parts)
    said, evidence = [], []
    for group, how in (
        (found.below, "it is overridden or implemented by"),
        (found.possible, "it may be overridden by"),
        (found.above, "it overrides or implements"),
    ):
        rows = context.declared([location(definition) for definition in group])
        if rows:
            items = [f"{row.name} ({row.path}:{row.line})" for row in rows[:MAX_TYPES]]
            more = f" and {len(rows) - MAX_TYPES:,} more" if len(rows) > MAX_TYPES else ""
            said.append(f"{how} {', '.join(items)}{more}")
            evidence += [context.at(row.path, row.line, row.signature) for row in rows[:MAX_TYPES]]
    return said, evidence


def of_member(context: QuestionContext, parts: Sequence[SymbolLocation]) -> Overrides:
    """Return what overrides a member of a type, and what it overrides; nothing of what no subtype has."""
    if any(is_constructor(part.name) or _OWN_ALONE.search(part.signature) for part in parts):
        return Overrides([], [], [])
    inheritance = Inheritance(context.connection, context.snapshot)
    declarations = inheritance.declarations
    short = short_name(parts[0].name)
    declarations.load_names({short})
    places = {(part.path, part.line) for part in parts}
    own = [d for d in declarations.definitions(short) if (d.path, d.line) in places and d.owner]
    types = list(dict.fromkeys(t for member in own for t in _types(inheritance, member)))
    if not types:
        return Overrides([], [], [])

    def having(rows: Iterable[SymbolLocation]) -> list[Definition]:
        found = [d for row in rows for d in _own_members(inheritance, row, short)]
        return [d for d in dict.fromkeys(found) if d not in own and _is_alike(d, own)]

    derived = inheritance.derived(types[0].name, [location(declared) for declared in types])
    further = inheritance.further(derived.certain, MAX_TYPES)
    if not further.complete:
        context.limit(f"of what inherits through others, {len(further.certain)} types were looked at")
    implementing = _of_go(context, inheritance, types)
    bases = [base.definitions for declared in types for base in inheritance.bases(declared)]
    above = [d for definitions in bases for d in inheritance.scopes.members(definitions, short)]
    return Overrides(
        having([*derived.certain, *(row for row, _ in further.certain)]),
        having([*derived.possible, *further.possible, *implementing]),
        [d for d in dict.fromkeys(above) if d not in own and _is_alike(d, own)],
    )


def _types(inheritance: Inheritance, member: Definition) -> list[Definition]:
    """Return the type that a member is of, with its parts; of the blocks of Rust the one around it."""
    types = [t for t in inheritance.scopes.declared_types(member, member.owner) if is_member(member, t)]
    around = [t for t in types if t.path == member.path and t.line <= member.line <= t.end_line]
    return around if member.language == "Rust" and around else types


def _own_members(inheritance: Inheritance, row: SymbolLocation, short: str) -> list[Definition]:
    """Return the members of a name that a type declares itself, in any of its parts; of a block, those in it."""
    declared = inheritance.declarations.at(row.path, row.line)
    if declared is None:
        return []
    found = [d for d in inheritance.declarations.definitions(short) if is_member(d, declared)]
    inside = [d for d in found if d.path == row.path and row.line <= d.line <= row.end_line]
    return inside if row.kind == "impl" else found


def _of_go(
    context: QuestionContext, inheritance: Inheritance, types: Sequence[Definition]
) -> list[SymbolLocation]:
    """Return the types that have all methods of an interface of Go, which nothing declares."""
    if types[0].language != "Go" or types[0].kind != "interface":
        return []
    names = [short_name(m.name) for m in members(context.connection, context.snapshot, location(types[0]))]
    return inheritance.with_methods(names) if names else []


def _is_alike(member: Definition, own: Sequence[Definition]) -> bool:
    """Return whether a member has as many parameters as one of another type, where that makes a difference."""
    number = _parameters(member)
    return member.language not in _WITH_OVERLOADS or any(number in (None, _parameters(d)) for d in own)


def _parameters(member: Definition) -> int | None:
    """Return how many parameters a declaration names; None if it is not read."""
    _, found, rest = member.signature.partition(f"{member.short}(")
    depth, commas, empty = 0, 0, True
    for character in rest if found else "":
        if character == ")" and not depth:
            return 0 if empty else commas + 1
        depth += (character in "([{<") - (character in ")]}>")
        commas += character == "," and not depth
        empty = empty and character.isspace()
    return None
