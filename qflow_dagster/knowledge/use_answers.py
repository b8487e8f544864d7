"""Answers on what uses a name or a file, and a change of it may break: calls, imports, other lines with the name.

Belongs here: one function per kind of question. Does not belong here: resolving calls (`callers`), finding the other
lines (`mentions`), tests (`coverage_answers`).
"""

import re
from collections.abc import Collection, Sequence

from qflow_dagster.knowledge import (
    callers,
    code_answers,
    graph,
    inheritance_answers,
    lookups,
    overrides,
    plugins,
    type_parts,
)
from qflow_dagster.knowledge.declarations import TYPES, Declarations, family
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    count,
    counted,
    listed,
)
from qflow_dagster.knowledge.git_facts import Line
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.mentions import (
    CALLED,
    at,
    mentions,
    say_other_names,
    say_what_is_unread,
    using,
    where,
)

# Files that export again what they import: packages of Python, index files, modules of Rust.
EXPORTS = re.compile(r"(?:^|/)(?:__init__\.pyi?|index\.[cm]?[jt]sx?|mod\.rs|lib\.rs)$")
_IMPORTING = re.compile(r"\s*(?:use|using|import|from|require|include)\b")
# Languages where other files of a package or program use a file without importing it.
_WITHOUT_IMPORTS = (
    ".java",
    ".kt",
    ".kts",
    ".scala",
    ".groovy",
    ".cs",
    ".go",
    ".swift",
    ".rb",
    ".php",
    ".ex",
    ".exs",
)


