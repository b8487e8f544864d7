"""`qflow up`: the database, Dagster's daemon, workers, and the one address with everything, until Ctrl-C."""

import os
import signal
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from qflow_dagster.cli.output import messages
from qflow_dagster.cli.session import dagster_environment
from qflow_dagster.database import embedded, other_clients, ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings
from qflow_dagster.settings.platform import DAGSTER_PATH

if TYPE_CHECKING:
    from qflow_dagster.launching.services import Service

START_TIMEOUT = 180
# Seconds for all services together; what has not ended then is killed, and goes on from the tables at the next start.
STOP_TIMEOUT = 2.5
# Seconds until the server has noticed that clients are gone.
LEAVE_TIMEOUT = 1.0
# Seconds before the next try to start the server.
RESTART_WAIT = 1.0
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
    try:
        messages.print("starting Dagster and the inbox")
        # Imported once, for all: seconds.
        from qflow_dagster.launching import broker
        from qflow_dagster.launching import services as starting

        broker.install()
        starting.prepare()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _frame: stopping.append(received))
        web = starting.Service("page", _serve_page, limits.host, limits.port)
        services.append(web)
        _wait(f"the page at {page}", web, lambda: _answers(f"{page}/health/live"), stopping)
        messages.print(f"the pages are at {page}; Dagster follows")
        if settings().workers.enabled:
            services += starting.start_workers()
        services.append(starting.start_daemon())
        _wait(f"the page at {page}", web, lambda: _answers(f"{page}/health/ready", 503), stopping)
        if not stopping:
            messages.print("up", style="bold green", end=" ")
            messages.print(f"at {page}, Dagster at {page}{DAGSTER_PATH}  (Ctrl-C stops)")
        while not stopping:
            if not _database_runs():
                continue
            for service in services:
                if message := service.supervise():
                    messages.print(message)
            time.sleep(LOOK)
    finally:
        with messages.status("stopping the inbox and Dagster"):
            # The last first; all at once, because each waits for nothing but its own.
            for service in reversed(services):
                service.interrupt()
            deadline = time.monotonic() + STOP_TIMEOUT
            for service in reversed(services):
                service.stop(max(deadline - time.monotonic(), 0.0))
        with messages.status("stopping PostgreSQL"):
            others = _stop_database_if_unused()
        if others:
            messages.print(f"stopped; PostgreSQL keeps running, because others use it: {', '.join(others)}")
        else:
            messages.print("stopped")


def _serve_page(host: str, port: int) -> None:
    from qflow_dagster.cli.inbox import late_page, serve

    serve(host, port, late_page(None))


def _wait(name: str, service: "Service", is_ready: Callable[[], bool], stopping: list[int]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not stopping and not is_ready():
        if service.ended() is not None:
            raise QflowError(f"{name} did not start; its log is {service.log}")
        if time.monotonic() > deadline:
            raise QflowError(f"{name} did not answer within {START_TIMEOUT} s")
        time.sleep(0.1)


def _answers(address: str, not_yet: int | None = None) -> bool:
    """Return whether a server answers there, with any other status than that."""
    try:
        with urllib.request.urlopen(address, timeout=2):  # noqa: S310  (our own http address)
            return True
    except urllib.error.HTTPError as error:
        return error.code != not_yet
    except OSError:
        return False


def _database_runs() -> bool:
    """Start the embedded server again if it ended, and say so; a server of the user's is left alone."""
    home = settings().home
    if settings().database.url is not None or embedded.alive(home) or embedded.running(home):
        return True
    try:
        embedded.start(home)
    except QflowError as error:
        messages.print(f"PostgreSQL ended and does not start again: {error}", markup=False)
        time.sleep(RESTART_WAIT)
        return False
    messages.print("PostgreSQL ended and was started again")
    return True


def _stop_database_if_unused() -> list[str]:
    """Stop the embedded server unless others are connected, whose names are returned; leave a server of the user's."""
    if settings().database.url is not None or not embedded.running(settings().home):
        return []
    engine = ready_engine()
    deadline = time.monotonic() + LEAVE_TIMEOUT
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while (others := other_clients(connection)) and time.monotonic() < deadline:
            time.sleep(0.05)
    engine.dispose()
    if not others:
        embedded.stop(settings().home)
    counts = Counter(visible_line(name) for name in others)
    return [name if count == 1 else f"{name} ({count})" for name, count in sorted(counts.items())]
