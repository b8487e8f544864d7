"""`qflow approvals`: what waits for a decision, deciding it, and the record of who decided what."""

import json as json_module
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from qflow_dagster.approvals import arbiter, authorization, records
from qflow_dagster.approvals import policy as approval_policy
from qflow_dagster.cli.output import (
    As,
    JsonFlag,
    Limit,
    actor_name,
    console,
    print_code,
    print_fields,
    print_json,
    print_rows,
    print_text,
)
from qflow_dagster.database import ready_engine
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.safety.display import visible_json
from qflow_dagster.settings import settings

app = typer.Typer(no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The approval's id, or the beginning of it.")]
Kind = Annotated[str, typer.Argument(help="edit, workflow, rule or rollback.")]
Target = Annotated[str, typer.Argument(help="What it is about: a path, a workflow type, a rule, an edit.")]
Content = Annotated[
    Path | None,
    typer.Option(
        "--content",
        "-c",
        help="File with exactly what is approved: JSON, or a patch. Default: standard input.",
    ),
]
Comment = Annotated[str | None, typer.Option("--comment", "-m", help="Why; it stays in the record.")]
Digest = Annotated[
    str | None,
    typer.Option(
        help="Digest of what you saw, as `show` prints it; default: it is shown now, and you confirm."
    ),
]


@app.command("list")
def list_(
    status: Annotated[
        str, typer.Option(help="pending, approved, denied, consumed, expired, revoked, or all.")
    ] = "pending",
    kind: Annotated[str | None, typer.Option(help="Only edit, workflow, rule or rollback.")] = None,
    json: JsonFlag = False,
    limit: Limit = 30,
) -> None:
    """List approvals, newest first; by default those that wait for a decision."""
    with ready_engine().connect() as connection:
        found = records.find(connection, status=None if status == "all" else status, kind=kind, limit=limit)
    if json:
        print_json(found)
        return
    rows = [
        {
            "id": str(row["id"])[:18],
            "kind": row["kind"],
            "target": row["target"],
            "status": row["status"],
            "approvals": f"{row['approvals']}/{row['required_approvals']}",
            "requested_by": row["requested_by"],
            "expires_at": row["expires_at"],
            "reason": row["reason"],
        }
        for row in found
    ]
    print_rows(rows, empty="No approval fits." if status != "pending" else "Nothing waits for a decision.")


@app.command()
def show(approval: Id, json: JsonFlag = False) -> None:
    """Show one approval: what exactly is asked for, by whom, why, and who decided what."""
    with ready_engine().connect() as connection:
        found = records.show(connection, records.resolve(connection, approval))
    if json:
        print_json(found)
        return
    print_approval(found)


@app.command()
def approve(
    approval: Id, digest: Digest = None, actor: As = None, comment: Comment = None, json: JsonFlag = False
) -> None:
    """Approve what is shown. The decision that completes the quorum prints the token, once."""
    _decide(arbiter.approve, "approve", approval, digest, actor, comment, json)


@app.command()
def deny(
    approval: Id, digest: Digest = None, actor: As = None, comment: Comment = None, json: JsonFlag = False
) -> None:
    """Deny what is shown: one denial ends it."""
    _decide(arbiter.deny, "deny", approval, digest, actor, comment, json)


@app.command()
def revoke(
    approval: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why.")],
    digest: Digest = None,
    actor: As = None,
) -> None:
    """Take back a request, or an approval that was not used yet."""
    name = actor_name(actor)
    id_, seen = _seen("revoke", approval, digest)
    with ready_engine().begin() as connection:
        arbiter.revoke(connection, id_, actor=name, reason=reason, digest=seen)
    console.print(f"{id_} revoked")


@app.command()
def history(approval: Id, json: JsonFlag = False) -> None:
    """Show everything that happened to an approval, refused uses of its token included."""
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
    json: JsonFlag = False,
) -> None:
    """Ask for an approval, from a script or by hand; prints its id."""
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
    """Use an approval up: exit code 0 says that exactly this may be done, now and once."""
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
        raise UsageError(f"{format_!r} is no format of an export: json or csv")
    with ready_engine().connect() as connection:
        rows = records.export(connection)
        words = records.as_csv(rows) if format_ == "csv" else visible_json(list(rows))
    if output is None:
        print_text(words)
        return
    try:
        output.write_text(words, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from None


@app.command()
def policy(
    approval: Annotated[str | None, typer.Argument(help="An approval: would the policy grant it?")] = None,
    json: JsonFlag = False,
) -> None:
    """Show when a policy approves without a person, and why it would or would not grant one approval."""
    limits = settings().approvals
    shown: dict[str, Any] = {
        "kinds": limits.policy_kinds or "none: a person decides all",
        "least_confidence": limits.policy_confidence,
        "most_files": limits.policy_files,
        "most_lines": limits.policy_lines,
        "token_seconds": limits.policy_ttl,
    }
    if approval is not None:
        with ready_engine().connect() as connection:
            found = records.show(connection, records.resolve(connection, approval))
        evidence = found["evidence"] if isinstance(found["evidence"], dict) else {}
        against = approval_policy.objections(
            limits,
            found["kind"],
            found["content"],
            approval_policy.Evidence(
                confidence=float(evidence.get("confidence", 0)), gates=evidence.get("gates") or {}
            ),
        )
        shown["would_grant"] = not against
        shown["against"] = against
    print_json(shown) if json else print_fields(shown)


def read_content(path: Path | None) -> Any:
    """What is to be approved: JSON as it is, any other text as `{"patch": text}`."""
    try:
        words = sys.stdin.read() if path is None else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path or 'standard input'} cannot be read: {error}") from None
    if not words.strip():
        raise UsageError("there is nothing to approve: give --content FILE, or pipe it in")
    try:
        return json_module.loads(words)
    except ValueError:
        return {"patch": words}


