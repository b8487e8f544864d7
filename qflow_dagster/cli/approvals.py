"""`qflow approvals`: pending approvals, deciding on them, and the record of decisions."""

import json as json_module
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from qflow_dagster.approvals import arbiter, assignment, authorization, lists, records
from qflow_dagster.approvals import policy as approval_policy
from qflow_dagster.cli import approval_tokens, decisions
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    print_fields,
    print_json,
    print_rows,
    print_text,
    write_file,
)
from qflow_dagster.cli.request_view import print_approval
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.safety.display import visible_json
from qflow_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)
app.add_typer(approval_tokens.app)
Id = Annotated[str, typer.Argument(help="Id of the approval, or a unique prefix.")]
Kind = Annotated[str, typer.Argument(help="edit, workflow, rule or rollback.")]
Target = Annotated[str, typer.Argument(help="The target: a path, a workflow type, a rule, an edit.")]
Content = Annotated[
    Path | None,
    typer.Option(
        "--content",
        "-c",
        help="File with the content to approve: JSON, or a patch. Default: standard input.",
    ),
]
Comment = Annotated[str | None, typer.Option("--comment", "-m", help="The reason; it stays in the record.")]
Ids = Annotated[list[str], typer.Argument(help="Ids of the approvals, or unique prefixes.")]
Digests = Annotated[
    list[str] | None,
    typer.Option(
        "--digest",
        help="Digest of the content you saw (see `show`), for several ids in their order; default: show the "
        "content now and ask you to confirm.",
    ),
]
Digest = Annotated[
    str | None,
    typer.Option(
        help="Digest of the content you saw (see `show`); default: show the content now and ask you to confirm."
    ),
]


