"""The arbiter: asking for an approval, deciding, and using it once.

An approval is bound to a kind, a target and the digest of its content. Approving it makes a
token that is shown once; `authorize` consumes it in the transaction of what it permits, so
an action that fails does not burn it. The clock is the database's; an approval is expired
from ``expires_at`` on, for the sweep and for everyone else.

Does not belong here: reading approvals for people (`approval_records`), deciding by policy
(`approval_policy`), any page or command.
"""

import hashlib
import hmac
import json
import logging
import secrets
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, text
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.agents.approval_policy import Evidence, objections
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.quantumflow import (
    Json,
    StateMachine,
    create_workflow,
    register,
    send_with_notify,
    transition,
)
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.settings import settings

logger = logging.getLogger(__name__)

APPROVAL = StateMachine(
    name="approval",
    initial="pending",
    transitions={
        # To itself: the request's digest, and each approval short of the quorum, are events too.
        "pending": frozenset({"pending", "approved", "denied", "expired", "revoked"}),
        "approved": frozenset({"consumed", "expired", "revoked"}),
        "denied": frozenset(),
        "consumed": frozenset(),
        "expired": frozenset(),
        "revoked": frozenset(),
    },
    terminal=frozenset({"denied", "consumed", "expired", "revoked"}),
    completed="approved",
    expired="expired",
)

Kind = Literal["edit", "workflow", "rule", "rollback"]
KINDS: tuple[Kind, ...] = ("edit", "workflow", "rule", "rollback")
QUEUES = dict.fromkeys(KINDS, "approval_notifications") | {"workflow": "workflow_approval_notifications"}
# A type per kind, so that what waits of one kind is found without looking at the others.
TYPES = {kind: register(f"{kind}_approval", machine=APPROVAL, queue=QUEUES[kind]).name for kind in KINDS}

TOKEN_PREFIX = "qfa_"  # noqa: S105  (says to a person and to a scanner what it is)
TOKEN_BYTES = 32
LARGEST_CONTENT = 5_000_000
LONGEST_NAME = 200
# The part of its term after which an approval nobody decided warns.
WARN_AFTER = 0.8

Reason = Literal["not_found", "not_approved", "already_used", "expired", "revoked", "mismatch"]


class ApprovalRefused(QflowError):  # noqa: N818
    """A token was refused. The text is the same for every reason; `reason` is for our own history."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(
            "the approval was refused: its token is unknown, used, expired, revoked or for something else; "
            "whoever asked for it finds the exact reason with `qflow approvals history`"
        )


class DecisionRefused(QflowError):  # noqa: N818
    """Somebody may not decide, or there is nothing left to decide."""


class Reference(NamedTuple):
    """Stands for the token of an approval where this process has the database's trust anyway."""

    approval_id: UUID


class Decided(NamedTuple):
    """What a decision led to; the token only in the answer to the decision that approved."""

    approval_id: UUID
    status: str
    approvals: int
    required: int
    token: str | None


class Authorization(NamedTuple):
    """A consumed approval: what may be done now, in this transaction."""

    approval_id: UUID
    kind: str
    target: str
    content: Json


_LOCK = """
SELECT a.id, a.kind, a.target, a.content, a.digest, a.requested_by, a.required_approvals, a.token_hash,
       w.status, w.expires_at
FROM approvals a JOIN workflows w ON w.id = a.id
WHERE {which} FOR UPDATE OF w
"""
_LOCK_BY_ID = text(_LOCK.format(which="a.id = :id"))
_LOCK_BY_TOKEN = text(_LOCK.format(which="a.token_hash = :hash"))

_INSERT = text("""
INSERT INTO approvals (id, kind, target, content, digest, requested_by, reason, evidence, required_approvals,
                       expires_at, warn_at)
SELECT w.id, :kind, :target, CAST(:content AS jsonb), :digest, :requested_by, :reason,
       CAST(:evidence AS jsonb), :required, w.expires_at,
       CASE WHEN :warn THEN w.created_at + (w.expires_at - w.created_at) * :warn_after END
FROM workflows w WHERE w.id = :id
""")


