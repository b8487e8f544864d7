"""The Safe Work Planner: turns findings, regressions and errors into ranked work items.

Belongs here: building the hierarchy, ranking by WSJF. Does not belong here: the items themselves
(`work_items`), formulae (`wsjf`), selecting the next work (`next_work`), free text (`work_chunks`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, Connection, Uuid, any_, literal, select, text

from qflow_dagster.database.copy import stage_rows
from qflow_dagster.database.locks import lock
from qflow_dagster.evolution import rule_set
from qflow_dagster.execution import work_items, wsjf
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
# A file regressed if its cognitive complexity rose by this amount and this share since the previous snapshot.
MIN_COMPLEXITY_INCREASE = 10
MIN_COMPLEXITY_GROWTH = 0.2

_GROUPS = text("""
SELECT g.rule_id, g.path, min(g.category) AS category, count(*) AS locations, bool_and(g.fixable) AS fixable,
       min(g.source) AS source,
       (ARRAY['error', 'warning', 'info'])[min(array_position(ARRAY['error', 'warning', 'info'], g.severity))]
           AS severity,
       extract(epoch FROM clock_timestamp() - min(g.found_at)) / 86400 AS age_days,
       min(g.message) AS example
FROM findings g WHERE g.repository_id = :repository_id AND g.state IN ('open', 'reopened')
GROUP BY g.rule_id, g.path ORDER BY g.rule_id, g.path
""")
_MEASURES = text("""
SELECT m.path, m.code_lines, h.score AS hotspot,
       percent_rank() OVER (ORDER BY m.fan_in) AS fan_in,
       c.commits_90, c.commits_365, c.bug_fixes, c.bus_factor
FROM file_metrics m
LEFT JOIN hotspots h ON h.snapshot_id = m.snapshot_id AND h.path = m.path
LEFT JOIN change_metrics c ON c.snapshot_id = m.snapshot_id AND c.path = m.path
WHERE m.snapshot_id = :snapshot_id
""")
_REGRESSED_FILES = text("""
SELECT now.path, before.cognitive AS was, now.cognitive AS is
FROM file_metrics now JOIN file_metrics before ON before.path = now.path
WHERE now.snapshot_id = :snapshot_id AND NOT now.test AND NOT now.vendored AND NOT now.generated
  AND before.snapshot_id = (SELECT max(id) FROM snapshots WHERE repository_id = :repository_id AND id < :snapshot_id
                            AND id IN (SELECT snapshot_id FROM measurements WHERE metric = 'files'))
  AND now.cognitive - before.cognitive >= :worse
  AND now.cognitive >= before.cognitive * (1 + CAST(:share AS float8))
""")
_REGRESSED_ERRORS = text("""
SELECT g.id, g.operation, g.kind, g.message, g.severity, g.count AS times, g.suspect ->> 'path' AS path,
       extract(epoch FROM clock_timestamp() - g.first_seen) / 86400 AS age_days
FROM error_groups g JOIN workflows w ON w.id = g.id
WHERE w.status = 'regressed' AND g.suspect ->> 'repository' = :repository
""")


class PlanResult(NamedTuple):
    """What planning did.

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
    measures = {
        row["path"]: dict(row)
        for row in connection.execute(_MEASURES, {"snapshot_id": snapshot.id}).mappings()
    }
    features = [
        *_of_findings(connection, snapshot, measures),
        *_of_regressions(connection, snapshot, measures),
    ]
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


class _PlannedFeature:
    """A feature the plan should contain: its key, group, texts, and inputs of the score."""

    def __init__(
        self,
        key: str,
        group: tuple[str, str, str],
        item: Mapping[str, Any],
        inputs: Mapping[str, wsjf.Input | None],
    ) -> None:
        self.key = key
        # Category, rule (or metric, or operation), and the title of the capability.
        self.group = group
        self.item = item
        self.inputs = {name: value.as_json() for name, value in inputs.items() if value is not None}
        self.created = False


def _inputs(
    measured: Mapping[str, Any] | None,
    *,
    severity: str,
    locations: int,
    age_days: float,
    fixable: bool,
    errors: int = 0,
) -> dict[str, wsjf.Input | None]:
    m = measured or {}
    return {
        "business_value": wsjf.business_value(m.get("hotspot"), m.get("fan_in")),
        "time_criticality": wsjf.time_criticality(
            m.get("commits_90"), m.get("commits_365"), age_days, errors
        ),
        "risk_reduction": wsjf.risk_reduction(severity, m.get("bug_fixes"), m.get("bus_factor")),
        "job_size": wsjf.job_size(locations, m.get("code_lines"), fixable),
    }


