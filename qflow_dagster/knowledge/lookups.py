"""Look up names in the current snapshot: files, symbols, calls, imports, and metrics.

Belongs here: SQL over ingested facts, each row with its location. Does not belong here: answers as text
(`answers`).
"""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge import magic_comments
from qflow_dagster.knowledge.words import DOCUMENTS

MAX_ROWS = 20
# Of members, imports and the like all are named, or counted.
MAX_LISTED = 500
# Names that files of many folders have.
_STEMS_OF_MANY = frozenset({"", "init", "index", "mod", "lib", "main"})
# The qualified names of what is in a module of tests, or is a test itself, in a file of other code.
TEST_OF_RUST = r"(^|\.)(tests?(\.|$)|test_)"


class SymbolLocation(NamedTuple):
    """A symbol or file: its path and line, kind, name, signature and last line."""

    path: str
    line: int
    kind: str
    name: str
    signature: str
    end_line: int
    oid: str


def places_of(connection: Connection, snapshot: Snapshot, name: str) -> set[tuple[str, int]]:
    """Return the lines on which symbols of that name, without scopes, begin: (path, line)."""
    query = text(f"""
        SELECT f.path, s.start_line FROM symbols s JOIN files f ON f.blob_id = s.blob_id
        WHERE {IN_SNAPSHOT} AND s.name = :name
    """)
    return {
        (row.path, row.start_line) for row in connection.execute(query, {**snapshot.interval, "name": name})
    }


def files(connection: Connection, snapshot: Snapshot, name: str) -> list[str]:
    """Return the paths that equal `name`, else those that end with it, else those that do without an extension.

    A module of Python may be named with dots: "shop.models".
    """
    if not name:
        return []  # Of a file whose name begins with a dot, nothing is left without the extension.
    query = text(f"""
        SELECT f.path, CASE WHEN f.path = :name THEN 0 WHEN right(f.path, length(:name) + 1) = '/' || :name THEN 1
                            ELSE 2 END AS rank
        FROM files f WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')
          AND (f.path = :name OR right(f.path, length(:name) + 1) = '/' || :name
               OR (:name ~ '^\\w+(\\.\\w+)+$' AND f.path ~ '\\.pyi?$' AND right('/' || regexp_replace(
                   f.path, '(/__init__)?\\.pyi?$', ''), length(:name) + 1) = '/' || replace(:name, '.', '/'))
               OR right('/' || regexp_replace(f.path, '\\.[^./]*$', ''), length(:name) + 1) = '/' || :name)
        ORDER BY rank, f.test, f.vendored, length(f.path), f.path LIMIT 50
    """)
    rows = connection.execute(query, {**snapshot.interval, "name": name.removeprefix("./")}).all()
    return [row.path for row in rows if row.rank == rows[0].rank]


def short_name(name: str) -> str:
    """Return a name without the scopes before it."""
    return name.replace("::", ".").rpartition(".")[2]


_SYMBOLS = f"""
    SELECT f.path, s.start_line AS line, s.kind, s.qualified_name AS name, s.signature, s.end_line, f.oid
    FROM symbols s JOIN files f ON f.blob_id = s.blob_id
    WHERE {IN_SNAPSHOT} AND s.seq > 0 AND {{condition}}
    ORDER BY f.vendored, f.generated, f.test, s.qualified_name <> :name,
             s.kind NOT IN ('class', 'struct', 'interface', 'trait', 'enum', 'type', 'function', 'method', 'macro'),
             length(s.qualified_name), f.path, s.start_line LIMIT {MAX_ROWS}
"""


