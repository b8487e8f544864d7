"""The pages of a repository's code: folders, a file with its measures and its text at the commit, a function."""

from typing import Any

from markupsafe import Markup
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import findings
from qflow_dagster.ingestion import queries, repositories, trees
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import callers, graph, lookups
from qflow_dagster.metrics import queries as metrics
from qflow_dagster.safety.display import visible, visible_line
from qflow_dagster.web.pages import (
    Code,
    Link,
    Section,
    Status,
    address,
    next_rows,
    offset,
    repository_link,
    view,
)
from qflow_dagster.web.syntax import highlight, render

MAX_FILES = 100
MAX_CALLS = 100
# A page stays under 100 kB.
MAX_FUNCTIONS, MAX_FINDINGS, MAX_TEXT = 30, 25, 40_000
# How the metrics call code outside of functions.
TOP_LEVEL = "(top level)"
# Lines of a text that are shown at a time; the rest is a link away.
MAX_LINES = 250
MAX_COLUMNS = 500


def files(request: Request, connection: Connection) -> Response:
    """Return the files below a folder with their measures, most complex first."""
    snapshot = queries.current_snapshot(connection, request.path_params["name"])
    return _folder(request, connection, snapshot, "")


def file(request: Request, connection: Connection) -> Response:
    """Return a file: measures, functions, findings, coupling, dependencies, text; or the files below a folder."""
    snapshot = queries.current_snapshot(connection, request.path_params["name"])
    path: str = request.path_params["path"]
    oid = lookups.object_ids(connection, snapshot, [path]).get(path)
    if oid is None:
        return _folder(request, connection, snapshot, path)
    if function := _function_of(request, connection, snapshot, path):
        return _function(request, connection, snapshot, path, oid, function)
    measured = metrics.file_metrics(connection, snapshot.repository_id, path)
    found = findings.find(connection, snapshot.repository_id, path=path, limit=MAX_FINDINGS + 1)
    name = snapshot.repository
    functions, first = measured["functions"], offset(request)
    last = first + MAX_FUNCTIONS
    sections = [
        _facts("Size and complexity", measured.get("size", {}), half=True),
        _facts("Changes", measured.get("changes", {}), half=True),
        _facts("Hotspot", measured.get("hotspot", {}), half=True),
        Section(
            title="Findings",
            rows=finding_rows(name, found[:MAX_FINDINGS], with_path=False),
            empty="No finding is open in this file.",
            link=Link("All findings of the file", address("repositories", name, "findings", path=path))
            if len(found) > MAX_FINDINGS
            else None,
        ),
        Section(
            title="Functions",
            note=f"{first + 1} to {min(last, len(functions))} of {len(functions)}, the most complex first."
            if len(functions) > MAX_FUNCTIONS
            else "",
            rows=[
                {
                    **row,
                    "function": Link(
                        row["function"], function_address(name, path, row["function"], row["line"])
                    ),
                }
                for row in functions[first:last]
            ],
            empty="It has no functions that are measured.",
            link=next_rows(request, "Less complex functions", last) if len(functions) > last else None,
        ),
        Section(
            title="Changed together with",
            half=True,
            rows=[{**row, "path": file_link(name, row["path"])} for row in measured["coupled_files"]],
            empty="No other file changes regularly with it.",
        ),
        Section(
            title="Imported by",
            half=True,
            rows=[
                {"file": file_link(name, row.path, row.line), "line": row.line}
                for row in graph.dependents(connection, snapshot, path)
            ],
            empty="No file of the repository imports it.",
        ),
        Section(
            title="Copies", rows=measured["clones"], empty="No part of it is copied from or to elsewhere."
        ),
        _text(request, connection, snapshot, path, oid),
    ]
    shown = [part for part in sections if part.facts or part.rows or part.empty or part.body or part.note]
    return view(request, path, shown, path=_above(snapshot, path), lead=_at(snapshot))


def file_link(repository: str, path: str, line: int | None = None) -> Link:
    """Return the link to a file, or to a line of it."""
    return Link(path, line_address(repository, path, line))


def line_address(repository: str, path: str, line: int | None = None) -> str:
    """Return the address of a file's page, or of a line of it."""
    here = address("repositories", repository, "files", path)
    if line is None:
        return here
    first = (line - 1) // MAX_LINES * MAX_LINES + 1
    return f"{here}?from={first}#L{line}" if first > 1 else f"{here}#L{line}"


