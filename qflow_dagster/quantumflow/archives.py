"""Archives: where they lie, and the workflows in them, found by the seals that cover them.

Does not belong here: what goes into an archive (`retention`).
"""

import hashlib
import json
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, select

from qflow_dagster.errors import QflowError, UsageError
from qflow_dagster.quantumflow.rows import Event
from qflow_dagster.quantumflow.tables import sealed_heads, seals
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa


class ArchiveMissingError(QflowError):
    """A workflow is in an archive that is not where archives are kept, cannot be read, or was altered."""


@dataclass(frozen=True)
class ArchiveFolder:
    """A folder of archives: a path, or the URL of a folder on object storage (`s3://bucket/folder`)."""

    address: str

    def of(self, name: str) -> str:
        """Return the address of an archive."""
        return f"{self.address.rstrip('/')}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Write an archive durably. Its name must follow from its content: what is there may be overwritten.

        Raises:
            QflowError: It cannot be written. A part of it may be there.
        """
        storage, path = self._storage(name)
        # Object storage has no folders; s3fs would make a bucket of a mistyped name.
        local = Path(path) if "file" in storage.protocol else None
        try:
            if local:
                local.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            storage.pipe_file(path, content)
            # The name is on a disk only once its folder is.
            for each in (local, local.parent) if local else ():
                _sync(each)
        # Each driver has errors of its own, beside those of the system.
        except Exception as error:
            raise QflowError(
                f"the archive of old workflows cannot be written to {self.address}: {_reason(error)}"
            ) from None

    def read(self, name: str) -> bytes:
        """Return the content of an archive.

        Raises:
            ArchiveMissingError: It is not there, or cannot be read.
        """
        storage, path = self._storage(name)
        try:
            content = storage.cat_file(path)
        except FileNotFoundError:
            raise ArchiveMissingError(f"the archive {self.of(name)} is not there") from None
        except Exception as error:
            raise ArchiveMissingError(
                f"the archive {self.of(name)} cannot be read: {_reason(error)}"
            ) from None
        return content

    def problem(self, name: str, digest: bytes) -> str | None:
        """Return what is wrong with an archive that had a SHA-256 when it was sealed; None where nothing is."""
        try:
            self.sealed(name, digest)
        except ArchiveMissingError as missing:
            return str(missing)
        return None

    def sealed(self, name: str, digest: bytes) -> bytes:
        """Return the content of an archive that had a SHA-256 when it was sealed.

        Raises:
            ArchiveMissingError: It is not there, cannot be read, or is not what was sealed.
        """
        content = self.read(name)
        if hashlib.sha256(content).digest() != digest:
            raise ArchiveMissingError(f"the archive {self.of(name)} was altered")
        return content

    def _storage(self, name: str) -> tuple[Any, str]:
        """Return the storage as fsspec's file system, and the path of an archive on it."""
        # Imported here, because it takes longer than the rest of the core together.
        from fsspec import url_to_fs

        try:
            return url_to_fs(self.of(name))
        except (ImportError, ValueError) as error:
            raise UsageError(
                f"archives cannot be kept in {self.address} (QFLOW_QUANTUMFLOW_ARCHIVE): {error}"
            ) from None


def archive_folder() -> ArchiveFolder:
    """Return where archives are kept unless a caller says otherwise."""
    return ArchiveFolder(settings().quantumflow.archive or str(settings().home / "archive"))


def archive_of(connection: Connection, workflow_id: UUID) -> tuple[str, bytes] | None:
    """Return the name of a workflow's archive, with the SHA-256 that its seal has; None if it was not archived."""
    query = (
        select(seals.c.archive, seals.c.archive_hash)
        .select_from(sealed_heads)
        .join(seals, seals.c.id == sealed_heads.c.seal_id)
        .where(sealed_heads.c.workflow_id == workflow_id, seals.c.kind == "prune")
    )
    row = connection.execute(query).first()
    return None if row is None else (row.archive, row.archive_hash)


def archived_events(connection: Connection, workflow_id: UUID) -> list[Event]:
    """Return the events of an archived workflow, first to last; none if it was not archived.

    Raises:
        ArchiveMissingError: Its archive cannot be read, or was altered.
    """
    archive = archive_of(connection, workflow_id)
    if archive is None:
        return []
    folder, (name, digest) = archive_folder(), archive
    rows, table = _load(folder, name, digest)
    if str(workflow_id) not in rows:
        raise ArchiveMissingError(
            f"the archive {folder.of(name)} does not hold {workflow_id}, which its seal names"
        )
    events: list[dict[str, Any]] = table.column("events")[rows[str(workflow_id)]].as_py()
    return [
        Event(**{**event, "workflow_id": workflow_id, "data": event["data"] and json.loads(event["data"])})
        for event in events
    ]


@lru_cache(maxsize=2)
def _load(folder: ArchiveFolder, name: str, digest: bytes) -> "tuple[dict[str, int], pa.Table]":
    """Return the events of an archive and the row of each workflow; an archive never changes."""
    # Imported here, because it takes longer than the rest of the core together.
    from pyarrow import BufferReader, parquet

    table = parquet.read_table(BufferReader(folder.sealed(name, digest)), columns=["id", "events"])
    return {id_: row for row, id_ in enumerate(table.column("id").to_pylist())}, table


def _reason(error: Exception) -> str:
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