def used(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name what calls and imports a name, and the other lines of code that have it."""
    connection, snapshot, subject = context.connection, context.snapshot, context.subject
    symbols = lookups.symbols(connection, snapshot, subject)
    found = callers.kept(callers.callers(connection, snapshot, subject), context.keeps)
    imports = [row for row in graph.imports_of(connection, snapshot, subject) if context.keeps(row.path)]
    calls = any(each.certain or each.possible for each in found)
    if not calls and not imports and not symbols:
        if context.within or not lookups.files(connection, snapshot, subject):
            return code_answers.word(context)
        sentence, importing = dependents(context)
        said, calling = _calls_of_export(context)
        return "; ".join([*said, sentence]), [*calling, *importing]
    parts, evidence = code_answers.callers_as_text(context, found)
    deriving, of_types, places = _deriving(context)
    if imports:
        who = "" if parts else f"{subject} is "
        parts.append(f"{who}imported by " + listed([f"{i.path}:{i.line}" for i in imports]))
    evidence += [
        context.at(i.path, i.line, f"imports {subject} from {i.module}") for i in imports[: 3 * MAX_ROWS]
    ]
    others = beside_calls(context, found, {(i.path, i.line) for i in imports} | places)
    loading = [
        row
        for symbol in symbols
        for row in plugins.loading(context, symbol.path, lookups.short_name(symbol.name))
        if context.keeps(row.path)
    ]
    _add_loading(parts, evidence, context, loading)
    alone = not (calls or imports or others or loading or deriving)
    unnamed = alone and not context.limits and not _is_named(context, symbols)
    said, of_members = _calls_of_members(context, alone=alone)
    if not calls and symbols:
        (symbol,) = context.declared([context.definition()])
        name = f"{symbol.name} ({symbol.path}:{symbol.line})"
        # What a limit admits is not denied here.
        how = (
            f"no call is known to be of {name}"
            if context.limits
            else f"{name} is not called by name anywhere"
        )
        if said and unnamed:
            how = f"{name} is not named anywhere else"
        elif deriving or ((others or loading) and symbol.kind in TYPES):
            how = f"{name} is used"
        elif others or loading:
            called = "no call is known to be of it" if context.limits else "not called by its name"
            how = f"{name} is used, but {called}"
        parts[:0] = [how, *deriving]
        evidence[:0] = [context.at(symbol.path, symbol.line, symbol.signature or symbol.name), *of_types]
        evidence += code_answers.doubtful(context, found)
    else:
        parts[:0], evidence[:0] = deriving, of_types
    _add_others(parts, evidence, context, others)
    return "; ".join([*parts, *said]), [*evidence, *of_members]


def _is_named(context: QuestionContext, parts: Sequence[SymbolLocation]) -> bool:
    """Return whether any line of code has the subject's name, but those of its own definition."""
    found = mentions(context, context.short_name)
    importing = [row for row in found.prose if _IMPORTING.match(row.text)]
    return any(
        not any(part.path == row.path and part.line <= row.line <= part.end_line for part in parts)
        for row in [*found.uses, *found.declarations, *importing]
    )


def _deriving(context: QuestionContext) -> tuple[list[str], list[Evidence], set[tuple[str, int]]]:
    """Name the types that take in or inherit from the subject, with the lines that say it; nothing if it is no type."""
    symbols = context.meant or lookups.symbols(context.connection, context.snapshot, context.subject)
    types = [symbol for symbol in symbols if symbol.kind in (*TYPES, "module")]
    return inheritance_answers.deriving(context, types) if types else ([], [], set())


def _calls_of_members(context: QuestionContext, *, alone: bool) -> tuple[list[str], list[Evidence]]:
    """Describe the calls of the members of a type; `alone`: nothing else uses the type, as far as is known."""
    symbols = context.meant or lookups.symbols(context.connection, context.snapshot, context.subject)
    types = [symbol for symbol in symbols if symbol.kind in (*TYPES, "module")]
    if not types:
        return [], []
    parts = [*types, *type_parts.with_parameters(context, types)]
    # Blocks of C# for what extends other types have no names.
    blocks = [part._replace(name=f"{part.name}.extension") for part in parts if part.path.endswith(".cs")]
    members = [
        member
        for part in (*parts, *blocks)
        for member in lookups.members(context.connection, context.snapshot, part)
    ]
    members += type_parts.methods_outside(context, parts)
    found = callers.of_members(context.connection, context.snapshot, parts, members, alone=alone)
    (found,) = callers.kept([found], context.keeps)
    shown, evidence = [], []
    for calls, how in ((found.certain, "are called"), (found.possible, "may be called")):
        if calls:
            places = listed([f"{c.name} by {c.caller or 'top level'} ({c.path}:{c.line})" for c in calls])
            shown.append(f"its members {how} in {count(len(calls), 'symbol')}: {places}")
            evidence += [context.at_call(c) for c in calls[: 2 * MAX_ROWS]]
    if found.possible:
        context.limit(f"calls of {listed(sorted({c.name for c in found.possible}))} may be of other types")
    return shown, evidence


def _calls_of_export(context: QuestionContext) -> tuple[list[str], list[Evidence]]:
    """Describe the calls of the function without a name that a file of JavaScript exports."""
    path = context.path()
    export = f"{path}:exports"
    if not any(
        s.name == "module.exports" for s in lookups.symbols(context.connection, context.snapshot, export)
    ):
        return [], []
    found = callers.callers(context.connection, context.snapshot, export)
    return code_answers.callers_as_text(context._replace(subject=f"what {path} exports"), found)


def _add_loading(
    parts: list[str], evidence: list[Evidence], context: QuestionContext, rows: Sequence[Line]
) -> None:
    if rows:
        parts.append(f"{counted(len(rows), 'line', 'load')} it as a plugin: {listed(at(rows))}")
        evidence += [context.at(row.path, row.line, row.text) for row in rows[: 3 * MAX_ROWS]]


def _add_others(
    parts: list[str], evidence: list[Evidence], context: QuestionContext, uses: Sequence[tuple[Line, str]]
) -> None:
    if uses:
        has = "has" if len(uses) == 1 else "have"
        said = listed([how for _, how in uses])
        parts.append(f"{count(len(uses), 'more line')} {has} the name {context.short_name}: {said}")
        evidence += [context.at(row.path, row.line, row.text) for row, _ in uses[: 3 * MAX_ROWS]]


def beside_calls(
    context: QuestionContext, found: Sequence[callers.Callers], known: Collection[tuple[str, int]] = ()
) -> list[tuple[Line, str]]:
    """Return the other lines that have the subject's name, each with how and in which symbol it is used there.

    Say what they may be, and which are not read. Of several calls in a symbol the first is known by the facts as its
    call, so the others are among them.
    """
    short = context.short_name
    code_answers.say_homonyms(context)
    calls = Declarations(context.connection, context.snapshot).calls({short})
    again = {(call.path, call.line) for each in found for call in each.again}
    may_be_again = {(call.path, call.line) for each in found for call in each.may_be_again} - again
    shown = {(call.path, call.line) for each in found for call in (*each.certain, *each.possible)}
    resolved = {(call.path, call.line) for call in calls} - (again | may_be_again)
    named = mentions(context, short, {*known, *shown, *resolved})
    say_other_names(context, [*named.uses, *named.declarations])
    say_what_is_unread(context, named)
    symbols = lookups.symbols(context.connection, context.snapshot, context.subject)
    paths = [place.path for place in (*symbols, *named.uses)]
    languages = lookups.languages_of(context.connection, context.snapshot, paths)
    usable = {language for symbol in symbols for language in family(languages[symbol.path])}
    # Code of other languages cannot use it.
    rows = [row for row in named.uses if not usable or languages[row.path] in usable]
    around = lookups.enclosing(context.connection, context.snapshot, [(row.path, row.line) for row in rows])
    own = {(call.path, call.caller) for each in found for call in each.certain}
    may_be = {(call.path, call.caller) for each in found for call in each.possible}
    foreign = {(call.path, call.caller) for each in found for call in each.foreign}
    calling = {(call.path, call.caller) for call in calls}
    uses = []
    for row in rows:
        how, symbol = named.roles[row.path, row.line], around[row.path, row.line]
        if how == CALLED and (row.path, symbol) in calling:
            if (row.path, symbol) not in own | may_be:
                continue  # The calls there are of another definition.
            unsure = (row.path, symbol) in may_be | foreign and (row.path, row.line) not in again
            how = "may be called again" if unsure or (row.path, row.line) in may_be_again else "called again"
        uses.append((row, where(how, symbol, row)))
    return uses


def dependents(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name the files that import a file, or use what it defines without an import; of a symbol, its uses first."""
    if named := of_module(context):
        return named
    path = context.path()
    rows = graph.dependents(context.connection, context.snapshot, path)
    parts: list[str] = []
    evidence: list[Evidence] = []
    others: Sequence[Line] = []
    if context.file():
        others = without_import(context, [path], {row.path for row in rows})
        _say_external(context, path)
    else:
        sentence, evidence = used(context)
        parts.append(sentence)
    if rows:
        importing = listed([row.path for row in rows], rows[0].total)
        parts.append(f"{counted(rows[0].total, 'file', 'import')} {path}: {importing}")
    if others:
        parts.append(users_as_text(path, others))
    if context.file():
        _add_loading(parts, evidence, context, plugins.loading(context, path))
    for row in rows[: 2 * MAX_ROWS]:
        evidence += context.at_each(row.path, row.lines, f"imports {path}")
    evidence += [context.at(row.path, row.line, row.text) for row in others[: 3 * MAX_ROWS]]
    if not parts:
        return f"no file of the repository imports {path}", [context.at(path, 1, path)]
    return "; ".join(parts), evidence


def of_module(context: QuestionContext) -> tuple[str, list[Evidence]] | None:
    """Answer for a module that is imported and no file or symbol; None if it is one, or nothing imports it.

    That a file of another extension has the name says less than an import of that name.
    """
    connection, snapshot, subject = context.connection, context.snapshot, context.subject
    path = context.file()
    if path and (path.endswith(subject) or graph.dependents(connection, snapshot, path)):
        return None
    if not path and lookups.symbols(connection, snapshot, subject):
        return None
    rows = graph.importing(connection, snapshot, subject)
    if not rows:
        return None
    targets = {target for row in rows for target in row.targets}
    if len(targets) == 1 and not path and all(row.targets and not row.inside for row in rows):
        return dependents(context._replace(subject=targets.pop()))
    if targets:
        what = f"{subject}, a module or namespace with {listed(sorted(targets))}"
        context.limit("uses without an import of it were not looked for")
    elif folder := lookups.folder(connection, snapshot, subject):
        what = f"{subject}, a module with the name of the folder {folder}"
    else:
        what = f"{subject}, which is no file of the repository"
    first = {row.path: row for row in reversed(rows)}
    items = [
        f"{row.path}:{row.line}" + f" ({row.module})" * (row.module != subject)
        for row in rows
        if row == first[row.path]
    ]
    return f"{counted(len(items), 'file', 'import')} {what}: {listed(items)}", [
        context.at(row.path, row.line, f"imports {row.module}") for row in rows[: 3 * MAX_ROWS]
    ]


def _say_external(context: QuestionContext, path: str) -> None:
    """Say which imports name a module of others that has the name of a file which was asked without its extension."""
    named = [] if path.endswith(context.subject) else graph.importing(*context[:3])
    if external := [row for row in named if not row.targets]:
        places = [f"{row.path}:{row.line}" for row in external]
        context.limit(f"imports of {context.subject} that are of no file of the repository: {listed(places)}")


def users_as_text(path: str, rows: Sequence[Line]) -> str:
    """Say which files use what a file or folder defines, without an import of it."""
    verb = "uses" if len(rows) == 1 else "use"
    return (
        f"{count(len(rows), 'file')} {verb} what {path} defines, without an import of it: {listed(at(rows))}"
    )


def without_import(
    context: QuestionContext, paths: Sequence[str], importing: Collection[str]
) -> Sequence[Line]:
    """Return the first line in each other file that names what only these define, of languages that need no import."""
    connection, snapshot = context.connection, context.snapshot
    defined: dict[str, set[str]] = {}
    for path in paths:
        if path.endswith(_WITHOUT_IMPORTS):
            symbols = lookups.within(connection, snapshot, path)
            defined.setdefault(path.rpartition(".")[2], set()).update(
                lookups.short_name(s.name) for s in symbols if s.kind in (*TYPES, "function", "module")
            )
    found: list[Line] = []
    for extension, short in defined.items():
        declarations = Declarations(connection, snapshot)
        declarations.load_names(short)
        unique = [
            name
            for name in sorted(short)
            if all(d.path in paths or d.holder != "module" for d in declarations.definitions(name))
        ]
        if len(unique) < len(short):
            others = sorted(short - set(unique))
            context.limit(
                f"uses of {listed(others)} were not looked for, because other files define that name, too"
            )
        rows = using(context, unique, extension)
        found += [row for row in rows if row.path not in {*paths, *importing}]
    return found


def affected(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """List what a change of a file or function may break: dependents, theirs, and the tests among them."""
    if named := of_module(context):
        return named
    connection, snapshot = context.connection, context.snapshot
    path = context.path()
    levels = graph.reached_from(connection, snapshot, [path])
    found = [] if context.file() else callers.callers(connection, snapshot, context.subject)
    parts, evidence = code_answers.callers_as_text(context, found)
    evidence.insert(0, context.at(path, 1, path))
    others: Sequence[tuple[Line, str]] = []
    for each in [] if context.file() else callers.same(context.meant or lookups.symbols(*context[:3])):
        said, overriding = overrides.described(context, each)
        parts += said
        evidence += overriding
    deriving: list[str] = []
    if found:
        deriving, of_types, places = _deriving(context)
        parts[:0], evidence[1:1] = deriving, of_types
        imports = graph.imports_of(connection, snapshot, context.subject)
        others = beside_calls(context, found, {(i.path, i.line) for i in imports} | places)
        _add_others(parts, evidence, context, others)
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
        for row in levels[:MAX_ROWS]:
            evidence += context.at_each(row.path, row.lines, f"imports {row.target}")
    _add_loading(parts, evidence, context, plugins.loading(context, path))
    if found:
        calls = any(each.certain or each.possible for each in found)
        said, of_members = _calls_of_members(context, alone=not (calls or others or direct or deriving))
        parts += said
        evidence += of_members
    if not found and (users := without_import(context, [path], {row.path for row in direct})):
        parts.append(users_as_text(path, users))
        evidence += [context.at(row.path, row.line, row.text) for row in users[: 3 * MAX_ROWS]]
    return "; ".join(parts) or f"no file of the repository imports {path}", evidence
