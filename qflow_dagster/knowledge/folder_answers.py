"""Answers on folders: of all files below one, or that the kind of question has none.

Belongs here: which kinds are answered for folders, and how, if it is not as for files. Does not belong here: what a
folder is for, and where to add to it (`orientation_answers`).
"""

import posixpath
from collections import Counter
from collections.abc import Callable, Sequence

from qflow_dagster.knowledge import (
    callers,
    dead_code,
    git_facts,
    graph,
    history_answers,
    history_lookups,
    lookups,
    orientation_answers,
    revision_answers,
    use_answers,
)
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    counted,
    is_in,
    listed,
    of_commit,
)
from qflow_dagster.metrics import places
from qflow_dagster.metrics import queries as metrics

# Of a folder with more files, each is not looked at for what needs no import, what tests call, and owners.
MAX_FILES = 40


def answer(context: QuestionContext, folder: str, kind: str) -> tuple[str, list[Evidence]]:
    """Answer a question on a folder.

    Raises:
        UnansweredError: Nothing answers it, or questions of this kind are not about folders.
    """
    if kind in _INSTEAD:
        first = _files(context, folder)[0]
        raise UnansweredError(
            f"{folder} is a folder, of which this is not known; ask {_INSTEAD[kind]}, or for a file: {first}"
        )
    if kind in _OF_NAMES and "/" not in context.subject:
        context.limit(f"this is of the folder {folder}; other code with that name was not looked for")
    return KINDS[kind](context._replace(subject=folder))


def _files(context: QuestionContext, folder: str) -> list[str]:
    paths = lookups.below(context.connection, context.snapshot, folder)
    if len(paths) == lookups.MAX_LISTED:
        context.limit(f"{folder} may have more files than the {len(paths)} that were looked at")
    return paths


def _say_former(context: QuestionContext) -> None:
    """Say that the history of a folder that was renamed begins with that."""
    rows = history_lookups.changes_below(context.connection, context.snapshot, context.subject, oldest=True)
    if rows and rows[0].previous_path:
        context.limit(f"its history as {posixpath.dirname(rows[0].previous_path) or '.'} was not looked at")


def _defined(context: QuestionContext) -> tuple[str, list[Evidence]]:
    paths = _files(context, context.subject)
    said = f"the folder {context.subject} has {count(len(paths), 'file')}: {listed(paths)}"
    return said, [context.at(path, 1, path) for path in paths[:MAX_ROWS]]