def function_address(repository: str, path: str, function: str, line: int | None = None) -> str:
    """Return the address of a function's page; its first line tells it from others of its name."""
    return address("repositories", repository, "files", path, function=function, line=line)


def function_link(repository: str, path: str, function: str, line: int | None = None) -> Link:
    """Return the link to a function's page; code outside of functions leads to its file."""
    if function in ("", TOP_LEVEL):
        return Link("top level", line_address(repository, path, line))
    return Link(function, function_address(repository, path, function, line))


def finding_rows(
    repository: str, found: list[dict[str, Any]], *, with_path: bool = True
) -> list[dict[str, Any]]:
    """Return the rows of a table of findings."""
    return [
        {
            "severity": Status(row["severity"]),
            "rule": Link(row["rule"], address("rules", row["rule"])),
            **({"file": file_link(repository, row["path"])} if with_path else {}),
            "line": Link(str(row["line"]), line_address(repository, row["path"], row["line"])),
            "finding": Link(row["message"], address("repositories", repository, "findings", row["id"])),
            "fixable": row["fixable"],
            "found": row["found_at"],
        }
        for row in found
    ]


def _function_of(
    request: Request, connection: Connection, snapshot: Snapshot, path: str
) -> dict[str, Any] | None:
    """Return the function that the address names, of several of that name (a setter) the one in its line."""
    function, line = request.query_params.get("function"), request.query_params.get("line")
    if not function:
        return None
    named = metrics.matching_functions(connection, snapshot.repository_id, f"{path}:{function}")
    return next((row for row in named if str(row["line"]) == line), named[0] if named else None)


def _function(
    request: Request,
    connection: Connection,
    snapshot: Snapshot,
    path: str,
    oid: str,
    measured: dict[str, Any],
) -> Response:
    name = snapshot.repository
    first, last = measured["line"], measured["end_line"]
    groups = [
        found
        for found in callers.callers(connection, snapshot, measured["name"])
        if found.symbol is not None and (found.symbol.path, found.symbol.line) == (path, first)
    ]
    calls = [(call, "yes") for found in groups for call in found.certain]
    calls += [(call, "perhaps") for found in groups for call in found.possible]
    hidden = ("kind", "name", "path", "calls", "docstring", "end_line")
    sections = [
        _facts("Measures", {key: value for key, value in measured.items() if key not in hidden}, half=True),
        Section(title="Calls", half=True, facts={"names": [Code(call) for call in measured["calls"]]}),
        Section(
            title="Called by",
            note="`perhaps`: the type of what it is called on is not declared.",
            rows=[
                {
                    "caller": Link(call.caller, function_address(name, call.path, call.caller))
                    if call.caller
                    else "top level",
                    "certain": certain,
                    "file": file_link(name, call.path, call.line),
                    "line": call.line,
                    "test": call.test,
                }
                for call, certain in calls[:MAX_CALLS]
            ],
            empty="Nothing in the repository calls it.",
        ),
        Section(
            title="Text",
            body=_highlighted(_read(connection, snapshot, path, oid), path, first, last)[0],
            link=Link("In the whole file", line_address(name, path, first)),
        ),
    ]
    above = [*_above(snapshot, path), file_link(name, path)]
    return view(request, measured["name"], sections, path=above, lead=_at(snapshot))


def _folder(request: Request, connection: Connection, snapshot: Snapshot, folder: str) -> Response:
    name = snapshot.repository
    # What the numbers of the repository count.
    lists = {
        "cycles": ("Files that import each other in a circle", metrics.files_in_cycles),
        "copies": ("Files with copied lines, most first", metrics.duplicated_files),
    }
    if not folder and (only := lists.get(request.query_params.get("only", ""))):
        title, read = only
        found = read(connection, snapshot.id, MAX_FILES)
        section = Section(
            title=title,
            rows=[{**row, "path": file_link(name, row["path"])} for row in found],
            note=f"The first {MAX_FILES} are shown." if len(found) == MAX_FILES else "",
            empty="There is none.",
        )
        return view(request, title, [section], path=_above(snapshot, "x"), lead=_at(snapshot))
    rows = metrics.files_below(connection, snapshot.id, folder, MAX_FILES)
    if not rows and folder:
        raise QflowError(f"the current snapshot of {name} has no file {folder}")
    table = [{**row, "path": file_link(name, row["path"])} for row in rows]
    note = f"The {MAX_FILES} most complex are shown." if len(rows) == MAX_FILES else ""
    section = Section(
        title="Files, most complex first", rows=table, note=note, empty="No file is measured yet."
    )
    return view(request, folder or "Files", [section], path=_above(snapshot, folder), lead=_at(snapshot))


