"""Answers on the history of the repository: what was removed, what changed between revisions, who works on what.

Belongs here: one function per kind of question. Does not belong here: the history of what exists
(`history_answers`), git (`git_facts`).
"""

import posixpath
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from qflow_dagster.ingestion import git
from qflow_dagster.knowledge import (
    git_facts,
    history_lookups,
    lookups,
    package_changes,
    renames,
    revisions,
    time_windows,
)
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    listed,
    of_commit,
    parts_of,
)
from qflow_dagster.knowledge.git_facts import DeclarationChange, Line, LineCommit
from qflow_dagster.knowledge.history_answers import file_commits, release_of, say_boundary
from qflow_dagster.knowledge.lookups import SymbolLocation
from qflow_dagster.knowledge.time_windows import Window

# Who committed in this time works on the repository now.
ACTIVE = timedelta(days=90)
# What is left of a file for those that still import it is not longer.
MAX_SHIM = 60
# A file that is longer was not written by hand.
MAX_BYTES = 2_000_000
_RELEASED = ("first release without it:", "no release without it yet")


def removed(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Say when, by whom and in which commit a file or name was removed or renamed."""
    subject = context.subject
    say_boundary(context)
    if path := context.file():
        said, evidence = renames.of_file(context, path)
        deprecated, marks = _deprecated(context, path, 1, MAX_SHIM, most=MAX_SHIM)
        there = "" if path.endswith(subject) else f", as {path}"
        return (
            f"{subject if there else path} was not removed: it exists at this commit{there}{said}{deprecated}",
            [
                context.at(path, 1, path),
                *evidence,
                *marks,
            ],
        )
    symbols = _existing(context)
    if symbols:
        places = [f"{symbol.path}:{symbol.line}" for symbol in symbols]
        first = symbols[0]
        deprecated, marks = _deprecated(context, first.path, first.line, first.end_line)
        return f"{subject} was not removed: it is defined in {listed(places)}{deprecated}", [
            *(context.at(symbol.path, symbol.line, symbol.signature) for symbol in symbols[:MAX_ROWS]),
            *marks,
        ]
    if there := history_lookups.modules(context.connection, context.snapshot, subject):
        deprecated, marks = _deprecated(context, there[0], 1, MAX_SHIM, most=MAX_SHIM)
        return f"{subject} was not removed: it exists at this commit, as {listed(there)}{deprecated}", [
            *(context.at(path, 1, path) for path in there),
            *marks,
        ]
    rows = history_lookups.removals(context.connection, context.snapshot, subject)
    gone = ""
    if not rows:
        folder = history_lookups.folder_of(subject)
        rows = history_lookups.removals_below(context.connection, context.snapshot, folder)
        folders = dict.fromkeys(
            f"/{row.path}".partition(f"/{folder}/")[0].strip("/") for row in rows if row.oid == rows[0].oid
        )
        if len(folders) > 1:
            context.limit(f"folders of that name were in {listed([each or '.' for each in folders])}")
        gone, rows = f"the folder {folder} is gone: " if rows else "", rows[:MAX_ROWS]
    if rows:
        commits = file_commits(context, rows, subject)
        last, path = commits[0]
        verb = "was removed" if rows[0].kind == "deleted" else f"was renamed to {rows[0].new_path}"
        sentence = f"{gone}{path} {verb} on {last.date} by {last.author}: {last.subject} ({last.oid[:10]})"
        became, later = renames.since(context, rows[0].new_path, rows[0].id) if rows[0].new_path else ("", [])
        return sentence + release_of(context, last.oid, path, *_RELEASED) + became, [
            *(of_commit(row, then) for row, then in commits),
            *later,
        ]
    if "/" in subject or _is_file_name(subject):
        raise UnansweredError(f"no commit of the ingested history removed a file {subject!r}")
    return _removed_name(context)


def _deprecated(
    context: QuestionContext, path: str, first: int, last: int, *, most: int = 0
) -> tuple[str, list[Evidence]]:
    """Return which line says that what exists is deprecated, as the end of a sentence; of a file, if it is short."""
    lines = context.texts([path]).get(path, "").splitlines()
    if most and len(lines) > most:
        return "", []
    for number, line in enumerate(lines[first - 1 : last], first):
        # In a file that goes on to exist, something of a function may be deprecated.
        if "deprecat" in line.lower() and not (most and line[:1].isspace()):
            said = f"it is marked as deprecated ({path}:{number}: {line.strip()[:120]})"
            return f"; {said}", [context.at(path, number, line)]
    return "", []


def _is_file_name(name: str) -> bool:
    """Return whether what follows the dot in a name is the extension of a language, and no member."""
    from qflow_dagster.ingestion import languages

    return "." in name and bool(languages.detect(name, b""))


def _existing(context: QuestionContext) -> list[SymbolLocation]:
    """Return the definitions of exactly the name that is asked, in the scope that is asked: another one may be gone."""
    *_, owner, name = ["", *parts_of(context.subject)]
    return [
        symbol
        for symbol in lookups.symbols(context.connection, context.snapshot, context.subject)
        if parts_of(symbol.name)[-1] == name and (not owner or _is_within(owner, symbol.path, symbol.name))
    ]


def _is_within(owner: str, path: str, name: str) -> bool:
    """Return whether a qualified name is in a type or module: one around it, or its file or folder."""
    around = [posixpath.splitext(part)[0].replace("_", "").lower() for part in path.split("/")]
    scopes = parts_of(name)[:-1]
    # What a folder has is at the top level: "shop.heat" is no method of a type in shop/oven.py.
    places = around[-1:] if scopes else around
    return owner in scopes or owner.replace("_", "").lower() in places


def _removed_name(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Find the last commit after which no code has a name that nothing defines, else that removed its declaration."""
    *scopes, name = parts_of(context.subject)
    module = ".".join(scopes)
    removals = history_lookups.removals(context.connection, context.snapshot, module) if module else []
    objects, commit = context.objects(), context.snapshot.commit_oid
    # What went with its file is looked for in that.
    commits = (
        git_facts.commits_with(objects, commit, name, [row.path for row in removals]) if removals else []
    )
    commits = commits or git_facts.commits_with(objects, commit, name)
    if not commits:
        raise UnansweredError(f"no commit of the history added or removed the name {name!r}")
    rows = git_facts.lines_with(context.objects(), context.snapshot.commit_oid, name)
    code = lookups.code_paths(context.connection, context.snapshot, [line.path for line in rows])
    lines = [line for line in rows if line.path in code]
    # What has the name in another scope may be what was renamed.
    renaming = None if lines and scopes else _renaming(context, commits, name)
    if lines and not renaming:
        return _removed_declaration(context, name, lines[0])
    said, evidence = [], []
    if renaming:
        row, since = renaming
        said.append(
            f"{name} was renamed to {since} on {row.date} by {row.author}: {row.subject} ({row.oid[:10]})"
        )
        evidence.append(Evidence(row.oid, None, None, said[0]))
    if lines:
        context.limit(f"code still has the name: {lines[0].path}:{lines[0].line}")
        return said[0], evidence
    last = next((row for row in commits if not _is_in_code(context, row.oid, name)), None)
    if last is None:
        last = commits[0]
        context.limit("whether this commit removed the name is not certain")
    if scopes and all(row.oid != last.oid for row in removals):
        context.limit(f"what {module} is was not looked at; this is of what had the name {name}")
    if not renaming or last != renaming[0]:
        said.append(
            f"the last code with {name} was removed on {last.date} by {last.author}: {last.subject} ({last.oid[:10]})"
        )
        evidence.append(of_commit(last))
    return "; ".join(said) + release_of(context, last.oid, "", *_RELEASED), evidence


def _is_in_code(context: QuestionContext, commit: str, name: str) -> bool:
    """Return whether a file at a commit that is no document has a name as a word."""
    lines = git_facts.lines_with(context.objects(), commit, name)
    return any(not git_facts.is_document(line.path) for line in lines)


def _removed_declaration(context: QuestionContext, name: str, line: Line) -> tuple[str, list[Evidence]]:
    """Find the last commit that removed a declaration of a name which code still has, for something else or by mistake.

    Raises:
        UnansweredError: None did, in the scope that is asked.
    """
    *_, owner, _ = ["", *parts_of(context.subject)]
    objects = context.objects()
    for change in git_facts.declaration_changes(objects, context.snapshot.commit_oid, name):
        if change.number > 0 or (owner and not _was_within(context, change, owner, name)):
            continue
        row = change.commit
        context.limit(f"code still has the name {name}: {line.path}:{line.line}")
        said = (
            f"the declaration of {context.subject} in {change.path} was removed on {row.date} by {row.author}"
        )
        sentence = f"{said}: {row.subject} ({row.oid[:10]})" + release_of(
            context, row.oid, change.path, *_RELEASED
        )
        return sentence, [of_commit(row, change.path)]
    raise UnansweredError(
        f"nothing defines {context.subject!r}, but code still has the name {name}: {line.path}:{line.line}"
    )


def _was_within(context: QuestionContext, change: DeclarationChange, owner: str, name: str) -> bool:
    """Return whether what a commit removed was in a type or module, by its file or by what it was declared in."""
    if _is_within(owner, change.path, name):
        return True
    # The parsers take longer to import than most questions to answer.
    from qflow_dagster.ingestion import extraction, languages

    try:
        content = git.run(
            context.objects(), "show", f"{change.commit.oid}^:{change.path}", max_output=MAX_BYTES
        )
    except git.GitError:
        return False
    facts = extraction.extract(content, languages.detect(change.path, content[: languages.HEAD_BYTES]))
    named = [symbol.qualified_name for symbol in facts.symbols if symbol.name == name]
    return any(_is_within(owner, change.path, qualified) for qualified in named)


def _renaming(
    context: QuestionContext, commits: Sequence[LineCommit], name: str
) -> tuple[LineCommit, str] | None:
    """Return the newest of some commits that renamed the declaration of a name, and to what; None if none did."""
    for row in commits:
        if since := renames.name_since(context.objects(), row.oid, name):
            return row, since
    return None


def between(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Summarize what changed between two revisions: commits, people, files with most changed lines; code first."""
    objects = context.objects()
    say_boundary(context)
    names, oids = _revisions(context)
    first, last = (name or "this commit" for name in names)
    where, paths = _asked_paths(context) if context.other else ("", [])
    changes = revisions.changes_between(objects, oids[0], oids[1], paths)
    if not changes.commits and any(revisions.has_path(objects, oid, path) for oid in oids for path in paths):
        said = f"between {first} and {last}, no commit changed {where}"
        return said, [Evidence(oids[1], paths[0], None, said)]
    if not changes.commits:
        there = (
            f"neither {first} nor {last} has {where}" if where else f"{last} has no commit that {first} lacks"
        )
        raise UnansweredError(there)
    code = lookups.code_paths(context.connection, context.snapshot, [file.path for file in changes.files])
    files = sorted(changes.files, key=lambda file: (file.path not in code, -file.added - file.deleted))
    whole = {
        how: [file for file in files if file.status == status]
        for how, status in (("files added", "A"), ("files deleted", "D"))
    }
    packages, of_packages = package_changes.between(context, oids[0], oids[1], files)
    people = Counter(row.author for row in changes.commits)
    commits = [f"{row.date} {row.author}: {row.subject} ({row.oid[:10]})" for row in changes.commits]
    sentence = (
        f"between {first} and {last}"
        + (f", in {where}" if where else "")
        + f": {count(len(commits), 'commit')} by "
        + listed([f"{name} ({number})" for name, number in people.most_common()])
        + f"; {count(len(files), 'file')} changed: "
        + listed([f"{file.path} (+{file.added} -{file.deleted})" for file in files])
        + "".join(f"; {how}: {listed([file.path for file in some])}" for how, some in whole.items() if some)
        + (f"; {packages}" if packages else "")
        + ("; the newest commits: " if len(commits) > MAX_ROWS else "; commits: ")
        + listed(commits)
        + (", not named" if len(commits) > MAX_ROWS else "")
    )
    evidence = [of_commit(row, paths[0] if paths else None) for row in changes.commits[:MAX_ROWS]]
    shown = [(how, file.path) for how, some in whole.items() for file in some[:MAX_ROWS]]
    changed = [file.path for file in files[:MAX_ROWS] if file.status not in ("A", "D")]
    evidence += [Evidence(oids[1], path, None, "changed") for path in changed]
    did = revisions.commits_of_files(objects, oids[0], oids[1], [path for _, path in shown])
    for how, path in shown:
        evidence.append(Evidence(oids[how == "files added"], path, None, how))
        evidence += [of_commit(did[path])] if path in did else []
    return sentence, [*evidence, *of_packages]


def _revisions(context: QuestionContext) -> tuple[list[str], list[str]]:
    """Return the names and the commits of the older and the newer revision; the newer name is empty for the snapshot's.

    Raises:
        UnansweredError: One is none, or may be several.
    """
    objects = context.objects()
    first, _, last = context.subject.partition("..")
    names = [_revision(context, name) if name else "" for name in (first, last)]
    if not first:
        # What is new in a release: since the release before it.
        before = revisions.tag_before(objects, names[1])
        if before is None:
            raise UnansweredError(f"the repository has no release {last!r} with a release before it")
        names[0] = before
    oids = [
        git_facts.resolve(objects, name) or name if name else context.snapshot.commit_oid for name in names
    ]
    if oids[0] != oids[1] and revisions.is_before(objects, oids[1], oids[0]):
        # The newer one was named first.
        return names[::-1], oids[::-1]
    return names, oids


def _revision(context: QuestionContext, name: str) -> str:
    """Return the revision that a name means.

    Raises:
        UnansweredError: It means none, or several.
    """
    found = revisions.named(context.objects(), name)
    if len(found) > 1:
        raise UnansweredError(f"{name!r} may be each of the tags {listed(found)}")
    if not found:
        near = revisions.like(context.objects(), name)
        raise UnansweredError(
            f"the repository has no revision {name!r}" + (f"; near it: {listed(near)}" if near else "")
        )
    return found[0]


def _asked_paths(context: QuestionContext) -> tuple[str, list[str]]:
    """Return the file or folder that is asked about, as text, and its paths: also what a file was called before."""
    asked = context._replace(subject=context.other)
    if folder := asked.folder():
        return folder, [folder]
    if (path := asked.file()) is None:
        symbols = lookups.symbols(context.connection, context.snapshot, context.other)
        if not symbols:
            # It may be gone.
            return context.other, [context.other.strip("/")]
        path = symbols[0].path
        if posixpath.splitext(posixpath.basename(path))[0] != symbols[0].name:
            context.limit(f"this is of all of {path}, where {symbols[0].name} is defined")
    renamed = history_lookups.renames(context.connection, context.snapshot, path)
    return path, list(dict.fromkeys([path, *(row.previous_path for row in renamed)]))


def active(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Name who committed in the time that is asked, most commits first, and the folders that each changed most.

    Without a time, in the last 90 days.

    Raises:
        UnansweredError: Nobody did.
    """
    path, where = "", ""
    if context.subject:
        where, (path, *_) = _asked_paths(context._replace(other=context.subject))
        where = f" to {where}"
    newest = history_lookups.newest_commit(context.connection, context.snapshot)
    if newest is None:
        raise UnansweredError("no history was ingested")
    window = time_windows.read(context.window, newest)
    if context.window and not window:
        context.limit(f"{context.window!r} in the question was not taken into account")
    when = str(window) if window else f"in the {ACTIVE.days} days before {newest}"
    first, last = window or Window(newest - ACTIVE, None)
    rows = history_lookups.changes_in(context.connection, context.snapshot, first, last, path)
    if window:
        say_boundary(context)
    if not rows and path and not window:
        found = history_lookups.changes(context.connection, context.snapshot, path)
        found = found or history_lookups.changes_below(context.connection, context.snapshot, path)
        row, then = file_commits(context, found[:1], path)[0]
        said = f"nobody committed{where} {when}; the last one who did is {row.author}"
        return f"{said}, on {row.date}: {row.subject} ({row.oid[:10]})", [of_commit(row, then)]
    if not rows:
        raise UnansweredError(f"nobody committed{where} {when}")
    commits: dict[str, dict[str, tuple[str, str]]] = {}
    folders: dict[str, Counter[str]] = {}
    for row in rows:
        commits.setdefault(row.author_name, {})[row.oid] = (f"{row.authored_at:%Y-%m-%d}", row.subject)
        if row.path:
            folders.setdefault(row.author_name, Counter())[posixpath.dirname(row.path) or row.path] += 1
    people = sorted(commits, key=lambda name: -len(commits[name]))
    items = []
    for name in people:
        mostly = ", ".join(folder for folder, _ in folders.get(name, Counter()).most_common(3))
        number = count(len(commits[name]), "commit")
        items.append(f"{name} ({number}, mostly {mostly})" if mostly else f"{name} ({number})")
    evidence = [
        Evidence(oid, None, None, f"{date} {name}: {subject}")
        for name in people[:MAX_ROWS]
        for oid, (date, subject) in list(commits[name].items())[:1]
    ]
    total = count(sum(map(len, commits.values())), "commit")
    return f"{when}{where}, {total} without merges: {listed(items)}", evidence
