"""`qflow sparc`: goals and their phases."""

from typing import Annotated

import typer
from rich.markdown import Markdown

from qflow_dagster.agents import sparc_changes
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
from qflow_dagster.execution import sparc, sparc_records, sparc_strategies, sparc_worker, work_items
from qflow_dagster.ingestion import repositories
from qflow_dagster.safety.display import visible

app = typer.Typer(no_args_is_help=True)
Id = Annotated[str, typer.Argument(metavar="ID", help="Id of a goal, or its beginning.")]


@app.command()
def start(
    goal: Annotated[
        str | None,
        typer.Argument(help="What is to be reached: 'cognitive complexity of src/app.py below 15'."),
    ] = None,
    repo: Annotated[
        str | None, typer.Option("--repo", "-r", help="The repository, with a goal in words.")
    ] = None,
    item: Annotated[
        str | None, typer.Option("--item", "-i", help="A work item instead (qflow work list).")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="Its name (qflow sparc strategies); default: chosen by how they did.")
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
    """Work on goals in this process until all wait for somebody."""
    with console.status("working on goals"):
        done = sparc_worker.work(
            ready_engine(),
            sparc_changes.MAKERS,
            sparc_changes.check_completion,
            worker=f"{actor_name(None)} by hand",
        )
    if json:
        print_json(done._asdict())
        return
    console.print(
        f"{done.phases:,} phases, {done.rejected:,} of them rejected; {done.failed:,} attempts failed; "
        f"{done.met:,} goals met"
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
    known("state of a goal", state, sparc.GOAL.states)
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = sparc_records.find(connection, state=state, repository_id=id_, limit=limit)
    if json:
        print_json(rows)
        return
    names = ("state", "phase", "round", "strategy", "repository", "target")
    shown = [{"id": str(row["id"])[:18], **{name: row[name] for name in names}} for row in rows]
    print_rows(shown, empty="No goal; `qflow sparc start` starts one.")


@app.command()
def show(
    id_: Id,
    artifacts: Annotated[
        bool, typer.Option("--artifacts", "-a", help="With what each phase put out.")
    ] = False,
    json: JsonFlag = False,
) -> None:
    """One goal: its phases, their gates, and what was measured."""
    with ready_engine().connect() as connection:
        found = sparc_records.show(connection, sparc_records.resolve_id(connection, id_))
    if json:
        print_json(found)
        return
    phases = found.pop("phases")
    events = found.pop("history")
    print_fields(found)
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
def strategies(json: JsonFlag = False) -> None:
    """The strategies, and how they did."""
    with ready_engine().connect() as connection:
        known = {row["strategy"]: row for row in sparc_strategies.statistics(connection)}
    rows = [
        {"about": one.description, **known.get(one.name, {}), "strategy": one.name}
        for one in sparc_strategies.STRATEGIES
    ]
    if json:
        print_json(rows)
        return
    names = ("strategy", "uses", "succeeded", "success_rate", "rework_rate", "cost", "about")
    print_rows([{name: row.get(name) for name in names} for row in rows], empty="No strategy.")


@app.command("go-on")
def resume(
    id_: Id,
    at: Annotated[
        str, typer.Option("--at", help="The phase to go on with; what is before it is taken as accepted.")
    ],
    reason: Annotated[str | None, typer.Option("--reason", help="Why; it goes into the history.")] = None,
    as_: As = None,
) -> None:
    """Let a goal that asked for a person go on."""
    with ready_engine().begin() as connection:
        goal = sparc_records.resolve_id(connection, id_)
        sparc.resume(connection, goal, at, actor=actor_name(as_), reason=reason)
    console.print(f"it goes on with {at}")


@app.command("give-up")
def abandon(
    id_: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why; it goes into the history.")],
    as_: As = None,
) -> None:
    """Give a goal up; its work item goes back to the backlog."""
    with ready_engine().begin() as connection:
        goal = sparc_records.resolve_id(connection, id_)
        sparc.abandon(connection, goal, actor=actor_name(as_), reason=reason)
    console.print("given up")
