"""`qflow up`: the database, Dagster's daemon and its web page, until Ctrl-C."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from typing import Annotated

import typer
from rich.console import Console
from sqlalchemy import text

from qflow_dagster.cli.session import dagster_environment, ready_engine, workspace_file
from qflow_dagster.database import embedded
from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings

START_TIMEOUT = 180
STOP_TIMEOUT = 30


def up(
    host: Annotated[str | None, typer.Option(help="Address to serve on; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="Port to serve on; default: 3000.")] = None,
) -> None:
    """Start everything and print the address of the web page; Ctrl-C stops it all in order."""
    console = Console(stderr=True, highlight=False)
    host, port = host or settings().dagster.host, port or settings().dagster.port
    with console.status("starting PostgreSQL"):
        ready_engine()
        environment = {**os.environ, **dagster_environment()}
        # `dg dev` is its successor; this one needs no more packages, and serves the same page.
        environment["PYTHONWARNINGS"] = "ignore:Function `dev_command` is superseded"
    address = f"http://{host}:{port}"
    if _answers(address):
        raise QflowError(
            f"{address} is in use already; stop that server, or choose another: qflow up --port N"
        )
    command = [
        sys.executable, "-m", "dagster", "dev", "--workspace", str(workspace_file()),
        "--host", host, "--port", str(port), "--log-level", "warning",
    ]  # fmt: skip
    # A session of its own: Ctrl-C reaches us alone, and we stop the children in order.
    dagster = subprocess.Popen(command, env=environment, cwd=workspace_file().parent, start_new_session=True)
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    try:
        with console.status("starting Dagster (webserver and daemon)"):
            _wait_until_ready(dagster, address, stopping)
        if not stopping:
            console.print(f"[bold green]up[/] at [bold]{address}[/]  (Ctrl-C stops)")
        while not stopping and dagster.poll() is None:
            time.sleep(0.2)
        if not stopping:
            raise QflowError(f"Dagster ended by itself with exit code {dagster.returncode}; its log is above")
    finally:
        with console.status("stopping Dagster"):
            _stop(dagster)
        with console.status("stopping PostgreSQL"):
            stopped = _stop_database_if_unused()
        console.print("stopped" + ("" if stopped else "; PostgreSQL goes on, others use it"))


def _wait_until_ready(dagster: subprocess.Popen, address: str, stopping: list[int]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not stopping and not _answers(address):
        if dagster.poll() is not None:
            raise QflowError(f"Dagster did not start (exit code {dagster.returncode}); its log is above")
        if time.monotonic() > deadline:
            raise QflowError(f"Dagster did not answer at {address} within {START_TIMEOUT} s")
        time.sleep(0.3)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=2):  # noqa: S310  (our own http address)
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _stop(dagster: subprocess.Popen) -> None:
    """Interrupt Dagster, which ends its daemon, page and code server in order; then whatever is left."""
    if dagster.poll() is None:
        dagster.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            dagster.wait(STOP_TIMEOUT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(dagster.pid, signal.SIGKILL)
    dagster.wait()


def _stop_database_if_unused() -> bool:
    """Stop the embedded server unless somebody else is connected; a server of the user's is left alone."""
    if settings().database.url is not None:
        return True
    engine = ready_engine()
    with engine.connect() as connection:
        others = connection.scalar(
            text(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()
    return not others and embedded.stop(settings().home)
