"""`qflow up`: the database, Dagster's daemon and web page, the inbox and its notifier, until Ctrl-C."""

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

from qflow_dagster.cli.session import dagster_environment, workspace_file
from qflow_dagster.database import embedded, ready_engine
from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings

START_TIMEOUT = 180
STOP_TIMEOUT = 30


def up(
    host: Annotated[str | None, typer.Option(help="Address of Dagster's page; default: 127.0.0.1.")] = None,
    port: Annotated[int | None, typer.Option("--port", "-p", help="Its port; default: 3000.")] = None,
    inbox_port: Annotated[
        int | None, typer.Option("--inbox-port", help="Port of the inbox; default: 3001.")
    ] = None,
) -> None:
    """Start everything and print the addresses; Ctrl-C stops it all in order."""
    console = Console(stderr=True, highlight=False)
    limits = settings()
    host, port = host or limits.dagster.host, port or limits.dagster.port
    inbox_port = inbox_port or limits.inbox.port
    page, inbox_page = f"http://{host}:{port}", f"http://{limits.inbox.host}:{inbox_port}"
    with console.status("starting PostgreSQL"):
        ready_engine()
        environment = {**os.environ, **dagster_environment()}
        # Links lead there in either direction, and the health check asks there.
        environment |= {
            "QFLOW_DAGSTER_HOST": host,
            "QFLOW_DAGSTER_PORT": str(port),
            "QFLOW_INBOX_PORT": str(inbox_port),
        }
        # `dg dev` is its successor; this one needs no more packages, and serves the same page.
        environment["PYTHONWARNINGS"] = "ignore:Function `dev_command` is superseded"
    for address, option in ((f"{page}/server_info", "--port"), (f"{inbox_page}/health/live", "--inbox-port")):
        if _answers(address):
            raise QflowError(
                f"{address} is in use already; stop that server, or choose another: qflow up {option} N"
            )
    dagster = _start(
        environment, "dagster", "dev", "--workspace", str(workspace_file()), "--host", host, "--port", str(port),
        "--log-level", "warning",
    )  # fmt: skip
    inbox = _start(environment, "qflow_dagster.cli", "inbox", "--quiet")
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    try:
        with console.status("starting Dagster (webserver and daemon) and the inbox"):
            _wait_until_ready("the inbox", inbox, f"{inbox_page}/health/live", stopping)
            _wait_until_ready("Dagster", dagster, f"{page}/server_info", stopping)
        if not stopping:
            console.print(
                f"[bold green]up[/] at [bold]{page}[/], inbox at [bold]{inbox_page}[/]  (Ctrl-C stops)"
            )
        while not stopping and dagster.poll() is None and inbox.poll() is None:
            time.sleep(0.2)
        if not stopping:
            name, ended = ("Dagster", dagster) if dagster.poll() is not None else ("the inbox", inbox)
            raise QflowError(f"{name} ended by itself with exit code {ended.returncode}; its log is above")
    finally:
        with console.status("stopping the inbox and Dagster"):
            _stop(inbox)
            _stop(dagster)
        with console.status("stopping PostgreSQL"):
            stopped = _stop_database_if_unused()
        console.print("stopped" + ("" if stopped else "; PostgreSQL goes on, others use it"))


def _start(environment: dict[str, str], module: str, *arguments: str) -> subprocess.Popen:
    """In a session of its own: Ctrl-C reaches us alone, and we stop the children in order."""
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, env=environment, cwd=workspace_file().parent, start_new_session=True)


def _wait_until_ready(name: str, process: subprocess.Popen, address: str, stopping: list[int]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not stopping and not _answers(address):
        if process.poll() is not None:
            raise QflowError(f"{name} did not start (exit code {process.returncode}); its log is above")
        if time.monotonic() > deadline:
            raise QflowError(f"{name} did not answer at {address} within {START_TIMEOUT} s")
        time.sleep(0.3)


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2):  # noqa: S310  (our own http address)
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _stop(process: subprocess.Popen) -> None:
    """Interrupt a child, which ends its own in order; then whatever is left."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


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
