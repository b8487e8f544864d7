"""`qflow notify`: notification endpoints, and the worker that delivers to them."""

import os
import signal
import socket
import threading
from typing import Annotated

import typer

from qflow_dagster.agents.request_description import explain
from qflow_dagster.cli.output import JsonFlag, console, print_json, print_rows
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.notifications import delivery, endpoints
from qflow_dagster.quantumflow import uuid7
from qflow_dagster.registry import Queue

app = typer.Typer(no_args_is_help=True)
QUEUES = ", ".join(Queue)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="A name for it.")],
    queue: Annotated[
        str, typer.Argument(help=f"The queue whose messages it gets: {QUEUES}, or one of your own.")
    ],
    address: Annotated[
        str,
        typer.Argument(
            help="https://... for signed JSON, an address of Apprise (slack://, msteams://, mailto://, ...), "
            "or a reference to it: env:NAME, file:PATH."
        ),
    ],
    only: Annotated[
        list[str] | None, typer.Option("--only", help="FIELD=VALUE, repeatable: only matching messages.")
    ] = None,
    severity: Annotated[
        str | None, typer.Option(help="Only messages at least so severe: info, warning, error, critical.")
    ] = None,
    digest: Annotated[
        int | None, typer.Option(help="Minutes between two messages, each for all since.")
    ] = None,
    quiet: Annotated[
        str | None, typer.Option(help="Hours without messages, such as 22:00-07:00; critical ones come.")
    ] = None,
    timezone: Annotated[str | None, typer.Option(help="Time zone of the quiet hours; default: UTC.")] = None,
    each: Annotated[
        bool, typer.Option("--each", help="Deliver each of equal messages, for programs.")
    ] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key", envvar="QFLOW_WEBHOOK_KEY", help="Key that signs the JSON; better set by the variable."
        ),
    ] = None,
) -> None:
    """Send the messages of a queue to an endpoint from now on. The address is stored encrypted."""
    options = {"severity": severity, "digest": digest, "quiet": quiet, "timezone": timezone, "each": each}
    with ready_engine().begin() as connection:
        endpoints.add(
            connection,
            name,
            queue,
            address,
            filters=_filters(only or []),
            options=options,
            signing_key=key,
        )
    console.print(f"{name}: receives messages of {queue}; try it with `qflow notify test {name}`")
    if queue not in set(Queue):
        console.print(f"{queue} is a queue of your own programs; those of qflow are {QUEUES}")


@app.command("list")
def list_(json: JsonFlag = False) -> None:
    """List endpoints; secrets in their addresses are hidden."""
    with ready_engine().connect() as connection:
        rows = [endpoints.masked(endpoint) for endpoint in endpoints.find(connection)]
    print_json(rows) if json else print_rows(
        rows, empty="No endpoint is registered; see `qflow notify add --help`."
    )


@app.command()
def test(name: Annotated[str, typer.Argument(help="The endpoint.")]) -> None:
    """Send a test message to an endpoint now, bypassing the queue."""
    with ready_engine().connect() as connection:
        [endpoint] = endpoints.find(connection, name=name)
    note = delivery.Note(
        str(uuid7()), endpoint.queue, "test of qflow", "If you read this, it works.", {"test": True}
    )
    delivery.send(endpoint, note)
    console.print(f"{name}: delivered")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="The endpoint.")]) -> None:
    """Remove an endpoint."""
    with ready_engine().begin() as connection:
        endpoints.remove(connection, name)
    console.print(f"{name}: removed")


@app.command()
def work() -> None:
    """Deliver notifications until Ctrl-C, as `qflow up` and `qflow inbox` do; several may run."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    worker = f"notifier {socket.gethostname()} {os.getpid()}"
    delivery.work(ready_engine(), stop, worker=worker, explain=explain)


def _filters(only: list[str]) -> dict[str, list[str]]:
    filters: dict[str, list[str]] = {}
    for condition in only:
        field, equals, value = condition.partition("=")
        if not field or not equals:
            raise UsageError(f"--only {condition!r}: expected FIELD=VALUE, for example to=approved")
        filters.setdefault(field, []).append(value)
    return filters