def symbols(connection: Connection, snapshot: Snapshot, name: str) -> list[SymbolLocation]:
    """Return the definitions of that name (qualified or not, `::` and `#` as dots), own code first.

    `path:name` means those of one file.
    """
    path, _, rest = name.rpartition(":")
    if re.search(r"[./]", path) and not path.endswith(":"):
        found = symbols(connection, snapshot, rest)
        # Of two files of that name, the path of the one in the topmost folder is no more than it.
        return [symbol for symbol in found if symbol.path == path] or [
            symbol for symbol in found if f"/{symbol.path}".endswith(f"/{path}")
        ]
    name = re.sub(r"::|#|->|\\", ".", name).strip(".")
    short_name = name.rpartition(".")[2]
    parameters = {**snapshot.interval, "name": name, "short_name": short_name}
    exact = (
        "s.name = :short_name AND "
        "right('.' || replace(s.qualified_name, '::', '.'), length(:name) + 1) = '.' || :name"
    )
    for condition in (
        exact,
        "s.name = :short_name" if short_name != name else None,
        # Who writes capitals means them: sortFlags is not SortFlags, and PAGER is a variable of the environment.
        "lower(s.name) = lower(:short_name)" if short_name.islower() else None,
    ):
        if condition is None or not short_name:
            continue
        if condition == "s.name = :short_name" and not _exists(connection, snapshot, name.partition(".")[0]):
            # What belongs to another library is not what has its last name here.
            return []
        rows = connection.execute(text(_SYMBOLS.format(condition=condition)), parameters).all()
        # For `module.function`, prefer a function in a file of the module's name.
        if rows and condition == "s.name = :short_name":
            module = name.rpartition(".")[0].replace(".", "/")
            rows = [row for row in rows if module in row.path] or rows
        if rows:
            return [SymbolLocation(*row) for row in rows]
    return []


def existing(connection: Connection, snapshot: Snapshot, words: Collection[str]) -> dict[str, set[str]]:
    """Return those of some words that name something in the snapshot, in the case they have, and its kinds.

    A file or folder is of kind "path", also without its extension if that is no word of a language: "cookie-jar".
    """
    shorts = {word: re.split(r"[.#/\\]|::|->", re.sub(r"^([^<]*\w)<.+>$", r"\1", word))[-1] for word in words}
    query = text(f"""
        SELECT DISTINCT s.name, s.kind FROM symbols s JOIN files f ON f.blob_id = s.blob_id
        WHERE {IN_SNAPSHOT} AND s.seq > 0 AND s.name = ANY(:shorts) AND NOT f.vendored AND NOT f.generated
    """)
    kinds: dict[str, set[str]] = {}
    for row in connection.execute(query, {**snapshot.interval, "shorts": sorted(set(shorts.values()))}):
        kinds.setdefault(row.name, set()).add(row.kind)
    # "Get/Insert" may be a path, and is no symbol.
    found = {word: kinds[short] for word, short in shorts.items() if short in kinds and "/" not in word}
    query = text(f"""
        SELECT w.word FROM unnest(CAST(:words AS text[])) w(word) WHERE EXISTS (
            SELECT FROM files f WHERE {IN_SNAPSHOT} AND (strpos('/' || f.path || '/', '/' || w.word || '/') > 0
              OR (w.word ~ '\\w-\\w' AND strpos('/' || f.path, '/' || w.word || '.') > 0)
              OR (w.word ~ '^\\w+(\\.\\w+)+$' AND f.path ~ '\\.pyi?$' AND regexp_replace(
                  '/' || f.path, '(/__init__)?\\.pyi?$', '') LIKE '%/' || replace(w.word, '.', '/'))))
    """)
    paths = {word.strip("/").removeprefix("./"): word for word in words if word not in found}
    parameters = {**snapshot.interval, "words": sorted(set(paths) - {""})}
    return found | {paths[path]: {"path"} for path in connection.scalars(query, parameters)}


def _exists(connection: Connection, snapshot: Snapshot, name: str) -> bool:
    """Return whether a symbol, file, folder or namespace of the snapshot has a name."""
    namespaces = text(f"""SELECT EXISTS (
        SELECT FROM files f JOIN blobs b ON b.id = f.blob_id, unnest(b.namespaces) n(namespace)
        WHERE {IN_SNAPSHOT} AND split_part(translate(n.namespace, '\\:/', '...'), '.', 1) = :name)""")
    return bool(
        symbols(connection, snapshot, name)
        or files(connection, snapshot, name)
        or folder(connection, snapshot, name)
        or connection.scalar(namespaces, {**snapshot.interval, "name": name})
    )


