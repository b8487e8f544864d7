"""Passing a request on: to another owner, or to somebody who decides in the place of a decider.

Belongs here: reassigning and delegating, both recorded in the history. Does not belong here: deciding (`arbiter`).
"""

from uuid import UUID

from sqlalchemy import Connection, insert, select, update

from qflow_dagster.approvals.approval import DecisionRefusedError
from qflow_dagster.approvals.arbiter import locked_pending
from qflow_dagster.approvals.deciders import (
    delegations,
    is_decider,
    members,
    refuse_role,
    refuse_unfit,
    refuse_unnamed,
    refuse_unreadable,
)
from qflow_dagster.approvals.tables import approval_decisions, approval_delegations, approvals
from qflow_dagster.errors import UsageError
from qflow_dagster.quantumflow import transition
from qflow_dagster.safety.display import is_blank
from qflow_dagster.safety.names import identity
from qflow_dagster.safety.storable import storable_text


def reassign(connection: Connection, approval_id: UUID, *, actor: str, to: str, reason: str) -> None:
    """Make a person, or `team:NAME`, the owner of a pending request; its requester, owner or a decider may.

    The owner is who is expected to decide. The other deciders may decide as before.

    Raises:
        DecisionRefusedError: it is not pending, or the actor may not.
        UsageError: the new owner may not decide it, or there is no reason.
    """
    refuse_unnamed(actor)
    _refuse_unreasoned(reason)
    row = locked_pending(connection, approval_id)
    if identity(actor) not in {identity(name) for name in (row.requested_by, row.owner or row.requested_by)}:
        refuse_role(row.kind, actor)
    refuse_unfit(row.kind, to, row.requested_by)
    _set_owner(
        connection, approval_id, actor, to, {"decision": "reassigned", "from": row.owner, "comment": reason}
    )


def delegate(connection: Connection, approval_id: UUID, *, actor: str, to: str, reason: str) -> None:
    """Let somebody who is no decider decide a pending request in the place of the actor, who is one.

    The actor cannot decide it any more; the decision is recorded with both names, and counts once.

    Raises:
        DecisionRefusedError: it is not pending, or the actor cannot decide it.
        UsageError: `to` requested it, may decide it anyway, or decides in the place of somebody else; no reason.
    """
    refuse_unnamed(actor)
    refuse_unreadable(to)
    _refuse_unreasoned(reason)
    row = locked_pending(connection, approval_id)
    if members(row.kind) is None:
        raise UsageError(f"everybody may decide approvals of kind {row.kind}: reassign it to {to} instead")
    refuse_role(row.kind, actor)
    if identity(actor) == identity(row.requested_by):
        raise DecisionRefusedError(f"{actor} asked for this approval: there is no decision to delegate")
    decided = select(approval_decisions.c.actor).where(approval_decisions.c.approval_id == approval_id)
    if identity(actor) in map(identity, connection.scalars(decided)):
        raise DecisionRefusedError(f"{actor} has decided already")
    if identity(to) == identity(row.requested_by):
        raise UsageError(f"{to} asked for this approval: somebody else has to decide it")
    if is_decider(row.kind, to):
        raise UsageError(f"{to} may decide it anyway: reassign it instead")
    for other in delegations(connection, approval_id):
        if identity(other["delegator"]) == identity(actor):
            raise DecisionRefusedError(f"{actor} has delegated this decision to {other['delegate']}")
        if identity(other["delegate"]) == identity(to):
            raise UsageError(f"{to} decides in the place of {other['delegator']}: one decision each")
    connection.execute(
        insert(approval_delegations).values(
            approval_id=approval_id, delegator=actor, delegate=to, reason=storable_text(reason)
        )
    )
    _set_owner(connection, approval_id, actor, to, {"decision": "delegated", "comment": reason})


def _set_owner(
    connection: Connection, approval_id: UUID, actor: str, to: str, data: dict[str, str | None]
) -> None:
    connection.execute(update(approvals).where(approvals.c.id == approval_id).values(owner=to))
    data["comment"] = storable_text(data["comment"] or "")
    transition(connection, [approval_id], "pending", actor=actor, data={**data, "to": to})


def _refuse_unreasoned(reason: str) -> None:
    if is_blank(reason) or len(reason) > 2_000:
        raise UsageError(
            "passing a request on needs a reason of at most 2,000 characters; it stays in the record"
        )
