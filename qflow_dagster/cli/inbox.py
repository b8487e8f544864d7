"""`qflow inbox`: one server for the inbox page, health, metrics and error intake, and the notifier."""

import contextlib
import logging
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qflow_dagster.cli.output import actor_name, messages, print_text
from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.safety.logs import SafeFilter
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import uvicorn
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from qflow_dagster.launching.late_page import LatePage, Locations

app = typer.Typer()


@app.callback(invoke_without_command=True)
def inbox(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to serve on; default: the setting.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65_535, help="Port; default: the setting.")] = None,
    workspace: Annotated[
        Path | None,
        typer.Option(
            "--workspace", "-w", exists=True, help="Also serve Dagster's page, with this workspace.yaml."
        ),
    ] = None,
    notifier: Annotated[bool, typer.Option(help="Also deliver notifications.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print the address.")] = False,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Serve nothing; decide in this terminal, by keys.")
    ] = False,
) -> None:
    """Serve until Ctrl-C. On loopback you act as the user of this system; otherwise people log in."""
    if context.invoked_subcommand is not None:
        return
    if terminal:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("--terminal needs a terminal; `qflow approvals list` prints the requests")
        # Imported here: the server needs none of it.
        from qflow_dagster.cli.inbox_terminal import InboxTerminal

        InboxTerminal(ready_engine(), actor_name(None)).run()
    else:
        if workspace:
            os.environ.update(dagster_environment())
        limits = settings().inbox
        late = late_page(workspace) if workspace else None
        serve(host or limits.host, port or limits.port, late, notifier, quiet)


def serve(
    address: str, number: int, late: "LatePage | None", notifier: bool = True, quiet: bool = True
) -> None:
    """Serve the pages, and deliver notifications, until the process is interrupted."""
    import uvicorn

    from qflow_dagster.agents.request_description import explain
    from qflow_dagster.infrastructure import watching
    from qflow_dagster.notifications import delivery
    from qflow_dagster.web.app import build_app

    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    for handler in logging.getLogger().handlers:
        handler.addFilter(SafeFilter())
    engine = ready_engine()
    # Invalid settings are reported before anything is started.
    application = build_app(
        engine,
        host=address,
        pages=late.routes() if late else [],
        locations=late.locations if late else dict,
    )
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, number))
        except OSError as error:
            raise UsageError(
                f"{address}:{number} is not available: {error.strerror}; choose another port with --port"
            ) from None
    stop = threading.Event()
    worker = threading.Thread(
        target=delivery.work,
        args=(engine, stop),
        kwargs={"worker": f"notifier {socket.gethostname()} {os.getpid()}", "explain": explain},
        daemon=True,
    )
    watcher = threading.Thread(target=watching.work, args=(engine, stop), daemon=True)
    watcher.start()
    if notifier:
        worker.start()
    # A port may be given on the command line, of which other processes would know nothing.
    limits = settings().inbox.model_copy(update={"host": address, "port": number})
    settings().page_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings().page_file.write_text(limits.local_address)
    try:
        server = uvicorn.Server(server_config(application, address, number))

        def end() -> None:
            server.should_exit = True

        if not quiet:
            messages.print("inbox", style="bold green", end=" ")
            messages.print(f"at http://{address}:{number}  (Ctrl-C stops)")
        # uvicorn shuts down in order, then raises the interrupt again.
        with contextlib.suppress(KeyboardInterrupt), late.building(end) if late else contextlib.nullcontext():
            server.run()
    finally:
        settings().page_file.unlink(missing_ok=True)
        stop.set()
        watcher.join(timeout=5)
        if notifier:
            worker.join(timeout=15)


def late_page(workspace: Path | None) -> "LatePage":
    """Return Dagster's page, which is built while the others are served already."""
    from qflow_dagster.launching.late_page import LatePage

    def build(report: Callable[[str], None]) -> "AbstractContextManager[tuple[ASGIApp, Locations]]":
        # Imported in the thread that builds the page: Dagster takes seconds.
        from qflow_dagster.launching.page import dagster_page

        return dagster_page(workspace, report)

    return LatePage(build)


def server_config(application: "Starlette", host: str, port: int) -> "uvicorn.Config":
    """Return the configuration of the web server.

    Neither a header nor an environment variable (FORWARDED_ALLOW_IPS, WEB_CONCURRENCY) determines who a peer
    is, or how many workers run.
    """
    import uvicorn

    return uvicorn.Config(
        application,
        host=host,
        port=port,
        log_level="warning",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=5,
        proxy_headers=False,
        workers=1,
    )


@app.command()
def password(name: Annotated[str, typer.Argument(help="Name of the account.")]) -> None:
    """Create an account entry for QFLOW_INBOX_ACCOUNTS; the password is prompted for, or piped in."""
    import json

    from qflow_dagster.web.access import hash_password

    secret = (
        typer.prompt("password", hide_input=True, confirmation_prompt=True)
        if sys.stdin.isatty()
        else sys.stdin.readline().rstrip("\n")
    )
    if len(secret) < 12:
        raise UsageError("a password needs at least 12 characters")
    print_text(json.dumps({name: hash_password(secret)}))
