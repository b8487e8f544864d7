"""Stored locations: the code that outcomes are about, on which variants of a rule are evaluated.

The matches of an outcome are located again in the file at the commit it is about. The code is
untrusted: it is parsed in worker processes only.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ast_grep_py import SgRoot
from sqlalchemy import Connection, Engine, select, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import embedded, examples, matchers, outcomes, rule_set
from qflow_dagster.evolution.locations import Location
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.tables import rule_locations
from qflow_dagster.ingestion import git, languages, repositories, trees
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.quantumflow.draining import batches
from qflow_dagster.settings import settings

# Files up to so many characters are stored completely; of longer ones, the statement around the match.
MAX_FILE_CHARACTERS = 20_000
# Locations stored for one outcome, and the number of newest ones that a variant is evaluated on.
MAX_LOCATIONS_PER_OUTCOME, MAX_LOCATIONS_PER_RULE = 20, 500
# Outcomes in one batch, and batches in one call.
BATCH, MAX_BATCHES = 500, 100


class OutcomeFile(NamedTuple):
    """A file an outcome is about: its content, and the line (None: all matches of the rule).

    If the language is '', it is detected.
    """

    outcome: int
    rule: Rule
    path: str
    language: str
    content: bytes
    line: int | None


class LocationRecord(NamedTuple):
    """A row of `rule_locations`."""

    outcome: int
    seq: int
    path: str
    language: str
    text: str
    start: int
    end: int


# Labelled outcomes that have no location yet, with their files: of a suggestion the locations that its patch
# changes, at the base commit; of a finding the file at the last snapshot that contains it.
_MISSING = text(f"""
SELECT m.id, m.digest, m.repository, m.language, m.commit, coalesce(l.path, p.path) AS path,
       coalesce(l.line, m.line) AS line
