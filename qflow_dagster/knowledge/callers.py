"""Callers of a symbol, distinguished from those of others with its name, and what a symbol calls.

Belongs here: calls of a snapshot, resolved. Does not belong here: resolving (`call_targets`), answers as text.
"""

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge import lookups
from qflow_dagster.knowledge.call_targets import CallResolver, Target
from qflow_dagster.knowledge.declarations import TYPES, Call, Declarations, Definition, arity, family
from qflow_dagster.knowledge.exports import ENDINGS
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.scopes import is_extension

# A name may have many definitions; of the first, callers are distinguished.
MAX_DEFINITIONS = 5
# So far callers of callers are followed to tests.
MAX_DEPTH = 3
# What is called by the name of its type.
CONSTRUCTORS = frozenset(["__init__", "__new__", "constructor", "initialize", "__construct", "init", "new"])

# What other files cannot call; in the first languages, members of a type are not usable in its further files either.
_PRIVATE = re.compile(r"\b(?:file)?private\b")
_PRIVATE_TO_FILE = frozenset(["Kotlin", "Swift"])
_WITH_PRIVATE = _PRIVATE_TO_FILE | {"Java", "Scala", "C#", "PHP", "TypeScript", "TSX"}


class Callers(NamedTuple):
    """The calls of a symbol, and those that may be of it because the type of the receiver is not declared.

    Without a symbol, the calls of a name that the repository does not define.
    """

    symbol: SymbolLocation | None
    certain: list[Call]
    possible: list[Call]
    # Calls of the name that are taken to be of what the repository does not define.
    foreign: Sequence[Call] = ()
    # Calls of an imported name that the imported file was not found to have.
    unresolved: Sequence[Call] = ()
    # Further calls in the same callers, on something else: those that are of it, and those that may be.
    again: Sequence[Call] = ()
    may_be_again: Sequence[Call] = ()


def callers(connection: Connection, snapshot: Snapshot, subject: str) -> list[Callers]:
    """Return the calls of each symbol that a subject names; each caller once, tests last."""
    groups = same(lookups.symbols(connection, snapshot, subject))[:MAX_DEFINITIONS]
    short = lookups.short_name(groups[0][0].name if groups else subject)
    declarations = Declarations(connection, snapshot)
    resolver = CallResolver(declarations)
    aliases = declarations.aliases_of(short) if groups else set()
    defaults = {
        path
        for path in {symbol.path for group in groups for symbol in group if symbol.path.endswith(ENDINGS)}
        if any(d.short == short for d in resolver.scopes.default_export(path))
    }
    if defaults:
        aliases |= declarations.names_of_default(defaults)
    calls = declarations.calls({short} | aliases)
    if not groups:
        return [Callers(None, _once(calls), [])]
    resolver.prepare(calls)
    targets = [(call, resolver.resolve(call)) for call in calls]
    languages = {language for d in declarations.definitions(short) for language in family(d.language)}
    found = {(call.path, call.line) for call, target in targets if target.definitions}
    without = [
        (call, target.certain)
        for call, target in targets
        if not target.definitions and call.language in languages and (call.path, call.line) not in found
    ]
    foreign = [call for call, certain in without if certain]
    unresolved = [call for call, certain in without if not certain]
    return [
        _callers(group, targets, resolver)._replace(foreign=foreign, unresolved=unresolved)
        for group in groups
    ]


def kept(found: Sequence[Callers], keeps: Callable[[str], bool]) -> list[Callers]:
    """Return the calls that are in files which `keeps` holds for."""

    def of(calls: Sequence[Call]) -> list[Call]:
        return [call for call in calls if keeps(call.path)]

    return [Callers(each.symbol, *(of(calls) for calls in each[1:])) for each in found]


