"""The graph of imports and calls of the current snapshot: dependents, dependencies, paths between two places.

Belongs here: SQL that follows edges. Does not belong here: names (`lookups`), answers as text (`code_answers`,
`relation_answers`).
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge.lookups import MAX_ROWS, SymbolLocation

# Longer paths explain nothing.
MAX_DEPTH = 6
# A call by a name with more definitions than this could mean too many things to be followed.
MAX_DEFINITIONS = 3


class Step(NamedTuple):
    """A step of a path: what calls or imports what, and where."""

    source: str
    target: str
    path: str
    line: int


def dependents(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return the files that import this one: (path, line, total), own code before tests."""
    query = text(f"""
        WITH importing AS (
            SELECT f.source_path AS path, min(f.line) AS line FROM dependencies f
            WHERE {IN_SNAPSHOT} AND f.target_path = :path AND f.source_path <> :path GROUP BY 1)
        SELECT path, line, count(*) OVER () AS total FROM importing
        ORDER BY path ~* '(^|/)tests?/|test_|_test', path LIMIT {MAX_ROWS}
    """)
    return list(connection.execute(query, {**snapshot.interval, "path": path}))


def dependencies(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return what a file imports: (line, module, target_path or None if external)."""
    query = text(f"""
        SELECT DISTINCT ON (coalesce(f.target_path, f.module)) f.line, f.module, f.target_path FROM dependencies f
        WHERE {IN_SNAPSHOT} AND f.source_path = :path ORDER BY coalesce(f.target_path, f.module), f.line
    """)
    rows = list(connection.execute(query, {**snapshot.interval, "path": path}))
    return sorted(rows, key=lambda row: (row.target_path is None, row.line))[:60]


def reached_from(
    connection: Connection, snapshot: Snapshot, path: str, *, exports: bool = False
) -> list[Any]:
    """Return the files that import a file directly or through others: (path, line, target, depth, test), nearest first.

    `exports`: only through files that export again what they import (packages of Python, index files, `export from`,
    modules of Rust).
    """
    through = (
        "AND (a.path ~ '(^|/)(__init__\\.pyi?|index\\.[cm]?[jt]sx?|mod\\.rs|lib\\.rs)$' OR EXISTS ("
        "SELECT FROM files g JOIN imports i ON i.blob_id = g.blob_id WHERE i.kind = 'export' AND g.path = a.path "
        "AND g.repository_id = :repository_id AND g.from_seq <= :seq AND (g.to_seq IS NULL OR g.to_seq > :seq)))"
        if exports
        else ""
    )
    query = text(f"""
        WITH RECURSIVE reached AS (
            SELECT CAST(:path AS text) AS path, 0 AS depth
            UNION
            SELECT f.source_path, a.depth + 1 FROM reached a JOIN dependencies f ON f.target_path = a.path
            WHERE {IN_SNAPSHOT} AND a.depth < 8 AND (a.depth = 0 OR true {through})
        ), nearest AS (SELECT path, min(depth) AS depth FROM reached WHERE path <> :path GROUP BY 1)
        SELECT n.path, d.line, d.target, n.depth, g.test
        FROM nearest n
        JOIN LATERAL (SELECT f.line, f.target_path AS target
                      FROM dependencies f JOIN reached r ON r.path = f.target_path
                      WHERE {IN_SNAPSHOT} AND f.source_path = n.path ORDER BY r.depth, f.line LIMIT 1) d ON true
        JOIN LATERAL (SELECT f.test FROM files f WHERE {IN_SNAPSHOT} AND f.path = n.path) g ON true
        ORDER BY n.depth, g.test, n.path LIMIT 500
    """)
    return list(connection.execute(query, {**snapshot.interval, "path": path}))


def uncalled(connection: Connection, snapshot: Snapshot, prefix: str) -> list[SymbolLocation]:
    """Return functions below a path or folder that no symbol calls and no file imports by name, own code only."""
    query = text(f"""
        WITH called AS (
            SELECT DISTINCT unnest(s.calls) AS name
            FROM files f JOIN symbols s ON s.blob_id = f.blob_id WHERE {IN_SNAPSHOT}
            UNION
            SELECT DISTINCT unnest(i.names) FROM files f JOIN imports i ON i.blob_id = f.blob_id WHERE {IN_SNAPSHOT})
        SELECT f.path, s.start_line AS line, s.kind, s.qualified_name AS name, s.signature, s.end_line, f.oid
        FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND s.kind = 'function' AND NOT f.test AND NOT f.vendored AND NOT f.generated
          AND NOT f.example AND (f.path = :prefix OR :prefix = '' OR starts_with(f.path, :folder))
          AND s.name ~ '^[A-Za-z_][A-Za-z0-9_]*$' AND s.name !~ '^__.*__$'
          AND NOT EXISTS (SELECT FROM called WHERE called.name = s.name)
        ORDER BY f.path, s.start_line LIMIT 60
    """)
    parameters = {**snapshot.interval, "prefix": prefix, "folder": prefix.rstrip("/") + "/"}
    return [SymbolLocation(*row) for row in connection.execute(query, parameters)]


def import_path(connection: Connection, snapshot: Snapshot, source: str, target: str) -> list[Step]:
    """Return the shortest way by imports from a file to another one; empty if there is none."""
    query = text(f"""
        SELECT f.source_path, f.target_path, min(f.line) AS line FROM dependencies f
        WHERE {IN_SNAPSHOT} AND f.source_path = ANY(:frontier) AND f.target_path IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    """)

    def imports(frontier: list[str]) -> Iterator[tuple[str, Step]]:
        for row in connection.execute(query, {**snapshot.interval, "frontier": frontier}):
            yield row.source_path, Step(row.source_path, row.target_path, row.source_path, row.line)

    return _shortest(source, target, imports)


_CALLS = """
    SELECT f.path, s.qualified_name, s.name, s.calls, s.call_lines FROM symbols s JOIN files f ON f.blob_id = s.blob_id
    WHERE {in_snapshot} AND s.seq > 0 AND NOT f.vendored AND cardinality(s.calls) > 0 AND {condition}
    ORDER BY f.test, f.path, s.start_line
"""
_WITHIN = text(
    _CALLS.format(
        in_snapshot=IN_SNAPSHOT, condition="f.path = :path AND s.start_line BETWEEN :line AND :end_line"
    )
)
_NAMED = text(
    "WITH followed AS (SELECT s.name FROM symbols s JOIN files f ON f.blob_id = s.blob_id "
    f"WHERE {IN_SNAPSHOT} AND s.seq > 0 AND s.name = ANY(:names) GROUP BY 1 HAVING count(*) <= {MAX_DEFINITIONS})"
    + _CALLS.format(in_snapshot=IN_SNAPSHOT, condition="s.name IN (SELECT name FROM followed)")
)


def call_path(connection: Connection, snapshot: Snapshot, source: SymbolLocation, target: str) -> list[Step]:
    """Return the shortest way by calls from a function, or the methods of a type, to a name; empty if there is none.

    Calls are by name, so a name with more than three definitions is not followed.
    """

    def calls(frontier: list[str]) -> Iterator[tuple[str, Step]]:
        if frontier == [""]:
            parameters = {"path": source.path, "line": source.line, "end_line": source.end_line}
            rows = connection.execute(_WITHIN, {**snapshot.interval, **parameters})
        else:
            rows = connection.execute(_NAMED, {**snapshot.interval, "names": frontier})
        for row in rows:
            origin = "" if frontier == [""] else row.name
            for name, line in zip(row.calls, row.call_lines, strict=True):
                yield origin, Step(row.qualified_name, name, row.path, line)

    return _shortest("", target, calls)


def _shortest(start: str, goal: str, edges: Callable[[list[str]], Iterator[tuple[str, Step]]]) -> list[Step]:
    """Return the steps of a shortest way; `edges` gives those from some places, each with the place it starts at."""
    reached: dict[str, tuple[str, Step]] = {}
    frontier = [start]
    for _ in range(MAX_DEPTH):
        following = []
        for origin, step in edges(frontier):
            if step.target not in reached and step.target != start:
                reached[step.target] = origin, step
                following.append(step.target)
        if goal in reached or not following:
            break
        frontier = following
    way: list[Step] = []
    while goal in reached:
        goal, step = reached.pop(goal)
        way.insert(0, step)
    return way
