"""Changes of rules that somebody has to agree to: asking the arbiter, and carrying out what was approved.

Belongs here: approvals of kind `rule`, and the veto. Does not belong here: what speaks for a change
(`evolution.rule_evolver`, `evolution.rule_miner`), the life itself (`evolution.rule_set`).

What is approved is the whole rule and the state it moves to: not another version of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.approvals import arbiter, records
from qflow_dagster.approvals.approval import TYPES
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference, authorize
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import rule_evolver, rule_set, thresholds
from qflow_dagster.evolution.rule_evolver import Verdict
from qflow_dagster.quantumflow.draining import drain
from qflow_dagster.settings import settings

ACTOR = "agent:rule_evolver"


class Changed(NamedTuple):
    """An approved change that was carried out, or why it could not be."""

    life: UUID
    rule_id: str
    to: str
    problem: str | None


class Settled(NamedTuple):
    """What trials came to: the verdicts, the approvals that were asked for, and what was carried out."""

    verdicts: list[Verdict]
    asked: list[UUID]
    changed: list[Changed]


def settle(engine: Engine, *, worker: str, run_id: str | None = None) -> Settled:
    """Follow what was decided, judge the trials, end those that failed, ask for those that did not.

    What a policy approves waits for nobody.
    """
    with engine.begin() as connection:
        follow_decisions(connection)
        verdicts = rule_evolver.judge(connection)
        rule_evolver.retire(connection, verdicts, run_id=run_id)
        asked = propose(connection, [one for one in verdicts if one.to != "retired"], run_id=run_id)
    return Settled(verdicts, asked, apply_approved(engine, worker=worker, run_id=run_id))


def propose(connection: Connection, verdicts: Sequence[Verdict], *, run_id: str | None = None) -> list[UUID]:
    """Ask for the approval of each change, once; a policy may approve it (`QFLOW_APPROVALS_POLICY_KINDS`)."""
    asked = []
    for one in verdicts:
        life = rule_set.get_life(connection, one.life)
        if life.approval_id is None and life.status != one.to:
            asked.append(_ask(connection, life, one, run_id))
    return asked


def apply_approved(
    engine: Engine, *, worker: str, run_id: str | None = None, limit: int = 100
) -> list[Changed]:
    """Carry out up to `limit` approved changes, each in a transaction of its own; follow what was denied."""
    with engine.begin() as connection:
        follow_decisions(connection)
        query = text(f"""
            SELECT l.id FROM workflows a JOIN rule_lives l ON l.approval_id = a.id
            WHERE a.type = '{TYPES["rule"]}' AND a.status = 'approved' ORDER BY a.id LIMIT :limit
        """)
        ids = connection.scalars(query, {"limit": limit}).all()
        lives = [rule_set.get_life(connection, id_) for id_ in ids]
    done = []
    for life in lives:
        id_ = life.id
        try:
            with engine.begin() as connection:
                authorize(
                    connection,
                    Reference(life.approval_id),
                    "rule",
                    life.rule_id,
                    content_of(life, life.wanted),
                    actor=worker,
                    run_id=run_id,
                )
                reason = f"approved: {life.approval_id}"
                rule_set.change(connection, id_, life.wanted, actor=worker, reason=reason, run_id=run_id)
            done.append(Changed(id_, life.rule_id, life.wanted, None))
        except ApprovalRefusedError as refused:
            # Somebody else used it, or it ended, since it was read: nothing is lost.
            done.append(Changed(id_, life.rule_id, life.wanted, refused.reason))
        except QflowError as error:
            done.append(Changed(id_, life.rule_id, life.wanted, str(error)))
    return done


def apply_all_approved(
    engine: Engine, *, worker: str, run_id: str | None = None
) -> tuple[list[Changed], list[Changed]]:
    """Carry out approved changes, batch after batch; return those that were made and those that could not be."""
    return drain(lambda: apply_approved(engine, worker=worker, run_id=run_id))


def follow_decisions(connection: Connection) -> int:
    """Let rules follow approvals that ended unused: a denied one retires, others are asked about again."""
    query = text("""
        SELECT l.id, l.wanted, a.status, d.actor, d.comment FROM rule_lives l JOIN workflows a ON a.id = l.approval_id
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
    """Say no to what a rule becomes: what waits is denied, what is on trial ends; returns what was done.

    Raises:
        QflowError: nothing of the rule waits or is on trial.
    """
    done = []
    for life in rule_set.lives(connection, rule=rule, states=["draft", "trial", "active"]):
        if life.approval_id is not None:
            # The veto is of the rule, whatever is asked of it: what waits now is what is denied.
            digest = records.show(connection, life.approval_id)["digest"]
            arbiter.deny(connection, life.approval_id, actor=actor, digest=digest, comment=reason)
            follow_decisions(connection)
            done.append(f"version {life.version} may not become {life.wanted}, and is retired")
        elif life.status in ("draft", "trial"):
            rule_set.change(connection, life.id, "retired", actor=actor, reason=f"veto: {reason}")
            done.append(f"version {life.version}, a {life.status}, is retired")
    if not done:
        raise QflowError(
            f"nothing of {rule} waits or is on trial; qflow rules retire ends a rule that is active"
        )
    return done


def content_of(life: Any, to: str) -> dict[str, Any]:
    """What is approved, exactly: this rule, and the state it moves to."""
    return {"life": str(life.id), "version": life.version, "to": to, "rule": life.definition}


def _ask(connection: Connection, life: Any, verdict: Verdict, run_id: str | None) -> UUID:
    content = content_of(life, verdict.to)
    shown: Mapping[str, Any] = {"was": life.status, "made": life.words, **life.evidence, **verdict.evidence}
    reason = f"{life.rule_id} version {life.version} should be {verdict.to}: {verdict.reason}"
    approval = None
    if "rule" in settings().approvals.policy_kinds and "lower" in verdict.evidence:
        judged = Evidence(
            confidence=verdict.evidence["lower"],
            least=thresholds.current(connection)["act"],
            gates={"verdict": True},
        )
        try:
            with connection.begin_nested():
                approval = arbiter.issue_approval(
                    connection,
                    "rule",
                    life.rule_id,
                    content,
                    requested_by=ACTOR,
                    reason=reason,
                    evidence=judged,
                    run_id=run_id,
                ).approval_id
        except arbiter.DecisionRefusedError as refused:
            shown = {**shown, "policy": str(refused)}
    if approval is None:
        approval = arbiter.request_approval(
            connection,
            "rule",
            life.rule_id,
            content,
            requested_by=ACTOR,
            reason=reason,
            evidence=shown,
            ttl=settings().improvement.ttl,
            run_id=run_id,
        )
    rule_set.ask(connection, life.id, approval, verdict.to, actor=ACTOR, reason=reason)
    return approval
