"""The pages of a repository's findings: the list with its filters, and one with its evidence and history."""

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.evolution import findings
from qflow_dagster.ingestion import queries
from qflow_dagster.safety.display import visible_json
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Code,
    Link,
    Section,
    Status,
    address,
    choices,
    chosen,
    next_rows,
    offset,
    repository_path,
    view,
)
from qflow_dagster.web.source import finding_rows, function_link, line_address

STATES = ("open", "reopened", "fixed", "suppressed")


def finding_list(request: Request, connection: Connection) -> Response:
    """Return findings, with filters by state, severity and rule."""
    snapshot = queries.current_snapshot(connection, request.path_params["name"])
    state = chosen(request, "state", STATES)
    rules = sorted({row["rule"] for row in findings.counts(connection, snapshot.repository_id)})
    path, first = request.query_params.get("path"), offset(request)
    found = findings.find(
        connection,
        snapshot.repository_id,
        states=[state] if state else findings.OPEN,
        severity=chosen(request, "severity", ("error", "warning", "info")),
        rule=chosen(request, "rule", rules),
        path=path if path and "\0" not in path else None,
        limit=2 * PAGE_ROWS + 1,
        offset=first,
    )
    last = first + 2 * PAGE_ROWS
    section = Section(
        title="Most severe first",
        note=f"In {path}." if path else "",
        rows=finding_rows(snapshot.repository, found[: 2 * PAGE_ROWS]),
        empty="No finding matches the filters.",
    )
    more = next_rows(request, "More findings", last) if len(found) > 2 * PAGE_ROWS else None
    filters = {
        "state": choices(request, "state", STATES),
        "severity": choices(request, "severity", ("error", "warning", "info")),
        "rule": choices(request, "rule", rules),
    }
    return view(
        request, "Findings", [section], path=repository_path(snapshot.repository), filters=filters, more=more
    )


def finding(request: Request, connection: Connection) -> Response:
    """Return one finding: where it is, what it rests on, its rule and its history."""
    row = findings.show(connection, request.path_params["id"])
    name = row["repository"]
    sections = [
        Section(
            title="What it is",
            facts={
                "message": row["message"],
                "rule": Link(row["rule_id"], address("rules", row["rule_id"])),
                "in": Link(f"{row['path']}:{row['line']}", line_address(name, row["path"], row["line"])),
                "function": function_link(name, row["path"], row["symbol"]),
                "severity": Status(row["severity"]),
                "can be fixed by a rule": row["fixable"],
                "suppressed by": row["suppressed_by"],
                "because": row["suppression_reason"],
            },
        ),
        Section(title="Evidence", facts={key: _evidence(value) for key, value in row["evidence"].items()}),
        Section(title="History", rows=row["history"], empty="It was not changed since it was found."),
    ]
    path = [*repository_path(name), Link("Findings", address("repositories", name, "findings"))]
    return view(request, row["message"][:200], sections, path=path, status=row["state"])


def _evidence(value: Any) -> Any:
    return (
        Code(value if isinstance(value, str) else visible_json(value))
        if not isinstance(value, int | float)
        else value
    )
