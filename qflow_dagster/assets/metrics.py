"""Assets of the group `metrics`: the current snapshot, measured."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
from sqlalchemy import Connection, Engine

from qflow_dagster.assets.metadata import column_schema
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.assets.workflows import recorded
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.metrics import tables
from qflow_dagster.metrics.store import Computed
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress

GROUP = "metrics"

Describe = Callable[[Connection, Snapshot], Mapping[str, Any]]


def metric_asset(
    name: str,
    description: str,
    compute: Callable[[Engine, int], Computed],
    describe: Describe,
    *,
    table_name: str,
    deps: Sequence[dg.AssetKey],
    freshness: dg.FreshnessPolicy | None = None,
) -> dg.AssetsDefinition:
    """The asset that computes one table of metrics for the current snapshot and describes it."""

    @dg.asset(
        key=[GROUP, name],
        description=description,
        deps=list(deps),
        partitions_def=repositories,
        group_name=GROUP,
        kinds={"python", "pandas", "postgres"},
        code_version="1",
        freshness_policy=freshness,
        metadata={"dagster/column_schema": column_schema(tables.metadata.tables[table_name])},
    )
    def compute_asset(
        context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
    ) -> dg.MaterializeResult:
        engine = database.engine()
        with engine.connect() as connection:
            snapshot = current_snapshot(connection, context.partition_key)
        progress(f"metrics: {name}", 0, 1)
        with recorded(
            engine, "metrics_pipeline", snapshot.repository, context.run_id,
            {"asset": name, "snapshot_id": snapshot.id, "commit": snapshot.commit_oid},
        ) as record:  # fmt: skip
            computed = compute(engine, snapshot.id)
            record({"rows": computed.row_count, "seconds": round(computed.seconds, 3)})
        progress(f"metrics: {name}", 1, 1)
        with engine.connect() as connection:
            described = describe(connection, snapshot)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(snapshot.commit_oid),
            metadata={"dagster/row_count": computed.row_count, "seconds": computed.seconds, **described},
        )

    return compute_asset
