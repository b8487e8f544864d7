"""Answers with totals and rankings, of the repository, or of a file or folder that the question names.

Belongs here: what is counted and ranked by the words of the question. Does not belong here: other questions on the
repository as a whole (`project_answers`), SQL (`metrics.places`, `ingestion.queries`).
"""

from typing import Any

from qflow_dagster.ingestion import queries
from qflow_dagster.knowledge import history_lookups, lookups, revision_answers
from qflow_dagster.knowledge.evidence import (
    MAX_ROWS,
    Evidence,
    QuestionContext,
    UnansweredError,
    count,
    is_in,
    listed,
)
from qflow_dagster.metrics import places
from qflow_dagster.metrics import queries as metrics

# Of these, the first that a question has, the functions with most lines are meant; else the most complex ones.
_LONG = ("long", "large", "big")


def overview(context: QuestionContext) -> tuple[str, list[Evidence]]:
    """Give totals and rankings: hotspots, largest and most complex, languages, people, commits."""
    subject, place = context.subject.lower(), _place(context)
    if context.window:
        return revision_answers.active(context._replace(subject=place))
    if "hotspot" in subject:
        return _hotspots(context, place)
    if "function" in subject and any(word in subject for word in _LONG):
        return _longest(context, place)
    if "complex" in subject and "file" in subject:
        return _files(context, place, "cognitive", "of highest cognitive complexity")
    if "complex" in subject or ("function" in subject and subject != "functions"):
        return _most_complex(context, place)
    if "imported" in subject:
        rows = queries.most_imported(context.connection, context.snapshot, path=place)
        items = [f"{row['path']} (by {count(row['imported_by'], 'file')})" for row in rows]
        return _ranking(context, place, "most imported", rows, items)
    if "changed" in subject:
        return _files(context, place, "commits", "with most commits")
    if "file" in subject and subject != "files":
        return _files(context, place, "lines", "with most lines")
    return _totals(context, place, subject)


def _place(context: QuestionContext) -> str:
    """Return the file or folder that the question is about; '' for all of the repository.

    Raises:
        UnansweredError: There is none of that name.
    """
    if not context.other:
        return ""
    asked = context._replace(subject=context.other)
    if place := _folder_of_namespace(context):
        return place
    if place := asked.folder() or asked.file():
        return place
    if symbols := lookups.symbols(context.connection, context.snapshot, context.other):
        context.limit(f"this is of all of {symbols[0].path}, where {symbols[0].name} is defined")
        return symbols[0].path
    raise UnansweredError(
        f"no file or folder of {context.snapshot.repository} has the name {context.other!r}"
    )


def _folder_of_namespace(context: QuestionContext) -> str | None:
    """Return the folder of exactly a name, though a namespace has it, too; None if there is none."""
    name = context.other.strip("/").removeprefix("./")
    found = lookups.folders(context.connection, context.snapshot, name) if name else []
    if name in found:
        return name
    symbols = [
        symbol
        for symbol in lookups.symbols(context.connection, context.snapshot, name)
        if lookups.short_name(symbol.name) == lookups.short_name(name)
    ]
    if not found or any(symbol.kind not in ("namespace", "module", "package") for symbol in symbols):
        return None
    if found[1:]:
        context.limit(f"this is of {found[0]}; other folders have that name, too: {listed(found[1:])}")
    return found[0]


def _ranking(
    context: QuestionContext, place: str, what: str, rows: list[dict[str, Any]], items: list[str]
) -> tuple[str, list[Evidence]]:
    """Return a sentence that lists rows (with a path, and a line if they are of functions), and their evidence.

    Raises:
        UnansweredError: There are none.
    """
    where = f" in {place}" if place else ""
    if not rows:
        raise UnansweredError(f"nothing{where} is {what}")
    return f"{what}{where}: {listed(items)}", [
        context.at(row["path"], row.get("line") or 1, item)
        for row, item in zip(rows[:MAX_ROWS], items, strict=False)
    ]


def _hotspots(context: QuestionContext, place: str) -> tuple[str, list[Evidence]]:
    rows = [
        row
        for row in metrics.hotspots(context.connection, context.snapshot.repository_id, 1_000)
        if is_in(row["path"], place)
    ]
    if not rows:
        raise UnansweredError(f"no file of {place or context.snapshot.repository} is a hotspot")
    shown = rows[:MAX_ROWS]
    where = f" in {place}" if place else ""
    return f"the hotspots{where} are {listed([row['path'] for row in shown], len(rows))}", [
        context.at(row["path"], 1, row["reason"]) for row in shown
    ]


