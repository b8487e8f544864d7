"""`qflow errors`: reporting errors, and the groups they form."""

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

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
from qflow_dagster.infrastructure import error_rate_tracker, error_records
from qflow_dagster.ingestion import suspects

app = typer.Typer(no_args_is_help=True)
Ids = Annotated[list[str], typer.Argument(help="Ids of error groups, or unique prefixes.")]
Reason = Annotated[str | None, typer.Option("--reason", help="The reason; it goes into the history.")]


@app.command()
def track(
    operation: Annotated[str, typer.Argument(help="The operation that failed, such as `payments.charge`.")],
    message: Annotated[
        str, typer.Argument(help="The error message; - reads a stack trace from standard input.")
    ],
    kind: Annotated[str, typer.Option(help="The error type, such as `TimeoutError`.")] = "Error",
    severity: Annotated[str, typer.Option(help="debug, info, warning, error or critical.")] = "error",
    correlation: Annotated[
        str | None, typer.Option(help="Correlation id that connects related errors.")
    ] = None,
) -> None:
    """Report an error from a script."""
    stack = None
    if message == "-":
        stack = sys.stdin.read()
        message = next((line for line in reversed(stack.splitlines()) if line.strip()), "")
    occurrence = error_rate_tracker.Occurrence(
        operation=operation,
        kind=kind,
        message=message,
        stack=stack,
        severity=severity,
        correlation_id=correlation,
        source="cli",
    )
    with ready_engine().begin() as connection:
        error_rate_tracker.track_errors(connection, [occurrence])


@app.command("list")
def list_(
    state: Annotated[
        str | None, typer.Option(help="open, acknowledged, regressed, resolved, muted, or all.")
    ] = None,
    operation: Annotated[str | None, typer.Option(help="Only of this operation.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List errors, the latest seen first; by default the open ones."""
    engine = ready_engine()
    suspects.analyze_errors(engine)
    with engine.connect() as connection:
        groups = error_records.find(connection, state=state, operation=operation, limit=limit)
    if json:
        print_json(groups)
        return
    rows = [
        {
            "id": str(row["id"])[:18],
            "state": row["state"],
            "count": row["count"],
            "last_seen": row["last_seen"],
            "operation": row["operation"],
            "kind": row["kind"],
            "class": row["classification"],
            "message": row["message"].split("\n")[0][:80],
        }
        for row in groups
    ]
    print_rows(rows, empty="No error matches." if state else "No error is open.")


@app.command()
def show(
    error: Annotated[str, typer.Argument(help="Id of the group, or a unique prefix.")], json: JsonFlag = False
) -> None:
    """Show an error: advice, where it happens, the suspected commit, its last occurrences."""
    with ready_engine().connect() as connection:
        group = error_records.show(connection, error_records.resolve_id(connection, error))
    if json:
        print_json(group)
        return
    occurrences, frames, suspect = group.pop("occurrences"), group.pop("frames"), group["suspect"]
    if suspect:
        group["suspect"] = (
            f"{suspect['commit'][:10]} {suspect['subject']} ({suspect['author']}, {suspect['committed_at'][:10]}), "
            f"{suspect['path']}:{suspect['line']} in {suspect['repository']}"
        )
    print_fields(group)
    print_rows(frames, empty="No stack was recorded.", title="Frames")
    table_rows = [
        {name: row[name] for name in ("at", "severity", "source", "message")} for row in occurrences
    ]
    print_rows(table_rows, empty="Its occurrences are past their retention.", title="Occurrences")


@app.command()
def rates(
    window: Annotated[float, typer.Option(min=1, max=86_400, help="Seconds back.")] = 60,
    json: JsonFlag = False,
) -> None:
    """Show the error rate of every operation."""
    with ready_engine().connect() as connection:
        rates_by_operation = error_rate_tracker.rates(connection, window=window)
    rows: list[dict[str, Any]] = [
        {"operation": rate.operation, "errors": rate.errors, "calls": rate.total, "rate": rate.rate}
        for rate in rates_by_operation
    ]
    print_json(rows) if json else print_rows(rows, empty=f"No call within {window:.0f} s.")


def _decision(state: str, message: str) -> Callable[..., None]:
    def decide(errors: Ids, reason: Reason = None, actor: As = None) -> None:
        with ready_engine().begin() as connection:
            ids = [error_records.resolve_id(connection, prefix) for prefix in errors]
            error_records.decide(connection, ids, state, actor=actor_name(actor), reason=reason)
        for id_ in ids:
            console.print(f"{id_} {message}")

    return decide


app.command("ack", help="Mark as being looked at.")(_decision("acknowledged", "acknowledged"))
app.command("resolve", help="Mark as fixed; if it occurs again, it has regressed.")(
    _decision("resolved", "resolved")
)
app.command("mute", help="Send no more notifications of it.")(_decision("muted", "muted"))
app.command("reopen", help="Reopen a resolved or muted error.")(_decision("open", "open again"))
