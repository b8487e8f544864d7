"""Answers to questions about an ingested repository, from facts, each with its evidence.

Belongs here: one function per kind of question. Does not belong here: understanding questions
(`questions`), what answers are made of (`evidence`), SQL (`lookups`, `index`), requests and their states (`requests`).
"""

from collections.abc import Callable

from sqlalchemy import Connection

from qflow_dagster.evolution import findings
from qflow_dagster.ingestion import queries
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import index, lookups
from qflow_dagster.knowledge.evidence import MAX_ROWS, Answer, Asked, Evidence, UnansweredError, count, listed
from qflow_dagster.knowledge.questions import Understood, understand
from qflow_dagster.metrics import queries as metrics


def answer(connection: Connection, snapshot: Snapshot, question: str) -> Answer:
    """Answer a question about the repository's current snapshot.

    Raises:
        UnansweredError: nothing that was ingested answers it.
    """
    understood = understand(question)
    asked = Asked(connection, snapshot, understood.subject)
    try:
        words, evidence = KINDS[understood.kind](asked)
    except UnansweredError:
        # A name nobody knows may still be written somewhere.
        understood = Understood("search", question)
        words, evidence = _search(asked._replace(subject=question))
    return Answer(understood, words, evidence)


def _defined(asked: Asked) -> tuple[str, list[Evidence]]:
    found = lookups.symbols(asked.connection, asked.snapshot, asked.subject)
    if not found:
        paths = lookups.files(asked.connection, asked.snapshot, asked.subject)
        if not paths:
            raise UnansweredError(f"nothing is called {asked.subject!r}")
        return f"the file {listed(paths)}", [asked.at(path, 1, path) for path in paths[:MAX_ROWS]]
    best = found[0]
    words = f"the {best.kind} {best.name} is defined in {best.path}, line {best.line}"
    others = [f"{one.path}:{one.line}" for one in found[1:]]
    if others:
        words += f"; also {listed(others)}"
    return words, [asked.at(one.path, one.line, one.signature or one.name) for one in found[:MAX_ROWS]]


def _used(asked: Asked) -> tuple[str, list[Evidence]]:
    connection, snapshot, subject = asked
    total, calls = lookups.calls_of(connection, snapshot, subject)
    imports = lookups.imports_of(connection, snapshot, subject)
    paths = lookups.files(connection, snapshot, subject) if not calls and not imports else []
    if paths:
        return _dependents(asked)
    if not calls and not imports:
        place = asked.place()
        return f"{place.name} ({place.path}:{place.line}) is not called by name anywhere", [
            asked.at(place.path, place.line, place.signature or place.name)
        ]
    parts = []
    if calls:
        callers = listed([f"{c.caller} ({c.path}:{c.line})" for c in calls], total)
        parts.append(f"called in {count(total, 'symbol')}: {callers}")
    if imports:
        parts.append("imported by " + listed([f"{i.path}:{i.line}" for i in imports]))
    evidence = [asked.at(c.path, c.line, f"{c.caller} calls {subject}") for c in calls]
    evidence += [asked.at(i.path, i.line, f"imports {subject} from {i.module}") for i in imports[:MAX_ROWS]]
    return f"{subject} is " + "; ".join(parts), evidence


def _dependents(asked: Asked) -> tuple[str, list[Evidence]]:
    if not lookups.files(asked.connection, asked.snapshot, asked.subject):
        total, _ = lookups.calls_of(asked.connection, asked.snapshot, asked.subject)
        if total:
            return _used(asked)
    path = asked.path()
    found = lookups.dependents(asked.connection, asked.snapshot, path)
    if not found:
        return f"no file of the repository imports {path}", [asked.at(path, 1, path)]
    words = f"{count(found[0].total, 'file')} import {path}: " + listed(
        [row.path for row in found], found[0].total
    )
    return words, [asked.at(row.path, row.line, f"imports {path}") for row in found]


def _dependencies(asked: Asked) -> tuple[str, list[Evidence]]:
    path = asked.path()
    found = lookups.dependencies(asked.connection, asked.snapshot, path)
    own = [row.target_path for row in found if row.target_path]
    other = [row.module for row in found if not row.target_path]
    if not found:
        return f"{path} imports nothing", [asked.at(path, 1, path)]
    words = f"{path} imports {count(len(own), 'file')} of the repository" + (
        f": {listed(own)}" if own else ""
    )
    words += f"; and from outside {listed(other)}" if other else ""
    return words, [asked.at(path, row.line, f"imports {row.target_path or row.module}") for row in found]


