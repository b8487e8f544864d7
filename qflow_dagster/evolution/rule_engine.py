"""The rule engine: evaluates every rule on every blob of a snapshot, each (blob, rule version) once.

It selects the blobs, distributes them to worker processes (`workers`) and stores the matches;
`findings` turns matches into findings. Metric rules are evaluated in `metric_findings`.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy import Connection, Engine, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from qflow_dagster.database.copy import copy_rows, stage_rows
from qflow_dagster.evolution import embedded, matchers, project_linters, rule_set
from qflow_dagster.evolution.python_targets import python_targets
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.evolution.tables import blob_evaluations, rule_matches, rule_versions
from qflow_dagster.evolution.workers import BlobResult, Task, evaluate_batch, lost
from qflow_dagster.ingestion import repositories
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, current_snapshot
from qflow_dagster.ingestion.store import lock_facts
from qflow_dagster.ingestion.tables import blobs
from qflow_dagster.processes import in_processes
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

BATCH_BYTES = 1_500_000
BATCH_FILES = 200
# Larger files are data.
MAX_FILE_BYTES = 1_000_000


# Columns of `rule_versions` that may change without making another rule.
_UPDATED = ("title", "category", "severity", "status", "pack", "owner")


class StoredRule(NamedTuple):
    """A rule with the id of its row in `rule_versions`."""

    id: int
    rule: Rule


class Evaluation(NamedTuple):
    """The result of an evaluation: files evaluated, matches stored, files with problems, seconds, rules, those off."""

    files: int
    matches: int
    problems: int
    seconds: float
    rules: list[StoredRule]
    switched_off: project_linters.SwitchedOff


def evaluate(engine: Engine, repository: str, *, progress: ReportProgress | None = None) -> Evaluation:
    """Evaluate all rules on the current snapshot of the repository named `repository`.

    Each batch is committed when it is complete: after an abort the next call continues.

    Raises:
        QflowError: The repository is unknown or cannot be read, or a rule pack is invalid.
    """
    started = time.monotonic()
    report = progress or (lambda stage, done, total: None)
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, repository)
        rules = [rule for rule in evaluated(rule_set.current(connection)) if rule.matcher.metric is None]
        objects = repositories.find(connection, repository).objects
        targets = python_targets(objects, snapshot, connection)
        stored_rules = sync(connection, rules, targets.repository)
        tasks = missing(connection, snapshot, stored_rules)
    done = matched = problems = 0
    report("evaluating rules", 0, len(tasks))
    context = (objects, rules, targets.repository)
    results = in_processes(
        evaluate_batch, context, batches_of(tasks), settings().ingestion.processes, lost=lost
    )
    for batch in results:
        with engine.begin() as connection:
            store(connection, batch, stored_rules)
        done += len(batch)
        matched += sum(len(result.matches) for result in batch)
        problems += sum(result.problem is not None for result in batch)
        report("evaluating rules", done, len(tasks))
    with engine.connect() as connection:
        by_id = {stored.id: stored.rule for stored in stored_rules}
        off = project_linters.switched_off(connection, objects, snapshot, by_id, targets)
    return Evaluation(len(tasks), matched, problems, time.monotonic() - started, stored_rules, off)


def sync(connection: Connection, rules: Sequence[Rule], target: str) -> list[StoredRule]:
    """Insert or update the rows of rules; return them in the same order with their ids.

    `target` is the Python version that ruff rules are evaluated for, such as ``py39``.
    """
    if not rules:
        return []
    insertion = pg_insert(rule_versions)
    key = ["rule_id", "version", "variant", "digest"]
    statement = insertion.on_conflict_do_update(
        index_elements=key, set_={name: insertion.excluded[name] for name in _UPDATED}
    ).returning(rule_versions.c.id, *(rule_versions.c[name] for name in key))
    values = [
        {
            "rule_id": rule.id,
            "version": rule.version,
            "digest": rule.digest,
            "engine": rule.matcher.engine,
            "variant": target if rule.matcher.ruff else "",
            "title": rule.title,
            "language": list(rule.language),
            "category": rule.category,
            "severity": rule.severity,
            "fix": rule.fix or "",
            "confidence": rule.confidence,
            "status": rule.status,
            "pack": rule.pack,
            "owner": rule.owner,
        }
        for rule in rules
    ]
    # Always in the same order: two evaluations at once wait for each other's rows, never in a circle.
    values.sort(key=itemgetter(*key))
    ids = {bytes(digest): id_ for id_, *_, digest in connection.execute(statement, values)}
    return [StoredRule(ids[rule.digest], rule) for rule in rules]


def missing(connection: Connection, snapshot: Snapshot, rules: Sequence[StoredRule]) -> list[Task]:
    """Return the blobs of the snapshot on which some of the rules were not evaluated."""
    query = text(f"""
        SELECT b.id, b.oid, b.language, min(f.path) AS path, b.bytes AS size, e.evaluated
        FROM files f JOIN blobs b ON b.id = f.blob_id LEFT JOIN blob_evaluations e ON e.blob_id = b.id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated AND NOT b.binary
          AND b.lfs_bytes IS NULL AND b.bytes BETWEEN 1 AND :max_bytes
        GROUP BY b.id, e.evaluated ORDER BY b.id
    """)
    applicable: dict[str, dict[int, int]] = {}
    tasks = []
    for row in connection.execute(query, {**snapshot.interval, "max_bytes": MAX_FILE_BYTES}):
        is_outer = row.language in embedded.LANGUAGES
        language = row.language if is_outer else matchers.rule_language(row.language, row.path)
        languages = embedded.LANGUAGES[language] if is_outer else (language,)
        if language not in applicable:
            applicable[language] = {
                rule.id: position
                for position, rule in enumerate(rules)
                if any(matchers.applies(rule.rule, name) for name in languages)
            }
        pending = applicable[language].keys() - set(row.evaluated or ())
        if pending:
            positions = tuple(sorted(applicable[language][id_] for id_ in pending))
            tasks.append(Task(row.id, row.oid, language, row.path, row.size, positions))
    return tasks


def batches_of(tasks: Iterable[Task]) -> list[list[Task]]:
    """Group files that need the same rules into batches of about `BATCH_BYTES`."""
    groups: dict[tuple, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[task.language, task.rules].append(task)
    batches: list[list[Task]] = []
    for group in groups.values():
        remaining = 0
        for task in sorted(group, key=lambda task: -task.size):
            if remaining < task.size or len(batches[-1]) == BATCH_FILES:
                batches.append([])
                remaining = BATCH_BYTES
            batches[-1].append(task)
            remaining -= task.size
    return batches


def store(connection: Connection, batch: Sequence[BlobResult], rules: Sequence[StoredRule]) -> None:
    """Store the matches of a batch, and which rules were evaluated on its blobs."""
    # Until the end of the transaction no facts are deleted, and no other evaluation stores any.
    lock_facts(connection)
    existing = set(
        connection.scalars(
            select(blobs.c.id).where(blobs.c.id.in_([result.task.blob_id for result in batch]))
        )
    )
    batch = [result for result in batch if result.task.blob_id in existing]
    rows = [
        (
            result.task.blob_id,
            rules[match.rule].id,
            seq,
            match.line,
            match.end_line,
            match.column,
            match.start,
            match.message,
            match.snippet,
            match.anchor,
            match.edits is not None or rules[match.rule].rule.fix == "codemod",
            match.suppressed,
        )
        for result in batch
        for seq, match in enumerate(result.matches)
    ]
    columns = [column.name for column in rule_matches.columns]
    evaluations = [
        (result.task.blob_id, [rules[i].id for i in result.task.rules], result.problem) for result in batch
    ]
    stage_rows(connection, blob_evaluations, ["blob_id", "evaluated", "problem"], evaluations)
    # Two evaluations may process the same blob: the second replaces the matches of the rules it evaluated.
    connection.execute(
        text("""
        DELETE FROM rule_matches m USING staged_blob_evaluations s
        WHERE m.blob_id = s.blob_id AND m.rule_version_id = ANY(s.evaluated)
    """)
    )
    copy_rows(connection, rule_matches, columns, rows)
    connection.execute(
        text("""
        INSERT INTO blob_evaluations (blob_id, evaluated, problem)
        SELECT blob_id, evaluated, problem FROM staged_blob_evaluations
        ON CONFLICT (blob_id) DO UPDATE SET
            evaluated = blob_evaluations.evaluated || excluded.evaluated, problem = excluded.problem
    """)
    )