def _callers(
    group: list[SymbolLocation], targets: list[tuple[Call, Target]], resolver: CallResolver
) -> Callers:
    places = {(symbol.path, symbol.line) for symbol in group}
    certain, possible = [], []
    for call, target in targets:
        among = any((d.path, d.line) in places for d in target.definitions)
        if target.certain and among:
            certain.append(call)
        elif among or (target.certain and resolver.overridden_by(target.definitions, places)):
            possible.append(call)
    first = _once(certain)
    callers = {(call.path, call.caller, call.caller_line) for call in first}
    others = _once([call for call in possible if (call.path, call.caller, call.caller_line) not in callers])
    again = [call for call in certain if call not in first]
    may_be_again = [call for call in possible if call not in others]
    return Callers(group[0], first, others, again=again, may_be_again=may_be_again)


def same(symbols: Sequence[SymbolLocation]) -> list[list[SymbolLocation]]:
    """Return symbols in groups: overloads, the parts of a type, and its constructors are of one group.

    So is what a stub of Python (.pyi) declares, after what its module defines.
    """
    groups: dict[tuple[str, str], list[SymbolLocation]] = {}
    for symbol in sorted(symbols, key=lambda symbol: (symbol.path.endswith(".pyi"), _is_extension(symbol))):
        name = symbol.name.replace("::", ".").partition("<")[0]
        short = lookups.short_name(name)
        name = name.removesuffix(f".{short}") if name.endswith(f"{short}.{short}") else name
        key = (symbol.path.replace(".pyi", ".py"), name)
        if key not in groups and _in_parts(symbol):
            key = next((other for other in groups if other[1] == name), key)
        groups.setdefault(key, []).append(symbol)
    return list(groups.values())


def apart(symbols: Sequence[SymbolLocation]) -> list[list[SymbolLocation]]:
    """Return symbols in such groups, types of C# with another number of parameters in others.

    Calls do not say how many parameters they give.
    """
    groups: list[list[SymbolLocation]] = []
    for parts in same(symbols):
        types = [part for part in parts if part.kind in TYPES]
        numbers = dict.fromkeys(map(arity, types))
        if len(numbers) < 2:
            groups.append(parts)
            continue
        for number in numbers:
            declared = [part for part in types if arity(part) == number]
            within = [part for part in parts if part not in types and any(_is_in(part, d) for d in declared)]
            groups.append(declared + within)
    return groups


def _is_in(symbol: SymbolLocation, declared: SymbolLocation) -> bool:
    return symbol.path == declared.path and declared.line <= symbol.line <= declared.end_line


def _in_parts(symbol: SymbolLocation) -> bool:
    """Return whether a type may have parts in other files: implementations, partial types, types opened again."""
    opened_again = symbol.path.endswith((".rb", ".rake")) and symbol.kind in ("class", "module")
    return opened_again or "partial " in symbol.signature or _is_extension(symbol)


def _is_extension(symbol: SymbolLocation) -> bool:
    """Return whether a part only adds to a type that is declared elsewhere: an `impl`, an extension of Swift."""
    extends = symbol.path.endswith(".swift") and re.search(r"\bextension\b", symbol.signature) is not None
    return extends or symbol.kind == "impl"


def _once(calls: Sequence[Call]) -> list[Call]:
    """Return the first call in each caller."""
    found: dict[tuple[str, str, int], Call] = {}
    for call in calls:
        found.setdefault((call.path, call.caller, call.caller_line), call)
    return list(found.values())


def calls_of_tests(connection: Connection, snapshot: Snapshot, path: str) -> list[Call]:
    """Return the calls in tests that are of what a file defines, the first one of each test file."""
    # Who calls a method has made its object, mostly by calling the type.
    symbols = lookups.within(connection, snapshot, path)
    declarations = Declarations(connection, snapshot)
    names = {lookups.short_name(symbol.name) for symbol in symbols}
    calls = [call for call in declarations.calls(names) if call.test]
    resolver = CallResolver(declarations)
    resolver.prepare(calls)
    found: dict[str, Call] = {}
    for call in calls:
        if call.path not in found:
            target = resolver.resolve(call)
            if target.certain and any(definition.path == path for definition in target.definitions):
                found[call.path] = call
    return list(found.values())


