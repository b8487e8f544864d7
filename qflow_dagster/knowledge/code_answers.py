"""Answers on code beyond names and calls: inheritance, raised exceptions, words, what a change affects.

Belongs here: one function per kind of question. Does not belong here: other kinds (`answers`, `history_answers`,
`project_answers`, `dead_code`), SQL (`lookups`), git (`git_facts`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.knowledge import callers, git_facts, graph, lookups
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    counted,
    listed,
)
from qflow_dagster.knowledge.inheritance import Inheritance
from qflow_dagster.knowledge.lookups import SymbolLocation

_RAISES = re.compile(r"\b(?:raise|throws?|rethrow|panic!?|fail with)\b", re.IGNORECASE)
# Files that export again what they import: packages of Python, index files, modules of Rust.
EXPORTS = re.compile(r"(?:^|/)(?:__init__\.pyi?|index\.[cm]?[jt]sx?|mod\.rs|lib\.rs)$")
# A base that could be of more definitions than this is named without them.
MAX_BASES = 2
# How calls are called whose receiver has no declared type.
POSSIBLY = "may also be called, on what has no declared type,"


def subclasses(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the types that inherit from a type, or implement an interface; apart those of which it is not certain."""
    found = Inheritance(context.connection, context.snapshot).derived(context.subject, context.meant)
    certain, possible = context.declared(found.certain), context.declared(found.possible)
    if context.meant:
        symbol = context.declared(context.meant)[0]
        name = f"{symbol.name} ({symbol.path}:{symbol.line})"
    elif certain:
        name = f"{context.subject}, which the repository does not define"
    else:
        name = context.definition().name
    evidence = [
        context.at(row.path, row.line, row.signature) for row in [*certain, *possible][: 2 * MAX_ROWS]
    ]
    said = f"{counted(len(certain), 'type', 'inherit')} from {name}: {_located(certain)}"
    if not certain:
        said = f"no type of the repository inherits from {name}"
        evidence += [context.at(part.path, part.line, part.signature) for part in context.meant[:1]]
    if possible:
        said += f"; {_located(possible)} may: a type of that name is a base, but nothing says which"
    return said, evidence


def _located(rows: Sequence[SymbolLocation]) -> str:
    return listed([f"{row.name} ({row.path}:{row.line})" for row in rows])


def bases(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the types that a type inherits from, as its declaration says, and where they are, if that is certain."""
    inheritance = Inheritance(context.connection, context.snapshot)
    parts = context.meant or (context.definition(),)
    named = {base.name: base.definitions for part in parts for base in inheritance.bases(part)}
    evidence = [context.at(part.path, part.line, part.signature) for part in context.declared(parts)]
    where = f"{parts[0].name} ({evidence[0].path}:{evidence[0].line})"
    if not named:
        return f"{where} names no base class", evidence
    items = []
    for name, definitions in named.items():
        places = [f"{d.path}:{d.line}" for d in definitions]
        items.append(f"{name} ({' or '.join(places)})" if 0 < len(places) <= MAX_BASES else name)
        evidence += [context.at(d.path, d.line, d.signature) for d in definitions[:MAX_BASES]]
    return f"{where} inherits from {listed(items)}", evidence


def raised(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines that raise or throw an exception."""
    name = context.subject.rpartition(".")[2]
    rows = [
        row
        for row in git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
        if _RAISES.search(row.text.partition(name)[0])
        and not row.text.lstrip().startswith(("#", "//", "*", "class "))
    ]
    rows = _in_code(context, rows)
    if not rows:
        if not git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name):
            raise UnansweredError(f"no file has the word {name}")
        raise UnansweredError(f"no line raises {name} by name")
    places = []
    for row in rows:
        symbol = lookups.enclosing(context.connection, context.snapshot, row.path, row.line)
        places.append(f"{symbol or 'top level'} ({row.path}:{row.line})")
    return f"{name} is raised in {listed(places)}", [
        context.at(row.path, row.line, row.text) for row in rows[:MAX_ROWS]
    ]


