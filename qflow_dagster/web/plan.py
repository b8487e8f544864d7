"""The pages of a repository's plan: its work items, and one of them with its score."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.execution import plan_history, work_items
from qflow_dagster.ingestion import queries
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Link,
    Section,
    Status,
    address,
    choices,
    chosen,
    counted,
    history_rows,
    repository_path,
    view,
)


def plan(request: Request, connection: Connection) -> Response:
    """Return the work items of a repository, the highest score first, and the progress by level."""
    snapshot = queries.current_snapshot(connection, request.path_params["name"])
    level = chosen(request, "level", work_items.LEVELS)
    items = work_items.find(
        connection,
        repository_id=snapshot.repository_id,
        level=level or work_items.planned_level(),
        state="open",
        limit=PAGE_ROWS * 4,
    )
    sections = [
        Section(title="Next", rows=item_rows(items), empty="No item is open."),
        Section(
            title="Progress",
            rows=plan_history.progress(connection, snapshot.repository_id),
            empty="No plan yet.",
        ),
    ]
    filters = {"level": choices(request, "level", work_items.LEVELS)}
    return view(request, "Plan", sections, path=repository_path(snapshot.repository), filters=filters)


def work_item(request: Request, connection: Connection) -> Response:
    """Return one work item: why it is done, its score and what that rests on, its history."""
    id_: UUID = request.path_params["id"]
    item = work_items.show(connection, id_)
    above = item["parent_id"]
    sections = [
        Section(
            title="What it is",
            facts={
                "description": item["description"],
                "done when": list(item["acceptance"]),
                "level": item["level"],
                "score (WSJF)": item["wsjf"],
                "part of": Link("the item above", address("work", above)) if above else None,
            },
        ),
        Section(
            title="What the score rests on",
            rows=[
                {
                    "input": name,
                    "value": value["value"],
                    "from": value.get("source"),
                    "how": value.get("formula"),
                }
                for name, value in item["inputs"].items()
            ],
            empty="It has no inputs of its own: the score is that of the item above it.",
        ),
        Section(title="History", rows=history_rows(item["history"])),
    ]
    path = repository_path(item["repository"]) if item["repository"] else []
    return view(request, item["title"], sections, path=path, status=item["state"])


def item_rows(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a table of work items."""
    return [
        {
            "score": counted(row["wsjf"], address("work", row["id"]) + "#what-the-score-rests-on"),
            "item": Link(row["title"], address("work", row["id"])),
            "state": Status(row["state"]),
        }
        for row in items
    ]
