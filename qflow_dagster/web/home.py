"""The home page: what waits for a person, what went wrong, what the loop did, and the repositories."""

from typing import Any

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.agents import activity
from qflow_dagster.execution import sparc_records
from qflow_dagster.infrastructure import error_records, health_states
from qflow_dagster.knowledge.evidence import count
from qflow_dagster.pictures.charts import sparkline
from qflow_dagster.quantumflow import statistics
from qflow_dagster.web.pages import (
    Link,
    Picture,
    Section,
    Status,
    address,
    age,
    counted,
    duration,
    repository_link,
    view,
)

DAY = 24.0
MAX_ROWS = 5


def home(request: Request, connection: Connection) -> Response:
    """Return the page that says whether a person has to act."""
    waiting = activity.pending(connection)
    problems = _problems(connection)
    changed = activity.changes_since(connection, DAY)
    done = changed | activity.findings_since(connection, DAY)
    requests = sum(row["requests"] for row in waiting)
    parts = [f"{count(requests, 'request')} to decide on"] if requests else []
    parts += [count(len(problems), "open problem")] if problems else []
    sections = [
        Section(
            title="Waits for a person",
            half=True,
            rows=[
                {
                    "risk": Status(row["risk"] or "none"),
                    "kind": row["kind"],
                    "requests": counted(
                        row["requests"],
                        address("approvals", kind=row["kind"], risk=row["risk"] or None),
                    ),
                    "oldest": Link(f"{age(row['oldest_at'])} ago", address("approvals", row["oldest"])),
                    "first expires": row["expires_at"],
                }
                for row in waiting
            ],
            empty="No request waits for a decision.",
            link=Link("All approvals", "/approvals"),
        ),
        *_stuck_goals(connection),
        Section(
            title="Went wrong",
            half=True,
            rows=problems,
            empty="No incident, no open error, no dead workflow.",
        ),
        Section(
            title="The loop in the last 24 hours",
            half=True,
            facts={
                name: counted(count, "/changes" if name in changed else "/repositories")
                for name, count in done.items()
                if count
            },
            empty="" if any(done.values()) else "Nothing was changed and nothing was found.",
            link=Link("All changes", "/changes"),
        ),
        Section(
            title="Repositories",
            rows=repository_rows(activity.repositories(connection)),
            empty="No repository is registered. Run `qflow run PATH-OR-URL` to begin.",
        ),
    ]
    lead = " and ".join(parts).capitalize() + "." if parts else "Nothing needs attention."
    return view(request, "What needs attention", sections, lead=lead, events="/events")


def repositories(request: Request, connection: Connection) -> Response:
    """Return the list of repositories."""
    rows = repository_rows(activity.repositories(connection))
    empty = "No repository is registered. Run `qflow run PATH-OR-URL` to begin."
    return view(request, "Repositories", [Section(title="Registered repositories", rows=rows, empty=empty)])


def repository_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of the table of repositories."""
    return [
        {
            "repository": repository_link(row["name"]),
            "commits in 24 months": Picture(sparkline(row["commits"], f"commits per month of {row['name']}")),
            "files": counted(row["files"], address("repositories", row["name"], "files")),
            "lines": counted(row["lines"], address("repositories", row["name"], "files")),
            "open findings": counted(row["open_findings"], address("repositories", row["name"], "findings")),
            "errors": counted(
                row["errors"], address("repositories", row["name"], "findings", severity="error")
            ),
            "pending changes": counted(
                row["pending_changes"],
                address("changes", repository=row["name"], state="awaiting_approval"),
            ),
            "read": f"{age(row['ingested_at'])} ago" if row["ingested_at"] else "not yet",
        }
        for row in rows
    ]


def _stuck_goals(connection: Connection) -> list[Section]:
    """Return the goals that only a person can move on, if there are any."""
    found = sparc_records.find(connection, state="needs_person", limit=MAX_ROWS)
    rows = [
        {
            "goal": Link(row["title"], address("goals", row["id"])),
            "phase": row["phase"],
            "reason": row["reason"],
            "since": row["created_at"],
        }
        for row in found
    ]
    return [Section(title="Goals that need a person", half=True, rows=rows)] if rows else []


def _problems(connection: Connection) -> list[dict[str, Any]]:
    """Return open incidents, open errors and dead workflows, a row each."""
    rows: list[dict[str, Any]] = [
        {
            "what": Status(row["worst"] or "unhealthy"),
            "where": Link(row["check"] or "a check", "/health"),
            "message": row["message"],
            "since": duration(row["seconds"]),
        }
        for row in health_states.incidents(connection, status="open", limit=MAX_ROWS)
    ]
    rows += [
        {
            "what": Status(row["severity"]),
            "where": Link(row["operation"], address("errors", row["id"])),
            "message": f"{row['kind']}: {row['message']}"[:200],
            "since": age(row["first_seen"]),
        }
        for row in error_records.find(connection, limit=MAX_ROWS)
    ]
    rows += [
        {
            "what": Status("dead"),
            "where": Link(row["type"], address("workflows", type=row["type"], status="dead")),
            "message": f"{row['dead']:,} workflows gave up after their last attempt",
            "since": "the last day",
        }
        for row in statistics.by_type(connection)
        if row["dead"]
    ]
    return rows
