"""The self-improvement agent: suggestions, and what follows from the decisions on them.

Belongs here: the lifecycle of a suggestion, requesting its approval, following the decision.
Does not belong here: making changes (`generation`), applying and reverting them (`edits`),
commits (`edit_commits`), when to act (`improvement_policy`).
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, func, insert, select, text, update

from qflow_dagster.agents import edit_commits, improvement_policy
from qflow_dagster.agents.improvement_policy import AGENTS, PROFILES, Record
from qflow_dagster.agents.suggestion_states import OPEN_STATES, TYPE
from qflow_dagster.agents.tables import edits, suggestions
from qflow_dagster.approvals.policy import Evidence
from qflow_dagster.approvals.requests import issue_or_request
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import thresholds, trust
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.trust import RuleTrust
from qflow_dagster.execution import work_items
from qflow_dagster.generation import candidate_records, patches
from qflow_dagster.generation.assembling import Limits
from qflow_dagster.generation.candidates import Candidate
from qflow_dagster.ingestion import git, repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, current_snapshot
from qflow_dagster.quantumflow import (
    create_workflow,
    get_events,
    register,
    resolve,
    transition,
    uuid7,
)
from qflow_dagster.quantumflow.recording import RECORDED
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.registry import WorkflowTypeName
from qflow_dagster.settings import settings

# One pass of the improvement loop over a repository.
CYCLE = register(WorkflowTypeName.IMPROVEMENT_CYCLE, machine=RECORDED).name
ACTOR = "self-improvement agent"


class Replaced(NamedTuple):
    """A suggestion that is suggested again, because its target has moved: why, and how the two patches differ."""

    suggestion: UUID
    reason: str
    difference: list[str]


def suggest(connection: Connection, candidate: Candidate, *, replaced: Replaced | None = None) -> UUID | None:
    """Suggest a candidate that passed its gates, and request its approval.

    Return the suggestion's id; None if the same change was suggested before (its work item
    then goes back to the backlog, with a link to the first) or exceeds the limits of its agent.
    """
    fingerprint = hashlib.sha256(f"{candidate.repository_id}:".encode() + candidate.patch.digest).digest()
    first = connection.scalar(select(suggestions.c.id).where(suggestions.c.fingerprint == fingerprint))
    profile = PROFILES[AGENTS.get(candidate.request.rule.category, "default")]
    symbol_count = _public_symbols(connection, candidate)
    excess = improvement_policy.exceeds(profile, candidate.patch.text, symbol_count)
    if first is not None or excess is not None:
        reason = excess or f"the same change was suggested before: {first}"
        work_items.move(
            connection,
            candidate.work_items,
            "backlog",
            actor=ACTOR,
            data={"reason": reason, "suggestion": first and str(first)},
        )
        return None
    id_ = uuid7()
    rule = candidate.request.rule
    title = f"{rule.title}: {_where(candidate)}"
    branch = edit_commits.branch_name(settings().improvement.branch_prefix, title, str(id_))
    gates = {gate.name: gate.verdict for gate in candidate.gates}
    record = record_of(connection, candidate.repository_id)
    experimental = improvement_policy.is_experimental(record)
    risk = improvement_policy.risk(
        candidate.score, candidate.patch.lines, gates.get("tests") == "passed", experimental
    )
    agent = AGENTS.get(rule.category, "default")
    trust_level = trust.of_rule(connection, rule)
    create_workflow(
        connection,
        TYPE,
        {"repository": candidate.repository, "candidate": str(candidate.id)},
        actor=ACTOR,
        id=id_,
    )
    connection.execute(
        insert(suggestions).values(
            id=id_,
            repository_id=candidate.repository_id,
            work_item_id=candidate.work_items[0],
            work_items=candidate.work_items,
            candidate_id=candidate.id,
            fingerprint=fingerprint,
            title=title,
            reason=rule.rationale,
            sources=list(candidate.sources),
            rule_id=rule.id,
            base_commit=candidate.base,
            target=_target(connection, candidate.repository),
            branch=branch,
            replaces=replaced and replaced.suggestion,
            risk=risk,
            confidence_mean=trust_level.estimate.mean,
            confidence_lower=trust_level.estimate.lower,
        )
    )
    transition(connection, [id_], "validated", actor=ACTOR, data={"gates": gates})
    _request_approval(
        connection,
        candidate,
        id_,
        title,
        branch,
        risk,
        agent,
        trust_level,
        experimental=experimental,
        replaced=replaced,
    )
    return id_


def _where(candidate: Candidate) -> str:
    """Return what a candidate changes, for the title: its file, or how many locations in how many files."""
    if len(candidate.files) == 1:
        return candidate.request.path
    return f"{len(candidate.findings)} locations in {len(candidate.files)} files"


def limits_of(rule: Rule) -> Limits:
    """Return how large a change of a rule may be, by the safety profile of its agent."""
    profile = PROFILES[AGENTS.get(rule.category, "default")]
    return Limits(profile.max_files, profile.max_lines)


def _target(connection: Connection, repository: str) -> str:
    """Return the branch that was ingested; the revision itself where that is no branch."""
    revision = current_snapshot(connection, repository).revision
    return git.branch_of(repositories.find(connection, repository).objects, revision) or revision


_CHANGED_SYMBOLS = text(f"""
SELECT count(*) FROM files f JOIN symbols s ON s.blob_id = f.blob_id
WHERE {IN_SNAPSHOT} AND f.path = :path AND s.seq > 0 AND NOT starts_with(s.name, '_')
  AND EXISTS (SELECT FROM unnest(CAST(:lines AS int[])) AS line WHERE line BETWEEN s.start_line AND s.end_line)
