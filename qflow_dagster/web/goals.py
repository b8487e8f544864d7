"""The pages of goals and agents: goals with their phases and artifacts, agents with their queues and outcomes."""

from functools import cache
from typing import Any
from uuid import UUID

from markdown_it import MarkdownIt
from markupsafe import Markup
from sqlalchemy import Connection
from starlette.requests import Request
from starlette.responses import Response

from qflow_dagster.agents import assignments, coordination
from qflow_dagster.execution import sparc, sparc_records, sparc_strategies
from qflow_dagster.pictures import task_graph
from qflow_dagster.safety.display import visible
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
    duration,
    history_rows,
    percent,
    repository_link,
    view,
)

MAX_ARTIFACT = 50_000


def goals(request: Request, connection: Connection) -> Response:
    """Return goals, newest first, and how well the strategies did."""
    states = tuple(sorted(sparc.GOAL.states))
    found = sparc_records.find(connection, state=chosen(request, "state", states), limit=PAGE_ROWS)
    rows = [
        {
            "state": Status(row["state"]),
            "goal": Link(row["title"], address("goals", row["id"])),
            "repository": repository_link(row["repository"]),
            "phase": row["phase"],
            "round": counted(row["round"], address("goals", row["id"]) + "#phases"),
            "strategy": row["strategy"],
            "target": row["target"],
            "since": row["created_at"],
        }
        for row in found
    ]
    sections = [
        Section(
            title="Newest first",
            rows=rows,
            empty="No goal matches the filters; `qflow sparc start` starts one.",
        ),
        Section(
            title="Strategies", rows=sparc_strategies.statistics(connection), empty="No goal has ended yet."
        ),
    ]
    filters = {"state": choices(request, "state", states, dict(sparc_records.progress(connection)))}
    return view(request, "Goals", sections, filters=filters, events="/events")


def goal(request: Request, connection: Connection) -> Response:
    """Return one goal: its target, what was measured, its phases with their verdicts and artifacts."""
    id_: UUID = request.path_params["id"]
    row = sparc_records.show(connection, id_)
    phases = row["phases"]
    item = row["work_item"]
    sections = [
        Section(
            title="Goal",
            half=True,
            facts={
                "target": row["target"],
                "repository": repository_link(row["repository"]),
                "strategy": row["strategy"],
                "round": row["round"],
                "requested by": row["requested_by"],
                "work item": Link("the item of the plan", address("work", item)) if item else None,
                "started": row["created_at"],
                "ended": row["finished_at"],
                "last reason": row["reason"],
            },
        ),
        Section(
            title="Measured",
            half=True,
            rows=[{"commit": Code(commit[:10]), "value": value} for commit, value in row["measured"].items()],
            empty="Its target was not measured yet.",
        ),
        *([Section(title="Graph", picture=_graph(phases))] if phases else []),
        Section(
            title="Phases",
            rows=[
                {
                    "phase": Link(f"{phase['phase']} {phase['round']}", f"#{_anchor(phase)}")
                    if phase["artifact"]
                    else phase["phase"],
                    "state": Status(phase["state"]),
                    "by": phase["author"],
                    "gate": phase["gate"],
                    "verdict": phase["verdict"],
                    "reason": phase["reason"],
                    "took": duration(phase["seconds"]),
                    "events": Link("events", address("workflows", phase["id"])),
                }
                for phase in phases
            ],
            empty="No phase began yet.",
        ),
        *(
            Section(title=f"{phase['phase']} {phase['round']} artifact", body=markdown(phase["artifact"]))
            for phase in phases
            if phase["artifact"]
        ),
        Section(
            title="History",
            rows=history_rows(row["history"]),
        ),
    ]
    return view(
        request, row["title"], sections, path=[Link("Goals", "/goals")], status=row["state"], events="/events"
    )