def _most_complex(context: QuestionContext, place: str) -> tuple[str, list[Evidence]]:
    rows = context.at_names(metrics.worst_functions(context.connection, context.snapshot.id, MAX_ROWS, place))
    items = [f"{row['function']} ({row['path']}:{row['line']}, cognitive {row['cognitive']})" for row in rows]
    return _ranking(context, place, "the most complex functions", rows, items)


def _longest(context: QuestionContext, place: str) -> tuple[str, list[Evidence]]:
    parts, evidence = [], []
    for test, what in ((False, "the longest functions"), (True, "those of tests")):
        rows = context.at_names(
            places.longest_functions(
                context.connection, context.snapshot.id, 3 if test else MAX_ROWS, place, test=test
            )
        )
        if rows:
            items = [f"{r['function']} ({r['path']}:{r['line']}, {count(r['lines'], 'line')})" for r in rows]
            said, found = _ranking(context, place, what, rows, items)
            parts.append(said)
            evidence += found
    if not parts:
        raise UnansweredError(f"there is no function in {place or context.snapshot.repository}")
    return "; ".join(parts), evidence


def _files(context: QuestionContext, place: str, by: str, what: str) -> tuple[str, list[Evidence]]:
    """Rank files, those of code first."""
    rows = places.first_files(context.connection, context.snapshot.id, by, 10 * MAX_ROWS, place)
    code = lookups.code_paths(context.connection, context.snapshot, [row["path"] for row in rows])
    own = [row for row in rows if row["path"] in code]
    others = [row for row in rows if row["path"] not in code]
    parts, evidence = [], []
    for name, group, number in (("the files of code", own, MAX_ROWS), ("other files", others, 3)):
        if group := group[:number]:
            items = [f"{row['path']} ({row['number']:,})" for row in group]
            said, found = _ranking(context, place, f"{name} {what}", group, items)
            parts.append(said)
            evidence += found
    if not parts:
        raise UnansweredError(f"no file of {place or context.snapshot.repository} was measured so")
    return "; ".join(parts), evidence


def _totals(context: QuestionContext, place: str, subject: str) -> tuple[str, list[Evidence]]:
    connection, snapshot = context.connection, context.snapshot
    where, path = (f" in {place}", place) if place else ("", None)
    evidence = [Evidence(snapshot.commit_oid, path, None, f"snapshot of {snapshot.revision}")]
    if "language" in subject:
        rows = queries.languages(connection, snapshot, place)
        items = [f"{row['language']} ({row['code']:,} lines of code)" for row in rows]
        return f"languages{where}: {listed(items)}", evidence
    if subject in ("functions", "symbols"):
        rows = queries.symbol_kinds(connection, snapshot, place)
        return listed([f"{row['symbols']:,} of kind {row['kind']}" for row in rows]) + where, evidence
    if subject in ("commits", "authors", "contributors", "maintainers", "wrote most"):
        return _history(context, place, subject), evidence
    files, lines = (
        queries.totals(connection, snapshot, place) if place else (snapshot.file_count, snapshot.lines)
    )
    return f"{count(files, 'file')} with {lines:,} lines{where}", evidence


def _history(context: QuestionContext, place: str, subject: str) -> str:
    connection, snapshot = context.connection, context.snapshot
    if place:
        is_folder = lookups.folder(connection, snapshot, place) == place
        authors = history_lookups.authors_below if is_folder else history_lookups.authors
        rows = authors(connection, snapshot, place)
        if not rows:
            raise UnansweredError(f"the history of {place} was not ingested")
        items = [f"{row.author_name} ({count(row.commits, 'commit')})" for row in rows]
        return f"{count(int(rows[0].total), 'commit')} changed {place}; most commits: {listed(items)}"
    summary = queries.commit_summary(connection, snapshot.repository_id)
    if subject == "commits":
        return (
            f"{summary['commits']:,} commits from {summary['first']:%Y-%m-%d} to {summary['last']:%Y-%m-%d}"
        )
    rows = queries.top_authors(connection, snapshot.repository_id)
    items = [f"{row['author']} ({row['commits']:,} commits)" for row in rows]
    return f"{summary['authors']:,} authors; most commits: {listed(items)}"