""")


def _public_symbols(connection: Connection, candidate: Candidate) -> int:
    """Count the definitions with public names that have lines which the candidate changes."""
    snapshot = current_snapshot(connection, candidate.repository)
    changed = patches.changed_lines(candidate.patch.text)
    return sum(
        connection.scalar(_CHANGED_SYMBOLS, {**snapshot.interval, "path": path, "lines": lines}) or 0
        for path, lines in changed.items()
    )


def _request_approval(
    connection: Connection,
    candidate: Candidate,
    id_: UUID,
    title: str,
    branch: str,
    risk: str,
    agent: str,
    trust_level: RuleTrust,
    *,
    experimental: bool,
    replaced: Replaced | None,
) -> None:
    """Request the approval of exactly this patch on exactly this commit; by policy where that is allowed."""
    rule = candidate.request.rule
    content = content_of(candidate.repository, id_, candidate.base, branch, candidate.patch.text)
    evidence = {
        "rule": f"{rule.id} v{rule.version}",
        "why": rule.rationale,
        "generators": ", ".join(candidate.sources),
        "agent": agent,
        "risk": risk,
        "expected_acceptance": round(candidate.score, 2),
        "trust": {
            "level": trust_level.level,
            "mean": round(trust_level.mean, 2),
            "lower": round(trust_level.lower, 2),
            "decisions": trust_level.decisions,
            "because": trust_level.because,
        },
        "findings": [f"{path}:{line}: {message}" for path, line, message in candidate.findings[:20]],
        "gates": {gate.name: f"{gate.verdict}: {gate.evidence}" for gate in candidate.gates},
    }
    if replaced is not None:
        evidence["replaces"] = {**replaced._asdict(), "suggestion": str(replaced.suggestion)}
    policy_evidence = None
    if not experimental and trust_level.level == "act":
        # A skipped gate does not count as passed: the policy demands that all gates have passed.
        policy_evidence = Evidence(
            confidence=trust_level.lower,
            least=thresholds.current(connection)["act"],
            gates={
                gate.name: gate.verdict == "passed"
                for gate in candidate.gates
                if gate.verdict != "not applicable"
            },
        )
    elif not experimental and "edit" in settings().approvals.policy_kinds:
        evidence["policy"] = f"the rule may not act: {trust_level.because}"
    approval = issue_or_request(
        connection,
        "edit",
        candidate.repository,
        content,
        requested_by=f"agent:{agent}",
        reason=title,
        policy_evidence=policy_evidence,
        evidence=evidence,
        ttl=settings().improvement.ttl,
    )
    connection.execute(update(suggestions).where(suggestions.c.id == id_).values(approval_id=approval))
    transition(connection, [id_], "awaiting_approval", actor=ACTOR, data={"approval": str(approval)})


def content_of(repository: str, id_: UUID, base: str, branch: str, patch: str) -> dict[str, Any]:
    """Return exactly what is approved: this patch, on this commit, as this branch of this repository."""
    return {"suggestion": str(id_), "repository": repository, "base": base, "branch": branch, "patch": patch}


_ENDED_UNUSED = text("""
SELECT s.id, s.work_items, s.candidate_id, s.branch, r.name AS repository, a.status AS decision
FROM suggestions s JOIN repositories r ON r.id = s.repository_id
JOIN workflows w ON w.id = s.id JOIN workflows a ON a.id = s.approval_id
WHERE w.status IN ('awaiting_approval', 'approved') AND a.status IN ('denied', 'expired', 'revoked')
ORDER BY s.id LIMIT :limit
""")
STATE_BY_DECISION = {"denied": "rejected", "revoked": "rejected", "expired": "expired"}


def follow_decisions(connection: Connection, *, limit: int = 1_000) -> int:
    """Let suggestions follow approvals that ended without being used; return how many did."""
    rows = connection.execute(_ENDED_UNUSED, {"limit": limit}).all()
    for row in rows:
        # A process killed between git and the database left its branch behind, and the approval has ended since.
        objects = repositories.find(connection, row.repository).objects
        if leftover := edit_commits.made_for(objects, row.branch, str(row.id)):
            edit_commits.delete_branch(objects, row.branch, leftover)
        transition(
            connection,
            [row.id],
            STATE_BY_DECISION[row.decision],
            actor=ACTOR,
            data={"decision": row.decision},
        )
        if row.decision == "denied":
            candidate_records.record_outcome(connection, row.candidate_id, "denied")
        release(connection, row.work_items, f"its suggestion was {row.decision}")
    return len(rows)


def release(
    connection: Connection,
    items: Sequence[UUID],
    reason: str,
    *,
    to: str = "backlog",
    of: Sequence[str] = ("in_progress",),
) -> None:
    """Move those work items of a suggestion on that are in one of the states `of`; leave the others alone."""
    query = (
        select(workflows.c.id)
        .where(workflows.c.id.in_(items), workflows.c.status.in_(of))
        .order_by(workflows.c.id)
        .with_for_update()
    )
    work_items.move(connection, connection.scalars(query).all(), to, actor=ACTOR, data={"reason": reason})


def remaining_capacity(connection: Connection, repository_id: int) -> int:
    """Return how many more suggestions may be pending for a person."""
    query = text("""
        SELECT count(*) FROM suggestions s JOIN workflows w ON w.id = s.id
        WHERE s.repository_id = :id AND w.status = ANY(:states)
    """)
    pending = connection.scalar(query, {"id": repository_id, "states": list(OPEN_STATES)}) or 0
    return max(0, settings().improvement.waiting - pending)


def record_of(connection: Connection, repository_id: int) -> Record:
    """Return the past results of the repository's edits for `improvement_policy`. A cycle is a night."""
    ended_at = func.coalesce(edits.c.reverted_at, edits.c.verified_at)
    outcomes = (
        select(edits.c.reverted_at.is_(None).label("verified"), ended_at.label("at"))
        .where(edits.c.repository_id == repository_id, ended_at.is_not(None))
        .order_by(ended_at.desc())
        .limit(100)
    )
    rows = connection.execute(outcomes).all()
    nights = text("""
        SELECT floor(extract(epoch FROM clock_timestamp() - coalesce(CAST(:since AS timestamptz), added_at))
                     / 86400)::int
        FROM repositories WHERE id = :id
    """)

    def cycles_since(at: Any) -> int:
        return connection.scalar(nights, {"id": repository_id, "since": at}) or 0

    improved = next((row.at for row in rows if row.verified), None)
    failed = next((row.at for row in rows if not row.verified), None)
    return Record(
        [row.verified for row in rows],
        cycles_since(improved),
        None if failed is None else cycles_since(failed),
    )


