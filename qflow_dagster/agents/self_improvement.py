"""The self-improvement agent: suggestions, and what becomes of them.

Belongs here: the life of a suggestion, asking for its approval, following what was decided.
Does not belong here: making changes (`generation`), applying and reverting them (`edits`),
commits (`edit_commits`), when to act (`improvement_policy`).
"""

import hashlib
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.agents import edit_commits, improvement_policy
from qflow_dagster.agents.improvement_policy import AGENTS, PROFILES, Record
from qflow_dagster.approvals import arbiter
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import standings, thresholds
from qflow_dagster.evolution.standings import Standing
from qflow_dagster.execution import work_items
from qflow_dagster.generation import candidate_records, patches
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, current_snapshot
from qflow_dagster.quantumflow import (
    StateMachine,
    create_workflow,
    get_events,
    register,
    resolve,
    transition,
    uuid7,
)
from qflow_dagster.quantumflow.recording import RECORDED
from qflow_dagster.registry import Queue, WorkflowTypeName
from qflow_dagster.settings import settings

SUGGESTION = StateMachine(
    name="suggestion",
    initial="suggested",
    transitions={
        "suggested": frozenset({"validated", "failed", "rejected", "superseded"}),
        "validated": frozenset({"awaiting_approval", "failed", "rejected", "superseded"}),
        "awaiting_approval": frozenset({"approved", "rejected", "expired", "failed", "superseded"}),
        "approved": frozenset({"applied", "expired", "failed", "rejected"}),
        "applied": frozenset({"verified", "reverted"}),
        "verified": frozenset({"reverted"}),
        "reverted": frozenset(),
        "rejected": frozenset(),
        "expired": frozenset(),
        "failed": frozenset(),
        "superseded": frozenset(),
    },
    terminal=frozenset({"verified", "reverted", "rejected", "expired", "failed", "superseded"}),
    completed="verified",
)
TYPE = register(WorkflowTypeName.SUGGESTION, machine=SUGGESTION, queue=Queue.SUGGESTION_NOTIFICATIONS).name
# A pass of the loop over a repository, whatever it found.
CYCLE = register(WorkflowTypeName.IMPROVEMENT_CYCLE, machine=RECORDED).name
ACTOR = "self-improvement agent"
LIVING = ("suggested", "validated", "awaiting_approval", "approved")


def suggest(connection: Connection, candidate: Candidate) -> UUID | None:
    """Suggest a candidate that passed its gates, and ask for its approval.

    Returns the suggestion's id; None where the same change was suggested before (its work item
    then goes back to the backlog, with a link to the first).
    """
    fingerprint = hashlib.sha256(f"{candidate.repository_id}:".encode() + candidate.patch.digest).digest()
    first = connection.scalar(
        text("SELECT id FROM suggestions WHERE fingerprint = :fingerprint"), {"fingerprint": fingerprint}
    )
    profile = PROFILES[AGENTS.get(candidate.request.rule.category, "default")]
    touched = _public_symbols(connection, candidate)
    too_far = improvement_policy.exceeds(profile, candidate.patch.text, touched)
    if first is not None or too_far is not None:
        reason = too_far or f"the same change was suggested before: {first}"
        work_items.move(
            connection,
            [candidate.work_item_id],
            "backlog",
            actor=ACTOR,
            data={"reason": reason, "suggestion": first and str(first)},
        )
        return None
    id_ = uuid7()
    rule = candidate.request.rule
    title = f"{rule.title}: {candidate.request.path}"
    branch = edit_commits.branch_name(settings().improvement.branch_prefix, title, str(id_))
    gates = {gate.name: gate.verdict for gate in candidate.gates}
    record = record_of(connection, candidate.repository_id)
    experimental = improvement_policy.is_experimental(record)
    risk = improvement_policy.risk(
        candidate.score, candidate.patch.lines, gates.get("tests") == "passed", experimental
    )
    agent = AGENTS.get(rule.category, "default")
    standing = standings.one(connection, rule)
    create_workflow(
        connection,
        TYPE,
        {"repository": candidate.repository, "candidate": str(candidate.id)},
        actor=ACTOR,
        id=id_,
    )
    connection.execute(
        text("""
            INSERT INTO suggestions (id, repository_id, work_item_id, candidate_id, fingerprint, title, reason, sources,
                                     rule_id, base_commit, branch, risk, believed, believed_lower)
            VALUES (:id, :repository_id, :work_item, :candidate, :fingerprint, :title, :reason, :sources, :rule, :base,
                    :branch, :risk, :believed, :believed_lower)
        """),
        {
            "id": id_,
            "repository_id": candidate.repository_id,
            "work_item": candidate.work_item_id,
            "candidate": candidate.id,
            "fingerprint": fingerprint,
            "title": title,
            "reason": rule.rationale,
            "sources": candidate.sources,
            "rule": rule.id,
            "base": candidate.base,
            "branch": branch,
            "risk": risk,
            "believed": standing.belief.mean,
            "believed_lower": standing.belief.lower,
        },
    )
    transition(connection, [id_], "validated", actor=ACTOR, data={"gates": gates})
    _ask(connection, candidate, id_, title, branch, risk, agent, standing, experimental=experimental)
    return id_


