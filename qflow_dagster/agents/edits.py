"""Edits: applying approved suggestions, verifying what they did, reverting what made things worse.

Belongs here: the order of steps between database and git. Does not belong here: commits
themselves (`edit_commits`), suggestions before they are approved (`self_improvement`).

The branch is moved last in the transaction that uses the approval up. Killed before the commit,
the approval is unused and the same commit is made again; the branch that already is there is
recognised. So no edit is lost, none is made twice, and no approval is used without its edit.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, text

from qflow_dagster.agents import edit_commits, self_improvement
from qflow_dagster.agents.improvement_policy import PROFILES
from qflow_dagster.approvals import arbiter
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference, authorize_edit
from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import matchers, rule_set
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import candidate_records, patches, remaining, validation
from qflow_dagster.generation.patches import PatchRefusedError
from qflow_dagster.generation.suite_gate import Suite
from qflow_dagster.infrastructure.error_rate_tracker import rate
from qflow_dagster.ingestion import git, repositories, trees
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.quantumflow import transition
from qflow_dagster.quantumflow.draining import drain
from qflow_dagster.quantumflow.rows import to_json
from qflow_dagster.registry import Lock, WorkflowTypeName
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

ACTOR = self_improvement.ACTOR
logger = logs.logger(__name__)


class Applied(NamedTuple):
    """A suggestion that was tried to apply: its commit, or the problem."""

    suggestion_id: UUID
    branch: str
    commit: str | None
    problem: str | None


_APPROVED = text(f"""
SELECT s.id, s.approval_id, s.base_commit, s.branch, s.title, s.reason, s.rule_id, s.sources, s.work_item_id,
       s.candidate_id, r.name AS repository, r.id AS repository_id, c.patch, aw.updated_at AS approved_at,
       gw.run_id AS made_by
