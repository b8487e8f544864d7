"""Features that a plan should contain, derived from findings, rising complexity and regressed errors.

Does not belong here: storing and ranking them (`safe_work_planner`), formulae (`wsjf`).
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.evolution import rule_set
from qflow_dagster.execution import wsjf
from qflow_dagster.ingestion.queries import Snapshot

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


class PlannedFeature:
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


def planned_features(connection: Connection, snapshot: Snapshot) -> list[PlannedFeature]:
    """Return the features that the findings, measures and errors of a repository call for."""
    measures = {
        row["path"]: dict(row)
        for row in connection.execute(_MEASURES, {"snapshot_id": snapshot.id}).mappings()
    }
    return [
        *_of_findings(connection, snapshot, measures),
        *_of_regressions(connection, snapshot, measures),
    ]


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
) -> list[PlannedFeature]:
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
        features.append(PlannedFeature(key, (row.category, row.rule_id, str(title)), item, inputs))
    return features


def _of_regressions(
    connection: Connection, snapshot: Snapshot, measures: Mapping[str, Mapping[str, Any]]
) -> list[PlannedFeature]:
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
        features.append(PlannedFeature(key, ("metric", "cognitive", "Rising complexity"), item, inputs))
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
            PlannedFeature(key, ("error", row.operation, f"Errors of {row.operation}"), item, inputs)
        )
    return features