def _calls(asked: Asked) -> tuple[str, list[Evidence]]:
    place = asked.place()
    found = lookups.called_by(asked.connection, asked.snapshot, place)
    names = listed([name for name, _ in found])
    words = (
        f"{place.name} ({place.path}:{place.line}) calls {names}"
        if found
        else f"{place.name} calls nothing by name"
    )
    evidence = [asked.at(place.path, place.line, place.signature)]
    return words, [
        *evidence,
        *(asked.at(place.path, line, f"calls {name}") for name, line in found[:MAX_ROWS]),
    ]


def _owner(asked: Asked) -> tuple[str, list[Evidence]]:
    path = asked.path()
    found = lookups.authors(asked.connection, asked.snapshot, path)
    if not found:
        raise UnansweredError(f"the history of {path} is not known")
    commits = sum(row.commits for row in found)
    told = [f"{row.author_name} ({row.commits} commits, last {row.last:%Y-%m-%d})" for row in found]
    words = f"{path} is best known to {told[0]}, with {found[0].commits / commits:.0%} of its commits"
    words += f"; then {listed(told[1:4])}" if told[1:] else "; nobody else changed it"
    return words, [
        Evidence(row.oid, path, None, f"{row.author_name}: {row.commits} commits") for row in found
    ]


def _coupled(asked: Asked) -> tuple[str, list[Evidence]]:
    path = asked.path()
    rows = metrics.file_metrics(asked.connection, asked.snapshot.repository_id, path)["coupled_files"]
    if not rows:
        return f"no file often changes with {path}", [asked.at(path, 1, path)]
    told = [
        f"{row['path']} (in {row['common_commits']} common commits, degree {row['degree']})" for row in rows
    ]
    words = f"with {path} change {listed(told)}"
    return words, [
        asked.at(row["path"], 1, f"{row['common_commits']} commits together") for row in rows[:MAX_ROWS]
    ]


def _hotspot(asked: Asked) -> tuple[str, list[Evidence]]:
    if not lookups.files(asked.connection, asked.snapshot, asked.subject):
        place = asked.place()
        measured = metrics.metrics_of(
            asked.connection, asked.snapshot.repository_id, f"{place.path}:{place.name}"
        )
        shown = {
            name: measured[name]
            for name in ("cognitive", "cyclomatic", "nesting", "code_lines", "parameters")
        }
        words = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in shown.items())
        return f"{place.name} ({place.path}:{place.line}): {words}", [asked.at(place.path, place.line, words)]
    path = asked.path()
    measured = metrics.file_metrics(asked.connection, asked.snapshot.repository_id, path)
    spot, size, changes = (measured.get(name) for name in ("hotspot", "size", "changes"))
    worst = [row for row in measured["functions"] if row["cognitive"]][:3]
    parts = []
    if spot:
        parts.append(f"{path} is hotspot {spot['rank']}: {spot['reason']}")
    elif size:
        parts.append(
            f"{path} is no hotspot: {size['code_lines']:,} lines of code, cognitive complexity {size['cognitive']}"
        )
    if changes:
        parts.append(
            f"{changes['commits']:,} commits by {changes['authors']:,} authors, "
            f"{changes['bug_fixes']:,} of them bug fixes"
        )
    if worst:
        told = [f"{row['function']} (cognitive {row['cognitive']}, line {row['line']})" for row in worst]
        parts.append(f"its most complex: {listed(told)}")
    if not parts:
        raise UnansweredError(f"{path} was not measured")
    evidence = [
        asked.at(path, row["line"], f"{row['function']}: cognitive {row['cognitive']}") for row in worst
    ]
    return "; ".join(parts), [asked.at(path, 1, parts[0]), *evidence]