FROM (
SELECT o.id, o.digest, r.name AS repository, c.language, c.base_commit AS commit, c.paths, c.locations,
       NULL::int AS line
FROM rule_outcomes o JOIN suggestions s ON s.id::text = o.subject JOIN candidates c ON c.id = s.candidate_id
JOIN repositories r ON r.id = o.repository_id
WHERE o.kind IN ('approved', 'denied', 'closed', 'reverted') AND o.weight > 0 AND {outcomes.NOT_REVERTED}
  AND NOT EXISTS (SELECT FROM rule_locations p WHERE p.outcome_id = o.id)
UNION ALL
SELECT o.id, o.digest, r.name, '', n.commit_oid, ARRAY[g.path], '[]', g.line
FROM rule_outcomes o JOIN findings g ON g.id::text = o.subject JOIN snapshots n ON n.id = g.last_snapshot_id
JOIN repositories r ON r.id = o.repository_id
WHERE o.kind IN ('suppressed', 'fixed') AND NOT EXISTS (SELECT FROM rule_locations p WHERE p.outcome_id = o.id)
ORDER BY 1 DESC LIMIT :limit
) AS m
LEFT JOIN LATERAL jsonb_to_recordset(m.locations) AS l(path text, line int) ON true
LEFT JOIN LATERAL unnest(m.paths) AS p(path) ON m.locations = '[]'
ORDER BY m.id DESC, path, line
""")


def store_missing(engine: Engine) -> int:
    """Store the locations of outcomes that have none yet, in batches; return for how many outcomes.

    Outcomes of a repository or commit that cannot be read are skipped.
    """
    return sum(batches(lambda: _store_batch(engine, BATCH), max_batches=MAX_BATCHES))


def _store_batch(engine: Engine, limit: int) -> int:
    with engine.connect() as connection:
        rows = connection.execute(_MISSING, {"limit": limit}).all()
        rules = {rule.digest: rule for rule in rule_set.current(connection)}
        objects: dict[str, Path] = {}
        for name in {row.repository for row in rows}:
            objects[name] = repositories.find(connection, name).objects
    files = []
    by_commit = defaultdict(list)
    for row in rows:
        rule = rules.get(bytes(row.digest))
        if rule is not None and rule.matcher.metric is None and row.repository in objects:
            by_commit[row.repository, row.commit].append((row, rule))
    for (name, commit), members in by_commit.items():
        try:
            oids = {row.path: _oid(objects[name], commit, row.path) for row, _ in members}
            contents = trees.read_texts(objects[name], [(path, oid) for path, oid in oids.items() if oid])
        except QflowError:
            continue
        files += [
            OutcomeFile(row.id, rule, row.path, row.language, contents[row.path], row.line)
            for row, rule in members
            if row.path in contents
        ]
    batches = [files[start : start + 20] for start in range(0, len(files), 20)]
    results = in_processes(find_batch, None, batches, settings().ingestion.processes, lost=_lost)
    records = _numbered([record for batch in results for record in batch])
    with engine.begin() as connection:
        # Of two concurrent calls, the second skips what the first stored.
        connection.execute(text("LOCK TABLE rule_locations IN SHARE ROW EXCLUSIVE MODE"))
        existing = set(
            connection.scalars(
                select(rule_locations.c.outcome_id)
                .where(rule_locations.c.outcome_id.in_([record.outcome for record in records]))
                .distinct()
            )
        )
        new = [record for record in records if record.outcome not in existing]
        copy_rows(connection, rule_locations, [column.name for column in rule_locations.columns], new)
    return len({record.outcome for record in new})


def _numbered(records: Sequence[LocationRecord]) -> list[LocationRecord]:
    """Give each location its position within its outcome, which may have several files; keep the first ones."""
    counts: dict[int, int] = defaultdict(int)
    numbered = []
    for record in records:
        if counts[record.outcome] < MAX_LOCATIONS_PER_OUTCOME:
            numbered.append(record._replace(seq=counts[record.outcome]))
        counts[record.outcome] += 1
    return numbered


def of(connection: Connection, rule: Rule) -> list[Location]:
    """Return the labelled locations of a rule version and of the versions it is a variant of, newest first."""
    query = text(f"""
        WITH RECURSIVE line(digest) AS (
            SELECT CAST(:digest AS bytea)
            UNION SELECT l.parent FROM line JOIN rule_lifecycles l ON l.digest = line.digest WHERE l.parent IS NOT NULL
        )
        SELECT p.text, p.path, p.language, p.start, p."end", o.good
        FROM rule_locations p JOIN rule_outcomes o ON o.id = p.outcome_id
        WHERE o.digest IN (SELECT digest FROM line) AND o.weight > 0 AND {outcomes.NOT_REVERTED}
        ORDER BY o.at DESC, o.id DESC, p.seq LIMIT :limit
    """)
    rows = connection.execute(query, {"digest": rule.digest, "limit": MAX_LOCATIONS_PER_RULE})
    return [Location(row.text, row.path, row.language, row.start, row.end, row.good) for row in rows]


def find_batch(context: None, batch: Sequence[OutcomeFile]) -> list[LocationRecord]:
    """Locate the matches of a batch of files; runs in a worker process."""
    records: list[LocationRecord] = []
    for file in batch:
        content = matchers.decode(file.content)
        if content is None:
            continue
        inner = embedded.of_file(file.path, content)
        if inner is not None:
            content = inner.code.text
        language = (
            inner.code.language
            if inner is not None
            else file.language or matchers.rule_language(languages.detect(file.path, file.content[:4096]))
        )
        matches = [
            match
            for match in examples.matches_in(file.rule, content, file.path, language)
            if file.line is None or match.line == file.line
        ]
        for match in matches[:MAX_LOCATIONS_PER_OUTCOME]:
            around, offset = excerpt(content, language, match.start, match.end)
            records.append(
                LocationRecord(
                    file.outcome,
                    0,
                    file.path,
                    language,
                    around.replace("\0", " "),
                    match.start - offset,
                    match.end - offset,
                )
            )
    return records


def excerpt(content: str, language: str, start: int, end: int) -> tuple[str, int]:
    """Return (text, offset): the content, or of long content the top-level statement around a span."""
    if len(content) <= MAX_FILE_CHARACTERS or language not in matchers.LANGUAGES:
        return content, 0
    for node in SgRoot(content, language).root().children():
        span = node.range()
        if span.start.index <= start and end <= span.end.index:
            return content[span.start.index : span.end.index], span.start.index
    return content, 0


def _oid(objects: Path, commit: str, path: str) -> str | None:
    try:
        return (
            git.run(objects, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}:{path}")
            .decode()
            .strip()
        )
    except git.GitError:
        return None


def _lost(task: OutcomeFile, code: int | None) -> LostResult:
    return LostResult(result=[])
