"""`qflow db`: the database server itself."""

import os
import shutil
from typing import Annotated
from urllib.parse import quote

import typer

from qflow_dagster.cli.output import console, print_text
from qflow_dagster.database import dagster_url, database_url, direct_url, embedded, ready_engine
from qflow_dagster.database.revisions import ensure_database, newest_revision
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)


@app.command()
def url(
    dagster: Annotated[bool, typer.Option("--dagster", help="Dagster's own database.")] = False,
    password: Annotated[bool, typer.Option("--password", help="Print the password too.")] = False,
) -> None:
    """Print the database's address; start the embedded server if that one is used."""
    address = dagster_url() if dagster else database_url().set(drivername="postgresql")
    # Dagster's address is meant for an environment variable, which needs the password.
    print_text(_portable(address.render_as_string(hide_password=not (password or dagster))))


@app.command()
def migrate() -> None:
    """Create the database if it is missing, and apply all migrations."""
    ready_engine()
    console.print(f"at revision {newest_revision()}")


@app.command()
def stop() -> None:
    """Stop the embedded server. Running work is interrupted; committed work is kept."""
    if settings().database.url is not None:
        raise UsageError("QFLOW_DATABASE_URL names a server of yours; qflow stops only the embedded one")
    console.print("stopped" if embedded.stop(settings().home) else "was not running")


@app.command()
def psql(arguments: Annotated[list[str] | None, typer.Argument(help="Passed on to psql.")] = None) -> None:
    """Open psql on the database (arguments after `--` are passed on)."""
    ensure_database(direct_url())
    address = database_url().set(drivername="postgresql")
    program = shutil.which("psql") or embedded.program("psql")
    if program is None:
        raise QflowError("psql is not on PATH; install the PostgreSQL client")
    if address.password is not None:
        os.environ["PGPASSWORD"] = str(address.password)
    os.execv(  # noqa: S606  (psql takes over this terminal)
        program,
        [
            str(program),
            _portable(address._replace(password=None).render_as_string()),
            *(arguments or []),
        ],
    )


def _portable(address: str) -> str:
    """Return the address with blanks as `%20`: PostgreSQL's own programs do not read `+` as a blank."""
    location, separator, options = address.partition("?")
    start, slash, name = location.rpartition("/")
    return f"{start}{slash}{quote(name)}" + separator + options.replace("+", "%20")
