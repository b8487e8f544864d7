"""`qflow up`: the database, Dagster's code server and daemon, and the one address with everything, until Ctrl-C."""

import os
import signal
import socket
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from qflow_dagster.cli.output import messages
from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import count_other_clients, embedded, ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import DAGSTER_PATH

if TYPE_CHECKING:
    from qflow_dagster.launching.services import Service

START_TIMEOUT = 180
STOP_TIMEOUT = 30
# Seconds between two looks at the services.
LOOK = 0.5


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
        os.environ.update(
            {
                **dagster_environment(),
                "QFLOW_INBOX_HOST": limits.host,
                "QFLOW_INBOX_PORT": str(limits.port),
            }
        )
        settings.cache_clear()
    stopping: list[int] = []
    services: list[Service] = []
    with tempfile.TemporaryDirectory(prefix="qflow-") as folder:
        # Whoever reaches the code server runs what they like: its socket lies where we alone may look.
        code_socket, workspace = Path(folder, "code"), Path(folder, "workspace.yaml")
        try:
            messages.print("starting Dagster and the inbox")
            # Imported once, for all: seconds.
            from qflow_dagster.launching import broker
            from qflow_dagster.launching import services as starting

            if settings().workers.enabled:
                broker.install()
            starting.prepare()
            server = {"grpc_server": {"socket": str(code_socket), "location_name": starting.MODULE}}
            workspace.write_text(yaml.safe_dump({"load_from": [server]}))
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda received, _frame: stopping.append(received))
            code = starting.Service("code server", starting.serve_code, code_socket)
            # It loads what it needs while the code server does, and waits for that.
            web = starting.Service("page", _serve_page, limits.host, limits.port, workspace)
            services += [code, web]
            _wait("the code server", code, lambda: _listens(code_socket), stopping)
            if settings().workers.enabled:
                services += starting.start_workers()
            services.append(starting.start_daemon(workspace))
            _wait(f"the page at {page}", web, lambda: _answers(f"{page}/health/ready"), stopping)
            if not stopping:
                messages.print("up", style="bold green", end=" ")
                messages.print(f"at {page}, Dagster at {page}{DAGSTER_PATH}  (Ctrl-C stops)")
            while not stopping:
                for service in services:
                    if message := service.supervise():
                        messages.print(message)
                time.sleep(LOOK)
        finally:
            with messages.status("stopping the inbox and Dagster"):
                # The last first; all at once, because each waits for nothing but its own.
                for service in reversed(services):
                    service.interrupt()
                for service in reversed(services):
                    service.stop(STOP_TIMEOUT)
            with messages.status("stopping PostgreSQL"):
                stopped = _stop_database_if_unused()
            messages.print(
                "stopped" + ("" if stopped else "; PostgreSQL keeps running, because others use it")
            )


def _serve_page(host: str, port: int, workspace: Path) -> None:
    from qflow_dagster.cli.inbox import serve

    serve(host, port, workspace)


def _wait(name: str, service: "Service", is_ready: Callable[[], bool], stopping: list[int]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not stopping and not is_ready():
        if service.ended() is not None:
            raise QflowError(f"{name} did not start; its log is {service.log}")
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


def _stop_database_if_unused() -> bool:
    """Stop the embedded server unless somebody else is connected; a server of the user's is left alone."""
    if settings().database.url is not None:
        return True
    engine = ready_engine()
    with engine.connect() as connection:
        others = count_other_clients(connection)
    engine.dispose()
    return not others and embedded.stop(settings().home)
