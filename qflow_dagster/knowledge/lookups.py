"""Look up names in the current snapshot: files, symbols, calls, imports, and metrics.

Belongs here: SQL over ingested facts, each row with its location. Does not belong here: answers as text
(`answers`).
"""

import difflib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot

MAX_ROWS = 20


class SymbolLocation(NamedTuple):
    """A symbol or file: its path and line, kind, name, signature and last line."""

    path: str
    line: int
    kind: str
    name: str
    signature: str
    end_line: int
    oid: str


def files(connection: Connection, snapshot: Snapshot, name: str) -> list[str]:
    """Return the paths that equal `name`, else those that end with it, else those whose file stem it is."""
    query = text(f"""
        SELECT f.path, CASE WHEN f.path = :name THEN 0 WHEN right(f.path, length(:name) + 1) = '/' || :name THEN 1
                            ELSE 2 END AS rank
        FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')
          AND (f.path = :name OR right(f.path, length(:name) + 1) = '/' || :name
               OR regexp_replace(f.path, '^.*/|\\.[^./]*$', '', 'g') = :name)
        ORDER BY rank, f.test, f.vendored, length(f.path), f.path LIMIT 50
    """)
    rows = connection.execute(query, {**snapshot.interval, "name": name.removeprefix("./")}).all()
    return [row.path for row in rows if row.rank == rows[0].rank]


_SYMBOLS = f"""
    SELECT f.path, s.start_line AS line, s.kind, s.qualified_name AS name, s.signature, s.end_line, f.oid
    FROM symbols s JOIN files f ON f.blob_id = s.blob_id
    WHERE {IN_SNAPSHOT} AND s.seq > 0 AND {{condition}}
    ORDER BY f.vendored, f.generated, f.test, s.qualified_name <> :name,
             s.kind NOT IN ('class', 'struct', 'interface', 'trait', 'enum', 'type', 'function', 'method', 'macro'),
             length(s.qualified_name), f.path, s.start_line LIMIT {MAX_ROWS}
"""


def symbols(connection: Connection, snapshot: Snapshot, name: str) -> list[SymbolLocation]:
    """Return the definitions of that name (qualified or not, `::` and `#` as dots), own code first."""
    name = name.replace("::", ".").replace("#", ".").replace("->", ".")
    short_name = name.rpartition(".")[2]
    parameters = {**snapshot.interval, "name": name, "short_name": short_name}
    exact = (
        "s.name = :short_name AND "
        "(s.qualified_name = :name OR right(s.qualified_name, length(:name) + 1) = '.' || :name)"
    )
    for condition in (
        exact,
        "s.name = :short_name" if short_name != name else None,
        "lower(s.name) = lower(:short_name)",
    ):
        if condition is None or not short_name:
            continue
        rows = connection.execute(text(_SYMBOLS.format(condition=condition)), parameters).all()
        # For `module.function`, prefer a function in a file of the module's name.
        if rows and condition == "s.name = :short_name":
            module = name.rpartition(".")[0].replace(".", "/")
            rows = [row for row in rows if module in row.path] or rows
        if rows:
            return [SymbolLocation(*row) for row in rows]
    return []


def calls_of(connection: Connection, snapshot: Snapshot, name: str) -> tuple[int, list[Any]]:
    """Return how many symbols call something of that name, and the first (path, line, caller, test)."""
    short = name.replace("::", ".").rpartition(".")[2]
    query = text(f"""
        SELECT f.path, s.call_lines[array_position(s.calls, :name)] AS line,
               coalesce(nullif(s.qualified_name, ''), 'top level') AS caller, f.test, count(*) OVER () AS total
        FROM files f JOIN symbols s ON s.blob_id = f.blob_id JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND :name = ANY(s.calls)
          AND (CAST(:languages AS text[]) IS NULL OR b.language = ANY(:languages))
        ORDER BY f.test, f.path, line LIMIT {MAX_ROWS}
    """)
    languages = languages_that_call(connection, snapshot, short)
    rows = connection.execute(query, {**snapshot.interval, "name": short, "languages": languages}).all()
    return (rows[0].total if rows else 0), list(rows)


