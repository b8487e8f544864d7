"""The arbiter: asking for an approval, deciding, commenting, taking it back, warning that it ends.

Approving makes a token that is shown once; `authorization` uses it up. The clock is the
database's; an approval is expired from ``expires_at`` on, for the sweep and for everyone else.

Does not belong here: reading approvals for people (`records`), who may decide (`deciders`), what a policy demands
(`policy`), any page or command.
"""

import hmac
import json
import secrets
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select, text, update

from qflow_dagster.approvals.approval import (
    KINDS,
    LOCK_BY_ID,
    MAX_CONTENT_BYTES,
    MAX_NAME_LENGTH,
    QUEUES,
    TOKEN_BYTES,
    TOKEN_PREFIX,
    TYPES,
    DecisionRefusedError,
    digest_of,
    hash_token,
    is_over,
)
from qflow_dagster.approvals.deciders import refuse_role, refuse_unnamed, refuse_unreachable
from qflow_dagster.approvals.policy import Evidence, objections
from qflow_dagster.approvals.tables import approval_decisions
from qflow_dagster.approvals.tables import approvals as approvals_table
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import (
    Json,
    create_workflow,
    send_with_notify,
    transition,
)
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.safety import logs
from qflow_dagster.safety.names import identity
from qflow_dagster.safety.storable import storable_text
from qflow_dagster.settings import settings

logger = logs.logger(__name__)

MAX_COMMENT_LENGTH = 10_000


class DecisionResult(NamedTuple):
    """The result of a decision; it has the token only if this decision approved."""

    approval_id: UUID
    status: str
    approvals: int
    required: int
    token: str | None


