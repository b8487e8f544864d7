"""Files of a snapshot whose objects are missing from the repository or damaged, and what they may be.

Belongs here: which files they are. Does not belong here: what cannot be done without them, which those decide who
need them.
"""

from pathlib import Path, PurePosixPath
from typing import NamedTuple

from sqlalchemy import Connection, text

from qflow_dagster.ingestion import trees
from qflow_dagster.ingestion.languages import by_path
from qflow_dagster.ingestion.queries import IN_SNAPSHOT, Snapshot


class MissingFile(NamedTuple):
    """A file that cannot be read: whether it may be text, and the languages that its path may mean."""

    path: str
    may_be_text: bool
    languages: tuple[str, ...]

    @property
    def may_be_python(self) -> bool:
        """Whether it may be code of Python, such as a script without an extension."""
        return "Python" in self.languages or (self.may_be_text and not self.languages)


def missing_files(connection: Connection, objects: Path, snapshot: Snapshot) -> list[MissingFile]:
    """Return the files of a snapshot that cannot be read: now, or when they were ingested.

    A file is taken for data, not text, if its extension belongs to no language and to no text that can be read.
    """
    rows = connection.execute(
        text(f"""
            SELECT f.path, f.oid, b.missing, NOT b.binary AND b.language = '' AS plain
            FROM files f JOIN blobs b ON b.id = f.blob_id WHERE {IN_SNAPSHOT} ORDER BY f.path
        """),
        snapshot.interval,
    ).all()
    readable = trees.blob_sizes(objects, list({row.oid for row in rows})).keys()
    missing = [row.path for row in rows if row.missing or row.oid not in readable]
    texts = {"", *(PurePosixPath(row.path).suffix for row in rows if row.plain and not row.missing)}
    files = []
    for path in missing:
        languages = by_path(path).languages
        files.append(MissingFile(path, bool(languages) or PurePosixPath(path).suffix in texts, languages))
    return files
