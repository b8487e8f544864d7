"""Decisions on several requests at once, each recorded by itself.

Does not belong here: one decision (`arbiter`).
"""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Engine

from qflow_dagster.approvals.arbiter import DecisionResult, approve, deny
from qflow_dagster.errors import QflowError, UsageError


def decide_all(
    engine: Engine, decision: str, seen: Mapping[UUID, str], *, actor: str, comment: str | None = None
) -> list[tuple[UUID, DecisionResult | None, str | None]]:
    """Approve or deny several requests, each by itself: the id with the digest that was seen.

    Return for each its id and the result, or why it was refused. The tokens are not handed out.

    Raises:
        UsageError: the decision is neither `approve` nor `deny`.
    """
    decide = {"approve": approve, "deny": deny}.get(decision)
    if decide is None:
        raise UsageError(f"{decision!r} is no decision about several requests: approve or deny")
    results: list[tuple[UUID, DecisionResult | None, str | None]] = []
    for id_, digest in seen.items():
        try:
            with engine.begin() as connection:
                result = decide(connection, id_, actor=actor, digest=digest, comment=comment)
            results.append((id_, result._replace(token=None), None))
        except QflowError as refused:
            results.append((id_, None, str(refused)))
    return results
