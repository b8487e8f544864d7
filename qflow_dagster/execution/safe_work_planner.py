"""The Safe Work Planner: what was found and asked for becomes ranked work.

Belongs here: turning findings, regressions and errors into the hierarchy, ranking by WSJF. Does not
belong here: the items themselves (`work_items`), formulae (`wsjf`), what comes next
(`next_work`), free text (`work_chunks`).
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Connection, text

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
    "correctness": ("Code that does what it says", "enabler"),
    "security": ("No known way in", "enabler"),
    "maintainability": ("Code that can be changed", "enabler"),
    "performance": ("No work done twice", "enabler"),
    "modernisation": ("Code of this decade", "enabler"),
    "metric": ("Measures that do not get worse", "enabler"),
    "error": ("Errors do not come back", "business"),
}
# A file's cognitive complexity got worse by so much, and by this share, since the snapshot before.
REGRESSION = 10
REGRESSION_SHARE = 0.2

_GROUPS = text("""
SELECT g.rule_id, g.path, min(g.category) AS category, count(*) AS places, bool_and(g.fixable) AS fixable,
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


class Planned(NamedTuple):
    """What planning did: features there are, made, finished by themselves, and ranked anew."""

    features: int
    created: int
    done: int
    ranked: int
    without_score: int


def plan(connection: Connection, snapshot: Snapshot) -> Planned:
    """Bring the plan of a repository up to date with its findings, measures and errors."""
    lock(connection, Lock.PLAN_OF_REPOSITORY, snapshot.repository_id)
    measures = {
        row["path"]: dict(row)
        for row in connection.execute(_MEASURES, {"snapshot_id": snapshot.id}).mappings()
    }
    wanted = [*_of_findings(connection, snapshot, measures), *_of_regressions(connection, snapshot, measures)]
    items = _create_hierarchy(connection, snapshot, wanted)
    done = _finish_what_is_gone(connection, snapshot, set(items.values()))
    ranked = _update_inputs(connection, {items[one.key]: one for one in wanted})
    inherit(connection, snapshot.repository_id)
    counted = connection.execute(
        text("""
            SELECT count(*), count(*) FILTER (WHERE wsjf IS NULL) AS missing
            FROM work_items i JOIN workflows w ON w.id = i.id
            WHERE i.repository_id = :id AND i.level = 'feature' AND w.finished_at IS NULL
        """),
        {"id": snapshot.repository_id},
    ).one()
    return Planned(counted[0], sum(one.fresh for one in wanted), done, ranked, counted.missing)


class _Wanted:
    """A feature that should be there: its group, words, and inputs of the score."""

    def __init__(
        self,
        key: str,
        group: tuple[str, str, str],
        item: Mapping[str, Any],
        inputs: Mapping[str, wsjf.Input | None],
    ) -> None:
        self.key = key
        # Category, rule (or what stands for it), and the title of the capability.
        self.group = group
        self.item = item
        self.inputs = {name: given.as_json() for name, given in inputs.items() if given is not None}
        self.fresh = False


def _inputs(
    measured: Mapping[str, Any] | None,
    *,
    severity: str,
    places: int,
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
        "job_size": wsjf.job_size(places, m.get("code_lines"), fixable),
    }


def _of_findings(
    connection: Connection, snapshot: Snapshot, measures: Mapping[str, Mapping[str, Any]]
) -> list[_Wanted]:
    titles = {rule.id: rule.title for rule in rule_set.current(connection)}
    wanted = []
    for row in connection.execute(_GROUPS, {"repository_id": snapshot.repository_id}):
        title = titles.get(row.rule_id, row.rule_id)
        times = "once" if row.places == 1 else f"{row.places} times"
        item = {
            "title": f"{title}: {row.path}",
            "description": f"{row.rule_id} is found {times} in {row.path}; for example: {row.example}",
            "acceptance": [
                f"{row.rule_id} finds nothing in {row.path}",
                "the repository's own tests pass as before",
            ],
            "source": "findings",
            "rule_id": row.rule_id,
            "path": row.path,
        }
        inputs = _inputs(
            measures.get(row.path),
            severity=row.severity,
            places=row.places,
            age_days=float(row.age_days),
            fixable=row.fixable,
        )
        key = f"{snapshot.repository_id}:findings:{row.rule_id}:{row.path}"
        wanted.append(_Wanted(key, (row.category, row.rule_id, str(title)), item, inputs))
    return wanted


def _of_regressions(
    connection: Connection, snapshot: Snapshot, measures: Mapping[str, Mapping[str, Any]]
) -> list[_Wanted]:
    wanted = []
    parameters = {
        "snapshot_id": snapshot.id,
        "repository_id": snapshot.repository_id,
        "worse": REGRESSION,
        "share": REGRESSION_SHARE,
    }
    for row in connection.execute(_REGRESSED_FILES, parameters):
        # "is" is a keyword: by position.
        path, was, now = row
        item = {
            "title": f"Got harder to follow: {path}",
            "description": f"cognitive complexity of {path} went from {was} to {now}",
            "acceptance": [f"cognitive complexity of {path} is at most {was}"],
            "source": "metric",
            "rule_id": None,
            "path": path,
        }
        inputs = _inputs(measures.get(path), severity="warning", places=1, age_days=0.0, fixable=False)
        key = f"{snapshot.repository_id}:metric:cognitive:{path}:{snapshot.commit_oid}"
        wanted.append(_Wanted(key, ("metric", "cognitive", "Complexity that grew"), item, inputs))
    for row in connection.execute(_REGRESSED_ERRORS, {"repository": snapshot.repository}):
        item = {
            "title": f"Came back: {row.kind} in {row.operation}",
            "description": f"{row.operation}: {row.kind}: {row.message}, {row.times} times",
            "acceptance": [f"the error {row.id} is resolved and does not come back"],
            "source": "error",
            "rule_id": None,
            "path": row.path,
        }
        severity = "error" if row.severity in ("error", "critical") else "warning"
        inputs = _inputs(
            measures.get(row.path or ""),
            severity=severity,
            places=1,
            age_days=float(row.age_days),
            fixable=False,
            errors=row.times,
        )
        key = f"{snapshot.repository_id}:error:{row.id}"
        wanted.append(_Wanted(key, ("error", row.operation, f"Errors of {row.operation}"), item, inputs))
    return wanted


