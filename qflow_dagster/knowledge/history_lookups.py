"""Look up the ingested history: who changed a file, what was removed and added, what changed lately.

Belongs here: SQL over commits and the files they changed. Does not belong here: what only git knows (`git_facts`),
answers as text (`history_answers`, `revision_answers`).
"""

import re
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot
from qflow_dagster.knowledge.git_facts import LineCommit

_SCOPE = r"::|\\|#|->|(?<=\w)\.(?=\w)"
# The names that a file had, each until the commit that renamed it: later commits are of another file.
_NAMES = """
    WITH RECURSIVE names AS (
        SELECT CAST(:path AS text) AS path, CAST(NULL AS bigint) AS until
        UNION
        SELECT x.previous_path, c.id FROM names JOIN file_changes x ON x.path = names.path AND x.repository_id = :id
        JOIN commits c ON c.id = x.commit_id AND c.reachable AND c.id <= coalesce(names.until, c.id)
        WHERE x.kind = 'renamed'
    ), changes AS (
        SELECT x.* FROM file_changes x WHERE x.repository_id = :id
        AND EXISTS (SELECT FROM names n WHERE n.path = x.path AND x.commit_id <= coalesce(n.until, x.commit_id))
    )
"""


def authors(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return who changed a file, most commits first; former names of the file are followed.

    Columns: author_name, commits, total (of all authors), added, oid and time of the last.
    """
    query = text(f"""
        {_NAMES}
        SELECT c.author_name, count(*) AS commits, sum(count(*)) OVER () AS total,
               sum(coalesce(x.added_lines, 0)) AS added, max(c.authored_at) AS last,
               (array_agg(c.oid ORDER BY c.authored_at DESC))[1] AS oid
        FROM changes x JOIN commits c ON c.id = x.commit_id WHERE c.reachable
        GROUP BY c.author_name ORDER BY commits DESC, added DESC LIMIT 10
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "path": path}))


def changes(connection: Connection, snapshot: Snapshot, path: str, *, oldest: bool = False) -> list[Any]:
    """Return commits that changed a file, newest (or oldest) first, under its former names too.

    Columns: oid, subject, author_name, authored_at, kind, path.
    """
    query = text(f"""
        {_NAMES}
        SELECT c.oid, c.subject, c.author_name, c.authored_at, x.kind, x.path
        FROM changes x JOIN commits c ON c.id = x.commit_id WHERE c.reachable
        ORDER BY c.id {"ASC" if oldest else "DESC"} LIMIT 10
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "path": path}))


def renames(connection: Connection, snapshot: Snapshot, path: str) -> list[Any]:
    """Return the commits that renamed a file, newest first, under its former names too.

    Columns: oid, subject, author_name, path (the new one), previous_path.
    """
    query = text(f"""
        {_NAMES}
        SELECT c.oid, c.subject, c.author_name, x.path, x.previous_path
        FROM changes x JOIN commits c ON c.id = x.commit_id WHERE c.reachable AND x.kind = 'renamed'
        ORDER BY c.id DESC LIMIT 20
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "path": path}))


def authors_below(connection: Connection, snapshot: Snapshot, folder: str) -> list[Any]:
    """Return who changed files below a folder, most commits first; the columns are those of `authors`."""
    query = text("""
        SELECT c.author_name, count(DISTINCT c.id) AS commits, sum(count(DISTINCT c.id)) OVER () AS total,
               sum(coalesce(x.added_lines, 0)) AS added, max(c.authored_at) AS last,
               (array_agg(c.oid ORDER BY c.authored_at DESC))[1] AS oid
        FROM file_changes x JOIN commits c ON c.id = x.commit_id
        WHERE x.repository_id = :id AND c.reachable AND starts_with(x.path, :below)
        GROUP BY c.author_name ORDER BY commits DESC, added DESC LIMIT 10
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "below": f"{folder}/"}))


def changes_below(
    connection: Connection, snapshot: Snapshot, folder: str, *, oldest: bool = False
) -> list[Any]:
    """Return commits that changed files below a folder, newest (or oldest) first, each with one of the files.

    Columns: oid, subject, author_name, authored_at, kind, path, previous_path, total (number of commits).
    """
    query = text(f"""
        SELECT *, count(*) OVER () AS total FROM (
            SELECT DISTINCT ON (c.id) c.id, c.oid, c.subject, c.author_name, c.authored_at, x.kind, x.path,
                   x.previous_path
            FROM file_changes x JOIN commits c ON c.id = x.commit_id
            WHERE x.repository_id = :id AND c.reachable AND starts_with(x.path, :below)
            ORDER BY c.id, x.path) changed
        ORDER BY id {"ASC" if oldest else "DESC"} LIMIT 10
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "below": f"{folder}/"}))


def removals_below(connection: Connection, snapshot: Snapshot, folder: str) -> list[Any]:
    """Return commits that deleted files below a folder, or renamed them to elsewhere, newest first.

    The folder may be given without those around it. The columns are those of `removals`.
    """
    query = text("""
        SELECT c.id, c.oid, c.subject, c.author_name, c.authored_at, x.kind,
               coalesce(x.previous_path, x.path) AS path, CASE x.kind WHEN 'renamed' THEN x.path END AS new_path
        FROM file_changes x JOIN commits c ON c.id = x.commit_id
        WHERE x.repository_id = :id AND c.reachable
          AND ((x.kind = 'deleted' AND strpos('/' || x.path, :below) > 0)
               OR (x.kind = 'renamed' AND strpos('/' || x.previous_path, :below) > 0
                   AND strpos('/' || x.path, :below) = 0))
        ORDER BY c.id DESC, coalesce(x.previous_path, x.path) ~ '^(docs?|examples?|tests?)/', x.path LIMIT 200
    """)
    return list(connection.execute(query, {"id": snapshot.repository_id, "below": f"/{folder}/"}))


