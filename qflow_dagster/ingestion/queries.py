"""Queries on ingested code: snapshots, files, symbols, and consistency checks.

Belongs here: reading statements of this domain, for the assets, the checks and the command
line. Does not belong here: writing (``store``), and anything measured (``metrics``).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.errors import QflowError
from qflow_dagster.registry import WorkflowTypeName

# The rows of `files f` that belong to the snapshot (:repository_id, :seq).
IN_SNAPSHOT = (
    "f.repository_id = :repository_id AND f.from_seq <= :seq AND (f.to_seq IS NULL OR f.to_seq > :seq)"
)
# Those of the file :path, or below that folder; all if it is ''.
IN_PLACE = "(:path = '' OR f.path = :path OR starts_with(f.path, :path || '/'))"
# The files `f` of snapshots `n`, to be joined.
FILES_OF_SNAPSHOT = """
    files f ON f.repository_id = n.repository_id AND f.from_seq <= n.seq AND (f.to_seq IS NULL OR f.to_seq > n.seq)
"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One ingested commit of a repository; `bytes` and `lines` are totals over its files."""

    id: int
    repository_id: int
    repository: str
    location: str
    seq: int
    commit_oid: str
    revision: str
    committed_at: datetime
    created_at: datetime
    file_count: int
    bytes: int
    lines: int
    missing_blobs: int

    @property
    def interval(self) -> dict[str, int]:
        """Return the parameters of `IN_SNAPSHOT`."""
        return {"repository_id": self.repository_id, "seq": self.seq}


_COLUMNS = """
    s.id, r.id AS repository_id, r.name AS repository, r.location, s.seq, s.commit_oid, s.revision, s.committed_at,
    s.created_at, s.file_count, s.bytes, s.lines,
    s.missing_blobs
"""


def current_snapshot(connection: Connection, repository: str) -> Snapshot:
    """Return the current snapshot of the repository of that name.

    Raises:
        QflowError: No repository has that name, or nothing of it is ingested yet.
    """
    query = text(f"""
        SELECT {_COLUMNS} FROM repositories r LEFT JOIN snapshots s ON s.id = r.current_snapshot_id
        WHERE r.name = :name
    """)
    row = connection.execute(query, {"name": repository}).one_or_none()
    if row is None:
        raise QflowError(f"no repository is named {repository!r}; see qflow repos list")
    if row.id is None:
        raise QflowError(f"nothing of {repository!r} is ingested yet; run: qflow run {row.location}")
    return Snapshot(**row._mapping)


def snapshot_at(connection: Connection, repository: str, commit: str) -> Snapshot:
    """Return the newest snapshot of a repository at the commit whose id begins with `commit`.

    Raises:
        QflowError: No such commit of it is ingested.
    """
    query = text(f"""
        SELECT {_COLUMNS} FROM snapshots s JOIN repositories r ON r.id = s.repository_id
        WHERE r.name = :name AND starts_with(s.commit_oid, :commit) ORDER BY s.seq DESC LIMIT 1
    """)
    # What is no id of a commit begins none.
    prefix = commit if commit.isalnum() else "-"
    row = connection.execute(query, {"name": repository, "commit": prefix}).one_or_none()
    if row is None:
        raise QflowError(f"no commit {commit[:40]!r} of {repository} is ingested")
    return Snapshot(**row._mapping)


def snapshot_by_id(connection: Connection, snapshot_id: int) -> Snapshot:
    """Return the snapshot with this id.

    Raises:
        QflowError: There is no such snapshot.
    """
    query = text(f"""
        SELECT {_COLUMNS} FROM snapshots s JOIN repositories r ON r.id = s.repository_id WHERE s.id = :id
    """)
    row = connection.execute(query, {"id": snapshot_id}).one_or_none()
    if row is None:
        raise QflowError(f"there is no snapshot {snapshot_id}; ingest the repository first")
    return Snapshot(**row._mapping)


def languages(connection: Connection, snapshot: Snapshot, path: str = "") -> list[dict[str, Any]]:
    """Count per language: files, and physical, code, comment and blank lines; most code first.

    `path`: of a file, or below a folder, alone.

    Vendored and generated files are left out, as in linguist's statistics, and what `linguist-detectable` says.
    """
    return _rows(
        connection,
        f"""
            SELECT b.language, count(*) AS files, sum(b.lines) AS lines, sum(b.code_lines) AS code,
                   sum(b.comment_lines) AS comment, sum(b.blank_lines) AS blank
            FROM files f JOIN blobs b ON b.id = f.blob_id
            WHERE {IN_SNAPSHOT} AND b.language <> '' AND NOT f.vendored AND NOT f.generated AND f.detectable
              AND {IN_PLACE}
            GROUP BY b.language ORDER BY code DESC, b.language
        """,
        {**snapshot.interval, "path": path},
    )