def ending_with(connection: Connection, snapshot: Snapshot, noun: str) -> list[SymbolLocation]:
    """Return the types of the program whose names end with a word or its singular: CsvRenderer, csv_renderer."""
    word = re.escape(noun.removesuffix("s"))
    query = _SYMBOLS.format(
        condition="s.kind IN ('class', 'struct', 'interface', 'trait', 'type') AND NOT f.test AND NOT f.vendored "
        "AND (s.name ~ :camel OR s.name ~* :snake)"
    )
    patterns = {"camel": f"[a-z0-9]{word[:1].upper()}{word[1:]}s?$", "snake": f"_{word}s?$", "name": noun}
    rows = connection.execute(text(query), {**snapshot.interval, **patterns})
    return [SymbolLocation(*row) for row in rows]


def members(connection: Connection, snapshot: Snapshot, symbol: Any) -> list[SymbolLocation]:
    """Return the symbols directly within another one; in Go the methods that its package declares for a type."""
    within = "f.path = :path AND s.start_line >= :line AND s.end_line <= :end_line"
    if symbol.path.endswith(".go"):
        within = "regexp_replace(f.path, '[^/]*$', '') = :folder AND f.path LIKE '%.go'"
    condition = f"{within} AND s.qualified_name LIKE :prefix AND s.qualified_name NOT LIKE :deeper"
    escaped = symbol.name.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    parameters = {
        **snapshot.interval,
        "name": symbol.name,
        "path": symbol.path,
        "folder": symbol.path.removesuffix(symbol.path.rpartition("/")[2]),
        "line": symbol.line,
        "end_line": symbol.end_line,
        "prefix": f"{escaped}.%",
        "deeper": f"{escaped}.%.%",
    }
    rows = connection.execute(
        text(_SYMBOLS.format(condition=condition).replace(f"LIMIT {MAX_ROWS}", f"LIMIT {MAX_LISTED}")),
        parameters,
    )
    return sorted((SymbolLocation(*row) for row in rows), key=lambda member: (member.path, member.line))


def within(
    connection: Connection, snapshot: Snapshot, path: str, *, nested: bool = False
) -> list[SymbolLocation]:
    """Return the top-level symbols of a file, in order; `nested`: also those of its types and modules."""
    parents = "OR (p.kind <> 'function' AND p.kind <> 'method')" if nested else ""
    query = text(f"""
        SELECT f.path, s.start_line, s.kind, s.qualified_name, s.signature, s.end_line, f.oid
        FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        LEFT JOIN symbols p ON p.blob_id = s.blob_id AND p.seq = s.parent_seq AND p.seq > 0
        WHERE {IN_SNAPSHOT} AND f.path = :path AND s.seq > 0 AND (p.seq IS NULL {parents})
        ORDER BY s.start_line LIMIT {MAX_LISTED}
    """)
    return [SymbolLocation(*row) for row in connection.execute(query, {**snapshot.interval, "path": path})]


def folder(connection: Connection, snapshot: Snapshot, name: str) -> str | None:
    """Return the folder of that path, or whose path ends with it, nearest to the top, own code first."""
    return next(iter(folders(connection, snapshot, name)), None)


def folders(connection: Connection, snapshot: Snapshot, name: str) -> list[str]:
    """Return the folders of that path, or whose path ends with it, nearest to the top, own code first."""
    query = text(f"""
        SELECT folder FROM (
            SELECT DISTINCT ON (1)
                   left('/' || f.path, strpos('/' || f.path, '/' || :name || '/') + length(:name)) AS folder,
                   strpos('/' || f.path, '/' || :name || '/') AS place, f.vendored, f.test
            FROM files f WHERE {IN_SNAPSHOT} AND strpos('/' || f.path, '/' || :name || '/') > 0
            ORDER BY 1, f.vendored, f.test) named
        ORDER BY vendored, test, place, folder LIMIT {MAX_ROWS}
    """)
    parameters = {**snapshot.interval, "name": name.strip("/").removeprefix("./")}
    return [path.removeprefix("/") for path in connection.scalars(query, parameters)]


