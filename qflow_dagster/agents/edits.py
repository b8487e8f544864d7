"""Edits: applying approved suggestions, verifying them, reverting those that made things worse.

Belongs here: the order of steps between database and git. Does not belong here: commits
themselves (`edit_commits`), suggestions before they are approved (`self_improvement`).

The branch is moved last in the transaction that uses up the approval. If the process is killed before the
commit of the transaction, the approval is unused, and the same git commit is made again; a branch that is there
already is recognised. So no edit is lost, none is made twice, and no approval is used without its edit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, select, text, update

from qflow_dagster.agents import edit_commits, self_improvement
from qflow_dagster.agents.improvement_policy import PROFILES
from qflow_dagster.agents.tables import edits
from qflow_dagster.approvals import arbiter
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference, authorize_edit
from qflow_dagster.approvals.tables import approvals
from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import matchers, rule_set
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution.tables import work_items
from qflow_dagster.generation import candidate_records, patches, remaining, validation
from qflow_dagster.generation.patches import PatchRefusedError
from qflow_dagster.generation.suite_gate import Suite
from qflow_dagster.infrastructure.error_rate_tracker import rate
from qflow_dagster.ingestion import git, repositories, trees
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.quantumflow import transition
from qflow_dagster.quantumflow.draining import drain
from qflow_dagster.quantumflow.rows import to_jsonb
from qflow_dagster.registry import Lock, WorkflowTypeName
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

ACTOR = self_improvement.ACTOR
logger = logs.logger(__name__)


class ApplyResult(NamedTuple):
    """An attempt to apply a suggestion: its commit, or the problem."""

    suggestion_id: UUID
    branch: str
    commit: str | None
    problem: str | None


_APPROVED = text(f"""
SELECT s.id, s.approval_id, s.base_commit, s.branch, s.title, s.reason, s.rule_id, s.sources, s.work_items,
       s.candidate_id, r.name AS repository, r.id AS repository_id, c.patch, aw.updated_at AS approved_at,
       gw.run_id AS generated_by
FROM workflows aw JOIN suggestions s ON s.approval_id = aw.id JOIN workflows sw ON sw.id = s.id
JOIN repositories r ON r.id = s.repository_id JOIN candidates c ON c.id = s.candidate_id
LEFT JOIN workflows gw ON gw.id = c.generation_id
WHERE aw.type = '{WorkflowTypeName.EDIT_APPROVAL}' AND aw.status = 'approved' AND sw.status = 'awaiting_approval'
ORDER BY aw.id LIMIT :limit
""")


def apply_approved(
    engine: Engine, *, worker: str, run_id: str | None = None, limit: int = 100
) -> list[ApplyResult]:
    """Apply up to `limit` approved suggestions, each in a transaction of its own, within the daily limit."""
    with engine.begin() as connection:
        self_improvement.follow_decisions(connection)
        rows = connection.execute(_APPROVED, {"limit": limit}).all()
    results = []
    for row in rows:
        try:
            commit = _apply(engine, row, worker, run_id)
            results.append(ApplyResult(row.id, row.branch, commit, None))
        except ApprovalRefusedError as refused:
            # The approval was used or ended since it was read: nothing is lost.
            results.append(ApplyResult(row.id, row.branch, None, refused.reason))
        except PatchRefusedError as error:
            _fail(engine, row, str(error))
            results.append(ApplyResult(row.id, row.branch, None, str(error)))
        except QflowError as error:
            results.append(ApplyResult(row.id, row.branch, None, str(error)))
    return results


def apply_all_approved(
    engine: Engine, *, worker: str, run_id: str | None = None
) -> tuple[list[ApplyResult], list[ApplyResult]]:
    """Apply approved suggestions, batch after batch; return those that were applied and those that could not be."""
    return drain(lambda: apply_approved(engine, worker=worker, run_id=run_id))


def _apply(engine: Engine, row: Any, worker: str, run_id: str | None) -> str:
    with engine.begin() as connection:
        lock(connection, Lock.EDITS_OF_REPOSITORY, row.repository_id)
        objects = repositories.find(connection, row.repository).objects
        applied = select(func.count()).where(
            edits.c.repository_id == row.repository_id,
            edits.c.applied_at > func.clock_timestamp() - timedelta(days=1),
        )
        count = connection.scalars(applied).one()
        if count >= settings().improvement.edits_per_day:
            raise QflowError(f"{count} edits were applied in the last 24 hours, the limit; it stays approved")
        patch = patches.read(row.patch)
        content = self_improvement.content_of(row.repository, row.id, row.base_commit, row.branch, row.patch)
        authorize_edit(
            connection, Reference(row.approval_id), row.repository, content, actor=worker, run_id=run_id
        )
        commit = edit_commits.make_commit(
            objects, row.base_commit, patch, row.title, row.reason, _trailers(row), row.approved_at
        )
        transition(connection, [row.id], "approved", actor=worker, run_id=run_id)
        transition(connection, [row.id], "applied", actor=worker, data={"commit": commit}, run_id=run_id)
        connection.execute(
            insert(edits).values(
                id=row.id,
                repository_id=row.repository_id,
                branch=row.branch,
                base_commit=row.base_commit,
                commit_oid=commit,
                applied_by=worker,
                run_id=run_id,
            )
        )
        candidate_records.record_outcome(connection, row.candidate_id, "accepted")
        edit_commits.set_branch(objects, row.branch, commit, None)
    return commit


def _trailers(row: Any) -> Mapping[str, str]:
    """Return the trailers of the commit.

    Only what is the same whenever the commit is made again; so the run is the one that generated the change.
    """
    trailers = {
        "Qflow-Rule": row.rule_id,
        "Qflow-Generators": ", ".join(row.sources),
        "Qflow-Work-Items": ", ".join(map(str, row.work_items)),
        "Qflow-Suggestion": str(row.id),
        "Qflow-Approval": str(row.approval_id),
    }
    return trailers | ({"Qflow-Run": row.generated_by} if row.generated_by else {})


def _fail(engine: Engine, row: Any, problem: str) -> None:
    """Revoke the approval of a suggestion that can never be applied, and mark the suggestion as failed."""
    with engine.begin() as connection:
        requested_by = connection.scalar(
            select(approvals.c.requested_by).where(approvals.c.id == row.approval_id)
        )
        arbiter.revoke(connection, row.approval_id, actor=str(requested_by), reason=problem)
        transition(connection, [row.id], "failed", actor=ACTOR, data={"reason": problem})
        self_improvement.release(connection, row.work_items, problem)


_UNVERIFIED = text("""
SELECT e.*, s.title, s.rule_id, s.work_items, s.candidate_id, s.approval_id, r.name AS repository, c.patch, c.paths,
       c.language, c.rule_digest
