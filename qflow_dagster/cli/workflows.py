"""`qflow workflows`: pending, running, failed and ended workflows, and interventions by hand."""

from collections.abc import Callable
from typing import Annotated, Any

import typer

from qflow_dagster import agents, metrics, notifications, quantumflow
from qflow_dagster.agents import assignments, self_improvement, task_agents
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    print_fields,
    print_json,
    print_rows,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.execution import task_graph, work_chunks
from qflow_dagster.infrastructure import services
from qflow_dagster.ingestion import workflows as ingestion_workflows
from qflow_dagster.knowledge import requests

# Importing a domain registers its types.
DOMAINS = (
    ingestion_workflows,
    metrics,
    agents,
    self_improvement,
    work_chunks,
    notifications,
    services,
    task_graph,
    assignments,
    task_agents,
    requests,
)

app = typer.Typer(no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id of the workflow, or a unique prefix.")]
Ids = Annotated[list[str], typer.Argument(help="Ids of workflows, or unique prefixes.")]
Reason = Annotated[str | None, typer.Option("--reason", help="The reason; it goes into the history.")]


@app.command("list")
def list_(
    type_name: Annotated[str | None, typer.Option("--type", help="Only workflows of this type.")] = None,
    status: Annotated[str | None, typer.Option(help="Only workflows in this status.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List workflows, newest first."""
    with ready_engine().connect() as connection:
        workflows = quantumflow.find(connection, type_name=type_name, status=status, limit=limit)
    if json:
        print_json([row._asdict() for row in workflows])
        return
    rows = [
        {
            # The first half of an id is its time, so a unique prefix is long.
            "id": str(row.id)[:18],
            "type": row.type,
            "status": row.status,
            "attempt": f"{row.attempt}/{row.max_attempts}",
            "updated": row.updated_at,
            "about": _about(row.payload),
            "error": _message(row.error),
        }
        for row in workflows
    ]
    print_rows(rows, empty="No workflow matches.")


@app.command()
def show(workflow: Id, json: JsonFlag = False) -> None:
    """Show one workflow with all its fields and dependencies."""
    with ready_engine().connect() as connection:
        id_ = quantumflow.resolve(connection, workflow)
        fields = quantumflow.get(connection, id_)._asdict()
        fields["depends_on"] = [str(row.id) for row in quantumflow.dependencies(connection, id_)]
    print_json(fields) if json else print_fields(fields)


@app.command()
def history(workflow: Id, json: JsonFlag = False) -> None:
    """Show every event of a workflow: time, transition, actor."""
    with ready_engine().connect() as connection:
        events = quantumflow.get_events(connection, quantumflow.resolve(connection, workflow))
    rows: list[dict[str, Any]] = [
        {
            "seq": event.seq,
            "at": event.at,
            "from": event.from_status,
            "to": event.to_status,
            "attempt": event.attempt,
            "actor": event.actor,
            "data": event.data,
        }
        for event in events
    ]
    if json:
        hashes = zip(rows, events, strict=True)
        print_json([{**row, "run_id": event.run_id, "hash": event.hash.hex()} for row, event in hashes])
        return
    print_rows(rows, empty="No event.")


@app.command()
def retry(workflows: Ids, reason: Reason = None, actor: As = None) -> None:
    """Give ended workflows one more attempt, at once."""
    _decide(quantumflow.retry, workflows, reason, actor, "will be retried")


@app.command()
def cancel(workflows: Ids, reason: Reason = None, actor: As = None) -> None:
    """Cancel workflows."""
    _decide(quantumflow.cancel, workflows, reason, actor, "cancelled")


@app.command()
def pause(workflows: Ids, reason: Reason = None, actor: As = None) -> None:
    """Take workflows out of the queue until they are resumed."""
    _decide(quantumflow.pause, workflows, reason, actor, "paused")


@app.command()
def resume(workflows: Ids, reason: Reason = None, actor: As = None) -> None:
    """Put paused workflows back into the queue."""
    _decide(quantumflow.resume, workflows, reason, actor, "resumed")


def _decide(
    operation: Callable[..., None], prefixes: list[str], reason: str | None, actor: str | None, message: str
) -> None:
    """Change all of the workflows or none, in one transaction."""
    with ready_engine().begin() as connection:
        ids = [quantumflow.resolve(connection, prefix) for prefix in prefixes]
        operation(connection, ids, actor=actor_name(actor), reason=reason)
    for id_ in ids:
        console.print(f"{id_} {message}")


def _about(payload: Any) -> str | None:
    if not isinstance(payload, dict):
        return None
    return " ".join(str(value)[:24] for value in payload.values())


def _message(error: Any) -> str | None:
    return error.get("message") if isinstance(error, dict) else None
