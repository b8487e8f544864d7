"""The arbiter: requesting an approval, deciding, commenting, taking it back.

Approving makes a token that is shown once; `authorization` uses it up. The clock is the
database's; an approval is expired from ``expires_at`` on, for the sweep and for everyone else.

Does not belong here: reading approvals for people (`records`), who may decide (`deciders`), passing a decision on
(`assignment`), reminders (`reminders`), what a policy demands (`policy`), any page or command.
"""

import hmac
import json
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, text

from qflow_dagster.approvals import forms, records
from qflow_dagster.approvals.approval import (
    KINDS,
    LOCK_BY_ID,
    MAX_CONTENT_BYTES,
    MAX_NAME_LENGTH,
    TYPES,
    DecisionRefusedError,
    digest_of,
    is_over,
)
from qflow_dagster.approvals.deciders import (
    decides_for,
    refuse_alike,
    refuse_role,
    refuse_unfit,
    refuse_unnamed,
    refuse_unreachable,
)
from qflow_dagster.approvals.policy import Evidence, objections
from qflow_dagster.approvals.tables import approval_decisions
from qflow_dagster.approvals.tokens import new_token
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    Json,
    create_workflow,
    transition,
)
from qflow_dagster.quantumflow.rows import to_json, to_jsonb
from qflow_dagster.safety import logs
from qflow_dagster.safety.display import is_blank
from qflow_dagster.safety.names import identity
from qflow_dagster.safety.storable import storable_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

MAX_COMMENT_LENGTH, MAX_COMMENTS = 10_000, 200


class DecisionResult(NamedTuple):
    """The result of a decision; it has the token only if this decision approved."""

    approval_id: UUID
    status: str
    approvals: int
    required: int
    token: str | None


_INSERT = text("""
INSERT INTO approvals (id, kind, target, content, digest, requested_by, reason, evidence, form, owner,
                       required_approvals, expires_at, warn_at)
SELECT w.id, :kind, :target, CAST(:content AS jsonb), :digest, :requested_by, :reason,
       CAST(:evidence AS jsonb), CAST(:form AS jsonb), :owner, :required, w.expires_at,
       CASE WHEN :warn THEN w.created_at + (w.expires_at - w.created_at) * CAST(:first_reminder AS float8) END
FROM workflows w WHERE w.id = :id
""")


def request_approval(
    connection: Connection,
    kind: str,
    target: str,
    content: Json,
    *,
    requested_by: str,
    reason: str,
    ttl: float | None = None,
    required_approvals: int | None = None,
    evidence: Json = None,
    form: Json = None,
    owner: str | None = None,
    run_id: str | None = None,
) -> UUID:
    """Request an approval of exactly this; return its id. It waits `ttl` seconds (default: the setting).

    `form` are fields that whoever approves fills in (`forms`); `owner` is the person or team expected to decide.

    Raises:
        UsageError: the kind is unknown, a name is missing or too long, the content is not valid JSON or too large,
            the form is not valid, the owner may not decide, or fewer people may decide it than have to.
    """
    limits = settings().approvals
    required = limits.quorum.get(kind, 1) if required_approvals is None else required_approvals
    refuse_unreachable(kind, required, requested_by)
    return _create(
        connection,
        kind,
        target,
        content,
        requested_by=requested_by,
        reason=reason,
        ttl=limits.ttl if ttl is None else ttl,
        required=required,
        evidence=evidence,
        form=[field.model_dump(mode="json", exclude_defaults=True) for field in forms.parse(form)] or None,
        owner=owner,
        run_id=run_id,
        warn=True,
    )


def issue_approval(
    connection: Connection,
    kind: str,
    target: str,
    content: Json,
    *,
    requested_by: str,
    reason: str,
    evidence: Evidence,
    run_id: str | None = None,
) -> DecisionResult:
    """Let the policy of this kind approve, without a person; the token lives a minute (a setting).

    Raises:
        DecisionRefusedError: the policy does not grant it; the message says why. Ask a person then.
    """
    limits = settings().approvals
    if against := objections(limits, kind, content, evidence):
        raise DecisionRefusedError(f"no policy approves this {kind}: {'; '.join(against)}")
    id_ = _create(
        connection,
        kind,
        target,
        content,
        requested_by=requested_by,
        reason=reason,
        ttl=limits.policy_ttl,
        required=1,
        evidence=evidence.as_json(),
        run_id=run_id,
        warn=False,
    )
    # The name is reserved: no person can decide as a policy.
    return _decide(connection, id_, "approve", f"policy:{kind}", "all conditions of the policy hold", None)


