"""Features that a plan should contain, one for each location, with a story for each rule, measure or error there.

They are derived from findings, rising complexity, large hotspots and regressed errors. Does not belong here: storing
and ranking them (`safe_work_planner`), formulae (`wsjf`), acceptance criteria (`acceptance`).
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.evolution import rule_set
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import acceptance, wsjf
from qflow_dagster.execution.wsjf import Input, Measure
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot

# A file regressed if its cognitive complexity rose by this amount and this share since the previous snapshot.
MIN_COMPLEXITY_INCREASE = 10
MIN_COMPLEXITY_GROWTH = 0.2
# The epic of a feature is that of its first category in this order.
CATEGORIES = ("security", "correctness", "error", "performance", "metric", "maintainability", "modernisation")
# Files in such folders are not what users run.
MINOR = re.compile(
    r"(?:^|/)(bench(?:mark)?s?|examples?|demos?|samples?|docs?|tests?|testing|__tests__|specs?|e2e|fixtures)/",
    re.I,
)

_GROUPS = text("""
SELECT g.rule_id, g.path, min(g.category) AS category, count(*) AS locations, bool_and(g.fixable) AS fixable,
       min(g.source) AS source, array_agg(DISTINCT g.symbol) AS symbols, array_agg(DISTINCT g.line) AS lines,
       (ARRAY['error', 'warning', 'info'])[min(array_position(ARRAY['error', 'warning', 'info'], g.severity))]
           AS severity,
       extract(epoch FROM clock_timestamp() - min(g.found_at)) / 86400 AS age_days,
       min(g.message) AS example
FROM findings g WHERE g.repository_id = :repository_id AND g.state IN ('open', 'reopened')
GROUP BY g.rule_id, g.path ORDER BY g.rule_id, g.path
""")
# The file's mean year counts a quarter of its last one, so that a quiet year does not make all files equal.
_CHANGES = "(c.commits_365 + 0.25 * 365 * c.commits / greatest(c.age_days, 365))"
_MEASURES = text(f"""
WITH recent AS (
    SELECT g.suspect ->> 'path' AS path, count(*) AS errors
    FROM error_groups g JOIN error_occurrences o ON o.group_id = g.id
    WHERE g.suspect ->> 'repository' = :repository AND o.at > clock_timestamp() - interval '14 days' GROUP BY 1)
SELECT m.path, m.code_lines, m.test,
       coalesce(h.complexity_rank * {_CHANGES}
                / nullif(max({_CHANGES}) FILTER (WHERE h.path IS NOT NULL) OVER (), 0), 0) AS heat,
       c.commits_90, max(c.commits_90) FILTER (WHERE h.path IS NOT NULL) OVER () AS busiest_90,
       c.bug_fixes, c.bus_factor, coalesce(r.errors, 0) AS recent_errors
FROM file_metrics m
LEFT JOIN hotspots h ON h.snapshot_id = m.snapshot_id AND h.path = m.path
LEFT JOIN change_metrics c ON c.snapshot_id = m.snapshot_id AND c.path = m.path
LEFT JOIN recent r ON r.path = m.path
WHERE m.snapshot_id = :snapshot_id
""")
# The lines of the functions that have findings: what has to be read to change them.
_FUNCTIONS = text(f"""
SELECT f.path, s.qualified_name, max(m.code_lines) AS lines
FROM files f JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
WHERE {IN_SNAPSHOT} AND (f.path, s.qualified_name) IN (
    SELECT path, symbol FROM findings WHERE repository_id = :repository AND state IN ('open', 'reopened'))