FROM workflows aw JOIN suggestions s ON s.approval_id = aw.id JOIN workflows sw ON sw.id = s.id
JOIN repositories r ON r.id = s.repository_id JOIN candidates c ON c.id = s.candidate_id
LEFT JOIN workflows gw ON gw.type = '{WorkflowTypeName.GENERATION}' AND gw.key = s.work_item_id || ':' || s.base_commit
WHERE aw.type = '{WorkflowTypeName.EDIT_APPROVAL}' AND aw.status = 'approved' AND sw.status = 'awaiting_approval'
ORDER BY aw.id LIMIT :limit
""")


def apply_approved(
    engine: Engine, *, worker: str, run_id: str | None = None, limit: int = 100
) -> list[Applied]:
    """Apply up to `limit` approved suggestions, each in a transaction of its own; a day has its limit."""
    with engine.begin() as connection:
        self_improvement.follow_decisions(connection)
        rows = connection.execute(_APPROVED, {"limit": limit}).all()
    done = []
    for row in rows:
        try:
            commit = _apply(engine, row, worker, run_id)
            done.append(Applied(row.id, row.branch, commit, None))
        except ApprovalRefusedError as refused:
            # Somebody else used it, or it ended, since it was read: nothing is lost.
            done.append(Applied(row.id, row.branch, None, refused.reason))
        except PatchRefusedError as error:
            _give_up(engine, row, str(error))
            done.append(Applied(row.id, row.branch, None, str(error)))
        except QflowError as error:
            done.append(Applied(row.id, row.branch, None, str(error)))
    return done


def apply_all_approved(
    engine: Engine, *, worker: str, run_id: str | None = None
) -> tuple[list[Applied], list[Applied]]:
    """Apply approved suggestions, batch after batch; return those that were applied and those that could not be."""
    return drain(lambda: apply_approved(engine, worker=worker, run_id=run_id))


def _apply(engine: Engine, row: Any, worker: str, run_id: str | None) -> str:
    with engine.begin() as connection:
        lock(connection, Lock.EDITS_OF_REPOSITORY, row.repository_id)
        objects = repositories.find(connection, row.repository).objects
        applied = text("""
            SELECT count(*) FROM edits
            WHERE repository_id = :id AND applied_at > clock_timestamp() - interval '1 day'
        """)
        today = connection.scalar(applied, {"id": row.repository_id})
        if (today or 0) >= settings().improvement.edits_per_day:
            raise QflowError(f"{today} edits were applied in 24 hours, no more are allowed; it waits")
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
            text("""
                INSERT INTO edits (id, repository_id, branch, base_commit, commit_oid, applied_by, run_id)
                VALUES (:id, :repository_id, :branch, :base, :commit, :by, :run_id)
            """),
            {
                "id": row.id,
                "repository_id": row.repository_id,
                "branch": row.branch,
                "base": row.base_commit,
                "commit": commit,
                "by": worker,
                "run_id": run_id,
            },
        )
        candidate_records.record_outcome(connection, row.candidate_id, "accepted")
        edit_commits.set_branch(objects, row.branch, commit, None)
    return commit


def _trailers(row: Any) -> Mapping[str, str]:
    """Only what is the same whenever the commit is made again; so the run is the one that made the change."""
    trailers = {
        "Qflow-Rule": row.rule_id,
        "Qflow-Generators": ", ".join(row.sources),
        "Qflow-Work-Item": str(row.work_item_id),
        "Qflow-Suggestion": str(row.id),
        "Qflow-Approval": str(row.approval_id),
    }
    return trailers | ({"Qflow-Run": row.made_by} if row.made_by else {})


def _give_up(engine: Engine, row: Any, problem: str) -> None:
    """What can never be applied: the approval is taken back, the suggestion failed."""
    with engine.begin() as connection:
        requested_by = connection.scalar(
            text("SELECT requested_by FROM approvals WHERE id = :id"), {"id": row.approval_id}
        )
        arbiter.revoke(connection, row.approval_id, actor=str(requested_by), reason=problem)
        transition(connection, [row.id], "failed", actor=ACTOR, data={"reason": problem})
        self_improvement.release(connection, row.work_item_id, problem)


_UNVERIFIED = text("""
SELECT e.*, s.title, s.rule_id, s.work_item_id, s.candidate_id, s.approval_id, r.name AS repository, c.patch, c.paths,
       c.language, c.rule_digest
FROM edits e JOIN suggestions s ON s.id = e.id JOIN repositories r ON r.id = e.repository_id
JOIN candidates c ON c.id = s.candidate_id
WHERE e.verified_at IS NULL AND e.reverted_at IS NULL ORDER BY e.applied_at LIMIT :limit
""")


# New errors that the analysis suspects the edit's commit of, while it is watched.
_SUSPECTED = text("""
SELECT e.id, a.requested_by, g.operation, g.message, extract(epoch FROM g.last_seen - e.applied_at)::float AS after,
       extract(epoch FROM clock_timestamp() - e.applied_at)::float AS age
