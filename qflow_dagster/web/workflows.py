"""The pages of workflows: statistics by type and over time, lists, and one workflow with its verified history."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster import quantumflow
from qflow_dagster.execution import task_records
from qflow_dagster.pictures import task_graph
from qflow_dagster.pictures.charts import trend
from qflow_dagster.quantumflow import statistics
from qflow_dagster.quantumflow.rows import Workflow
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.safety.display import visible_json
from qflow_dagster.web.pages import (
    PAGE_ROWS,
    Code,
    Link,
    Section,
    Status,
    address,
    choices,
    counted,
    duration,
    run_link,
    view,
)

MAX_TASKS = 1_000
# Of all types; a type's own states are offered with its name.
STATUSES = ("pending", "running", "completed", "failed", "dead", "cancelled", "expired")


def workflows(request: Request, connection: Connection) -> Response:
    """Return statistics of all types, or the workflows of the type and status that the filters name."""
    type_name, status = request.query_params.get("type"), request.query_params.get("status")
    filters = {"status": choices(request, "status", _statuses(type_name))}
    if type_name is None and status is None:
        sections = _statistics(connection)
        return view(request, "Workflows", sections, filters=filters, events="/events")
    before = _id(request.query_params.get("before"))
    found = quantumflow.find(connection, type_name=type_name, status=status, before=before, limit=PAGE_ROWS)
    more = None
    if len(found) == PAGE_ROWS:
        more = Link(
            "Older workflows", address("workflows", type=type_name, status=status, before=found[-1].id)
        )
    section = Section(
        title="Newest first", rows=[_row(row) for row in found], empty="No workflow matches the filters."
    )
    title, path = type_name or "Workflows", [Link("Workflows", "/workflows")]
    return view(request, title, [section], path=path, filters=filters, more=more, events="/events")


def workflow(request: Request, connection: Connection) -> Response:
    """Return one workflow: its fields, its events as they happen, what it depends on, and the proof of its history."""
    id_: UUID = request.path_params["id"]
    events = quantumflow.get_events(connection, id_)
    if not events:
        quantumflow.get(connection, id_)
    current = next(iter(quantumflow.find(connection, before=UUID(int=id_.int + 1), limit=1)), None)
    row = current if current is not None and current.id == id_ else None
    broken = quantumflow.verify_history(connection, id_)
    proof = (
        "Each event's hash covers the event and the hash before it; all of them were verified just now."
        if broken is None
        else f"The history is not what was written: at event {broken.seq}, {broken.reason}."
    )
    sections = [
        *([_fields(row)] if row else []),
        *(_graph(connection, id_) if row and row.type == WorkflowTypeName.TASK_GRAPH else []),
        Section(
            title="History",
            note=proof,
            rows=[
                {
                    "event": event.seq,
                    "at": event.at,
                    "from": event.from_status,
                    "to": Status(event.to_status),
                    "attempt": event.attempt,
                    "actor": event.actor,
                    "run": run_link(event.run_id),
                    "data": Code(visible_json(event.data, indent=None)[:2_000]) if event.data else None,
                    "hash": Code(event.hash.hex()[:12]),
                }
                for event in events
            ],
        ),
        *_related("Depends on", quantumflow.dependencies(connection, id_)),
        *_related("Started by it", quantumflow.find(connection, parent_id=id_, limit=PAGE_ROWS)),
        *_values(row),
    ]
    status = row.status if row else "archived"
    title = f"{row.type} {id_}" if row else f"Archived workflow {id_}"
    path = [Link("Workflows", "/workflows")]
    return view(request, title, sections, path=path, status=status, events="/events")


def _statistics(connection: Connection) -> list[Section]:
    types = statistics.by_type(connection)
    times = statistics.over_time(connection)
    labels = [row["at"].strftime("%H:%M") for row in times]
    picture = trend(
        labels,
        [row["ended"] for row in times],
        [row["median"] or 0.0 for row in times],
        "Ended workflows (bars) and their median latency in seconds (line)",
    )
    return [
        Section(
            title="By type",
            note="Of the last 24 hours, open ones of any age. The percentiles are of the time to the end.",
            rows=[
                {
                    "type": Link(row["type"], address("workflows", type=row["type"])),
                    "open": counted(row["open"], address("workflows", type=row["type"])),
                    "oldest open": duration(row["oldest"]),
                    "created": counted(row["created"], address("workflows", type=row["type"])),
                    "ended": counted(row["ended"], address("workflows", type=row["type"])),
                    "ended per hour": row["ended"] / 24,
                    "dead": counted(row["dead"], address("workflows", type=row["type"], status="dead")),
                    "retried": counted(row["retried"], address("workflows", type=row["type"])),
                    "median": duration(row["median"]),
                    "95%": duration(row["p95"]),
                    "99%": duration(row["p99"]),
                }
                for row in types
            ],
            empty="There is no workflow yet. `qflow run` on a repository starts some.",
        ),
        Section(
            title="Over the last 24 hours",
            picture=picture if any(row["ended"] for row in times) else "",
            rows=[
                {
                    "from": row["at"],
                    "created": row["created"],
                    "ended": row["ended"],
                    "dead": row["dead"],
                    "median latency": duration(row["median"]),
                }
                for row in times
                if row["created"] or row["ended"]
            ],
            empty="No workflow was created in the last 24 hours.",
        ),
    ]


def _statuses(type_name: str | None) -> tuple[str, ...]:
    """Return the states of a type, in its own order; of an unknown one, or of all, the usual ones."""
    machines = {declared.name: declared.machine for declared in quantumflow.registered_types()}
    return machines[type_name].states if type_name in machines else STATUSES


def _row(row: Workflow) -> dict[str, Any]:
    return {
        "workflow": Link(str(row.id)[:18], address("workflows", row.id)),
        "type": row.type,
        "status": Status(row.status),
        "attempt": f"{row.attempt} of {row.max_attempts}",
        "created": row.created_at,
        "ended": row.finished_at,
        "run": run_link(row.run_id),
        "error": str(row.error.get("message", ""))[:200] if isinstance(row.error, dict) else None,
    }


def _fields(row: Workflow) -> Section:
    return Section(
        title="State",
        facts={
            "attempt": f"{row.attempt} of {row.max_attempts}",
            "created": row.created_at,
            "updated": row.updated_at,
            "ended": row.finished_at,
            "held by": row.lease_owner,
            "until": row.lease_expires_at,
            "not before": row.available_at,
            "waits for": f"{row.remaining_dependencies} workflows" if row.remaining_dependencies else None,
            "part of": Link(str(row.parent_id), address("workflows", row.parent_id))
            if row.parent_id
            else None,
            "run": run_link(row.run_id),
        },
    )


def _graph(connection: Connection, id_: UUID) -> list[Section]:
    """Return the tasks of a task graph as a picture, each box a link."""
    tasks = task_records.tasks_of(connection, id_, limit=MAX_TASKS)
    linked = [{**task, "href": address("workflows", task["id"])} for task in tasks]
    note = f"The first {MAX_TASKS} tasks." if len(tasks) == MAX_TASKS else ""
    return [
        Section(title="Tasks", note=note, picture=task_graph.svg(linked, "Tasks, as they follow each other"))
    ]


def _related(title: str, rows: list[Workflow]) -> list[Section]:
    return [Section(title=title, rows=[_row(row) for row in rows])] if rows else []


def _values(row: Workflow | None) -> list[Section]:
    """Return what it was given, and how it ended, as JSON."""
    values = {} if row is None else {"payload": row.payload, "result": row.result, "error": row.error}
    facts = {name: Code(visible_json(value)[:20_000]) for name, value in values.items() if value is not None}
    return [Section(title="Values", facts=facts)] if facts else []


def _id(value: str | None) -> UUID | None:
    try:
        return UUID(value) if value else None
    except ValueError:
        return None
