"""What belongs to a type, and stands outside of its declaration: implementations with parameters, extensions, typedefs.

Belongs here: how each language names a type that it adds something to. Does not belong here: parts that have the plain
name of the type, which are symbols of that name (`callers.same`); answers (`member_answers`).
"""

import re
from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT
from qflow_dagster.knowledge import lookups
from qflow_dagster.knowledge.declarations import TYPES, family
from qflow_dagster.knowledge.evidence import C_FAMILY, QuestionContext, listed
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name

# `impl<T> Limit<T>`, `extension Limit<Int>`: their names have parameters, and maybe the path of the type.
_WITH_PARAMETERS = r"^(?:\w+::)*{0}(?:<.*)?$"
_ADDS = r"(?:^|\s)(?:extension|impl)[\s<]"
# How the signature of a function names the type that it extends: `fun <T> Limit<T>.take()`, `(this Limit<T> limit)`.
_EXTENDING = {
    "Kotlin": r"\mfun\s+(?:<[^()]*>\s*)?(?:\w+\.)*{0}(?:<[^()]*>)?\??\.[\w`]+\s*\(",
    "C#": r"\(\s*this\s+(?:(?:in|ref|scoped)\s+)*(?:\w+\.)*{0}(?:<[^()]*>)?\??\s+\w",
}
_TYPEDEF = re.compile(r"typedef (?:(?:const|volatile) )?(?:struct|union|enum) (\w+)\W")
# Functions that JavaScript assigns to a prototype have it in their names.
_OF_PROTOTYPE = r"^(?:.*\.)?{0}\.prototype\.[^.]+$"
_SCRIPTS = family("JavaScript")


def with_parameters(context: QuestionContext, parts: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the parts of a type whose names have parameters, where its declaration has none in its name.

    In files where another type has the name they are of that; if several have it, those of further files are not
    known to be of this one.
    """
    short = _short(parts)
    named = "s.name <> :short AND s.name ~ :pattern AND s.kind = ANY(:kinds) AND s.signature ~ :adds"
    pattern = {"pattern": _WITH_PARAMETERS.format(re.escape(short)), "kinds": list(TYPES), "adds": _ADDS}
    found = _symbols(context, parts, named, pattern)
    own = {part.path for part in parts}
    others = {other.path for other in _others(context, parts)} if {row.path for row in found} - own else set()
    if not others:
        return found
    if places := [f"{row.path}:{row.line}" for row in found if row.path not in own | others]:
        context.limit(f"several types have the name {short}; not known to be of this one: {listed(places)}")
    return [row for row in found if row.path in own]


def renamed(context: QuestionContext, part: SymbolLocation) -> list[SymbolLocation]:
    """Return the type of C that another name is given to: `typedef struct a { ... } b`, `typedef struct a b`."""
    if part.kind != "type" or not part.path.endswith(C_FAMILY):
        return []
    if named := _TYPEDEF.match(part.signature):
        found = lookups.symbols(context.connection, context.snapshot, named[1])
    else:
        found = lookups.within(context.connection, context.snapshot, part.path, nested=True)
        found = [symbol for symbol in found if symbol.end_line == part.line]
    return [symbol for symbol in found if symbol.kind in ("struct", "enum")][:1]


def methods_outside(context: QuestionContext, parts: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the methods of a type that no part of it encloses: of Go, of C++ in files of their own, of prototypes."""
    name = parts[0].name.partition("<")[0]
    language = _language(context, parts)
    if language in _SCRIPTS:
        found = extending(context, parts)
    elif language == "Go":
        found = lookups.members(context.connection, context.snapshot, parts[0])
    elif language in family("C++"):
        qualified = re.escape(name.replace("::", "."))
        named = "s.kind IN ('function', 'method') AND replace(s.qualified_name, '::', '.') ~ :pattern"
        found = _symbols(context, parts, named, {"pattern": rf"^{qualified}\.[^.]+$"})
    else:
        return []
    return [
        row
        for row in found
        if not any(p.path == row.path and p.line <= row.line and row.end_line <= p.end_line for p in parts)
    ]


def extending(context: QuestionContext, parts: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the functions that extend a type from outside: extension functions, and those of a prototype."""
    short, language = _short(parts), _language(context, parts)
    if language in _SCRIPTS:
        named = "s.qualified_name ~ :pattern AND f.path = :path"
        return _symbols(context, parts, named, {"pattern": _OF_PROTOTYPE.format(re.escape(short))})
    if language not in _EXTENDING:
        return []
    pattern = {"pattern": _EXTENDING[language].format(re.escape(short))}
    found = _symbols(context, parts, "s.kind IN ('function', 'method') AND s.signature ~ :pattern", pattern)
    if found and _others(context, parts):
        context.limit(f"which of the types with the name {short} the functions extend is not looked at")
    return found


def _short(parts: Sequence[SymbolLocation]) -> str:
    return short_name(parts[0].name.partition("<")[0])


def _language(context: QuestionContext, parts: Sequence[SymbolLocation]) -> str:
    path = parts[0].path
    return lookups.languages_of(context.connection, context.snapshot, [path])[path]


def _others(context: QuestionContext, parts: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the other types that have the name of a type."""
    known = [(part.path, part.line) for part in parts]
    named = _symbols(context, parts, "s.name = :short AND s.kind = ANY(:kinds)", {"kinds": list(TYPES)})
    return [row for row in named if (row.path, row.line) not in known and not re.search(_ADDS, row.signature)]


def _symbols(
    context: QuestionContext, parts: Sequence[SymbolLocation], condition: str, parameters: dict[str, Any]
) -> list[SymbolLocation]:
    """Return the symbols of the language of a type that a condition holds for, those of its file first."""
    query = text(f"""
        SELECT f.path, s.start_line, s.kind, s.qualified_name, s.signature, s.end_line, f.oid
        FROM symbols s JOIN files f ON f.blob_id = s.blob_id JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND s.seq > 0 AND NOT f.vendored AND b.language = ANY(:languages) AND {condition}
        ORDER BY f.path <> :path, f.test, f.path, s.start_line LIMIT {lookups.MAX_LISTED}
    """)
    language = _language(context, parts)
    parameters |= {
        **context.snapshot.interval,
        "short": _short(parts),
        "path": parts[0].path,
        "languages": list(family(language)),
    }
    return [SymbolLocation(*row) for row in context.connection.execute(query, parameters)]