# Why a suggestion, or the edit that it became, is in its state; NULL: nothing was said.
STATE_REASON = """(
    SELECT v.data->>'reason' FROM workflow_events v WHERE v.workflow_id = w.id ORDER BY v.seq DESC LIMIT 1
) AS state_reason"""
_ROWS = f"""
SELECT s.id, w.status AS state, r.name AS repository, s.title, s.rule_id AS rule, s.sources, s.risk, s.branch,
       s.approval_id AS approval, s.created_at, c.lines, c.paths, {STATE_REASON}
FROM suggestions s JOIN workflows w ON w.id = s.id JOIN repositories r ON r.id = s.repository_id
JOIN candidates c ON c.id = s.candidate_id
"""


def find(
    connection: Connection,
    *,
    repository_id: int | None = None,
    states: Sequence[str] = (),
    path: str | None = None,
    limit: int = 100,
) -> list[dict[str, Any]]:
    """Return suggestions, newest first; only those in `states`, if any are passed, and those that change `path`."""
    query = text(f"""{_ROWS} WHERE (CAST(:repository_id AS bigint) IS NULL OR s.repository_id = :repository_id)
        AND (cardinality(CAST(:states AS text[])) = 0 OR w.status = ANY(:states))
        AND (CAST(:path AS text) IS NULL OR :path = ANY(c.paths)) ORDER BY s.id DESC LIMIT :limit""")
    parameters = {"repository_id": repository_id, "states": list(states), "path": path, "limit": limit}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def show(connection: Connection, id_: UUID) -> dict[str, Any]:
    """Return one suggestion with its patch, gates and history.

    Raises:
        QflowError: there is no such suggestion.
    """
    query = text(
        f"SELECT base.*, s.reason, s.base_commit, s.candidate_id, s.work_items, s.repository_id FROM ({_ROWS}) AS base "
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
    withheld = candidate_records.withheld(
        connection, row["repository_id"], row["base_commit"], row["rule"], row["paths"]
    )
    return {
        **row,
        "patch": candidate["patch"],
        "locations": [f"{location['path']}:{location['line']}" for location in candidate["locations"]],
        "withheld": [f"{location['path']}:{location['line']}: {location['reason']}" for location in withheld],
        "gates": gates,
        "history": events,
    }


def resolve_id(connection: Connection, prefix: str) -> UUID:
    """Return the id of the suggestion whose id begins with `prefix`."""
    return resolve(connection, prefix, table="suggestions", noun="suggestion")