def modules(connection: Connection, snapshot: Snapshot, name: str) -> list[str]:
    """Return the files of the snapshot that a name with scopes means, or that are in the folder that it means.

    Folders around it may be left out, as in `removals`.
    """
    query = text(f"""
        SELECT f.path FROM files f
        WHERE {IN_SNAPSHOT} AND (right('/' || replace(lower(regexp_replace(f.path, '\\.[^./]*$', '')), '_', ''),
                                       length(:scoped)) = :scoped OR strpos('/' || f.path, :below) > 0)
        ORDER BY f.test, length(f.path), f.path LIMIT 10
    """)
    parameters = {**snapshot.interval, "scoped": scoped(name), "below": f"/{folder_of(name)}/"}
    return list(connection.scalars(query, parameters)) if scoped(name) else []


def folder_of(name: str) -> str:
    """Return the folder that a name with scopes means: "shop.web" is shop/web."""
    return re.sub(_SCOPE, "/", name).strip("/")


def scoped(name: str) -> str:
    """Return a name with scopes as the end of a path, in lower case and without underscores; '' if it has no scope."""
    has_scopes = "/" in name or re.search(_SCOPE, name)
    return f"/{folder_of(name).lower()}".replace("_", "") if has_scopes else ""


def removals(connection: Connection, snapshot: Snapshot, name: str) -> list[Any]:
    """Return commits that deleted or renamed a file of that path, name or stem, newest first.

    A qualified name is that of a file if its scopes are folders: `Shop::BigOven` is shop/big_oven.rb.

    Columns: id (of the commit), oid, subject, author_name, authored_at, kind, path (the old one), new_path (of a
    rename).
    """
    query = text("""
        SELECT * FROM (
            SELECT c.oid, c.subject, c.author_name, c.authored_at, x.kind, c.id,
                   CASE x.kind WHEN 'renamed' THEN x.previous_path ELSE x.path END AS path,
                   CASE x.kind WHEN 'renamed' THEN x.path END AS new_path
            FROM file_changes x JOIN commits c ON c.id = x.commit_id
            WHERE x.repository_id = :id AND c.reachable AND x.kind IN ('deleted', 'renamed')) gone
        WHERE path = :name OR right(path, length(:name) + 1) = '/' || :name
           OR regexp_replace(path, '^.*/|\\.[^./]*$', '', 'g') = :name
           OR (:scoped <> '' AND right('/' || replace(lower(regexp_replace(path, '\\.[^./]*$', '')), '_', ''),
                                       length(:scoped)) = :scoped)
        ORDER BY path <> :name, path <> :name AND kind <> 'deleted', id DESC LIMIT 10
    """)
    parameters = {"id": snapshot.repository_id, "name": name.removeprefix("./"), "scoped": scoped(name)}
    return list(connection.execute(query, parameters))


def added_below(
    connection: Connection, snapshot: Snapshot, folder: str, name: str = ""
) -> list[tuple[str, LineCommit]]:
    """Return the files that were added to a folder and are still there, and the commit of each, newest first.

    Files further below are left out; with a name, those of that name in the folders of the folder are returned.
    """
    query = text(f"""
        SELECT x.path, c.oid, c.author_name, to_char(c.authored_at, 'YYYY-MM-DD'), c.subject
        FROM file_changes x JOIN commits c ON c.id = x.commit_id
        WHERE x.repository_id = :repository_id AND c.reachable AND x.kind = 'added'
          AND CASE WHEN :name = '' THEN regexp_replace(x.path, '/?[^/]*$', '') = :folder
                   ELSE right(x.path, length(:name) + 1) = '/' || :name
                        AND regexp_replace(x.path, '/?[^/]*/[^/]*$', '') = :folder END
          AND EXISTS (SELECT FROM files f WHERE {IN_SNAPSHOT} AND f.path = x.path)
        ORDER BY c.id DESC LIMIT 10
    """)
    rows = connection.execute(query, {**snapshot.interval, "folder": folder, "name": name})
    return [(path, LineCommit(*commit)) for path, *commit in rows]


def newest_commit(connection: Connection, snapshot: Snapshot) -> date | None:
    """Return the day of the newest commit; None if there is none."""
    query = text(
        "SELECT CAST(max(committed_at) AS date) FROM commits WHERE repository_id = :id AND reachable"
    )
    return connection.scalar(query, {"id": snapshot.repository_id})


def changes_in(
    connection: Connection, snapshot: Snapshot, first: date | None, last: date | None, path: str = ""
) -> list[Any]:
    """Return the changed files of the commits that were written from one day to another, newest first; no merges.

    Columns: oid, subject, author_name, authored_at, path (None of a commit without files). `path`: of this file or
    folder only.
    """
    query = text("""
        SELECT c.oid, c.subject, c.author_name, c.authored_at, x.path
        FROM commits c LEFT JOIN file_changes x ON x.commit_id = c.id
        WHERE c.repository_id = :id AND c.reachable AND cardinality(c.parents) < 2
          AND c.authored_at >= coalesce(CAST(:first AS date), '-infinity')
          AND c.authored_at < coalesce(CAST(:last AS date) + 1, 'infinity')
          AND (:path = '' OR x.path = :path OR starts_with(x.path, :path || '/'))
        ORDER BY c.authored_at DESC, c.id DESC, x.path
    """)
    parameters = {"id": snapshot.repository_id, "first": first, "last": last, "path": path.rstrip("/")}
    return list(connection.execute(query, parameters))