def approve(
    connection: Connection,
    approval_id: UUID,
    *,
    actor: str,
    digest: str,
    comment: str | None = None,
    answers: Mapping[str, Any] | None = None,
) -> DecisionResult:
    """Approve; at the quorum the approval is approved, and the answer carries the token.

    `digest` (hex) is that of the content which a page or command showed the actor: what is decided
    is what was seen. Approving again is not a new decision and does not show the token again. `answers` are to the
    fields of its form, by name.

    Raises:
        DecisionRefusedError: the actor may not decide it, it is decided or expired, or somebody approved it with other
            answers.
        UsageError: an answer is missing or not valid.
    """
    refuse_unnamed(actor)
    return _decide(connection, approval_id, "approve", actor, comment, digest, answers)


def deny(
    connection: Connection,
    approval_id: UUID,
    *,
    actor: str,
    digest: str,
    comment: str | None = None,
) -> DecisionResult:
    """Deny: one denial ends it. Raises as `approve`."""
    refuse_unnamed(actor)
    return _decide(connection, approval_id, "deny", actor, comment, digest)


def revoke(
    connection: Connection, approval_id: UUID, *, actor: str, reason: str, digest: str | None = None
) -> None:
    """Take back a request or an approval that was not used yet; the requester or a decider may.

    `digest` as in `approve`; a program that takes back its own request saw nothing, and gives none.

    Raises:
        DecisionRefusedError: it has ended, the actor may not, or saw something else.
    """
    refuse_unnamed(actor)
    _refuse_long(reason)
    row = _locked(connection, approval_id)
    if digest is not None:
        _refuse_unseen(row, actor, digest)
    if row.status not in ("pending", "approved"):
        raise DecisionRefusedError(f"approval {approval_id} is {row.status}: there is nothing left to revoke")
    if identity(actor) != identity(row.requested_by):
        refuse_role(row.kind, actor)
    transition(connection, [approval_id], "revoked", actor=actor, data={"reason": reason})


def comment(connection: Connection, approval_id: UUID, *, actor: str, words: str) -> None:
    """Add a comment to an approval that is not decided yet, without deciding; anybody with a name may.

    Raises:
        DecisionRefusedError: it has no text, the actor has no name, or the approval is decided or expired.
    """
    refuse_unnamed(actor)
    if is_blank(words) or len(words) > MAX_COMMENT_LENGTH:
        raise DecisionRefusedError(f"a comment has 1 to {MAX_COMMENT_LENGTH:,} characters")
    locked_pending(connection, approval_id)
    if len(records.comments(connection, approval_id)) >= MAX_COMMENTS:
        raise DecisionRefusedError(f"approval {approval_id} has {MAX_COMMENTS} comments already: decide it")
    data = {"decision": "comment", "comment": storable_text(words)}
    transition(connection, [approval_id], "pending", actor=actor, data=data)


def _create(
    connection: Connection,
    kind: str,
    target: str,
    content: Json,
    *,
    requested_by: str,
    reason: str,
    ttl: float,
    required: int,
    evidence: Json,
    form: Json = None,
    owner: str | None = None,
    run_id: str | None,
    warn: bool,
) -> UUID:
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of approval; valid ones: {', '.join(KINDS)}")
    for name, value in (("target", target), ("requester", requested_by), ("reason", reason)):
        if is_blank(value):
            raise UsageError(f"an approval needs a {name}")
    if storable_text(target) != target:
        raise UsageError("an approval's target holds NUL or half a surrogate pair")
    if len(requested_by) > MAX_NAME_LENGTH:
        raise UsageError(f"the requester's name is longer than {MAX_NAME_LENGTH} characters")
    if owner is not None:
        refuse_unfit(kind, owner, requested_by)
    if not isinstance(required, int) or not 1 <= required <= 100:
        raise UsageError(f"{required} approvals cannot be required: 1 to 100 can")
    if not 0 < ttl <= settings().approvals.max_ttl:
        raise UsageError(f"an approval waits more than 0 and at most {settings().approvals.max_ttl} seconds")
    encoded = to_json(content, "what is to be approved", exact=True)
    if len(encoded) > MAX_CONTENT_BYTES:
        raise UsageError(
            f"what is to be approved has {len(encoded):,} bytes; {MAX_CONTENT_BYTES:,} are allowed"
        )
    digest = digest_of(kind, target, json.loads(encoded))
    title = f"{kind} {target}: {reason.strip().splitlines()[0]}"[:MAX_NAME_LENGTH]
    id_ = create_workflow(
        connection,
        TYPES[kind],
        {"title": title, "digest": digest.hex()},
        actor=requested_by,
        ttl=ttl,
        run_id=run_id,
    )
    connection.execute(
        _INSERT,
        {
            "id": id_,
            "kind": kind,
            "target": target,
            "content": encoded,
            "digest": digest,
            "requested_by": requested_by,
            "reason": reason,
            "evidence": to_json(evidence, "the evidence"),
            "form": None if form is None else to_json(form, "the form"),
            "owner": owner,
            "required": required,
            "warn": warn,
            "first_reminder": next(iter(settings().approvals.reminders), None),
        },
    )
    # Into the chain of hashes: what was asked for cannot be exchanged later.
    request: dict[str, Any] = {
        "digest": digest.hex(),
        "required_approvals": required,
        "reason": reason[:2_000],
    }
    if form is not None:
        request["form"] = form
    transition(connection, [id_], "pending", actor=requested_by, data=request)
    return id_