def _rules(asked: Asked) -> tuple[str, list[Evidence]]:
    path = asked.path()
    rows = [
        row
        for row in findings.find(asked.connection, asked.snapshot.repository_id, path=path, limit=1_000)
        if row["path"] == path
    ]
    if not rows:
        return f"no rule finds anything in {path}", [asked.at(path, 1, path)]
    by_rule: dict[str, int] = {}
    for row in rows:
        by_rule[row["rule"]] = by_rule.get(row["rule"], 0) + 1
    told = [f"{rule} ({number})" for rule, number in sorted(by_rule.items(), key=lambda one: -one[1])]
    words = f"{count(len(rows), 'finding')} in {path}: {listed(told)}"
    return words, [
        asked.at(path, row["line"] or 1, f"{row['rule']}: {row['message']}") for row in rows[:MAX_ROWS]
    ]


def _similar(asked: Asked) -> tuple[str, list[Evidence]]:
    path = asked.path()
    found = lookups.similar(asked.connection, asked.snapshot, path)
    if not found:
        return f"no file shares copied code with {path}", [asked.at(path, 1, path)]
    told = [f"{row.path} ({row.tokens:,} tokens)" for row in found]
    words = f"{path} shares code with {listed(told)}"
    return words, [asked.at(row.path, row.line, f"as {path}:{row.own_line}") for row in found[:MAX_ROWS]]


def _tests(asked: Asked) -> tuple[str, list[Evidence]]:
    _, calls = lookups.calls_of(asked.connection, asked.snapshot, asked.subject)
    tests = [row for row in calls if row.test]
    if tests:
        words = f"{asked.subject} is called by the tests " + listed(
            [f"{c.caller} ({c.path}:{c.line})" for c in tests]
        )
        return words, [asked.at(c.path, c.line, c.caller) for c in tests]
    path = asked.path()
    found = [
        row
        for row in lookups.dependents(asked.connection, asked.snapshot, path)
        if lookups.is_test(asked.connection, asked.snapshot, row.path)
    ]
    if not found:
        return f"no test names {asked.subject}", [asked.at(path, 1, path)]
    return f"{path} is imported by the tests {listed([row.path for row in found])}", [
        asked.at(row.path, row.line, f"imports {path}") for row in found
    ]


def _members(asked: Asked) -> tuple[str, list[Evidence]]:
    paths = lookups.files(asked.connection, asked.snapshot, asked.subject)
    if paths:
        name, found = paths[0], lookups.within(asked.connection, asked.snapshot, paths[0])
    else:
        place = asked.place()
        name, found = place.name, lookups.members(asked.connection, asked.snapshot, place)
    if not found:
        raise UnansweredError(f"{name} has no members")
    told = [f"{one.name.removeprefix(name + '.')} (line {one.line})" for one in found]
    words = f"{name} has {count(len(found), 'member')}: " + ", ".join(told)
    return words, [asked.at(one.path, one.line, one.signature or one.name) for one in found]


def _history(asked: Asked) -> tuple[str, list[Evidence]]:
    path = asked.path()
    found = lookups.changes(asked.connection, asked.snapshot, path)
    if not found:
        raise UnansweredError(f"the history of {path} is not known")
    first = lookups.changes(asked.connection, asked.snapshot, path, oldest=True)[0]
    last = found[0]
    words = (
        f"{path} was last changed on {last.authored_at:%Y-%m-%d} by {last.author_name}: {last.subject} "
        f"({last.oid[:10]}); the first commit known is of {first.authored_at:%Y-%m-%d} by {first.author_name}"
    )
    return words, [
        Evidence(row.oid, path, None, f"{row.authored_at:%Y-%m-%d} {row.author_name}: {row.subject}")
        for row in found
    ]


def _describe(asked: Asked) -> tuple[str, list[Evidence]]:
    found = lookups.symbols(asked.connection, asked.snapshot, asked.subject)
    if not found:
        if lookups.files(asked.connection, asked.snapshot, asked.subject):
            return _members(asked)
        raise UnansweredError(f"nothing is called {asked.subject!r}")
    told = [(one, lookups.documented(asked.connection, one)) for one in found[:5]]
    # Of several, the one that somebody documented.
    place, documented = next((one for one in told if one[1]), told[0])
    words = f"the {place.kind} {place.name} ({place.path}:{place.line}): {place.signature}"
    words += f". {documented[:600]}" if documented else ", not documented"
    calls = lookups.called_by(asked.connection, asked.snapshot, place)
    words += f" It calls {listed([name for name, _ in calls])}." if calls else ""
    return words, [asked.at(place.path, place.line, documented or place.signature)]