def imports_of(connection: Connection, snapshot: Snapshot, name: str) -> list[Any]:
    """Return the files that import that name: (path, line, module)."""
    query = text(f"""
        SELECT f.path, i.line, i.module FROM files f JOIN imports i ON i.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND :name = ANY(i.names) ORDER BY f.test, f.path LIMIT {MAX_ROWS}
    """)
    return list(connection.execute(query, {**snapshot.interval, "name": name.rpartition(".")[2]}))


def called_by(connection: Connection, snapshot: Snapshot, symbol: SymbolLocation) -> list[tuple[str, int]]:
    """Return what a symbol calls: (name, line of the first call)."""
    query = text("""
        SELECT s.calls, s.call_lines FROM symbols s JOIN blobs b ON b.id = s.blob_id
        WHERE b.oid = :oid AND s.start_line = :line AND s.qualified_name = :name LIMIT 1
    """)
    row = connection.execute(
        query, {"oid": symbol.oid, "line": symbol.line, "name": symbol.name}
    ).one_or_none()
    return list(zip(row.calls, row.call_lines, strict=True)) if row else []


def members(connection: Connection, snapshot: Snapshot, symbol: SymbolLocation) -> list[SymbolLocation]:
    """Return the symbols directly within another one."""
    condition = (
        "f.path = :path AND s.start_line >= :line AND s.end_line <= :end_line "
        "AND s.qualified_name LIKE :prefix AND s.qualified_name NOT LIKE :deeper"
    )
    escaped = symbol.name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    parameters = {
        **snapshot.interval,
        "name": symbol.name,
        "path": symbol.path,
        "line": symbol.line,
        "end_line": symbol.end_line,
        "prefix": f"{escaped}.%",
        "deeper": f"{escaped}.%.%",
    }
    rows = connection.execute(
        text(_SYMBOLS.format(condition=condition).replace(f"LIMIT {MAX_ROWS}", "LIMIT 60")), parameters
    )
    return sorted((SymbolLocation(*row) for row in rows), key=lambda member: member.line)


def within(connection: Connection, snapshot: Snapshot, path: str) -> list[SymbolLocation]:
    """Return the top-level symbols of a file, in order."""
    query = text(f"""
        SELECT f.path, s.start_line, s.kind, s.qualified_name, s.signature, s.end_line, f.oid
        FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = :path AND s.seq > 0 AND coalesce(s.parent_seq, 0) = 0
        ORDER BY s.start_line LIMIT 60
    """)
    return [SymbolLocation(*row) for row in connection.execute(query, {**snapshot.interval, "path": path})]


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


def authors(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return who changed a file: (author_name, commits, added, oid and time of the last), most commits first.

    One rename is followed to the previous name.
    """
    query = text("""
        SELECT c.author_name, count(*) AS commits, sum(coalesce(x.added_lines, 0)) AS added,
               max(c.authored_at) AS last, (array_agg(c.oid ORDER BY c.authored_at DESC))[1] AS oid
        FROM file_changes x JOIN commits c ON c.id = x.commit_id
        WHERE x.repository_id = :id AND c.reachable AND (x.path = :path OR x.path IN (
            SELECT previous_path FROM file_changes WHERE repository_id = :id AND path = :path AND kind = 'renamed'))
        GROUP BY c.author_email, c.author_name ORDER BY commits DESC, added DESC LIMIT 10
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "path": path}))


