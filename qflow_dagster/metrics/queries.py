"""Queries on metrics: hotspots, a file, a function, and data for pictures.

Belongs here: reading statements for the command line, the assets and the checks. Imports no
pandas, which would slow down every command.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Table, Text, cast, select, text

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion.queries import FILES_OF_SNAPSHOT, IN_PLACE, IN_SNAPSHOT
from qflow_dagster.metrics import tables

IN_CURRENT = f"JOIN snapshots n ON n.id = r.current_snapshot_id JOIN {FILES_OF_SNAPSHOT}"
MAX_SUGGESTED_NAMES = 8
# Functions, and the code outside them if it decides anything.
UNITS = "(s.seq > 0 OR m.cyclomatic > 1)"
NAME = "coalesce(nullif(s.qualified_name, ''), '(top level)')"


def function_count(connection: Connection, snapshot_id: int) -> int:
    """Count functions and methods of the snapshot, without vendored and generated files."""
    table = tables.repository_metrics.c
    return connection.scalar(select(table.functions).where(table.snapshot_id == snapshot_id)) or 0


def hotspots(connection: Connection, repository_id: int, limit: int) -> list[dict[str, Any]]:
    """Return the hotspots of the repository's current snapshot, highest score first."""
    return _rows(
        connection,
        """
            SELECT h.rank, h.path, round(h.score::numeric, 3)::float AS score, h.commits_365, h.commits,
                   h.cognitive, h.code_lines, h.authors, h.reason
            FROM repositories r JOIN hotspots h ON h.snapshot_id = r.current_snapshot_id
            WHERE r.id = :id ORDER BY h.rank LIMIT :limit
        """,
        {"id": repository_id, "limit": limit},
    )


def metrics_of(connection: Connection, repository_id: int, name: str) -> dict[str, Any]:
    """Return all metrics of the file or function called `name` in the current snapshot.

    `name` is a path, a qualified name, or the end of either.

    Raises:
        QflowError: Nothing has that name, or several have; the message lists similar names.
    """
    paths = _matching_paths(connection, repository_id, name)
    if len(paths) == 1:
        return file_metrics(connection, repository_id, paths[0])
    functions = matching_functions(connection, repository_id, name)
    if len(functions) == 1:
        return {"kind": "function", **functions[0]}
    found = paths + [f"{row['path']}:{row['name']}" for row in functions]
    if found:
        names = ", ".join(found[:MAX_SUGGESTED_NAMES]) + (
            " and others" if len(found) > MAX_SUGGESTED_NAMES else ""
        )
        raise QflowError(f"{name!r} is not one thing: {names}; give more of the path or name")
    near = _similar(connection, repository_id, name)
    hint = f"; near it: {', '.join(near)}" if near else ""
    raise QflowError(f"no file or function of the current snapshot is called {name!r}{hint}")


def file_metrics(connection: Connection, repository_id: int, path: str) -> dict[str, Any]:
    """Return size, complexity, changes, coupling, clones and most complex functions of a file."""
    key = {"id": repository_id, "path": path}
    current = "FROM repositories r JOIN {} x ON x.snapshot_id = r.current_snapshot_id WHERE r.id = :id"
    result: dict[str, Any] = {"kind": "file", "path": path}
    for title, table in (
        ("size", "file_metrics"),
        ("changes", "change_metrics"),
        ("hotspot", "hotspots"),
        ("duplication", "duplication"),
    ):
        rows = _rows(connection, f"SELECT x.* {current.format(table)} AND x.path = :path", key)
        if title == "changes" and (after := counted_after(connection, repository_id)):
            result["lines_counted_after"] = after
        if rows:
            result[title] = {k: v for k, v in rows[0].items() if k not in ("snapshot_id", "path")}
    if "size" in result:
        errors = (
            f"SELECT b.parse_error_count FROM repositories r {IN_CURRENT} JOIN blobs b ON b.id = f.blob_id"
        )
        result["size"]["parse_errors"] = connection.scalar(
            text(f"{errors} WHERE r.id = :id AND f.path = :path"), key
        )
    result["functions"] = _rows(
        connection,
        f"""
            SELECT {NAME} AS function, s.start_line AS line, m.code_lines, m.parameters, m.nesting,
                   m.cyclomatic, m.cognitive, round(m.maintainability::numeric, 1)::float AS maintainability
            FROM repositories r {IN_CURRENT}
            JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
            WHERE r.id = :id AND f.path = :path AND {UNITS}
            ORDER BY m.cognitive DESC, m.cyclomatic DESC, s.start_line
        """,
        key,
    )
    result["coupled_files"] = _rows(
        connection,
        f"""
            SELECT CASE WHEN x.path_a = :path THEN x.path_b ELSE x.path_a END AS path, x.common_commits,
                   round(x.degree::numeric, 2)::float AS degree
            {current.format("change_coupling")} AND :path IN (x.path_a, x.path_b)
            ORDER BY x.degree DESC, path LIMIT 20
        """,
        key,
    )
    result["clones"] = _rows(
        connection,
        f"""
            SELECT x.path_a || ':' || x.start_a || '-' || x.end_a AS place,
                   x.path_b || ':' || x.start_b || '-' || x.end_b AS copy, x.tokens,
                   x.copies
            {current.format("clones")} AND :path IN (x.path_a, x.path_b)
            ORDER BY x.tokens DESC LIMIT 20
        """,
        key,
    )
    return result


