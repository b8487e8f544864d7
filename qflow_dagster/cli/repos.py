"""`qflow repos`: registered repositories."""

from typing import Annotated

import typer

from qflow_dagster.cli.output import JsonFlag, Limit, console, print_fields, print_json, print_rows
from qflow_dagster.database import ready_engine
from qflow_dagster.ingestion import queries, repositories

app = typer.Typer(no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="Name of the repository (qflow repos list).")]


@app.command()
def add(
    location: Annotated[str, typer.Argument(help="A path, or a file://, https:// or ssh:// URL.")],
    name: Annotated[str | None, typer.Option(help="Name to use; default: from the location.")] = None,
) -> None:
    """Register a repository; the daemon ingests it and follows its new commits."""
    with ready_engine().begin() as connection:
        added = repositories.register(connection, location, name)
        repositories.have_commits_looked_for(connection)
    console.print(f"{added.name}  {added.location}")


@app.command("list")
def list_(json: JsonFlag = False, limit: Limit = 100) -> None:
    """List repositories with their ingested snapshots."""
    with ready_engine().connect() as connection:
        rows = queries.repositories(connection)[:limit]
    if json:
        print_json(rows)
        return
    table_rows = [
        {
            "name": row["name"],
            "commit": (row["commit"] or "")[:10] or None,
            "committed": row["committed_at"],
            "files": row["files"],
            "lines": row["lines"],
            "history": row["history"],
            "missing": row["missing_blobs"],
            "location": row["location"],
        }
        for row in rows
    ]
    print_rows(table_rows, empty="No repository yet. Add one: qflow repos add PATH_OR_URL")


@app.command()
def show(name: Name, json: JsonFlag = False) -> None:
    """Show one repository: its snapshot, languages and history."""
    with ready_engine().connect() as connection:
        snapshot = queries.current_snapshot(connection, name)
        languages = queries.languages(connection, snapshot)
        history = queries.commit_summary(connection, snapshot.repository_id)
    fields = {
        "name": snapshot.repository,
        "location": snapshot.location,
        "commit": snapshot.commit_oid,
        "revision": snapshot.revision,
        "committed_at": snapshot.committed_at,
        "files": snapshot.file_count,
        "lines": snapshot.lines,
        "bytes": snapshot.bytes,
        "missing_blobs": snapshot.missing_blobs,
        **history,
    }
    if json:
        print_json({**fields, "languages": languages})
        return
    print_fields(fields)
    print_rows(languages, empty="No language was recognised.")


@app.command()
def remove(
    name: Name, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False
) -> None:
    """Remove a repository's rows and its mirror. The repository itself is not changed."""
    engine = ready_engine()
    with engine.connect() as connection:
        repositories.find(connection, name)
    if not yes:
        typer.confirm(f"Remove everything ingested of {name}?", abort=True, err=True)
    repositories.remove(engine, name)
    console.print(f"removed {name}")
