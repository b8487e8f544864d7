"""Changes of rules that need an approval: requesting it, and carrying out what was approved.

Belongs here: approvals of kind `rule`, and the veto. Does not belong here: what is evidence for a change
(`evolution.rule_evolver`, `evolution.mining.rule_miner`), the lifecycle itself (`evolution.rule_set`).

What is approved is exactly this version of the rule and the state it moves to.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.approvals.approval import TYPES
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference, authorize
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.approvals.requests import issue_or_request
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import rule_evolver, rule_set, thresholds
from qflow_dagster.evolution.rule_evolver import Verdict
from qflow_dagster.quantumflow.draining import drain
from qflow_dagster.settings import settings

ACTOR = "agent:rule_evolver"


class RuleChangeResult(NamedTuple):
    """An approved change that was carried out, or the problem."""

    lifecycle: UUID
    rule_id: str
    to: str
    problem: str | None


class TrialsResult(NamedTuple):
    """The result of trials: the verdicts, the approvals that were requested, and the changes carried out."""

    verdicts: list[Verdict]
    requested: list[UUID]
    changed: list[RuleChangeResult]


def finalize_trials(engine: Engine, *, worker: str, run_id: str | None = None) -> TrialsResult:
    """Follow decisions, judge trials, retire those that failed, request approval for the others.

    Changes that a policy approves are carried out at once.

    """
    with engine.begin() as connection:
        follow_decisions(connection)
        verdicts = rule_evolver.due_verdicts(connection)
        rule_evolver.retire(connection, verdicts, run_id=run_id)
        requested = propose(
            connection, [verdict for verdict in verdicts if verdict.to != "retired"], run_id=run_id
        )
    return TrialsResult(verdicts, requested, apply_approved(engine, worker=worker, run_id=run_id))


def propose(connection: Connection, verdicts: Sequence[Verdict], *, run_id: str | None = None) -> list[UUID]:
    """Request the approval of each change once; a policy may approve it (`QFLOW_APPROVALS_POLICY_KINDS`)."""
    requested = []
    for verdict in verdicts:
        lifecycle = rule_set.get_lifecycle(connection, verdict.lifecycle_id)
        if lifecycle.approval_id is None and lifecycle.status != verdict.to:
            requested.append(_request_approval(connection, lifecycle, verdict, run_id))
    return requested


def apply_approved(
    engine: Engine, *, worker: str, run_id: str | None = None, limit: int = 100
) -> list[RuleChangeResult]:
    """Carry out up to `limit` approved changes, each in a transaction of its own, and follow denials."""
    with engine.begin() as connection:
        follow_decisions(connection)
        query = text(f"""
            SELECT l.id FROM workflows a JOIN rule_lifecycles l ON l.approval_id = a.id
            WHERE a.type = '{TYPES["rule"]}' AND a.status = 'approved' ORDER BY a.id LIMIT :limit
        """)
        ids = connection.scalars(query, {"limit": limit}).all()
        lifecycles = [rule_set.get_lifecycle(connection, id_) for id_ in ids]
    results = []
    for lifecycle in lifecycles:
        id_ = lifecycle.id
        try:
            with engine.begin() as connection:
                authorize(
                    connection,
                    Reference(lifecycle.approval_id),
                    "rule",
                    lifecycle.rule_id,
                    content_of(lifecycle, lifecycle.requested_status),
                    actor=worker,
                    run_id=run_id,
                )
                reason = f"approved: {lifecycle.approval_id}"
                rule_set.change(
                    connection, id_, lifecycle.requested_status, actor=worker, reason=reason, run_id=run_id
                )
            results.append(RuleChangeResult(id_, lifecycle.rule_id, lifecycle.requested_status, None))
        except ApprovalRefusedError as refused:
            # The approval was used or ended since it was read: nothing is lost.
            results.append(
                RuleChangeResult(id_, lifecycle.rule_id, lifecycle.requested_status, refused.reason)
            )
        except QflowError as error:
            results.append(RuleChangeResult(id_, lifecycle.rule_id, lifecycle.requested_status, str(error)))
    return results


def apply_all_approved(
    engine: Engine, *, worker: str, run_id: str | None = None
) -> tuple[list[RuleChangeResult], list[RuleChangeResult]]:
    """Carry out approved changes, batch after batch; return those that were made and those that could not be."""
    return drain(lambda: apply_approved(engine, worker=worker, run_id=run_id))


def follow_decisions(connection: Connection) -> int:
    """Let rules follow approvals that ended unused: denied ones are retired, others are requested again later."""
    query = text("""
        SELECT l.id, a.status, d.actor, d.comment FROM rule_lifecycles l JOIN workflows a ON a.id = l.approval_id
        LEFT JOIN approval_decisions d ON d.approval_id = a.id AND d.decision = 'deny'
        WHERE a.status IN ('denied', 'expired', 'revoked')
    """)
    rows = connection.execute(query).all()
    for row in rows:
        if row.status == "denied":
            reason = f"denied by {row.actor}: {row.comment or 'no reason given'}"
            rule_set.change(connection, row.id, "retired", actor=row.actor, reason=reason)
        else:
            rule_set.forget_request(connection, row.id, reason=f"the approval was {row.status}")
    return len(rows)


def veto(connection: Connection, rule: str, *, actor: str, reason: str) -> list[str]:
    """Veto what a rule becomes: deny pending approvals, retire drafts and trials; return what was done.

    Raises:
        QflowError: the rule has no pending approval and no version on trial.
    """
    done = []
    for lifecycle in rule_set.lifecycles(connection, rule=rule, states=["draft", "trial", "active"]):
        if lifecycle.approval_id is not None:
            # The veto concerns the rule, whatever its content: the approval that is pending now is denied.
            digest = records.show(connection, lifecycle.approval_id)["digest"]
            arbiter.deny(connection, lifecycle.approval_id, actor=actor, digest=digest, comment=reason)
            follow_decisions(connection)
            done.append(
                f"version {lifecycle.version} may not become {lifecycle.requested_status}, and is retired"
            )
        elif lifecycle.status in ("draft", "trial"):
            rule_set.change(connection, lifecycle.id, "retired", actor=actor, reason=f"veto: {reason}")
            done.append(f"version {lifecycle.version}, a {lifecycle.status}, is retired")
    if not done:
        raise QflowError(
            f"{rule} has no pending approval and no version on trial; `qflow rules retire` ends an active rule"
        )
    return done


def content_of(lifecycle: Any, to: str) -> dict[str, Any]:
    """Return exactly what is approved: this version of the rule, and the state it moves to."""
    return {"life": str(lifecycle.id), "version": lifecycle.version, "to": to, "rule": lifecycle.definition}


def _request_approval(connection: Connection, lifecycle: Any, verdict: Verdict, run_id: str | None) -> UUID:
    content = content_of(lifecycle, verdict.to)
    reason = f"{lifecycle.rule_id} version {lifecycle.version} should be {verdict.to}: {verdict.reason}"
    policy_evidence = None
    if "lower" in verdict.evidence:
        policy_evidence = Evidence(
            confidence=verdict.evidence["lower"],
            least=thresholds.current(connection)["act"],
            gates={"verdict": True},
        )
    approval = issue_or_request(
        connection,
        "rule",
        lifecycle.rule_id,
        content,
        requested_by=ACTOR,
        reason=reason,
        policy_evidence=policy_evidence,
        evidence={
            "was": lifecycle.status,
            "made": lifecycle.description,
            **lifecycle.evidence,
            **verdict.evidence,
        },
        ttl=settings().improvement.ttl,
        run_id=run_id,
    )
    rule_set.record_request(connection, lifecycle.id, approval, verdict.to, actor=ACTOR, reason=reason)
    return approval