def of_members(
    connection: Connection,
    snapshot: Snapshot,
    parts: Sequence[SymbolLocation],
    members: Sequence[SymbolLocation],
    *,
    alone: bool,
) -> Callers:
    """Return the calls of the members of a type from outside of it, each caller once, tests last.

    What makes an object is called by the name of the type. Unless nothing but its members uses the type (`alone`),
    possible are only calls of members that extend other types: of others, the objects are made somewhere.
    """
    named = {(m.path, m.line): m for m in members if not is_constructor(m.name)}
    declarations = Declarations(connection, snapshot)
    calls = [
        call
        for call in declarations.calls({lookups.short_name(member.name) for member in named.values()})
        if not any(s.path == call.path and s.line <= call.line <= s.end_line for s in (*parts, *members))
    ]
    resolver = CallResolver(declarations)
    resolver.prepare(calls)
    certain, possible = [], []
    for call in calls:
        target = resolver.resolve(call)
        found = [d for d in target.definitions if (d.path, d.line) in named]
        if found and target.certain:
            certain.append(call)
        elif any(alone or is_extension(definition) for definition in found):
            possible.append(call)
    return Callers(None, _once(certain), _once(possible))


def is_constructor(name: str) -> bool:
    """Return whether a member with a qualified name is called by the name of its type."""
    *owners, short = re.split(r"\.|::|#", name)
    return short in CONSTRUCTORS or short in owners[-1:]


def tests_through_callers(
    connection: Connection, snapshot: Snapshot, calls: Sequence[Call]
) -> tuple[list[Call], bool]:
    """Return the calls in tests of those that make some calls, directly or through further callers, nearest first.

    And whether these are all: calls that are not certain, and callers farther away, are not followed.
    """
    declarations = Declarations(connection, snapshot)
    resolver = CallResolver(declarations)
    found: list[Call] = []
    complete, farther = True, False
    frontier = {place for call in calls for place in _callable(declarations, call)}
    reached = set(frontier)
    for _ in range(MAX_DEPTH):
        rows = declarations.calls({name for _, _, name in frontier}) if frontier else []
        resolver.prepare(rows)
        places = {(path, line) for path, line, _ in frontier}
        frontier, farther = set(), False
        for call in rows:
            target = resolver.resolve(call)
            if not any((d.path, d.line) in places for d in target.definitions):
                continue
            complete = complete and target.certain
            if target.certain:
                # A helper of tests is called by others.
                found += [call] if call.test else []
                farther = farther or not call.test
                frontier |= _callable(declarations, call) - reached
        reached |= frontier
    return _once(found), complete and not (frontier and farther)


def _callable(declarations: Declarations, call: Call) -> set[tuple[str, int, str]]:
    """Return what must be called so that a call is made (path, line, name): its caller, or the type it constructs."""
    *owners, name = re.split(r"\.|::|#", call.caller)
    places = {(call.path, call.caller_line, name)} if name else set()
    if owners and is_constructor(call.caller):
        types = declarations.definitions(owners[-1])
        places |= {(d.path, d.line, d.short) for d in types if d.path == call.path}
    return places


def called(connection: Connection, snapshot: Snapshot, symbol: SymbolLocation) -> list[tuple[Call, Target]]:
    """Return what a symbol calls, also in what is defined within it, in order, each with what it refers to.

    Without a certain target, a call may refer to those definitions that its file can see.
    """
    declarations = Declarations(connection, snapshot)
    calls = [
        call for call in declarations.calls(within=[symbol]) if symbol.line <= call.line <= symbol.end_line
    ]
    resolver = CallResolver(declarations)
    resolver.prepare(calls)
    return [
        (call, _usable(declarations, call, resolver.resolve(call)))
        for call in sorted(calls, key=lambda call: call.line)
    ]