def agents(request: Request, connection: Connection) -> Response:
    """Return the registered agents and the newest assignments."""
    rows = [
        {
            "agent": Link(agent.name, address("agents", agent.name)),
            "role": agent.role,
            "availability": Status(agent.availability),
            "machine": agent.host,
            "load": Link(
                f"{agent.load} of {agent.max_assignments}", address("agents", agent.name) + "#assignments"
            ),
            "succeeded": counted(agent.successes, address("agents", agent.name) + "#outcomes"),
            "failed": counted(agent.failures, address("agents", agent.name) + "#outcomes"),
            "expected success": percent(agent.success_rate),
            "domains": list(agent.domains),
        }
        for agent in coordination.agents(connection)
    ]
    states = tuple(sorted(assignments.MACHINE.states))
    found = assignments.find(connection, state=chosen(request, "state", states), limit=PAGE_ROWS)
    sections = [
        Section(
            title="Registered",
            rows=rows,
            empty="No agent is registered. `qflow up` registers the built-in ones.",
        ),
        Section(
            title="Assignments", rows=_assignment_rows(found), empty="No assignment matches the filters."
        ),
    ]
    filters = {"state of assignments": choices(request, "state", states, assignments.counts(connection))}
    return view(request, "Agents", sections, filters=filters, events="/events")


def agent(request: Request, connection: Connection) -> Response:
    """Return one agent: what it can do, its outcomes by domain, its assignments."""
    row = coordination.show(connection, request.path_params["name"])
    sections = [
        Section(
            title="What it can do",
            half=True,
            facts={
                "role": row.role,
                "domains": list(row.domains),
                "takes": list(row.input_types),
                "returns": list(row.output_types),
                "complexity up to": row.complexity,
                "expected cost": row.cost,
                "machine": row.host,
                "load": f"{row.load} of {row.max_assignments}",
            },
        ),
        Section(
            title="Outcomes",
            half=True,
            rows=[
                {
                    "domain": outcome["domain"],
                    "outcomes": outcome["outcomes"],
                    "succeeded": outcome["succeeded"],
                    "median": duration(outcome["median_seconds"]),
                    "cost": outcome["cost"],
                    "quality": outcome["quality"],
                }
                for outcome in coordination.statistics(connection, row.name)
            ],
            empty="It has no outcome yet.",
        ),
        Section(
            title="Assignments",
            rows=_assignment_rows(assignments.find(connection, agent=row.name, limit=PAGE_ROWS)),
            empty="It had no assignment yet.",
        ),
    ]
    path = [Link("Agents", "/agents")]
    return view(request, row.name, sections, path=path, status=row.availability, events="/events")


def markdown(text: str) -> Markup:
    """Return Markdown as HTML; HTML in it stays text, and nothing is loaded from an address in it."""
    shown = visible(text[:MAX_ARTIFACT])
    return Markup("<div class='artifact'>{}</div>").format(Markup(_markdown().render(shown)))  # noqa: S704


def _assignment_rows(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "state": Status(row["state"]),
            "assignment": Link(str(row["id"])[:18], address("workflows", row["id"])),
            "domain": row["domain"],
            "agent": Link(row["agent"], address("agents", row["agent"])) if row["agent"] else None,
            "fit": row["fit"],
            "attempt": row["attempt"],
            "requested by": row["requested_by"],
            "at": row["created_at"],
        }
        for row in found
    ]


def _graph(phases: list[dict[str, Any]]) -> str:
    """Return a picture of the phases, a row for each round, in which each follows the one before it."""
    tasks: list[dict[str, Any]] = []
    for phase in phases:
        before = [task["name"] for task in tasks if task["round"] == phase["round"]]
        tasks.append(
            {
                "name": f"{phase['phase']} {phase['round']}",
                "state": phase["state"],
                "role": phase["author"] or "no author yet",
                "depends_on": before[-1:],
                "depth": 0,
                "round": phase["round"],
                "href": address("workflows", phase["id"]),
            }
        )
    return task_graph.svg(tasks, "Phases, a row for each round")


def _anchor(phase: dict[str, Any]) -> str:
    return f"{phase['phase']}-{phase['round']}-artifact"


@cache
def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