GROUP BY f.path, s.qualified_name
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
_RISEN = text("""
SELECT i.path, w.key, i.acceptance, m.cognitive FROM work_items i JOIN workflows w ON w.id = i.id
JOIN file_metrics m ON m.snapshot_id = :snapshot_id AND m.path = i.path
WHERE i.repository_id = :repository_id AND w.finished_at IS NULL
  AND w.key LIKE CAST(:repository_id AS text) || ':metric:cognitive:%'
""")
# A large file where much changes is work whether or not a rule finds something in it.
MAX_HOTSPOTS = 10
# Measure -> (words, the bound that a slice of it brings the file to).
HOTSPOT_BOUNDS = {
    "code_lines": ("lines of code", 500),
    "cognitive": ("cognitive complexity", 100),
    "duplicated_lines": ("number of duplicated lines", 50),
}
_HOTSPOTS = text("""
SELECT h.path, h.rank, h.reason, m.code_lines, m.cognitive, coalesce(d.duplicated_lines, 0) AS duplicated_lines,
       w.id IS NOT NULL AS planned
FROM hotspots h JOIN file_metrics m ON m.snapshot_id = h.snapshot_id AND m.path = h.path
LEFT JOIN duplication d ON d.snapshot_id = h.snapshot_id AND d.path = h.path
LEFT JOIN workflows w ON w.key = CAST(:repository_id AS text) || ':hotspot:' || h.path AND w.finished_at IS NULL
WHERE h.snapshot_id = :snapshot_id AND NOT m.test AND NOT m.vendored AND NOT m.generated
  AND (h.rank <= :most OR w.id IS NOT NULL)
ORDER BY h.rank
""")
_REGRESSED_ERRORS = text("""
SELECT g.id, g.operation, g.kind, g.message, g.severity, g.count AS times, g.suspect ->> 'path' AS path,
       extract(epoch FROM clock_timestamp() - g.first_seen) / 86400 AS age_days
FROM error_groups g JOIN workflows w ON w.id = g.id
WHERE w.status = 'regressed' AND g.suspect ->> 'repository' = :repository
""")


@dataclass(kw_only=True)
class PlannedStory:
    """Work at a location that one rule, measure or error calls for, with what its score follows from."""

    key: str
    category: str
    title: str
    description: str
    acceptance: Sequence[str]
    source: str
    rule_id: str | None
    path: str | None
    severity: str
    locations: int = 1
    lines: Sequence[int] = ()
    # The functions around its locations; None: the whole file.
    symbols: Sequence[str] | None = None
    age_days: float = 0.0
    fixable: bool = False
    errors: int = 0
    measures: Mapping[str, Measure | None] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class PlannedFeature:
    """All the work at one location: a file, or an operation that fails."""

    key: str
    location: str
    stories: list[PlannedStory]
    measures: Mapping[str, Measure | None] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def category(self) -> str:
        """The category of its epic."""
        return min((story.category for story in self.stories), key=_rank)

    @property
    def title(self) -> str:
        """The title of its story; of several, the location and the most severe one."""
        first = min(
            self.stories,
            key=lambda s: (-wsjf.SEVERITY.get(s.severity, 0), _rank(s.category), -s.locations, s.key),
        )
        if len(self.stories) == 1:
            return first.title
        return f"{self.location}: {first.title.split(': ')[0]}, and {len(self.stories) - 1} more"

    @property
    def description(self) -> str:
        """The descriptions of its stories, one per line."""
        return "\n".join(story.description for story in self.stories)

    @property
    def acceptance(self) -> list[str]:
        """The acceptance criteria of its stories, each once."""
        return acceptance.strictest([sentence for story in self.stories for sentence in story.acceptance])


def planned_features(connection: Connection, snapshot: Snapshot) -> list[PlannedFeature]:
    """Return the features that the findings, measures and errors of a repository call for, with their inputs."""
    parameters = {"snapshot_id": snapshot.id, "repository": snapshot.repository}
    measured = {row["path"]: dict(row) for row in connection.execute(_MEASURES, parameters).mappings()}
    interval = {**snapshot.interval, "repository": snapshot.repository_id}
    for path, name, lines in connection.execute(_FUNCTIONS, interval):
        if path in measured:
            measured[path].setdefault("of_functions", {})[name] = lines
    features: dict[str, PlannedFeature] = {}
    found = [*_of_findings(connection, snapshot), *_of_regressions(connection, snapshot)]
    for story in [*found, *_of_hotspots(connection, snapshot, {story.path for story in found})]:
        location = story.path or story.title
        story.measures = _measures(measured.get(story.path or ""), [story])
        key = f"{snapshot.repository_id}:location:{location}"
        feature = features.setdefault(location, PlannedFeature(key=key, location=location, stories=[]))
        feature.stories.append(story)
    planned = list(features.values())
    for feature in planned:
        feature.measures = _measures(measured.get(feature.location), feature.stories)
    _set_inputs(planned)
    _set_inputs([story for feature in planned for story in feature.stories])
    return planned