FROM edits e JOIN suggestions s ON s.id = e.id JOIN approvals a ON a.id = s.approval_id
JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid AND g.last_seen >= e.applied_at
WHERE e.reverted_at IS NULL AND e.applied_at > clock_timestamp() - make_interval(secs => :longest)
ORDER BY e.id, g.operation, g.id
""")


class Verified(NamedTuple):
    """An edit that was verified or reverted, with the words why."""

    edit_id: UUID
    good: bool
    words: str


def verify_all(engine: Engine) -> list[Verified]:
    """Verify edits that were not verified yet, and revert those that new errors are put down to."""
    return [*verify_applied(engine), *revert_suspected(engine)]


def has_unverified(connection: Connection) -> bool:
    """Whether an edit was left unverified (its run was killed, or failed) or is suspected of new errors."""
    query = text("""
        SELECT EXISTS (SELECT FROM edits WHERE verified_at IS NULL AND reverted_at IS NULL
                       AND applied_at < clock_timestamp() - interval '30 s')
            OR EXISTS (SELECT FROM edits e JOIN error_groups g ON g.suspect ->> 'commit' = e.commit_oid
                       WHERE e.reverted_at IS NULL AND e.applied_at > clock_timestamp() - interval '10 min'
                         AND g.last_seen >= e.applied_at)
    """)
    return bool(connection.scalar(query))


def verify_applied(engine: Engine, *, limit: int = 50) -> list[Verified]:
    """Look at every edit not verified yet: tests, the finding, measures; what got worse is reverted."""
    with engine.connect() as connection:
        rows = connection.execute(_UNVERIFIED, {"limit": limit}).all()
    done = []
    for row in rows:
        try:
            done.append(_verify(engine, row))
        except QflowError as error:
            logger.warning("edit %s could not be verified: %s", row.id, error)
    return done


def revert_suspected(engine: Engine) -> list[Verified]:
    """Revert edits that new errors are put down to, as their agent's profile says.

    What counts is seen while the profile watches, of an operation that fails as often as it has to.
    """
    longest = max(profile.window for profile in PROFILES.values())
    suspected: dict[UUID, list[str]] = {}
    with engine.connect() as connection:
        for row in connection.execute(_SUSPECTED, {"longest": longest}).all():
            profile = PROFILES.get(row.requested_by.removeprefix("agent:"), PROFILES["default"])
            if not profile.automatic_revert or row.after >= profile.window:
                continue
            seen = rate(connection, row.operation, window=max(row.age, 1.0))
            if seen.rate >= profile.error_threshold:
                words = f"{row.operation}: {row.message} ({seen.errors} of {seen.total} failed)"
                suspected.setdefault(row.id, []).append(words)
    done = []
    for id_, errors in suspected.items():
        words = f"{len(errors)} new errors are put down to it, for example {errors[0]}"[:500]
        try:
            revert(engine, id_, actor=ACTOR, reason=words)
        except QflowError as error:
            logger.warning("edit %s could not be reverted: %s", id_, error)
            continue
        done.append(Verified(id_, False, words))
    return done


def _verify(engine: Engine, row: Any) -> Verified:
    with engine.connect() as connection:
        objects = repositories.find(connection, row.repository).objects
        snapshot = current_snapshot(connection, row.repository)
        rule = next(
            (one for one in rule_set.current(connection) if one.digest == bytes(row.rule_digest)), None
        )
    if edit_commits.read_branch(objects, row.branch) is None:
        raise QflowError(f"branch {row.branch} is gone; nothing is left to verify")
    before, after = (_measured(objects, row, rule, commit) for commit in (row.base_commit, row.commit_oid))
    gate = Suite(engine, objects, _at(snapshot, row.base_commit)).judge(patches.read(row.patch))
    problems = []
    if gate.verdict == "failed":
        problems.append(gate.evidence)
    # A rule that was retired since has no say.
    if rule is not None and after["findings"] >= before["findings"]:
        problems.append(f"{row.rule_id} finds {after['findings']}, {before['findings']} before")
    if after["parse_errors"] > before["parse_errors"]:
        problems.append("it has new syntax errors")
    if after["cognitive"] > validation.most_complex(before["cognitive"], before["findings"]):
        problems.append(f"cognitive complexity is {after['cognitive']}, {before['cognitive']} before")
    outcome = {"before": before, "after": after, "tests": f"{gate.verdict}: {gate.evidence}"}
    if problems:
        words = "; ".join(problems)
        revert(engine, row.id, actor=ACTOR, reason=words, outcome=outcome)
        return Verified(row.id, False, words)
    with engine.begin() as connection:
        moved = connection.execute(
            text("""
                UPDATE edits SET verified_at = clock_timestamp(), outcome = CAST(:outcome AS jsonb)
                WHERE id = :id AND verified_at IS NULL AND reverted_at IS NULL
            """),
            {"id": row.id, "outcome": to_json(outcome, "the outcome")},
        )
        if moved.rowcount:
            transition(connection, [row.id], "verified", actor=ACTOR, data=outcome)
            self_improvement.release(connection, row.work_item_id, f"edit {row.id} is verified", to="done")
    return Verified(row.id, True, outcome["tests"])


def revert(
    engine: Engine, edit_id: UUID, *, actor: str, reason: str, outcome: Mapping[str, Any] | None = None
) -> str:
    """Take an edit back by a commit on its branch; returns that commit.

    Raises:
        QflowError: there is no such edit, it was reverted before, or its branch has moved on.
    """
    with engine.begin() as connection:
        query = text("""
            SELECT e.*, r.name AS repository, s.work_item_id, s.candidate_id, w.status FROM edits e
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
        at: datetime = connection.execute(text("SELECT now()")).scalar_one()
        commit = edit_commits.make_revert(objects, row.commit_oid, row.base_commit, reason, trailers, at)
        connection.execute(
            text("""
                UPDATE edits SET reverted_at = clock_timestamp(), revert_oid = :commit,
                    outcome = coalesce(CAST(:outcome AS jsonb), outcome, '{}')
                              || jsonb_build_object('reverted', CAST(:reason AS text))
                WHERE id = :id
            """),
            {
                "id": edit_id,
                "commit": commit,
                "reason": reason,
                "outcome": outcome and to_json(outcome, "the outcome"),
            },
        )
        transition(connection, [edit_id], "reverted", actor=actor, data={"reason": reason, "commit": commit})
        candidate_records.record_outcome(connection, row.candidate_id, "reverted")
        words = f"edit {edit_id} was reverted: {reason}"
        self_improvement.release(connection, row.work_item_id, words, of=("in_progress", "done"))
        edit_commits.set_branch(objects, row.branch, commit, row.commit_oid)
    return commit


