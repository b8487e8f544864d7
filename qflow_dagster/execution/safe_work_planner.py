"""The Safe Work Planner: turns findings, regressions and errors into ranked work items.

Belongs here: building the hierarchy, ranking by WSJF. Does not belong here: which features a plan should
contain (`planned_features`), the items themselves (`work_items`), formulae (`wsjf`), selecting the next work
(`next_work`), free text (`work_chunks`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, literal, select, text, update

from qflow_dagster.database.copy import stage_rows
from qflow_dagster.database.locks import lock
from qflow_dagster.evolution import rule_set
from qflow_dagster.execution import work_items, wsjf
from qflow_dagster.execution.planned_features import (
    PlannedFeature,
    PlannedStory,
    planned_features,
    unplanned_rules,
)
from qflow_dagster.execution.tables import work_items as table
from qflow_dagster.execution.work_items import NewItem
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.registry import Lock

ACTOR = "safe work planner"
# Why the planner ends an item of a level that has nothing below it any more.
OTHER_FORM = "planned in another form"
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
    items, created = _create_hierarchy(connection, snapshot, features)
    done = _finish_obsolete(connection, snapshot, set(items))
    ranked = _update(connection, items)
    _relate_texts(connection, snapshot.repository_id)
    inherit(connection, snapshot.repository_id)
    counted = connection.execute(
        text("""
            SELECT count(*), count(*) FILTER (WHERE wsjf IS NULL) AS missing
            FROM work_items i JOIN workflows w ON w.id = i.id
            WHERE i.repository_id = :id AND i.level = :level AND w.finished_at IS NULL
        """),
        {"id": snapshot.repository_id, "level": work_items.planned_level()},
    ).one()
    return PlanResult(counted[0], created, done, ranked, counted.missing)


def _create_hierarchy(
    connection: Connection, snapshot: Snapshot, planned: Sequence[PlannedFeature]
) -> tuple[dict[UUID, PlannedFeature | PlannedStory], int]:
    """Create the missing items of the hierarchy in force; return features and stories by id, and how many are new."""
    if not planned:
        return {}, 0
    levels = work_items.hierarchy()
    base = {"repository_id": snapshot.repository_id, "source": "plan"}
    prefix = str(snapshot.repository_id)
    top: UUID | None = None
    if "theme" in levels:
        title = f"Healthy code: {snapshot.repository}"
        theme = NewItem(
            level="theme",
            key=f"{prefix}:theme",
            title=title,
            description="Work that findings, metrics and errors call for.",
            **base,
        )
        [top] = work_items.create(connection, [theme], actor=ACTOR)
    categories = sorted({feature.category for feature in planned})
    epics = [
        NewItem(
            level="epic",
            key=f"{prefix}:epic:{category}",
            parent_id=top,
            title=CATEGORIES.get(category, (category, "enabler"))[0],
            kind=CATEGORIES.get(category, (category, "enabler"))[1],
            **base,
        )
        for category in categories
    ]
    epic_ids = dict(zip(categories, work_items.create(connection, epics, actor=ACTOR), strict=True))
    work_items.set_parents(connection, dict.fromkeys(epic_ids.values(), top))
    above = [*([top] if top else []), *epic_ids.values()]
    parents: dict[str, UUID] = {feature.key: epic_ids[feature.category] for feature in planned}
    if "capability" in levels:
        parents = _create_capabilities(connection, prefix, base, planned, epic_ids)
        above += dict.fromkeys(parents.values())
    items: dict[UUID, PlannedFeature | PlannedStory] = {}
    created = 0
    if "feature" in levels:
        features = [_item(feature, parents[feature.key], snapshot.repository_id) for feature in planned]
        ids = work_items.create(connection, features, actor=ACTOR)
        items |= dict(zip(ids, planned, strict=True))
        created = sum(new.id == id_ for new, id_ in zip(features, ids, strict=True))
        work_items.set_parents(connection, {id_: parents[f.key] for id_, f in zip(ids, planned, strict=True)})
        above += ids
        parents = dict(zip((feature.key for feature in planned), ids, strict=True))
    stories = [(story, parents[feature.key]) for feature in planned for story in feature.stories]
    new = [_item(story, parent, snapshot.repository_id) for story, parent in stories]
    ids = work_items.create(connection, new, actor=ACTOR)
    items |= dict(zip(ids, (story for story, _ in stories), strict=True))
    work_items.set_parents(connection, dict(zip(ids, (parent for _, parent in stories), strict=True)))
    if "feature" not in levels:
        created = sum(item.id == id_ for item, id_ in zip(new, ids, strict=True))
    _reopen(connection, ids)
    _reopen_levels(connection, above)
    work_items.roll_up(connection, ids, actor=ACTOR)
    return items, created


def _create_capabilities(
    connection: Connection,
    prefix: str,
    base: dict[str, Any],
    planned: Sequence[PlannedFeature],
    epic_ids: Mapping[str, UUID],
) -> dict[str, UUID]:
    """Create a capability per epic and top folder: a part of the solution, never a rule. Return them by feature."""
    of_feature = {
        f.key: (f.category, f.location.partition("/")[0] if "/" in f.location else "") for f in planned
    }
    groups = sorted(set(of_feature.values()))
    new = [
        NewItem(
            level="capability",
            key=f"{prefix}:part:{category}:{folder}",
            parent_id=epic_ids[category],
            title=f"{CATEGORIES.get(category, (category, ''))[0]}: {folder or 'top folder'}",
            **base,
        )
        for category, folder in groups
    ]
    ids = dict(zip(groups, work_items.create(connection, new, actor=ACTOR), strict=True))
    return {key: ids[group] for key, group in of_feature.items()}


def _item(planned: PlannedFeature | PlannedStory, parent: UUID, repository_id: int) -> NewItem:
    # All stories of a feature are at one location.
    feature = isinstance(planned, PlannedFeature)
    story = planned.stories[0] if feature else planned
    return NewItem(
        level="feature" if feature else "story",
        key=planned.key,
        parent_id=parent,
        repository_id=repository_id,
        title=planned.title,
        description=planned.description,
        acceptance=planned.acceptance,
        source=story.source,
        rule_id=None if feature else story.rule_id,
        path=story.path,
        inputs=planned.inputs,
    )


def _reopen(connection: Connection, ids: Sequence[UUID]) -> None:
    """Move stories that were done and whose finding is back to the backlog; cancelled ones stay cancelled."""
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


def _reopen_levels(connection: Connection, ids: Sequence[UUID]) -> None:
    """Move items above stories back that ended because the plan had another form; people's decisions stay."""
    query = text("""
        SELECT w.id, i.level FROM workflows w JOIN work_items i ON i.id = w.id
        CROSS JOIN LATERAL (SELECT e.actor, e.data FROM workflow_events e WHERE e.workflow_id = w.id
                            ORDER BY e.seq DESC LIMIT 1) AS last
        WHERE w.id = ANY(:ids) AND w.status = 'cancelled'
          AND last.actor = :actor AND last.data ->> 'reason' = :reason
        ORDER BY w.id
    """)
    rows = connection.execute(query, {"ids": list(ids), "actor": ACTOR, "reason": OTHER_FORM}).all()
    for level in work_items.hierarchy():
        back = [row.id for row in rows if row.level == level]
        initial = work_items.MACHINES[level].initial
        work_items.move(connection, back, initial, actor=ACTOR, data={"reason": "planned in this form again"})


