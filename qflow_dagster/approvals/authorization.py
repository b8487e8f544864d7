"""Using an approval up: once, for exactly what it is bound to, in the transaction of the action.

`authorize` and its two short forms are the only ways to act on an approval. Does not belong
here: asking and deciding (`arbiter`).
"""

import hmac
from typing import Any, Literal, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import SQLAlchemyError

from qflow_dagster.approvals.approval import LOCK_BY_ID, LOCK_BY_TOKEN, digest_of, hash_token, is_over
from qflow_dagster.approvals.tables import approval_decisions, approval_refusals
from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import Json, transition
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

Reason = Literal["not_found", "not_approved", "already_used", "expired", "revoked", "mismatch"]


class ApprovalRefusedError(QflowError):
    """A token was refused. The text is the same for every reason; `reason` is for our own history."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(
            "the approval was refused: its token is unknown, used, expired, revoked or for something else; "
            "whoever asked for it finds the exact reason with `qflow approvals history`"
        )


class Reference(NamedTuple):
    """Stands for the token of an approval where this process has the database's trust anyway."""

    approval_id: UUID


class Authorization(NamedTuple):
    """A consumed approval: what may be done now, in this transaction."""

    approval_id: UUID
    kind: str
    target: str
    content: Json
    # What those who approved filled in, by the names of the request's fields.
    answers: dict[str, Any]


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
        ApprovalRefusedError: the token is not for this, or not any more.
    """
    digest = digest_of(kind, target, content)
    if isinstance(presented, Reference):
        row = connection.execute(LOCK_BY_ID, {"id": presented.approval_id}).one_or_none()
    else:
        hashed = hash_token(presented)
        row = connection.execute(LOCK_BY_TOKEN, {"hash": hashed}).one_or_none()
        # The index found it by the hash; this says so again in constant time.
        if row is not None and not hmac.compare_digest(row.token_hash, hashed):
            row = None
    refusal = _refusal(connection, row, kind, target, digest)
    if row is None or refusal:
        refusal = refusal or "not_found"
        _record_refusal(
            connection, None if row is None else row.id, refusal, kind, target, digest, actor, run_id
        )
        raise ApprovalRefusedError(refusal)
    data = {"used_by": actor, "digest": digest.hex()}
    transition(connection, [row.id], "consumed", actor=actor, data=data, run_id=run_id)
    table = approval_decisions.c
    query = select(table.answers).where(table.approval_id == row.id, table.decision == "approve").limit(1)
    return Authorization(row.id, row.kind, row.target, row.content, connection.scalar(query) or {})


def authorize_edit(
    connection: Connection,
    token: str | Reference,
    target: str,
    content: Json,
    *,
    actor: str,
    run_id: str | None = None,
) -> Authorization:
    """`authorize` for an edit of `target`."""
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
    """`authorize` for starting a workflow of the type `target`."""
    return authorize(connection, token, "workflow", target, content, actor=actor, run_id=run_id)


def _refusal(
    connection: Connection, row: Row[Any] | None, kind: str, target: str, digest: bytes
) -> Reason | None:
    """Return why the approval cannot be used for this; None if it can."""
    if row is None:
        return "not_found"
    same = hmac.compare_digest(row.digest, digest)
    # Not only the stored digest: whoever altered the content in place is found here.
    same &= hmac.compare_digest(digest_of(row.kind, row.target, row.content), digest)
    if row.kind != kind or row.target != target or not same:
        return "mismatch"
    by_status: dict[str, Reason] = {
        "consumed": "already_used",
        "expired": "expired",
        "revoked": "revoked",
        "denied": "not_approved",
        "pending": "not_approved",
    }
    if row.status == "approved":
        return "expired" if is_over(connection, row) else None
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
                insert(approval_refusals).values(
                    approval_id=approval_id, reason=reason, presented=to_jsonb(presented, "the target")
                )
            )
    except (SQLAlchemyError, QflowError) as error:
        logger.warning("a refused approval (%s) could not be recorded: %s", reason, error)
