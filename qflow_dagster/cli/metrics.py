"""`qflow hotspots` and `qflow metrics`: what was measured."""

from typing import Annotated, Any

import typer
from sqlalchemy import Connection

from qflow_dagster.cli.output import JsonFlag, Limit, console, print_fields, print_json, print_rows
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.ingestion import queries as ingestion_queries
from qflow_dagster.metrics import queries

Repository = Annotated[
    str | None, typer.Option("--repo", "-r", help="Repository name; not needed where there is only one.")
]


def hotspots(
    repository: Annotated[
        str | None, typer.Argument(help="Repository name; not needed where there is only one.")
    ] = None,
    json: JsonFlag = False,
    limit: Limit = 20,
) -> None:
    """Files that change often and are complex: where work pays first."""
    with ready_engine().connect() as connection:
        snapshot = ingestion_queries.current_snapshot(connection, repository_name(connection, repository))
        rows = queries.hotspots(connection, snapshot.repository_id, limit)
    print_json(rows) if json else print_rows(rows, empty="No hotspot: nothing changes and is complex.")


def metrics(
    name: Annotated[str, typer.Argument(help="A file's path, its end, or a function's name.")],
    repository: Repository = None,
    json: JsonFlag = False,
) -> None:
    """Everything measured of one file or function."""
    with ready_engine().connect() as connection:
        snapshot = ingestion_queries.current_snapshot(connection, repository_name(connection, repository))
        found = queries.metrics_of(connection, snapshot.repository_id, name)
    if json:
        print_json(found)
        return
    show(found)


def show(found: dict[str, Any]) -> None:
    """Print one file's or function's metrics: plain values as fields, lists of rows as tables."""
    print_fields({key: value for key, value in found.items() if not isinstance(value, list | dict)})
    for title, value in found.items():
        if isinstance(value, dict):
            console.print(f"\n{title.replace('_', ' ')}", style="bold")
            print_fields(value)
        elif isinstance(value, list) and value and not isinstance(value[0], dict):
            print_fields({title: ", ".join(map(str, value[:15]))})
        elif isinstance(value, list) and value:
            console.print()
            print_rows(value[:15], empty="", title=title.replace("_", " "))


def repository_name(connection: Connection, given: str | None) -> str:
    """The repository meant: the one given, or the only one there is."""
    if given is not None:
        return given
    names = [row["name"] for row in ingestion_queries.repositories(connection)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError("no repository is registered yet; run: qflow run PATH_OR_URL")
    raise UsageError(f"which repository? one of: {', '.join(names)}")
