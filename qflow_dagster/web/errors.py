"""The pages of errors: groups with circuit breakers, and one group with its exceptions and suspected commit."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.agents import self_improvement
from qflow_dagster.agents.suggestion_states import OPEN_STATES
from qflow_dagster.infrastructure import circuit_breaker, error_records
from qflow_dagster.ingestion import repositories
from qflow_dagster.pictures.charts import trend
from qflow_dagster.safety.display import visible_json
from qflow_dagster.settings import settings
from qflow_dagster.web.changes import change_rows
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Code,
    Link,
    Section,
    Status,
    address,
    age,
    choices,
    chosen,
    counted,
    repository_link,
    run_link,
    view,
)
from qflow_dagster.web.source import line_address
from qflow_dagster.web.stacks import stack_section

MAX_OCCURRENCES = 20


def errors(request: Request, connection: Connection) -> Response:
    """Return error groups, the latest seen first, with errors over the last day and circuit breakers."""
    states = (*error_records.STATES, "all")
    rows = [
        {
            "state": Status(row["state"]),
            "severity": Status(row["severity"]),
            "error": Link(f"{row['kind']}: {row['message']}"[:160], address("errors", row["id"])),
            "operation": row["operation"],
            "occurrences": counted(row["count"], address("errors", row["id"]) + "#newest-occurrences"),
            "last seen": f"{age(row['last_seen'])} ago",
            "first seen": row["first_seen"],
        }
        for row in error_records.find(connection, state=chosen(request, "state", states), limit=PAGE_ROWS)
    ]
    times = error_records.timeline(connection)
    breakers = [
        {
            "operation": row["operation"],
            "state": Status(row["state"]),
            "failures in a row": row["failures"],
            "since": row["since"],
            "held by a person": row["held"],
            "reason": row["reason"],
        }
        for row in circuit_breaker.breakers(connection, limit=PAGE_ROWS)
    ]
    sections = [
        Section(
            title="Error groups",
            rows=rows,
            empty="No error is open. The filter `all` shows resolved and muted ones.",
        ),
        Section(
            title="Errors in the last 24 hours",
            picture=_bars([(row["at"], row["errors"]) for row in times], "Errors per quarter of an hour"),
            rows=[
                {"from": row["at"], "errors": row["errors"], "successes": row["successes"]}
                for row in times
                if row["errors"]
            ],
        ),
        Section(
            title="Circuit breakers",
            rows=breakers,
            empty="No operation has a circuit breaker yet.",
        ),
    ]
    filters = {"state": choices(request, "state", states)}
    return view(request, "Errors", sections, filters=filters, events="/events")


def error(request: Request, connection: Connection) -> Response:
    """Return an error group: what to do, its stack, suspected commit, occurrences over time and the newest ones."""
    id_: UUID = request.path_params["id"]
    group = error_records.show(connection, id_, occurrences=MAX_OCCURRENCES)
    sections = [
        Section(
            title="What it is",
            half=True,
            facts=_recorded(
                {
                    "operation": group["operation"],
                    "class": group["classification"],
                    "may succeed when repeated": group["retryable"],
                    "advice": group["advice"],
                    "first seen": group["first_seen"],
                    "last seen": group["last_seen"],
                    "first in release": group["first_release"],
                    "last in release": group["last_release"],
                    "fixed in release": group["resolved_in"],
                    "users": group["users"] or None,
                    "merged into it": [
                        Link(str(part)[:8], address("errors", part)) for part in group["merged"]
                    ]
                    or None,
                }
            ),
        ),
        _suspected(group["suspect"]),
        *_waiting(connection, group["suspect"]),
        stack_section(connection, group),
        _occurrences_over_time(connection, group),
        *_occurrences(group["occurrences"]),
    ]
    return view(
        request,
        f"{group['kind']}: {group['message']}"[:300],
        sections,
        path=[Link("Errors", "/errors")],
        status=group["state"],
        numbers={"occurrences": group["count"], "severity": Status(group["severity"])},
    )


def _recorded(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _suspected(suspect: dict[str, Any] | None) -> Section:
    """Return the latest commit that changed what the stack went through, and the others."""
    if not suspect:
        empty = "No commit is suspected: no frame lies in a registered repository."
        return Section(title="Suspected commit", half=True, empty=empty)
    repository, path, line = suspect["repository"], suspect["path"], suspect["line"]
    facts = {
        "commit": Code(suspect["commit"][:10]),
        "subject": suspect["subject"],
        "author": suspect["author"],
        "at": suspect["committed_at"][:16].replace("T", " "),
        "because": suspect.get("reason"),
        "file": Link(f"{path}:{line}", line_address(repository, path, line or None)),
        "repository": repository_link(repository),
    }
    others = [
        {
            "also suspected": Code(other["commit"][:10]),
            "subject": other["subject"],
            "author": other["author"],
            "at": other["committed_at"][:16].replace("T", " "),
            "because": other["reason"],
            "file": Link(
                f"{other['path']}:{other['line']}",
                line_address(other["repository"], other["path"], other["line"] or None),
            ),
        }
        for other in suspect.get("others", ())
    ]
    return Section(title="Suspected commit", half=True, facts=_recorded(facts), rows=others)


def _waiting(connection: Connection, suspect: dict[str, Any] | None) -> list[Section]:
    """Return the changes of the suspected file that are not applied yet."""
    if not suspect:
        return []
    changes = self_improvement.find(
        connection,
        repository_id=repositories.find(connection, suspect["repository"]).id,
        states=OPEN_STATES,
        path=suspect["path"],
        limit=MAX_OCCURRENCES,
    )
    return [
        Section(
            title="Waiting changes of the suspected file",
            rows=change_rows(changes),
            empty="No change of this file waits.",
        )
    ]


def _occurrences_over_time(connection: Connection, group: dict[str, Any]) -> Section:
    days = error_records.daily(connection, group["id"])
    return Section(
        title="Occurrences over time",
        note=f"Occurrences are kept for {settings().errors.retention} days.",
        picture=_bars([(row["day"], row["occurrences"]) for row in days], "Occurrences per day"),
        rows=[
            {"day": f"{row['day']:%Y-%m-%d}", "occurrences": row["occurrences"]}
            for row in days
            if row["occurrences"]
        ],
    )


def _occurrences(occurrences: list[dict[str, Any]]) -> list[Section]:
    """Return the table of the newest occurrences, and all that was recorded of the newest."""
    if not occurrences:
        return [Section(title="Newest occurrences", empty="None is kept any more.")]
    rows = [
        {
            "at": row["at"],
            "message": row["message"][:300],
            "source": row["source"],
            "run": run_link(row["run_id"]),
            "correlation": row["correlation_id"],
        }
        for row in occurrences
    ]
    newest, context = occurrences[0], occurrences[0]["context"]
    threads = error_records.threads(context)
    if threads:
        context = {name: value for name, value in context.items() if name != "threads"}
    recorded = {
        "stack": Code(newest["stack"]) if newest["stack"] else None,
        "context": Code(visible_json(context)) if context else None,
    }
    return [
        Section(title="Newest occurrences", rows=rows),
        *([Section(title="Threads", rows=threads)] if threads else []),
        Section(
            title="Recorded with the newest",
            facts=_recorded(recorded),
            empty="" if any(recorded.values()) else "Neither a stack trace nor a context.",
        ),
    ]


def _bars(points: list[tuple[datetime, int]], title: str) -> str:
    if not any(count for _, count in points):
        return ""
    short = points[-1][0] - points[0][0] < timedelta(days=2)
    labels = [at.astimezone(UTC).strftime("%H:%M" if short else "%m-%d") for at, _ in points]
    return trend(labels, [count for _, count in points], [], title)