def owners(connection: Connection, snapshot_id: int, limit: int = 15) -> list[dict[str, Any]]:
    """Return the main authors of most files, with their share of the files' lines, and files that only they changed."""
    return _rows(
        connection,
        """
            SELECT c.main_author AS author, count(*) AS files, sum(m.code_lines) AS code_lines,
                   round(avg(c.ownership)::numeric, 2)::float AS ownership,
                   count(*) FILTER (WHERE c.authors = 1) AS alone,
                   count(*) FILTER (WHERE c.knowledge_loss > 0.5) AS lost
            FROM change_metrics c JOIN file_metrics m ON m.snapshot_id = c.snapshot_id AND m.path = c.path
            WHERE c.snapshot_id = :id AND NOT m.vendored AND NOT m.generated
            GROUP BY 1 ORDER BY files DESC, author LIMIT :limit
        """,
        {"id": snapshot_id, "limit": limit},
    )


def files_below(connection: Connection, snapshot_id: int, folder: str, limit: int) -> list[dict[str, Any]]:
    """Return the measured files below a folder ('' is the root), most complex first."""
    return _rows(
        connection,
        """
            SELECT m.path, m.language, m.code_lines, m.functions, m.cognitive, m.cognitive_max, m.fan_in, c.commits_365,
                   c.authors, c.main_author, h.rank
            FROM file_metrics m
            LEFT JOIN change_metrics c ON c.snapshot_id = m.snapshot_id AND c.path = m.path
            LEFT JOIN hotspots h ON h.snapshot_id = m.snapshot_id AND h.path = m.path
            WHERE m.snapshot_id = :id AND (:folder = '' OR starts_with(m.path, :folder || '/'))
            ORDER BY m.cognitive DESC, m.path LIMIT :limit
        """,
        {"id": snapshot_id, "folder": folder.rstrip("/"), "limit": limit},
    )


def files_in_cycles(connection: Connection, snapshot_id: int, limit: int) -> list[dict[str, Any]]:
    """Return the files that import each other in a circle, cycle by cycle, the largest first."""
    return _rows(
        connection,
        """
            SELECT path, cycle_size AS files_in_the_cycle, fan_in, fan_out, code_lines FROM file_metrics
            WHERE snapshot_id = :id AND cycle IS NOT NULL ORDER BY cycle_size DESC, cycle, path LIMIT :limit
        """,
        {"id": snapshot_id, "limit": limit},
    )


def duplicated_files(connection: Connection, snapshot_id: int, limit: int) -> list[dict[str, Any]]:
    """Return the files with lines that stand elsewhere too, those with the most first."""
    return _rows(
        connection,
        """
            SELECT path, clones AS copied_parts, duplicated_lines, ratio AS share FROM duplication
            WHERE snapshot_id = :id AND duplicated_lines > 0 ORDER BY duplicated_lines DESC, path LIMIT :limit
        """,
        {"id": snapshot_id, "limit": limit},
    )


def copied_elsewhere(connection: Connection, snapshot_id: int, path: str) -> dict[str, set[int]]:
    """Return the lines of a file that other files have too, by the path of the other."""
    rows = _rows(
        connection,
        """
            SELECT path_b AS other, start_a AS first, end_a AS last FROM clones
            WHERE snapshot_id = :id AND path_a = :path AND path_b <> :path
            UNION ALL
            SELECT path_a, start_b, end_b FROM clones WHERE snapshot_id = :id AND path_b = :path AND path_a <> :path
        """,
        {"id": snapshot_id, "path": path},
    )
    lines: dict[str, set[int]] = {}
    for row in rows:
        lines.setdefault(row["other"], set()).update(range(row["first"], row["last"] + 1))
    return lines


