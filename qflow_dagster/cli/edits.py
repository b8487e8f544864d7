"""`qflow edits`: suggestions that were applied."""

from pathlib import Path
from typing import Annotated

import typer

from qflow_dagster.agents import edit_commits, self_improvement
from qflow_dagster.agents import edits as agent_edits
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    print_code,
    print_exactly,
    print_fields,
    print_json,
    print_rows,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.ingestion import remotes, repositories

app = typer.Typer(no_args_is_help=True)
Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the edit (that of its suggestion), or a unique prefix.")
]


@app.command("list")
def list_(
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List edits, the newest first."""
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = agent_edits.find(connection, repository_id=id_, limit=limit)
    if json:
        print_json(rows)
        return
    table_rows = [
        {
            "id": str(row["id"])[:18],
            "state": row["state"],
            "repository": row["repository"],
            "commit": row["commit"][:10],
            "branch": row["branch"],
            "applied_at": row["applied_at"],
        }
        for row in rows
    ]
    print_rows(table_rows, empty="No edit; approve a suggestion: qflow approvals list")


@app.command()
def show(id_: Id, json: JsonFlag = False) -> None:
    """Show one edit: its patch, its outcome, and its history."""
    with ready_engine().connect() as connection:
        edit = agent_edits.show(connection, self_improvement.resolve_id(connection, id_))
    if json:
        print_json(edit)
        return
    patch, gates, history = (edit.pop(name) for name in ("patch", "gates", "history"))
    print_fields(edit)
    console.print()
    print_code(patch, "diff")
    print_rows(gates, empty="", title="Gates before it was suggested")
    print_rows(history, empty="", title="History")


@app.command()
def apply(json: JsonFlag = False) -> None:
    """Apply and verify approved suggestions now; `qflow up` does it automatically."""
    engine = ready_engine()
    applied, problems = agent_edits.apply_all_approved(engine, worker="qflow edits apply")
    verified = {result.edit_id: result for result in agent_edits.verify_all(engine)}
    rows = [
        {
            "id": str(result.suggestion_id)[:18],
            "branch": result.branch,
            "commit": result.commit and result.commit[:10],
            "problem": result.problem,
            "verified": verified[result.suggestion_id].good if result.suggestion_id in verified else None,
        }
        for result in (*applied, *problems)
    ]
    print_json(rows) if json else print_rows(
        rows, empty="No suggestion is approved; see qflow approvals list"
    )


@app.command()
def revert(
    id_: Id,
    reason: Annotated[str, typer.Option("--reason", help="The reason; it goes into the commit message.")],
    as_: As = None,
) -> None:
    """Revert an edit by a commit on its branch."""
    engine = ready_engine()
    with engine.connect() as connection:
        edit = self_improvement.resolve_id(connection, id_)
    commit = agent_edits.revert(engine, edit, actor=actor_name(as_), reason=reason)
    console.print(f"reverted by {commit[:10]}")


@app.command()
def push(
    id_: Id,
    remote: Annotated[str, typer.Option("--remote", help="A remote of the repository, or a URL.")],
) -> None:
    """Push the branch of an edit; nothing is pushed otherwise."""
    with ready_engine().connect() as connection:
        edit = agent_edits.show(connection, self_improvement.resolve_id(connection, id_))
        repository = repositories.find(connection, edit["repository"])
    remotes.push(repository.objects, remote, edit["branch"])
    console.print(f"pushed {edit['branch']} to {remote}")


@app.command()
def export(
    id_: Id,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")
    ] = None,
) -> None:
    """Write an edit as a mail for `git am`."""
    with ready_engine().connect() as connection:
        edit = agent_edits.show(connection, self_improvement.resolve_id(connection, id_))
        repository = repositories.find(connection, edit["repository"])
    mail = edit_commits.format_patch(repository.objects, edit["commit"])
    if output is None:
        print_exactly(mail)
    else:
        output.write_bytes(mail)
