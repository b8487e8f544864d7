"""Answers on inheritance: what a type inherits from, what inherits from it, and what no declaration says.

Belongs here: one function per kind of question. Does not belong here: resolving bases (`inheritance`).
"""

import posixpath
import re
from collections.abc import Sequence

from qflow_dagster.knowledge import git_facts, lookups, syntax_errors, type_parts
from qflow_dagster.knowledge.declarations import TYPES, titled
from qflow_dagster.knowledge.declaring_lines import is_declaration
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    counted,
    listed,
)
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.inheritance import Base, Inheritance, location
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name
from qflow_dagster.knowledge.mentions import at, mentions, other_names

# Types that are named, with evidence of each.
MAX_TYPES = 50
# A base that could be of more definitions than this is named without them.
MAX_BASES = 2
# The bases of a declaration may be on the lines after it.
MAX_HEADER = 12
_INHERITING = (
    r"\b(?:inherits?|extends?|implements?|setPrototypeOf|prototype|derive|include|prepend|impl|use|super)\b"
)
_BY_METHODS = "that a type implements an interface of Go is taken from the names of its own methods alone"
_INCLUDING = re.compile(r"#\s*(?:include|import)\b")


def subclasses(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the types that inherit from a type, or implement an interface; apart those that do so through others.

    Those of which it is not certain are named apart, too.
    """
    if context.meant and context.meant[0].kind not in {*TYPES, "module"}:
        symbol = context.meant[0]
        where = f"{symbol.path}:{symbol.line}"
        raise UnansweredError(f"{symbol.name} ({where}) is a {symbol.kind}, no type that is understood")
    inheritance = Inheritance(context.connection, context.snapshot)
    found = inheritance.derived(context.subject, context.meant)
    lines = mentions(context, context.short_name, {(part.path, part.line) for part in context.meant})
    aliases = other_names([*lines.uses, *lines.declarations], context.short_name) if context.meant else {}
    by_alias = [
        row for alias, line in aliases.items() for row in inheritance.derived_from_alias(alias, line.path)
    ]
    certain = context.declared(list(dict.fromkeys([*found.certain, *by_alias])))
    possible = context.declared(found.possible)
    known = {*found.mixing, *found.others}
    uses = [row for row in lines.uses if (row.path, row.line) not in known]
    others = _otherwise(context, uses, [*certain, *possible])
    if not context.meant:
        others += [row for row in _embedding(context, context.subject) if row not in others]
    if context.meant:
        symbol = context.declared(context.meant)[0]
        name = f"{titled(symbol)} ({symbol.path}:{symbol.line})"
    elif declaring := syntax_errors.declaring(context, context.short_name, types=True):
        name = f"{context.subject} ({listed(at(declaring))})"
        syntax_errors.say(context, {row.path for row in declaring}, "what inherits from it")
    elif certain or possible or others:
        name = f"{context.subject}, which the repository does not define"
    else:
        name = context.definition().name
    evidence = [context.at(row.path, row.line, row.signature) for row in [*certain, *possible][:MAX_TYPES]]
    taken = f"takes in {context.short_name}"
    evidence += [context.at(path, line, taken) for path, line in found.mixing[:MAX_TYPES]]
    through, further = _through(context, inheritance, certain)
    directly = " directly" if through else ""
    said = f"{counted(len(certain), 'type', 'inherit')} from {name}{directly}: {_located(certain)}{through}"
    evidence += further
    if not certain:
        said = f"no type of the repository inherits from {name}"
        syntax_errors.say(context, {part.path for part in context.meant}, "what inherits from it")
        evidence += [context.at(part.path, part.line, part.signature) for part in context.meant[:1]]
    if aliases:
        items = [f"{alias} ({line.path}:{line.line})" for alias, line in aliases.items()]
        said += f"; its other names are {listed(items)}"
        evidence += [context.at(line.path, line.line, line.text) for line in aliases.values()]
    if possible:
        said += f"; {_located(possible)} may: a type of that name is a base, but nothing says which"
    if context.meant and context.meant[0].path.endswith(".go"):
        said, evidence = _of_go(context, context.meant[0])
    if any(part.kind == "interface" and part.path.endswith((".ts", ".tsx")) for part in context.meant) or any(
        "Protocol" in part.signature and part.path.endswith((".py", ".pyi")) for part in context.meant
    ):
        context.limit("what has its members without naming it implements it, too, and was not looked for")
    if others:
        said += f"; {listed(at(others))} name it with a word of inheritance, too"
        evidence += [context.at(row.path, row.line, row.text) for row in others[:MAX_ROWS]]
    return said, evidence


def deriving(
    context: QuestionContext, parts: Sequence[SymbolLocation]
) -> tuple[list[str], list[Evidence], set[tuple[str, int]]]:
    """Name the types that take in a type, inherit from it or implement it, which its uses begin with.

    With the lines (path, line) that say it.
    """
    inheritance = Inheritance(context.connection, context.snapshot)
    found = inheritance.derived(parts[0].name, parts)
    rows = [row for row in context.declared(found.certain) if context.keeps(row.path)]
    mixing = {
        row: next(
            (line for path, line in found.mixing if path == row.path and row.line < line <= row.end_line), 0
        )
        for row in rows
    }
    taking = [row._replace(line=line) for row, line in mixing.items() if line]
    possible = context.declared(found.possible)
    if parts[0].path.endswith(".go") and parts[0].kind == "interface":
        methods = [
            short_name(m.name) for m in lookups.members(context.connection, context.snapshot, parts[0])
        ]
        possible += inheritance.with_methods(methods) if methods else []
        context.limit(_BY_METHODS)
    possible = [row for row in possible if context.keeps(row.path)]
    said, evidence = [], []
    for group, (several, one) in (
        (taking, ("take in", "takes in")),
        (
            [row for row, line in mixing.items() if not line],
            ("inherit from or implement", "inherits from or implements"),
        ),
        (possible, ("may inherit from or implement",) * 2),
    ):
        if group:
            how = several if group[1:] else one
            said.append(f"{count(len(group), 'type')} {how} {context.short_name}: {_located(group)}")
            evidence += [context.at(row.path, row.line, row.signature) for row in group[:MAX_TYPES]]
    return said, evidence, {(row.path, row.line) for row in [*rows, *taking, *possible]} | set(found.mixing)


def _through(
    context: QuestionContext, inheritance: Inheritance, derived: Sequence[SymbolLocation]
) -> tuple[str, list[Evidence]]:
    """Name the types that inherit from some types, as the end of a sentence; '' if there are none."""
    further = inheritance.further(derived, MAX_TYPES)
    if further.possible:
        context.limit(f"{_located(further.possible)} may inherit through one of them, too")
    if not further.complete:
        context.limit(f"of what inherits through others, {len(further.certain)} types are named")
    rows = context.declared([row for row, _ in further.certain])
    ways = [short_name(titled(way)) for _, way in further.certain]
    items = [
        f"{row.name} ({row.path}:{row.line}, through {way})" for row, way in zip(rows, ways, strict=True)
    ]
    evidence = [context.at(row.path, row.line, row.signature) for row in rows]
    return f"; and through them: {', '.join(items)}" if items else "", evidence


def _otherwise(
    context: QuestionContext, lines: Sequence[Line], types: Sequence[SymbolLocation]
) -> list[Line]:
    """Return the lines that say that something inherits, in ways that no declaration of a type has.

    They are calls that register or mix in, attributes that derive, prototypes; and declarations that errors hide.
    """
    short = context.short_name
    named = {
        (row.path, line)
        for row in types
        for line in range(row.line, min(row.end_line + 1, row.line + MAX_HEADER))
    }
    inheriting = re.compile(
        rf"{_INHERITING}[^;]*(?<![\w$]){re.escape(short)}(?![\w$])|{re.escape(short)}\.register\("
    )
    found = [row for row in lines if (row.path, row.line) not in named and not _INCLUDING.match(row.text)]
    declaring = re.compile(
        rf"\b(?:class|struct|enum|protocol|extension|object)\b[^;]*(?<![\w$]){re.escape(short)}(?![\w$])"
    )
    hidden = [
        row for row in found if declaring.search(row.text[:1_000]) and not is_declaration(row.text, short)
    ]
    with_errors = syntax_errors.of_paths(context, {row.path for row in hidden})
    syntax_errors.say(context, with_errors, "what inherits from it")
    return [
        row
        for row in found
        if inheriting.search(row.text[:1_000]) or (row in hidden and row.path in with_errors)
    ]


def _of_go(context: QuestionContext, symbol: SymbolLocation) -> tuple[str, list[Evidence]]:
    """Name the types that have all methods of an interface of Go, or embed a struct: nothing declares it.

    Raises:
        UnansweredError: The interface declares no methods, so that each type has them.
    """
    where = f"{symbol.name} ({symbol.path}:{symbol.line})"
    embedding = [
        row
        for row in _embedding(context, short_name(symbol.name))
        if (row.path, row.line) != symbol[:2] and _is_of_package(row, symbol)
    ]
    evidence = [context.at(row.path, row.line, row.text) for row in embedding[:MAX_ROWS]]
    said = f"no type embeds {where}"
    if embedding:
        said = f"{counted(len(embedding), 'line', 'embed')} {where}: {listed(at(embedding))}"
    if symbol.kind != "interface":
        context.limit("types of Go embed others, and none inherits")
        return said, [context.at(symbol.path, symbol.line, symbol.signature), *evidence]
    methods = [short_name(m.name) for m in lookups.members(context.connection, context.snapshot, symbol)]
    if not methods:
        raise UnansweredError(
            f"{where} declares no methods itself; which types implement it is not looked at"
        )
    found = Inheritance(context.connection, context.snapshot).with_methods(methods)
    types = [row for row in found if (row.path, row.line) != symbol[:2]]
    context.limit(_BY_METHODS)
    evidence = [context.at(row.path, row.line, row.signature) for row in types[: 2 * MAX_ROWS]] + evidence
    evidence = evidence or [context.at(symbol.path, symbol.line, symbol.signature)]
    having = (
        f"these have all methods of {where}: {_located(types)}"
        if types
        else f"no type has all methods of {where}"
    )
    return f"{having}; {said}", evidence


def _embedding(context: QuestionContext, name: str) -> list[Line]:
    """Return the lines of Go that embed a type: they have nothing but its name."""
    rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    qualified = re.escape(name) if "." in name else rf"(?:\w+\.)?{re.escape(name)}"
    embeds = re.compile(rf"\*?{qualified}(?:\[\w+\])?(?:\s*`[^`]*`)?(?:\s*//.*)?$")
    return [row for row in rows if row.path in code and row.path.endswith(".go") and embeds.match(row.text)]


def _is_of_package(row: Line, symbol: SymbolLocation) -> bool:
    """Return whether a line that embeds a type of Go means the one of its package: those of others have a prefix."""
    package = posixpath.dirname(symbol.path)
    prefix = re.match(r"\*?(\w+)\.\w", row.text)
    if posixpath.dirname(row.path) == package or prefix is None:
        return prefix is None and posixpath.dirname(row.path) == package
    # The package of the topmost folder has the name of the project.
    return not package or prefix[1] in package


def _located(rows: Sequence[SymbolLocation]) -> str:
    items = [f"{row.name} ({row.path}:{row.line})" for row in rows[:MAX_TYPES]]
    return ", ".join(items) + (f" and {len(rows) - MAX_TYPES:,} more" if len(rows) > MAX_TYPES else "")


def bases(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the types that a type inherits from, as its declaration says, and where they are, if that is certain."""
    inheritance = Inheritance(context.connection, context.snapshot)
    parts = list(context.meant or (context.definition(),))
    parts += type_parts.with_parameters(context, parts)
    found: dict[str, tuple[str, Base]] = {}
    for part in parts:
        for base in inheritance.bases(part):
            found.setdefault(_titled(base), (part.path, base))
    named = {name: base.definitions for name, (_, base) in found.items()}
    evidence = [context.at(part.path, part.line, part.signature) for part in context.declared(parts)]
    where = f"{titled(parts[0])} ({evidence[0].path}:{evidence[0].line})"
    if not named and parts[0].path.endswith(".go"):
        return _embedded(context, parts[0], where)
    if not named:
        return f"{where} names no base class", evidence
    items: dict[str, list[str]] = {}
    for name, definitions in named.items():
        places = [f"{d.path}:{d.line}" for d in definitions]
        elsewhere = [] if definitions or _is_declared(context, name) else ["not of the repository"]
        said = " or ".join(places or elsewhere)
        item = f"{name} ({said})" if 0 < len(places or elsewhere) <= MAX_BASES else name
        items.setdefault(found[name][1].verb, []).append(item)
        evidence += [context.at(d.path, d.line, d.signature) for d in definitions[:MAX_BASES]]
    evidence += [
        context.at(path, base.line, f"takes in {name}") for name, (path, base) in found.items() if base.line
    ]
    through, further = _further_bases(context, inheritance, parts)
    bases_said = " and ".join(f"{verb} {listed(some)}" for verb, some in items.items())
    return f"{where} {bases_said}{through}", evidence + further


def _further_bases(
    context: QuestionContext, inheritance: Inheritance, parts: Sequence[SymbolLocation]
) -> tuple[str, list[Evidence]]:
    """Name what a type inherits from through its bases, as the end of a sentence; '' if there is nothing."""
    ancestry = inheritance.ancestry(parts)
    rows = [(base, way[-1].source) for base, way in ancestry.found.values() if len(way) > 1]
    if ancestry.unclear:
        context.limit(
            f"which {listed(ancestry.unclear)} it inherits from is not known, nor what those inherit from"
        )
    if not ancestry.complete or len(rows) > MAX_TYPES:
        context.limit("not all that it inherits from through others is named")
    items, evidence = [], []
    for base, source in rows[:MAX_TYPES]:
        through = f"through {short_name(source)}"
        if found := context.declared([location(d) for d in base.definitions[:1]]):
            items.append(f"{titled(found[0])} ({found[0].path}:{found[0].line}, {through})")
            evidence.append(context.at(found[0].path, found[0].line, found[0].signature))
        else:
            elsewhere = "" if _is_declared(context, base.name) else ", not of the repository"
            items.append(f"{base.name} ({through}{elsewhere})")
    return f"; through them from {', '.join(items)}" if items else "", evidence


def _is_declared(context: QuestionContext, name: str) -> bool:
    """Return whether the repository may declare a type of a name that nothing says a base is."""
    short = short_name(name)
    symbols = lookups.symbols(context.connection, context.snapshot, short)
    return any(row.kind in TYPES and short_name(row.name) == short for row in symbols) or bool(
        syntax_errors.declaring(context, short, types=True)
    )


def _titled(base: Base) -> str:
    return titled(base.definitions[0]._replace(name=base.name)) if base.definitions else base.name


def _embedded(context: QuestionContext, symbol: SymbolLocation, where: str) -> tuple[str, list[Evidence]]:
    """Name what a type of Go embeds; which interfaces it implements, nothing declares."""
    rows = embedded(context, symbol)
    context.limit("which interfaces it implements is not declared in Go, and was not looked at")
    said = (
        f"embeds {listed([f'{name} (line {number})' for number, name in rows])}" if rows else "embeds nothing"
    )
    evidence = [context.at(symbol.path, symbol.line, symbol.signature)]
    return f"{where} {said}", evidence + [
        context.at(symbol.path, number, name) for number, name in rows[:MAX_ROWS]
    ]


def embedded(context: QuestionContext, symbol: SymbolLocation) -> list[tuple[int, str]]:
    """Return what a type of Go embeds, each with its line."""
    lines = context.texts([symbol.path]).get(symbol.path, "").splitlines()[: symbol.end_line - 1]
    return [
        (number, match[1])
        for number, line in enumerate(lines[symbol.line :], symbol.line + 1)
        if (
            match := re.match(
                r"\*?((?:\w+\.)?[A-Za-z_]\w*)(?:\[\w+\])?(?:\s*`[^`]*`)?\s*(?://|$)", line.strip()
            )
        )
    ]