def counted_after(connection: Connection, repository_id: int) -> str | None:
    """Return when the newest commit was made whose lines are not counted; changed lines are complete after it."""
    return connection.scalar(
        text("""
            SELECT to_char(m.lines_counted_after, 'YYYY-MM-DD') FROM repositories r
            JOIN repository_metrics m ON m.snapshot_id = r.current_snapshot_id WHERE r.id = :id
        """),
        {"id": repository_id},
    )


def tiles(connection: Connection, snapshot_id: int) -> list[dict[str, Any]]:
    """Return path, code_lines, score and knowledge_loss of the repository's own files with code, without tests."""
    return _rows(
        connection,
        """
            SELECT m.path, m.code_lines, coalesce(h.score, 0) AS score,
                   coalesce(c.knowledge_loss, 0) AS knowledge_loss
            FROM file_metrics m LEFT JOIN hotspots h ON h.snapshot_id = m.snapshot_id AND h.path = m.path
            LEFT JOIN change_metrics c ON c.snapshot_id = m.snapshot_id AND c.path = m.path
            WHERE m.snapshot_id = :id AND m.maintainability IS NOT NULL AND NOT m.vendored
              AND NOT m.generated AND NOT m.test
        """,
        {"id": snapshot_id},
    )


def cognitive_histogram(connection: Connection, snapshot_id: int) -> list[tuple[str, int]]:
    """Count functions by class of cognitive complexity; the last two are above the usual limit of 15."""
    bounds = [
        (0, 0, "0"),
        (1, 2, "1-2"),
        (3, 5, "3-5"),
        (6, 10, "6-10"),
        (11, 15, "11-15"),
        (16, 25, "16-25"),
    ]
    row = connection.execute(
        text(
            "SELECT "
            + ", ".join(f"count(*) FILTER (WHERE m.cognitive BETWEEN {a} AND {b})" for a, b, _ in bounds)
            + f""", count(*) FILTER (WHERE m.cognitive > 25)
            FROM snapshots n JOIN {FILES_OF_SNAPSHOT}
            JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
            WHERE n.id = :id AND s.seq > 0 AND NOT f.vendored AND NOT f.generated"""
        ),
        {"id": snapshot_id},
    ).one()
    return list(zip([*(label for *_, label in bounds), "> 25"], row, strict=True))


def worst_functions(
    connection: Connection, snapshot_id: int, limit: int = 10, path: str = ""
) -> list[dict[str, Any]]:
    """Return the functions of highest cognitive complexity, without vendored and generated files.

    `path`: those of a file, or below a folder, alone.
    """
    return _rows(
        connection,
        f"""
            SELECT {NAME} AS function, f.path, s.start_line AS line, m.cognitive, m.cyclomatic,
                   m.nesting, m.code_lines
            FROM snapshots n JOIN {FILES_OF_SNAPSHOT}
            JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
            WHERE n.id = :id AND {UNITS} AND NOT f.vendored AND NOT f.generated AND {IN_PLACE}
            ORDER BY m.cognitive DESC, f.path, s.start_line LIMIT :limit
        """,
        {"id": snapshot_id, "limit": limit, "path": path},
    )


def top(
    connection: Connection,
    snapshot_id: int,
    table: Table,
    columns: Sequence[str],
    order: Sequence[ColumnElement[Any]],
) -> list[dict[str, Any]]:
    """Return these columns of the first ten rows of a metrics table in an order."""
    query = select(*(table.c[name] for name in columns)).where(table.c.snapshot_id == snapshot_id)
    return [dict(row) for row in connection.execute(query.order_by(*order).limit(10)).mappings()]


