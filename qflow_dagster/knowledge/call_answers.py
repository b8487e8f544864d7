"""Answers on what a function or type calls: of a type, what each of its methods does, wherever it stands.

Does not belong here: what a call refers to (`call_targets`), who calls a symbol (`callers`, `use_answers`), which parts
a type has (`type_parts`).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from qflow_dagster.knowledge import callers, code_answers, code_trees, lookups, type_parts
from qflow_dagster.knowledge.declarations import TYPES
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, listed
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name

# A call that could be of more definitions than this is shown without them.
MAX_PLACES = 2
# A function may have more calls than an answer lists the lines of, and a type of many methods more than these.
MAX_CALLS, MAX_OF_TYPE = 40, 200
# Files that declare what others define.
_STUBS = re.compile(r"\.pyi$|\.d\.[cm]?ts$")


class _Called(NamedTuple):
    """A name that a symbol calls, the lines that do, and what it refers to, (path, line), if that is known.

    `may_be` is what it may refer to, because the receiver has no declared type.
    """

    caller: str
    name: str
    path: str
    lines: list[int]
    places: list[tuple[str, int]]
    may_be: list[tuple[str, int]]


def calls(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name what each definition of a name calls, and where that is defined."""
    context.definition()
    symbols = lookups.symbols(context.connection, context.snapshot, context.subject)
    code_answers.say_homonyms(context)
    sentences, evidence = [], []
    for group in _with_bodies(context, symbols)[: callers.MAX_DEFINITIONS]:
        said, found = _of_definition(context, group)
        sentences.append(said)
        evidence += found
    return "; ".join(sentences), evidence


def _with_bodies(context: QuestionContext, symbols: Sequence[SymbolLocation]) -> list[list[SymbolLocation]]:
    """Return the definitions that say what they call: not those that others declare again, copies of a build."""
    if symbols and all(_STUBS.search(symbol.path) for symbol in symbols):
        named = lookups.symbols(context.connection, context.snapshot, context.short_name)
        own = lookups.code_paths(context.connection, context.snapshot, [symbol.path for symbol in named])
        if defined := [s for s in named if s.path in own and not _STUBS.search(s.path)]:
            stub = f"{symbols[0].path}:{symbols[0].line}"
            context.limit(f"{context.subject} is only declared in {stub}; this is of what has its name")
            symbols = defined
    groups = callers.same(symbols)
    own = lookups.code_paths(context.connection, context.snapshot, [symbol.path for symbol in symbols])
    ours = [group for group in groups if group[0].path in own]
    texts = context.texts(sorted({symbol.path for group in ours for symbol in group})) if ours[1:] else {}
    defined = [group for group in ours if any(_has_body(part, texts.get(part.path, "")) for part in group)]
    if ours and len(ours) < len(groups):
        others = [f"{first.path}:{first.line}" for first, *_ in groups if first.path not in own]
        context.limit(f"vendored and generated code was not looked at: {listed(others)}")
    return defined or ours or groups


def _has_body(symbol: SymbolLocation, content: str) -> bool:
    """Return whether a definition has more than its signature, as members of interfaces and stubs do not."""
    if _STUBS.search(symbol.path):
        return False
    written = "\n".join(content.splitlines()[symbol.line - 1 : symbol.end_line])
    if symbol.kind not in ("function", "method") or "{" in written or "=>" in written:
        return True
    plain = " ".join(written.split())
    return not plain.endswith(";") and plain != " ".join(symbol.signature.split())


def _of_definition(context: QuestionContext, group: Sequence[SymbolLocation]) -> tuple[str, list[Evidence]]:
    symbol = group[0]
    types = [part for part in group if part.kind in TYPES]
    parts = _parts(context, types) if types else group
    called = _called(context, parts, by_method=bool(types))
    methods = list(dict.fromkeys(each.caller for each in called))
    items = {method: [_item(each) for each in called if each.caller == method] for method in methods}
    # A function with many calls has the first of them.
    shown = {method: _listed(found) for method, found in items.items()}
    said = "; ".join(f"in {method}: {found}" if types else found for method, found in shown.items())
    evidence = [context.at(symbol.path, symbol.line, symbol.signature)]
    rows = [(each, line) for each in called for line in each.lines]
    most = MAX_OF_TYPE if types else MAX_CALLS
    if len(rows) > most:
        context.limit(f"of {len(rows)} calls in {symbol.name}, the lines of {most} are listed")
    evidence += [context.at(each.path, line, f"calls {each.name}") for each, line in rows[:most]]
    places = {place: each.name for each in called for place in each.places}
    evidence += [
        context.at(path, line, f"defines {name}") for (path, line), name in list(places.items())[:MAX_ROWS]
    ]
    where = f"{symbol.name} ({symbol.path}:{symbol.line})"
    if not called and not lookups.code_paths(context.connection, context.snapshot, [symbol.path]):
        return f"what {where} calls is not known, because vendored and generated code is not read", evidence
    if unsure := sorted({each.name for each in called if each.may_be}):
        names = listed(unsure)
        context.limit(
            f"what these calls are made on has no declared type, so that they may be of others: {names}"
        )
    return f"{where} calls {said or 'nothing by name'}", evidence


