"""Tokens of approvals: making one, and replacing it on request.

Does not belong here: using a token (`authorization`), tokens of persons (`web.api_tokens`).
"""

import secrets
from uuid import UUID

from sqlalchemy import Connection, select, update

from qflow_dagster.approvals.approval import (
    LOCK_BY_ID,
    TOKEN_BYTES,
    TOKEN_PREFIX,
    DecisionRefusedError,
    hash_token,
    is_over,
)
from qflow_dagster.approvals.tables import approval_decisions, approvals
from qflow_dagster.quantumflow import transition
from qflow_dagster.safety.names import identity


def new_token(connection: Connection, approval_id: UUID) -> str:
    """Return a new token for an approval; the former one, if there was one, is worth nothing from now on."""
    token = TOKEN_PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    change = update(approvals).where(approvals.c.id == approval_id).values(token_hash=hash_token(token))
    connection.execute(change)
    return token


def replace_token(connection: Connection, approval_id: UUID, *, actor: str) -> str:
    """Return a new token of an approval, for one of those who approved it; the former token ends.

    Raises:
        DecisionRefusedError: it is not approved, or not by the actor.
    """
    row = connection.execute(LOCK_BY_ID, {"id": approval_id}).one_or_none()
    if row is None or row.status != "approved" or is_over(connection, row):
        status = "unknown" if row is None else row.status
        raise DecisionRefusedError(f"approval {approval_id} is {status}: only an approved one has a token")
    table = approval_decisions.c
    query = select(table.actor).where(table.approval_id == approval_id, table.decision == "approve")
    if identity(actor) not in map(identity, connection.scalars(query)):
        raise DecisionRefusedError(f"{actor} did not approve it: a token is for those who did")
    token = new_token(connection, approval_id)
    transition(connection, [approval_id], "approved", actor=actor, data={"decision": "token"})
    return token