def _finish_obsolete(connection: Connection, snapshot: Snapshot, present: set[UUID]) -> int:
    """End stories whose reason is gone, and what no work could finish; return how many are done."""
    query = text("""
        SELECT i.id, i.rule_id FROM work_items i JOIN workflows w ON w.id = i.id
        WHERE i.repository_id = :id AND w.finished_at IS NULL AND i.level = 'story'
          AND i.source IN ('findings', 'metric', 'error')
        ORDER BY i.id
    """)
    gone = [row for row in connection.execute(query, {"id": snapshot.repository_id}) if row.id not in present]
    unplanned = set(unplanned_rules(rule_set.current(connection)))
    done = [row.id for row in gone if row.rule_id not in unplanned]
    data = {"reason": "what called for it is gone", "commit": snapshot.commit_oid}
    work_items.move(connection, done, "done", actor=ACTOR, data=data)
    reason = "its rule counts the past, which no work can change"
    impossible = [row.id for row in gone if row.rule_id in unplanned]
    work_items.move(connection, impossible, "cancelled", actor=ACTOR, data={"reason": reason})
    # Levels that are nothing without what is below, and those that the hierarchy in force has not.
    empty = text("""
        SELECT i.id FROM work_items i JOIN workflows w ON w.id = i.id
        WHERE i.repository_id = :id AND w.finished_at IS NULL AND i.level = :level AND i.source IN ('findings', 'plan')
          AND NOT EXISTS (SELECT FROM work_items c JOIN workflows cw ON cw.id = c.id
                          WHERE c.parent_id = i.id AND cw.status <> 'cancelled')
        ORDER BY i.id
    """)
    for level in reversed(work_items.LEVELS[:-1]):
        if level in ("feature", "capability") or level not in work_items.hierarchy():
            found = connection.scalars(empty, {"id": snapshot.repository_id, "level": level})
            ids = [id_ for id_ in found if id_ not in present]
            work_items.move(connection, ids, "cancelled", actor=ACTOR, data={"reason": OTHER_FORM})
    return len(done)