_TOUCHED = text(f"""
SELECT count(*) FROM files f JOIN symbols s ON s.blob_id = f.blob_id
WHERE {IN_SNAPSHOT} AND f.path = :path AND s.seq > 0 AND NOT starts_with(s.name, '_')
  AND EXISTS (SELECT FROM unnest(CAST(:lines AS int[])) AS line WHERE line BETWEEN s.start_line AND s.end_line)
""")


def _public_symbols(connection: Connection, candidate: Candidate) -> int:
    """How many definitions that are not private by name have lines that the candidate changes."""
    snapshot = current_snapshot(connection, candidate.repository)
    changed = patches.changed_lines(candidate.patch.text)
    return sum(
        connection.scalar(_TOUCHED, {**snapshot.interval, "path": path, "lines": lines}) or 0
        for path, lines in changed.items()
    )


def _ask(
    connection: Connection,
    candidate: Candidate,
    id_: UUID,
    title: str,
    branch: str,
    risk: str,
    agent: str,
    standing: Standing,
    *,
    experimental: bool,
) -> None:
    """Ask for the approval of exactly this patch on exactly this commit; by policy where that is allowed."""
    rule = candidate.request.rule
    content = content_of(candidate.repository, id_, candidate.base, branch, candidate.patch.text)
    evidence = {
        "rule": f"{rule.id} v{rule.version}",
        "why": rule.rationale,
        "generators": ", ".join(candidate.sources),
        "agent": agent,
        "risk": risk,
        "expected_acceptance": round(candidate.score, 2),
        "standing": {
            "level": standing.level,
            "mean": round(standing.mean, 2),
            "lower": round(standing.lower, 2),
            "decisions": standing.decisions,
            "because": standing.because,
        },
        "findings": [f"line {line}: {words}" for line, words in candidate.request.findings[:20]],
        "gates": {gate.name: f"{gate.verdict}: {gate.evidence}" for gate in candidate.gates},
    }
    requested_by = f"agent:{agent}"
    # A skipped gate is no green one: the policy wants all of them to have passed.
    judged = Evidence(
        confidence=standing.lower,
        least=thresholds.current(connection)["act"],
        gates={gate.name: gate.verdict == "passed" for gate in candidate.gates},
    )
    approval = None
    by_policy = "edit" in settings().approvals.policy_kinds and not experimental
    if by_policy and standing.level != "act":
        evidence["policy"] = f"the rule may not act: {standing.because}"
    elif by_policy:
        try:
            with connection.begin_nested():
                approval = arbiter.issue_approval(
                    connection,
                    "edit",
                    candidate.repository,
                    content,
                    requested_by=requested_by,
                    reason=title,
                    evidence=judged,
                ).approval_id
        except arbiter.DecisionRefusedError as refused:
            evidence["policy"] = str(refused)
    if approval is None:
        approval = arbiter.request_approval(
            connection,
            "edit",
            candidate.repository,
            content,
            requested_by=requested_by,
            reason=title,
            ttl=settings().improvement.ttl,
            evidence=evidence,
        )
    connection.execute(
        text("UPDATE suggestions SET approval_id = :approval WHERE id = :id"),
        {"approval": approval, "id": id_},
    )
    transition(connection, [id_], "awaiting_approval", actor=ACTOR, data={"approval": str(approval)})


