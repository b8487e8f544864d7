"""`qflow edits`: suggestions that were applied."""

from pathlib import Path
from typing import Annotated

import typer

from qflow_dagster.agents import (
    edit_branches,
    edit_commits,
    edit_lifecycle,
    edit_records,
    edit_verification,
    self_improvement,
    suggestion_states,
)
from qflow_dagster.agents import edits as agent_edits
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    check_choice,
    console,
    print_code,
    print_exactly,
    print_fields,
    print_json,
    print_rows,
    write_file,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.ingestion import repositories
from qflow_dagster.processes import host_name

app = typer.Typer(no_args_is_help=True)
Id = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the edit (that of its suggestion), or a unique prefix.")
]


@app.command("list")
def list_(
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")] = None,
    state: Annotated[str | None, typer.Option(help="Such as `verified` or `merged`; default: all.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List edits, the newest first."""
    check_choice("state of an edit", state, suggestion_states.EDIT_STATES)
    with ready_engine().connect() as connection:
        id_ = None if repo is None else repositories.find(connection, repo).id
        rows = edit_records.find(connection, repository_id=id_, state=state, limit=limit)
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
            "reason": row["state_reason"] or "",
        }
        for row in rows
    ]
    print_rows(table_rows, empty="No edit; approve a suggestion: qflow approvals list")


@app.command()
def show(id_: Id, json: JsonFlag = False) -> None:
    """Show one edit: its patch, its outcome, and its history."""
    with ready_engine().connect() as connection:
        edit = edit_records.show(connection, self_improvement.resolve_id(connection, id_))
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
    applied, problems = agent_edits.apply_all_approved(engine, worker=f"qflow edits apply on {host_name()}")
    followed, verified = edit_lifecycle.observe(engine)
    good = {result.edit_id: result.good for result in verified}
    rows = [
        {
            "id": str(result.suggestion_id)[:18],
            "branch": result.branch,
            "commit": result.commit and result.commit[:10],
            "problem": result.problem,
            "verified": good.get(result.suggestion_id),
        }
        for result in (*applied, *problems)
    ]
    if json:
        print_json(rows)
        return
    print_rows(rows, empty="No suggestion is approved; see qflow approvals list")
    _print_followed(followed)


@app.command()
def follow(json: JsonFlag = False) -> None:
    """Compare edits with the branches they are meant for: merged, superseded or conflicting.

    `qflow up` does it whenever it has ingested a commit.
    """
    followed, _ = edit_lifecycle.observe(ready_engine())
    if json:
        print_json([{**result._asdict(), "edit_id": str(result.edit_id)} for result in followed])
    elif not followed:
        console.print("No edit has changed since its repository was last ingested (qflow run).")
    else:
        _print_followed(followed)


def _print_followed(followed: list[edit_lifecycle.FollowResult]) -> None:
    rows = [
        {
            "id": str(result.edit_id)[:18],
            "state": result.state or "not compared",
            "reason": result.reason,
        }
        for result in followed
    ]
    print_rows(rows, empty="", title="Changed since they were last compared with their branch")


@app.command()
def close(
    id_: Id,
    reason: Annotated[str, typer.Option("--reason", help="The reason; it stays in the record.")],
    as_: As = None,
) -> None:
    """Close an edit that is not wanted; its branch is deleted, unless others have commits on it."""
    engine = ready_engine()
    with engine.connect() as connection:
        edit = self_improvement.resolve_id(connection, id_)
    edit_lifecycle.close(engine, edit, actor=actor_name(as_), reason=reason)
    console.print("closed")


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
    commit = edit_verification.revert(engine, edit, actor=actor_name(as_), reason=reason)
    console.print(f"reverted by {commit[:10]}")


@app.command()
def push(
    id_: Id,
    remote: Annotated[str, typer.Option("--remote", help="A remote of the repository, or a URL.")],
) -> None:
    """Push the branch of an edit; nothing is pushed otherwise."""
    engine = ready_engine()
    with engine.connect() as connection:
        edit = self_improvement.resolve_id(connection, id_)
    branch = edit_branches.push(engine, edit, remote)
    console.print(f"pushed {branch} to {remote}")


@app.command()
def export(
    id_: Id,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; default: standard output.")
    ] = None,
) -> None:
    """Write an edit as a mail for `git am`."""
    with ready_engine().connect() as connection:
        edit = edit_records.show(connection, self_improvement.resolve_id(connection, id_))
        repository = repositories.find(connection, edit["repository"])
    mail = edit_commits.format_patch(repository.objects, edit["commit"])
    if output is None:
        print_exactly(mail)
    else:
        write_file(output, mail)