def trend(connection: Connection, snapshot_id: int) -> list[dict[str, Any]]:
    """Return the monthly trend of the repository's history."""
    table = tables.repository_trend.c
    query = (
        select(
            cast(table.month, Text).label("month"),
            table.commits,
            table.authors,
            table.added_lines,
            table.deleted_lines,
            table.net_lines,
            table.bug_fixes,
        )
        .where(table.snapshot_id == snapshot_id)
        .order_by(table.month)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def measured_commits(connection: Connection, repository_id: int, limit: int) -> list[dict[str, Any]]:
    """Return size and complexity of the repository at the last measured commits, oldest first."""
    rows = _rows(
        connection,
        """
            SELECT s.commit_oid AS commit, s.committed_at, m.code_lines, m.functions,
                   m.cognitive_p90, m.duplication_ratio
            FROM repository_metrics m JOIN snapshots s ON s.id = m.snapshot_id
            WHERE s.repository_id = :id ORDER BY s.seq DESC LIMIT :limit
        """,
        {"id": repository_id, "limit": limit},
    )
    return rows[::-1]


def repository_metrics(connection: Connection, snapshot_id: int) -> dict[str, Any]:
    """Return the metrics of the repository; empty if they are not computed."""
    table = tables.repository_metrics
    columns = [column for column in table.c if column is not table.c.snapshot_id]
    query = select(*columns).where(table.c.snapshot_id == snapshot_id)
    return dict(connection.execute(query).mappings().one_or_none() or {})


def out_of_range(connection: Connection, snapshot_id: int) -> list[dict[str, Any]]:
    """Return rows with impossible metrics; there are none in a consistent snapshot."""
    return _rows(
        connection,
        """
            SELECT 'file_metrics' AS "table", path, 'ratio or count out of range' AS problem
            FROM file_metrics WHERE snapshot_id = :id AND (
                NOT coalesce(comment_ratio BETWEEN 0 AND 1, true)
                OR NOT coalesce(docstring_ratio BETWEEN 0 AND 1, true)
                OR NOT coalesce(instability BETWEEN 0 AND 1, true)
                OR NOT coalesce(maintainability BETWEEN 0 AND 100, true)
                OR code_lines + comment_lines > lines OR cognitive_max > cognitive)
            UNION ALL
            SELECT 'change_metrics', path, 'windows do not nest, or a share is out of range'
            FROM change_metrics WHERE snapshot_id = :id AND NOT (
                commits_30 <= commits_90 AND commits_90 <= commits_365 AND commits_365 <= commits
                AND churn_30 <= churn_90 AND churn_90 <= churn_365 AND churn_365 <= churn
                AND ownership BETWEEN 0 AND 1 AND knowledge_loss BETWEEN 0 AND 1.000001
                AND bus_factor BETWEEN least(authors, 1) AND authors AND bug_fixes <= commits)
            UNION ALL
            SELECT 'hotspots', path, 'score out of range' FROM hotspots
            WHERE snapshot_id = :id AND NOT score BETWEEN 0 AND 1
            UNION ALL
            SELECT 'duplication', path, 'more duplicated lines than lines' FROM duplication
            WHERE snapshot_id = :id AND NOT ratio BETWEEN 0 AND 1
            LIMIT 20
        """,
        {"id": snapshot_id},
    )


def functions_without_metrics(connection: Connection, interval: dict[str, int]) -> int:
    """Count the functions of a snapshot (:repository_id, :seq) without metrics."""
    statement = f"""
        SELECT count(*) FROM files f JOIN symbols s ON s.blob_id = f.blob_id
        WHERE {IN_SNAPSHOT} AND s.kind IN ('function', 'method')
          AND NOT EXISTS (SELECT FROM function_metrics m WHERE m.symbol_id = s.id)
    """
    return connection.scalar(text(statement), interval) or 0


def _matching_paths(connection: Connection, repository_id: int, name: str) -> list[str]:
    statement = f"""
        SELECT f.path FROM repositories r {IN_CURRENT}
        WHERE r.id = :id AND (f.path = :name OR right(f.path, length(:name) + 1) = '/' || :name)
        ORDER BY f.path <> :name, f.path LIMIT 20
    """
    paths = [row["path"] for row in _rows(connection, statement, {"id": repository_id, "name": name})]
    return paths[:1] if paths and paths[0] == name else paths


def matching_functions(connection: Connection, repository_id: int, name: str) -> list[dict[str, Any]]:
    """Return the functions of the current snapshot of that name (`path:name` or the end of it), with their metrics."""
    path, _, function = name.rpartition(":")
    return _rows(
        connection,
        f"""
            SELECT s.qualified_name AS name, f.path, s.start_line AS line, s.end_line, s.signature,
                   s.docstring, m.code_lines, m.parameters, m.nesting, m.cyclomatic, m.cognitive,
                   m.halstead_volume, m.halstead_difficulty, m.halstead_effort, m.maintainability, s.calls
            FROM repositories r {IN_CURRENT}
            JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
            WHERE r.id = :id AND s.seq > 0 AND (:path = '' OR f.path = :path)
              AND (s.qualified_name = :name OR right(s.qualified_name, length(:name) + 1) = '.' || :name)
            ORDER BY f.path, s.start_line LIMIT 20
        """,
        {"id": repository_id, "name": function, "path": path},
    )


def _similar(connection: Connection, repository_id: int, name: str) -> list[str]:
    part = name.rpartition("/")[2].rpartition(".")[0] or name
    statement = f"""
        SELECT f.path FROM repositories r {IN_CURRENT}
        WHERE r.id = :id AND strpos(lower(f.path), lower(:part)) > 0
        ORDER BY length(f.path), f.path LIMIT 5
    """
    return [row["path"] for row in _rows(connection, statement, {"id": repository_id, "part": part})]


def _rows(connection: Connection, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]
