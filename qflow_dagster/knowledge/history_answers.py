"""Answers on history and people: who wrote, who knows, when introduced and changed, for files and for symbols.

Belongs here: one function per kind of question. A symbol's history is that of its lines, not of its file. Does not
belong here: other kinds (`answers`, `code_answers`, `project_answers`), SQL (`lookups`), git (`git_facts`).
"""

import re
from collections.abc import Callable, Sequence
from typing import Any

import re2

from qflow_dagster.ingestion.git import GitError
from qflow_dagster.knowledge import code_answers, git_facts, history_lookups, lookups, origins, renames
from qflow_dagster.knowledge.declarations import TYPES
from qflow_dagster.knowledge.evidence import (
    C_FAMILY,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
    of_commit,
    parts_of,
)
from qflow_dagster.knowledge.git_facts import Line, LineChange, LineCommit
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name
from qflow_dagster.knowledge.origins import Earlier, Sought

# Where forges look for it, in their order.
CODEOWNERS = (".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS")
# Of more lines that declare a name, only the places are named.
MAX_VALUES = 3
# Of a word that nothing declares, the history of lines of so many files is looked at.
MAX_LINES = 5
# A symbol that was moved more often has its name from another one.
MAX_MOVES = 4
_PARTS = re.compile(r"\*\*/|/\*\*|\*\*|\*|\?|[^*?/]+|/")
_WILDCARDS = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def owner(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Who knows a file or symbol best: by commits or lines, and whom CODEOWNERS names."""
    if answered := _of_value(context, owner):
        return answered
    path = context.path()
    say_boundary(context)
    sentence, evidence = _by_history(context, path)
    for file, content in context.texts(CODEOWNERS).items():
        line, owners = owners_in(content, path)
        if line:
            said = f"{file} names {', '.join(owners)}" if owners else f"{file} says that nobody owns it"
            return f"{sentence}; {said}", [*evidence, context.at(file, line, said)]
    return sentence, evidence


def owners_in(content: str, path: str) -> tuple[int, list[str]]:
    """Return whom a CODEOWNERS file names as owners of a path, and the line that does; 0 if none does.

    Patterns are those of .gitignore, and the last one that matches decides.
    """
    found: tuple[int, list[str]] = (0, [])
    for number, row in enumerate(content.splitlines()[:5_000], 1):
        pattern, *owners = row.partition("#")[0].split() or [""]
        if pattern and not pattern.startswith(("[", "^[", "!")):
            parts = _PARTS.findall(pattern.strip("/"))
            names = "".join(_WILDCARDS.get(part) or re.escape(part) for part in parts)
            anywhere = "" if "/" in pattern.rstrip("/") else "(?:.*/)?"
            # A pattern that ends with a slash, or names a folder, covers what is below; `dir/*` does not.
            below = "/.*" if pattern.endswith("/") else "" if pattern.endswith("/*") else "(?:/.*)?"
            if re2.fullmatch(f"{anywhere}{names}{below}", path):
                found = number, owners
    return found


def _by_history(context: QuestionContext, path: str) -> tuple[str, list[Evidence]]:
    if symbol := context.symbol():
        return _writers(context, symbol)
    return best_known(path, history_lookups.authors(context.connection, context.snapshot, path))


def best_known(path: str, rows: Sequence[Any]) -> tuple[str, list[Evidence]]:
    """Say who knows a file or folder best, of those who changed it.

    Raises:
        UnansweredError: There are none.
    """
    if not rows:
        raise UnansweredError(f"the history of {path} was not ingested")
    items = [f"{row.author_name} ({count(row.commits, 'commit')}, last {row.last:%Y-%m-%d})" for row in rows]
    sentence = (
        f"{path} is best known by {items[0]}, with {rows[0].commits / rows[0].total:.0%} of its commits"
    )
    sentence += f"; then {listed(items[1:4])}" if items[1:] else "; nobody else changed it"
    return sentence, [
        Evidence(row.oid, path, None, f"{row.author_name}: {count(row.commits, 'commit')}") for row in rows
    ]


def _writers(context: QuestionContext, symbol: SymbolLocation) -> tuple[str, list[Evidence]]:
    rows = git_facts.authors_of_lines(
        context.objects(), context.snapshot.commit_oid, symbol.path, symbol.line, symbol.end_line
    )
    if not rows:
        raise UnansweredError(f"git names no author of {symbol.name}")
    lines = symbol.end_line - symbol.line + 1
    items = [f"{name} ({number} of {lines} lines)" for name, number, _ in rows]
    return (
        f"{symbol.name} ({symbol.path}:{symbol.line}) was written by {listed(items)}, as its lines are now",
        [
            Evidence(oid, symbol.path, None, f"{name}: {number} lines of {symbol.name}")
            for name, number, oid in rows[:10]
        ]
        + [_definition(context, symbol)],
    )


def changed(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """When a file, symbol, field or constant was changed last, and by which commits."""
    say_boundary(context)
    if answered := _of_value(context, changed):
        return answered
    if symbol := context.symbol():
        rows = [change.commit for change in _line_history(context, symbol)]
        last, first = rows[0], rows[-1]
        return (
            f"{symbol.name} ({symbol.path}:{symbol.line}) was last changed on {last.date} by {last.author}: "
            f"{last.subject} ({last.oid[:10]}); the first commit of its lines is of {first.date} by {first.author}: "
            f"{first.subject}",
            [*_evidence(symbol.path, rows), _definition(context, symbol)],
        )
    path = context.path()
    rows = file_commits(context, history_lookups.changes(context.connection, context.snapshot, path), path)
    oldest = history_lookups.changes(context.connection, context.snapshot, path, oldest=True)
    last, first = rows[0][0], file_commits(context, oldest, path)[0][0]
    sentence = (
        f"{path} was last changed on {last.date} by {last.author}: {last.subject} "
        f"({last.oid[:10]}); the first of its commits is of {first.date} by {first.author}"
    )
    said, evidence = renames.of_file(context, path)
    return sentence + said, [
        *(of_commit(row, then) for row, then in rows),
        *evidence,
    ]


def file_commits(context: QuestionContext, rows: Sequence[Any], path: str) -> list[tuple[LineCommit, str]]:
    """Return ingested commits of a file with their authors' dates, each with the path that the file had then.

    Raises:
        UnansweredError: There are none.
    """
    if not rows:
        raise UnansweredError(f"the history of {path} was not ingested")
    dates = git_facts.author_dates(context.objects(), [row.oid for row in rows])
    return [(LineCommit(row.oid, row.author_name, dates[row.oid], row.subject), row.path) for row in rows]


def _of_value(
    context: QuestionContext, answering: Callable[[QuestionContext], tuple[str, list[Evidence]]]
) -> tuple[str, list[Evidence]] | None:
    """Answer for each line that declares a name which is no symbol or file: a field, a constant; None if it is one.

    Raises:
        UnansweredError: The name is in no code, or only where its history is that of other things, too.
    """
    connection, snapshot = context.connection, context.snapshot
    if context.meant or context.file() or lookups.symbols(connection, snapshot, context.subject):
        return None
    found = code_answers.declared_values(context)
    if not found:
        return None
    if others := found[MAX_VALUES:]:
        context.limit(
            f"it is declared elsewhere, too: {listed([f'{row.path}:{row.line}' for row in others])}"
        )
    answered = [answering(context._replace(meant=(row,))) for row in found[:MAX_VALUES]]
    return ". ".join(sentence for sentence, _ in answered), [row for _, rows in answered for row in rows]


def introduced(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """When, by whom and why a file, symbol, field or constant was added, and in which release first."""
    if answered := _of_value(context, introduced) or _first_with_word(context):
        return answered
    if symbol := context.symbol():
        said, evidence = _introduced_lines(context, symbol)
        name, oid, renamed = f"{symbol.name} ({symbol.path}:{symbol.line})", evidence[0].commit, ""
        path = symbol.path
        evidence.append(_definition(context, symbol))
    else:
        path = context.path()
        oldest = history_lookups.changes(context.connection, context.snapshot, path, oldest=True)
        first, then = file_commits(context, oldest, path)[0]
        name, oid = path, first.oid
        said = f"on {first.date} by {first.author}: {first.subject} ({oid[:10]})"
        said += f", as {then}" if then != path else ""
        renamed, others = renames.of_file(context, path)
        evidence = [Evidence(oid, then, None, first.subject), *others]
    if oid in git_facts.boundary(context.objects()):
        raise UnansweredError(
            f"the clone is shallow: its history begins with {oid[:10]}, which has {name} already"
        )
    said += release_of(context, oid, path, "first released in", "in no release yet")
    return f"{name} was introduced {said}{renamed}", evidence


def _first_with_word(context: QuestionContext) -> tuple[str, list[Evidence]] | None:
    """Say since when code has a word that nothing declares: an option, an attribute; None if none has it."""
    connection, snapshot, name = context.connection, context.snapshot, context.short_name
    if context.meant or context.file() or lookups.symbols(connection, snapshot, context.subject):
        return None
    rows = git_facts.lines_with(context.objects(), snapshot.commit_oid, name) if name else []
    code = lookups.code_paths(connection, snapshot, [row.path for row in rows])
    rows = sorted((row for row in rows if row.path in code), key=lambda row: code[row.path])
    firsts = {row.path: row for row in reversed(rows)}
    since: list[tuple[LineCommit, Line]] = []
    for path in list(dict.fromkeys(row.path for row in rows))[:MAX_LINES]:
        changes = git_facts.history_of_lines(
            context.objects(), snapshot.commit_oid, path, firsts[path].line, firsts[path].line, name
        )
        since += [(change.commit, firsts[path]) for change in changes if change.names][-1:]
    if not since:
        return None
    first, line = min(since, key=lambda pair: pair[0].date)
    context.limit(
        f"nothing declares {name} in a way that is understood; this is of a line that has it, others may be older"
    )
    said = f"{name} is in {line.path}:{line.line} since {first.date}, by {first.author}: {first.subject}"
    said += f" ({first.oid[:10]})"
    return said + release_of(context, first.oid, line.path, "first released in", "in no release yet"), [
        of_commit(first, line.path),
        context.at(line.path, line.line, line.text),
    ]


def _introduced_lines(context: QuestionContext, symbol: SymbolLocation) -> tuple[str, list[Evidence]]:
    """Return by which commit a symbol got its name, the commits that moved it since, and what its lines were before.

    The first evidence is of the commit that introduced it.
    """
    short, sought = short_name(symbol.name), _sought(context, symbol)
    changes = _line_history(context, symbol, sought)
    moves: list[LineChange] = []
    while True:
        naming = [change for change in changes if change.declares] or [c for c in changes if c.names]
        first = naming[-1] if naming else changes[-1]
        origin = origins.moved_from(context.objects(), first, sought) if naming else None
        if origin is None or len(moves) == MAX_MOVES or first in moves:
            break
        moves.append(first)
        parent, path, line = origin
        changes = git_facts.history_of_lines(
            context.objects(), parent, path, line, line, short, sought.in_line
        )
        if not changes:
            raise UnansweredError(
                f"git names no commit of {short} in {path}, where it was before {first.commit.oid[:10]}"
            )
    if origin is not None:
        context.limit(f"it was moved more than {MAX_MOVES} times, and its older history not followed")
    row, path = first.commit, first.path
    earlier = _earlier(context, first, sought) if naming and origin is None else None
    if earlier and earlier.commit:
        moves.append(first)
        row, path = earlier.commit, earlier.path
    said = f"on {row.date} by {row.author}: {row.subject} ({row.oid[:10]})"
    said += f", in {path}" if path != symbol.path else ""
    evidence = [of_commit(row, path)]
    for move in moves[::-1]:
        moved = "moved within" if move.path == evidence[-1].path else "moved to"
        anew = "defined in" if move.path.endswith(C_FAMILY) else "written anew in"
        verb = anew if earlier and move is first else moved
        said += f"; {verb} {move.path} on {move.commit.date} by {move.commit.author} ({move.commit.oid[:10]})"
        evidence += _evidence(move.path, [move.commit])
    oldest = changes[-1].commit
    if oldest.oid != row.oid and not earlier:
        before = renames.name_before(context.objects(), row.oid, short)
        name = f"the name {before}" if before else "another name"
        said += f"; its lines are from {oldest.date} by {oldest.author}, under {name}: {oldest.subject}"
        evidence += _evidence(changes[-1].path, [oldest])
    return said, evidence


def _sought(context: QuestionContext, symbol: SymbolLocation) -> Sought:
    """Return what declares a symbol in older commits."""
    *scopes, short = parts_of(symbol.name)
    if symbol.kind == code_answers.VALUE:
        return Sought(short, text=symbol.signature)
    owner = scopes[-1].partition("<")[0] if scopes and symbol.kind not in TYPES else ""
    found = lookups.symbols(context.connection, context.snapshot, owner) if owner else []
    if not any(s.kind in TYPES and short_name(s.name) == owner for s in found):
        owner = ""
    at_top = not owner and not symbol.signature[:1].isspace() and not scopes
    return Sought(short, owner, symbol.kind in {*TYPES, "module"}, at_top)


def _earlier(context: QuestionContext, first: LineChange, sought: Sought) -> Earlier | None:
    """Return the declaration that a commit only took up again; say if it is not known whether there was one."""
    if sought.text:
        return None
    try:
        found = origins.earlier(context.objects(), first, sought)
    except GitError as error:
        context.limit(f"whether {sought.name} was declared elsewhere before is not known: {error}")
        return None
    if found and found.several:
        context.limit(
            f"other declarations of {sought.name} came and went before it, too; the oldest is named"
        )
    if found is None or found.commit:
        return found
    places = lookups.places_of(context.connection, context.snapshot, sought.name)
    if all(path != found.path for path, _ in places):
        context.limit(
            f"{found.path} declared {sought.name} until later; whether it is from there is not known"
        )
    return None


def say_boundary(context: QuestionContext) -> None:
    """Say that the history is not complete, if it is that of a shallow clone."""
    if oids := git_facts.boundary(context.objects()):
        context.limit(
            f"the clone is shallow: what was before {listed(sorted(oid[:10] for oid in oids))} is missing"
        )


def release_of(context: QuestionContext, oid: str, path: str, first: str, none: str) -> str:
    """Return the end of a sentence on the first release that has a commit: `first`, `none`, or that it is not known.

    Where packages are released apart, it is that of the package which the path is in, and that of the whole.
    """
    try:
        releases = git_facts.first_tags_with(context.objects(), oid)
    except GitError as error:
        return f"; which release has this commit first is not known: {error}"
    if not releases:
        return f"; {none}"
    packages = {series: series.rpartition("-")[2] for series in releases if series}
    own = [series for series, package in packages.items() if package in path.lower().split("/")[:-1]]
    # A series that has the name of another folder is of what is there.
    others = {
        series
        for series, package in packages.items()
        if series not in own and lookups.folder(context.connection, context.snapshot, package)
    }
    whole = [tag for series, tag in releases.items() if series not in {*own, *others}]
    known = [*(releases[series] for series in own[:1]), *whole[:1]] or list(releases.values())[:1]
    return f"; {first} {' and '.join(known)}"


def _line_history(
    context: QuestionContext, symbol: SymbolLocation, sought: Sought | None = None
) -> list[LineChange]:
    rows = git_facts.history_of_lines(
        context.objects(),
        context.snapshot.commit_oid,
        symbol.path,
        symbol.line,
        symbol.end_line,
        short_name(symbol.name),
        *((sought.in_line,) if sought else ()),
    )
    if not rows:
        raise UnansweredError(f"git names no commit of {symbol.name}")
    return rows


def _definition(context: QuestionContext, symbol: SymbolLocation) -> Evidence:
    """Return the line that has the name of what the history is of."""
    (named,) = context.declared([symbol])
    return context.at(named.path, named.line, named.signature or named.name)


def _evidence(path: str, rows: list[LineCommit]) -> list[Evidence]:
    return [of_commit(row, path) for row in rows[:10]]
