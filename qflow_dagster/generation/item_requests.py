"""The request a generator gets for a work item: the file, the serving version of the rule, its findings.

Does not belong here: calling generators (`proposing`), in what order (`orchestrator`).
"""

import random
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import embedded, goal_rules, matchers, rule_evolver, rule_set, trust
from qflow_dagster.evolution.python_targets import PythonTargets
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.execution import coverage_goals
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.remaining import measures_in
from qflow_dagster.ingestion import trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot

# Draws which version of a rule serves while one is on trial; tests replace it.
RANDOM = random.Random()  # noqa: S311  (it draws samples, no secrets)


def repository_of(connection: Connection, work_item: UUID) -> str:
    """Return the name of the repository of a work item.

    Raises:
        QflowError: there is no such item, or it belongs to no repository.
    """
    query = text(
        "SELECT r.name FROM work_items i JOIN repositories r ON r.id = i.repository_id WHERE i.id = :id"
    )
    name = connection.scalar(query, {"id": work_item})
    if name is None:
        raise QflowError(f"there is no work item {work_item} of a repository")
    return name


def request_for(
    connection: Connection,
    objects: Path,
    snapshot: Snapshot,
    work_item: UUID,
    targets: PythonTargets,
    *,
    digest: bytes | None = None,
) -> tuple[Request | None, str]:
    """Return the request for a work item, or None and the reason if its rule or file is gone.

    While a version of the rule is on trial, a random draw decides which one serves; `digest` selects one instead.
    """
    query = text("""
        SELECT i.rule_id, i.path, i.repository_id, w.key FROM work_items i JOIN workflows w ON w.id = i.id
        WHERE i.id = :id
    """)
    row = connection.execute(query, {"id": work_item}).one_or_none()
    rule = None if row is None else _version(connection, row.rule_id, digest)
    if row is None or rule is None:
        return None, "its rule no longer exists"
    blob = connection.execute(
        text(f"""
            SELECT b.id, f.oid, b.language, b.bytes FROM files f JOIN blobs b ON b.id = f.blob_id
            WHERE {IN_SNAPSHOT} AND f.path = :path AND NOT b.binary
        """),
        {**snapshot.interval, "path": row.path},
    ).one_or_none()
    if blob is None:
        return None, f"{row.path} no longer exists"
    data = trees.read_texts(objects, [(row.path, blob.oid)]).get(row.path)
    content = matchers.decode(data) if data is not None else None
    if content is None:
        return None, f"{row.path} is too large, not UTF-8, or missing from the repository"
    language = matchers.rule_language(blob.language, row.path)
    inner = embedded.read(blob.language, content) if blob.language in embedded.LANGUAGES else None
    if inner is not None and not matchers.applies(rule, ""):
        language, content = inner.code.language, inner.code.text
    else:
        inner = None
    findings: Sequence[tuple[int, str]] = [
        *_of_goal(rule, content, language),
        *_stored(connection, rule, row.repository_id, row.path, blob.id),
    ]
    if not findings and rule.status == "trial":
        return None, f"version {rule.version} of the rule, on trial, has no finding here"
    return Request(
        repository=snapshot.repository,
        base=snapshot.commit_oid,
        path=row.path,
        language=language,
        text=content,
        rule=rule,
        target=targets.of(row.path),
        findings=tuple(findings),
        embedded=inner,
        covers=coverage_goals.covered_by(row.key) if rule.id == goal_rules.COVERAGE else None,
    ), ""


def _of_goal(rule: Rule, content: str, language: str) -> list[tuple[int, str]]:
    """Return (line, message) of the functions, or of the file, that miss the bound of a goal: they are not stored."""
    if goal_rules.of_id(rule.id) is None or rule.matcher.metric is None:
        return []
    [condition] = rule.matcher.metric.conditions()
    if rule.matcher.metric.of == "file":
        return [(1, f"{condition.measure.replace('_', ' ')} above {condition.value:g}")]
    return [
        (line, f"{name}: {condition.measure} {measures[condition.measure]:g}")
        for name, line, measures in measures_in(content, matchers.LANGUAGES.get(language, ""))
        if condition.holds(measures)
    ]


def _stored(
    connection: Connection, rule: Rule, repository_id: int, path: str, blob_id: int
) -> list[tuple[int, str]]:
    rows = connection.execute(
        text("""
            SELECT g.line, g.message FROM findings g
            WHERE g.repository_id = :repository_id AND g.rule_id = :rule AND g.path = :path
              AND g.state IN ('open', 'reopened') AND (NOT :on_trial OR EXISTS (
                  SELECT FROM rule_matches m JOIN rule_versions v ON v.id = m.rule_version_id
                  WHERE m.blob_id = :blob AND v.digest = :digest AND m.line = g.line))
            ORDER BY g.line
        """),
        {
            "repository_id": repository_id,
            "rule": rule.id,
            "path": path,
            "blob": blob_id,
            "digest": rule.digest,
            "on_trial": rule.status == "trial",
        },
    )
    return [(row.line, row.message) for row in rows]


def _version(connection: Connection, rule_id: str, digest: bytes | None) -> Rule | None:
    if (rule := goal_rules.of_id(rule_id)) is not None:
        return rule
    rules = rule_set.current(connection)
    versions = [rule for rule in rules if rule.id == rule_id and digest in (None, rule.digest)]
    if len(versions) < 2:
        return versions[0] if versions else None
    levels = trust.of_rules(connection, rules)
    serving = [rule for rule in versions if rule.status in ("active", "trial")] or versions[:1]
    return rule_evolver.draw_version(serving, levels, RANDOM)