def _update(connection: Connection, items: Mapping[UUID, PlannedFeature | PlannedStory]) -> int:
    """Set derived texts, inputs and scores; inputs stated by a person stay. Return how many scores changed."""
    rows = [
        (id_, json.dumps(item.inputs), item.title, item.description, json.dumps(list(item.acceptance)))
        for id_, item in items.items()
    ]
    stage_rows(connection, table, ["id", "inputs", "title", "description", "acceptance"], rows)
    statement = text("""
        UPDATE work_items i SET
            inputs = s.inputs || coalesce((
                SELECT jsonb_object_agg(key, value) FROM jsonb_each(i.inputs) WHERE value ->> 'source' <> 'derived'
            ), '{}'),
            title = s.title, description = s.description, acceptance = s.acceptance
        FROM staged_work_items s WHERE s.id = i.id
    """)
    connection.execute(statement)
    return rank(connection, list(items))


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


def rank_texts(connection: Connection, ids: Sequence[UUID]) -> None:
    """Compute the scores of items that texts state, whose inputs are relative to those of the plan they belong to."""
    query = (
        select(table.c.repository_id).where(table.c.id == any_(literal(list(ids), ARRAY(Uuid)))).distinct()
    )
    for repository_id in connection.scalars(query).all():
        _relate_texts(connection, repository_id)
    rank(connection, ids)


def _relate_texts(connection: Connection, repository_id: int | None) -> None:
    """Make the inputs that texts state relative to the smallest of the plan: of a repository, or of what has none."""
    query = text("""
        SELECT i.id, i.inputs FROM work_items i JOIN workflows w ON w.id = i.id
        WHERE w.finished_at IS NULL AND i.inputs <> '{}' AND i.repository_id IS NOT DISTINCT FROM :id ORDER BY i.id
    """)
    rows = connection.execute(query, {"id": repository_id}).all()
    changes = wsjf.relative_texts([row.inputs for row in rows])
    changed = [(row.id, change) for row, change in zip(rows, changes, strict=True) if change]
    for id_, change in changed:
        merged = table.c.inputs.concat(change)
        connection.execute(update(table).where(table.c.id == id_).values(inputs=merged))
    rank(connection, [id_ for id_, _ in changed])


def inherit(connection: Connection, repository_id: int | None = None) -> None:
    """Give items without inputs the score of their nearest ancestor that has one, from the top down."""
    for level in ("capability", "feature", "story"):
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
