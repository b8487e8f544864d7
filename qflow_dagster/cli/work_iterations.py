"""The commands of `qflow work` for time: iterations with capacity, and the forecast."""

from datetime import datetime
from typing import Annotated

import typer

from qflow_dagster.cli.output import As, JsonFlag, actor_name, console, print_json, print_rows
from qflow_dagster.database import ready_engine
from qflow_dagster.execution import iterations, work_items
from qflow_dagster.ingestion import repositories

_DAY = ["%Y-%m-%d"]


def iteration(
    name: Annotated[str, typer.Argument(help="Its name, such as `2026.3`.")],
    starts: Annotated[datetime, typer.Argument(formats=_DAY, help="Its first day.")],
    ends: Annotated[datetime, typer.Argument(formats=_DAY, help="Its last day.")],
    capacity: Annotated[float | None, typer.Option(help="Job size that the team can do in it.")] = None,
    within: Annotated[str | None, typer.Option("--in", help="The planning interval it is part of.")] = None,
) -> None:
    """Create an iteration or planning interval, or change it."""
    with ready_engine().begin() as connection:
        iterations.save(
            connection, name, starts.date(), ends.date(), capacity=capacity, planning_interval=within
        )
    console.print(f"{name}: {starts.date()} to {ends.date()}")


def list_iterations(json: JsonFlag = False) -> None:
    """List iterations with capacity, planned and finished job size, and what is beyond the capacity."""
    with ready_engine().connect() as connection:
        rows = iterations.loads(connection)
    print_json(rows) if json else print_rows(
        rows, empty="No iteration; create one with qflow work iteration."
    )


def schedule(
    id_: Annotated[str, typer.Argument(metavar="ITEM", help="Id of the item, or a unique prefix.")],
    iteration_name: Annotated[str, typer.Argument(metavar="ITERATION")],
    as_: As = None,
) -> None:
    """Plan an item for an iteration."""
    with ready_engine().begin() as connection:
        item = work_items.resolve_id(connection, id_)
        iterations.schedule(connection, item, iteration_name, actor=actor_name(as_))
    console.print(f"{item} is planned for {iteration_name}")


def forecast(
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show by when the open work will be done, by simulation on what was done in the last 90 days of the plan."""
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        found = iterations.forecast(connection, id_)
    if json:
        print_json({**found._asdict(), "dates": {str(share): day for share, day in found.dates.items()}})
        return
    level = {"feature": "features", "story": "stories"}[work_items.planned_level()]
    console.print(f"{found.open} {level} are open, {found.done} were done in {found.days} days")
    for share, day in found.dates.items():
        done = f"by {day}" if day is not None else "not foreseeable: too little was done in these days"
        console.print(f"{share:.0%}: {done}")


def add_to(app: typer.Typer) -> None:
    """Add the commands to `qflow work`."""
    app.command("iteration")(iteration)
    app.command("iterations")(list_iterations)
    app.command("schedule")(schedule)
    app.command("forecast")(forecast)
