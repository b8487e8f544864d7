"""The Safe Work Planner: turns findings, regressions and errors into ranked work items.

Belongs here: building the hierarchy, ranking by WSJF. Does not belong here: which features a plan should
contain (`planned_features`), the items themselves (`work_items`), formulae (`wsjf`), selecting the next work
(`next_work`), free text (`work_chunks`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, literal, select, text, update

from qflow_dagster.database.copy import stage_rows
from qflow_dagster.database.locks import lock
from qflow_dagster.execution import work_items, wsjf
from qflow_dagster.execution.planned_features import PlannedFeature, planned_features
from qflow_dagster.execution.tables import work_items as table
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.registry import Lock

ACTOR = "safe work planner"
CATEGORIES = {
    "correctness": ("Correct code", "enabler"),
    "security": ("No known vulnerabilities", "enabler"),
    "maintainability": ("Maintainable code", "enabler"),
    "performance": ("No wasted work", "enabler"),
    "modernisation": ("Modern code", "enabler"),
    "metric": ("No regressions of metrics", "enabler"),
    "error": ("No recurring errors", "business"),
}


class PlanResult(NamedTuple):
    """The result of planning.

    `features` is the number of open features, `created` and `done` those created and finished by this run,
    `ranked` those whose score changed, `without_score` those that lack an input of the score.
    """

    features: int
    created: int
    done: int
    ranked: int
    without_score: int


def plan(connection: Connection, snapshot: Snapshot) -> PlanResult:
    """Bring the plan of a repository up to date with its findings, measures and errors."""
    lock(connection, Lock.PLAN_OF_REPOSITORY, snapshot.repository_id)
    features = planned_features(connection, snapshot)
    items = _create_hierarchy(connection, snapshot, features)
    done = _finish_obsolete(connection, snapshot, set(items.values()))
    ranked = _update_inputs(connection, {items[feature.key]: feature for feature in features})
    inherit(connection, snapshot.repository_id)
    counted = connection.execute(
        text("""
            SELECT count(*), count(*) FILTER (WHERE wsjf IS NULL) AS missing
            FROM work_items i JOIN workflows w ON w.id = i.id
            WHERE i.repository_id = :id AND i.level = 'feature' AND w.finished_at IS NULL
        """),
        {"id": snapshot.repository_id},
    ).one()
    return PlanResult(counted[0], sum(feature.created for feature in features), done, ranked, counted.missing)


def _create_hierarchy(
    connection: Connection, snapshot: Snapshot, planned: Sequence[PlannedFeature]
) -> dict[str, UUID]:
    """Create missing features and the levels above them; return the features' ids by key."""
    if not planned:
        return {}
    base = {"repository_id": snapshot.repository_id, "source": "plan"}
    prefix = str(snapshot.repository_id)
    theme = NewItem(
        level="theme",
        key=f"{prefix}:theme",
        title=f"Healthy code: {snapshot.repository}",
        description="Work that findings, metrics and errors call for.",
        **base,
    )
    [theme_id] = work_items.create(connection, [theme], actor=ACTOR)
    categories = sorted({feature.group[0] for feature in planned})
    epics = [
        NewItem(
            level="epic",
            key=f"{prefix}:epic:{category}",
            parent_id=theme_id,
            title=CATEGORIES.get(category, (category, "enabler"))[0],
            kind=CATEGORIES.get(category, (category, "enabler"))[1],
            **base,
        )
        for category in categories
    ]
    epic_ids = dict(zip(categories, work_items.create(connection, epics, actor=ACTOR), strict=True))
    groups = sorted({feature.group for feature in planned})
    capabilities = [
        NewItem(
            level="capability",
            key=f"{prefix}:capability:{category}:{name}",
            parent_id=epic_ids[category],
            title=title,
            rule_id=name,
            **base,
        )
        for category, name, title in groups
    ]
    capability_ids = dict(zip(groups, work_items.create(connection, capabilities, actor=ACTOR), strict=True))
    features = [
        NewItem(
            level="feature",
            key=feature.key,
            parent_id=capability_ids[feature.group],
            repository_id=snapshot.repository_id,
            inputs=feature.inputs,
            **feature.item,
        )
        for feature in planned
    ]
    ids = work_items.create(connection, features, actor=ACTOR)
    for feature, item, id_ in zip(planned, features, ids, strict=True):
        feature.created = item.id == id_
    ids_by_key = {feature.key: id_ for feature, id_ in zip(planned, ids, strict=True)}
    _reopen(connection, list(ids_by_key.values()))
    work_items.roll_up(connection, ids, actor=ACTOR)
    return ids_by_key


