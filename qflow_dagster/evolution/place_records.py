"""Records of places: the code that outcomes are about, kept so that variants of a rule can be tried on it.

Belongs here: finding the matches an outcome was about in the file as it was, and keeping them.
Does not belong here: what a variant is (`variants`), what an outcome says (`outcomes`).

The code is hostile: it is parsed in worker processes only.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ast_grep_py import SgRoot
from sqlalchemy import Connection, Engine, text

from qflow_dagster.database.copy import copy_rows
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import examples, matchers, outcomes, rule_set
from qflow_dagster.evolution.places import Place
from qflow_dagster.evolution.rules import Rule
from qflow_dagster.evolution.tables import rule_places
from qflow_dagster.ingestion import git, languages, repositories, trees
from qflow_dagster.processes import Lost, in_processes
from qflow_dagster.settings import settings

# Characters of a file that are kept whole; of a longer one, what is around the match.
WHOLE = 20_000
# Places of one outcome, and newest ones of a rule that a variant is tried on.
MOST, TRIED = 20, 500
# Outcomes looked at in one go, and how often.
BATCH, MAX_BATCHES = 500, 100


class Asked(NamedTuple):
    """A file an outcome is about: its content, and the line (None: all that the rule finds).

    The language may be '': then it is detected.
    """

    outcome: int
    rule: Rule
    path: str
    language: str
    content: bytes
    line: int | None


class Kept(NamedTuple):
    """A place as it is stored."""

    outcome: int
    seq: int
    path: str
    language: str
    text: str
    start: int
    end: int


# Outcomes that judged something, have no place yet, and whose file is known: of a suggestion the one
# its patch changes, as it was; of a finding the one it was last seen in.
_MISSING = text(f"""
SELECT o.id, o.digest, r.name AS repository, c.paths[1] AS path, c.language, c.base_commit AS commit, NULL::int AS line
FROM rule_outcomes o JOIN suggestions s ON s.id::text = o.subject JOIN candidates c ON c.id = s.candidate_id
JOIN repositories r ON r.id = o.repository_id
WHERE o.kind IN ('approved', 'denied', 'reverted') AND o.weight > 0 AND {outcomes.STANDING}
  AND NOT EXISTS (SELECT FROM rule_places p WHERE p.outcome_id = o.id)
UNION ALL
SELECT o.id, o.digest, r.name, g.path, '', n.commit_oid, g.line
FROM rule_outcomes o JOIN findings g ON g.id::text = o.subject JOIN snapshots n ON n.id = g.last_snapshot_id
JOIN repositories r ON r.id = o.repository_id
WHERE o.kind IN ('suppressed', 'mended') AND NOT EXISTS (SELECT FROM rule_places p WHERE p.outcome_id = o.id)
ORDER BY 1 DESC LIMIT :limit
""")


def keep(engine: Engine) -> int:
    """Keep the places of outcomes that have none yet, in batches; returns how many were kept.

    A repository that cannot be read, or a commit that is gone, costs its own places.
    """
    kept = 0
    for _ in range(MAX_BATCHES):
        new = _keep(engine, BATCH)
        kept += new
        if not new:
            break
    return kept


def _keep(engine: Engine, limit: int) -> int:
    with engine.connect() as connection:
        rows = connection.execute(_MISSING, {"limit": limit}).all()
        rules = {rule.digest: rule for rule in rule_set.current(connection)}
        objects: dict[str, Path] = {}
        for name in {row.repository for row in rows}:
            objects[name] = repositories.find(connection, name).objects
    asked = []
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
        asked += [
            Asked(row.id, rule, row.path, row.language, contents[row.path], row.line)
            for row, rule in members
            if row.path in contents
        ]
    batches = [asked[start : start + 20] for start in range(0, len(asked), 20)]
    results = in_processes(find_batch, None, batches, settings().ingestion.processes, lost=_lost)
    kept = [place for batch in results for place in batch]
    with engine.begin() as connection:
        # Two at a time: the second finds the first's and keeps its own away.
        connection.execute(text("LOCK TABLE rule_places IN SHARE ROW EXCLUSIVE MODE"))
        there = set(
            connection.scalars(
                text("SELECT DISTINCT outcome_id FROM rule_places WHERE outcome_id = ANY(:ids)"),
                {"ids": [place.outcome for place in kept]},
            )
        )
        new = [place for place in kept if place.outcome not in there]
        copy_rows(connection, rule_places, [column.name for column in rule_places.columns], new)
    return len(new)


def of(connection: Connection, rule: Rule) -> list[Place]:
    """The judged places of a rule version and of the versions it is a variant of, newest first."""
    query = text(f"""
        WITH RECURSIVE line(digest) AS (
            SELECT CAST(:digest AS bytea)
            UNION SELECT l.parent FROM line JOIN rule_lives l ON l.digest = line.digest WHERE l.parent IS NOT NULL
        )
        SELECT p.text, p.path, p.language, p.start, p."end", o.good
        FROM rule_places p JOIN rule_outcomes o ON o.id = p.outcome_id
        WHERE o.digest IN (SELECT digest FROM line) AND o.weight > 0 AND {outcomes.STANDING}
        ORDER BY o.at DESC, o.id DESC, p.seq LIMIT :limit
    """)
    rows = connection.execute(query, {"digest": rule.digest, "limit": TRIED})
    return [Place(row.text, row.path, row.language, row.start, row.end, row.good) for row in rows]


def find_batch(context: None, batch: Sequence[Asked]) -> list[Kept]:
    """In a worker process: the places of a batch."""
    found: list[Kept] = []
    for one in batch:
        content = matchers.decode(one.content)
        if content is None:
            continue
        language = one.language or matchers.named(languages.detect(one.path, one.content[:4096]))
        matches = [
            match
            for match in examples.matches_in(one.rule, content, one.path, language)
            if one.line is None or match.line == one.line
        ]
        for seq, match in enumerate(matches[:MOST]):
            around, offset = excerpt(content, language, match.start, match.end)
            found.append(
                Kept(
                    one.outcome,
                    seq,
                    one.path,
                    language,
                    around.replace("\0", " "),
                    match.start - offset,
                    match.end - offset,
                )
            )
    return found


def excerpt(content: str, language: str, start: int, end: int) -> tuple[str, int]:
    """A text, or of a long one the statement of its top level around a span; and where that begins."""
    if len(content) <= WHOLE or language not in matchers.LANGUAGES:
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


def _lost(task: Asked, code: int | None) -> Lost:
    return Lost(result=[])
