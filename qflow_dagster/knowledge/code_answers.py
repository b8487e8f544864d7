"""Answers on code beyond names and calls: words, what is declared and no symbol; callers as text.

Belongs here: one function per kind of question. Does not belong here: other kinds (`answers`, `inheritance_answers`,
`raise_answers`, `use_answers`), SQL (`lookups`), git (`git_facts`).
"""

import re
from collections.abc import Sequence

from qflow_dagster.ingestion.git import GitError
from qflow_dagster.knowledge import callers, git_facts, graph, lookups, syntax_errors, type_fields
from qflow_dagster.knowledge.declarations import titled
from qflow_dagster.knowledge.evidence import (
    C_FAMILY,
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
    parts_of,
)
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.mentions import CALLED, Mentions, at, mentions, say_what_is_unread, where
from qflow_dagster.knowledge.type_fields import VALUE

# How calls are called whose receiver has no declared type.
POSSIBLY = "may also be called, on what has no declared type or that of an interface or base,"

# Of so many lines the text is given, too.
MAX_QUOTED = 3
# A name that is a member of what stands before it.
_AS_MEMBER = r"(?:[.@$#]|->|::)\s*{0}(?![\w$])"
# How a field is declared that may be called.
_CALLABLE = re.compile(
    r"fn\b|func|action|=>|->|callable|callback|delegate|handler|lambda|\(\s*\*", re.IGNORECASE
)