def _create_hierarchy(
    connection: Connection, snapshot: Snapshot, wanted: Sequence[_Wanted]
) -> dict[str, UUID]:
    """Make what is missing above and including the features; returns the features' ids by key."""
    if not wanted:
        return {}
    base = {"repository_id": snapshot.repository_id, "source": "plan"}
    prefix = str(snapshot.repository_id)
    theme = NewItem(
        level="theme",
        key=f"{prefix}:theme",
        title=f"Healthy code: {snapshot.repository}",
        description="What rules, measures and errors ask for.",
        **base,
    )
    [theme_id] = work_items.create(connection, [theme], actor=ACTOR)
    categories = sorted({one.group[0] for one in wanted})
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
    groups = sorted({one.group for one in wanted})
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
            key=one.key,
            parent_id=capability_ids[one.group],
            repository_id=snapshot.repository_id,
            inputs=one.inputs,
            **one.item,
        )
        for one in wanted
    ]
    ids = work_items.create(connection, features, actor=ACTOR)
    for one, item, id_ in zip(wanted, features, ids, strict=True):
        one.fresh = item.id == id_
    found = {one.key: id_ for one, id_ in zip(wanted, ids, strict=True)}
    _reopen(connection, list(found.values()))
    work_items.roll_up(connection, ids, actor=ACTOR)
    return found


def _reopen(connection: Connection, ids: Sequence[UUID]) -> None:
    """What was done and is there again goes back to the backlog; what a person cancelled does not."""
    # A verified edit that is not merged yet leaves its finding where it is: that is not "again".
    query = text("""
        SELECT w.id FROM workflows w JOIN work_items i ON i.id = w.id
        WHERE w.id = ANY(:ids) AND w.status = 'done' AND NOT EXISTS (
            SELECT FROM edits e JOIN suggestions s ON s.id = e.id
            WHERE s.work_item_id = i.id AND e.reverted_at IS NULL AND NOT EXISTS (
                SELECT FROM findings g WHERE g.repository_id = i.repository_id AND g.rule_id = i.rule_id
                AND g.path = i.path AND g.state IN ('open', 'reopened') AND g.changed_at > e.applied_at))
        ORDER BY w.id
    """)
    again = list(connection.scalars(query, {"ids": list(ids)}))
    work_items.move(connection, again, "backlog", actor=ACTOR, data={"reason": "it is there again"})


def _finish_what_is_gone(connection: Connection, snapshot: Snapshot, present: set[UUID]) -> int:
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
        data={"reason": "what it asked for is so", "commit": snapshot.commit_oid},
    )
    return len(gone)


def _update_inputs(connection: Connection, wanted: Mapping[UUID, _Wanted]) -> int:
    """Set the derived inputs and scores where they differ; inputs that a person stated stay."""
    rows = [(id_, json.dumps(one.inputs), one.item["description"]) for id_, one in wanted.items()]
    stage_rows(connection, table, ["id", "inputs", "description"], rows)
    merged = text("""
        UPDATE work_items i SET
            inputs = s.inputs || coalesce((
                SELECT jsonb_object_agg(key, value) FROM jsonb_each(i.inputs) WHERE value ->> 'source' <> 'derived'
            ), '{}'),
            description = s.description
        FROM staged_work_items s WHERE s.id = i.id
    """)
    connection.execute(merged)
    return rank(connection, list(wanted))


def rank(connection: Connection, ids: Sequence[UUID]) -> int:
    """Compute the scores of these items from their inputs; returns how many changed."""
    query = text("SELECT id, inputs, wsjf FROM work_items WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")
    changed = []
    for row in connection.execute(query, {"ids": list(ids)}):
        score = wsjf.score({name: given["value"] for name, given in row.inputs.items()})
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
    """Give capabilities and features without inputs of their own the score of the nearest item above with one."""
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
    """State one input of the score; what is derived no longer counts for it.

    Raises:
        UsageError: no such input, or out of its range.
        QflowError: there is no such item, or it has ended.
    """
    given = wsjf.stated(name, value, actor)
    query = text("SELECT inputs -> CAST(:name AS text) FROM work_items WHERE id = :id")
    before = connection.scalar(query, {"id": item, "name": name})
    data = {"input": name, "from": before and before["value"], "to": value}
    work_items.note(connection, item, actor=actor, data=data)
    statement = text("""
        UPDATE work_items SET inputs = jsonb_set(inputs, ARRAY[CAST(:name AS text)], CAST(:given AS jsonb))
        WHERE id = :id
    """)
    connection.execute(statement, {"id": item, "name": name, "given": json.dumps(given.as_json())})
    rank(connection, [item])
    inherit(connection)


def explain(connection: Connection, item: UUID) -> list[str]:
    """Every input of an item's score, its source, and the arithmetic."""
    shown = work_items.show(connection, item)
    if shown["inherits_from"] is not None:
        above = work_items.show(connection, shown["inherits_from"])
        return wsjf.explain(above["inputs"], shown["wsjf"], f"{above['level']} {above['title']!r}")
    return wsjf.explain(shown["inputs"], shown["wsjf"], None)
