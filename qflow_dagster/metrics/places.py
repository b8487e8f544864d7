"""Queries on the metrics of a place, which is a file, or a folder with all below it: what is longest, largest, coupled.

Belongs here: rankings within a place. Does not belong here: other queries on metrics (`queries`).
"""

from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import FILES_OF_SNAPSHOT, IN_PLACE


def longest_functions(
    connection: Connection, snapshot_id: int, limit: int, path: str = "", *, test: bool = False
) -> list[dict[str, Any]]:
    """Return the functions with most lines, of tests or of other code, without vendored and generated files.

    `path`: those of a file, or below a folder, alone.
    """
    return _rows(
        connection,
        f"""
            SELECT s.qualified_name AS function, f.path, s.start_line AS line, s.end_line - s.start_line + 1 AS lines
            FROM snapshots n JOIN {FILES_OF_SNAPSHOT}
            JOIN symbols s ON s.blob_id = f.blob_id JOIN function_metrics m ON m.symbol_id = s.id
            WHERE n.id = :id AND s.seq > 0 AND NOT f.vendored AND NOT f.generated AND f.test = :test AND {IN_PLACE}
            ORDER BY lines DESC, f.path, s.start_line LIMIT :limit
        """,
        {"id": snapshot_id, "limit": limit, "path": path, "test": test},
    )


def first_files(
    connection: Connection, snapshot_id: int, by: str, limit: int, path: str = ""
) -> list[dict[str, Any]]:
    """Return the files with most `lines`, `commits` or `cognitive` complexity, without vendored and generated ones.

    `path`: a file alone, or those below a folder.
    """
    column = {"lines": "f.lines", "commits": "c.commits", "cognitive": "f.cognitive"}[by]
    return _rows(
        connection,
        f"""
            SELECT f.path, {column} AS number FROM file_metrics f
            LEFT JOIN change_metrics c ON c.snapshot_id = f.snapshot_id AND c.path = f.path
            WHERE f.snapshot_id = :id AND NOT f.vendored AND NOT f.generated AND {column} > 0 AND {IN_PLACE}
            ORDER BY {column} DESC, f.path LIMIT :limit
        """,
        {"id": snapshot_id, "limit": limit, "path": path},
    )


def coupled_with_folder(
    connection: Connection, snapshot_id: int, folder: str, limit: int
) -> list[dict[str, Any]]:
    """Return the files that often change with one below a folder, but are not below it, the strongest first."""
    return _rows(
        connection,
        """
            SELECT CASE WHEN starts_with(path_a, :below) THEN path_b ELSE path_a END AS path,
                   CASE WHEN starts_with(path_a, :below) THEN path_a ELSE path_b END AS own, common_commits,
                   round(degree::numeric, 2)::float AS degree
            FROM change_coupling
            WHERE snapshot_id = :id AND starts_with(path_a, :below) <> starts_with(path_b, :below)
            ORDER BY degree DESC, common_commits DESC, path, own LIMIT :limit
        """,
        {"id": snapshot_id, "below": f"{folder}/", "limit": limit},
    )


def _rows(connection: Connection, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]