def print_approval(found: dict[str, Any]) -> None:
    """Everything that a decision is about: who asks and why, the evidence, and all of the content."""
    fields = {
        name: value for name, value in found.items() if name not in ("content", "evidence", "decisions")
    }
    print_fields(fields)
    if found["evidence"] is not None:
        print_fields({"evidence": found["evidence"]})
    print_rows(found["decisions"], empty="Nobody has decided yet.", title="Decisions")
    console.print()
    for text, language in _parts(found["content"]):
        print_code(text, language)


def _parts(content: Any) -> Iterator[tuple[str, str]]:
    """The whole content in texts and their languages: a patch as a diff, everything else as JSON."""
    patch = content.get("patch") if isinstance(content, dict) else None
    if not isinstance(patch, str):
        yield visible_json(content), "json"
        return
    rest = {name: value for name, value in content.items() if name != "patch"}
    if rest:
        yield visible_json(rest), "json"
    yield patch, "diff"


def _seen(verb: str, approval: str, digest: str | None) -> tuple[UUID, str]:
    """The approval, and the digest of what the person saw: given, or of what is shown now and confirmed.

    Raises:
        UsageError: nothing was given and nobody is there to look.
    """
    with ready_engine().connect() as connection:
        found = records.show(connection, records.resolve(connection, approval))
    if digest is not None:
        # A narrow terminal shows it in two lines.
        return found["id"], "".join(digest.split())
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            f"a decision is about what was shown: give --digest with what `qflow approvals show {found['id']}` "
            "prints, or decide at a terminal"
        )
    print_approval(found)
    if not typer.confirm(f"{verb} exactly this?"):
        raise QflowError("nothing was decided")
    return found["id"], found["digest"]


def _decide(
    decide: Any,
    verb: str,
    approval: str,
    digest: str | None,
    actor: str | None,
    comment: str | None,
    json: bool,
) -> None:
    name = actor_name(actor)
    id_, seen = _seen(verb, approval, digest)
    with ready_engine().begin() as connection:
        decided: arbiter.Decided = decide(connection, id_, actor=name, digest=seen, comment=comment)
    if json:
        print_json(decided._asdict())
        return
    console.print(f"{id_} is {decided.status} ({decided.approvals} of {decided.required} approvals)")
    if decided.token:
        console.print("token, shown this once: ", decided.token, sep="", soft_wrap=True)
