"""Answers on the members of a type or file: of its declaration and other parts, what extends it, what it inherits.

Does not belong here: how fields are declared (`fields`), what a file exports (`export_answers`), which parts a type has
(`callers.same`, `type_parts`), what it inherits from (`inheritance`).
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from qflow_dagster.knowledge import (
    callers,
    export_answers,
    inheritance_answers,
    lookups,
    syntax_errors,
    type_parts,
)
from qflow_dagster.knowledge.declarations import TYPES, bases_of, titled
from qflow_dagster.knowledge.evidence import Evidence, QuestionContext, UnansweredError, count, listed
from qflow_dagster.knowledge.fields import fields_of
from qflow_dagster.knowledge.inheritance import Base, Inheritance, location
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.mentions import at

# Inherited members that are named.
MAX_INHERITED = 60
# Constructors of classes that have a name of their own, and what only the class itself can use.
_OWN_ALONE = re.compile(r"\bprivate\b|^#")
_CONSTRUCTORS = frozenset({"constructor", "init"})


class _Inherited(NamedTuple):
    """What a type inherits: members with the type that has each, nearest first, and bases of other libraries."""

    members: list[tuple[SymbolLocation, SymbolLocation]]
    foreign: list[str]


def members(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the members of a type, or the symbols of a file, each with its line.

    Raises:
        UnansweredError: There are none.
    """
    if path := context.file():
        return _of_file(context, path)
    parts = list(context.meant or [context.definition()])
    symbol = parts[0]
    parts += [*type_parts.with_parameters(context, parts), *type_parts.renamed(context, symbol)]
    of_parts = {
        member: part
        for part in reversed(parts)
        for member in lookups.members(context.connection, context.snapshot, part)
    }
    fields = fields_of(context, parts)
    of_parts |= {f: symbol for f in fields if not any(_is_part(f, member) for member in of_parts)}
    found = sorted(of_parts, key=lambda member: (member.path != symbol.path, member.path, member.line))
    if symbol.path.endswith((".py", ".rb", ".js")):
        context.limit("attributes that methods set are not looked at")
    syntax_errors.say(context, {part.path for part in parts}, "members")
    extending = context.declared(type_parts.extending(context, parts))
    inherited = _inherited(context, parts, {lookups.short_name(member.name) for member in found})
    if not found and not extending and not inherited.members:
        raise UnansweredError(f"{symbol.name} ({symbol.path}:{symbol.line}) has no members")
    shown = {
        declared: _shown(member, of_parts[member], parts)
        for member, declared in zip(found, context.declared(found), strict=True)
    }
    sentence, evidence = _said(
        context, f"{titled(symbol)} ({symbol.path}:{symbol.line})", list(shown), shown, empty=True
    )
    if extending:
        items = [f"{lookups.short_name(each.name)} ({each.path}:{each.line})" for each in extending]
        sentence += f"; extended from outside by {count(len(items), 'function')}: {', '.join(items)}"
        evidence += [context.at(each.path, each.line, each.signature) for each in extending]
    if inherited.members:
        rows = context.declared([member for member, _ in inherited.members])
        items = [
            f"{lookups.short_name(row.name)} ({row.path}:{row.line}, of {lookups.short_name(titled(base))})"
            for row, (_, base) in zip(rows, inherited.members, strict=True)
        ]
        more = f" and {len(rows) - MAX_INHERITED:,} more" if len(rows) > MAX_INHERITED else ""
        sentence += f"; it inherits {count(len(rows), 'member')}: {', '.join(items[:MAX_INHERITED])}{more}"
        evidence += [context.at(row.path, row.line, row.signature) for row in rows[:MAX_INHERITED]]
    if inherited.foreign:
        for name in list(inherited.foreign):
            if lines := syntax_errors.declaring(context, lookups.short_name(name), types=True):
                context.limit(f"the members of {name} ({listed(at(lines))}) that it inherits are not known")
                inherited.foreign.remove(name)
    if inherited.foreign:
        sentence += f"; what it inherits from {listed(inherited.foreign)} is not of the repository"
    return sentence, [*evidence, context.at_definition()]


def without(context: QuestionContext) -> tuple[str, list[Evidence]] | None:
    """Answer for a member that a type does not have, with those that it has; None if the subject is none."""
    *owner, short = re.split(r"::|->|[.#\\\\]", context.subject)
    symbols = lookups.symbols(context.connection, context.snapshot, ".".join(owner)) if owner else []
    parts = next((group for group in callers.apart(symbols) if group[0].kind in TYPES), [])
    if not parts or lookups.short_name(parts[0].name) != owner[-1]:
        return None
    of_type = context._replace(subject=f"{parts[0].path}:{parts[0].name}", meant=tuple(parts))
    own = [m for part in parts for m in lookups.members(context.connection, context.snapshot, part)]
    names = {lookups.short_name(member.name) for member in (*own, *fields_of(of_type, parts))}
    inherited = _inherited(context, parts, names)
    name = f"{titled(parts[0])} ({parts[0].path}:{parts[0].line})"
    if short in names | {lookups.short_name(member.name) for member, _ in inherited.members}:
        said = f"{short} is a member of {name}"
    else:
        said = f"{name} has no member {short}" + " of its own" * bool(inherited.foreign)
    try:
        sentence, evidence = members(of_type)
    except UnansweredError as error:
        return f"{said}; {error}", [context.at(parts[0].path, parts[0].line, parts[0].signature)]
    return f"{said}; {sentence}", evidence


