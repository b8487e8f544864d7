"""Writing of ingested data: facts of blobs, snapshots as intervals.

Contains every writing statement of ingestion except those of commits (``history``) and ``dependencies``.
Each function works in its caller's transaction; nothing is visible before that commits.
"""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy import Connection, delete, exists, select, text, update

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_text
from qflow_dagster.database.locks import lock
from qflow_dagster.ingestion import tables
from qflow_dagster.ingestion.fact_lines import FACT_COLUMNS
from qflow_dagster.ingestion.facts import EXTRACTOR_VERSION
from qflow_dagster.ingestion.git import Commit
from qflow_dagster.ingestion.queries import FILES_OF_SNAPSHOT
from qflow_dagster.registry import Lock

FILE_COLUMNS = (
    "path",
    "kind",
    "oid",
    "language",
    "symlink_target",
    "test",
    "vendored",
    "generated",
    "documentation",
    "example",
    "detectable",
)

BlobKey = tuple[str, str]


class FileRow(NamedTuple):
    """A path of a commit to be stored; `language` is None if it has no facts."""

    path: str
    kind: str
    oid: str
    language: str | None
    symlink_target: str | None
    test: bool
    vendored: bool
    # None if the content decides.
    generated: bool | None
    documentation: bool
    example: bool
    detectable: bool


class BaseSnapshot(NamedTuple):
    """The newest snapshot of a repository, to which the next is compared."""

    id: int
    seq: int
    commit_oid: str
    extractor_version: int


def known_blobs(connection: Connection, keys: Collection[BlobKey], *, missing: bool = False) -> set[BlobKey]:
    """Return those of `keys` (object id, language) whose facts of the current extractor are stored.

    `missing`: include those that could not be read.
    """
    rows = connection.execute(
        text("""
            SELECT b.oid, b.language
            FROM unnest(CAST(:oids AS text[]), CAST(:languages AS text[])) AS w (oid, language)
            JOIN blobs b ON b.oid = w.oid AND b.language = w.language AND b.extractor_version = :version
            WHERE NOT b.missing OR :missing
        """),
        {
            "missing": missing,
            "oids": [oid for oid, _ in keys],
            "languages": [language for _, language in keys],
            "version": EXTRACTOR_VERSION,
        },
    )
    return {(row.oid, row.language) for row in rows}


def reserve_blob_ids(connection: Connection, count: int) -> list[int]:
    """Reserve `count` ids for new rows."""
    statement = "SELECT nextval(pg_get_serial_sequence('blobs', 'id')) FROM generate_series(1, :count)"
    return list(connection.scalars(text(statement), {"count": count}))


def write_facts(connection: Connection, blobs: Sequence[tuple[BlobKey, dict[str, bytes], bool]]) -> None:
    """Store the facts of `blobs` (key, COPY lines, whether it is missing), except those already stored.

    Facts of a blob that was missing take the place of that note in every repository.
    """
    lock_facts(connection)
    keys = [key for key, _, _ in blobs]
    there, noted = known_blobs(connection, keys), known_blobs(connection, keys, missing=True)
    new = [lines for key, lines, missing in blobs if key not in (noted if missing else there)]
    for name, columns in FACT_COLUMNS.items():
        chunks = [lines[name] for lines in new if name in lines]
        if chunks:
            copy_text(connection, name, columns, [b"".join(chunks)])
    if noted - there:
        gaps = """FROM blobs gap JOIN blobs b ON b.oid = gap.oid AND b.language = gap.language
                  AND b.extractor_version = gap.extractor_version AND NOT b.missing WHERE gap.missing"""
        connection.execute(text(f"UPDATE files SET blob_id = b.id {gaps} AND files.blob_id = gap.id"))
        connection.execute(text(f"DELETE FROM blobs WHERE id IN (SELECT gap.id {gaps})"))


class Gap(NamedTuple):
    """A file of a snapshot whose content is missing."""

    file_id: int
    path: str
    oid: str


def gaps(connection: Connection, snapshot_id: int) -> list[Gap]:
    """Return the files of a snapshot whose content was missing when it was read."""
    rows = connection.execute(
        text(f"""
            SELECT f.id, f.path, f.oid FROM snapshots n JOIN {FILES_OF_SNAPSHOT}
            JOIN blobs b ON b.id = f.blob_id AND b.missing
            WHERE n.id = :snapshot ORDER BY f.path
        """),
        {"snapshot": snapshot_id},
    )
    return [Gap(*row) for row in rows]


def fill_gaps(connection: Connection, gaps: Sequence[Gap], languages: Sequence[str]) -> None:
    """Refer the files of `gaps` to the facts of their content in these languages, where there are any now."""
    connection.execute(
        text("""
            UPDATE files f SET blob_id = b.id, generated = f.generated OR b.generated
            FROM unnest(CAST(:ids AS bigint[]), CAST(:languages AS text[])) AS w (id, language), blobs b
            WHERE f.id = w.id AND b.oid = f.oid AND b.language = w.language
              AND b.extractor_version = :version AND NOT b.missing
        """),
        {"ids": [gap.file_id for gap in gaps], "languages": list(languages), "version": EXTRACTOR_VERSION},
    )


def lock_facts(connection: Connection) -> None:
    """Lock the facts against additions and removals until the transaction ends."""
    lock(connection, Lock.FACTS)


def delete_unused_facts(connection: Connection) -> None:
    """Delete the facts of blobs that no file of any snapshot refers to."""
    lock_facts(connection)
    used = exists().where(tables.files.c.blob_id == tables.blobs.c.id)
    connection.execute(delete(tables.blobs).where(~used))