def below(connection: Connection, snapshot: Snapshot, folder: str) -> list[str]:
    """Return the files in a folder and below it, those of the folder itself first."""
    query = text(f"""
        SELECT f.path FROM files f
        WHERE {IN_SNAPSHOT} AND f.kind IN ('file', 'executable')
          AND (:folder = '' OR starts_with(f.path, :folder || '/'))
        ORDER BY length(f.path) - length(replace(f.path, '/', '')), f.path LIMIT {MAX_LISTED}
    """)
    return list(connection.scalars(query, {**snapshot.interval, "folder": folder}))


def documented_file(connection: Connection, snapshot: Snapshot, path: str) -> str:
    """Return what a file says of itself: the comment or docstring at its top, or a document's beginning."""
    query = text(f"""
        SELECT string_agg(e.words, ' ' ORDER BY e.seq), bool_or(e.kind = 'document')
        FROM knowledge_entries e JOIN files f ON f.blob_id = e.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = :path AND (e.seq = 0 OR (e.seq = 1 AND e.kind = 'section'))
    """)
    words, document = connection.execute(query, {**snapshot.interval, "path": path}).one()
    return (words or "").strip() if document else magic_comments.without(words or "")


def similar(connection: Connection, snapshot: Snapshot, path: str, first: int, last: int) -> list[Any]:
    """Return files that share copied code with these lines: (path, line, own_line, tokens), most first.

    What is copied may begin before these lines.
    """
    query = text(f"""
        WITH fragments AS (
            SELECT clone_class, path, start, max(stop) AS stop, max(tokens) AS tokens FROM (
                SELECT clone_class, path_a AS path, start_a AS start, end_a AS stop, tokens FROM clones
                WHERE snapshot_id = :id
                UNION ALL
                SELECT clone_class, path_b, start_b, end_b, tokens FROM clones WHERE snapshot_id = :id) f
            GROUP BY 1, 2, 3)
        SELECT other.path, min(other.start + greatest(0, :first - own.start)) AS line,
               min(greatest(:first, own.start)) AS own_line, sum(other.tokens) AS tokens
        FROM fragments own JOIN fragments other USING (clone_class)
        WHERE own.path = :path AND own.start <= :last AND own.stop >= :first
          AND (other.path <> :path OR other.start <> own.start)
        GROUP BY 1 ORDER BY tokens DESC, 1 LIMIT {MAX_ROWS}
    """)
    parameters = {"id": snapshot.id, "path": path, "first": first, "last": last}
    return list(connection.execute(query, parameters))


def identical(connection: Connection, snapshot: Snapshot, path: str) -> list[str]:
    """Return the other files with the content of a file, unless that is empty."""
    query = text(f"""
        SELECT f.path FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path <> :path AND f.oid = :oid AND b.bytes > 0 ORDER BY f.path LIMIT {MAX_ROWS}
    """)
    oid = object_ids(connection, snapshot, [path]).get(path)
    return list(connection.scalars(query, {**snapshot.interval, "path": path, "oid": oid}))


def documented(connection: Connection, symbol: SymbolLocation) -> str:
    """Return the indexed documentation of a symbol."""
    query = text("""
        SELECT e.words FROM knowledge_entries e JOIN blobs b ON b.id = e.blob_id
        WHERE b.oid = :oid AND e.line = :line AND e.name = :name LIMIT 1
    """)
    parameters = {"oid": symbol.oid, "line": symbol.line, "name": symbol.name}
    return magic_comments.without(connection.scalar(query, parameters) or "")


def code_paths(
    connection: Connection, snapshot: Snapshot, paths: Sequence[str]
) -> dict[str, tuple[bool, bool, str]]:
    """Return those of `paths` that are own code, each with a key that sorts tests and code of documents last."""
    query = text(f"""
        SELECT f.path, f.test, f.documentation FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) AND b.parsed AND NOT f.vendored AND NOT f.generated
    """)
    rows = connection.execute(query, {**snapshot.interval, "paths": list(set(paths))})
    return {row.path: (row.test, row.documentation, row.path) for row in rows}


def languages_of(connection: Connection, snapshot: Snapshot, paths: Sequence[str]) -> dict[str, str]:
    """Return the language of each of `paths`."""
    query = text(f"""
        SELECT f.path, b.language FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths)
    """)
    rows = connection.execute(query, {**snapshot.interval, "paths": list(set(paths))})
    return {row.path: row.language for row in rows}


