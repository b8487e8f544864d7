"""What becomes of edits after they are applied: merged, superseded, conflicting, closed, reverted.

Belongs here: following the target branch, rebasing, closing. Does not belong here: the comparison with the target
and the decision (`edit_comparison`), applying (`edits`), verifying (`edit_verification`), pushing and deleting
branches (`edit_branches`).

A branch is moved last in the transaction that records it, and every commit of ours is recorded before a branch is
moved to it. So a killed process leaves no branch whose newest commit is not known to be ours.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, Engine, func, text, update

from qflow_dagster.agents import (
    edit_branches,
    edit_commits,
    edit_comparison,
    edit_records,
    edit_verification,
    self_improvement,
    suggestion_states,
)
from qflow_dagster.agents.edit_comparison import Comparison, Decision, Facts, short_name
from qflow_dagster.agents.tables import edits
from qflow_dagster.database.locks import lock
from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.generation import candidate_records
from qflow_dagster.generation.remaining import fixable_findings
from qflow_dagster.ingestion import checkouts, git, repositories
from qflow_dagster.ingestion.stand_ins import stand_in
from qflow_dagster.quantumflow import transition
from qflow_dagster.registry import Lock
from qflow_dagster.safety import logs
from qflow_dagster.safety.display import visible_line
from qflow_dagster.settings import settings

ACTOR = self_improvement.ACTOR
# Days after a merge in which a commit that reverts it is looked for.
REVERT_DAYS = 90
MAX_NAMED_PATHS = 5
logger = logs.logger(__name__)


class FollowResult(NamedTuple):
    """What has become of an edit, and why; `state` is None if it could not be compared."""

    edit_id: UUID
    state: str | None
    reason: str


class ObserveResult(NamedTuple):
    """Edits whose state followed their target branch, and edits that were verified or reverted."""

    followed: list[FollowResult]
    verified: list[edit_verification.VerifyResult]


def observe(engine: Engine) -> ObserveResult:
    """Compare edits with their target branches, then verify those that were not verified yet."""
    return ObserveResult(follow_targets(engine), edit_verification.verify_all(engine))


_UNCOMPARED = f"""
FROM edits e JOIN repositories r ON r.id = e.repository_id
WHERE r.current_snapshot_id IS NOT NULL AND e.compared_snapshot_id IS DISTINCT FROM r.current_snapshot_id
  AND (e.ended_at IS NULL
       OR e.ended_as = 'merged' AND e.ended_at > clock_timestamp() - interval '{REVERT_DAYS} days')