_INSERT = text("""
INSERT INTO approvals (id, kind, target, content, digest, requested_by, reason, evidence, required_approvals,
                       expires_at, warn_at)
SELECT w.id, :kind, :target, CAST(:content AS jsonb), :digest, :requested_by, :reason,
       CAST(:evidence AS jsonb), :required, w.expires_at,
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
    run_id: str | None = None,
) -> UUID:
    """Ask for an approval of exactly this; return its id. It waits `ttl` seconds (default: the setting).

    Raises:
        UsageError: the kind is unknown, a name is missing or too long, the content is not valid JSON or too large,
            or fewer people may decide it than have to.
    """
    limits = settings().approvals
    required = required_approvals or limits.quorum.get(kind, 1)
    refuse_unreachable(kind, required, requested_by)
    return _create(
        connection,
        kind,
        target,
        content,
        requested_by=requested_by,
        reason=reason,
        ttl=ttl or limits.ttl,
        required=required,
        evidence=evidence,
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
) -> DecisionResult:
    """Approve; at the quorum the approval is approved, and the answer carries the token.

    `digest` (hex) is that of the content which a page or command showed the actor: what is decided
    is what was seen. Approving again is not a new decision and does not show the token again.

    Raises:
        DecisionRefusedError: the actor may not decide it, or it is decided or expired.
    """
    refuse_unnamed(actor)
    return _decide(connection, approval_id, "approve", actor, comment, digest)


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
    if not words.strip() or len(words) > MAX_COMMENT_LENGTH:
        raise DecisionRefusedError(f"a comment has 1 to {MAX_COMMENT_LENGTH:,} characters")
    row = _locked(connection, approval_id)
    if row.status != "pending" or is_over(connection, row):
        status = "expired" if row.status == "pending" else row.status
        raise DecisionRefusedError(f"approval {approval_id} is {status}: it takes no comments any more")
    data = {"decision": "comment", "comment": storable_text(words)}
    transition(connection, [approval_id], "pending", actor=actor, data=data)


def warn_of_expiry(connection: Connection, *, limit: int = 1_000) -> list[UUID]:
    """Remind of pending approvals whose next reminder is due, each once; return their ids.

    The reminders come after the parts of the term in `QFLOW_APPROVALS_REMINDERS`; what was missed is not made up for.
    """
    query = text("""
        WITH due AS MATERIALIZED (
            SELECT id FROM approvals WHERE warn_at <= statement_timestamp()
            ORDER BY warn_at LIMIT :limit FOR UPDATE SKIP LOCKED
        ), warned AS (
            UPDATE approvals a SET warn_at = (
                SELECT min(moment) FROM (
                    SELECT a.requested_at + (a.expires_at - a.requested_at) * part AS moment
                    FROM unnest(CAST(:parts AS float8[])) AS part
                ) AS reminder WHERE moment > statement_timestamp())
            FROM due WHERE a.id = due.id
            RETURNING a.id, a.kind, a.target, a.expires_at,
                (SELECT count(*) FROM unnest(CAST(:parts AS float8[])) AS part
                 WHERE a.requested_at + (a.expires_at - a.requested_at) * part <= statement_timestamp()) AS number
        )
        SELECT warned.* FROM warned JOIN workflows w ON w.id = warned.id
        WHERE w.status = 'pending' AND w.expires_at > statement_timestamp()
    """)
    parts = settings().approvals.reminders
    rows = connection.execute(query, {"limit": limit, "parts": parts}).all()
    for queue in {QUEUES[row.kind] for row in rows}:
        messages = [
            {
                "workflow_id": str(row.id),
                "type": TYPES[row.kind],
                "event": "expiring",
                "expires_at": row.expires_at.isoformat(),
                "reminder": max(row.number, 1),
                "reminders": len(parts),
            }
            for row in rows
            if QUEUES[row.kind] == queue
        ]
        send_with_notify(connection, queue, messages)
    return [row.id for row in rows]


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
    run_id: str | None,
    warn: bool,
) -> UUID:
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of approval; valid ones: {', '.join(KINDS)}")
    for name, value in (("target", target), ("requester", requested_by), ("reason", reason)):
        if not value.strip():
            raise UsageError(f"an approval needs a {name}")
    if storable_text(target) != target:
        raise UsageError("an approval's target holds NUL or half a surrogate pair")
    if len(requested_by) > MAX_NAME_LENGTH:
        raise UsageError(f"the requester's name is longer than {MAX_NAME_LENGTH} characters")
    if not 1 <= required <= 100:
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
            "required": required,
            "warn": warn,
            "first_reminder": next(iter(settings().approvals.reminders), None),
        },
    )
    # Into the chain of hashes: what was asked for cannot be exchanged later.
    request = {"digest": digest.hex(), "required_approvals": required, "reason": reason[:2_000]}
    transition(connection, [id_], "pending", actor=requested_by, data=request)
    return id_


def _decide(
    connection: Connection,
    approval_id: UUID,
    decision: Literal["approve", "deny"],
    actor: str,
    comment: str | None,
    digest: str | None,
) -> DecisionResult:
    # Only a policy, which looks at the content itself, gives no digest.
    row = _locked(connection, approval_id)
    if identity(actor) == identity(row.requested_by):
        raise DecisionRefusedError(f"{actor} asked for this approval: somebody else has to decide it")
    if not actor.startswith("policy:"):
        refuse_role(row.kind, actor)
    if digest is not None:
        _refuse_unseen(row, actor, digest)
    table = approval_decisions.c
    earlier = select(table.actor, table.decision).where(table.approval_id == approval_id)
    decisions = {identity(row.actor): row.decision for row in connection.execute(earlier)}
    if earlier_decision := decisions.get(identity(actor)):
        if earlier_decision != decision:
            raise DecisionRefusedError(f"{actor} has decided already ({earlier_decision}): one decision each")
        return DecisionResult(approval_id, row.status, _count(decisions), row.required_approvals, None)
    if row.status == "expired" or (row.status == "pending" and is_over(connection, row)):
        raise DecisionRefusedError(f"approval {approval_id} has expired: ask for it again")
    if row.status != "pending":
        raise DecisionRefusedError(f"approval {approval_id} is {row.status} already")

    connection.execute(
        insert(approval_decisions).values(
            approval_id=approval_id,
            actor=actor,
            requested_by=row.requested_by,
            decision=decision,
            comment=comment,
        )
    )
    approvals = _count({**decisions, identity(actor): decision})
    status, token = ("denied" if decision == "deny" else "pending"), None
    if decision == "approve" and approvals >= row.required_approvals:
        status, token = "approved", TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        connection.execute(
            update(approvals_table)
            .where(approvals_table.c.id == approval_id)
            .values(token_hash=hash_token(token))
        )
    data = {"decision": decision, "comment": comment, "digest": row.digest.hex(), "approvals": approvals}
    transition(connection, [approval_id], status, actor=actor, data=data)
    return DecisionResult(approval_id, status, approvals, row.required_approvals, token)


def _count(decisions: Mapping[str, str]) -> int:
    return sum(decision == "approve" for decision in decisions.values())


def _locked(connection: Connection, approval_id: UUID) -> Row[Any]:
    row = connection.execute(LOCK_BY_ID, {"id": approval_id}).one_or_none()
    if row is None:
        raise DecisionRefusedError(f"there is no open approval {approval_id}")
    return row


def _refuse_unseen(row: Row[Any], actor: str, digest: str) -> None:
    if not hmac.compare_digest(digest.encode(errors="replace"), row.digest.hex().encode()):
        raise DecisionRefusedError(f"what {actor} saw is not what approval {row.id} is about: look again")
