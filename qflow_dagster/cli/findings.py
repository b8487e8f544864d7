"""`qflow findings`: findings of rules and of other tools."""

from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from qflow_dagster.cli.metrics import repository_name
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    check_choice,
    console,
    messages,
    print_fields,
    print_json,
    print_rows,
    write_file,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import UsageError
from qflow_dagster.evolution import findings, sarif
from qflow_dagster.evolution.rules import Severity
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.safety.display import visible_line

app = typer.Typer(no_args_is_help=True)
Repository = Annotated[
    str | None, typer.Argument(help="Repository name; not needed where there is only one.")
]
Ids = Annotated[list[str], typer.Argument(help="Ids of findings, or unique prefixes.")]
STATES = {"open": findings.OPEN, "all": ("open", "fixed", "suppressed", "reopened")}
MAX_REPORT_BYTES = 200_000_000


@app.command("list")
def list_(
    repository: Repository = None,
    state: Annotated[str, typer.Option(help="open, fixed, suppressed, reopened, or all.")] = "open",
    rule: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    path: Annotated[str | None, typer.Option(help="Only of this file or folder.")] = None,
    severity: Annotated[str | None, typer.Option(help="error, warning or info.")] = None,
    category: Annotated[str | None, typer.Option(help="As `correctness` or `security`.")] = None,
    fixable: Annotated[
        bool | None, typer.Option("--fixable/--not-fixable", help="With a fix or without.")
    ] = None,
    json: JsonFlag = False,
    limit: Limit = 50,
) -> None:
    """List findings: errors first, hotspots first among equals."""
    check_choice("state", state, [*STATES["all"], "all"])
    check_choice("severity", severity, get_args(Severity))
    with ready_engine().connect() as connection:
        snapshot = current_snapshot(connection, repository_name(connection, repository))
        rows = findings.find(
            connection,
            snapshot.repository_id,
            states=STATES.get(state, (state,)),
            rule=rule,
            path=path,
            severity=severity,
            category=category,
            fixable=fixable,
            limit=limit,
        )
    if json:
        print_json(rows)
        return
    table_rows = [
        {
            "id": str(row["id"])[:8],
            "severity": row["severity"],
            "rule": row["rule"],
            "path": f"{row['path']}:{row['line']}",
            "message": row["message"].split("\n")[0][:90],
            "fix": row["fixable"],
        }
        for row in rows
    ]
    print_rows(table_rows, empty="No finding.")


@app.command()
def off(repository: Repository = None, json: JsonFlag = False) -> None:
    """List the rules that are off: style that no linter of the repository has on, and what its linters ignore."""
    with ready_engine().connect() as connection:
        snapshot = current_snapshot(connection, repository_name(connection, repository))
        rows = findings.off_rules(connection, snapshot.repository_id)
    print_json(rows) if json else print_rows(rows, empty="No rule that matches is off.")


@app.command()
def summary(repository: Repository = None, json: JsonFlag = False) -> None:
    """Count the open findings of each rule."""
    with ready_engine().connect() as connection:
        snapshot = current_snapshot(connection, repository_name(connection, repository))
        rows = findings.counts(connection, snapshot.repository_id)
    if json:
        print_json(rows)
        return
    print_rows([{**row, "example": row["example"].split("\n")[0][:70]} for row in rows], empty="No finding.")


@app.command()
def show(id_: Annotated[str, typer.Argument(metavar="ID")], json: JsonFlag = False) -> None:
    """Show one finding, its evidence, and its history."""
    with ready_engine().connect() as connection:
        finding = findings.show(connection, findings.resolve_id(connection, id_))
    if json:
        print_json(finding)
        return
    snippet = finding["evidence"].pop("snippet", None)
    history = finding.pop("history")
    print_fields(finding)
    if snippet:
        console.print()
        console.print(snippet, style="dim")
    print_rows(history, empty="", title="History")


@app.command()
def suppress(
    ids: Ids,
    reason: Annotated[str, typer.Option("--reason", help="The reason; it is shown with the finding.")],
    as_: As = None,
) -> None:
    """Suppress findings."""
    with ready_engine().begin() as connection:
        finding_ids = [findings.resolve_id(connection, id_) for id_ in ids]
        count = findings.suppress(connection, finding_ids, actor=actor_name(as_), reason=reason)
    console.print(f"{count} suppressed")


@app.command()
def restore(ids: Ids, as_: As = None) -> None:
    """Restore suppressed findings."""
    with ready_engine().begin() as connection:
        finding_ids = [findings.resolve_id(connection, id_) for id_ in ids]
        count = findings.restore(connection, finding_ids, actor=actor_name(as_))
    console.print(f"{count} restored")


@app.command()
def baseline(repository: Repository = None, as_: As = None) -> None:
    """Suppress all open findings: only new ones are worked on."""
    with ready_engine().begin() as connection:
        snapshot = current_snapshot(connection, repository_name(connection, repository))
        count = findings.baseline(connection, snapshot.repository_id, actor=actor_name(as_))
    console.print(
        f"{count:,} findings are the baseline now; `qflow findings list --state suppressed` lists them"
    )


@app.command()
def export(
    repository: Repository = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")
    ] = None,
    suppressed: Annotated[
        bool, typer.Option("--suppressed", help="Include the suppressed ones, marked as such.")
    ] = False,
) -> None:
    """Write the findings as SARIF 2.1.0."""
    import json

    with ready_engine().connect() as connection:
        snapshot = current_snapshot(connection, repository_name(connection, repository))
        log = sarif.export(connection, snapshot, suppressed=suppressed)
    if output is None:
        print_json(log)
        return
    write_file(output, json.dumps(log, ensure_ascii=False, indent=2) + "\n")
    console.print(f"{sum(len(run['results']) for run in log['runs']):,} findings in {output}")


@app.command("import")
def import_(
    report: Annotated[Path, typer.Argument(help="A SARIF 2.1.0 file.", exists=True, dir_okay=False)],
    repository: Repository = None,
    json: JsonFlag = False,
) -> None:
    """Import another tool's results as findings; those it no longer reports become fixed."""
    if report.stat().st_size > MAX_REPORT_BYTES:
        raise UsageError(f"{report} is larger than {MAX_REPORT_BYTES // 1_000_000} MB")
    with ready_engine().begin() as connection:
        snapshot = current_snapshot(connection, repository_name(connection, repository))
        imported = sarif.import_log(connection, snapshot, report.read_bytes())
    for result in imported:
        if result.refused:
            messages.print(
                visible_line(f"{len(result.refused):,} results were skipped, the first: {result.refused[0]}")
            )
    rows: list[dict[str, Any]] = [
        {
            "tool": result.tool,
            "taken": result.taken,
            "on_other_paths": result.elsewhere,
            "not_read": len(result.refused),
            **result.changes,
        }
        for result in imported
    ]
    print_json(rows) if json else print_rows(rows, empty="The file contains no run.")
