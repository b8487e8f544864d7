"""Searching the full-text index: code and documents apart, the commits, and the files that fit best.

Belongs here: ranking. Does not belong here: updating the index (`index`), answers as text (`answers`).
"""

import math
import re
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge import words


class Hit(NamedTuple):
    """A place that matches a search: location, content, score."""

    path: str
    line: int
    kind: str
    name: str
    words: str
    score: float


_LEXEMES = text("SELECT tsvector_to_array(to_tsvector('english', :question))")
# A question may be long; of its words, the rarest select.
MAX_WORDS = 24
# What more entries than this contain is common.
MAX_COUNTED = 5_000
_COMMON = 20_000
# How many entries of the repository contain each lexeme: rare ones weigh more.
_RARITY = text(f"""
SELECT lexeme, (SELECT count(*) FROM (
    SELECT FROM knowledge_entries e WHERE e.tsv @@ CAST(quote_literal(lexeme) AS tsquery)
        AND EXISTS (SELECT FROM files f WHERE f.blob_id = e.blob_id AND {IN_SNAPSHOT})
    LIMIT {MAX_COUNTED}) AS matching) AS entries
FROM unnest(CAST(:lexemes AS text[])) AS lexeme
""")
_SEARCH = text(f"""
WITH terms AS (
    SELECT * FROM unnest(CAST(:lexemes AS text[]), CAST(:weights AS float8[])) AS w(lexeme, weight)
), matching AS MATERIALIZED (
    SELECT e.blob_id, e.seq, sum(w.weight) AS weight
    FROM terms w JOIN knowledge_entries e ON e.tsv @@ CAST(quote_literal(w.lexeme) AS tsquery)
    WHERE (e.kind IN ('section', 'document')) = :prose GROUP BY 1, 2
), likely AS MATERIALIZED (
    SELECT m.blob_id, m.seq, f.path, f.test FROM matching m JOIN files f ON f.blob_id = m.blob_id
    WHERE {IN_SNAPSHOT} ORDER BY m.weight DESC LIMIT 200
)
SELECT l.path, e.line, e.kind, e.name, e.words, scored.score * CASE WHEN l.test THEN 0.6 ELSE 1 END AS score
FROM likely l JOIN knowledge_entries e ON e.blob_id = l.blob_id AND e.seq = l.seq
CROSS JOIN LATERAL (
    SELECT sum(CASE WHEN e.tsv @@ CAST(quote_literal(w.lexeme) || '\\:A' AS tsquery) THEN 1.6 * w.weight
                    WHEN e.tsv @@ CAST(quote_literal(w.lexeme) || '\\:B' AS tsquery) THEN w.weight
                    WHEN e.tsv @@ CAST(quote_literal(w.lexeme) AS tsquery) THEN 0.6 * w.weight ELSE 0 END
               + CASE WHEN strpos(lower(l.path), w.lexeme) > 0 THEN 0.8 * w.weight ELSE 0 END)
           / (1 + 0.15 * ln(1 + length(e.tsv))) AS score FROM terms w
) AS scored
ORDER BY score DESC, l.path, e.line LIMIT :limit
""")
_SEARCH_COMMITS = text("""
WITH matching AS (
    SELECT k.commit_id, sum(w.weight) AS score
    FROM unnest(CAST(:lexemes AS text[]), CAST(:weights AS float8[])) AS w(lexeme, weight)
    JOIN knowledge_commits k ON k.tsv @@ CAST(quote_literal(w.lexeme) AS tsquery) GROUP BY 1)
SELECT c.oid, c.subject, c.author_name, c.authored_at, m.score
FROM matching m JOIN commits c ON c.id = m.commit_id
WHERE c.repository_id = :id AND c.reachable ORDER BY m.score DESC, c.authored_at DESC LIMIT :limit
""")


