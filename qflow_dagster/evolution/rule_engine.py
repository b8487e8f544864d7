"""The rule engine: every rule on every blob of a snapshot, each (blob, rule version) once.

Belongs here: which blobs still have to be looked at by which rules, having worker processes do
it, storing matches. Does not belong here: what a worker does (`workers`), how a rule finds
(`matchers`), what becomes of what was found (`findings`), conditions on measures (`metric_findings`).
"""

import re
import time
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from configparser import ConfigParser
from configparser import Error as ConfigError
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import Connection, Engine, text

from qflow_dagster.database.copy import copy_rows, stage_rows
from qflow_dagster.evolution import matchers, rule_set
from qflow_dagster.evolution.rules import Rule, evaluated
from qflow_dagster.evolution.tables import blob_evaluations, rule_matches
from qflow_dagster.evolution.workers import Evaluated, Task, evaluate_batch, lost
from qflow_dagster.ingestion import repositories, trees
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot, current_snapshot
from qflow_dagster.ingestion.store import lock_facts
from qflow_dagster.processes import in_processes
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

BATCH_BYTES = 1_500_000
BATCH_FILES = 200
# Larger files are data; a rule's reader would not open them either.
LARGEST = 1_000_000
# What ruff assumes of a project that does not say which Python it supports.
OLDEST_PYTHON, DEFAULT_PYTHON, NEWEST_PYTHON = 7, 10, 14


class Known(NamedTuple):
    """A rule as this database knows it: its row for a repository's variant."""

    id: int
    rule: Rule


class Evaluation(NamedTuple):
    """What an evaluation did: files looked at (new ones and others), matches stored, seconds."""

    files: int
    matches: int
    problems: int
    seconds: float
    rules: list[Known]


def evaluate(engine: Engine, repository: str, *, progress: ReportProgress | None = None) -> Evaluation:
    """Evaluate all rules on the current snapshot of the repository called `repository`.

    Batches are committed as they are done: a killed evaluation's work is found by the next.

    Raises:
        QflowError: the repository is unknown or cannot be read; a pack is wrong.
    """
    started = time.monotonic()
    report = progress or (lambda stage, done, total: None)
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, repository)
        rules = [rule for rule in evaluated(rule_set.current(connection)) if rule.matcher.metric is None]
        objects = repositories.find(connection, repository).objects
        target = python_target(objects, snapshot, connection)
        known = sync(connection, rules, target)
        tasks = missing(connection, snapshot, known)
    done = matched = problems = 0
    report("evaluating rules", 0, len(tasks))
    context = (objects, rules, target)
    results = in_processes(
        evaluate_batch, context, batches_of(tasks), settings().ingestion.processes, lost=lost
    )
    for batch in results:
        with engine.begin() as connection:
            store(connection, batch, known)
        done += len(batch)
        matched += sum(len(one.matches) for one in batch)
        problems += sum(one.problem is not None for one in batch)
        report("evaluating rules", done, len(tasks))
    return Evaluation(len(tasks), matched, problems, time.monotonic() - started, known)


