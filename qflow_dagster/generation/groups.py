"""Which work items are changed together: those of one rule in one package, so that a person reviews them once.

Does not belong here: the requests for them (`item_requests`), the order of steps (`orchestrator`).
"""

from collections.abc import Set
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, func, select, text

from qflow_dagster.evolution import rule_set, trust
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.execution import next_work, work_items
from qflow_dagster.generation.generators import fixable_rules
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.quantumflow import NewWorkflow, create_workflows
from qflow_dagster.quantumflow.tables import workflows
from qflow_dagster.settings import settings

# A folder with one of these is a package; each file belongs to the nearest one above it.
MANIFESTS = (
    "pyproject.toml",
    "setup.py",
    "setup.cfg",
    "package.json",
    "go.mod",
    "Cargo.toml",
    "pom.xml",
    "build.gradle",
    "build.gradle.kts",
    "composer.json",
    "mix.exs",
)


def request_generation(
    connection: Connection, snapshot: Snapshot, *, type_name: str, actor: str, limit: int
) -> list[UUID]:
    """Request the `limit` best changes not tried on this commit yet; return their work items, now in_progress.

    A change serves every ready work item of its rule in its package. Findings of rules that may only show are
    skipped, and so are those of rules whose fix is a matter of judgement, unless a person named the rule.
    """
    rules = evaluated(rule_set.current(connection))
    levels = trust.of_rules(connection, rules)
    names = sorted(
        {level.rule.id for level in levels.values() if level.level != "show" and may_suggest(level.rule)}
    )
    items = next_work.get_generatable(
        connection, snapshot.repository_id, rules=names, fixable_rules=fixable_rules()
    )
    folders = package_folders(connection, snapshot)
    grouped: dict[str, list[UUID]] = {}
    for item in items:
        key = (
            f"{snapshot.repository_id}:{item.rule_id}:{package_of(item.path, folders)}:{snapshot.commit_oid}"
        )
        grouped.setdefault(key, []).append(item.id)
    tried = set(
        connection.scalars(
            text("SELECT key FROM workflows WHERE type = :type AND key = ANY(:keys)"),
            {"type": type_name, "keys": list(grouped)},
        )
    )
    chosen = [(key, ids) for key, ids in grouped.items() if key not in tried][:limit]
    new = [
        NewWorkflow(
            type=type_name,
            key=key,
            payload={
                "work_items": [str(id_) for id_ in ids],
                "repository": snapshot.repository,
                "base": snapshot.commit_oid,
            },
        )
        for key, ids in chosen
    ]
    create_workflows(connection, new, actor=actor)
    ids = [id_ for _, group in chosen for id_ in group]
    work_items.move(connection, ids, "in_progress", actor=actor)
    return ids


def may_suggest(rule: Rule) -> bool:
    """Return whether the rule's fix may be suggested without anybody naming the rule."""
    return rule.safety != "judgement" or rule.id in settings().generation.judgement_rules


def package_folders(connection: Connection, snapshot: Snapshot) -> set[str]:
    """Return the folders of a snapshot that have a manifest; '' is the repository's root."""
    query = text(f"""
        SELECT f.path FROM files f WHERE {IN_SNAPSHOT} AND regexp_replace(f.path, '^.*/', '') = ANY(:names)
    """)
    paths = connection.scalars(query, {**snapshot.interval, "names": list(MANIFESTS)})
    return {_above(path)[0] for path in paths}


def package_of(path: str, folders: Set[str]) -> str:
    """Return the nearest folder above a path that is one of `folders`; '' if there is none."""
    return next((folder for folder in _above(path) if folder in folders), "")


def _above(path: str) -> list[str]:
    """Return the folders that a path lies in, the nearest first; '' is the repository's root."""
    return ["" if str(parent) == "." else str(parent) for parent in PurePosixPath(path).parents]


def failures(connection: Connection, *, type_name: str, run_id: str) -> list[dict[str, Any]]:
    """Return why generations of a Dagster run failed or made no patch, and how many did for each reason."""
    table = workflows.c
    reason = func.coalesce(table.error["message"].astext, table.result["problem"].astext)
    query = (
        select(reason.label("reason"), func.count().label("changes"))
        .where(table.type == type_name, table.run_id == run_id, reason.is_not(None))
        .group_by(reason)
        .order_by(reason)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
