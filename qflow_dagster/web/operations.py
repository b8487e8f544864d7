"""The pages of errors and of health: error groups, circuit breakers, checks, incidents."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.infrastructure import circuit_breaker, error_records, health_exceptions, health_states
from qflow_dagster.pictures.charts import sparkline, trend
from qflow_dagster.safety.display import visible_json
from qflow_dagster.settings import settings
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Code,
    Link,
    Picture,
    Section,
    Status,
    address,
    age,
    choices,
    chosen,
    duration,
    percent,
    run_link,
    view,
)

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
            "occurrences": row["count"],
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
    suspect = group["suspect"] or {}
    sections = [
        Section(
            title="What it is",
            half=True,
            facts={
                "operation": group["operation"],
                "class": group["classification"],
                "may succeed when repeated": group["retryable"],
                "advice": group["advice"],
                "first seen": group["first_seen"],
                "last seen": group["last_seen"],
            },
        ),
        Section(
            title="Suspected commit",
            half=True,
            facts={
                name: _suspect_value(name, value, suspect)
                for name, value in suspect.items()
                if value is not None
            },
            empty="" if suspect else "No commit is suspected: no frame lies in a registered repository.",
        ),
        Section(
            title="Stack",
            note="The innermost frame is the last.",
            rows=[
                {
                    "function": Code(str(frame.get("function") or "")),
                    "file": Code(str(frame.get("file") or "")),
                    "line": frame.get("line"),
                }
                for frame in group["frames"]
            ],
            empty="No frame of it was recorded.",
        ),
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


def health(request: Request, connection: Connection) -> Response:
    """Return the checks with their history, incidents, and maintenance windows."""
    states = health_states.states(connection)
    forecasts = health_states.forecasts(connection, days=1)
    samples = health_states.recent_values(connection)
    rows = [
        {
            "status": Status(state["status"]),
            "check": state["name"],
            "message": state["message"],
            "last day": Picture(sparkline(samples.get(state["name"], []), f"values of {state['name']}")),
            "value": state["value"],
            "threshold": state["threshold"],
            "unit": state["unit"],
            "since": f"{age(state['since'])}" + (", flapping" if state["flapping"] else ""),
            "reaches its threshold in": duration(forecasts.get(state["name"])),
            "uptime in a day": percent(health_states.uptime(connection, state["name"], days=1)),
        }
        for state in states
    ]
    incidents = [
        {
            "status": Status(row["status"]),
            "worst": Status(row["worst"] or "unknown"),
            "check": row["check"],
            "message": row["message"],
            "opened": row["opened_at"],
            "lasted": duration(row["seconds"]),
            "history": Link("events", address("workflows", row["id"])),
        }
        for row in health_states.incidents(connection, limit=PAGE_ROWS)
    ]
    windows = [
        {"checks": row["pattern"], "from": row["starts_at"], "to": row["ends_at"], "reason": row["reason"]}
        for row in health_exceptions.windows(connection)
    ]
    watched = health_states.is_watched(connection)
    lead = "" if watched else "No check ran lately: is Dagster's daemon running? `qflow up` starts it."
    sections = [
        Section(
            title="Checks",
            rows=rows,
            empty="No check ever ran; `qflow up` starts them.",
        ),
        Section(title="Incidents", rows=incidents, empty="There was no incident."),
        Section(title="Maintenance windows", rows=windows, empty="None is planned."),
    ]
    status = health_states.overall(states) if watched else "unknown"
    return view(request, "Health", sections, status=status, lead=lead, events="/events")


def _suspect_value(name: str, value: Any, suspect: dict[str, Any]) -> Any:
    if name == "path" and "repository" in suspect:
        return Link(str(value), address("repositories", suspect["repository"], "files", value))
    return Code(str(value)[:10]) if name == "commit" else value


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
    newest = occurrences[0]
    recorded = {
        "stack": Code(newest["stack"]) if newest["stack"] else None,
        "context": Code(visible_json(newest["context"])) if newest["context"] else None,
    }
    return [
        Section(title="Newest occurrences", rows=rows),
        Section(
            title="Recorded with the newest",
            facts={name: value for name, value in recorded.items() if value is not None},
            empty="" if any(recorded.values()) else "Neither a stack trace nor a context.",
        ),
    ]


def _bars(points: list[tuple[datetime, int]], title: str) -> str:
    if not any(count for _, count in points):
        return ""
    short = points[-1][0] - points[0][0] < timedelta(days=2)
    labels = [at.astimezone(UTC).strftime("%H:%M" if short else "%m-%d") for at, _ in points]
    return trend(labels, [count for _, count in points], [], title)