def find_snapshot(connection: Connection, repository_id: int, commit_oid: str) -> int | None:
    """Return the id of the commit's snapshot by the current extractor, if it was published."""
    table = tables.snapshots.c
    return connection.scalar(
        select(table.id).where(
            table.repository_id == repository_id,
            table.commit_oid == commit_oid,
            table.extractor_version == EXTRACTOR_VERSION,
        )
    )


def newest_snapshot(connection: Connection, repository_id: int) -> BaseSnapshot | None:
    """Return the snapshot with the highest sequence number."""
    table = tables.snapshots.c
    row = connection.execute(
        select(table.id, table.seq, table.commit_oid, table.extractor_version)
        .where(table.repository_id == repository_id)
        .order_by(table.seq.desc())
        .limit(1)
    ).one_or_none()
    return BaseSnapshot(*row) if row else None


def paths_ending_with(connection: Connection, repository_id: int, name: str) -> list[tuple[str, str]]:
    """Return (path, object id) of the files of the newest snapshot whose path ends with `name`."""
    table = tables.files.c
    statement = select(table.path, table.oid).where(
        table.repository_id == repository_id,
        table.to_seq.is_(None),
        table.blob_id.is_not(None),
        table.path.endswith(name, autoescape=True),
    )
    return [(path, oid) for path, oid in connection.execute(statement)]


def set_current_snapshot(connection: Connection, repository_id: int, snapshot_id: int) -> None:
    """Make `snapshot_id` the current snapshot, which readers use."""
    table = tables.repositories
    connection.execute(
        update(table).where(table.c.id == repository_id).values(current_snapshot_id=snapshot_id)
    )


def insert_snapshot(
    connection: Connection, repository_id: int, commit: Commit, revision: str
) -> tuple[int, int]:
    """Insert the next snapshot of the repository, its totals still 0; returns (id, seq).

    Locks the repository's row, so snapshots of one repository are published one at a time.
    """
    row_id = tables.repositories.c.id
    connection.execute(select(row_id).where(row_id == repository_id).with_for_update())
    row = connection.execute(
        text("""
            INSERT INTO snapshots (repository_id, seq, commit_oid, tree_oid, revision, committed_at,
                                   extractor_version, file_count, bytes, lines, missing_blobs)
            SELECT :id, coalesce(max(seq), 0) + 1, :commit_oid, :tree_oid, :revision, :committed_at,
                   :version, 0, 0, 0, 0
            FROM snapshots WHERE repository_id = :id
            RETURNING id, seq
        """),
        {
            "commit_oid": commit.oid,
            "tree_oid": commit.tree,
            "revision": revision,
            "committed_at": datetime.fromtimestamp(commit.committed_at, UTC),
            "id": repository_id,
            "version": EXTRACTOR_VERSION,
        },
    ).one()
    return row.id, row.seq


def replace_files(
    connection: Connection,
    repository_id: int,
    seq: int,
    rows: Sequence[FileRow],
    removed: Sequence[str] | None,
) -> None:
    """Open the intervals of `rows` at `seq`, closing those of the same paths and of `removed` (None: all)."""
    parameters = {"id": repository_id, "seq": seq, "version": EXTRACTOR_VERSION}
    close = "UPDATE files SET to_seq = :seq WHERE repository_id = :id AND to_seq IS NULL"
    connection.execute(
        text("""
            CREATE TEMPORARY TABLE staged_files (
                path text, kind text, oid text, language text, symlink_target text,
                test boolean, vendored boolean, generated boolean, documentation boolean, example boolean,
                detectable boolean
            ) ON COMMIT DROP
        """)
    )
    copy_text(connection, "staged_files", FILE_COLUMNS, ["".join(map(copy_line, rows)).encode()])
    connection.execute(text("ANALYZE staged_files"))
    if removed is None:
        connection.execute(text(close), parameters)
    else:
        connection.execute(
            text(
                f"{close} AND path IN "
                "(SELECT path FROM staged_files UNION ALL SELECT unnest(CAST(:removed AS text[])))"
            ),
            {**parameters, "removed": list(removed)},
        )
    connection.execute(
        text("""
            INSERT INTO files (repository_id, path, kind, oid, blob_id, symlink_target, test, vendored,
                               generated, documentation, example, detectable, from_seq)
            SELECT :id, s.path, s.kind, s.oid, b.id, s.symlink_target, s.test, s.vendored,
                   coalesce(s.generated, b.generated, false), s.documentation, s.example, s.detectable, :seq
            FROM staged_files s
            LEFT JOIN blobs b ON b.oid = s.oid AND b.language = s.language AND b.extractor_version = :version
        """),
        parameters,
    )


def fill_totals(connection: Connection, snapshot_id: int) -> None:
    """Set the snapshot's totals from its rows."""
    connection.execute(
        text(f"""
            UPDATE snapshots SET file_count = t.files, bytes = t.bytes, lines = t.lines, missing_blobs = t.missing
            FROM (SELECT count(*) AS files, coalesce(sum(b.bytes), 0) AS bytes,
                         coalesce(sum(b.lines), 0) AS lines, count(*) FILTER (WHERE b.missing) AS missing
                  FROM snapshots n JOIN {FILES_OF_SNAPSHOT}
                  LEFT JOIN blobs b ON b.id = f.blob_id
                  WHERE n.id = :snapshot) t
            WHERE snapshots.id = :snapshot
        """),
        {"snapshot": snapshot_id},
    )


def current_paths(connection: Connection, repository_id: int) -> list[tuple[str, str]]:
    """Return (path, object id) of the open files: those of the snapshot being published."""
    table = tables.files.c
    rows = connection.execute(
        select(table.path, table.oid).where(
            table.repository_id == repository_id, table.to_seq.is_(None), table.kind != "submodule"
        )
    )
    return [(row.path, row.oid) for row in rows]