"""


def has_uncompared(connection: Connection) -> bool:
    """Return whether a commit was ingested since an edit was last compared with its target branch."""
    return bool(connection.scalar(text(f"SELECT EXISTS (SELECT {_UNCOMPARED})")))


def follow_targets(engine: Engine, *, limit: int = 1_000) -> list[FollowResult]:
    """Compare edits with their target branches if a commit was ingested since; return those that changed.

    Branches of ended edits are deleted afterwards.
    """
    with engine.connect() as connection:
        ids = connection.scalars(
            text(f"SELECT e.id {_UNCOMPARED} ORDER BY e.id LIMIT :limit"), {"limit": limit}
        )
        ids = list(ids)
    results = []
    for id_ in ids:
        try:
            result = _follow(engine, id_)
        except QflowError as error:
            logger.warning("edit %s could not be compared with its target: %s", id_, error)
            result = FollowResult(id_, None, str(error))
        with engine.begin() as connection:
            # An edit that cannot be compared is tried again with the next commit.
            connection.execute(
                text(
                    "UPDATE edits e SET compared_snapshot_id = r.current_snapshot_id FROM repositories r "
                    "WHERE e.id = :id AND r.id = e.repository_id"
                ),
                {"id": id_},
            )
        if result is not None:
            results.append(result)
    edit_branches.delete_ended(engine)
    return results


def _follow(engine: Engine, id_: UUID) -> FollowResult | None:
    """Compare one edit with the head of its target; record what has become of it."""
    with engine.connect() as connection:
        row = edit_records.get(connection, id_)
        objects = repositories.find(connection, row.repository).objects
        rule = edit_verification.rule_of(connection, row)
    head = git.resolve(objects, row.target).oid
    if row.ended_as == "merged":
        return _follow_merged(engine, row, objects, head)
    try:
        git.run(objects, "cat-file", "-e", f"{row.commit_oid}^{{commit}}")
    except git.GitError:
        raise QflowError(
            f"its commit {row.commit_oid[:10]} is not in this copy of {row.repository}; the machine that made it "
            "can compare it; to give it up: qflow edits close"
        ) from None
    with checkouts.scratch(objects) as store:
        comparison = edit_comparison.compare(
            store.stand_in, [*_former_commits(row), row.commit_oid], row.base_commit, head
        )
        tip = edit_commits.read_branch(objects, row.branch)
        ours = tip in row.own_commits and not edit_commits.is_checked_out(objects, row.branch)
        paths = edit_comparison.changed_paths(store.stand_in, row.base_commit, row.commit_oid)
        moved = edit_comparison.changed_paths(store.stand_in, row.base_commit, head)
        facts = Facts(
            state=row.state,
            content=comparison.content,
            needed=_is_needed(store.stand_in, row, rule, comparison, head, paths),
            outdated=settings().improvement.rebase and not set(paths).isdisjoint(moved),
            branch="deleted" if tip is None else "ours" if ours else "others",
        )
        decision = edit_comparison.decide(facts)
        if decision is None:
            return None
        if decision == "rebased":
            assert comparison.tree is not None  # noqa: S101  (what can be rebased was merged)
            return _rebase(engine, row, objects, store.stand_in, comparison.tree, head, tip)
    reason, by = _reason(decision, row, comparison, head)
    with engine.begin() as connection:
        if not _lock(connection, row):
            return None
        if decision in suggestion_states.ENDED_EDIT:
            _end(connection, row, decision, reason, actor=ACTOR, by=by)
        else:
            _move(connection, row, decision, reason)
    return FollowResult(id_, decision, reason)


def _former_commits(row: Any) -> list[str]:
    return [commit for commit in row.own_commits if commit != row.commit_oid]


def _is_needed(
    git_dir: Path, row: Any, rule: Rule | None, comparison: Comparison, head: str, paths: Sequence[str]
) -> bool:
    """Return whether the target has findings that the edit removes; True where the text alone cannot tell."""
    if comparison.content in ("contained", "undone") or rule is None or not fixable_findings(rule):
        return True

    def count(tree: str, files: Sequence[str]) -> int:
        return edit_verification.measure(git_dir, tree, files, row.language, rule)["findings"]

    if comparison.tree is not None:
        files = edit_comparison.changed_paths(git_dir, head, comparison.tree)
        return count(comparison.tree, files) < count(head, files)
    names = edit_comparison.renamed(git_dir, row.base_commit, head)
    return count(row.commit_oid, paths) < count(head, [names.get(path, path) for path in paths])


def _reason(decision: Decision, row: Any, comparison: Comparison, head: str) -> tuple[str, str | None]:
    """Return why, for a person, and the commit of the target it is due to."""
    target = f"{short_name(row.target)} at {head[:10]}"
    if decision == "merged":
        return f"{short_name(row.target)} contains it since {(comparison.at or head)[:10]}", comparison.at
    if decision == "reverted":
        at = (comparison.at or head)[:10]
        return f"{short_name(row.target)} contained it at {at}, and does not any more", head
    if decision == "superseded":
        return f"{target} has no finding any more that it removes", head
    if decision == "closed":
        return "its branch was deleted", None
    if decision == "conflicting":
        named = ", ".join(visible_line(path, 120) for path in comparison.paths[:MAX_NAMED_PATHS])
        more = len(comparison.paths) - MAX_NAMED_PATHS
        return f"it conflicts with {target}: {named}{f' and {more} more' if more > 0 else ''}", None
    return f"{target} can be merged with it again", None


def _follow_merged(engine: Engine, row: Any, objects: Path, head: str) -> FollowResult | None:
    """Look for a commit of the target that reverts a merged edit."""
    commits = {row.ended_by, *row.own_commits} - {None}
    patterns = [f"--grep=This reverts commit {commit}" for commit in sorted(commits)]
    since = [f"^{row.ended_by}"] if row.ended_by else []
    with stand_in(objects) as git_dir:
        arguments = ("rev-list", "--max-count=1", "--fixed-strings", *patterns, head, *since)
        found = git.run(git_dir, *arguments).decode()
    if not found.strip():
        return None
    reason = f"{short_name(row.target)} reverts it with {found[:10]}"
    with engine.begin() as connection:
        if not _lock(connection, row):
            return None
        _end(connection, row, "reverted", reason, actor=ACTOR, by=found.strip())
    return FollowResult(row.id, "reverted", reason)


def _rebase(
    engine: Engine, row: Any, objects: Path, git_dir: Path, tree: str, head: str, tip: str | None
) -> FollowResult | None:
    """Move the branch to the same change on the target's head; it is verified again then."""
    commit = edit_commits.rebase(git_dir, objects, row.commit_oid, tree, head, row.applied_at)
    with engine.begin() as connection:
        # Recorded first: if the process is killed, the branch is known to be ours wherever it is.
        connection.execute(
            update(edits)
            .where(edits.c.id == row.id)
            .values(own_commits=func.array_append(func.array_remove(edits.c.own_commits, commit), commit))
        )
    reason = f"rebased from {row.commit_oid[:10]} onto {short_name(row.target)} at {head[:10]}"
    with engine.begin() as connection:
        if not _lock(connection, row):
            return None
        connection.execute(
            update(edits)
            .where(edits.c.id == row.id)
            .values(commit_oid=commit, base_commit=head, verified_at=None, outcome=None)
        )
        data = {"reason": reason, "from": row.commit_oid, "commit": commit, "base": head}
        transition(connection, [row.id], "applied", actor=ACTOR, data=data)
        edit_commits.set_branch(objects, row.branch, commit, tip)
    return FollowResult(row.id, "rebased", reason)