@app.command("list")
def list_(
    status: Annotated[
        str, typer.Option(help="pending, approved, denied, consumed, expired, revoked, or all.")
    ] = "pending",
    kind: Annotated[str | None, typer.Option(help="Only edit, workflow, rule or rollback.")] = None,
    repo: Annotated[str | None, typer.Option("--repo", "-r", help="Only of this repository.")] = None,
    rule: Annotated[str | None, typer.Option(help="Only of this rule.")] = None,
    risk: Annotated[str | None, typer.Option(help="Only low, medium, high or experimental.")] = None,
    owner: Annotated[
        str | None, typer.Option(help="Only those that this person or team should decide; `-`: nobody.")
    ] = None,
    search: Annotated[str | None, typer.Option(help="Only those with this text.")] = None,
    sort: Annotated[str, typer.Option(help="newest, oldest, expiry or risk.")] = "newest",
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List approvals, newest first; by default the pending ones."""
    selection = lists.Filter(
        status=None if status == "all" else status,
        kind=kind,
        repository=repo,
        rule=rule,
        risk=risk,
        owner=owner,
        search=search,
    )
    with ready_engine().connect() as connection:
        approvals = lists.find(connection, selection, sort=sort, limit=limit)
    if json:
        print_json(approvals)
        return
    rows = [
        {
            "id": str(row["id"])[:18],
            "kind": row["kind"],
            "target": row["target"],
            "status": row["status"],
            "risk": row["risk"],
            "approvals": f"{row['approvals']}/{row['required_approvals']}",
            "requested_by": row["requested_by"],
            "owner": row["owner"],
            "expires_at": row["expires_at"],
            "reason": row["reason"],
        }
        for row in approvals
    ]
    print_rows(rows, empty="No approval matches." if status != "pending" else "No approval is pending.")


@app.command()
def show(approval: Id, json: JsonFlag = False) -> None:
    """Show one approval: what it asks for and what was checked, the exact content, decisions, how it goes on."""
    with ready_engine().connect() as connection:
        approval_row = records.show(connection, records.resolve(connection, approval))
        if json:
            print_json(approval_row)
            return
        print_approval(connection, approval_row)


@app.command()
def approve(
    approvals: Ids,
    digest: Digests = None,
    actor: As = None,
    comment: Comment = None,
    answer: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE", help="Answer to a field of the request; several values: repeat it."
        ),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Approve the content shown. The decision that completes the quorum of one id prints the token, once."""
    if len(approvals) > 1:
        if answer:
            raise UsageError("--answer belongs to one request: approve those with fields each by itself")
        decisions.decide_several("approve", approvals, digest, actor, comment, json)
        return
    decide = partial(arbiter.approve, answers=_answers(answer or []))
    decisions.decide(decide, "approve", approvals[0], digest, actor, comment, json)


@app.command()
def deny(
    approvals: Ids, digest: Digests = None, actor: As = None, comment: Comment = None, json: JsonFlag = False
) -> None:
    """Deny the content shown: one denial ends an approval."""
    if len(approvals) > 1:
        decisions.decide_several("deny", approvals, digest, actor, comment, json)
    else:
        decisions.decide(arbiter.deny, "deny", approvals[0], digest, actor, comment, json)


@app.command()
def comment(
    approval: Id, words: Annotated[str, typer.Argument(help="The comment.")], actor: As = None
) -> None:
    """Comment on a pending approval without deciding; the comment is in its history and is notified."""
    with ready_engine().begin() as connection:
        id_ = records.resolve(connection, approval)
        arbiter.comment(connection, id_, actor=actor_name(actor), words=words)
    console.print(f"{id_}: commented")


@app.command()
def revoke(
    approval: Id,
    reason: Annotated[str, typer.Option("--reason", help="The reason.")],
    digest: Digest = None,
    actor: As = None,
) -> None:
    """Revoke a request, or an approval that was not used yet."""
    name = actor_name(actor)
    id_, seen = decisions.seen("revoke", approval, digest)
    with ready_engine().begin() as connection:
        arbiter.revoke(connection, id_, actor=name, reason=reason, digest=seen)
    console.print(f"{id_} revoked")


@app.command()
def reassign(
    approval: Id,
    to: Annotated[str, typer.Argument(help="A person, or `team:NAME`.")],
    reason: Annotated[str, typer.Option("--reason", help="The reason.")],
    actor: As = None,
) -> None:
    """Make somebody else the owner of a pending request: who is expected to decide it."""
    with ready_engine().begin() as connection:
        id_ = records.resolve(connection, approval)
        assignment.reassign(connection, id_, actor=actor_name(actor), to=to, reason=reason)
    console.print(f"{id_}: owner {to}")


@app.command()
def delegate(
    approval: Id,
    to: Annotated[str, typer.Argument(help="Who decides in your place.")],
    reason: Annotated[str, typer.Option("--reason", help="The reason.")],
    actor: As = None,
) -> None:
    """Let somebody who is no decider decide a pending request in your place; you cannot decide it any more."""
    with ready_engine().begin() as connection:
        id_ = records.resolve(connection, approval)
        assignment.delegate(connection, id_, actor=actor_name(actor), to=to, reason=reason)
    console.print(f"{id_}: {to} decides in your place")


@app.command()
def history(approval: Id, json: JsonFlag = False) -> None:
    """Show the history of an approval, including refused uses of its token."""
    with ready_engine().connect() as connection:
        entries = records.approval_history(connection, records.resolve(connection, approval))
    print_json(entries) if json else print_rows(entries, empty="No event.")


@app.command()
def request(
    kind: Kind,
    target: Target,
    reason: Annotated[str, typer.Option("--reason", help="Why it should be approved.")],
    content: Content = None,
    actor: As = None,
    quorum: Annotated[int | None, typer.Option(min=1, max=100, help="Approvals needed.")] = None,
    ttl: Annotated[float | None, typer.Option(min=1, help="Seconds it waits for a decision.")] = None,
    owner: Annotated[str | None, typer.Option(help="Who should decide it: a person, or `team:NAME`.")] = None,
    form: Annotated[
        Path | None, typer.Option(help="JSON file with the fields that whoever approves fills in.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Request an approval, from a script or by hand; prints its id."""
    with ready_engine().begin() as connection:
        id_ = arbiter.request_approval(
            connection,
            kind,
            target,
            read_content(content),
            requested_by=actor_name(actor),
            reason=reason,
            required_approvals=quorum,
            ttl=ttl,
            owner=owner,
            form=None if form is None else _read_form(form),
        )  # type: ignore[arg-type]
    print_json({"id": id_}) if json else console.print(str(id_))


@app.command()
def use(
    kind: Kind,
    target: Target,
    content: Content = None,
    token: Annotated[
        str, typer.Option(envvar="QFLOW_APPROVAL_TOKEN", help="The token; better by the variable.")
    ] = "",
    actor: As = None,
) -> None:
    """Use up an approval: exit code 0 permits exactly this content, now and once."""
    if not token:
        raise UsageError("set QFLOW_APPROVAL_TOKEN to the token that the approval printed")
    with ready_engine().begin() as connection:
        used = authorization.authorize(
            connection, token, kind, target, read_content(content), actor=actor_name(actor)
        )  # type: ignore[arg-type]
    console.print(f"{used.approval_id} used: {kind} of {target} may be done")


@app.command()
def export(
    format_: Annotated[str, typer.Option("--format", help="json or csv.")] = "json",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File; default: standard output.")
    ] = None,
) -> None:
    """Export every approval with its history."""
    if format_ not in ("json", "csv"):
        raise UsageError(f"{format_!r} is not an export format: json or csv")
    with ready_engine().connect() as connection:
        rows = list(records.export(connection))
    output_text = records.as_csv(iter(rows)) if format_ == "csv" else visible_json(rows)
    if output is None:
        print_text(output_text)
    else:
        try:
            write_file(output, output_text)
        except OSError as error:
            raise UsageError(f"{output} cannot be written: {error.strerror}") from None
    if problems := [row["problem"] for row in rows if "problem" in row]:
        raise QflowError(f"{len(problems)} histories are not in the export; the first: {problems[0]}")


@app.command()
def policy(
    approval: Annotated[str | None, typer.Argument(help="An approval to check against the policy.")] = None,
    json: JsonFlag = False,
) -> None:
    """Show when a policy approves without a person, and why it would or would not grant one approval."""
    limits = settings().approvals
    fields: dict[str, Any] = {
        "kinds": limits.policy_kinds or "none: a person decides all",
        "least_confidence": limits.policy_confidence,
        "most_files": limits.policy_files,
        "most_lines": limits.policy_lines,
        "token_seconds": limits.policy_ttl,
    }
    if approval is not None:
        with ready_engine().connect() as connection:
            row = records.show(connection, records.resolve(connection, approval))
        evidence = row["evidence"] if isinstance(row["evidence"], dict) else {}
        objections = approval_policy.objections(
            limits,
            row["kind"],
            row["content"],
            approval_policy.Evidence(
                confidence=float(evidence.get("confidence", 0)), gates=evidence.get("gates") or {}
            ),
        )
        fields["would_grant"] = not objections
        fields["against"] = objections
    print_json(fields) if json else print_fields(fields)


def read_content(path: Path | None) -> Any:
    """Read what is to be approved: JSON as it is, any other text as `{"patch": text}`."""
    try:
        content = sys.stdin.read() if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path or 'standard input'} cannot be read: {error}") from None
    if not content.strip():
        raise UsageError("there is nothing to approve: give --content FILE, or pipe it in")
    try:
        return json_module.loads(content)
    except ValueError:
        return {"patch": content}


def _answers(given: list[str]) -> dict[str, Any]:
    """Return answers by the names of their fields; a name that is repeated has several."""
    answers: dict[str, list[str]] = {}
    for answer in given:
        name, separator, value = answer.partition("=")
        if not separator:
            raise UsageError(f"--answer takes NAME=VALUE, not {answer!r}")
        answers.setdefault(name, []).append(value)
    return {name: values if len(values) > 1 else values[0] for name, values in answers.items()}


def _read_form(path: Path) -> Any:
    try:
        return json_module.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} has no form: {error}") from None
