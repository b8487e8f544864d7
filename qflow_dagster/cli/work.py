"""`qflow work`: work items and their plan."""

import sys
from typing import Annotated

import typer

from qflow_dagster.approvals.approved_workflows import request_workflow
from qflow_dagster.cli import work_exchange, work_iterations
from qflow_dagster.cli.metrics import repository_name
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    check_choice,
    console,
    print_fields,
    print_json,
    print_rows,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.execution import next_work, plan_history, safe_work_planner, work_chunks, work_items
from qflow_dagster.execution.model_classifier import classify_by_model
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.quantumflow import resolve
from qflow_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)
Repo = Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the work item, or a unique prefix.")]


@app.command("list")
def list_(
    repo: Repo = None,
    level: Annotated[
        str | None, typer.Option(help="theme, epic, capability, feature, story, or all.")
    ] = "feature",
    state: Annotated[str, typer.Option(help="open, all, or a state such as `in_progress`.")] = "open",
    source: Annotated[str | None, typer.Option(help="findings, metric, error or text.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List work items, the highest WSJF first."""
    check_choice("level", level, (*work_items.LEVELS, "all"))
    check_choice("state", state, ("open", "all", *work_items.STATES))
    check_choice("source", source, work_items.SOURCES)
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = work_items.find(
            connection,
            repository_id=id_,
            level=None if level == "all" else level,
            state=state,
            source=source,
            limit=limit,
        )
    if json:
        print_json(rows)
        return
    table_rows = [
        {"id": str(row["id"])[:18], **{k: row[k] for k in ("wsjf", "state", "repository", "title")}}
        for row in rows
    ]
    print_rows(table_rows, empty="No work item; `qflow run` creates them from findings.")


@app.command()
def tree(repo: Repo = None, json: JsonFlag = False) -> None:
    """Show themes, epics and capabilities with their numbers of features."""
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = work_items.tree(connection, id_)
    if json:
        print_json(rows)
        return
    if not rows:
        console.print("No work item; `qflow run` creates them from findings.")
    for row in rows:
        features = (
            f"  {row['done']}/{row['features']} features"
            + (f", best {row['best']:.2f}" if row["best"] is not None else "")
            if row["features"]
            else ""
        )
        line = f"{'  ' * row['depth']}{row['level']} {row['title']}  ({row['state']}){features}"
        console.print(line, soft_wrap=True)


@app.command("next")
def next_(
    repo: Repo = None,
    claim: Annotated[bool, typer.Option("--claim", help="Claim it, so that nobody else gets it.")] = False,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Show the ready feature with the highest score, and how the score is computed."""
    with ready_engine().begin() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        ids = next_work.get_next_work(connection, actor=actor_name(as_), repository_id=id_, claim=claim)
        item = work_items.show(connection, ids[0]) if ids else None
        reasons = next_work.reasoning(connection, ids[0]) if ids else []
        explanation = safe_work_planner.explain(connection, ids[0]) if ids else []
    if json:
        print_json({**item, "reasoning": reasons, "explanation": explanation} if item else None)
        return
    if item is None:
        console.print("No feature is ready.")
        return
    print_fields(
        {k: item[k] for k in ("id", "title", "state", "repository", "path", "description", "acceptance")}
    )
    console.print()
    for line in reasons:
        console.print(line, soft_wrap=True)
    console.print()
    for line in explanation:
        console.print(line)


@app.command()
def show(id_: Id, json: JsonFlag = False) -> None:
    """Show one item, how its score is computed, and its history."""
    with ready_engine().connect() as connection:
        item = work_items.resolve_id(connection, id_)
        row = work_items.show(connection, item)
        explanation = safe_work_planner.explain(connection, item)
    if json:
        print_json({**row, "explanation": explanation})
        return
    history = row.pop("history")
    row.pop("inputs")
    print_fields(row)
    console.print()
    for line in explanation:
        console.print(line)
    print_rows(history, empty="", title="History")


@app.command()
def progress(repo: Repo = None, json: JsonFlag = False) -> None:
    """Count items by level and state; percentages are weighted by job size."""
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = plan_history.progress(connection, id_)
    print_json(rows) if json else print_rows(rows, empty="No work item.")


@app.command("set")
def set_(
    id_: Id,
    name: Annotated[
        str, typer.Argument(help="business_value, time_criticality, risk_reduction or job_size.")
    ],
    value: Annotated[int, typer.Argument(help="1, 2, 3, 5, 8, 13 or 20.")],
    as_: As = None,
) -> None:
    """Set an input of the score; the derived value no longer counts."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        safe_work_planner.set_input(connection, item, name, value, actor=actor_name(as_))
        explanation = safe_work_planner.explain(connection, item)
    for line in explanation:
        console.print(line)


@app.command()
def move(
    id_: Id, state: Annotated[str, typer.Argument(help="Such as `done` or `cancelled`.")], as_: As = None
) -> None:
    """Move an item to another state; the states of its parents follow."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        work_items.move(connection, [item], state, actor=actor_name(as_))
    console.print(f"{item} is {state}")


@app.command()
def depend(
    id_: Id, on: Annotated[list[str], typer.Argument(help="Items of the same level that it depends on.")]
) -> None:
    """Make an item depend on others."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        work_items.depend(connection, item, [work_items.resolve_id(connection, other) for other in on])
    console.print(f"{item} depends on {len(on)} items")


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="The request; - reads standard input.")],
    relates_to: Annotated[
        str | None, typer.Option(help="The parent item; default: the most similar one.")
    ] = None,
    updates: Annotated[str | None, typer.Option(help="The item whose description it replaces.")] = None,
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="The repository it concerns.")] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Turn a free text into a work item: at once if the confidence is high, else after a decision."""
    request = sys.stdin.read() if text == "-" else text
    actor = actor_name(as_)
    engine = ready_engine()
    analysis = None
    if settings().execution.classifier == "model":
        analysis = classify_by_model(engine, request)
    with engine.begin() as connection:
        repository = None if repo is None else current_snapshot(connection, repository_name(connection, repo))
        result = work_chunks.add_chunk(
            connection,
            request,
            requested_by=actor,
            relates_to=work_items.resolve_id(connection, relates_to) if relates_to else None,
            updates=work_items.resolve_id(connection, updates) if updates else None,
            repository_id=repository.repository_id if repository else None,
            analysis=analysis,
        )
        approval = None
        if result.state == "waiting":
            payload = work_chunks.decision_payload(result.chunk_id)
            approval = request_workflow(
                connection,
                work_chunks.DECISION,
                payload,
                requested_by=actor,
                reason=result.analysis.name,
                evidence={"text": request, **result.analysis.as_json()},
            )
    fields = {
        "chunk": result.chunk_id,
        "state": result.state,
        "action": result.analysis.action,
        "level": result.analysis.level,
        "name": result.analysis.name,
        "confidence": result.analysis.confidence,
        "reasons": "; ".join(result.analysis.reasons),
        "work_item": result.work_item_id,
        "approval": approval,
    }
    print_json(fields) if json else print_fields(fields)
    if result.state == "escalated" and not json:
        console.print(f"\nThe confidence is too low: qflow work decide {str(result.chunk_id)[:18]} --apply")


@app.command()
def texts(json: JsonFlag = False, limit: Limit = 30) -> None:
    """List texts that are not decided yet."""
    with ready_engine().connect() as connection:
        rows = work_chunks.undecided(connection, limit)
    print_json(rows) if json else print_rows(rows, empty="No text is pending.")


@app.command()
def decide(
    id_: Annotated[str, typer.Argument(metavar="TEXT", help="Id of the text, or a unique prefix.")],
    apply: Annotated[
        bool | None, typer.Option("--apply/--reject", help="Turn it into a work item, or reject it.")
    ] = None,
    as_: As = None,
) -> None:
    """Decide on a text that was escalated."""
    if apply is None:
        raise UsageError("pass --apply or --reject")
    with ready_engine().begin() as connection:
        chunk = resolve(connection, id_, table="work_chunks", noun="text", see="qflow work texts")
        item = work_chunks.decide(connection, chunk, apply=apply, actor=actor_name(as_))
    console.print(f"work item {item}" if item else "rejected")


work_iterations.add_to(app)
work_exchange.add_to(app)
