"""Reading frames and replacing a snapshot's rows: the SQL that all metrics share.

Belongs here: statements on ingestion's tables that more than one metric reads, and writing.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, Table, delete, text

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_text
from qflow_dagster.errors import QflowError
from qflow_dagster.settings import settings


class Computed(NamedTuple):
    """What a computation wrote."""

    row_count: int
    seconds: float


class SnapshotKey(NamedTuple):
    """Which rows belong to a snapshot; `committed_at` is a timezone-aware datetime."""

    id: int
    repository_id: int
    seq: int
    commit_oid: str
    committed_at: Any

    @property
    def interval(self) -> dict[str, int]:
        """The parameters of `IN_SNAPSHOT`."""
        return {"repository_id": self.repository_id, "seq": self.seq}


def snapshot_key(connection: Connection, snapshot_id: int) -> SnapshotKey:
    """The snapshot called `snapshot_id`.

    Raises:
        QflowError: there is none.
    """
    row = connection.execute(
        text("SELECT id, repository_id, seq, commit_oid, committed_at FROM snapshots WHERE id = :id"),
        {"id": snapshot_id},
    ).one_or_none()
    if row is None:
        raise QflowError(f"there is no snapshot {snapshot_id}; ingest the repository first")
    return SnapshotKey(*row)


def read(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """The result of a statement as a frame."""
    result = connection.execute(text(statement), parameters)
    return pd.DataFrame(result.fetchall(), columns=list(result.keys()))


def compute(
    engine: Engine, snapshot_id: int, table: Table, work: Callable[[Connection, SnapshotKey], pd.DataFrame]
) -> Computed:
    """Replace the snapshot's rows of `table` by what `work` returns, in one transaction."""
    started = time.monotonic()
    with engine.begin() as connection:
        key = snapshot_key(connection, snapshot_id)
        frame = work(connection, key)
        replace(connection, table, key, frame)
    return Computed(len(frame), time.monotonic() - started)


def replace(connection: Connection, table: Table, key: SnapshotKey, frame: pd.DataFrame) -> None:
    """Write `frame` as the snapshot's rows of `table`; drop those of snapshots past the limit."""
    connection.execute(delete(table).where(table.c.snapshot_id == key.id))
    connection.execute(
        text(f"""
            DELETE FROM {table.name} WHERE snapshot_id IN (
                SELECT id FROM snapshots WHERE repository_id = :id AND id <> :snapshot
                ORDER BY seq DESC OFFSET :kept)
        """),
        {"id": key.repository_id, "snapshot": key.id, "kept": settings().metrics.snapshots - 1},
    )
    columns = [column.name for column in table.columns if column.name != "snapshot_id"]
    insert(connection, table, ["snapshot_id", *columns], frame.assign(snapshot_id=key.id))


def insert(connection: Connection, table: Table, columns: list[str], frame: pd.DataFrame) -> None:
    """COPY the columns of `frame` into `table`; NaN and NaT become NULL."""
    if frame.empty:
        return
    lists = [_plain(frame[name]) for name in columns]
    lines = "".join(map(copy_line, zip(*lists, strict=True)))
    copy_text(connection, table, columns, [lines.encode()])


def _plain(column: pd.Series) -> list[Any]:
    """The values as Python's own types."""
    if pd.api.types.is_float_dtype(column.dtype):
        return [None if value != value else value for value in column.astype(float).tolist()]
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_integer_dtype(column.dtype):
        return column.to_numpy().tolist()
    return [
        None if value is None or value is pd.NaT or value is np.nan else value for value in column.tolist()
    ]