def raises(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines within a function or type that raise or throw."""
    symbol = context.definition()
    lines = context.texts([symbol.path]).get(symbol.path, "").splitlines()[: symbol.end_line]
    rows = [
        (number, line.strip())
        for number, line in enumerate(lines[symbol.line - 1 :], symbol.line)
        if _RAISES.match(line.strip()[:500])
    ]
    where = f"{symbol.name} ({symbol.path}:{symbol.line})"
    if not rows:
        return f"no line of {where} raises by itself; what it calls may", [
            context.at(symbol.path, symbol.line, symbol.signature)
        ]
    items = [f"{line[:100]} (line {number})" for number, line in rows]
    return f"{where} raises: {listed(items)}; what it calls may raise more", [
        context.at(symbol.path, number, line) for number, line in rows[: 2 * MAX_ROWS]
    ]


def word(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines that have a word which is no symbol: a constant, an environment variable, an option."""
    rows = lines_of_code(context)
    if not rows:
        raise UnansweredError(f"no file of code has the word {context.subject}")
    items = [f"{row.path}:{row.line}" for row in rows]
    return f"{context.subject} is in {count(len(rows), 'line')} of code: {listed(items)}", [
        context.at(row.path, row.line, row.text) for row in rows[:MAX_ROWS]
    ]


def lines_of_code(context: QuestionContext) -> list[git_facts.Line]:
    """Return the lines of own code that have the subject as a word, those of the program before tests."""
    rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, context.subject)
    return _in_code(context, rows)


def _in_code(context: QuestionContext, rows: list[git_facts.Line]) -> list[git_facts.Line]:
    """Return the lines of own code, that of the program before tests."""
    code = lookups.code_paths(context.connection, context.snapshot, [row.path for row in rows])
    return sorted((row for row in rows if row.path in code), key=lambda row: code[row.path])


def affected(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List what a change of a file or function may break: dependents, theirs, and the tests among them."""
    connection, snapshot = context.connection, context.snapshot
    path = context.path()
    levels = graph.reached_from(connection, snapshot, path)
    found = [] if context.file() else callers.callers(connection, snapshot, context.subject)
    parts, evidence = callers_as_text(context, found)
    evidence.insert(0, context.at(path, 1, path))
    direct = [row for row in levels if row.depth == 1]
    exporting = [row for row in direct if EXPORTS.search(row.path)]
    if exporting:
        parts.append(
            f"it is public: {listed([f'{row.path}:{row.line}' for row in exporting])} exports from it"
        )
    tests = [row.path for row in levels if row.test]
    if levels:
        parts.append(
            f"{counted(len(direct), 'file', 'import')} {path} ({listed([row.path for row in direct])}), "
            f"{len(levels):,} directly or through others; {count(len(tests), 'test file')} among them"
            + (f": {listed(tests)}" if tests else "")
        )
        evidence += [context.at(row.path, row.line, f"imports {row.target}") for row in levels[:MAX_ROWS]]
    return "; ".join(parts) or f"no file of the repository imports {path}", evidence


def callers_as_text(
    context: QuestionContext, found: Sequence[callers.Callers]
) -> tuple[list[str], list[Evidence]]:
    """Describe the callers of each symbol that the subject names; what is not certain is said apart."""
    parts: list[str] = []
    evidence: list[Evidence] = []
    several = len(found) > 1
    for each in found:
        name = name_of(context.subject, each, several=several)
        if several and each.symbol:
            evidence.append(context.at(each.symbol.path, each.symbol.line, each.symbol.signature))
        for calls, how in ((each.certain, "is called"), (each.possible, POSSIBLY)):
            if calls:
                places = listed([f"{c.caller or 'top level'} ({c.path}:{c.line})" for c in calls])
                parts.append(f"{name} {how} in {count(len(calls), 'symbol')}: {places}")
                rows = calls if how != POSSIBLY else calls[:MAX_ROWS]
                evidence += [
                    context.at(c.path, c.line, f"{c.caller or 'top level'} calls {c.name}") for c in rows[:20]
                ]
        if several and not each.certain and not each.possible:
            parts.append(f"{name} is not called by name")
    return parts, evidence


def name_of(subject: str, each: callers.Callers, *, several: bool) -> str:
    """Return what a symbol is called in an answer: the subject, with the location if that names several."""
    if not several or each.symbol is None:
        return subject
    return f"{each.symbol.name} ({each.symbol.path}:{each.symbol.line})"
