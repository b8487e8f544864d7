"""Look up names in the current snapshot: files, symbols, calls, imports, and metrics.

Belongs here: SQL over ingested facts, each row with its location. Does not belong here: answers as text
(`answers`).
"""

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
    query = text(f"""
        SELECT f.path, s.call_lines[array_position(s.calls, :name)] AS line,
               coalesce(nullif(s.qualified_name, ''), 'top level') AS caller, f.test, count(*) OVER () AS total
        FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND NOT f.vendored AND :name = ANY(s.calls)
        ORDER BY f.test, f.path, line LIMIT {MAX_ROWS}
    """)
    rows = connection.execute(
        query, {**snapshot.interval, "name": name.replace("::", ".").rpartition(".")[2]}
    ).all()
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
    """Return commits that changed a file: (oid, subject, author_name, authored_at, kind), newest (or oldest) first."""
    query = text(f"""
        SELECT c.oid, c.subject, c.author_name, c.authored_at, x.kind
        FROM file_changes x JOIN commits c ON c.id = x.commit_id
        WHERE x.repository_id = :id AND x.path = :path AND c.reachable
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


def is_test(connection: Connection, snapshot: Snapshot, path: str) -> bool:
    """Return whether a path contains tests."""
    query = text(f"SELECT f.test FROM files f WHERE {IN_SNAPSHOT} AND f.path = :path")
    return bool(connection.scalar(query, {**snapshot.interval, "path": path}))