def word(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines that have a word which is no symbol, and how: a constant, an environment variable, an option.

    Few lines, and those that declare it, are given with their text, which may say more: the default of a variable.
    """
    if is_value(context):
        found = _of_field(context)
    else:
        found = mentions(context, context.subject)
        # Few lines have a name with its type, of those that use it.
        literally = bool(found.uses or found.declarations or found.prose)
        if member := _member(context, literally=literally):
            return member
    rows = [*found.uses, *found.declarations, *found.prose]
    if not rows:
        return _unread_word(context, found.unread)
    say_what_is_unread(context, found)
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    importing = {(row.path, row.line) for row in graph.importing(*context[:3])} if found.prose else set()
    groups = (
        (found.uses, ""),
        (found.declarations, "declared"),
        ([row for row in found.prose if (row.path, row.line) in importing], "imported"),
        ([row for row in found.prose if (row.path, row.line) not in importing], "in a comment or text"),
    )
    parts, evidence = [], []
    for group, named in groups:
        items = [
            where(named or found.roles[row.path, row.line], around[row.path, row.line], row)
            + (
                f": {_quoted(row)}"
                if len(rows) <= MAX_QUOTED or row in found.declarations[:MAX_QUOTED]
                else ""
            )
            for row in group
        ]
        parts += [listed(items)] if items else []
        evidence += [context.at(row.path, row.line, row.text) for row in group[:MAX_ROWS]]
    return f"{context.subject} is in {count(len(rows), 'line')} of code: {'; '.join(parts)}", evidence


def is_value(context: QuestionContext) -> bool:
    """Return whether what is meant is a field, of a name that something else has, too."""
    return bool(context.meant) and context.meant[0].kind == VALUE


def _of_field(context: QuestionContext) -> Mentions:
    """Return the lines that have the name of a field as a member, where functions or types have the name, too."""
    name, fields = context.short_name, context.meant
    found = mentions(context, name)
    owners = lookups.symbols(context.connection, context.snapshot, ".".join(parts_of(fields[0].name)[:-1]))
    as_member = re.compile(_AS_MEMBER.format(re.escape(name)))
    declaring = {(field.path, field.line) for field in fields}
    uses = [
        row
        for row in found.uses
        if (row.path, row.line) not in declaring
        and found.roles[row.path, row.line] != "as a type"
        and (as_member.search(row.text) or _is_within(row, owners))
    ]
    called = [row for row in uses if found.roles[row.path, row.line] == CALLED]
    if any(_CALLABLE.search(field.signature) or field.path.endswith(".rb") for field in fields):
        called = []
    if called:
        context.limit(
            f"these call what has the name {name}, and are not taken for uses: {listed(at(called))}"
        )
        uses = [row for row in uses if row not in called]
    context.limit(f"what else has the name {name} was told apart by how lines are written")
    context.limit(f"lines with a {name} of another type may be among these")
    lines = [git_facts.Line(field.path, field.line, field.signature) for field in fields]
    return found._replace(uses=uses, declarations=lines, unread=[], prose=[])


def _is_within(row: git_facts.Line, symbols: Sequence[SymbolLocation]) -> bool:
    return any(symbol.path == row.path and symbol.line <= row.line <= symbol.end_line for symbol in symbols)


def _member(context: QuestionContext, *, literally: bool) -> tuple[str, list[Evidence]] | None:
    """Answer for a member that is no symbol, of the type that the subject names; None if that names none.

    `literally`: lines have the subject as it is written, which are the answer if it is of nothing that is declared.
    """
    *scopes, name = parts_of(context.subject)
    # All lines that have the name are answered, not only that of a declaration.
    values = declared_values(context._replace(subject=name, limits=[])) if scopes else []
    fields = {(field.path, field.line) for field in type_fields.of_subject(context)} if scopes else set()
    if not values and not fields:
        return None
    elsewhere = [
        row for row in values if scopes[-1] not in _scopes(row) and (row.path, row.line) not in fields
    ]
    if not fields and len(elsewhere) == len(values):
        if literally:
            return None
        context.limit(f"no {name} of {scopes[-1]} was found; this is of what has the name {name}")
    elif elsewhere:
        others = listed(at(elsewhere))
        context.limit(f"what else has the name {name} ({others}) may be meant in some of the lines")
    return word(context._replace(subject=name))


def _scopes(symbol: SymbolLocation) -> list[str]:
    return [*symbol.name.split("."), *symbol.path.split("/")]


def _unread_word(context: QuestionContext, unread: Sequence[git_facts.Line]) -> tuple[str, list[Evidence]]:
    """Name the lines that have a word in files that are not read as code: build files, configuration.

    Raises:
        UnansweredError: There are none; those of vendored and generated files are no answer.
    """
    own = lookups.unread_paths(context.connection, context.snapshot, [row.path for row in unread], own=True)
    rows = [row for row in unread if row.path in own]
    others = [row for row in unread if row.path not in own]
    also = f"; vendored or generated files have it in {listed(at(others))}" if others else ""
    if not rows:
        raise UnansweredError(f"no file of code{context.where} has the word {context.subject}{also}")
    context.limit("what these files do with it is not known, because they are not read as code")
    items = [
        f"{row.path}:{row.line}" + (f": {_quoted(row)}" if len(rows) <= MAX_QUOTED else "") for row in rows
    ]
    said = f"no file of code has the word {context.subject}; {count(len(rows), 'line')} of other files"
    return f"{said} {'has' if len(rows) == 1 else 'have'} it: {listed(items)}{also}", [
        context.at(row.path, row.line, row.text) for row in rows[: 2 * MAX_ROWS]
    ]


def _quoted(row: git_facts.Line) -> str:
    return " ".join(row.text.split())[:200]


def declared(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the lines that declare what is no function or type: a constant, a field, a variable, an alias.

    Raises:
        UnansweredError: No code declares it.
    """
    name = context.short_name
    if is_value(context):
        context.limit(f"{context.subject} is no function, type or file, of which alone more is known")
        return f"{name}, no function or type, is declared in {listed(at(context.meant))}", [
            context.at(row.path, row.line, row.signature) for row in context.meant[: 2 * MAX_ROWS]
        ]
    found = mentions(context, name)
    if not found.declarations and (attributes := declared_values(context)):
        return f"{name}, no function or type, is set in {listed(at(attributes))}", [
            context.at(row.path, row.line, row.signature) for row in attributes[: 2 * MAX_ROWS]
        ]
    if not found.declarations and (lines := syntax_errors.declaring(context, name)):
        syntax_errors.say(context, {row.path for row in lines}, "other declarations")
        return f"{name} is declared in {listed(at(lines))}", [
            context.at(row.path, row.line, row.text) for row in lines[: 2 * MAX_ROWS]
        ]
    if not found.declarations:
        raise UnansweredError(
            f"no code{context.where} declares {context.subject!r} in a way that is understood"
            + (
                f"; it is named in {listed(at([*found.uses, *found.unread]))}"
                if found.uses or found.unread
                else ""
            )
        )
    if name != context.subject:
        context.limit(f"each {name} that is declared is listed, whatever it is in")
    return f"{name}, no function or type, is declared in {listed(at(found.declarations))}", [
        context.at(row.path, row.line, row.text) for row in found.declarations[: 2 * MAX_ROWS]
    ]


def is_declared(context: QuestionContext) -> bool:
    """Return whether code declares the subject, in the scope that it names: a constant, a field, a value of an enum."""
    scopes = parts_of(context.subject)[:-1]
    if type_fields.of_subject(context):
        return True
    values = declared_values(context._replace(limits=[]))
    return any(not scopes or scopes[-1] in _scopes(row) for row in values)


def prototypes(context: QuestionContext, symbols: Sequence[SymbolLocation]) -> list[git_facts.Line]:
    """Return the lines that declare functions of C and C++ which are defined elsewhere."""
    functions = [symbol for symbol in symbols if symbol.kind in ("function", "method")]
    if not any(symbol.path.endswith(C_FAMILY) for symbol in functions):
        return []
    name = context.short_name
    rows = [
        row
        for row in mentions(context, name).declarations
        if re.search(rf"(?<!\w){re.escape(name)}\s*\(", row.text)
        and not any(s.path == row.path and s.line <= row.line <= s.end_line for s in functions)
    ]
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    owners = {tuple(parts_of(symbol.name)[-2:-1]) for symbol in functions}
    return [row for row in rows if tuple(filter(None, parts_of(around[row.path, row.line])[-1:])) in owners]


def declared_values(context: QuestionContext) -> list[SymbolLocation]:
    """Return the lines that declare a name which is no symbol: a field, a property, a constant, a value of an enum.

    Those in the scope that is asked, if there are any, and those of types and files before variables in functions.
    """
    name, connection, snapshot = context.short_name, context.connection, context.snapshot
    found = mentions(context, name)
    code = lookups.code_paths(connection, snapshot, [row.path for row in [*found.declarations, *found.uses]])
    if any(not any(code[row.path][:2]) for row in [*found.declarations, *found.uses]):
        # Tests give values to what the program has.
        found = found._replace(declarations=[r for r in found.declarations if not any(code[r.path][:2])])
    rows: list[git_facts.Line] = found.declarations
    attributes = {} if rows else type_fields.attributes(context, found)
    if attributes:
        context.limit(f"no type declares {name}; of each that sets it, this is of one line that does")
    rows = rows or list(attributes)
    around = lookups.enclosing(connection, snapshot, [(row.path, row.line) for row in rows])
    scopes = {row: attributes.get(row, around[row.path, row.line]) for row in rows}
    asked = parts_of(context.subject)
    if asked[1:]:
        own = [row for row in rows if asked[-2] in [*scopes[row].split("."), *row.path.split("/")]]
        if rows and not own:
            context.limit(f"no {name} of {asked[-2]} was found; this is of what has the name {name}")
        rows = own or rows
    lasting = [row for row in rows if row in attributes or not _is_function(context, row, scopes[row])]
    oids = lookups.object_ids(connection, snapshot, [row.path for row in rows])
    return [
        SymbolLocation(
            row.path, row.line, VALUE, f"{scopes[row]}.{name}".strip("."), row.text, row.line, oids[row.path]
        )
        for row in lasting or rows
    ]


def _is_function(context: QuestionContext, row: git_facts.Line, scope: str) -> bool:
    """Return whether the symbol around a line is a function, whose variables end with it."""
    around = lookups.symbols(context.connection, context.snapshot, f"{row.path}:{scope}") if scope else []
    return any(s.line <= row.line <= s.end_line and s.kind in ("function", "method") for s in around)


def has_word(context: QuestionContext, name: str) -> bool:
    """Return whether any line of the repository has the last part of a name as a word, or may have it."""
    short = context._replace(subject=name).short_name
    try:
        return bool(git_facts.lines_with(context.objects(), context.snapshot.commit_oid, short))
    except GitError:
        # Of a partial clone, some files cannot be read.
        return True


def say_cut(context: QuestionContext, rows: Sequence[git_facts.Line]) -> None:
    """Say that more lines have a word than are read."""
    if len(rows) >= git_facts.MAX_LINES:
        context.limit(f"the word is in more than the {git_facts.MAX_LINES:,} lines that were looked at")


def say_homonyms(context: QuestionContext) -> None:
    """Say that a name has more definitions than those whose calls are distinguished."""
    symbols = lookups.symbols(context.connection, context.snapshot, context.subject)
    groups = callers.same(symbols)
    for parts in groups:
        if len(alike := callers.apart(parts)) > 1:
            types = [f"{titled(first)} ({first.path}:{first.line})" for first, *_ in alike]
            context.limit(f"uses of these are not told apart: {listed(types)}")
    if len(groups) > callers.MAX_DEFINITIONS:
        others = [f"{symbol.path}:{symbol.line}" for symbol, *_ in groups[callers.MAX_DEFINITIONS :]]
        context.limit(f"of the definitions of that name, these were not looked at: {listed(others)}")


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
                evidence += [context.at_call(c) for c in rows[:20]]
        if several and not each.certain and not each.possible:
            known = each.foreign or each.unresolved
            parts.append(f"no call is known to be of {name}" if known else f"{name} is not called by name")
    say_foreign(context, found)
    return parts, evidence


def say_foreign(context: QuestionContext, found: Sequence[callers.Callers]) -> None:
    """Say which calls of a name are taken for those of others, or refer to what was not found."""
    if found and (foreign := found[0].foreign):
        places = [f"{call.path}:{call.line}" for call in foreign]
        context.limit(f"calls of that name that are taken for those of other libraries: {listed(places)}")
    if found and (unresolved := found[0].unresolved):
        places = [f"{call.path}:{call.line}" for call in unresolved]
        context.limit(f"what these calls of that name refer to was not found: {listed(places)}")


def doubtful(context: QuestionContext, found: Sequence[callers.Callers]) -> list[Evidence]:
    """Return the calls of a name that are taken for those of others, or refer to what was not found, as evidence."""
    calls = [call for each in found[:1] for call in (*each.foreign, *each.unresolved)]
    return [context.at_call(c) for c in calls[:MAX_ROWS]]


def name_of(subject: str, each: callers.Callers, *, several: bool) -> str:
    """Return what a symbol is called in an answer: the subject, with the location if that names several."""
    if not several or each.symbol is None:
        return subject
    return f"{each.symbol.name} ({each.symbol.path}:{each.symbol.line})"
