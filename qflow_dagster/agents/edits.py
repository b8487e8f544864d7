"""Edits: applying approved suggestions, on the head of the branch they are meant for.

Belongs here: the order of steps between database and git. Does not belong here: commits
themselves (`edit_commits`), the change on a target that has moved (`target_changes`), suggestions before they are
approved (`self_improvement`), what becomes of edits (`edit_verification`, `edit_lifecycle`).

The branch is moved last in the transaction that uses up the approval. If the process is killed before the
commit of the transaction, the approval is unused, and the commit is made again; a branch that the killed process
left is recognised by its commit. So no edit is lost, none is made twice, and no approval is used without its edit.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, insert, select, text

from qflow_dagster.agents import edit_commits, self_improvement
from qflow_dagster.agents.edit_comparison import short_name
from qflow_dagster.agents.self_improvement import Replaced
from qflow_dagster.agents.tables import edits
from qflow_dagster.agents.target_changes import FINDING_GONE, Change, Targets, difference
from qflow_dagster.approvals import arbiter
from qflow_dagster.approvals.authorization import ApprovalRefusedError, Reference, authorize_edit
from qflow_dagster.approvals.tables import approvals
from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError
from qflow_dagster.generation import candidate_records
from qflow_dagster.generation.patches import Patch, PatchRefusedError
from qflow_dagster.ingestion import git, repositories
from qflow_dagster.quantumflow import transition
from qflow_dagster.quantumflow.draining import drain
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
SELECT s.id, s.approval_id, s.base_commit, s.target, s.branch, s.title, s.reason, s.rule_id, s.sources, s.work_items,
       s.candidate_id, r.name AS repository, r.id AS repository_id, c.patch, c.rule_digest,
       aw.updated_at AS approved_at, gw.run_id AS generated_by
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
    targets = Targets(engine)
    return [_attempt(engine, row, targets, worker, run_id) for row in rows]


def _attempt(engine: Engine, row: Any, targets: Targets, worker: str, run_id: str | None) -> ApplyResult:
    try:
        with engine.connect() as connection:
            _refuse_over_limit(connection, row.repository_id)
        change = targets.change(row)
        if change.candidate is not None or change.patch is None:
            return ApplyResult(row.id, row.branch, None, _replace(engine, row, change))
        commit = _apply(engine, row, change.base, change.patch, worker, run_id)
        return ApplyResult(row.id, row.branch, commit, None)
    except ApprovalRefusedError as refused:
        # The approval was used or ended since it was read: nothing is lost.
        return ApplyResult(row.id, row.branch, None, refused.reason)
    except PatchRefusedError as error:
        _fail(engine, row, str(error))
        return ApplyResult(row.id, row.branch, None, str(error))
    except QflowError as error:
        return ApplyResult(row.id, row.branch, None, str(error))


def apply_all_approved(
    engine: Engine, *, worker: str, run_id: str | None = None
) -> tuple[list[ApplyResult], list[ApplyResult]]:
    """Apply approved suggestions, batch after batch; return those that were applied and those that could not be."""
    return drain(lambda: apply_approved(engine, worker=worker, run_id=run_id))


def _refuse_over_limit(connection: Connection, repository_id: int) -> None:
    applied = select(func.count()).where(
        edits.c.repository_id == repository_id,
        edits.c.applied_at > func.clock_timestamp() - timedelta(days=1),
    )
    count = connection.scalars(applied).one()
    if count >= settings().improvement.edits_per_day:
        raise QflowError(f"{count} edits were applied in the last 24 hours, the limit; it stays approved")


def _apply(engine: Engine, row: Any, base: str, patch: Patch, worker: str, run_id: str | None) -> str:
    """Use the approval, and commit the patch on `base`, the head of the target."""
    with engine.begin() as connection:
        lock(connection, Lock.EDITS_OF_REPOSITORY, row.repository_id)
        _refuse_over_limit(connection, row.repository_id)
        objects = repositories.find(connection, row.repository).objects
        if git.resolve(objects, row.target).oid != base:
            raise QflowError(
                f"{row.target} has just moved; it stays approved, and is applied in the next run"
            )
        # What was approved: the patch on the commit it was suggested for. `patch` is the same on `base`.
        content = self_improvement.content_of(row.repository, row.id, row.base_commit, row.branch, row.patch)
        authorize_edit(
            connection, Reference(row.approval_id), row.repository, content, actor=worker, run_id=run_id
        )
        commit = edit_commits.make_commit(
            objects, base, patch, row.title, row.reason, _trailers(row), row.approved_at
        )
        transition(connection, [row.id], "approved", actor=worker, run_id=run_id)
        data = {"commit": commit, "base": base, "approved_base": row.base_commit}
        transition(connection, [row.id], "applied", actor=worker, data=data, run_id=run_id)
        connection.execute(
            insert(edits).values(
                id=row.id,
                repository_id=row.repository_id,
                branch=row.branch,
                base_commit=base,
                commit_oid=commit,
                own_commits=[commit],
                pushed={},
                applied_by=worker,
                run_id=run_id,
            )
        )
        candidate_records.record_outcome(connection, row.candidate_id, "accepted")
        left = edit_commits.made_for(objects, row.branch, str(row.id))
        edit_commits.set_branch(objects, row.branch, commit, left)
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


def _replace(engine: Engine, row: Any, change: Change) -> str:
    """End a suggestion whose change is not the approved one any more on its target; return why.

    If there is another change, its approval is requested.
    """
    moved = f"{short_name(row.target)} has moved from {row.base_commit[:10]} to {change.base[:10]}"
    with engine.begin() as connection:
        if change.candidate is None:
            reason = f"{moved}: {change.problem}"
            _end(connection, row, "superseded", reason)
            done = "done" if change.problem == FINDING_GONE else "backlog"
            self_improvement.release(connection, row.work_items, reason, to=done)
            return reason
        reason = f"{moved}, where the change is another one"
        _end(connection, row, "superseded", reason)
        replaced = Replaced(row.id, reason, difference(row.patch, change.candidate.patch.text))
        new = self_improvement.suggest(connection, change.candidate, replaced=replaced)
    again = "its approval is requested again" if new else "it cannot be suggested again"
    return f"{reason}: {again}{f' (suggestion {new})' if new else ''}"


def _end(connection: Connection, row: Any, state: str, reason: str) -> None:
    """End a suggestion, and revoke its approval, which was not used."""
    requested_by = connection.scalar(
        select(approvals.c.requested_by).where(approvals.c.id == row.approval_id)
    )
    arbiter.revoke(connection, row.approval_id, actor=str(requested_by), reason=reason)
    transition(connection, [row.id], state, actor=ACTOR, data={"reason": reason})


def _fail(engine: Engine, row: Any, problem: str) -> None:
    """Mark a suggestion as failed that can never be applied."""
    with engine.begin() as connection:
        _end(connection, row, "failed", problem)
        self_improvement.release(connection, row.work_items, problem)