def digest_of(kind: str, target: str, content: Json) -> bytes:
    """SHA-256 of the canonical form (JSON, sorted keys, no spaces) of what is approved."""
    canonical = json.dumps([kind, target, content], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).digest()


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
        UsageError: the kind is unknown, a name is missing or too long, the content is no JSON or too large.
    """
    limits = settings().approvals
    return _create(
        connection, kind, target, content, requested_by=requested_by, reason=reason, ttl=ttl or limits.ttl,
        required=required_approvals or limits.quorum.get(kind, 1), evidence=evidence, run_id=run_id, warn=True,
    )  # fmt: skip


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
) -> Decided:
    """Let the policy of this kind approve, without a person; the token lives a minute (a setting).

    Raises:
        DecisionRefused: the policy does not grant it; the message says why. Ask a person then.
    """
    limits = settings().approvals
    if against := objections(limits, kind, content, evidence):
        raise DecisionRefused(f"no policy approves this {kind}: {'; '.join(against)}")
    id_ = _create(
        connection, kind, target, content, requested_by=requested_by, reason=reason, ttl=limits.policy_ttl,
        required=1, evidence=evidence.as_json(), run_id=run_id, warn=False,
    )  # fmt: skip
    # The name is reserved: no person can decide as a policy.
    return _decide(connection, id_, "approve", f"policy:{kind}", "all conditions of the policy hold", None)


def approve(
    connection: Connection,
    approval_id: UUID,
    *,
    actor: str,
    comment: str | None = None,
    digest: str | None = None,
) -> Decided:
    """Approve; at the quorum the approval is approved, and the answer carries the token.

    `digest` is that of the content the actor saw (hex), where a page or command showed it.
    Approving again is no new decision and shows no token again.

    Raises:
        DecisionRefused: the actor may not decide it, or it is decided or expired.
    """  # fmt: skip
    _refuse_decider(actor)
    return _decide(connection, approval_id, "approve", actor, comment, digest)


def deny(
    connection: Connection,
    approval_id: UUID,
    *,
    actor: str,
    comment: str | None = None,
    digest: str | None = None,
) -> Decided:
    """Deny: one denial ends it. Raises as `approve`."""  # fmt: skip
    _refuse_decider(actor)
    return _decide(connection, approval_id, "deny", actor, comment, digest)


def revoke(connection: Connection, approval_id: UUID, *, actor: str, reason: str) -> None:
    """Take back a request or an approval that was not used yet; the requester or a decider may.

    Raises:
        DecisionRefused: it has ended, or the actor may not.
    """
    _refuse_decider(actor)
    row = _locked(connection, approval_id)
    if row.status not in ("pending", "approved"):
        raise DecisionRefused(f"approval {approval_id} is {row.status}: there is nothing left to revoke")
    if actor != row.requested_by:
        _refuse_role(row.kind, actor)
    transition(connection, [approval_id], "revoked", actor=actor, data={"reason": reason})


def authorize(
    connection: Connection,
    presented: str | Reference,
    kind: str,
    target: str,
    content: Json,
    *,
    actor: str,
    run_id: str | None = None,
) -> Authorization:
    """Use an approval up for exactly this, in the caller's transaction.

    If the transaction fails the approval is as it was. A refusal is recorded, with its
    reason, in a transaction of its own.

    Raises:
        ApprovalRefused: the token is not for this, or not any more.
    """
    digest = digest_of(kind, target, content)
    if isinstance(presented, Reference):
        row = connection.execute(_LOCK_BY_ID, {"id": presented.approval_id}).one_or_none()
    else:
        hashed = hash_token(presented)
        row = connection.execute(_LOCK_BY_TOKEN, {"hash": hashed}).one_or_none()
        # The index found it by the hash; this says so again in constant time.
        if row is not None and not hmac.compare_digest(row.token_hash, hashed):
            row = None
    refusal = _refusal(connection, row, kind, target, digest)
    if row is None or refusal:
        refusal = refusal or "not_found"
        _record_refusal(
            connection, None if row is None else row.id, refusal, kind, target, digest, actor, run_id
        )
        raise ApprovalRefused(refusal)
    data = {"used_by": actor, "digest": digest.hex()}
    transition(connection, [row.id], "consumed", actor=actor, data=data, run_id=run_id)
    return Authorization(row.id, row.kind, row.target, row.content)


def authorize_edit(
    connection: Connection,
    token: str | Reference,
    target: str,
    content: Json,
    *,
    actor: str,
    run_id: str | None = None,
) -> Authorization:
    """`authorize` for an edit of `target`."""  # fmt: skip
    return authorize(connection, token, "edit", target, content, actor=actor, run_id=run_id)


def authorize_workflow(
    connection: Connection,
    token: str | Reference,
    target: str,
    content: Json,
    *,
    actor: str,
    run_id: str | None = None,
) -> Authorization:
    """`authorize` for starting a workflow of the type `target`."""  # fmt: skip
    return authorize(connection, token, "workflow", target, content, actor=actor, run_id=run_id)


def warn_of_expiry(connection: Connection, *, limit: int = 1_000) -> list[UUID]:
    """Tell the queues of approvals that are pending and near their end, each once; return their ids."""
    query = text("""
        WITH due AS MATERIALIZED (
            SELECT id FROM approvals WHERE warn_at <= statement_timestamp()
            ORDER BY warn_at LIMIT :limit FOR UPDATE SKIP LOCKED
        ), warned AS (
            UPDATE approvals a SET warn_at = NULL FROM due WHERE a.id = due.id
            RETURNING a.id, a.kind, a.target, a.expires_at
        )
        SELECT warned.* FROM warned JOIN workflows w ON w.id = warned.id
        WHERE w.status = 'pending' AND w.expires_at > statement_timestamp()
    """)
    rows = connection.execute(query, {"limit": limit}).all()
    for queue in {QUEUES[row.kind] for row in rows}:
        messages = [
            {
                "workflow_id": str(row.id),
                "type": TYPES[row.kind],
                "event": "expiring",
                "expires_at": row.expires_at.isoformat(),
            }
            for row in rows
            if QUEUES[row.kind] == queue
        ]
        send_with_notify(connection, queue, messages)
    return [row.id for row in rows]


def hash_token(token: str) -> bytes:
    """What is stored of a token."""
    return hashlib.sha256(token.encode(errors="surrogatepass")).digest()


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
        raise UsageError(f"{kind!r} is no kind of approval; there are: {', '.join(KINDS)}")
    for name, value in (("target", target), ("requester", requested_by), ("reason", reason)):
        if not value.strip():
            raise UsageError(f"an approval needs a {name}")
    if len(requested_by) > LONGEST_NAME:
        raise UsageError(f"the requester's name is longer than {LONGEST_NAME} characters")
    if not 1 <= required <= 100:
        raise UsageError(f"{required} approvals cannot be required: 1 to 100 can")
    if not 0 < ttl <= settings().approvals.longest_ttl:
        raise UsageError(
            f"an approval waits more than 0 and at most {settings().approvals.longest_ttl} seconds"
        )
    encoded = to_json(content, "what is to be approved")
    if len(encoded) > LARGEST_CONTENT:
        raise UsageError(
            f"what is to be approved has {len(encoded):,} bytes; {LARGEST_CONTENT:,} are allowed"
        )
    digest = digest_of(kind, target, json.loads(encoded))
    title = f"{kind} {target}: {reason.strip().splitlines()[0]}"[:LONGEST_NAME]
    id_ = create_workflow(
        connection, TYPES[kind], {"title": title, "digest": digest.hex()},
        actor=requested_by, ttl=ttl, run_id=run_id,
    )  # fmt: skip
    connection.execute(
        _INSERT,
        {
            "id": id_, "kind": kind, "target": target, "content": encoded, "digest": digest,
            "requested_by": requested_by, "reason": reason, "evidence": to_json(evidence, "the evidence"),
            "required": required, "warn": warn, "warn_after": WARN_AFTER,
        },
    )  # fmt: skip
    # Into the chain of hashes: what was asked for cannot be exchanged later.
    asked = {"digest": digest.hex(), "required_approvals": required, "reason": reason[:2_000]}
    transition(connection, [id_], "pending", actor=requested_by, data=asked)
    return id_


def _decide(
    connection: Connection,
    approval_id: UUID,
    decision: Literal["approve", "deny"],
    actor: str,
    comment: str | None,
    digest: str | None,
) -> Decided:
    row = _locked(connection, approval_id)
    if actor == row.requested_by:
        raise DecisionRefused(f"{actor} asked for this approval: somebody else has to decide it")
    if not actor.startswith("policy:"):
        _refuse_role(row.kind, actor)
    if digest is not None and not hmac.compare_digest(digest, row.digest.hex()):
        raise DecisionRefused(f"what {actor} saw is not what approval {approval_id} is about: look again")
    earlier = text("SELECT actor, decision FROM approval_decisions WHERE approval_id = :id")
    decisions = {row.actor: row.decision for row in connection.execute(earlier, {"id": approval_id})}
    if actor in decisions:
        if decisions[actor] != decision:
            raise DecisionRefused(f"{actor} has decided already ({decisions[actor]}): one decision each")
        return Decided(approval_id, row.status, _count(decisions), row.required_approvals, None)
    if row.status == "expired" or (row.status == "pending" and _is_over(connection, row)):
        raise DecisionRefused(f"approval {approval_id} has expired: ask for it again")
    if row.status != "pending":
        raise DecisionRefused(f"approval {approval_id} is {row.status} already")

    insert = text("""
        INSERT INTO approval_decisions (approval_id, actor, requested_by, decision, comment)
        VALUES (:id, :actor, :requested_by, :decision, :comment)
    """)
    connection.execute(
        insert,
        {"id": approval_id, "actor": actor, "requested_by": row.requested_by, "decision": decision, "comment": comment},
    )  # fmt: skip
    approvals = _count({**decisions, actor: decision})
    status, token = ("denied" if decision == "deny" else "pending"), None
    if decision == "approve" and approvals >= row.required_approvals:
        status, token = "approved", TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
        store = text("UPDATE approvals SET token_hash = :hash WHERE id = :id")
        connection.execute(store, {"hash": hash_token(token), "id": approval_id})
    data = {"decision": decision, "comment": comment, "digest": row.digest.hex(), "approvals": approvals}
    transition(connection, [approval_id], status, actor=actor, data=data)
    return Decided(approval_id, status, approvals, row.required_approvals, token)


def _count(decisions: Mapping[str, str]) -> int:
    return sum(decision == "approve" for decision in decisions.values())


def _locked(connection: Connection, approval_id: UUID) -> Row[Any]:
    row = connection.execute(_LOCK_BY_ID, {"id": approval_id}).one_or_none()
    if row is None:
        raise DecisionRefused(f"there is no open approval {approval_id}")
    return row


def _refuse_decider(actor: str) -> None:
    if not actor.strip() or len(actor) > LONGEST_NAME:
        raise DecisionRefused(f"a decision needs a named actor of at most {LONGEST_NAME} characters")
    if actor.startswith("policy:"):
        raise DecisionRefused("names beginning with 'policy:' are the policies' own")


def _refuse_role(kind: str, actor: str) -> None:
    allowed = settings().approvals.deciders.get(kind)
    if allowed is not None and actor not in allowed:
        raise DecisionRefused(
            f"{actor} may not decide approvals of kind {kind}; QFLOW_APPROVALS_DECIDERS names: "
            f"{', '.join(allowed) or 'nobody'}"
        )


def _is_over(connection: Connection, row: Row[Any]) -> bool:
    """Whether its term is over. A statement of its own: the one that locked may have waited."""
    return bool(connection.scalar(text("SELECT :at <= clock_timestamp()"), {"at": row.expires_at}))


def _refusal(
    connection: Connection, row: Row[Any] | None, kind: str, target: str, digest: bytes
) -> Reason | None:
    """Why the approval cannot be used for this; None if it can."""
    if row is None:
        return "not_found"
    same = hmac.compare_digest(row.digest, digest)
    # Not only the stored digest: whoever altered the content in place is found here.
    same &= hmac.compare_digest(digest_of(row.kind, row.target, row.content), digest)
    if row.kind != kind or row.target != target or not same:
        return "mismatch"
    by_status: dict[str, Reason] = {
        "consumed": "already_used", "expired": "expired", "revoked": "revoked", "denied": "not_approved",
        "pending": "not_approved",
    }  # fmt: skip
    if row.status == "approved":
        return "expired" if _is_over(connection, row) else None
    return by_status[row.status]


def _record_refusal(
    connection: Connection,
    approval_id: UUID | None,
    reason: Reason,
    kind: str,
    target: str,
    digest: bytes,
    actor: str,
    run_id: str | None,
) -> None:
    """On a connection of its own: the caller's transaction is about to be rolled back."""
    insert = text("""
        INSERT INTO approval_refusals (approval_id, reason, presented)
        VALUES (:id, :reason, CAST(:presented AS jsonb))
    """)
    presented = {
        "kind": kind,
        "target": target[:1_000],
        "digest": digest.hex(),
        "actor": actor,
        "run_id": run_id,
    }
    try:
        with connection.engine.begin() as own:
            own.execute(
                insert, {"id": approval_id, "reason": reason, "presented": to_json(presented, "the target")}
            )
    except (SQLAlchemyError, QflowError) as error:
        logger.warning("a refused approval (%s) could not be recorded: %s", reason, error)
