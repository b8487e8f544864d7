"""The page of health: checks with their history, incidents, maintenance windows."""

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.infrastructure import health_exceptions, health_states
from qflow_dagster.pictures.charts import sparkline
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Link,
    Picture,
    Section,
    Status,
    address,
    age,
    duration,
    percent,
    view,
)


def health(request: Request, connection: Connection) -> Response:
    """Return the checks with their history, incidents, and maintenance windows."""
    states = health_states.states(connection)
    forecasts = health_states.forecasts(connection, days=1)
    samples = health_states.recent_values(connection)
    uptimes = health_states.uptimes(connection, [state["name"] for state in states], days=1)
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
            "uptime in a day": percent(uptimes.get(state["name"])),
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