def _overview(asked: Asked) -> tuple[str, list[Evidence]]:
    connection, snapshot, subject = asked.connection, asked.snapshot, asked.subject.lower()
    if "hotspot" in subject or "complex file" in subject:
        rows = metrics.hotspots(connection, snapshot.repository_id, MAX_ROWS)
        return "the hotspots are " + listed([row["path"] for row in rows]), [
            asked.at(row["path"], 1, row["reason"]) for row in rows
        ]
    if "complex" in subject or ("function" in subject and subject != "functions"):
        rows = metrics.worst_functions(connection, snapshot.id, MAX_ROWS)
        told = [
            f"{row['function']} ({row['path']}:{row['line']}, cognitive {row['cognitive']})" for row in rows
        ]
        return "the most complex functions are " + listed(told), [
            asked.at(row["path"], row["line"], f"{row['function']}: cognitive {row['cognitive']}")
            for row in rows
        ]
    if "imported" in subject:
        rows = queries.most_imported(connection, snapshot)
        return "most imported are " + listed(
            [f"{row['path']} (by {row['imported_by']} files)" for row in rows]
        ), [asked.at(row["path"], 1, f"imported by {row['imported_by']} files") for row in rows]
    if "file" in subject and subject != "files":
        changed = "changed" in subject
        table, column = ("change_metrics", "commits") if changed else ("file_metrics", "lines")
        rows = metrics.top(connection, snapshot.id, table, f"path, {column} AS value", f"{column} DESC, path")
        told = [f"{row['path']} ({row['value']:,} {column})" for row in rows]
        return f"the files with most {column} are " + listed(told), [
            asked.at(row["path"], 1, f"{row['value']:,} {column}") for row in rows
        ]
    whole = [Evidence(snapshot.commit_oid, None, None, f"snapshot of {snapshot.revision}")]
    if "language" in subject:
        rows = queries.languages(connection, snapshot)
        return "languages: " + listed(
            [f"{row['language']} ({row['code']:,} lines of code)" for row in rows]
        ), whole
    summary = queries.commit_summary(connection, snapshot.repository_id)
    if subject in ("commits",):
        return (
            f"{summary['commits']:,} commits from {summary['first']:%Y-%m-%d} to {summary['last']:%Y-%m-%d}",
            whole,
        )
    if subject in ("authors", "contributors", "maintainers"):
        rows = queries.top_authors(connection, snapshot.repository_id)
        told = [f"{row['author']} ({row['commits']:,} commits)" for row in rows]
        return f"{summary['authors']:,} authors; most commits: {listed(told)}", whole
    if subject in ("functions", "symbols"):
        rows = queries.symbol_kinds(connection, snapshot)
        return listed([f"{row['symbols']:,} of kind {row['kind']}" for row in rows]), whole
    return f"{snapshot.file_count:,} files with {snapshot.lines:,} lines", whole


def _search(asked: Asked) -> tuple[str, list[Evidence]]:
    hits = index.search(asked.connection, asked.snapshot, asked.subject, limit=MAX_ROWS)
    commits = index.search_commits(asked.connection, asked.snapshot, asked.subject)
    if not hits and not commits:
        raise UnansweredError(f"nothing of {asked.snapshot.repository} has these words: {asked.subject}")
    told = [f"{hit.name or hit.path} ({hit.path}:{hit.line})" for hit in hits]
    words = f"said most of in {listed(told[:5])}" if told else "said in no file"
    if hits and hits[0].words:
        words += f". {hits[0].words[:400]}"
    if commits:
        words += f" Commits: {listed([f'{row.oid[:10]} {row.subject}' for row in commits[:3]])}"
    evidence = [asked.at(hit.path, hit.line, hit.words or hit.name) for hit in hits]
    return words, [*evidence, *(Evidence(row.oid, None, None, row.subject) for row in commits)]


KINDS: dict[str, Callable[[Asked], tuple[str, list[Evidence]]]] = {
    "defined": _defined,
    "used": _used,
    "dependents": _dependents,
    "dependencies": _dependencies,
    "calls": _calls,
    "owner": _owner,
    "coupled": _coupled,
    "hotspot": _hotspot,
    "rules": _rules,
    "similar": _similar,
    "tests": _tests,
    "members": _members,
    "history": _history,
    "describe": _describe,
    "overview": _overview,
    "search": _search,
}