def file_kinds(connection: Connection, snapshot: Snapshot) -> list[dict[str, Any]]:
    """Return the number of paths by kind (file, executable, symlink, submodule) and how they were read."""
    return _rows(
        connection,
        f"""
            SELECT f.kind,
                   CASE WHEN b.id IS NULL THEN ''
                        WHEN b.lfs_bytes IS NOT NULL THEN 'LFS pointer'
                        WHEN b.binary THEN 'binary'
                        WHEN b.parsed THEN 'syntax tree'
                        ELSE 'lines' END AS read_as,
                   count(*) AS paths
            FROM files f LEFT JOIN blobs b ON b.id = f.blob_id
            WHERE {IN_SNAPSHOT} GROUP BY 1, 2 ORDER BY paths DESC, 1, 2
        """,
        snapshot.interval,
    )


def totals(connection: Connection, snapshot: Snapshot, path: str) -> tuple[int, int]:
    """Count the files of a place (a file, or a folder with all below it), and their lines."""
    query = text(f"""
        SELECT count(*), coalesce(sum(b.lines), 0) FROM files f LEFT JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND {IN_PLACE}
    """)
    files, lines = connection.execute(query, {**snapshot.interval, "path": path}).one()
    return files, lines


def symbol_kinds(connection: Connection, snapshot: Snapshot, path: str = "") -> list[dict[str, Any]]:
    """Return the number of symbols by kind, with the share (0 to 1) that has a docstring.

    `path`: of a file, or below a folder, alone.
    """
    return _rows(
        connection,
        f"""
            SELECT s.kind, count(*) AS symbols, round(avg(s.docstring::int), 3)::float AS documented
            FROM files f JOIN symbols s ON s.blob_id = f.blob_id
            WHERE {IN_SNAPSHOT} AND s.seq > 0 AND {IN_PLACE} GROUP BY s.kind ORDER BY symbols DESC
        """,
        {**snapshot.interval, "path": path},
    )


def most_imported(
    connection: Connection, snapshot: Snapshot, limit: int = 10, path: str = ""
) -> list[dict[str, Any]]:
    """Return the files of the repository (of `path`, or below it, alone) that most other files import."""
    return _rows(
        connection,
        f"""
            SELECT f.target_path AS path, count(DISTINCT f.source_path) AS imported_by
            FROM dependencies f
            WHERE {IN_SNAPSHOT} AND f.target_path IS NOT NULL AND f.target_path <> f.source_path
              AND {IN_PLACE.replace("f.path", "f.target_path")}
            GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT :limit
        """,
        {**snapshot.interval, "limit": limit, "path": path},
    )


def dependency_counts(connection: Connection, snapshot: Snapshot) -> dict[str, int]:
    """Count the imports, and those that resolve to a file of the repository."""
    return dict(
        connection.execute(
            text(
                "SELECT count(*) AS imports, count(f.target_path) AS internal "
                f"FROM dependencies f WHERE {IN_SNAPSHOT}"
            ),
            snapshot.interval,
        )
        .one()
        ._mapping
    )


def commit_summary(connection: Connection, repository_id: int) -> dict[str, Any]:
    """Return commits, authors, changes and time span of the reachable history."""
    return dict(
        connection.execute(
            text("""
                SELECT count(*) AS commits, count(DISTINCT author_email) AS authors,
                       min(authored_at) AS first, max(committed_at) AS last,
                       (SELECT count(*) FROM file_changes c WHERE c.repository_id = :id) AS changes
                FROM commits WHERE repository_id = :id AND reachable
            """),
            {"id": repository_id},
        )
        .one()
        ._mapping
    )


def top_authors(connection: Connection, repository_id: int, limit: int = 10) -> list[dict[str, Any]]:
    """Return the authors of most reachable commits, with their first and last commit."""
    return _rows(
        connection,
        """
            SELECT author_name AS author, count(*) AS commits, min(authored_at)::date::text AS first,
                   max(authored_at)::date::text AS last
            FROM commits WHERE repository_id = :id AND reachable
            GROUP BY author_email, author_name ORDER BY commits DESC, author LIMIT :limit
        """,
        {"id": repository_id, "limit": limit},
    )


def repositories(connection: Connection) -> list[dict[str, Any]]:
    """Return every registered repository with its current snapshot, if any."""
    return _rows(
        connection,
        """
            SELECT r.id, r.name, r.location, r.added_at, s.commit_oid AS commit, s.revision, s.committed_at,
                   s.created_at AS ingested_at, s.file_count AS files, s.lines, s.id AS snapshot_id,
                   s.missing_blobs,
                   coalesce(r.pushed_at > clock_timestamp() - interval '5 minutes', false) AS pushed,
                   CASE WHEN s.id IS NULL THEN NULL WHEN r.history_tip IS DISTINCT FROM s.commit_oid THEN 'not read yet'
                        WHEN EXISTS (SELECT FROM commits c WHERE c.repository_id = r.id AND c.reachable
                                     AND c.line_counts = 'pending') THEN 'lines being counted'
                        WHEN EXISTS (SELECT FROM commits c WHERE c.repository_id = r.id AND c.reachable
                                     AND c.line_counts = 'missing') THEN 'objects missing'
                        ELSE 'complete' END AS history
            FROM repositories r LEFT JOIN snapshots s ON s.id = r.current_snapshot_id ORDER BY r.name
        """,
        {},
    )


