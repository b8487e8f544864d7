"""Answers that orient: what a module is for, and where to add something like what there is.

Belongs here: one function per kind of question. Does not belong here: what a function does (`answers`).
"""

import posixpath
import re
from collections import Counter

from qflow_dagster.ingestion.git import GitError
from qflow_dagster.knowledge import git_facts, graph, history_lookups, lookups
from qflow_dagster.knowledge.evidence import MAX_ROWS, Evidence, QuestionContext, count, counted, listed
from qflow_dagster.knowledge.git_facts import LineCommit
from qflow_dagster.knowledge.inheritance import Inheritance
from qflow_dagster.knowledge.lookups import SymbolLocation, short_name

# A file with at least this many symbols of a kind is where another one goes; else it goes beside the file.
MIN_SIBLINGS = 3
# Of a file of Ruby, the documentation of so many types is looked at.
MAX_TYPES = 20
# Files that stand for their folder, or are its first page.
_GUIDES = (
    r"__init__\.pyi?|package-info\.java|doc\.go|(?:mod|lib)\.rs|index\.[cm]?[jt]sx?"
    r"|_?index\.(?:md|mdx|rst|adoc|txt)"
)


def purpose(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Say what a file or folder is for: as its documentation says, by its names, and by its place in the graph."""
    folder = context.subject.strip("/").removeprefix("./")
    if path := context.file():
        return _of_file(context, path)
    if paths := lookups.below(context.connection, context.snapshot, folder):
        return _of_folder(context, folder, paths)
    symbol = context.definition()
    return _of_file(context, symbol.path)


def _of_file(context: QuestionContext, path: str) -> tuple[str, list[Evidence]]:
    connection, snapshot = context.connection, context.snapshot
    members = lookups.within(connection, snapshot, path)
    named = [m for m in members if m.name == posixpath.splitext(posixpath.basename(path))[0]]
    # A file of one type has the documentation of that.
    described, line = _of_innermost(context, path)
    documented = (
        described
        or lookups.documented_file(connection, snapshot, path)
        or " ".join(
            lookups.documented(connection, member) for member in named[:1] or members[: len(members) == 1]
        )
    )
    parts = [f"{path}: {documented[:600]}" if documented else f"{path} has no documentation of its own"]
    if members:
        parts.append(
            f"it defines {listed([f'{member.kind} {member.name}' for member in members], len(members))}"
        )
    users, used = graph.dependents(connection, snapshot, path), graph.dependencies(connection, snapshot, path)
    own = [row for row in used if row.target_path]
    if users:
        importing = listed([row.path for row in users[:3]])
        parts.append(f"{counted(users[0].total, 'file', 'import')} it: {importing}")
    if own:
        parts.append(f"it imports {listed([row.target_path for row in own])}")
    evidence = [context.at(path, line, documented or path)]
    evidence += [context.at(m.path, m.line, m.signature or m.name) for m in members[:MAX_ROWS]]
    return "; ".join(parts), evidence


def _of_innermost(context: QuestionContext, path: str) -> tuple[str, int]:
    """Return the documentation of a file of Ruby, and its line: that of the innermost class or module that has any.

    The modules around it are opened in other files, too, and the first comment is for tools.
    """
    if not path.endswith((".rb", ".rake")):
        return "", 1
    nested = lookups.within(context.connection, context.snapshot, path, nested=True)
    types = [symbol for symbol in nested if symbol.kind in ("class", "module")]
    documented = [(symbol, lookups.documented(context.connection, symbol)) for symbol in types[:MAX_TYPES]]
    name = posixpath.splitext(posixpath.basename(path))[0].replace("_", "").lower()
    found = [
        # The class that the file is named after, before those within it.
        (short_name(symbol.name).lower() == name, symbol.name.count("."), -symbol.line, words)
        for symbol, words in documented
        if words
    ]
    if not found:
        return "", 1
    _, _, line, words = max(found)
    return words, -line


def _of_folder(context: QuestionContext, folder: str, paths: list[str]) -> tuple[str, list[Evidence]]:
    connection, snapshot = context.connection, context.snapshot
    guides = [path for path in paths if posixpath.dirname(path) == folder and _is_guide(path)]
    parts, evidence = [], []
    for path in guides:
        if documented := lookups.documented_file(connection, snapshot, path):
            parts.append(f"{path}: {documented[:600]}")
            evidence.append(context.at(path, 1, documented))
            break
    else:
        parts.append(f"{folder} has no documentation of its own")
    parts.append(f"it has {count(len(paths), 'file')}: {listed(paths)}")
    evidence += [context.at(path, 1, path) for path in paths[:MAX_ROWS]]
    return "; ".join(parts), evidence


def _is_guide(path: str) -> bool:
    """Return whether a file documents its folder: a README, or the file that stands for the package."""
    name = posixpath.basename(path).lower()
    return name.startswith("readme") or re.fullmatch(_GUIDES, name) is not None


def placement(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Say where something like a file, a symbol or a kind of type goes: beside its siblings, as the last ones went."""
    siblings = _sibling_symbols(context)
    code = lookups.code_paths(context.connection, context.snapshot, [s.path for s in siblings])
    own = [s for s in siblings if s.path in code and not code[s.path][0]]
    # Symbols of tests go after a folder of the program that has the name of the kind of thing.
    siblings = own or ([] if _kind_folder(context) else siblings)
    if len(siblings) >= MIN_SIBLINGS:
        path, number = Counter(sibling.path for sibling in siblings).most_common(1)[0]
        if number < MIN_SIBLINGS:
            folder, _ = Counter(posixpath.dirname(sibling.path) for sibling in siblings).most_common(1)[0]
            added = history_lookups.added_below(context.connection, context.snapshot, folder)
            return _beside(context, f"{folder or '.'}/", [(s.name, s.path, s.line) for s in siblings], added)
        # What the siblings' file has of the same kind counts for when the last one was added.
        names = {
            symbol.name.rpartition(".")[2]
            for symbol in lookups.within(context.connection, context.snapshot, path)
            if symbol.kind == siblings[0].kind
        }
        try:
            added = git_facts.additions(context.objects(), context.snapshot.commit_oid, path, sorted(names))
        except GitError:
            added = []
        return _beside(context, path, [(s.name, s.path, s.line) for s in siblings], added)
    folder, paths, name = _sibling_files(context)
    added = history_lookups.added_below(context.connection, context.snapshot, folder, name)
    return _beside(
        context, f"{folder or '.'}/", [(posixpath.basename(path), path, 1) for path in paths], added
    )


def _beside(
    context: QuestionContext,
    place: str,
    siblings: list[tuple[str, str, int]],
    added: list[tuple[str, LineCommit]],
) -> tuple[str, list[Evidence]]:
    # The one that the question names first.
    siblings = sorted(siblings, key=lambda sibling: not _names(sibling, context))
    sentence = f"in {place}, beside {listed([f'{name} ({path}:{line})' for name, path, line in siblings])}"
    if added:
        name, row = added[0]
        sentence += (
            f"; the last one added was {name}, on {row.date} by {row.author}: {row.subject} ({row.oid[:10]})"
        )
    return sentence, [
        *(context.at(path, line, name) for name, path, line in siblings[:MAX_ROWS]),
        *(
            Evidence(row.oid, None, None, f"adds {name}: {row.date} {row.author}: {row.subject}")
            for name, row in added[:MAX_ROWS]
        ),
    ]


def _names(sibling: tuple[str, str, int], context: QuestionContext) -> bool:
    """Return whether a question names a sibling (name, path, line), by its name or that of its file."""
    name, path, _ = sibling
    parts = {name, *path.split("/"), posixpath.splitext(posixpath.basename(path))[0]}
    named = {context.short_name.lower(), context.other.lower()} - {""}
    return not named.isdisjoint(map(str.lower, parts))


def _sibling_symbols(context: QuestionContext) -> list[SymbolLocation]:
    """Return the subtypes of a type, else the types with a base of its own, else the like symbols of its file."""
    connection, snapshot = context.connection, context.snapshot
    if context.file():
        return []
    found = lookups.symbols(connection, snapshot, context.subject)
    if not found or found[0].name.islower():
        # A kind of thing: "renderer" is what the names of the others end with.
        named = lookups.ending_with(connection, snapshot, context.subject)
        if len(named) >= MIN_SIBLINGS or not found:
            return named
    symbol = found[0]
    inheritance = Inheritance(connection, snapshot)
    bases = [(base.name, base.definitions) for base in inheritance.bases(symbol)]
    for name, parts in [(symbol.name, found[:1]), *bases]:
        types = inheritance.derived(name, parts).certain
        if len(types) >= MIN_SIBLINGS:
            return types
    return [s for s in lookups.within(connection, snapshot, symbol.path) if s.kind == symbol.kind]


def _kind_folder(context: QuestionContext) -> tuple[str, list[str]] | None:
    """Return the folder of the program with the name of a kind of thing, or its plural, and its files of code."""
    connection, snapshot = context.connection, context.snapshot
    if not re.fullmatch(r"[a-z0-9_-]+", context.subject):
        return None
    for name in _plurals(context.subject):
        found: dict[str, list[str]] = {}
        for folder in lookups.folders(connection, snapshot, name):
            paths = lookups.below(connection, snapshot, folder)
            code = lookups.code_paths(connection, snapshot, paths)
            if own := [path for path in paths if path in code and not any(code[path][:2])]:
                found[folder] = own
        if found:
            first, *others = sorted(found, key=lambda folder: -len(found[folder]))
            if others:
                context.limit(f"this is of {first}; other folders have that name, too: {listed(others)}")
            return first, found[first]
    return None


def _plurals(noun: str) -> list[str]:
    """Return the names that a folder of things may have: factory, factories."""
    more = (
        f"{noun[:-1]}ies"
        if re.search(r"[^aeiou]y$", noun)
        else f"{noun}es"
        if re.search(r"(?:s|x|ch|sh)$", noun)
        else ""
    )
    return [noun, f"{noun}s", *([more] if more else [])]


def _sibling_files(context: QuestionContext) -> tuple[str, list[str], str]:
    """Return the folder of a file or symbol, or the folder of that name, and its files of the same kind.

    If each thing has a folder of its own, these are the folder around them, and the file that each has, with its name.
    """
    connection, snapshot = context.connection, context.snapshot
    kind = _kind_folder(context)
    # A folder with the plural of a name is one of many things, not a thing with a folder of its own.
    if kind and posixpath.basename(kind[0]) != context.subject:
        return *kind, ""
    for name in (context.subject, *_plurals(context.subject)):
        if folder := kind[0] if kind else lookups.folder(connection, snapshot, name):
            around = posixpath.dirname(folder)
            if beside := _in_each_folder(lookups.below(connection, snapshot, around), folder):
                return around, beside, posixpath.basename(beside[0])
            return folder, kind[1] if kind else lookups.below(connection, snapshot, folder), ""
    path = context.path()
    folder, extension = posixpath.dirname(path), posixpath.splitext(path)[1]
    paths = lookups.below(connection, snapshot, folder)
    return folder, [p for p in paths if posixpath.dirname(p) == folder and p.endswith(extension)], ""


def _in_each_folder(paths: list[str], folder: str) -> list[str]:
    """Return the files of one name that a folder and most of those beside it have, of `paths` below the one around."""
    depth = folder.count("/") + 1
    beside = {path.split("/")[depth - 1] for path in paths if path.count("/") >= depth}
    by_name: dict[str, list[str]] = {}
    for path in paths:
        if path.count("/") == depth and not posixpath.basename(path).lower().startswith("readme"):
            by_name.setdefault(posixpath.basename(path), []).append(path)
    having = [found for found in by_name.values() if any(posixpath.dirname(path) == folder for path in found)]
    most = max(having, key=len, default=[])
    return most if len(most) >= MIN_SIBLINGS and 2 * len(most) > len(beside) else []
