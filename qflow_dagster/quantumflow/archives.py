"""Reading archived workflows: what `retention` moved to Parquet, found by the seals that cover it.

Does not belong here: writing archives (`retention`).
"""

import hashlib
import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, select

from qflow_dagster.errors import QflowError
from qflow_dagster.quantumflow.rows import Event
from qflow_dagster.quantumflow.tables import sealed_heads, seals
from qflow_dagster.settings import settings

if TYPE_CHECKING:
    import pyarrow as pa


class ArchiveMissingError(QflowError):
    """A workflow is in an archive that is not where archives are kept, or cannot be read."""


def archive_folder() -> Path:
    """Return where archives are kept unless a caller says otherwise."""
    return settings().home / "archive"


def digest_of_file(path: Path) -> bytes:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def archive_of(connection: Connection, workflow_id: UUID) -> tuple[Path, bytes] | None:
    """Return the archive of a workflow, with the SHA-256 that its seal has; None if it was not archived."""
    query = (
        select(seals.c.archive, seals.c.archive_hash)
        .select_from(sealed_heads)
        .join(seals, seals.c.id == sealed_heads.c.seal_id)
        .where(sealed_heads.c.workflow_id == workflow_id, seals.c.kind == "prune")
    )
    row = connection.execute(query).first()
    return None if row is None else (archive_folder() / row.archive, row.archive_hash)


def archived_events(connection: Connection, workflow_id: UUID) -> list[Event]:
    """Return the events of an archived workflow, first to last; none if it was not archived.

    Raises:
        ArchiveMissingError: Its archive cannot be read.
    """
    archive = archive_of(connection, workflow_id)
    if archive is None:
        return []
    path = archive[0]
    if not path.is_file():
        raise ArchiveMissingError(
            f"the history of {workflow_id} is in the archive {path}, which is not there"
        )
    # Imported here, because it takes longer than the rest of the core together.
    from pyarrow import ArrowException

    try:
        rows, table = _load(path)
    except (ArrowException, OSError):
        raise ArchiveMissingError(f"the archive {path} cannot be read: it is damaged") from None
    if str(workflow_id) not in rows:
        raise ArchiveMissingError(f"the archive {path} does not hold {workflow_id}, which its seal names")
    events: list[dict[str, Any]] = table.column("events")[rows[str(workflow_id)]].as_py()
    return [
        Event(**{**event, "workflow_id": workflow_id, "data": event["data"] and json.loads(event["data"])})
        for event in events
    ]


@lru_cache(maxsize=2)
def _load(path: Path) -> "tuple[dict[str, int], pa.Table]":
    """Return the events of an archive and the row of each workflow; an archive never changes."""
    from pyarrow import parquet

    table = parquet.read_table(path, columns=["id", "events"])
    return {id_: row for row, id_ in enumerate(table.column("id").to_pylist())}, table