def changes(connection: Connection, snapshot: Snapshot, path: str, *, oldest: bool = False) -> list[Any]:
    """Return commits that changed a file, newest (or oldest) first, under its former names too.

    Columns: oid, subject, author_name, authored_at, kind, path.
    """
    query = text(f"""
        WITH RECURSIVE names AS (
            SELECT CAST(:path AS text) AS path
            UNION
            SELECT x.previous_path FROM names JOIN file_changes x ON x.path = names.path AND x.repository_id = :id
            JOIN commits c ON c.id = x.commit_id AND c.reachable WHERE x.kind = 'renamed'
        )
        SELECT c.oid, c.subject, c.author_name, c.authored_at, x.kind, x.path
        FROM file_changes x JOIN commits c ON c.id = x.commit_id
        WHERE x.repository_id = :id AND x.path IN (SELECT path FROM names) AND c.reachable
        ORDER BY c.id {"ASC" if oldest else "DESC"} LIMIT 10
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "path": path}))


def similar(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return files that share copied code with this one: (path, line, own_line, tokens), most first."""
    query = text(f"""
        WITH fragments AS (
            SELECT clone_class, path, start, max(tokens) AS tokens FROM (
                SELECT clone_class, path_a AS path, start_a AS start, tokens FROM clones WHERE snapshot_id = :id
                UNION ALL
                SELECT clone_class, path_b, start_b, tokens FROM clones WHERE snapshot_id = :id) f
            GROUP BY 1, 2, 3)
        SELECT other.path, min(other.start) AS line, min(own.start) AS own_line, sum(other.tokens) AS tokens
        FROM fragments own JOIN fragments other USING (clone_class)
        WHERE own.path = :path AND (other.path <> :path OR other.start <> own.start)
        GROUP BY 1 ORDER BY tokens DESC, 1 LIMIT {MAX_ROWS}
    """)
    return list(connection.execute(query, {"id": snapshot.id, "path": path}))


def documented(connection: Connection, symbol: SymbolLocation) -> str:
    """Return the indexed documentation of a symbol."""
    query = text("""
        SELECT e.words FROM knowledge_entries e JOIN blobs b ON b.id = e.blob_id
        WHERE b.oid = :oid AND e.line = :line AND e.name = :name LIMIT 1
    """)
    return connection.scalar(query, {"oid": symbol.oid, "line": symbol.line, "name": symbol.name}) or ""


# Languages whose code can call each other.
FAMILIES = (
    ("Java", "Kotlin", "Scala", "Groovy"),
    ("C", "C++", "Objective-C", "Objective-C++"),
    ("JavaScript", "TypeScript", "TSX", "JSX", "Vue", "Svelte"),
)
_TYPES = "('class', 'struct', 'interface', 'trait', 'enum', 'object', 'impl', 'module')"


def languages_that_call(connection: Connection, snapshot: Snapshot, name: str) -> list[str] | None:
    """Return the languages from which a symbol of that name can be called; None if no symbol has the name."""
    query = text(f"""
        SELECT DISTINCT b.language FROM files f JOIN blobs b ON b.id = f.blob_id JOIN symbols s ON s.blob_id = b.id
        WHERE {IN_SNAPSHOT} AND s.name = :name AND s.seq > 0
    """)
    found = set(connection.scalars(query, {**snapshot.interval, "name": name}))
    related = {language for family in FAMILIES if found & set(family) for language in family}
    return sorted(found | related) or None


def types_with_base(connection: Connection, snapshot: Snapshot, name: str) -> list[SymbolLocation]:
    """Return the types whose declaration names `name` after their own name: classes that inherit, implementations."""
    query = text(f"""
        SELECT f.path, s.start_line AS line, s.kind, s.qualified_name AS name, s.signature, s.end_line, f.oid
        FROM symbols s JOIN files f ON f.blob_id = s.blob_id
        WHERE {IN_SNAPSHOT} AND s.kind IN {_TYPES} AND s.name <> :name AND strpos(s.signature, :name) > 0
        ORDER BY f.vendored, f.test, f.path, s.start_line LIMIT 1000
    """)
    rows = connection.execute(query, {**snapshot.interval, "name": name})
    return [symbol for row in rows if name in bases_of(symbol := SymbolLocation(*row))]


_BASE_LIST = re.compile(
    r"\((?P<python>[^()]*(?:\([^()]*\)[^()]*)*)\)\s*$"
    r"|\b(?:extends|implements|with)\b(?P<words>.*)$|(?<!:):(?!:)(?P<colon>.*)$|<\s+(?P<ruby>[\w:]+)\s*$"
    r"|\bimpl\b(?:<[^>]*>)?\s+(?P<rust>[\w:]+).*\bfor\b"
)


def bases_of(symbol: SymbolLocation) -> list[str]:
    """Return the types that a declaration names as bases or interfaces, without their modules and parameters."""
    short = symbol.name.rpartition(".")[2]
    _, _, after = symbol.signature.partition(short)
    match = _BASE_LIST.search(symbol.signature if symbol.kind == "impl" else after)
    if match is None:
        return []
    listed = next(group for group in match.groups() if group is not None)
    plain = re.sub(r"<[^<>]*>|\[[^\[\]]*\]|\([^()]*\)|\b\w+\s*=[^,]*", "", listed)
    names = re.findall(r"[A-Za-z_$][\w.$]*(?:::[\w$]+)*", plain)
    words = {"public", "private", "protected", "virtual", "extends", "implements", "with", "where", "permits"}
    return list(dict.fromkeys(re.split(r"[.:]+", name)[-1] for name in names if name not in words))


def code_paths(
    connection: Connection, snapshot: Snapshot, paths: Sequence[str]
) -> dict[str, tuple[bool, str]]:
    """Return those of `paths` that are own code, each with a key that sorts own code before tests."""
    query = text(f"""
        SELECT f.path, f.test FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) AND b.parsed AND NOT f.vendored AND NOT f.generated
          AND NOT f.documentation
    """)
    rows = connection.execute(query, {**snapshot.interval, "paths": list(set(paths))})
    return {row.path: (row.test, row.path) for row in rows}


def enclosing(connection: Connection, snapshot: Snapshot, path: str, line: int) -> str:
    """Return the qualified name of the innermost symbol around a line; '' at top level."""
    query = text(f"""
        SELECT s.qualified_name FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = :path AND s.seq > 0 AND :line BETWEEN s.start_line AND s.end_line
        ORDER BY s.start_line DESC, s.end_line LIMIT 1
    """)
    return connection.scalar(query, {**snapshot.interval, "path": path, "line": line}) or ""


def reached_from(
    connection: Connection, snapshot: Snapshot, path: str, *, exports: bool = False
) -> list[Any]:
    """Return the files that import a file directly or through others: (path, line, target, depth, test), nearest first.

    `exports`: only through files that export again what they import (packages of Python, index files, modules of Rust).
    """
    through = (
        "AND a.path ~ '(^|/)(__init__\\.pyi?|index\\.[cm]?[jt]sx?|mod\\.rs|lib\\.rs)$'" if exports else ""
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


def named(connection: Connection, snapshot: Snapshot, pattern: str, *, folder: str = "") -> list[str]:
    """Return the paths in `folder` whose file name matches a pattern (case-insensitive), nearest to the top first."""
    query = text(f"""
        SELECT f.path FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable') AND NOT f.vendored
          AND NOT f.test AND starts_with(f.path, :folder) AND regexp_replace(f.path, '^.*/', '') ~* :pattern
        ORDER BY length(f.path) - length(replace(f.path, '/', '')), f.path LIMIT {MAX_ROWS}
    """)
    return list(connection.scalars(query, {**snapshot.interval, "pattern": pattern, "folder": folder}))


def object_ids(connection: Connection, snapshot: Snapshot, paths: Sequence[str]) -> dict[str, str]:
    """Return the object id of each of `paths`."""
    query = text(f"SELECT f.path, f.oid FROM files f WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths)")
    rows = connection.execute(query, {**snapshot.interval, "paths": list(paths)})
    return {row.path: row.oid for row in rows}


def near_names(connection: Connection, snapshot: Snapshot, name: str) -> list[str]:
    """Return names of symbols and files that are spelt like `name`, the most alike first."""
    short = re.split(r"[./:]", name)[-1] or name
    query = text(f"""
        SELECT DISTINCT name FROM (
            SELECT s.name FROM files f JOIN symbols s ON s.blob_id = f.blob_id WHERE {IN_SNAPSHOT} AND s.seq > 0
            UNION SELECT regexp_replace(f.path, '^.*/', '') FROM files f WHERE {IN_SNAPSHOT}) n
        WHERE abs(length(name) - length(:short)) <= 4 AND lower(left(name, 1)) = lower(left(:short, 1)) LIMIT 20000
    """)
    names = {
        found.lower(): found for found in connection.scalars(query, {**snapshot.interval, "short": short})
    }
    return [names[near] for near in difflib.get_close_matches(short.lower(), names, n=3, cutoff=0.7)]