def sync(connection: Connection, rules: Sequence[Rule], target: str) -> list[Known]:
    """Make these rules known; returns them in the order given, with their rows for that Python."""
    statement = text("""
        INSERT INTO rule_versions (rule_id, version, variant, digest, engine, title, language, category,
                                   severity, fix, confidence, status, pack, owner)
        VALUES (:rule_id, :version, :variant, :digest, :engine, :title, :language, :category, :severity,
                :fix, :confidence, :status, :pack, :owner)
        ON CONFLICT (rule_id, version, variant, digest) DO UPDATE SET
            title = excluded.title, category = excluded.category, severity = excluded.severity,
            status = excluded.status, pack = excluded.pack, owner = excluded.owner
        RETURNING id
    """)
    known = []
    for rule in rules:
        values = {
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
        known.append(Known(connection.execute(statement, values).scalar_one(), rule))
    return known


def missing(connection: Connection, snapshot: Snapshot, known: Sequence[Known]) -> list[Task]:
    """The blobs of the snapshot that some of the rules have not looked at."""
    query = text(f"""
        SELECT b.id, b.oid, b.language, min(f.path) AS path, b.bytes AS size, e.evaluated
        FROM files f JOIN blobs b ON b.id = f.blob_id LEFT JOIN blob_evaluations e ON e.blob_id = b.id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated AND NOT b.generated AND NOT b.binary
          AND b.lfs_bytes IS NULL AND b.bytes BETWEEN 1 AND :largest
        GROUP BY b.id, e.evaluated ORDER BY b.id
    """)
    languages = {ours: name for name, ours in matchers.LANGUAGES.items()}
    wanted: dict[str, dict[int, int]] = {}
    tasks = []
    for row in connection.execute(query, {**snapshot.interval, "largest": LARGEST}):
        language = languages.get(row.language, "")
        if language not in wanted:
            wanted[language] = {
                one.id: position for position, one in enumerate(known) if matchers.applies(one.rule, language)
            }
        left = wanted[language].keys() - set(row.evaluated or ())
        if left:
            positions = tuple(sorted(wanted[language][id_] for id_ in left))
            tasks.append(Task(row.id, row.oid, language, row.path, row.size, positions))
    return tasks


def batches_of(tasks: Iterable[Task]) -> list[list[Task]]:
    """Batches of files that the same rules look at, of about `BATCH_BYTES`."""
    groups: dict[tuple, list[Task]] = defaultdict(list)
    for task in tasks:
        groups[task.language, task.rules].append(task)
    batches: list[list[Task]] = []
    for group in groups.values():
        room = 0
        for task in sorted(group, key=lambda task: -task.size):
            if room < task.size or len(batches[-1]) == BATCH_FILES:
                batches.append([])
                room = BATCH_BYTES
            batches[-1].append(task)
            room -= task.size
    return batches


def store(connection: Connection, batch: Sequence[Evaluated], known: Sequence[Known]) -> None:
    """Store what was found in a batch, and that it was looked at."""
    # Until the end of the transaction nobody deletes facts, and no other evaluation stores any.
    lock_facts(connection)
    there = set(
        connection.scalars(
            text("SELECT id FROM blobs WHERE id = ANY(:ids)"), {"ids": [one.task.blob_id for one in batch]}
        )
    )
    batch = [one for one in batch if one.task.blob_id in there]
    rows = [
        (
            one.task.blob_id,
            known[match.rule].id,
            seq,
            match.line,
            match.end_line,
            match.column,
            match.start,
            match.message,
            match.snippet,
            match.anchor,
            match.edits is not None or known[match.rule].rule.fix == "codemod",
            match.suppressed,
        )
        for one in batch
        for seq, match in enumerate(one.matches)
    ]
    columns = [column.name for column in rule_matches.columns]
    looked = [(one.task.blob_id, [known[i].id for i in one.task.rules], one.problem) for one in batch]
    stage_rows(connection, blob_evaluations, ["blob_id", "evaluated", "problem"], looked)
    # Two evaluations may meet at a blob they share: the second keeps what the first stored.
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


def python_target(objects: Path, snapshot: Snapshot, connection: Connection) -> str:
    """The oldest Python the snapshot's project says it supports, as ruff names it (py39)."""
    query = text(f"""
        SELECT f.path, f.oid FROM files f
        WHERE {IN_SNAPSHOT} AND f.path IN ('pyproject.toml', 'setup.cfg', 'setup.py')
    """)
    files = [(row.path, row.oid) for row in connection.execute(query, snapshot.interval)]
    return target_of(trees.read_texts(objects, files))


def target_of(manifests: dict[str, bytes]) -> str:
    """The same, of the manifests' contents by name."""
    said = ""
    contents = {name: data.decode("utf-8", "replace") for name, data in manifests.items()}
    try:
        project: dict[str, Any] = tomllib.loads(contents.get("pyproject.toml", ""))
        poetry = project.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python", "")
        said = str(project.get("project", {}).get("requires-python", "") or poetry)
    except (tomllib.TOMLDecodeError, AttributeError):
        pass
    if not said:
        config = ConfigParser(interpolation=None, strict=False)
        try:
            config.read_string(contents.get("setup.cfg", ""))
            said = config.get("options", "python_requires", fallback="")
        except ConfigError:
            said = ""
    if not said:
        found = re.search(r"python_requires\s*=\s*[\"']([^\"']+)", contents.get("setup.py", ""))
        said = found[1] if found else ""
    bound = re.search(r"(?:>=|\^|~=|~|==)\s*3\.(\d+)", said)
    minor = int(bound[1]) if bound else DEFAULT_PYTHON
    return f"py3{min(max(minor, OLDEST_PYTHON), NEWEST_PYTHON)}"