def _reopen(connection: Connection, ids: Sequence[UUID]) -> None:
    """Move features that were done and whose finding is back to the backlog; cancelled ones stay cancelled."""
    # An edit that is not merged yet leaves its finding in place: that is not a recurrence.
    query = text("""
        SELECT w.id FROM workflows w JOIN work_items i ON i.id = w.id
        WHERE w.id = ANY(:ids) AND w.status = 'done' AND NOT EXISTS (
            SELECT FROM edits e JOIN suggestions s ON s.id = e.id
            WHERE s.work_item_id = i.id AND e.ended_at IS NULL AND NOT EXISTS (
                SELECT FROM findings g WHERE g.repository_id = i.repository_id AND g.rule_id = i.rule_id
                AND g.path = i.path AND g.state IN ('open', 'reopened') AND g.changed_at > e.applied_at))
        ORDER BY w.id
    """)
    recurred = list(connection.scalars(query, {"ids": list(ids)}))
    work_items.move(connection, recurred, "backlog", actor=ACTOR, data={"reason": "its finding recurred"})


def _finish_obsolete(connection: Connection, snapshot: Snapshot, present: set[UUID]) -> int:
    query = text("""
        SELECT i.id FROM work_items i JOIN workflows w ON w.id = i.id
        WHERE i.repository_id = :id AND i.level = 'feature' AND i.source IN ('findings', 'error')
          AND w.status IN ('backlog', 'in_progress') ORDER BY i.id
    """)
    open_ = connection.scalars(query, {"id": snapshot.repository_id}).all()
    gone = [id_ for id_ in open_ if id_ not in present]
    work_items.move(
        connection,
        gone,
        "done",
        actor=ACTOR,
        data={"reason": "its finding is gone", "commit": snapshot.commit_oid},
    )
    return len(gone)


def _update_inputs(connection: Connection, features: Mapping[UUID, PlannedFeature]) -> int:
    """Set derived inputs and scores where they differ; inputs stated by a person stay. Return how many changed."""
    rows = [
        (id_, json.dumps(feature.inputs), feature.item["description"]) for id_, feature in features.items()
    ]
    stage_rows(connection, table, ["id", "inputs", "description"], rows)
    statement = text("""
        UPDATE work_items i SET
            inputs = s.inputs || coalesce((
                SELECT jsonb_object_agg(key, value) FROM jsonb_each(i.inputs) WHERE value ->> 'source' <> 'derived'
            ), '{}'),
            description = s.description
        FROM staged_work_items s WHERE s.id = i.id
    """)
    connection.execute(statement)
    return rank(connection, list(features))


def rank(connection: Connection, ids: Sequence[UUID]) -> int:
    """Compute the scores of these items from their inputs; return how many changed."""
    query = (
        select(table.c.id, table.c.inputs, table.c.wsjf)
        .where(table.c.id == any_(literal(list(ids), ARRAY(Uuid))))
        .order_by(table.c.id)
        .with_for_update()
    )
    changed = []
    for row in connection.execute(query):
        score = wsjf.score({name: value["value"] for name, value in row.inputs.items()})
        if score != row.wsjf:
            changed.append((row.id, score))
    if changed:
        connection.execute(
            text("""
                UPDATE work_items i SET wsjf = s.wsjf, ranked_at = clock_timestamp(), inherits_from = NULL
                FROM unnest(CAST(:ids AS uuid[]), CAST(:scores AS float8[])) AS s(id, wsjf) WHERE i.id = s.id
            """),
            {"ids": [id_ for id_, _ in changed], "scores": [score for _, score in changed]},
        )
    return len(changed)


def inherit(connection: Connection, repository_id: int | None = None) -> None:
    """Give capabilities and features without inputs the score of their nearest ancestor that has one."""
    for level in ("capability", "feature"):
        connection.execute(
            text("""
                UPDATE work_items c SET wsjf = p.wsjf, inherits_from = coalesce(p.inherits_from, p.id)
                FROM work_items p
                WHERE c.parent_id = p.id AND c.level = :level AND c.inputs = '{}'
                  AND (CAST(:repository_id AS bigint) IS NULL OR c.repository_id = :repository_id)
                  AND p.wsjf IS NOT NULL AND c.wsjf IS DISTINCT FROM p.wsjf
            """),
            {"level": level, "repository_id": repository_id},
        )


def set_input(connection: Connection, item: UUID, name: str, value: int, *, actor: str) -> None:
    """Set one input of the score to a stated value, which overrides the derived one.

    Raises:
        UsageError: unknown input, or the value is out of its range.
        QflowError: there is no such item, or it has ended.
    """
    stated = wsjf.stated(name, value, actor)
    before = connection.scalar(select(table.c.inputs[name]).where(table.c.id == item))
    data = {"input": name, "from": before and before["value"], "to": value}
    work_items.note(connection, item, actor=actor, data=data)
    inputs = table.c.inputs.concat({name: stated.as_json()})
    connection.execute(update(table).where(table.c.id == item).values(inputs=inputs))
    rank(connection, [item])
    inherit(connection)


def explain(connection: Connection, item: UUID) -> list[str]:
    """Return the lines that explain an item's score: every input, its source, and the arithmetic."""
    row = work_items.show(connection, item)
    if row["inherits_from"] is None:
        return wsjf.explain(row["inputs"], row["wsjf"])
    ancestor = work_items.show(connection, row["inherits_from"])
    return wsjf.explain(ancestor["inputs"], row["wsjf"], f"{ancestor['level']} {ancestor['title']!r}")
