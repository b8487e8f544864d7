"""The graph of imports and calls of the current snapshot: dependents, dependencies, paths between two places.

Belongs here: SQL that follows edges. Does not belong here: names (`lookups`), answers as text (`code_answers`,
`relation_answers`).
"""

import re
from collections.abc import Callable, Collection, Hashable, Iterator
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge.call_targets import CallResolver
from qflow_dagster.knowledge.declarations import Declarations, Definition
from qflow_dagster.knowledge.lookups import MAX_LISTED, SymbolLocation

# Longer paths explain nothing.
MAX_DEPTH = 6
# A call that could be of more definitions than this is not followed.
MAX_DEFINITIONS = 3
# The path and line of a symbol.
Location = tuple[str, int]
Place = TypeVar("Place", bound=Hashable)
# A file may import the same in several places: in functions, for types alone, under a condition.
_LINES = "array_agg(DISTINCT f.line) AS lines"


class Step(NamedTuple):
    """A step of a path: what calls or imports what, and where; the verb is '' if it is that of the path."""

    source: str
    target: str
    path: str
    line: int
    verb: str = ""


def dependents(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return the files that import this one: (path, line, lines, total), own code before tests; `line` is the first."""
    query = text(f"""
        WITH importing AS (
            SELECT f.source_path AS path, min(f.line) AS line, {_LINES} FROM dependencies f
            WHERE {IN_SNAPSHOT} AND f.target_path = :path AND f.source_path <> :path GROUP BY 1)
        SELECT path, line, lines, count(*) OVER () AS total FROM importing
        ORDER BY path ~* '(^|/)tests?/|test_|_test', path LIMIT {MAX_LISTED}
    """)
    return list(connection.execute(query, {**snapshot.interval, "path": path}))


def imports_of(connection: Connection, snapshot: Snapshot, name: str) -> list[Any]:
    """Return the files that import that name: (path, line, module)."""
    query = text(f"""
        SELECT f.path, i.line, i.module FROM files f JOIN imports i ON i.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored
          AND (:name = ANY(i.names) OR (cardinality(i.names) = 0 AND right(i.module, length(:name) + 1) = '.' || :name))
        ORDER BY f.test, f.path LIMIT {MAX_LISTED}
    """)
    return list(connection.execute(query, {**snapshot.interval, "name": name.rpartition(".")[2]}))


def between(connection: Connection, snapshot: Snapshot, source: str, target: str) -> list[Any]:
    """Return the imports of files in one folder that are of another (or of a file): (path, line, target)."""
    query = text(f"""
        SELECT f.source_path AS path, min(f.line) AS line, f.target_path AS target FROM dependencies f
        WHERE {IN_SNAPSHOT} AND (f.source_path = :source OR starts_with(f.source_path, :source || '/'))
          AND (f.target_path = :target OR starts_with(f.target_path, :target || '/'))
        GROUP BY 1, 3 ORDER BY f.source_path ~* '(^|/)tests?/|test_|_test', 1, 2 LIMIT {MAX_LISTED}
    """)
    return list(connection.execute(query, {**snapshot.interval, "source": source, "target": target}))


def dependencies(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return what a file imports: (line, lines, module, target_path or None if external); `line` is the first."""
    query = text(f"""
        SELECT min(f.line) AS line, {_LINES}, (array_agg(f.module ORDER BY f.line))[1] AS module, f.target_path
        FROM dependencies f WHERE {IN_SNAPSHOT} AND f.source_path = :path
        GROUP BY f.target_path, CASE WHEN f.target_path IS NULL THEN f.module END
    """)
    rows = list(connection.execute(query, {**snapshot.interval, "path": path}))
    return sorted(rows, key=lambda row: (row.target_path is None, row.line))


def imports_of_code(connection: Connection, snapshot: Snapshot, ending: str) -> list[Any]:
    """Return what files whose path matches a pattern import: (path, lines, module, test), own code before tests."""
    query = text(f"""
        SELECT f.source_path AS path, {_LINES}, f.module, bool_or(g.test) AS test
        FROM dependencies f JOIN files g ON g.repository_id = f.repository_id AND g.path = f.source_path
         AND g.from_seq <= :seq AND (g.to_seq IS NULL OR g.to_seq > :seq)
        WHERE {IN_SNAPSHOT} AND f.source_path ~ :ending AND NOT g.vendored
        GROUP BY 1, 3 ORDER BY 4, 1, 2
    """)
    return list(connection.execute(query, {**snapshot.interval, "ending": ending}))


def imports_below(connection: Connection, snapshot: Snapshot, folder: str) -> list[Any]:
    """Return what files below a folder import that is not below it: (path, line, module, target_path), first lines.

    The target is None if it is external; then each module is returned once.
    """
    query = text(f"""
        SELECT DISTINCT ON (coalesce(f.target_path, f.module)) f.source_path AS path, f.line, f.module, f.target_path
        FROM dependencies f
        WHERE {IN_SNAPSHOT} AND starts_with(f.source_path, :below)
          AND (f.target_path IS NULL OR NOT starts_with(f.target_path, :below))
        ORDER BY coalesce(f.target_path, f.module), f.source_path, f.line
    """)
    rows = list(connection.execute(query, {**snapshot.interval, "below": f"{folder}/"}))
    return sorted(rows, key=lambda row: (row.target_path is None, row.path, row.line))


def importing(connection: Connection, snapshot: Snapshot, name: str) -> list[Any]:
    """Return the imports of a module by its name, whatever that refers to: (path, line, module, targets, inside).

    The name is that of the module, or its last parts, or those of what is imported from it; or the module is `inside`
    of what has the name. An external module has no targets. Tests are last.
    """
    query = text(f"""
        WITH named AS (
            SELECT f.path, f.test, i.line, i.module, n.name, regexp_replace(i.module, '::|[\\\\/:]', '.', 'g') AS dotted
            FROM files f JOIN imports i ON i.blob_id = f.blob_id LEFT JOIN LATERAL unnest(i.names) n(name) ON true
            WHERE {IN_SNAPSHOT} AND NOT f.vendored AND NOT f.generated)
        SELECT n.path, n.line, min(n.module) AS module,
               array_remove(array_agg(DISTINCT d.target_path), NULL) AS targets,
               bool_and(starts_with(n.dotted, :name || '.')) AS inside
        FROM named n LEFT JOIN LATERAL (
            SELECT f.target_path FROM dependencies f WHERE {IN_SNAPSHOT} AND f.source_path = n.path
              AND f.line = n.line AND f.module = n.module) d ON true
        WHERE starts_with(n.dotted, :name || '.') OR right('.' || n.dotted, length(:name) + 1) = '.' || :name
           OR right('.' || n.dotted || '.' || n.name, length(:name) + 1) = '.' || :name
        GROUP BY n.path, n.line, n.test ORDER BY n.test, n.path, n.line LIMIT {MAX_LISTED}
    """)
    dotted = re.sub(r"::|[\\/:]", ".", name)
    return list(connection.execute(query, {**snapshot.interval, "name": dotted}))


def reached_from(
    connection: Connection, snapshot: Snapshot, paths: list[str], *, exports: bool = False
) -> list[Any]:
    """Return the files that import one of some files directly or through others, nearest first.

    Columns: path, line, lines, target, depth, test; the lines are those that import the nearest of the files, of which
    the first one imports `target`.

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
            SELECT unnest(CAST(:paths AS text[])) AS path, 0 AS depth
            UNION
            SELECT f.source_path, a.depth + 1 FROM reached a JOIN dependencies f ON f.target_path = a.path
            WHERE {IN_SNAPSHOT} AND a.depth < 8 AND (a.depth = 0 OR true {through})
        ), nearest AS (SELECT path, min(depth) AS depth FROM reached WHERE path <> ALL(:paths) GROUP BY 1)
        SELECT n.path, d.line, d.lines, d.target, n.depth, g.test
        FROM nearest n
        JOIN LATERAL (SELECT min(f.line) AS line, {_LINES}, (array_agg(f.target_path ORDER BY f.line))[1] AS target
                      FROM dependencies f JOIN reached r ON r.path = f.target_path AND r.depth = n.depth - 1
                      WHERE {IN_SNAPSHOT} AND f.source_path = n.path) d ON true
        JOIN LATERAL (SELECT f.test FROM files f WHERE {IN_SNAPSHOT} AND f.path = n.path) g ON true
        ORDER BY n.depth, g.test, n.path LIMIT 500
    """)
    return list(connection.execute(query, {**snapshot.interval, "paths": paths}))


