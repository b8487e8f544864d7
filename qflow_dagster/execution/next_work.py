"""Select the next work: ready features and stories with the highest WSJF score.

Does not belong here: planning and ranking (`safe_work_planner`).
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.execution import work_items

_NEXT = """
SELECT i.id, i.rule_id, i.path FROM work_items i JOIN workflows w ON w.id = i.id
LEFT JOIN workflows parent ON parent.id = i.parent_id
WHERE w.status = 'backlog' AND w.remaining_dependencies = 0
  AND (parent.id IS NULL OR parent.status NOT IN ('cancelled'))
  AND (CAST(:repository_id AS bigint) IS NULL OR i.repository_id = :repository_id)
  {condition}
ORDER BY {first} i.wsjf DESC NULLS LAST, i.created_at, i.id LIMIT :limit
FOR UPDATE OF w SKIP LOCKED
"""


def get_next_work(
    connection: Connection,
    *,
    actor: str,
    repository_id: int | None = None,
    limit: int = 1,
    claim: bool = True,
) -> list[UUID]:
    """Return the ready items with the highest score; claim them with their stories, so that no other caller gets them.

    They are features, and stories that belong to no feature.
    """
    query = text(_NEXT.format(condition=_WHOLE, first=""))
    ids = list(connection.scalars(query, {"repository_id": repository_id, "limit": limit}))
    if claim:
        stories = connection.scalars(_STORIES, {"ids": ids}).all()
        work_items.move(connection, [*ids, *stories], "in_progress", actor=actor)
    return ids


_WHOLE = """
  AND (i.level = 'feature' OR (i.level = 'story' AND NOT EXISTS (
      SELECT FROM work_items f WHERE f.id = i.parent_id AND f.level = 'feature')))
"""
_STORIES = text("""
SELECT w.id FROM work_items i JOIN workflows w ON w.id = i.id
WHERE i.parent_id = ANY(:ids) AND i.level = 'story' AND w.status = 'backlog' ORDER BY w.id FOR UPDATE OF w
""")
_GENERATABLE = """
  AND i.level = 'story' AND i.source = 'findings' AND i.rule_id = ANY(:rules) AND EXISTS (
      SELECT FROM findings g WHERE g.repository_id = i.repository_id AND g.rule_id = i.rule_id AND g.path = i.path
      AND g.state IN ('open', 'reopened') AND (g.fixable OR g.rule_id = ANY(:fixable_rules)))
"""
_UNTRIED_FIRST = "EXISTS (SELECT FROM suggestions s WHERE i.id = ANY(s.work_items)),"


class GeneratableItem(NamedTuple):
    """A ready story for which a change can be generated: its rule and file."""

    id: UUID
    rule_id: str
    path: str


def get_generatable(
    connection: Connection,
    repository_id: int,
    *,
    rules: Sequence[str],
    fixable_rules: Sequence[str] = (),
) -> list[GeneratableItem]:
    """Return ready stories for which a change can be generated, best first; do not claim them.

    They come from findings of `rules`. The finding brings a fix, or its rule is one of `fixable_rules`. Stories
    without a suggestion come before those that have had one: otherwise a few that people keep refusing would
    be tried at every commit, and nothing else.
    """
    query = text(_NEXT.format(condition=_GENERATABLE, first=_UNTRIED_FIRST))
    parameters = {
        "repository_id": repository_id,
        "limit": None,
        "rules": list(rules),
        "fixable_rules": list(fixable_rules),
    }
    return [GeneratableItem(*row) for row in connection.execute(query, parameters)]
