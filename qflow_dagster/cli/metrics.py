"""`qflow hotspots` and `qflow metrics`: metrics of repositories, files and functions."""

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
    """List hotspots: files that change often and are complex."""
    with ready_engine().connect() as connection:
        snapshot = ingestion_queries.current_snapshot(connection, repository_name(connection, repository))
        rows = queries.hotspots(connection, snapshot.repository_id, limit)
    print_json(rows) if json else print_rows(rows, empty="No hotspot: no file is complex and changes often.")


def metrics(
    name: Annotated[
        str, typer.Argument(help="Path of a file, the end of the path, or the name of a function.")
    ],
    repository: Repository = None,
    json: JsonFlag = False,
) -> None:
    """Show all metrics of one file or function."""
    with ready_engine().connect() as connection:
        snapshot = ingestion_queries.current_snapshot(connection, repository_name(connection, repository))
        measures = queries.metrics_of(connection, snapshot.repository_id, name)
    if json:
        print_json(measures)
        return
    show(measures)


def show(measures: dict[str, Any]) -> None:
    """Print one file's or function's metrics: plain values as fields, lists of rows as tables."""
    print_fields({key: value for key, value in measures.items() if not isinstance(value, list | dict)})
    for title, value in measures.items():
        if isinstance(value, dict):
            console.print(f"\n{title.replace('_', ' ')}", style="bold")
            print_fields(value)
        elif isinstance(value, list) and value and not isinstance(value[0], dict):
            print_fields({title: ", ".join(map(str, value[:15]))})
        elif isinstance(value, list) and value:
            console.print()
            print_rows(value[:15], empty="", title=title.replace("_", " "))


def repository_name(connection: Connection, requested: str | None) -> str:
    """Return the requested repository name, or that of the only repository."""
    if requested is not None:
        return requested
    names = [row["name"] for row in ingestion_queries.repositories(connection)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise UsageError("no repository is registered yet; run: qflow run PATH_OR_URL")
    raise UsageError(f"which repository? one of: {', '.join(names)}")
