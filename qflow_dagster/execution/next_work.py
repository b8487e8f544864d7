"""Select the next work: ready features and stories with the highest WSJF score.

Does not belong here: planning and ranking (`safe_work_planner`).
"""

from collections.abc import Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.execution import work_items
from qflow_dagster.execution.wsjf import NAMES

# Of equal scores, the more valuable item comes first.
_ORDER = "{0}.wsjf DESC NULLS LAST, ({0}.inputs -> 'business_value' ->> 'value')::int DESC NULLS LAST, {0}.id"
_NEXT = """
SELECT i.id, i.rule_id, i.path FROM work_items i JOIN workflows w ON w.id = i.id
LEFT JOIN workflows parent ON parent.id = i.parent_id
WHERE w.status = 'backlog' AND w.remaining_dependencies = 0
  AND (parent.id IS NULL OR parent.status NOT IN ('cancelled'))
  AND (CAST(:repository_id AS bigint) IS NULL OR i.repository_id = :repository_id)
  {condition}
ORDER BY {first} {order} LIMIT :limit
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
    query = text(_NEXT.format(condition=_WHOLE, first="", order=_ORDER.format("i")))
    ids = list(connection.scalars(query, {"repository_id": repository_id, "limit": limit}))
    if claim:
        stories = connection.scalars(_STORIES, {"ids": ids}).all()
        work_items.move(connection, [*ids, *stories], "in_progress", actor=actor)
    return ids


_WHY = text(f"""
SELECT i.path, i.title, i.wsjf, i.inputs, h.rank AS hotspot, h.reason,
       (SELECT count(*) FROM work_items s JOIN workflows sw ON sw.id = s.id
        WHERE s.parent_id = i.id AND sw.finished_at IS NULL) AS stories,
       (SELECT count(*) FROM error_groups g JOIN error_occurrences o ON o.group_id = g.id
        WHERE g.suspect ->> 'path' = i.path AND g.suspect ->> 'repository' = r.name
          AND o.at > clock_timestamp() - interval '14 days') AS errors,
       (SELECT n.title FROM work_items n JOIN workflows w ON w.id = n.id
        WHERE n.id <> i.id AND n.level = i.level AND w.status = 'backlog' AND w.remaining_dependencies = 0
          AND n.repository_id IS NOT DISTINCT FROM i.repository_id
          AND (coalesce(-n.wsjf, 1), coalesce(-(n.inputs -> 'business_value' ->> 'value')::int, 0), n.id)
            > (coalesce(-i.wsjf, 1), coalesce(-(i.inputs -> 'business_value' ->> 'value')::int, 0), i.id)
        ORDER BY {_ORDER.format("n")} LIMIT 1) AS runner_up
FROM work_items i LEFT JOIN repositories r ON r.id = i.repository_id
LEFT JOIN hotspots h ON h.snapshot_id = r.current_snapshot_id AND h.path = i.path
WHERE i.id = :id
""")


def reasoning(connection: Connection, item: UUID) -> list[str]:
    """Return in three lines why an item comes next: where it is, what it costs, and what comes after it."""
    row = connection.execute(_WHY, {"id": item}).one()
    where = f"hotspot {row.hotspot} ({row.reason})" if row.hotspot else "no hotspot"
    errors = f"{row.errors} errors in two weeks" if row.errors else "no error in two weeks"
    values = {name: value["value"] for name, value in row.inputs.items()}
    delay = {label: values.get(name, 0) for name, label in NAMES.items() if name != "job_size"}
    stories = f"; {row.stories} open {'story' if row.stories == 1 else 'stories'}" if row.stories else ""
    parts = " + ".join(f"{label} {value}" for label, value in delay.items())
    cost = (
        f"cost of delay {sum(delay.values())} ({parts}), job size {values['job_size']}"
        if "job_size" in values
        else "no inputs of its own"
    )
    score = "no score" if row.wsjf is None else f"WSJF {row.wsjf:.2f}"
    after = f"then: {row.runner_up}" if row.runner_up else "nothing else of its level is ready"
    return [f"where: {row.path or 'no file'}: {where}, {errors}", f"what: {cost}, {score}{stories}", after]


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
    query = text(_NEXT.format(condition=_GENERATABLE, first=_UNTRIED_FIRST, order=_ORDER.format("i")))
    parameters = {
        "repository_id": repository_id,
        "limit": None,
        "rules": list(rules),
        "fixable_rules": list(fixable_rules),
    }
    return [GeneratableItem(*row) for row in connection.execute(query, parameters)]
