"""Requests that a policy may grant: one call that issues an approval, or requests a person's decision.

Does not belong here: deciding (`arbiter`), the conditions of a policy (`policy`).
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Connection

from qflow_dagster.approvals import arbiter
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.quantumflow import Json
from qflow_dagster.settings import settings


def issue_or_request(
    connection: Connection,
    kind: str,
    target: str,
    content: Json,
    *,
    requested_by: str,
    reason: str,
    policy_evidence: Evidence | None,
    evidence: Mapping[str, Any],
    ttl: float,
    run_id: str | None = None,
) -> UUID:
    """Let the policy of this kind approve, else request a person's decision; return the approval's id.

    Args:
        connection: in a transaction; a savepoint undoes what a refusing policy began.
        kind: what is approved, as in `arbiter.request_approval`.
        target: the repository or rule it concerns.
        content: exactly what is approved.
        requested_by: the agent that requests it.
        reason: why, in one line.
        policy_evidence: what the policy decides by; None where no policy may approve.
        evidence: what a person is shown; the policy's objections are added under `policy`.
        ttl: seconds the request waits for a person.
        run_id: the Dagster run that requests it.
    """
    if policy_evidence is not None and kind in settings().approvals.policy_kinds:
        try:
            with connection.begin_nested():
                return arbiter.issue_approval(
                    connection,
                    kind,
                    target,
                    content,
                    requested_by=requested_by,
                    reason=reason,
                    evidence=policy_evidence,
                    run_id=run_id,
                ).approval_id
        except arbiter.DecisionRefusedError as refused:
            evidence = {**evidence, "policy": str(refused)}
    return arbiter.request_approval(
        connection,
        kind,
        target,
        content,
        requested_by=requested_by,
        reason=reason,
        evidence=evidence,
        ttl=ttl,
        run_id=run_id,
    )
