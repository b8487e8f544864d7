"""Deciding as a person does: look at the approval, then decide about what was shown."""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from qflow_dagster.approvals import arbiter, records


def seen(connection: Connection, approval_id: UUID) -> str:
    """The digest that a page or command shows of an approval."""
    return records.show(connection, approval_id)["digest"]


def approve(connection: Connection, approval_id: UUID, **options: Any) -> arbiter.DecisionResult:
    return arbiter.approve(connection, approval_id, digest=seen(connection, approval_id), **options)


def deny(connection: Connection, approval_id: UUID, **options: Any) -> arbiter.DecisionResult:
    return arbiter.deny(connection, approval_id, digest=seen(connection, approval_id), **options)