def _of_findings(
    connection: Connection, snapshot: Snapshot, measures: Mapping[str, Mapping[str, Any]]
) -> list[_PlannedFeature]:
    titles = {rule.id: rule.title for rule in rule_set.current(connection)}
    features = []
    for row in connection.execute(_GROUPS, {"repository_id": snapshot.repository_id}):
        title = titles.get(row.rule_id, row.rule_id)
        times = "1 finding" if row.locations == 1 else f"{row.locations} findings"
        item = {
            "title": f"{title}: {row.path}",
            "description": f"{row.rule_id} has {times} in {row.path}; for example: {row.example}",
            "acceptance": [
                f"{row.rule_id} has no finding in {row.path}",
                "the repository's own tests pass as before",
            ],
            "source": "findings",
            "rule_id": row.rule_id,
            "path": row.path,
        }
        inputs = _inputs(
            measures.get(row.path),
            severity=row.severity,
            locations=row.locations,
            age_days=float(row.age_days),
            fixable=row.fixable,
        )
        key = f"{snapshot.repository_id}:findings:{row.rule_id}:{row.path}"
        features.append(_PlannedFeature(key, (row.category, row.rule_id, str(title)), item, inputs))
    return features


def _of_regressions(
    connection: Connection, snapshot: Snapshot, measures: Mapping[str, Mapping[str, Any]]
) -> list[_PlannedFeature]:
    features = []
    parameters = {
        "snapshot_id": snapshot.id,
        "repository_id": snapshot.repository_id,
        "worse": MIN_COMPLEXITY_INCREASE,
        "share": MIN_COMPLEXITY_GROWTH,
    }
    for row in connection.execute(_REGRESSED_FILES, parameters):
        # By position, because the column "is" has a Python keyword as its name.
        path, before, after = row
        item = {
            "title": f"Complexity rose: {path}",
            "description": f"cognitive complexity of {path} went from {before} to {after}",
            "acceptance": [f"cognitive complexity of {path} is at most {before}"],
            "source": "metric",
            "rule_id": None,
            "path": path,
        }
        inputs = _inputs(measures.get(path), severity="warning", locations=1, age_days=0.0, fixable=False)
        key = f"{snapshot.repository_id}:metric:cognitive:{path}:{snapshot.commit_oid}"
        features.append(_PlannedFeature(key, ("metric", "cognitive", "Rising complexity"), item, inputs))
    for row in connection.execute(_REGRESSED_ERRORS, {"repository": snapshot.repository}):
        item = {
            "title": f"Regressed: {row.kind} in {row.operation}",
            "description": f"{row.operation}: {row.kind}: {row.message}, {row.times} times",
            "acceptance": [f"the error {row.id} is resolved and does not recur"],
            "source": "error",
            "rule_id": None,
            "path": row.path,
        }
        severity = "error" if row.severity in ("error", "critical") else "warning"
        inputs = _inputs(
            measures.get(row.path or ""),
            severity=severity,
            locations=1,
            age_days=float(row.age_days),
            fixable=False,
            errors=row.times,
        )
        key = f"{snapshot.repository_id}:error:{row.id}"
        features.append(
            _PlannedFeature(key, ("error", row.operation, f"Errors of {row.operation}"), item, inputs)
        )
    return features


def _create_hierarchy(
    connection: Connection, snapshot: Snapshot, planned: Sequence[_PlannedFeature]
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
    # A verified edit that is not merged yet leaves its finding in place: that is not a recurrence.
    query = text("""
        SELECT w.id FROM workflows w JOIN work_items i ON i.id = w.id
        WHERE w.id = ANY(:ids) AND w.status = 'done' AND NOT EXISTS (
            SELECT FROM edits e JOIN suggestions s ON s.id = e.id
            WHERE s.work_item_id = i.id AND e.reverted_at IS NULL AND NOT EXISTS (
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


def _update_inputs(connection: Connection, features: Mapping[UUID, _PlannedFeature]) -> int:
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
    for row in connection.execute(query, {"ids": list(ids)}):
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
    query = text("SELECT inputs -> CAST(:name AS text) FROM work_items WHERE id = :id")
    before = connection.scalar(query, {"id": item, "name": name})
    data = {"input": name, "from": before and before["value"], "to": value}
    work_items.note(connection, item, actor=actor, data=data)
    statement = text("""
        UPDATE work_items SET inputs = jsonb_set(inputs, ARRAY[CAST(:name AS text)], CAST(:given AS jsonb))
        WHERE id = :id
    """)
    connection.execute(statement, {"id": item, "name": name, "given": json.dumps(stated.as_json())})
    rank(connection, [item])
    inherit(connection)


def explain(connection: Connection, item: UUID) -> list[str]:
    """Return the lines that explain an item's score: every input, its source, and the arithmetic."""
    row = work_items.show(connection, item)
    if row["inherits_from"] is None:
        return wsjf.explain(row["inputs"], row["wsjf"])
    ancestor = work_items.show(connection, row["inherits_from"])
    return wsjf.explain(ancestor["inputs"], row["wsjf"], f"{ancestor['level']} {ancestor['title']!r}")