def unplanned_rules(rules: Sequence[Rule]) -> list[str]:
    """Return the rules whose findings no work can make disappear: they count the past."""
    return [rule.id for rule in rules if not acceptance.reachable(rule)]


def _rank(category: str) -> int:
    return CATEGORIES.index(category) if category in CATEGORIES else len(CATEGORIES)


def _set_inputs(items: Sequence[PlannedFeature] | Sequence[PlannedStory]) -> None:
    """Give items their inputs: each measure relative to the smallest one of all."""
    for name in wsjf.NAMES:
        measures = [item.measures[name] for item in items]
        column: list[Input | None] = wsjf.relative(wsjf.sliced(measures) if name == "job_size" else measures)
        for item, value in zip(items, column, strict=True):
            if value is not None:
                item.inputs[name] = value.as_json()


def _measures(
    measured: Mapping[str, Any] | None, stories: Sequence[PlannedStory]
) -> dict[str, Measure | None]:
    m = measured or {}
    found = MINOR.search(m.get("path", ""))
    minor = "a test" if m.get("test") else f"below {found[1]}/" if found else ""
    severity = min((story.severity for story in stories), key=list(wsjf.SEVERITY).index)
    delay = {
        "business_value": wsjf.business_value(m.get("heat"), severity, m.get("recent_errors", 0)),
        "time_criticality": wsjf.time_criticality(
            m.get("commits_90"),
            m.get("busiest_90") or 0,
            severity,
            max(story.age_days for story in stories),
            sum(story.errors for story in stories),
        ),
        "risk_reduction": wsjf.risk_reduction(severity, m.get("bug_fixes"), m.get("bus_factor")),
    }
    # Several rules that find the same lines are work at one location.
    locations = len({line for story in stories for line in story.lines}) or len(stories)
    size = wsjf.job_size(locations, _lines_to_read(m, stories), all(story.fixable for story in stories))
    return {**{name: value and value.of_role(minor) for name, value in delay.items()}, "job_size": size}


def _whole_file(rule: Rule | None, symbols: Sequence[str]) -> bool:
    """Return whether a rule's findings are about a file as a whole: about its measures, or about its top level's."""
    metric = rule.matcher.metric if rule is not None else None
    return metric is not None and (metric.of == "file" or "" in symbols)


def _lines_to_read(measured: Mapping[str, Any], stories: Sequence[PlannedStory]) -> int | None:
    """Return the lines of the functions that a change is about; of the file, if it is about the whole file."""
    if any(story.symbols is None for story in stories):
        return measured.get("code_lines")
    of_functions = measured.get("of_functions", {})
    names = {name for story in stories for name in story.symbols or ()}
    return sum(of_functions.get(name, 0) for name in names) if measured else None


def _of_findings(connection: Connection, snapshot: Snapshot) -> list[PlannedStory]:
    rules = {rule.id: rule for rule in rule_set.current(connection)}
    unplanned = set(unplanned_rules(list(rules.values())))
    stories = []
    for row in connection.execute(_GROUPS, {"repository_id": snapshot.repository_id}):
        if row.rule_id in unplanned:
            continue
        rule = rules.get(row.rule_id)
        times = "1 finding" if row.locations == 1 else f"{row.locations} findings"
        stories.append(
            PlannedStory(
                key=f"{snapshot.repository_id}:findings:{row.rule_id}:{row.path}",
                category=row.category,
                title=f"{rule.title if rule else row.rule_id}: {row.path}",
                description=f"{row.rule_id} has {times} in {row.path}; for example: {row.example}",
                acceptance=[
                    *acceptance.of_rule(rule, row.rule_id, row.path, row.symbols),
                    "the repository's own tests pass as before",
                ],
                source="findings",
                rule_id=row.rule_id,
                path=row.path,
                severity=row.severity,
                locations=row.locations,
                lines=row.lines,
                symbols=None if _whole_file(rule, row.symbols) else row.symbols,
                age_days=float(row.age_days),
                fixable=row.fixable,
            )
        )
    return stories