def _usable(declarations: Declarations, call: Call, target: Target) -> Target:
    """Return a target without what a call cannot mean: what only tests have, what is private to another file."""
    found = [
        d
        for d in target.definitions
        if not (_is_of_tests(declarations, call, d, certain=target.certain))
        and not ((not target.certain or d.language in _PRIVATE_TO_FILE) and _is_hidden(declarations, call, d))
    ]
    return target._replace(definitions=tuple(found))


def _is_of_tests(declarations: Declarations, call: Call, definition: Definition, *, certain: bool) -> bool:
    """Return whether the program calls what tests define: it does if it imports that."""
    if call.test or not definition.test:
        return False
    return not certain or all(definition.path not in i.targets for i in declarations.imports(call.path))


def _is_hidden(declarations: Declarations, call: Call, definition: Definition) -> bool:
    """Return whether a definition, or a type around it, is private in another file."""
    if definition.path == call.path or definition.language not in _WITH_PRIVATE:
        return False
    # A partial type of C# has its private members in several files.
    if definition.language == "C#" and definition.owner in re.split(r"\W+", call.caller):
        return False
    around = [d for scope in definition.scopes for d in declarations.definitions(scope)]
    around = [d for d in around if d.path == definition.path and d.line <= definition.line <= d.end_line]
    return any(_PRIVATE.search(d.signature.partition(d.short)[0]) for d in (definition, *around))


def uncalled(connection: Connection, snapshot: Snapshot, prefix: str) -> tuple[list[SymbolLocation], int]:
    """Return own functions below a path or folder that nothing calls or imports by name, and how many it has.

    A function is called if a call refers to it, or may; calls in the function itself do not count.
    """
    query = text(f"""
        WITH imported AS (
            SELECT DISTINCT d.target_path AS path, unnest(i.names) AS name
            FROM files f JOIN imports i ON i.blob_id = f.blob_id
            JOIN dependencies d ON d.repository_id = f.repository_id AND d.source_path = f.path AND d.line = i.line
             AND d.module = i.module AND d.from_seq <= :seq AND (d.to_seq IS NULL OR d.to_seq > :seq)
            WHERE {IN_SNAPSHOT}),
        called AS (
            SELECT DISTINCT unnest(s.calls) AS name
            FROM files f JOIN symbols s ON s.blob_id = f.blob_id WHERE {IN_SNAPSHOT})
        SELECT f.path, s.start_line AS line, s.kind, s.qualified_name AS name, s.signature, s.end_line, f.oid,
               EXISTS (SELECT FROM called WHERE called.name = s.name) AS called,
               EXISTS (SELECT FROM imported WHERE imported.name = s.name AND imported.path = f.path) AS imported
        FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND s.kind = 'function' AND NOT f.test AND NOT f.vendored AND NOT f.generated
          AND NOT f.example AND (f.path = :prefix OR :prefix = '' OR starts_with(f.path, :folder))
          AND s.name ~ '^[A-Za-z_][A-Za-z0-9_]*$' AND s.name !~ '^__.*__$'
        ORDER BY f.path, s.start_line
    """)
    parameters = {**snapshot.interval, "prefix": prefix, "folder": prefix.rstrip("/") + "/"}
    functions = list(connection.execute(query, parameters))
    rows = [row for row in functions if not row.imported]
    declarations = Declarations(connection, snapshot)
    resolver = CallResolver(declarations)
    calls = declarations.calls({lookups.short_name(row.name) for row in rows if row.called}) if rows else []
    resolver.prepare(calls)
    referred: set[tuple[str, int]] = set()
    for call in calls:
        for definition in resolver.resolve(call).definitions:
            if not _is_within(call, definition):
                referred.add((definition.path, definition.line))
    found = [SymbolLocation(*row[:7]) for row in rows if (row.path, row.line) not in referred]
    return found, len(functions)


def _is_within(call: Call, definition: Definition) -> bool:
    return call.path == definition.path and definition.line <= call.line <= definition.end_line
