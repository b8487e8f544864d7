"""The pages of changes: suggestions with their branches and outcomes, and one change with its gates and history."""

from typing import Any
from uuid import UUID

from markupsafe import Markup
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.agents import edit_records, self_improvement, suggestion_statistics
from qflow_dagster.agents.suggestion_states import SUGGESTION
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import repositories
from qflow_dagster.safety.display import visible_json
from qflow_dagster.web.diff_context import files_with_context
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Code,
    Link,
    Section,
    Status,
    address,
    choices,
    chosen,
    counted,
    history_rows,
    percent,
    repository_link,
    templates,
    view,
)

STATES = tuple(sorted(SUGGESTION.states))
MAX_PATCH = 20_000


def changes(request: Request, connection: Connection) -> Response:
    """Return suggested changes, newest first, with filters by state and repository, and their statistics by rule."""
    state = chosen(request, "state", STATES)
    name = request.query_params.get("repository")
    repository_id = repositories.find(connection, name).id if name else None
    found = self_improvement.find(
        connection, repository_id=repository_id, states=[state] if state else (), limit=2 * PAGE_ROWS
    )
    statistics = [
        {
            "rule": Link(row["rule"], address("rules", row["rule"])),
            **{
                name: counted(row[name], address("rules", row["rule"]) + "#outcomes")
                for name in ("suggested", "applied", "rejected", "reverted")
            },
            "accepted": percent(row["acceptance"]),
        }
        for row in suggestion_statistics.statistics(connection)[:PAGE_ROWS]
    ]
    note = f"The newest {len(found)} are shown." if len(found) == 2 * PAGE_ROWS else ""
    sections = [
        Section(
            title="Newest first",
            rows=change_rows(found),
            note=note,
            empty="No change matches. `qflow run` suggests changes where a rule has a fix that passes all gates.",
        ),
        Section(title="By rule", rows=statistics, empty="No change was suggested yet."),
    ]
    return view(
        request, "Changes", sections, filters={"state": choices(request, "state", STATES)}, events="/events"
    )


def change(request: Request, connection: Connection) -> Response:
    """Return one change: what and why, what was checked, its branch and outcome, the diff, the history."""
    id_: UUID = request.path_params["id"]
    suggestion = self_improvement.show(connection, id_)
    edit = _edit(connection, id_)
    repository = suggestion["repository"]
    sections = [
        Section(
            title="What and why",
            half=True,
            facts={
                "reason": suggestion["reason"],
                "rule": Link(suggestion["rule"], address("rules", suggestion["rule"])),
                "risk": Status(suggestion["risk"]),
                "repository": repository_link(repository),
                "locations": suggestion["locations"][:20],
                "not changed": suggestion["withheld"][:20] or None,
                "lines": suggestion["lines"],
                "approval": Link("the request", address("approvals", suggestion["approval"]))
                if suggestion["approval"]
                else None,
            },
        ),
        Section(
            title="What became of it",
            half=True,
            facts=_outcome(edit) if edit else {},
            empty="" if edit else "It was not applied.",
        ),
        Section(
            title="What was checked",
            rows=[
                {
                    "gate": row["gate"],
                    "verdict": Status(row["verdict"].replace(" ", "-")),
                    "seconds": row["seconds"],
                    "evidence": row["evidence"][:600],
                }
                for row in suggestion["gates"]
            ],
            empty="No gate ran.",
        ),
        Section(title="Diff", body=_diff(request, connection, suggestion)),
        Section(
            title="History",
            rows=history_rows(suggestion["history"]),
            link=Link("With the proof of the chain", address("workflows", id_)),
        ),
    ]
    path = [Link("Changes", "/changes")]
    return view(
        request, suggestion["title"], sections, path=path, status=suggestion["state"], events="/events"
    )


def change_rows(found: list[dict[str, Any]], *, with_repository: bool = True) -> list[dict[str, Any]]:
    """Return the rows of a table of changes."""
    return [
        {
            "state": Status(row["state"]),
            "change": Link(row["title"], address("changes", row["id"])),
            **({"repository": repository_link(row["repository"])} if with_repository else {}),
            "risk": Status(row["risk"]),
            "lines": counted(row["lines"], address("changes", row["id"]) + "#diff"),
            "branch": Code(row["branch"]),
            "suggested": row["created_at"],
        }
        for row in found
    ]


def _edit(connection: Connection, id_: UUID) -> dict[str, Any] | None:
    try:
        return edit_records.show(connection, id_)
    except QflowError:
        return None


def _outcome(edit: dict[str, Any]) -> dict[str, Any]:
    outcome = edit["outcome"] or {}
    return {
        "branch": Code(edit["branch"]),
        "commit": Code(edit["commit"][:10]),
        "target": Code(edit["target"]),
        "applied": edit["applied_at"],
        "verified": edit["verified_at"],
        "ended": edit["ended_at"],
        "by commit": Code(edit["ended_by"][:10]) if edit["ended_by"] else None,
        "because": edit["state_reason"] or outcome.get("reason"),
        "pushed to": ", ".join(edit["pushed"] or {}) or None,
        "measures": Code(visible_json(outcome)) if outcome else None,
    }


def _diff(request: Request, connection: Connection, suggestion: dict[str, Any]) -> Markup:
    """Return the diff of a change as on the page of its request."""
    macros: Any = templates.env.get_template("diff.html").module
    patch = suggestion["patch"]
    files = files_with_context(
        request, connection, patch[:MAX_PATCH], suggestion["repository"], suggestion["base_commit"]
    )
    rest = f"{len(patch) - MAX_PATCH:,} more characters are not shown." if len(patch) > MAX_PATCH else ""
    return Markup(macros.diff(files)) + (Markup("<p class='problem'>{}</p>").format(rest) if rest else "")  # noqa: S704