def _of_hotspots(
    connection: Connection, snapshot: Snapshot, others: Collection[str | None]
) -> list[PlannedStory]:
    """Return stories of large hotspots that have no other: what brings their measures within bounds."""
    stories = []
    parameters = {
        "snapshot_id": snapshot.id,
        "repository_id": snapshot.repository_id,
        "most": MAX_HOTSPOTS,
    }
    for row in connection.execute(_HOTSPOTS, parameters).mappings():
        above = {
            name: (words, bound)
            for name, (words, bound) in HOTSPOT_BOUNDS.items()
            if (row[name] or 0) > bound
        }
        if not above or MINOR.search(row["path"]) or (row["path"] in others and not row["planned"]):
            continue
        measured = ", ".join(f"{words} {row[name]}" for name, (words, _) in above.items())
        stories.append(
            PlannedStory(
                key=f"{snapshot.repository_id}:hotspot:{row['path']}",
                category="maintainability",
                title=f"{'Split' if 'code_lines' in above else 'Simplify'} a hotspot: {row['path']}",
                description=f"{row['path']} is hotspot {row['rank']} ({row['reason']}): {measured}",
                acceptance=[
                    *(f"{words} of {row['path']} is at most {bound}" for words, bound in above.values()),
                    "the repository's own tests pass as before",
                ],
                source="metric",
                rule_id=None,
                path=row["path"],
                severity="warning",
            )
        )
    return stories


def _of_regressions(connection: Connection, snapshot: Snapshot) -> list[PlannedStory]:
    stories = []
    parameters = {
        "snapshot_id": snapshot.id,
        "repository_id": snapshot.repository_id,
        "worse": MIN_COMPLEXITY_INCREASE,
        "share": MIN_COMPLEXITY_GROWTH,
    }
    # Path -> key of the story, the measure before, and now. A story is there until the measure is back.
    risen = {
        row.path: (row.key, int(bound), row.cognitive)
        for row in connection.execute(_RISEN, parameters)
        if (bound := acceptance.bound(row.acceptance)) is not None and row.cognitive > bound
    }
    for path, before, after in connection.execute(_REGRESSED_FILES, parameters):
        key = f"{snapshot.repository_id}:metric:cognitive:{path}:{snapshot.commit_oid}"
        risen.setdefault(path, (key, before, after))
    for path, (key, before, after) in risen.items():
        stories.append(
            PlannedStory(
                key=key,
                category="metric",
                title=f"Complexity rose: {path}",
                description=f"cognitive complexity of {path} went from {before} to {after}",
                acceptance=[f"cognitive complexity of {path} is at most {before}"],
                source="metric",
                rule_id=None,
                path=path,
                severity="warning",
            )
        )
    for row in connection.execute(_REGRESSED_ERRORS, {"repository": snapshot.repository}):
        stories.append(
            PlannedStory(
                key=f"{snapshot.repository_id}:error:{row.id}",
                category="error",
                title=f"Regressed: {row.kind} in {row.operation}",
                description=f"{row.operation}: {row.kind}: {row.message}, {row.times} times",
                acceptance=[f"the error {row.id} is resolved and does not recur"],
                source="error",
                rule_id=None,
                path=row.path,
                severity="error" if row.severity in ("error", "critical") else "warning",
                age_days=float(row.age_days),
                errors=row.times,
            )
        )
    return stories