def content_of(repository: str, id_: UUID, base: str, branch: str, patch: str) -> dict[str, Any]:
    """What is approved, exactly: this patch, on this commit, as this branch of this repository."""
    return {"suggestion": str(id_), "repository": repository, "base": base, "branch": branch, "patch": patch}


_ENDED = text("""
SELECT s.id, s.work_item_id, s.candidate_id, s.branch, r.name AS repository, a.status AS decision
FROM suggestions s JOIN repositories r ON r.id = s.repository_id
JOIN workflows w ON w.id = s.id JOIN workflows a ON a.id = s.approval_id
WHERE w.status IN ('awaiting_approval', 'approved') AND a.status IN ('denied', 'expired', 'revoked')
ORDER BY s.id LIMIT :limit
""")
FOLLOW = {"denied": "rejected", "revoked": "rejected", "expired": "expired"}


def follow_decisions(connection: Connection, *, limit: int = 1_000) -> int:
    """Let suggestions follow approvals that ended without being used; returns how many did."""
    rows = connection.execute(_ENDED, {"limit": limit}).all()
    for row in rows:
        # A process killed between git and the database left its branch, and the approval ended since.
        objects = repositories.find(connection, row.repository).objects
        edit_commits.remove_branch(objects, row.branch, str(row.id))
        transition(connection, [row.id], FOLLOW[row.decision], actor=ACTOR, data={"decision": row.decision})
        if row.decision == "denied":
            candidate_records.record_outcome(connection, row.candidate_id, "denied")
        release(connection, row.work_item_id, f"its suggestion was {row.decision}")
    return len(rows)


def release(
    connection: Connection,
    work_item: UUID,
    reason: str,
    *,
    to: str = "backlog",
    of: Sequence[str] = ("in_progress",),
) -> None:
    """Move the work item of a suggestion on from one of the states `of`, unless somebody has done so already."""
    status = connection.scalar(
        text("SELECT status FROM workflows WHERE id = :id FOR UPDATE"), {"id": work_item}
    )
    if status in of:
        work_items.move(connection, [work_item], to, actor=ACTOR, data={"reason": reason})


def room(connection: Connection, repository_id: int) -> int:
    """How many more suggestions may wait for a person."""
    query = text("""
        SELECT count(*) FROM suggestions s JOIN workflows w ON w.id = s.id
        WHERE s.repository_id = :id AND w.status = ANY(:living)
    """)
    waiting = connection.scalar(query, {"id": repository_id, "living": list(LIVING)}) or 0
    return max(0, settings().improvement.waiting - waiting)


def record_of(connection: Connection, repository_id: int) -> Record:
    """How the repository's edits did, for `improvement_policy`. A cycle is a night: that is how often it is asked."""
    outcomes = text("""
        SELECT reverted_at IS NULL AS good, coalesce(reverted_at, verified_at) AS at FROM edits
        WHERE repository_id = :id AND (verified_at IS NOT NULL OR reverted_at IS NOT NULL) ORDER BY at DESC LIMIT 100
    """)
    rows = connection.execute(outcomes, {"id": repository_id}).all()
    nights = text("""
        SELECT floor(extract(epoch FROM clock_timestamp() - coalesce(CAST(:since AS timestamptz), added_at))
                     / 86400)::int
        FROM repositories WHERE id = :id
    """)

    def since(at: Any) -> int:
        return connection.scalar(nights, {"id": repository_id, "since": at}) or 0

    improved = next((row.at for row in rows if row.good), None)
    failed = next((row.at for row in rows if not row.good), None)
    return Record([row.good for row in rows], since(improved), None if failed is None else since(failed))


