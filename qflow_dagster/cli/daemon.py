"""`qflow daemon`: Dagster's daemon by itself, woken by what happens, where `qflow up` does not start it."""

import os
from pathlib import Path
from typing import Annotated

import typer

from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import ready_engine


def daemon(
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace",
            "-w",
            exists=True,
            help="A workspace.yaml: the code servers to use; default: none, the definitions are loaded here.",
        ),
    ] = None,
) -> None:
    """Evaluate sensors and schedules and launch queued runs, until Ctrl-C."""
    ready_engine()
    os.environ.update(dagster_environment())
    from qflow_dagster.launching import broker
    from qflow_dagster.launching import daemon as woken_daemon

    broker.install()
    woken_daemon.run(workspace)
