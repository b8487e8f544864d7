"""Answers on the members of a type or file: what its declaration has, its other parts, and what extends it.

Does not belong here: how fields are declared (`fields`), which parts a type has (`callers.same`, `type_parts`).
"""

from collections.abc import Sequence

from qflow_dagster.knowledge import lookups, type_parts
from qflow_dagster.knowledge.declarations import bases_of
from qflow_dagster.knowledge.evidence import Evidence, QuestionContext, UnansweredError, count, listed
from qflow_dagster.knowledge.fields import fields_of
from qflow_dagster.knowledge.lookups import SymbolLocation


def members(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the members of a type, or the symbols of a file, each with its line.

    Raises:
        UnansweredError: There are none.
    """
    if path := context.file():
        found = lookups.within(context.connection, context.snapshot, path, nested=True)
        return _said(context, path, context.declared(found), {})
    parts = list(context.meant or [context.definition()])
    symbol = parts[0]
    parts += type_parts.with_parameters(context, parts)
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
    extending = context.declared(type_parts.extending(context, parts))
    if not found and not extending:
        raise UnansweredError(f"{symbol.name} ({symbol.path}:{symbol.line}) has no members")
    shown = {
        declared: _shown(member, of_parts[member], parts)
        for member, declared in zip(found, context.declared(found), strict=True)
    }
    sentence, evidence = _said(
        context, f"{symbol.name} ({symbol.path}:{symbol.line})", list(shown), shown, empty=bool(extending)
    )
    if extending:
        items = [f"{lookups.short_name(each.name)} ({each.path}:{each.line})" for each in extending]
        sentence += f"; extended from outside by {count(len(items), 'function')}: {', '.join(items)}"
        evidence += [context.at(each.path, each.line, each.signature) for each in extending]
    return sentence, [*evidence, context.at_definition()]


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
