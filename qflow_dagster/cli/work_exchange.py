"""The commands of `qflow work` for files: import and export of issues, and pictures of the plan."""

from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    actor_name,
    check_choice,
    console,
    print_fields,
    print_json,
    write_file,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.execution import issue_exchange, issue_formats, plan_history
from qflow_dagster.ingestion import repositories
from qflow_dagster.pictures import plan as pictures

MAX_SIZE = 50_000_000
Format = Annotated[
    str | None, typer.Option("--format", help="csv, jira or github; default: csv by the file's name.")
]
Repo = Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")]


def import_(
    file: Annotated[Path, typer.Argument(help="CSV, or the JSON that Jira or GitHub returns for issues.")],
    format_: Format = None,
    repo: Annotated[
        str | None, typer.Option("--repo", "-r", help="The repository the issues are about.")
    ] = None,
    as_: As = None,
    json: JsonFlag = False,
) -> None:
    """Import issues of a file as work items; those imported before are updated."""
    format_ = _format(file, format_)
    try:
        if file.stat().st_size > MAX_SIZE:
            raise UsageError(f"{file} is larger than {MAX_SIZE:,} bytes; split it")
        issues = issue_formats.read(file.read_text(encoding="utf-8-sig"), format_)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from None
    with ready_engine().begin() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        result = issue_exchange.import_issues(
            connection, issues, format_, repository_id=id_, actor=actor_name(as_)
        )
    if json:
        print_json(vars(result))
        return
    counts = {name: value for name, value in vars(result).items() if name != "notes"}
    print_fields(counts)
    for note in result.notes[:20]:
        console.print(note, soft_wrap=True)
    if len(result.notes) > 20:
        console.print(f"and {len(result.notes) - 20} more (--json shows all)")


def export(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    format_: Format = None,
    repo: Repo = None,
    state: Annotated[str, typer.Option(help="open or all.")] = "open",
) -> None:
    """Export work items to a file that `import` reads back, as do spreadsheets, Jira's and GitHub's tools."""
    format_ = _format(file, format_)
    check_choice("state", state, ("open", "all"))
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        issues = issue_exchange.export_issues(connection, format_, repository_id=id_, state=state)
    write_file(file, issue_formats.write(issues, format_))
    console.print(f"wrote {len(issues)} items to {file}")


def picture(
    kind: Annotated[str, typer.Argument(help="burn-up, cumulative-flow, roadmap or aging.")],
    file: Annotated[Path, typer.Argument(help="The SVG file to write.")],
    repo: Repo = None,
    days: Annotated[int, typer.Option(min=2, max=3_650, help="Days of the past that are drawn.")] = 90,
) -> None:
    """Draw the plan: progress over time, the states over time, the roadmap, or how long started work takes."""
    check_choice("kind", kind, ("burn-up", "cumulative-flow", "roadmap", "aging"))
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        if kind == "roadmap":
            svg = pictures.roadmap(plan_history.roadmap(connection, id_), _today())
        elif kind == "aging":
            svg = pictures.aging(*plan_history.aging(connection, id_))
        else:
            flow = plan_history.flow(connection, id_, days=days)
            svg = pictures.burn_up(flow) if kind == "burn-up" else pictures.cumulative_flow(flow)
    write_file(file, svg)
    console.print(f"wrote {file}")


def _today() -> date:
    return date.today()


def _format(file: Path, format_: str | None) -> str:
    format_ = format_ or ("csv" if file.suffix.lower() == ".csv" else "")
    if not format_:
        raise UsageError(f"pass --format jira or --format github: the name {file.name} does not say it")
    check_choice("format", format_, tuple(issue_formats.FORMATS))
    return format_


def add_to(app: typer.Typer) -> None:
    """Add the commands to `qflow work`."""
    app.command("import")(import_)
    app.command("export")(export)
    app.command("picture")(picture)