def import_path(connection: Connection, snapshot: Snapshot, source: str, target: str) -> list[Step]:
    """Return the shortest way by imports from a file to another one; empty if there is none."""
    query = text(f"""
        SELECT f.source_path, f.target_path, min(f.line) AS line FROM dependencies f
        WHERE {IN_SNAPSHOT} AND f.source_path = ANY(:frontier) AND f.target_path IS NOT NULL GROUP BY 1, 2 ORDER BY 1, 2
    """)

    def imports(frontier: list[str]) -> Iterator[tuple[str, str, Step]]:
        for row in connection.execute(query, {**snapshot.interval, "frontier": frontier}):
            yield (
                row.source_path,
                row.target_path,
                Step(row.source_path, row.target_path, row.source_path, row.line),
            )

    return _shortest(source, {target}, imports)


def call_path(
    connection: Connection, snapshot: Snapshot, source: SymbolLocation, goals: Collection[SymbolLocation]
) -> list[Step]:
    """Return the shortest way by calls from a function, or the methods of a type, to a goal; empty if there is none.

    A call that could be of more than three symbols is not followed.
    """
    declarations = Declarations(connection, snapshot)
    resolver = CallResolver(declarations)
    reached: dict[Location, SymbolLocation | Definition] = {(source.path, source.line): source}

    def calls(frontier: list[Location]) -> Iterator[tuple[Location, Location, Step]]:
        rows = declarations.calls(within=[reached[place] for place in frontier])
        resolver.prepare(rows)
        for call in rows:
            definitions = resolver.resolve(call).definitions
            origin = call.path, call.caller_line
            for definition in definitions if len(definitions) <= MAX_DEFINITIONS else ():
                place = definition.path, definition.line
                reached.setdefault(place, definition)
                step = Step(call.caller or "top level", call.name, call.path, call.line)
                # The methods of a type are within it.
                yield origin if origin in reached else (source.path, source.line), place, step

    return _shortest((source.path, source.line), {(goal.path, goal.line) for goal in goals}, calls)


def _shortest(
    start: Place,
    goals: Collection[Place],
    edges: Callable[[list[Place]], Iterator[tuple[Place, Place, Step]]],
) -> list[Step]:
    """Return the steps of a shortest way; `edges` gives those from some places: (from, to, step)."""
    reached: dict[Place, tuple[Place, Step]] = {}
    frontier = [start]
    for _ in range(MAX_DEPTH):
        following = []
        for origin, place, step in edges(frontier):
            if place not in reached and place != start:
                reached[place] = origin, step
                following.append(place)
        if any(goal in reached for goal in goals) or not following:
            break
        frontier = following
    goal = next((place for place in reached if place in goals), None)
    way: list[Step] = []
    while goal is not None and goal in reached:
        goal, step = reached.pop(goal)
        way.insert(0, step)
    return way
