"""`qflow work`: the plan."""

import sys
from typing import Annotated

import typer

from qflow_dagster.approvals.approved_workflows import request_workflow
from qflow_dagster.cli.metrics import repository_name
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    known,
    print_fields,
    print_json,
    print_rows,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.execution import next_work, safe_work_planner, work_chunks, work_items
from qflow_dagster.execution.model_classifier import classify_by_model
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.quantumflow import resolve
from qflow_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)
Repo = Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")]
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of a work item, or its beginning.")]


@app.command("list")
def list_(
    repo: Repo = None,
    level: Annotated[str | None, typer.Option(help="theme, epic, capability or feature.")] = "feature",
    state: Annotated[str, typer.Option(help="open, all, or a state as `in_progress`.")] = "open",
    source: Annotated[str | None, typer.Option(help="findings, metric, error or text.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List work items, the highest WSJF first."""
    known("level", level, work_items.LEVELS)
    known("state", state, ("open", "all", *work_items.STATES))
    known("source", source, work_items.SOURCES)
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = work_items.find(
            connection, repository_id=id_, level=level, state=state, source=source, limit=limit
        )
    if json:
        print_json(rows)
        return
    shown = [
        {"id": str(row["id"])[:18], **{k: row[k] for k in ("wsjf", "state", "repository", "title")}}
        for row in rows
    ]
    print_rows(shown, empty="Nothing is planned; `qflow run` plans what it finds.")


@app.command()
def tree(repo: Repo = None, json: JsonFlag = False) -> None:
    """Themes, epics and capabilities, with how many features each has."""
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = work_items.tree(connection, id_)
    if json:
        print_json(rows)
        return
    if not rows:
        console.print("Nothing is planned; `qflow run` plans what it finds.")
    for row in rows:
        features = (
            f"  {row['done']}/{row['features']} features"
            + (f", best {row['best']:.2f}" if row["best"] is not None else "")
            if row["features"]
            else ""
        )
        words = f"{'  ' * row['depth']}{row['level']} {row['title']}  ({row['state']}){features}"
        console.print(words, soft_wrap=True)


@app.command("next")
def next_(
    repo: Repo = None,
    claim: Annotated[bool, typer.Option("--claim", help="Take it: nobody else gets it then.")] = False,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """The feature that pays most for its size, and why."""
    with ready_engine().begin() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        found = next_work.get_next_work(connection, actor=actor_name(as_), repository_id=id_, claim=claim)
        shown = work_items.show(connection, found[0]) if found else None
        why = safe_work_planner.explain(connection, found[0]) if found else []
    if json:
        print_json(shown)
        return
    if shown is None:
        console.print("No feature is ready.")
        return
    print_fields(
        {k: shown[k] for k in ("id", "title", "state", "repository", "path", "description", "acceptance")}
    )
    console.print()
    for line in why:
        console.print(line)


@app.command()
def show(id_: Id, json: JsonFlag = False) -> None:
    """One item, how its score comes about, and its history."""
    with ready_engine().connect() as connection:
        item = work_items.resolve_id(connection, id_)
        shown = work_items.show(connection, item)
        why = safe_work_planner.explain(connection, item)
    if json:
        print_json({**shown, "explanation": why})
        return
    history = shown.pop("history")
    shown.pop("inputs")
    print_fields(shown)
    console.print()
    for line in why:
        console.print(line)
    print_rows(history, empty="", title="History")


@app.command()
def progress(repo: Repo = None, json: JsonFlag = False) -> None:
    """Items by level and state; percentages weighted by job size."""
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = work_items.progress(connection, id_)
    print_json(rows) if json else print_rows(rows, empty="Nothing is planned.")


@app.command("set")
def set_(
    id_: Id,
    name: Annotated[
        str, typer.Argument(help="business_value, time_criticality, risk_reduction or job_size.")
    ],
    value: Annotated[int, typer.Argument(help="1 to 10; job_size one of 1 2 3 5 8 13 20.")],
    as_: As = None,
) -> None:
    """State an input of the score; what was derived for it no longer counts."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        safe_work_planner.set_input(connection, item, name, value, actor=actor_name(as_))
        why = safe_work_planner.explain(connection, item)
    for line in why:
        console.print(line)


@app.command()
def move(
    id_: Id, state: Annotated[str, typer.Argument(help="As `done` or `cancelled`.")], as_: As = None
) -> None:
    """Move an item to another state; its parents follow."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        work_items.move(connection, [item], state, actor=actor_name(as_))
    console.print(f"{item} is {state}")


@app.command()
def depend(
    id_: Id, on: Annotated[list[str], typer.Argument(help="Items of the same level it waits for.")]
) -> None:
    """Make an item wait for others."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        work_items.depend(connection, item, [work_items.resolve_id(connection, other) for other in on])
    console.print(f"{item} waits for {len(on)}")


@app.command()
def add(
    text: Annotated[str, typer.Argument(help="What is wanted; - reads standard input.")],
    relates_to: Annotated[
        str | None, typer.Option(help="The item above it; default: the most similar.")
    ] = None,
    updates: Annotated[str | None, typer.Option(help="The item whose description it replaces.")] = None,
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="The repository it is about.")] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Plan a free text: at once where it is clear, by an approval where it is likely, else by `qflow work decide`."""
    given = sys.stdin.read() if text == "-" else text
    actor = actor_name(as_)
    engine = ready_engine()
    analysis = None
    if settings().execution.classifier == "model":
        analysis = classify_by_model(engine, given, updates=updates is not None)
    with engine.begin() as connection:
        repository = None if repo is None else current_snapshot(connection, repository_name(connection, repo))
        added = work_chunks.add_chunk(
            connection,
            given,
            requested_by=actor,
            relates_to=work_items.resolve_id(connection, relates_to) if relates_to else None,
            updates=work_items.resolve_id(connection, updates) if updates else None,
            repository_id=repository.repository_id if repository else None,
            analysis=analysis,
        )
        approval = None
        if added.state == "waiting":
            payload = work_chunks.decision_payload(added.chunk_id)
            approval = request_workflow(
                connection,
                work_chunks.DECISION,
                payload,
                requested_by=actor,
                reason=added.analysis.name,
                evidence={"text": given, **added.analysis.as_json()},
            )
    result = {
        "chunk": added.chunk_id,
        "state": added.state,
        "level": added.analysis.level,
        "name": added.analysis.name,
        "confidence": added.analysis.confidence,
        "reasons": "; ".join(added.analysis.reasons),
        "work_item": added.work_item_id,
        "approval": approval,
    }
    print_json(result) if json else print_fields(result)
    if added.state == "escalated" and not json:
        console.print(f"\nIt is not clear enough: qflow work decide {str(added.chunk_id)[:18]} --apply")


@app.command()
def texts(json: JsonFlag = False, limit: Limit = 30) -> None:
    """Texts that nobody has decided yet."""
    with ready_engine().connect() as connection:
        rows = work_chunks.undecided(connection, limit)
    print_json(rows) if json else print_rows(rows, empty="No text waits.")


@app.command()
def decide(
    id_: Annotated[str, typer.Argument(metavar="TEXT", help="Id of a text, or its beginning.")],
    apply: Annotated[bool | None, typer.Option("--apply/--reject", help="Make it work, or not.")] = None,
    as_: As = None,
) -> None:
    """Decide a text that was escalated."""
    if apply is None:
        raise UsageError("say --apply or --reject")
    with ready_engine().begin() as connection:
        chunk = resolve(connection, id_, table="work_chunks", noun="text", see="qflow work texts")
        item = work_chunks.decide(connection, chunk, apply=apply, actor=actor_name(as_))
    console.print(f"work item {item}" if item else "rejected")