def _decide(
    connection: Connection,
    approval_id: UUID,
    decision: Literal["approve", "deny"],
    actor: str,
    comment: str | None,
    digest: str | None,
    answers: Mapping[str, Any] | None = None,
) -> DecisionResult:
    _refuse_long(comment or "")
    # Only a policy, which looks at the content itself, gives no digest.
    row = _locked(connection, approval_id)
    on_behalf_of = None
    if not actor.startswith("policy:"):
        on_behalf_of = decides_for(connection, approval_id, row.kind, row.requested_by, actor)
    if digest is not None:
        _refuse_unseen(row, actor, digest)
    table = approval_decisions.c
    earlier = select(table.actor, table.decision, table.answers).where(table.approval_id == approval_id)
    rows = connection.execute(earlier).all()
    decisions = {identity(row.actor): row.decision for row in rows}
    if earlier_decision := decisions.get(identity(actor)):
        if earlier_decision != decision:
            raise DecisionRefusedError(f"{actor} has decided already ({earlier_decision}): one decision each")
        return DecisionResult(approval_id, row.status, _count(decisions), row.required_approvals, None)
    for other in rows:
        refuse_alike(actor, other.actor)
    if row.status == "expired" or (row.status == "pending" and is_over(connection, row)):
        raise DecisionRefusedError(f"approval {approval_id} has expired: ask for it again")
    if row.status != "pending":
        raise DecisionRefusedError(f"approval {approval_id} is {row.status} already")

    checked = forms.check(forms.parse(row.form), answers) if decision == "approve" else {}
    for other in rows:
        if decision == "approve" and other.decision == "approve" and (other.answers or {}) != checked:
            raise DecisionRefusedError(f"{other.actor} approved it with other answers: agree, or deny it")
    connection.execute(
        insert(approval_decisions).values(
            approval_id=approval_id,
            actor=actor,
            requested_by=row.requested_by,
            decision=decision,
            comment=comment,
            answers=to_jsonb(checked, "the answers") if checked else None,
            on_behalf_of=on_behalf_of,
        )
    )
    approvals = _count({**decisions, identity(actor): decision})
    status, token = ("denied" if decision == "deny" else "pending"), None
    if decision == "approve" and approvals >= row.required_approvals:
        status, token = "approved", new_token(connection, approval_id)
    data = {"decision": decision, "comment": comment, "digest": row.digest.hex(), "approvals": approvals}
    if checked:
        data["answers"] = checked
    if on_behalf_of:
        data["on_behalf_of"] = on_behalf_of
    transition(connection, [approval_id], status, actor=actor, data=data)
    return DecisionResult(approval_id, status, approvals, row.required_approvals, token)


def _count(decisions: Mapping[str, str]) -> int:
    return sum(decision == "approve" for decision in decisions.values())


def locked_pending(connection: Connection, approval_id: UUID) -> Row[Any]:
    """Lock a pending approval and return it.

    Raises:
        DecisionRefusedError: it is decided or expired.
    """
    row = _locked(connection, approval_id)
    if row.status != "pending" or is_over(connection, row):
        status = "expired" if row.status == "pending" else row.status
        raise DecisionRefusedError(f"approval {approval_id} is {status}: it waits for no decision any more")
    return row


def _locked(connection: Connection, approval_id: UUID) -> Row[Any]:
    row = connection.execute(LOCK_BY_ID, {"id": approval_id}).one_or_none()
    if row is None:
        raise DecisionRefusedError(f"there is no open approval {approval_id}")
    return row


def _refuse_long(comment: str) -> None:
    if len(comment) > MAX_COMMENT_LENGTH:
        raise DecisionRefusedError(f"a comment has at most {MAX_COMMENT_LENGTH:,} characters")


def _refuse_unseen(row: Row[Any], actor: str, digest: str) -> None:
    if not hmac.compare_digest(digest.encode(errors="replace"), row.digest.hex().encode()):
        raise DecisionRefusedError(f"what {actor} saw is not what approval {row.id} is about: look again")
