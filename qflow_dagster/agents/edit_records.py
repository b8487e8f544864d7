"""Read edits: for lists and pages, and one with all that is needed to work on it.

Does not belong here: changing them (`edits`, `edit_verification`, `edit_lifecycle`, `edit_branches`).
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.agents import self_improvement
from qflow_dagster.errors import QflowError

_ROWS = f"""
SELECT e.id, w.status AS state, r.name AS repository, e.branch, s.target, e.commit_oid AS commit, s.title,
       s.rule_id AS rule, e.applied_at, e.verified_at, e.ended_at, e.ended_by, e.end_reason, e.pushed, e.outcome,
       e.base_commit, s.base_commit AS approved_base, s.approval_id AS approval, {self_improvement.STATE_REASON}
FROM edits e JOIN suggestions s ON s.id = e.id JOIN workflows w ON w.id = e.id
JOIN repositories r ON r.id = e.repository_id
"""
# An edit with its suggestion, its state, its repository and the rule of its candidate.
WHOLE = """
SELECT e.*, w.status AS state, s.target, s.rule_id, s.work_items, s.candidate_id, r.name AS repository,
       c.language, c.rule_digest
FROM edits e JOIN suggestions s ON s.id = e.id JOIN workflows w ON w.id = e.id
JOIN repositories r ON r.id = e.repository_id JOIN candidates c ON c.id = s.candidate_id
"""


def find(
    connection: Connection, *, repository_id: int | None = None, state: str | None = None, limit: int = 100
) -> list[dict[str, Any]]:
    """Return edits, newest first, optionally only those of one repository or in one state."""
    query = text(f"""
        {_ROWS} WHERE (CAST(:id AS bigint) IS NULL OR e.repository_id = :id)
        AND (CAST(:state AS text) IS NULL OR w.status = :state) ORDER BY e.applied_at DESC LIMIT :limit
    """)
    parameters = {"id": repository_id, "state": state, "limit": limit}
    return [dict(row) for row in connection.execute(query, parameters).mappings()]


def show(connection: Connection, edit_id: UUID) -> dict[str, Any]:
    """Return one edit with its suggestion.

    Raises:
        QflowError: there is no such edit.
    """
    row = connection.execute(text(f"{_ROWS} WHERE e.id = :id"), {"id": edit_id}).mappings().one_or_none()
    if row is None:
        raise _missing(edit_id)
    return {**self_improvement.show(connection, edit_id), **row}


def get(connection: Connection, edit_id: UUID, *, lock: bool = False) -> Any:
    """Return the row of `WHOLE` for one edit, locked if it is to be changed.

    Raises:
        QflowError: there is no such edit.
    """
    query = text(f"{WHOLE} WHERE e.id = :id {'FOR UPDATE OF e, w' if lock else ''}")
    row = connection.execute(query, {"id": edit_id}).one_or_none()
    if row is None:
        raise _missing(edit_id)
    return row


def _missing(edit_id: UUID) -> QflowError:
    return QflowError(f"there is no edit {edit_id}; a suggestion becomes an edit when it is applied")
