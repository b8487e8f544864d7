"""`qflow breakers`: circuit breakers, and holding one open or closed by hand."""

from typing import Annotated

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
from qflow_dagster.infrastructure import circuit_breaker
from qflow_dagster.quantumflow import get_events

app = typer.Typer(no_args_is_help=True)
Operation = Annotated[str, typer.Argument(help="The operation it guards.")]


@app.command("list")
def list_(
    state: Annotated[str | None, typer.Option(help="closed, open or half_open.")] = None,
    json: JsonFlag = False,
    limit: Limit = 100,
) -> None:
    """List circuit breakers with the seconds until the next probe."""
    with ready_engine().connect() as connection:
        breakers = circuit_breaker.breakers(connection, status=state, limit=limit)
    if json:
        print_json(breakers)
        return
    rows = [{name: value for name, value in row.items() if name != "id"} for row in breakers]
    print_rows(rows, empty="No circuit breaker matches; one is created when a call of its operation fails.")


@app.command()
def show(operation: Operation, json: JsonFlag = False) -> None:
    """Show one circuit breaker and its history."""
    with ready_engine().connect() as connection:
        breaker = circuit_breaker.show(connection, operation)
        events = [
            {
                "at": event.at,
                "from": event.from_status,
                "to": event.to_status,
                "actor": event.actor,
                "reason": (event.data or {}).get("reason"),
            }
            for event in get_events(connection, breaker["id"])
        ]
    if json:
        print_json({**breaker, "history": events})
        return
    print_fields(breaker)
    print_rows(events[-20:], empty="", title="History")


@app.command()
def reset(operation: Operation, actor: As = None) -> None:
    """Close a circuit breaker: calls go through again, and it opens again as usual."""
    with ready_engine().begin() as connection:
        circuit_breaker.reset(connection, operation, actor=actor_name(actor))
    console.print(f"{operation}: closed")


@app.command("open")
def open_(
    operation: Operation,
    reason: Annotated[str, typer.Option("--reason", help="The reason.")],
    actor: As = None,
) -> None:
    """Hold a circuit breaker open, for example during maintenance: no call is made until `release`."""
    _hold(operation, "open", actor, reason)


@app.command()
def close(
    operation: Operation,
    reason: Annotated[str, typer.Option("--reason", help="The reason.")],
    actor: As = None,
) -> None:
    """Hold a circuit breaker closed: every call is made, whatever fails, until `release`."""
    _hold(operation, "closed", actor, reason)


@app.command()
def release(operation: Operation, actor: As = None) -> None:
    """End `open` or `close`: the circuit breaker probes or counts as usual again."""
    with ready_engine().begin() as connection:
        circuit_breaker.release(connection, operation, actor=actor_name(actor))
    console.print(f"{operation}: released")


def _hold(operation: str, state: str, actor: str | None, reason: str) -> None:
    with ready_engine().begin() as connection:
        circuit_breaker.hold(connection, operation, state, actor=actor_name(actor), reason=reason)
    console.print(f"{operation}: held {state}")