def repositories_to_count(connection: Connection) -> list[int]:
    """Return the ids of the repositories with commits whose changed lines are still to be counted."""
    query = text("""
        SELECT DISTINCT repository_id FROM commits
        WHERE line_counts = 'pending' AND reachable ORDER BY repository_id
    """)
    return list(connection.scalars(query))


def seconds_since_measured(connection: Connection) -> dict[str, float | None]:
    """Return seconds since each repository was last ingested or measured, even without changes; None: never."""
    ingested, measured = WorkflowTypeName.CODE_INGESTION, WorkflowTypeName.METRICS_PIPELINE
    query = text(f"""
        SELECT r.name, extract(epoch FROM clock_timestamp() - greatest(s.created_at, w.at))::float AS age
        FROM repositories r LEFT JOIN snapshots s ON s.id = r.current_snapshot_id
        LEFT JOIN (
            SELECT payload ->> 'repository' AS name, max(finished_at) AS at FROM workflows
            WHERE type IN ('{ingested}', '{measured}') AND status = 'completed' GROUP BY 1
        ) AS w ON w.name = r.name
        ORDER BY r.name
    """)
    return {row.name: row.age for row in connection.execute(query)}


def snapshot_paths(connection: Connection, snapshot: Snapshot) -> dict[str, str]:
    """Return the object id by path, for every path of the snapshot."""
    rows = connection.execute(
        text(f"SELECT f.path, f.oid FROM files f WHERE {IN_SNAPSHOT}"), snapshot.interval
    )
    return {row.path: row.oid for row in rows}


def files_without_facts(connection: Connection, snapshot: Snapshot, limit: int = 20) -> list[str]:
    """Return paths of files (not links, not submodules) whose blob is not stored: none in a complete snapshot."""
    return list(
        connection.scalars(
            text(
                f"SELECT f.path FROM files f WHERE {IN_SNAPSHOT} AND f.blob_id IS NULL "
                "AND f.kind IN ('file', 'executable') LIMIT :limit"
            ),
            {**snapshot.interval, "limit": limit},
        )
    )


def totals_of_files(connection: Connection, snapshot: Snapshot) -> dict[str, int]:
    """Sum file count, bytes and lines over the rows of the snapshot, to compare with its stored totals."""
    return dict(
        connection.execute(
            text(f"""
                SELECT count(*) AS file_count, coalesce(sum(b.bytes), 0)::bigint AS bytes,
                       coalesce(sum(b.lines), 0)::bigint AS lines
                FROM files f LEFT JOIN blobs b ON b.id = f.blob_id WHERE {IN_SNAPSHOT}
            """),
            snapshot.interval,
        )
        .one()
        ._mapping
    )


def dangling_dependencies(
    connection: Connection, snapshot: Snapshot, limit: int = 20
) -> list[dict[str, Any]]:
    """Return dependencies whose source or target is not a path of the snapshot: none in a consistent one."""
    return _rows(
        connection,
        f"""
            WITH paths AS (SELECT f.path FROM files f WHERE {IN_SNAPSHOT})
            SELECT f.source_path, f.line, f.target_path FROM dependencies f
            WHERE {IN_SNAPSHOT} AND (
                NOT EXISTS (SELECT FROM paths p WHERE p.path = f.source_path)
                OR f.target_path IS NOT NULL
                AND NOT EXISTS (SELECT FROM paths p WHERE p.path = f.target_path))
            LIMIT :limit
        """,
        {**snapshot.interval, "limit": limit},
    )


def parse_error_rate(connection: Connection, snapshot: Snapshot) -> dict[str, Any]:
    """Count parsed files and those with parse errors, and return the files with most errors."""
    parameters = snapshot.interval
    counts = connection.execute(
        text(f"""
            SELECT count(*) AS parsed, count(*) FILTER (WHERE b.parse_error_count > 0) AS with_errors
            FROM files f JOIN blobs b ON b.id = f.blob_id
            WHERE {IN_SNAPSHOT} AND b.parsed AND NOT f.test AND NOT f.vendored
        """),
        parameters,
    ).one()
    worst = _rows(
        connection,
        f"""
            SELECT f.path, b.language, b.parse_error_count AS errors, min(e.line) AS first_line
            FROM files f JOIN blobs b ON b.id = f.blob_id LEFT JOIN parse_errors e ON e.blob_id = b.id
            WHERE {IN_SNAPSHOT} AND b.parse_error_count > 0 AND NOT f.test AND NOT f.vendored
            GROUP BY 1, 2, 3 ORDER BY errors DESC, f.path LIMIT 10
        """,
        parameters,
    )
    return {**counts._mapping, "worst": worst}


def _rows(connection: Connection, statement: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement), parameters).mappings()]