def search(
    connection: Connection,
    snapshot: Snapshot,
    question: str | dict[str, float],
    *,
    limit: int = 10,
    prose: bool = False,
) -> list[Hit]:
    """Return the places in code, or in documents (`prose`), that match the question best, best first.

    `question` may be its weighed words (`weigh`). The score is the sum of the words' inverse document frequencies,
    higher for words in names, damped by the length of the entry.
    """
    terms = weigh(connection, snapshot, question) if isinstance(question, str) else question
    if not terms:
        return []
    rows = connection.execute(
        _SEARCH, {**snapshot.interval, **_parameters(terms), "limit": limit, "prose": prose}
    )
    return [Hit(*row) for row in rows]


def files(connection: Connection, snapshot: Snapshot, question: str, *, limit: int = 5) -> list[str]:
    """Return the files that fit a question best: by the names in it that few files define, and by what matches it."""
    scores: dict[str, float] = {}
    for rank, hit in enumerate(search(connection, snapshot, question, limit=60)):
        # Further hits in a file count less than its best one.
        scores[hit.path] = scores.get(hit.path, 0.0) + (
            hit.score if hit.path not in scores else hit.score / (4 + rank)
        )
    best = max(scores.values(), default=1.0)
    for path, weight in _naming(connection, snapshot, question):
        scores[path] = scores.get(path, 0.0) + best * weight
    return sorted(scores, key=lambda path: (-scores[path], path))[:limit]


_WORDS = re.compile(r"[\w./:]+")
_DEFINING = text(f"""
SELECT f.path, s.name, f.test OR f.vendored AS other FROM symbols s JOIN files f ON f.blob_id = s.blob_id
WHERE {IN_SNAPSHOT} AND s.seq > 0 AND s.name = ANY(:names) AND NOT EXISTS (
    SELECT FROM files m WHERE m.repository_id = f.repository_id AND m.path || 'i' = f.path AND f.path LIKE '%.pyi')
""")


def _naming(connection: Connection, snapshot: Snapshot, question: str) -> list[tuple[str, float]]:
    """Return the files that define what has a name in the question: (path, weight), more if few files define it."""
    parts = [part for word in _WORDS.findall(question) for part in re.split(r"[./:]+", word)]
    names = list(dict.fromkeys(name for name in parts if "_" in name or name != name.lower()))
    rows = connection.execute(_DEFINING, {**snapshot.interval, "names": names}).all()
    defining: dict[str, dict[str, bool]] = {}
    for row in rows:
        defining.setdefault(row.name, {})[row.path] = row.other
    return [
        # Tests and vendored code count less, unless they alone define it.
        (path, (0.6 if other and not all(paths.values()) else 1.2) / len(paths))
        for paths in defining.values()
        for path, other in paths.items()
    ]


def search_commits(
    connection: Connection, snapshot: Snapshot, question: str | dict[str, float], *, limit: int = 5
) -> list[Any]:
    """Return the commits whose messages match best: (oid, subject, author_name, authored_at, score)."""
    terms = weigh(connection, snapshot, question) if isinstance(question, str) else question
    if not terms:
        return []
    parameters = {"id": snapshot.repository_id, **_parameters(terms), "limit": limit}
    return list(connection.execute(_SEARCH_COMMITS, parameters))


def weigh(connection: Connection, snapshot: Snapshot, question: str) -> dict[str, float]:
    """Return the words of a question as lexemes, each with its weight: more if it is rarer in the repository."""
    lexemes = connection.scalar(_LEXEMES, {"question": f"{question} {words.parts(question)}"}) or []
    rows = connection.execute(_RARITY, {**snapshot.interval, "lexemes": lexemes}).all()
    entries = {
        row.lexeme: row.entries if row.entries < MAX_COUNTED else _COMMON for row in rows if row.entries
    }
    rarest = sorted(entries, key=lambda lexeme: entries[lexeme])[:MAX_WORDS]
    return {lexeme: math.log(1 + _COMMON / (1 + entries[lexeme])) for lexeme in rarest}


def _parameters(terms: dict[str, float]) -> dict[str, Any]:
    return {"lexemes": list(terms), "weights": list(terms.values())}
