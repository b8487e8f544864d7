"""`qflow sparc`: goals and their phases."""

from typing import Annotated

import typer
from rich.markdown import Markdown

from qflow_dagster.agents import sparc_changes, sparc_drafts
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
    renamed,
    worker_name,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.execution import sparc, sparc_records, sparc_strategies, sparc_worker, work_items
from qflow_dagster.ingestion import repositories
from qflow_dagster.safety.display import visible

app = typer.Typer(no_args_is_help=True, context_settings=renamed(go_on="resume", give_up="abandon"))
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of the goal, or a unique prefix.")]


@app.command()
def start(
    goal: Annotated[
        str | None,
        typer.Argument(help="The target: 'cognitive complexity of src/app.py below 15'."),
    ] = None,
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="The repository of the target.")] = None,
    item: Annotated[
        str | None, typer.Option("--item", "-i", help="A work item instead (qflow work list).")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Its name (qflow sparc strategies); default: chosen by past results.")
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Start a goal; the daemon works on it, or `qflow sparc work` here."""
    with ready_engine().begin() as connection:
        work_item = None if item is None else work_items.resolve_id(connection, item)
        id_ = sparc.start(
            connection,
            requested_by=actor_name(as_),
            work_item=work_item,
            repository=repo,
            description=goal,
            strategy=strategy,
        )
    print_json({"id": str(id_)}) if json else console.print(str(id_))


@app.command()
def work(json: JsonFlag = False) -> None:
    """Work on goals in this process until no phase is ready."""
    with console.status("working on goals"):
        result = sparc_worker.work(
            ready_engine(),
            sparc_changes.MAKERS,
            sparc_changes.check_completion,
            worker=worker_name(),
        )
    if json:
        print_json(result._asdict())
        return
    console.print(
        f"{result.phases:,} phases, {result.rejected:,} of them rejected; {result.failed:,} attempts failed; "
        f"{result.met:,} goals met"
    )


@app.command("list")
def list_(
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")] = None,
    state: Annotated[
        str | None, typer.Option(help="working, tracking, needs_person, met, given_up or cancelled.")
    ] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List goals, the newest first."""
    check_choice("state of a goal", state, sparc.GOAL.states)
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = sparc_records.find(connection, state=state, repository_id=id_, limit=limit)
    if json:
        print_json(rows)
        return
    names = ("state", "phase", "round", "strategy", "repository", "target")
    table_rows = [{"id": str(row["id"])[:18], **{name: row[name] for name in names}} for row in rows]
    print_rows(table_rows, empty="No goal; `qflow sparc start` starts one.")


@app.command()
def show(
    id_: Id,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", "-a", help="Include the artifact of each phase.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """Show one goal: its phases, their gates, and what was measured."""
    with ready_engine().connect() as connection:
        goal = sparc_records.show(connection, sparc_records.resolve_id(connection, id_))
    if json:
        print_json(goal)
        return
    phases = goal.pop("phases")
    events = goal.pop("history")
    print_fields(goal)
    console.print()
    names = ("phase", "round", "state", "author", "gate", "seconds", "reason")
    print_rows([{name: phase[name] for name in names} for phase in phases], empty="No phase yet.")
    last = events[-1]
    reason = (last["data"] or {}).get("reason") or ""
    console.print(f"\n{last['at']:%Y-%m-%d %H:%M} {last['to']}: {reason}")
    if artifacts:
        for phase in phases:
            console.rule(f"{phase['phase']}, round {phase['round']}")
            # No link of the text becomes one of the terminal's.
            console.print(Markdown(visible(phase["artifact"] or "*nothing yet*"), hyperlinks=False))


@app.command()
def strategies(
    drafts: Annotated[
        bool, typer.Option(help="List what models drafted, and which gates refused it.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """List the strategies and their results."""
    if drafts:
        with ready_engine().connect() as connection:
            drafted = sparc_drafts.statistics(connection)
        if json:
            print_json(drafted)
        else:
            print_rows(drafted, empty="No model has drafted anything.")
        return
    with ready_engine().connect() as connection:
        by_name = {row["strategy"]: row for row in sparc_strategies.statistics(connection)}
    rows = [
        {"about": strategy.description, **by_name.get(strategy.name, {}), "strategy": strategy.name}
        for strategy in sparc_strategies.STRATEGIES
    ]
    if json:
        print_json(rows)
        return
    names = ("strategy", "uses", "succeeded", "success_rate", "rework_rate", "cost", "about")
    print_rows([{name: row.get(name) for name in names} for row in rows], empty="No strategy.")


@app.command()
def resume(
    id_: Id,
    at: Annotated[
        str, typer.Option("--at", help="The phase to resume at; earlier phases count as accepted.")
    ],
    reason: Annotated[
        str | None, typer.Option("--reason", help="The reason; it goes into the history.")
    ] = None,
    as_: As = None,
) -> None:
    """Resume a goal that needs a person or was abandoned."""
    with ready_engine().begin() as connection:
        goal = sparc_records.resolve_id(connection, id_)
        sparc.resume(connection, goal, at, actor=actor_name(as_), reason=reason)
    console.print(f"resumed at {at}")


@app.command()
def abandon(
    id_: Id,
    reason: Annotated[str, typer.Option("--reason", help="The reason; it goes into the history.")],
    as_: As = None,
) -> None:
    """Abandon a goal; its work item goes back to the backlog."""
    with ready_engine().begin() as connection:
        goal = sparc_records.resolve_id(connection, id_)
        sparc.abandon(connection, goal, actor=actor_name(as_), reason=reason)
    console.print("abandoned")