def _listed(items: Sequence[str]) -> str:
    """Return the first items as text, and how many more there are."""
    return ", ".join(items[:MAX_CALLS]) + (
        f" and {len(items) - MAX_CALLS:,} more" if len(items) > MAX_CALLS else ""
    )


def _item(called: _Called) -> str:
    places = " or ".join(f"{path}:{line}" for path, line in called.places)
    if called.may_be and len(called.may_be) <= MAX_PLACES:
        may_be = " or ".join(f"{path}:{line}" for path, line in called.may_be)
        places += f"{', ' if places else ''}may be {may_be}"
    lines = listed([str(line) for line in called.lines])
    return (
        called.name + (f" ({places})" if places else "") + (f" (lines {lines})" if called.lines[1:] else "")
    )


def _parts(context: QuestionContext, types: list[SymbolLocation]) -> list[SymbolLocation]:
    """Return the parts of a type that have its methods, and the methods that stand outside of them."""
    parts = [*types, *type_parts.with_parameters(context, types)]
    methods = type_parts.methods_outside(context, parts)
    if extending := [row for row in type_parts.extending(context, types) if row not in methods]:
        places = [f"{row.path}:{row.line}" for row in extending]
        context.limit(f"what functions that extend it from outside call was not looked at: {listed(places)}")
    return [*parts, *methods]


def _called(context: QuestionContext, parts: Sequence[SymbolLocation], *, by_method: bool) -> list[_Called]:
    """Return what some symbols call; what the repository defines says more than what it does not, and comes first."""
    found: dict[tuple[str, str, str], _Called] = {}
    for part in parts:
        called = callers.called(context.connection, context.snapshot, part)
        owners: dict[str, list[tuple[str, str, str]]] = {}
        for call, target in called:
            places = [(d.path, d.line) for d in target.definitions]
            method = _method(part, call.caller) if by_method else ""
            key = call.path, method, call.name
            owners.setdefault(call.name, []).append(key)
            each = found.setdefault(key, _Called(method, call.name, call.path, [], [], []))
            each.lines.append(call.line)
            known = each.places if target.certain else each.may_be
            known += [place for place in places if place not in known]
        if repeated := {call.name for call, _ in called if call.number > 1}:
            text = context.texts([part.path]).get(part.path, "")
            more = code_trees.call_lines(part.path, text, part.line, part.end_line, repeated)
            places = [(part.path, line) for lines in more.values() for line in lines]
            around = lookups.enclosing(context.connection, context.snapshot, places) if by_method else {}
            for name, lines in more.items():
                for line in lines:
                    method = _method(part, around[part.path, line]) if by_method else ""
                    # Of what is called in several methods, each has its own lines.
                    if (key := (part.path, method, name)) in owners[name]:
                        found[key].lines.append(line)
    plain = [
        each._replace(
            lines=sorted(set(each.lines)),
            places=each.places if len(each.places) <= MAX_PLACES else [],
            may_be=[place for place in each.may_be if place not in each.places],
        )
        for each in found.values()
    ]
    order = {method: number for number, method in enumerate(dict.fromkeys(each.caller for each in plain))}
    return sorted(plain, key=lambda each: (order[each.caller], not each.places, not each.may_be))


def _method(part: SymbolLocation, caller: str) -> str:
    """Return the name of a method without that of its type; what no method calls, the declaration does."""
    owner = f"{part.name}." if part.kind in TYPES else ""
    name = caller.removeprefix(owner) if owner else short_name(caller)
    return "its declaration" if caller == part.name and owner else name