def _text(request: Request, connection: Connection, snapshot: Snapshot, path: str, oid: str) -> Section:
    """Return a part of the file's text, beginning with the line that the address names."""
    wanted = request.query_params.get("from", "1")
    first = max(int(wanted), 1) if wanted.isascii() and wanted.isdecimal() and len(wanted) < 9 else 1
    data = _read(connection, snapshot, path, oid)
    if data is None:
        return Section(title="Text", empty="It is not text, or larger than 1 MB: it is not shown.")
    body, last, number = _highlighted(data, path, first, first + MAX_LINES - 1)
    note = "" if first == 1 and last == number else f"Lines {first:,} to {last:,} of {number:,}."
    here = address("repositories", snapshot.repository, "files", path)
    link = Link("Next lines", f"{here}?from={last + 1}#text") if last < number else None
    if first > number:
        note, link = f"It has {number:,} lines.", Link("From the first line", f"{here}#text")
    return Section(title="Text", note=note, body=body, link=link)


def _read(connection: Connection, snapshot: Snapshot, path: str, oid: str) -> str | None:
    repository = repositories.find_by_id(connection, snapshot.repository_id)
    data = trees.read_texts(repository.objects, [(path, oid)]).get(path)
    if data is None or b"\0" in data[:8_000]:
        return None
    return data.decode("utf-8", "replace")


def _highlighted(data: str | None, path: str, first: int, last: int) -> tuple[Markup, int, int]:
    """Return lines of a text as a table with their numbers, the number of the last one, and of all lines.

    Long lines end the table early, so that the page stays small.
    """
    if data is None:
        return Markup("<p class='empty'>It is not text, or larger than 1 MB: it is not shown.</p>"), 0, 0
    rows = visible(data.replace("\r\n", "\n")).removesuffix("\n").split("\n")
    # What is far into a file is read from there: strings of several lines may be coloured wrongly.
    start = 0 if last <= 4 * MAX_LINES else first - 1
    shown = [line if len(line) <= MAX_COLUMNS else line[:MAX_COLUMNS] + "…" for line in rows[start:last]]
    stretches = highlight("\n".join(shown), path)
    lines: list[Markup] = []
    size = 0
    for at in range(first - 1 - start, len(shown)):
        row = Markup("<tr id='L{0}'><td class='number'>{0}</td><td><code>{1}</code></td></tr>")
        lines.append(row.format(start + at + 1, render(shown[at], stretches[at])))
        size += len(lines[-1].encode())
        if size > MAX_TEXT:
            break
    table = Markup(
        "<div class='code' tabindex='0' role='region' aria-label='{}'><table><tbody>{}</tbody></table></div>"
    )
    html = table.format(visible_line(path), Markup("\n").join(lines))
    return html, first + len(lines) - 1, len(rows)


def _facts(title: str, values: dict[str, Any], *, half: bool = False) -> Section:
    facts = {
        name: value
        for name, value in values.items()
        if value is not None and name not in ("symbol_id", "clone", "cycle")
    }
    return Section(title=title, facts=facts, half=half)


def _above(snapshot: Snapshot, path: str) -> list[Link]:
    """Return the links to the repository and the folders above a path."""
    name = snapshot.repository
    links = [repository_link(name), Link("files", address("repositories", name, "files"))]
    folders = path.split("/")[:-1]
    return links + [
        file_link(name, "/".join(folders[: n + 1]))._replace(text=part) for n, part in enumerate(folders)
    ]


def _at(snapshot: Snapshot) -> str:
    return f"At commit {snapshot.commit_oid[:10]} ({snapshot.revision}) of {snapshot.committed_at:%Y-%m-%d}."