_ROWS = """
SELECT s.id, w.status AS state, r.name AS repository, s.title, s.rule_id AS rule, s.sources, s.risk, s.branch,
       s.approval_id AS approval, s.created_at, c.lines, c.paths
FROM suggestions s JOIN workflows w ON w.id = s.id JOIN repositories r ON r.id = s.repository_id
JOIN candidates c ON c.id = s.candidate_id
"""


def find(
    connection: Connection, *, repository_id: int | None = None, states: Sequence[str] = (), limit: int = 100
) -> list[dict[str, Any]]:
    """Suggestions, newest first; of those states (default: all)."""
    query = text(f"""{_ROWS} WHERE (CAST(:repository_id AS bigint) IS NULL OR s.repository_id = :repository_id)
        AND (cardinality(CAST(:states AS text[])) = 0 OR w.status = ANY(:states)) ORDER BY s.id DESC LIMIT :limit""")
    parameters = {"repository_id": repository_id, "states": list(states), "limit": limit}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """One suggestion with its patch, gates and history.

    Raises:
        QflowError: there is none.
    """
    query = text(
        f"SELECT base.*, s.reason, s.base_commit, s.candidate_id, s.work_item_id FROM ({_ROWS}) AS base "
        "JOIN suggestions s ON s.id = base.id WHERE base.id = :id"
    )
    row = connection.execute(query, {"id": id_}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no suggestion {id_}")
    candidate = candidate_records.get(connection, row["candidate_id"])
    events = [
        {"at": e.at, "from": e.from_status, "to": e.to_status, "actor": e.actor, "data": e.data}
        for e in get_events(connection, id_)
    ]
    gates = candidate_records.gates_of(connection, row["candidate_id"])
    return {**row, "patch": candidate["patch"], "gates": gates, "history": events}


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """The suggestion whose id begins with `prefix`."""
    return resolve(connection, prefix, table="suggestions", noun="suggestion")


def statistics(connection: Connection, by: str = "rule") -> list[dict[str, Any]]:
    """Acceptance, median times (seconds), reverts and change of complexity; by one of rule, generator, agent,
    repository, week.
    """
    expressions = {
        "rule": "s.rule_id",
        "generator": "array_to_string(s.sources, '+')",
        "repository": "r.name",
        "week": "to_char(date_trunc('week', s.created_at), 'YYYY-MM-DD')",
        "agent": "a.requested_by",
    }
    if by not in expressions:
        raise QflowError(f"no statistics by {by!r}: {', '.join(expressions)}")
    query = text(f"""
        SELECT {expressions[by]} AS "{by}", count(*) AS suggested,
               count(*) FILTER (WHERE e.id IS NOT NULL) AS applied,
               count(*) FILTER (WHERE w.status = 'rejected') AS rejected,
               count(*) FILTER (WHERE e.reverted_at IS NOT NULL) AS reverted,
               round((count(e.id)::numeric / nullif(count(*) FILTER (
                   WHERE e.id IS NOT NULL OR w.status = 'rejected'), 0)), 2)::float AS acceptance,
               round(percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY extract(epoch FROM d.at - s.created_at))::numeric, 1)::float AS to_decision,
               round(percentile_cont(0.5) WITHIN GROUP (
                   ORDER BY extract(epoch FROM e.applied_at - d.at))::numeric, 1)::float AS to_apply,
               sum((e.outcome -> 'after' ->> 'cognitive')::float - (e.outcome -> 'before' ->> 'cognitive')::float)
                   AS cognitive
        FROM suggestions s JOIN workflows w ON w.id = s.id JOIN repositories r ON r.id = s.repository_id
        LEFT JOIN edits e ON e.id = s.id LEFT JOIN approvals a ON a.id = s.approval_id
        LEFT JOIN LATERAL (SELECT max(at) AS at FROM approval_decisions WHERE approval_id = s.approval_id) AS d ON true
        GROUP BY 1 ORDER BY suggested DESC, 1
    """)
    return [dict(row) for row in connection.execute(query).mappings()]
