"""Workflows that start only once they are approved.

What is asked for is the whole workflow: its type and payload are the frozen content. It does
not exist before the approval is used, so nothing can start it by another way.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Engine, text

from qflow_dagster.approvals.approval import TYPES
from qflow_dagster.approvals.arbiter import request_approval
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference, authorize_workflow
from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow import create_workflow, workflow_type
from qflow_dagster.quantumflow.draining import CreationResult, drain


def request_workflow(
    connection: Any, type_name: str, payload: Any, *, requested_by: str, reason: str, **options: Any
) -> UUID:
    """Ask for an approval to start a workflow of that type with that payload.

    `options` are those of `request_approval`.

    Raises:
        UsageError: no such type is registered.
    """
    workflow_type(type_name)
    content = {"type": type_name, "payload": payload}
    return request_approval(
        connection, "workflow", type_name, content, requested_by=requested_by, reason=reason, **options
    )


def start_all_approved(
    engine: Engine, *, worker: str, run_id: str | None = None
) -> tuple[list[CreationResult], list[CreationResult]]:
    """Start approved workflows, batch after batch; return those that were started and those that could not be."""
    return drain(lambda: start_approved(engine, worker=worker, run_id=run_id))


def start_approved(
    engine: Engine, *, worker: str, run_id: str | None = None, limit: int = 100
) -> list[CreationResult]:
    """Use up to `limit` approved requests and start their workflows, each in a transaction of its own."""
    query = text(f"""
        SELECT a.id, a.target, a.content FROM workflows w JOIN approvals a ON a.id = w.id
        WHERE w.type = '{TYPES["workflow"]}' AND w.status = 'approved' ORDER BY w.id LIMIT :limit
    """)
    with engine.connect() as connection:
        rows = connection.execute(query, {"limit": limit}).all()
    started = []
    for row in rows:
        try:
            with engine.begin() as connection:
                authorize_workflow(
                    connection, Reference(row.id), row.target, row.content, actor=worker, run_id=run_id
                )
                workflow_id = create_workflow(
                    connection,
                    row.content["type"],
                    row.content["payload"],
                    actor=worker,
                    key=f"approval:{row.id}",
                )
            started.append(CreationResult(row.id, workflow_id, None))
        except ApprovalRefusedError as refused:
            # Somebody else used it, or it ended, since it was read: nothing is lost.
            started.append(CreationResult(row.id, None, refused.reason))
        except QflowError as error:
            started.append(CreationResult(row.id, None, str(error)))
    return started
