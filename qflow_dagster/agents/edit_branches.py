"""The branches of edits: pushing one, and deleting those of edits that have ended.

Does not belong here: commits (`edit_commits`), what becomes of an edit (`edit_lifecycle`).
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, Text, cast, func, text, update

from qflow_dagster.agents import edit_commits, edit_records
from qflow_dagster.agents.tables import edits
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import remotes, repositories
from qflow_dagster.safety import logs
from qflow_dagster.settings import settings

logger = logs.logger(__name__)


def push(engine: Engine, edit_id: UUID, remote: str) -> str:
    """Push the branch of an edit, and record it; return the branch.

    A branch that was pushed before and rebased since replaces what was pushed, unless somebody else moved it.

    Raises:
        QflowError: there is no such edit, its branch is deleted, or the remote refused it.
    """
    with engine.connect() as connection:
        row = edit_records.get(connection, edit_id)
        objects = repositories.find(connection, row.repository).objects
    if edit_commits.read_branch(objects, row.branch) is None:
        why = f"the edit is {row.ended_as}: {row.end_reason}" if row.ended_as else "somebody deleted it"
        raise QflowError(f"there is no branch {row.branch} to push; {why}")
    commit = remotes.push(objects, remote, row.branch, replaces=row.pushed.get(remote))
    new = func.jsonb_build_object(cast(remote, Text), cast(commit, Text))
    with engine.begin() as connection:
        connection.execute(
            update(edits).where(edits.c.id == edit_id).values(pushed=edits.c.pushed.concat(new))
        )
    return row.branch


def delete_ended(engine: Engine, *, limit: int = 1_000) -> list[str]:
    """Delete the branches of ended edits, if the settings say so; return them.

    A branch stays if its newest commit is not ours, a work tree has it checked out, or it holds the revert of a
    commit that was pushed.
    """
    if not settings().improvement.delete_branches:
        return []
    with engine.connect() as connection:
        query = text(
            f"{edit_records.WHOLE} WHERE e.ended_at IS NOT NULL AND e.branch_deleted_at IS NULL ORDER BY e.id LIMIT :n"
        )
        rows = connection.execute(query, {"n": limit}).all()
    deleted = []
    for row in rows:
        try:
            with engine.begin() as connection:
                if _delete_branch(connection, row):
                    deleted.append(row.branch)
        except QflowError as error:
            logger.warning("branch %s of edit %s could not be deleted: %s", row.branch, row.id, error)
    return deleted


def _delete_branch(connection: Connection, row: Any) -> bool:
    objects = repositories.find(connection, row.repository).objects
    tip = edit_commits.read_branch(objects, row.branch)
    if tip is not None:
        is_needed = tip == row.revert_oid and set(row.pushed.values()) & set(row.own_commits)
        if tip not in (*row.own_commits, row.revert_oid) or is_needed:
            return False
        if not edit_commits.delete_branch(objects, row.branch, tip):
            return False
    deleted_at = {"branch_deleted_at": func.clock_timestamp()}
    connection.execute(update(edits).where(edits.c.id == row.id).values(**deleted_at))
    return tip is not None
