"""Reading frames and replacing a snapshot's rows: the SQL that all metrics share.

Belongs here: statements on ingestion's tables that more than one metric reads, and writing.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sqlalchemy import Connection, Engine, Table, delete, select, text
from sqlalchemy.dialects.postgresql import insert as pg_insert

from qflow_dagster.copy_format import copy_line
from qflow_dagster.database.copy import copy_text
from qflow_dagster.ingestion.queries import Snapshot, snapshot_by_id
from qflow_dagster.ingestion.tables import repositories, snapshots
from qflow_dagster.metrics import VERSION
from qflow_dagster.metrics.tables import measurements
from qflow_dagster.settings import settings

# The commits `c` of a snapshot's history, with the parameters of `history_of`. Ancestry decides, because
# the clocks of committers are wrong at times.
IN_HISTORY = """
    c.repository_id = :repository_id
    AND CASE WHEN CAST(:ancestors AS bigint[]) IS NULL THEN c.reachable ELSE c.id = ANY(:ancestors) END
"""
ANCESTORS = text("""
    WITH RECURSIVE ancestors AS (
        SELECT id, parents FROM commits WHERE repository_id = :repository_id AND oid = :oid
        UNION
        SELECT c.id, c.parents FROM ancestors a CROSS JOIN unnest(a.parents) AS p (oid)
        JOIN commits c ON c.repository_id = :repository_id AND c.oid = p.oid
    )
    SELECT id FROM ancestors
""")
HISTORY = text("""
    SELECT concat_ws(' ', count(*), count(*) FILTER (WHERE c.line_counts = 'complete'), s.missing_blobs)
    FROM snapshots s LEFT JOIN commits c ON c.repository_id = s.repository_id AND c.reachable
    WHERE s.id = :id GROUP BY s.id
""")


class MetricResult(NamedTuple):
    """The result of computing a metric."""

    row_count: int
    seconds: float


def read(connection: Connection, statement: str, parameters: Mapping[str, Any]) -> pd.DataFrame:
    """Return the result of a statement as a data frame."""
    result = connection.execute(text(statement), parameters)
    # As plain tuples: of rows, pandas looks for attributes that they do not have, which takes half of the time.
    return pd.DataFrame(list(map(tuple, result.fetchall())), columns=list(result.keys()))


def history_of(connection: Connection, snapshot: Snapshot) -> dict[str, Any]:
    """Return the parameters of `IN_HISTORY`: the ancestors of the snapshot's commit, None if it is the tip."""
    table = repositories.c
    tip = connection.scalar(select(table.history_tip).where(table.id == snapshot.repository_id))
    parameters = {"repository_id": snapshot.repository_id, "oid": snapshot.commit_oid}
    ancestors = None if tip == snapshot.commit_oid else list(connection.scalars(ANCESTORS, parameters))
    return {"repository_id": snapshot.repository_id, "ancestors": ancestors}


def compute(
    engine: Engine, snapshot_id: int, table: Table, work: Callable[[Connection, Snapshot], pd.DataFrame]
) -> MetricResult:
    """Replace the snapshot's rows of `table` by the result of `work`, in a transaction."""
    started = time.monotonic()
    with engine.begin() as connection:
        snapshot = snapshot_by_id(connection, snapshot_id)
        frame = work(connection, snapshot)
        replace(connection, table, snapshot, frame)
    return MetricResult(len(frame), time.monotonic() - started)


def compute_once(
    engine: Engine, snapshot_id: int, metric: str, compute: Callable[[Engine, int], MetricResult]
) -> MetricResult:
    """Compute a metric of the snapshot, unless that was done before on the same basis.

    The basis is what the metric depends on besides the snapshot: version of this code, settings, length
    of the history (a shallow clone may be deepened), commits whose lines are counted, and missing blobs.
    """
    started = time.monotonic()
    with engine.connect() as connection:
        history = connection.scalar(HISTORY, {"id": snapshot_id})
        basis = f"{VERSION} {settings().metrics.model_dump_json()} {history}"
        exists = connection.scalar(
            select(measurements.c.row_count).where(
                measurements.c.snapshot_id == snapshot_id,
                measurements.c.metric == metric,
                measurements.c.basis == basis,
            )
        )
    if exists is not None:
        return MetricResult(exists, time.monotonic() - started)
    computed = compute(engine, snapshot_id)
    note = pg_insert(measurements).values(
        snapshot_id=snapshot_id, metric=metric, basis=basis, row_count=computed.row_count
    )
    with engine.begin() as connection:
        connection.execute(
            note.on_conflict_do_update(
                index_elements=["snapshot_id", "metric"],
                set_={"basis": note.excluded.basis, "row_count": note.excluded.row_count},
            )
        )
    return computed


def replace(connection: Connection, table: Table, snapshot: Snapshot, frame: pd.DataFrame) -> None:
    """Write `frame` as the snapshot's rows of `table`; delete those of the oldest snapshots above the limit."""
    connection.execute(delete(table).where(table.c.snapshot_id == snapshot.id))
    past_limit = (
        select(snapshots.c.id)
        .where(snapshots.c.repository_id == snapshot.repository_id, snapshots.c.id != snapshot.id)
        .order_by(snapshots.c.seq.desc())
        .offset(settings().metrics.snapshots - 1)
    )
    for pruned in (table, measurements):
        connection.execute(delete(pruned).where(pruned.c.snapshot_id.in_(past_limit)))
    columns = [column.name for column in table.columns if column.name != "snapshot_id"]
    insert(connection, table, ["snapshot_id", *columns], frame.assign(snapshot_id=snapshot.id))


def insert(connection: Connection, table: Table, columns: list[str], frame: pd.DataFrame) -> None:
    """COPY the columns of `frame` into `table`; NaN and NaT become NULL."""
    if frame.empty:
        return
    lists = [_plain(frame[name]) for name in columns]
    lines = "".join(map(copy_line, zip(*lists, strict=True)))
    copy_text(connection, table, columns, [lines.encode()])


def _plain(column: pd.Series) -> list[Any]:
    """Convert the values to Python's own types."""
    if pd.api.types.is_float_dtype(column.dtype):
        return [None if value != value else value for value in column.astype(float).tolist()]
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_integer_dtype(column.dtype):
        return column.to_numpy().tolist()
    return [
        None if value is None or value is pd.NaT or value is np.nan else value for value in column.tolist()
    ]
