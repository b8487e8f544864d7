"""`qflow up`: the database, Dagster's code server and daemon, and the one address with everything, until Ctrl-C."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
import yaml

from qflow_dagster.cli.output import messages
from qflow_dagster.cli.session import dagster_environment, workspace_file
from qflow_dagster.database import count_other_clients, embedded, ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import DAGSTER_PATH

START_TIMEOUT = 180
STOP_TIMEOUT = 30
MODULE = "qflow_dagster.definitions"


def up(
    host: Annotated[str | None, typer.Option(help="Address to serve on; default: 127.0.0.1.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", "-p", min=1, max=65_535, help="Default: 3001.")
    ] = None,
    inbox_port: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Start everything and print the address; Ctrl-C stops it all in order."""
    if port and inbox_port and port != inbox_port:
        raise UsageError("the inbox and Dagster's page are at one address now: give --port alone")
    limits = settings().inbox
    limits = limits.model_copy(
        update={"host": host or limits.host, "port": port or inbox_port or limits.port}
    )
    page = limits.local_address
    if _answers(f"{page}/health/live"):
        raise QflowError(f"{page} is in use already; stop that server, or choose another: qflow up --port N")
    with messages.status("starting PostgreSQL"):
        ready_engine()
        environment = {
            **os.environ,
            **dagster_environment(),
            "QFLOW_INBOX_HOST": limits.host,
            "QFLOW_INBOX_PORT": str(limits.port),
        }
    stopping: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda received, _frame: stopping.append(received))
    with tempfile.TemporaryDirectory(prefix="qflow-") as folder, contextlib.ExitStack() as running:
        # Whoever reaches the code server runs what they like: its socket lies where we alone may look.
        code_socket, workspace = Path(folder, "code"), Path(folder, "workspace.yaml")
        server = {"grpc_server": {"socket": str(code_socket), "location_name": MODULE}}
        workspace.write_text(yaml.safe_dump({"load_from": [server]}))
        code_command = (
            "dagster",
            "code-server",
            "start",
            "--socket",
            str(code_socket),
            "--location-name",
            MODULE,
            "--module-name",
            MODULE,
            "--working-directory",
            str(workspace_file().parent),
            "--log-level",
            "warning",
        )
        daemon_command = ("dagster._daemon", "run", "-w", str(workspace), "--log-level", "warning")
        web_command = ("qflow_dagster.cli", "inbox", "--quiet", "-w", str(workspace))
        try:
            with messages.status("starting Dagster (code server, daemon and page) and the inbox"):
                code = _start(running, environment, *code_command)
                # It loads what it needs while the code server does, and waits for that.
                web = _start(running, environment, *web_command)
                _wait("the code server", code, lambda: _listens(code_socket), stopping)
                daemon = _start(running, environment, *daemon_command)
                _wait(f"the page at {page}", web, lambda: _answers(f"{page}/health/ready"), stopping)
            if not stopping:
                messages.print("up", style="bold green", end=" ")
                messages.print(f"at {page}, Dagster at {page}{DAGSTER_PATH}  (Ctrl-C stops)")
            while not stopping and daemon.poll() is None and web.poll() is None:
                if code.poll() is not None:
                    messages.print(
                        f"the code server ended (exit code {code.returncode}) and is started again"
                    )
                    code = _start(running, environment, *code_command)
                time.sleep(0.2)
            if not stopping:
                name, ended = ("the daemon", daemon) if daemon.poll() is not None else ("the page", web)
                raise QflowError(
                    f"{name} ended by itself with exit code {ended.returncode}; its log is above"
                )
        finally:
            with messages.status("stopping the inbox and Dagster"):
                running.close()
            with messages.status("stopping PostgreSQL"):
                stopped = _stop_database_if_unused()
            messages.print(
                "stopped" + ("" if stopped else "; PostgreSQL keeps running, because others use it")
            )


def _start(running: contextlib.ExitStack, environment: dict[str, str], *command: str) -> subprocess.Popen:
    """In a session of its own: Ctrl-C reaches us alone, and we stop the children in order, the last first."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], env=environment, cwd=workspace_file().parent, start_new_session=True
    )
    running.callback(_stop, process)
    return process


def _wait(name: str, process: subprocess.Popen, is_ready: Callable[[], bool], stopping: list[int]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not stopping and not is_ready():
        if process.poll() is not None:
            raise QflowError(f"{name} did not start (exit code {process.returncode}); its log is above")
        if time.monotonic() > deadline:
            raise QflowError(f"{name} did not answer within {START_TIMEOUT} s")
        time.sleep(0.1)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        return client.connect_ex(str(path)) == 0


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
        others = count_other_clients(connection)
    engine.dispose()
    return not others and embedded.stop(settings().home)