FROM edits e JOIN suggestions s ON s.id = e.id JOIN repositories r ON r.id = e.repository_id
JOIN candidates c ON c.id = s.candidate_id
WHERE e.verified_at IS NULL AND e.reverted_at IS NULL ORDER BY e.applied_at LIMIT :limit
""")


# New errors whose suspected cause is the edit's commit, while the edit is monitored.
_SUSPECTED_EDITS = text("""
SELECT e.id, a.requested_by, g.operation, g.message, extract(epoch FROM g.last_seen - e.applied_at)::float AS after,
       extract(epoch FROM clock_timestamp() - e.applied_at)::float AS age
FROM edits e JOIN suggestions s ON s.id = e.id JOIN approvals a ON a.id = s.approval_id
JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid AND g.last_seen >= e.applied_at
WHERE e.reverted_at IS NULL AND e.applied_at > clock_timestamp() - make_interval(secs => :window)
ORDER BY e.id, g.operation, g.id
""")


class VerifyResult(NamedTuple):
    """An edit that was verified (`good`) or reverted, and the reason."""

    edit_id: UUID
    good: bool
    reason: str


def verify_all(engine: Engine) -> list[VerifyResult]:
    """Verify edits that were not verified yet, and revert those that are suspected of new errors."""
    return [*verify_applied(engine), *revert_suspected(engine)]


def has_unverified(connection: Connection) -> bool:
    """Return whether an edit was left unverified (its run was killed, or failed) or is suspected of new errors."""
    query = text("""
        SELECT EXISTS (SELECT FROM edits WHERE verified_at IS NULL AND reverted_at IS NULL
                       AND applied_at < clock_timestamp() - interval '30 s')
            OR EXISTS (SELECT FROM edits e JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid
                       WHERE e.reverted_at IS NULL AND e.applied_at > clock_timestamp() - interval '10 min'
                         AND g.last_seen >= e.applied_at)
    """)
    return bool(connection.scalar(query))


def verify_applied(engine: Engine, *, limit: int = 50) -> list[VerifyResult]:
    """Verify every edit not verified yet by tests, findings and metrics; revert those that made things worse."""
    with engine.connect() as connection:
        rows = connection.execute(_UNVERIFIED, {"limit": limit}).all()
    results = []
    for row in rows:
        try:
            results.append(_verify(engine, row))
        except QflowError as error:
            logger.warning("edit %s could not be verified: %s", row.id, error)
    return results


def revert_suspected(engine: Engine) -> list[VerifyResult]:
    """Revert edits that are suspected of new errors, according to their agent's safety profile.

    An error counts if it occurred within the profile's window, and its operation fails at least at the rate of
    the profile's threshold.
    """
    window = max(profile.window for profile in PROFILES.values())
    suspected: dict[UUID, list[str]] = {}
    with engine.connect() as connection:
        for row in connection.execute(_SUSPECTED_EDITS, {"window": window}).all():
            profile = PROFILES.get(row.requested_by.removeprefix("agent:"), PROFILES["default"])
            if not profile.automatic_revert or row.after >= profile.window:
                continue
            error_rate = rate(connection, row.operation, window=max(row.age, 1.0))
            if error_rate.rate >= profile.error_threshold:
                error = f"{row.operation}: {row.message} ({error_rate.errors} of {error_rate.total} failed)"
                suspected.setdefault(row.id, []).append(error)
    results = []
    for id_, errors in suspected.items():
        reason = f"{len(errors)} new errors are attributed to it, for example {errors[0]}"[:500]
        try:
            revert(engine, id_, actor=ACTOR, reason=reason)
        except QflowError as error:
            logger.warning("edit %s could not be reverted: %s", id_, error)
            continue
        results.append(VerifyResult(id_, False, reason))
    return results


def _verify(engine: Engine, row: Any) -> VerifyResult:
    with engine.connect() as connection:
        objects = repositories.find(connection, row.repository).objects
        snapshot = current_snapshot(connection, row.repository)
        rule = next(
            (rule for rule in rule_set.current(connection) if rule.digest == bytes(row.rule_digest)), None
        )
    if edit_commits.read_branch(objects, row.branch) is None:
        raise QflowError(f"branch {row.branch} is gone; nothing is left to verify")
    before, after = (_measure(objects, row, rule, commit) for commit in (row.base_commit, row.commit_oid))
    before.pop("left")
    left = after.pop("left")
    gate = Suite(engine, objects, _at(snapshot, row.base_commit)).check(patches.read(row.patch))
    problems = []
    if gate.verdict == "failed":
        problems.append(gate.evidence)
    # A rule that was retired in the meantime does not count.
    if rule is not None and after["findings"] >= before["findings"]:
        problems.append(f"{row.rule_id} has {after['findings']} findings, {before['findings']} before")
    if after["parse_errors"] > before["parse_errors"]:
        problems.append("it has new syntax errors")
    if after["cognitive"] > validation.max_complexity(before["cognitive"], before["findings"]):
        problems.append(f"cognitive complexity is {after['cognitive']}, {before['cognitive']} before")
    outcome = {"before": before, "after": after, "tests": f"{gate.verdict}: {gate.evidence}"}
    if problems:
        reason = "; ".join(problems)
        revert(engine, row.id, actor=ACTOR, reason=reason, outcome=outcome)
        return VerifyResult(row.id, False, reason)
    with engine.begin() as connection:
        updated = connection.execute(
            update(edits)
            .where(edits.c.id == row.id, edits.c.verified_at.is_(None), edits.c.reverted_at.is_(None))
            .values(verified_at=func.clock_timestamp(), outcome=to_jsonb(outcome, "the outcome"))
        )
        if updated.rowcount:
            transition(connection, [row.id], "verified", actor=ACTOR, data=outcome)
            done, partial = _by_completion(connection, row.work_items, left)
            self_improvement.release(connection, done, f"edit {row.id} is verified", to="done")
            reason = f"edit {row.id} is verified; {row.rule_id} has findings left in the file"
            self_improvement.release(connection, partial, reason)
    return VerifyResult(row.id, True, outcome["tests"])


def revert(
    engine: Engine, edit_id: UUID, *, actor: str, reason: str, outcome: Mapping[str, Any] | None = None
) -> str:
    """Revert an edit by a commit on its branch; return that commit.

    Raises:
        QflowError: there is no such edit, it was reverted before, or its branch has moved.
    """
    with engine.begin() as connection:
        query = text("""
            SELECT e.*, r.name AS repository, s.work_items, s.candidate_id, w.status FROM edits e
            JOIN repositories r ON r.id = e.repository_id JOIN suggestions s ON s.id = e.id
            JOIN workflows w ON w.id = e.id WHERE e.id = :id FOR UPDATE OF e, w
        """)
        row = connection.execute(query, {"id": edit_id}).one_or_none()
        if row is None:
            raise QflowError(f"there is no edit {edit_id}")
        if row.reverted_at is not None:
            raise QflowError(f"edit {edit_id} was reverted before, by {row.revert_oid}")
        objects = repositories.find(connection, row.repository).objects
        trailers = {"Qflow-Suggestion": str(row.id), "Qflow-Reverted-By": actor}
        at: datetime = connection.execute(select(func.now())).scalar_one()
        commit = edit_commits.make_revert(objects, row.commit_oid, row.base_commit, reason, trailers, at)
        new_outcome = {**(outcome or row.outcome or {}), "reverted": reason}
        connection.execute(
            update(edits)
            .where(edits.c.id == edit_id)
            .values(
                reverted_at=func.clock_timestamp(),
                revert_oid=commit,
                outcome=to_jsonb(new_outcome, "the outcome"),
            )
        )
        transition(connection, [edit_id], "reverted", actor=actor, data={"reason": reason, "commit": commit})
        candidate_records.record_outcome(connection, row.candidate_id, "reverted")
        self_improvement.release(
            connection,
            row.work_items,
            f"edit {edit_id} was reverted: {reason}",
            of=("in_progress", "done"),
        )
        edit_commits.set_branch(objects, row.branch, commit, row.commit_oid)
    return commit


def _measure(objects: Path, row: Any, rule: Rule | None, commit: str) -> dict[str, Any]:
    """Count findings of the rule, cognitive complexity, code lines and syntax errors of the edited files.

    `left` are the files in which the rule still finds something.
    """
    # Imported late: commands that only read need no parsers.
    from qflow_dagster.ingestion.extraction import extract

    total: dict[str, Any] = {"findings": 0, "cognitive": 0, "code_lines": 0, "parse_errors": 0, "left": []}
    for path in row.paths:
        data = git.run(objects, "cat-file", "blob", f"{commit}:{path}", max_output=trees.MAX_BLOB_BYTES)
        facts = extract(data, matchers.LANGUAGES.get(row.language, ""))
        content = matchers.decode(data)
        if rule is not None and content is not None:
            count = remaining.count_findings(rule, content, path, row.language, facts)
            total["findings"] += count
            total["left"] += [path] if count else []
        total["cognitive"] += sum(symbol.cognitive or 0 for symbol in facts.symbols)
        total["code_lines"] += facts.code_lines
        total["parse_errors"] += facts.parse_error_count
    return total


def _by_completion(
    connection: Connection, items: Sequence[UUID], left: Sequence[str]
) -> tuple[list[UUID], list[UUID]]:
    """Return the work items of files in which nothing is left, and the others."""
    columns = work_items.c
    paths = connection.execute(select(columns.id, columns.path).where(columns.id.in_(items))).all()
    return [row.id for row in paths if row.path not in left], [row.id for row in paths if row.path in left]


def _at(snapshot: Snapshot, commit: str) -> Snapshot:
    return replace(snapshot, commit_oid=commit)


_ROWS = """
SELECT e.id, w.status AS state, r.name AS repository, e.branch, e.commit_oid AS commit, s.title, s.rule_id AS rule,
       s.approval_id AS approval,
       e.applied_at, e.verified_at, e.reverted_at, e.outcome
FROM edits e JOIN suggestions s ON s.id = e.id JOIN workflows w ON w.id = e.id
JOIN repositories r ON r.id = e.repository_id
"""


def find(
    connection: Connection, *, repository_id: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return edits, newest first, optionally only those of one repository."""
    query = text(
        f"{_ROWS} WHERE CAST(:id AS bigint) IS NULL OR e.repository_id = :id ORDER BY e.applied_at DESC "
        "LIMIT :limit"
    )
    return [dict(row) for row in connection.execute(query, {"id": repository_id, "limit": limit}).mappings()]


def show(connection: Connection, edit_id: UUID) -> dict[str, Any]:
    """Return one edit with its suggestion.

    Raises:
        QflowError: there is no such edit.
    """
    row = connection.execute(text(f"{_ROWS} WHERE e.id = :id"), {"id": edit_id}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no edit {edit_id}; a suggestion becomes an edit when it is applied")
    return {**self_improvement.show(connection, edit_id), **row}