def _measured(objects: Path, row: Any, rule: Rule | None, commit: str) -> dict[str, Any]:
    """Findings of the rule, cognitive complexity, code lines and syntax errors of the edited files."""
    # Imported late: commands that only show things need no parsers.
    from qflow_dagster.ingestion.extraction import extract

    total = {"findings": 0, "cognitive": 0, "code_lines": 0, "parse_errors": 0}
    for path in row.paths:
        data = git.run(objects, "cat-file", "blob", f"{commit}:{path}", max_output=trees.MAX_BLOB_BYTES)
        facts = extract(data, matchers.LANGUAGES.get(row.language, ""))
        content = matchers.decode(data)
        if rule is not None and content is not None:
            total["findings"] += remaining.places(rule, content, path, row.language, facts)
        total["cognitive"] += sum(symbol.cognitive or 0 for symbol in facts.symbols)
        total["code_lines"] += facts.code_lines
        total["parse_errors"] += facts.parse_error_count
    return total


def _at(snapshot: Snapshot, commit: str) -> Snapshot:
    return replace(snapshot, commit_oid=commit)


_ROWS = """
SELECT e.id, w.status AS state, r.name AS repository, e.branch, e.commit_oid AS commit, s.title, s.rule_id AS rule,
       e.applied_at, e.verified_at, e.reverted_at, e.outcome
FROM edits e JOIN suggestions s ON s.id = e.id JOIN workflows w ON w.id = e.id
JOIN repositories r ON r.id = e.repository_id
"""


def find(
    connection: Connection, *, repository_id: int | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Edits, newest first."""
    query = text(
        f"{_ROWS} WHERE CAST(:id AS bigint) IS NULL OR e.repository_id = :id ORDER BY e.applied_at DESC "
        "LIMIT :limit"
    )
    return [dict(row) for row in connection.execute(query, {"id": repository_id, "limit": limit}).mappings()]


def show(connection: Connection, edit_id: UUID) -> dict[str, Any]:
    """One edit, with its suggestion.

    Raises:
        QflowError: there is none.
    """
    row = connection.execute(text(f"{_ROWS} WHERE e.id = :id"), {"id": edit_id}).mappings().one_or_none()
    if row is None:
        raise QflowError(f"there is no edit {edit_id}; a suggestion becomes one when its approval is used")
    return {**self_improvement.show(connection, edit_id), **row}
