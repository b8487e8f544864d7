"""`qflow suggestions`: changes that passed all gates."""

from typing import Annotated

import typer

from qflow_dagster.agents import exclusion, self_improvement, suggestion_states, suggestion_statistics
from qflow_dagster.cli.output import (
    JsonFlag,
    Limit,
    actor_name,
    check_choice,
    console,
    print_code,
    print_fields,
    print_json,
    print_rows,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.ingestion import repositories

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")] = None,
    state: Annotated[
        str | None, typer.Option(help="Such as `awaiting_approval` or `verified`; default: all.")
    ] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List suggestions, the newest first."""
    check_choice("state of a suggestion", state, suggestion_states.SUGGESTION.states)
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = self_improvement.find(
            connection, repository_id=id_, states=[state] if state else [], limit=limit
        )
    if json:
        print_json(rows)
        return
    table_rows = [
        {
            "id": str(row["id"])[:18],
            "state": row["state"],
            "risk": row["risk"],
            "lines": row["lines"],
            "title": row["title"],
            "by": "+".join(row["sources"]),
            "approval": str(row["approval"])[:18],
            "reason": row["state_reason"] or "",
        }
        for row in rows
    ]
    print_rows(
        table_rows,
        empty="No suggestion; `qflow run` creates them where rules have findings that can be fixed.",
    )


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID")], json: JsonFlag = False) -> None:
    """Show one suggestion: its patch, its gates, and its history."""
    with ready_engine().connect() as connection:
        suggestion = self_improvement.show(connection, self_improvement.resolve_id(connection, id_))
    if json:
        print_json(suggestion)
        return
    patch, gates, history = (suggestion.pop(name) for name in ("patch", "gates", "history"))
    print_fields(suggestion)
    console.print()
    print_code(patch, "diff")
    print_rows(gates, empty="", title="Gates")
    print_rows(history, empty="", title="History")


@app.command()
def exclude(
    id_: Annotated[str, typer.Argument(metavar="ID")],
    locations: Annotated[
        list[str], typer.Argument(metavar="PATH:LINE...", help="Locations that `show` lists.")
    ],
    reason: Annotated[str, typer.Option(help="Why they stay as they are; their findings are suppressed.")],
    actor: Annotated[str | None, typer.Option("--as", help="Your name; default: your account.")] = None,
) -> None:
    """Leave locations out of a suggestion; the rest becomes a suggestion, and a request for approval, of its own."""
    engine = ready_engine()
    with engine.connect() as connection:
        suggestion = self_improvement.resolve_id(connection, id_)
    new = exclusion.exclude(engine, suggestion, locations, actor=actor_name(actor), reason=reason)
    console.print(f"Suggestion {suggestion} is superseded by {new}, without {', '.join(locations)}.")
    console.print(f"Next: qflow suggestions show {new}")


@app.command()
def statistics(
    by: Annotated[str, typer.Option(help="rule, generator, agent, repository or week.")] = "rule",
    json: JsonFlag = False,
) -> None:
    """Show how many suggestions were accepted, rejected and reverted, and how long it took."""
    with ready_engine().connect() as connection:
        rows = suggestion_statistics.statistics(connection, by)
    print_json(rows) if json else print_rows(rows, empty="No suggestion yet.")