def unread_paths(
    connection: Connection, snapshot: Snapshot, paths: Sequence[str], *, own: bool = False
) -> set[str]:
    """Return those of `paths` that are no own code, nor documents: vendored, generated, or of no known syntax.

    `own`: own files of no known syntax alone.
    """
    unread = "(NOT b.parsed OR f.vendored OR f.generated)"
    if own:
        unread = "NOT b.parsed AND NOT f.vendored AND NOT f.generated"
    query = text(f"""
        SELECT f.path FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) AND NOT f.documentation
          AND {unread} AND b.language <> ALL(:documents)
    """)
    parameters = {**snapshot.interval, "paths": list(set(paths)), "documents": sorted(DOCUMENTS)}
    return set(connection.scalars(query, parameters))


def tests_named_after(connection: Connection, snapshot: Snapshot, path: str) -> list[str]:
    """Return the test files of the same language that have a file's name: test_oven.py, oven_test.go, OvenTest.java."""
    stem = path.rpartition("/")[2].partition(".")[0].strip("_")
    if stem in _STEMS_OF_MANY:
        return []
    pattern = rf"(^|/)(tests?[_-]?)?_*{re.escape(stem)}[_.-]?(tests?|specs?|it)?\.\w+$"
    query = text(f"""
        SELECT f.path FROM files f JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.test AND f.path <> :path AND f.path ~* :pattern AND b.language = (
            SELECT b.language FROM files f JOIN blobs b ON b.id = f.blob_id WHERE {IN_SNAPSHOT} AND f.path = :path)
        ORDER BY f.path LIMIT {MAX_ROWS}
    """)
    return list(connection.scalars(query, {**snapshot.interval, "path": path, "pattern": pattern}))


def in_tests_of_rust(
    connection: Connection, snapshot: Snapshot, places: Sequence[tuple[str, int]]
) -> set[tuple[str, int]]:
    """Return those of the places (path, line) that are in tests which Rust files have beside other code."""
    query = text(f"""
        SELECT DISTINCT w.path, w.line
        FROM unnest(CAST(:paths AS text[]), CAST(:lines AS int[])) w(path, line)
        JOIN files f ON f.path = w.path JOIN blobs b ON b.id = f.blob_id AND b.language = 'Rust'
        JOIN symbols s ON s.blob_id = f.blob_id AND w.line BETWEEN s.start_line AND s.end_line
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) AND s.qualified_name ~ '{TEST_OF_RUST}'
    """)
    parameters = {"paths": [path for path, _ in places], "lines": [line for _, line in places]}
    return {(row.path, row.line) for row in connection.execute(query, {**snapshot.interval, **parameters})}


def enclosing(
    connection: Connection, snapshot: Snapshot, places: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], str]:
    """Return the qualified name of the innermost symbol around each place (path, line); '' at top level."""
    found = enclosing_symbols(connection, snapshot, places)
    return {place: found[place].name if place in found else "" for place in places}


def enclosing_symbols(
    connection: Connection, snapshot: Snapshot, places: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], SymbolLocation]:
    """Return the innermost symbol around each place (path, line) that is in one."""
    query = text(f"""
        SELECT DISTINCT ON (w.path, w.line) w.path, w.line, s.start_line, s.kind, s.qualified_name, s.signature,
               s.end_line, f.oid
        FROM unnest(CAST(:paths AS text[]), CAST(:lines AS int[])) w(path, line)
        JOIN files f ON f.path = w.path JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND f.path = ANY(:paths) AND s.seq > 0 AND w.line BETWEEN s.start_line AND s.end_line
        ORDER BY w.path, w.line, s.start_line DESC, s.end_line
    """)
    parameters = {"paths": [path for path, _ in places], "lines": [line for _, line in places]}
    rows = connection.execute(query, {**snapshot.interval, **parameters}) if places else ()
    return {(path, line): SymbolLocation(path, *symbol) for path, line, *symbol in rows}


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
    names.pop(short.lower(), None)
    return [names[near] for near in difflib.get_close_matches(short.lower(), names, n=3, cutoff=0.7)]
