"""`qflow listen`: follow the messages of a queue."""

import os
import socket
from typing import Annotated

import typer

from qflow_dagster import quantumflow
from qflow_dagster.cli.output import print_json
from qflow_dagster.database import ready_engine


def listen(
    queue: Annotated[str, typer.Argument(help="The queue, for example code_ingestion_notifications.")],
    consumer: Annotated[
        str | None,
        typer.Option(
            help="Resume where the consumer of this name stopped; default: a new consumer, from now on."
        ),
    ] = None,
    idle: Annotated[float | None, typer.Option(min=0, help="End after so many seconds without one.")] = None,
) -> None:
    """Print each message of a queue as a line of JSON; Ctrl-C ends it.

    A named consumer misses nothing: messages sent while it was away are printed first.
    """
    engine = ready_engine()
    name = consumer or f"cli-{socket.gethostname()}-{os.getpid()}"
    try:
        for message in quantumflow.listen(
            engine, queue, name, start="first" if consumer else "next", idle=idle
        ):
            line = {
                "id": message.position.id,
                "queue": queue,
                "at": message.created_at.isoformat(),
                "payload": message.payload,
            }
            print_json(line, indent=None)
            with engine.begin() as connection:
                quantumflow.acknowledge(connection, name, message)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
    finally:
        if consumer is None:
            with engine.begin() as connection:
                quantumflow.unsubscribe(connection, queue, name)