def _of_file(context: QuestionContext, path: str) -> tuple[str, list[Evidence]]:
    """Name what a file exports, where its language says so, and the symbols that it declares."""
    if others := [other for other in lookups.files(*context[:2], context.subject) if other != path]:
        context.limit(f"this is of {path}; other files have that name, too: {listed(others)}")
    found = context.declared(lookups.within(context.connection, context.snapshot, path, nested=True))
    exported, evidence = export_answers.exported(context, path)
    if not evidence:
        said, evidence = _said(context, path, found, {})
        return f"{said}; it exports nothing" if exported else said, evidence
    if found:
        said, declared = _said(context, path, found, {})
        return f"{exported}. {said}", [*evidence, *declared]
    return exported, evidence


def _inherited(context: QuestionContext, parts: Sequence[SymbolLocation], own: set[str]) -> _Inherited:
    """Return what a type inherits, but for what it has itself (`own`), and what only its bases can use."""
    found, names = _Inherited([], []), set(own)
    for base in above(context, parts, found.foreign):
        members = lookups.members(context.connection, context.snapshot, base)
        for member in [*members, *fields_of(context, [base])]:
            short = lookups.short_name(member.name)
            if short in names or short in {*_CONSTRUCTORS, lookups.short_name(base.name)}:
                continue
            if not _OWN_ALONE.search(member.signature):
                found.members.append((member, base))
                names.add(short)
    return found


def above(
    context: QuestionContext, parts: Sequence[SymbolLocation], foreign: list[str]
) -> Iterator[SymbolLocation]:
    """Yield the declarations of what a type inherits from, nearest first; add bases of other libraries to `foreign`."""
    inheritance = Inheritance(context.connection, context.snapshot)
    level, visited = list(parts), {(part.path, part.line) for part in parts}
    while level:
        following = []
        for base in [base for part in level for base in _bases(context, inheritance, part)]:
            groups = callers.apart([location(declared) for declared in base.definitions])
            if not groups and base.name not in foreign:
                foreign.append(base.name)
            if len(groups) > 1:
                context.limit(f"which {base.name} it inherits from is not known, nor which members that has")
            elif groups:
                following += [part for part in groups[0] if (part.path, part.line) not in visited]
                visited |= {(part.path, part.line) for part in following}
        yield from following
        level = following


def _bases(context: QuestionContext, inheritance: Inheritance, part: SymbolLocation) -> list[Base]:
    """Return the bases of a type; in Go what it embeds, whose members it has."""
    if not part.path.endswith(".go"):
        return inheritance.bases(part)
    declared = inheritance.declarations.at(part.path, part.line)
    return [
        Base(name, inheritance.scopes.base_types(declared, name) if declared else [])
        for _, name in inheritance_answers.embedded(context, part)
    ]


def _shown(member: SymbolLocation, part: SymbolLocation, parts: Sequence[SymbolLocation]) -> tuple[str, str]:
    """Return the name of a member, and the trait for which Rust implements it; '' if it is inherent."""
    traits = bases_of(part.kind, part.name, part.signature) if part.kind == "impl" else []
    prefix = max((f"{each.name}." for each in parts if member.name.startswith(f"{each.name}.")), key=len)
    return member.name.removeprefix(prefix), listed(traits)


def _said(
    context: QuestionContext,
    heading: str,
    found: Sequence[SymbolLocation],
    shown: dict[SymbolLocation, tuple[str, str]],
    *,
    empty: bool = False,
) -> tuple[str, list[Evidence]]:
    if not found and not empty:
        raise UnansweredError(f"{heading} has no members")
    one_file = len({member.path for member in found}) == 1
    items = []
    for member in found:
        name, trait = shown.get(member, (member.name, ""))
        place = f"{'line ' if one_file else member.path + ':'}{member.line}"
        items.append(f"{name} ({place}{f', for {trait}' if trait else ''})")
    sentence = f"{heading} has {count(len(found), 'member')}" + (f": {', '.join(items)}" if items else "")
    return sentence, [
        context.at(member.path, member.line, member.signature or member.name) for member in found
    ]


def _is_part(field: SymbolLocation, member: SymbolLocation) -> bool:
    """Return whether a field is a symbol already: a function in an attribute."""
    same = field.path == member.path and lookups.short_name(field.name) == lookups.short_name(member.name)
    return same and member.line <= field.line <= member.end_line