def _lock(connection: Connection, row: Any) -> bool:
    """Lock the edits of the repository; return whether this one is as it was read."""
    lock(connection, Lock.EDITS_OF_REPOSITORY, row.repository_id)
    now = edit_records.get(connection, row.id, lock=True)
    return (now.state, now.commit_oid) == (row.state, row.commit_oid)


def _move(connection: Connection, row: Any, state: str, reason: str) -> None:
    """Move an edit that has not ended to another state."""
    transition(connection, [row.id], state, actor=ACTOR, data={"reason": reason})
    if state == "conflicting":
        # It is generated again from the new code.
        self_improvement.release(connection, row.work_items, reason, of=("in_progress", "done"))
    else:
        connection.execute(update(edits).where(edits.c.id == row.id).values(verified_at=None))


def _end(
    connection: Connection, row: Any, state: str, reason: str, *, actor: str, by: str | None = None
) -> None:
    """Record how an edit ended, and what that means for its candidate and its work item."""
    values: dict[str, Any] = {"ended_as": state, "ended_by": by, "end_reason": reason}
    if state == "reverted":
        values["reverted_at"] = func.clock_timestamp()
    connection.execute(
        update(edits).where(edits.c.id == row.id).values(ended_at=func.clock_timestamp(), **values)
    )
    transition(connection, [row.id], state, actor=actor, data={"reason": reason, "commit": by})
    if state == "reverted":
        candidate_records.record_outcome(connection, row.candidate_id, "reverted")
    elif state == "closed" and actor != ACTOR:
        # A deleted branch says nothing about the change; a person who closes the edit does.
        candidate_records.record_outcome(connection, row.candidate_id, "denied")
    if state in ("merged", "superseded"):
        self_improvement.release(connection, row.work_items, reason, to="done", of=("in_progress", "backlog"))
    else:
        self_improvement.release(connection, row.work_items, reason, of=("in_progress", "done"))


def close(engine: Engine, edit_id: UUID, *, actor: str, reason: str) -> None:
    """Close an edit that is not wanted; its branch is deleted if no commit of others is on it.

    Raises:
        UsageError: there is no reason.
        QflowError: there is no such edit, or it has ended.
    """
    if not reason.strip():
        raise UsageError("closing an edit needs a reason; it counts against the rule and stays in the record")
    with engine.begin() as connection:
        row = edit_records.get(connection, edit_id, lock=True)
        if row.ended_as is not None:
            raise QflowError(f"edit {edit_id} has ended: it is {row.ended_as} ({row.end_reason})")
        _end(connection, row, "closed", reason.strip(), actor=actor)
    edit_branches.delete_ended(engine)