def _dependents(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder, paths = context.subject, _files(context, context.subject)
    rows = graph.reached_from(context.connection, context.snapshot, paths)
    direct = [row for row in rows if row.depth == 1 and not is_in(row.path, folder)]
    parts, evidence = [], []
    for tests, what in ((False, "file"), (True, "test file")):
        importing = [row for row in direct if row.test == tests]
        if importing:
            items = [f"{row.path}:{row.line}" for row in importing]
            parts.append(f"{counted(len(items), what, 'import')} from {folder}: {listed(items)}")
        for row in importing[: 2 * MAX_ROWS]:
            evidence += context.at_each(row.path, row.lines, f"imports {row.target}")
    others = _without_import(context, paths, [row.path for row in direct])
    if others:
        parts.append(use_answers.users_as_text(folder, others))
        evidence += [context.at(row.path, row.line, row.text) for row in others[: 2 * MAX_ROWS]]
    if not parts:
        return f"no file outside of {folder} imports one of it", [context.at(paths[0], 1, paths[0])]
    return "; ".join(parts), evidence


def _without_import(
    context: QuestionContext, paths: list[str], importing: list[str]
) -> Sequence[git_facts.Line]:
    """Return what uses the files of a folder without an import, of languages where other folders need none."""
    # A package of Go is a folder.
    files = [path for path in paths if not path.endswith(".go")]
    if len(files) > MAX_FILES:
        context.limit(f"uses without an import were not looked for: there are {len(files):,} files")
        return []
    found = use_answers.without_import(context, files, importing)
    return [row for row in found if not is_in(row.path, context.subject)]


def _dependencies(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder = context.subject
    rows = graph.imports_below(context.connection, context.snapshot, folder)
    own = [row.target_path for row in rows if row.target_path]
    external = [row.module for row in rows if not row.target_path]
    if not rows:
        first = _files(context, folder)[0]
        return f"the files of {folder} import nothing from outside of it", [context.at(first, 1, first)]
    said = f"the files of {folder} import {count(len(own), 'other file')} of the repository"
    said += f": {listed(own)}" if own else ""
    said += f"; and from outside {listed(external)}" if external else ""
    shown = [*rows[: len(own)][: 2 * MAX_ROWS], *rows[len(own) :][: 2 * MAX_ROWS]]
    return said, [context.at(r.path, r.line, f"imports {r.target_path or r.module}") for r in shown]


def _affected(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder, paths = context.subject, _files(context, context.subject)
    rows = graph.reached_from(context.connection, context.snapshot, paths)
    levels = [row for row in rows if not is_in(row.path, folder)]
    direct = [row for row in levels if row.depth == 1]
    parts, evidence = [], []
    for row in levels[:MAX_ROWS]:
        evidence += context.at_each(row.path, row.lines, f"imports {row.target}")
    if levels:
        tests = [row.path for row in levels if row.test]
        parts.append(
            f"{counted(len(direct), 'file', 'import')} from {folder} ({listed([row.path for row in direct])}), "
            f"{len(levels):,} directly or through others; {count(len(tests), 'test file')} among them"
            + (f": {listed(tests)}" if tests else "")
        )
    if others := _without_import(context, paths, [row.path for row in direct]):
        parts.append(use_answers.users_as_text(folder, others))
        evidence += [context.at(row.path, row.line, row.text) for row in others[:MAX_ROWS]]
    if not parts:
        return f"no file outside of {folder} imports one of it", [context.at(paths[0], 1, paths[0])]
    return "; ".join(parts), evidence


def _tests(context: QuestionContext) -> tuple[str, list[Evidence]]:
    connection, snapshot, folder = context.connection, context.snapshot, context.subject
    paths = _files(context, folder)
    code = lookups.code_paths(connection, snapshot, paths)
    own = [path for path in paths if path in code and code[path][0]]
    tested = [path for path in paths if path in code and not code[path][0]]
    rows = graph.reached_from(connection, snapshot, tested, exports=True)
    lines = {row.path: (row.line, f"imports {row.target}") for row in rows if row.test}
    if len(tested) > MAX_FILES:
        context.limit(f"which tests call what it defines was not looked for: there are {len(tested):,} files")
    else:
        for path in tested:
            for call in callers.calls_of_tests(connection, snapshot, path):
                lines.setdefault(call.path, (call.line, f"calls {call.name}"))
    others = [path for path in lines if path not in own]
    parts = [f"tests in it: {listed(own)}"] if own else []
    parts += [f"tests that import it, or call what it defines: {listed(others)}"] if others else []
    if not parts:
        return f"no test is in {folder}, imports a file of it, or calls what it defines", [
            context.at(paths[0], 1, paths[0])
        ]
    context.limit(f"tests that reach {folder} through other files were not looked for")
    shown = [*own[:MAX_ROWS], *others[: 2 * MAX_ROWS]]
    return f"{folder} has {'; '.join(parts)}", [
        context.at(path, *lines.get(path, (1, f"is a test in {folder}"))) for path in shown
    ]


def _owner(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder, paths = context.subject, _files(context, context.subject)
    history_answers.say_boundary(context)
    _say_former(context)
    rows = history_lookups.authors_below(context.connection, context.snapshot, folder)
    said, evidence = history_answers.best_known(folder, rows)
    for file, content in context.texts(history_answers.CODEOWNERS).items():
        # Those of a folder are those of its files.
        named: Counter[tuple[int, str]] = Counter()
        for path in paths[:MAX_FILES]:
            line, owners = history_answers.owners_in(content, path)
            if line:
                named[line, ", ".join(owners) or "nobody"] += 1
        if named:
            files = len(paths[:MAX_FILES])
            items = [
                f"{who} for {number} of {count(files, 'file')}" for (_, who), number in named.most_common()
            ]
            words = f"{file} names {listed(items)}"
            return f"{said}; {words}", [
                *evidence,
                *(context.at(file, line, who) for line, who in list(named)[:MAX_ROWS]),
            ]
    return said, evidence


def _history(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder = context.subject
    history_answers.say_boundary(context)
    _say_former(context)
    rows = history_lookups.changes_below(context.connection, context.snapshot, folder)
    commits = history_answers.file_commits(context, rows, folder)
    last, path = commits[0]
    said = (
        f"{count(rows[0].total, 'commit')} changed files of {folder}, the last one on {last.date} by {last.author}: "
        f"{last.subject} ({last.oid[:10]}), {path}"
    )
    return said, [of_commit(row, then) for row, then in commits]


def _introduced(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder = context.subject
    rows = history_lookups.changes_below(context.connection, context.snapshot, folder, oldest=True)
    first, path = history_answers.file_commits(context, rows[:1], folder)[0]
    if first.oid in git_facts.boundary(context.objects()):
        raise UnansweredError(
            f"the clone is shallow: its history begins with {first.oid[:10]}, which has {folder} already"
        )
    said = f"{folder} was introduced on {first.date} by {first.author}: {first.subject} ({first.oid[:10]}), with {path}"
    if rows[0].previous_path:
        said += f", renamed from {rows[0].previous_path}"
    said += history_answers.release_of(context, first.oid, path, "first released in", "in no release yet")
    return said, [of_commit(first, path)]


def _coupled(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder = context.subject
    rows = places.coupled_with_folder(context.connection, context.snapshot.id, folder, MAX_ROWS)
    if not rows:
        first = _files(context, folder)[0]
        return f"no file outside of {folder} often changes with one of it", [context.at(first, 1, first)]
    items = [
        f"{row['path']} (with {row['own']}, in {row['common_commits']} common commits, degree {row['degree']})"
        for row in rows
    ]
    return f"with files of {folder} change {listed(items)}", [
        context.at(row["path"], 1, f"{row['common_commits']} commits together with {row['own']}")
        for row in rows
    ]


def _hotspot(context: QuestionContext) -> tuple[str, list[Evidence]]:
    folder, snapshot = context.subject, context.snapshot
    spots = [
        row
        for row in metrics.hotspots(context.connection, snapshot.repository_id, 1_000)
        if is_in(row["path"], folder)
    ]
    worst = metrics.worst_functions(context.connection, snapshot.id, 3, folder)
    functions = context.at_names([row for row in worst if row["cognitive"]])
    parts, evidence = [], []
    if spots:
        items = [f"{row['path']}, hotspot {row['rank']}: {row['reason']}" for row in spots[:3]]
        parts.append(f"{count(len(spots), 'hotspot')} in {folder}: {listed(items, len(spots))}")
        evidence += [context.at(row["path"], 1, row["reason"]) for row in spots[:3]]
    if functions:
        items = [f"{r['function']} ({r['path']}:{r['line']}, cognitive {r['cognitive']})" for r in functions]
        parts.append(f"the most complex functions of {folder}: {listed(items)}")
        evidence += [
            context.at(r["path"], r["line"], f"{r['function']}: cognitive {r['cognitive']}")
            for r in functions
        ]
    if not parts:
        raise UnansweredError(f"{folder} has no hotspot, and no function that decides anything")
    return "; ".join(parts), evidence


def _rules(context: QuestionContext) -> tuple[str, list[Evidence]]:
    # The rules bring parsers, whose import takes longer than other answers.
    from qflow_dagster.evolution import findings

    folder = context.subject
    rows = findings.find(context.connection, context.snapshot.repository_id, path=folder, limit=1_000)
    if not rows:
        first = _files(context, folder)[0]
        return f"no rule has findings in {folder}", [context.at(first, 1, first)]
    by_rule, by_file = (Counter(row[column] for row in rows).most_common() for column in ("rule", "path"))
    least = "at least " if len(rows) == 1_000 else ""
    said = f"{least}{count(len(rows), 'finding')} in {folder}: {listed([f'{rule} ({n})' for rule, n in by_rule])}"
    said += f"; most in {listed([f'{posixpath.relpath(path, folder)} ({n})' for path, n in by_file[:3]])}"
    return said, [
        context.at(row["path"], row["line"] or 1, f"{row['rule']}: {row['message']}")
        for row in rows[:MAX_ROWS]
    ]


def _removed(context: QuestionContext) -> tuple[str, list[Evidence]]:
    paths = _files(context, context.subject)
    said = f"{context.subject} was not removed: it exists at this commit, with {count(len(paths), 'file')}"
    return said, [context.at(paths[0], 1, paths[0])]


KINDS: dict[str, Callable[[QuestionContext], tuple[str, list[Evidence]]]] = {
    "defined": _defined,
    "members": _defined,
    "purpose": orientation_answers.purpose,
    "describe": orientation_answers.purpose,
    "used": _dependents,
    "dependents": _dependents,
    "dependencies": _dependencies,
    "affected": _affected,
    "tests": _tests,
    "owner": _owner,
    "active": revision_answers.active,
    "history": _history,
    "introduced": _introduced,
    "removed": _removed,
    "coupled": _coupled,
    "hotspot": _hotspot,
    "rules": _rules,
    "dead": dead_code.dead,
}
# What to ask instead of what is not known of folders.
_INSTEAD = {
    "calls": "what its files import",
    "subclasses": "what imports its files",
    "bases": "what its files import",
    "raised": "what its files import",
    "raises": "what is in it",
    "similar": "what changes together with it",
}
# A variable may have the name, too.
_OF_NAMES = frozenset(["defined", "used", "describe", "removed"])
SUBJECTS = frozenset([*KINDS, *_INSTEAD])
