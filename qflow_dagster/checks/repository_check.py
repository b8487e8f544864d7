"""Asset checks partitioned by repository, so that each repository has its own result."""

import warnings
from collections.abc import Callable

import dagster as dg
from sqlalchemy import Connection

from qflow_dagster.assets.partitions import repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.resources.database import Database

# Dagster marks partitions of checks as a preview, which the exact pin of its version covers.
warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec", category=dg.PreviewWarning)


def repository_check(
    asset: dg.AssetKey, *, blocking: bool = False
) -> Callable[[Callable[[Connection, Snapshot], dg.AssetCheckResult]], dg.AssetChecksDefinition]:
    """Build an asset check, partitioned by repository, from a function of (connection, snapshot)."""

    def decorate(
        verdict: Callable[[Connection, Snapshot], dg.AssetCheckResult],
    ) -> dg.AssetChecksDefinition:
        @dg.asset_check(
            asset=asset,
            name=verdict.__name__,
            description=verdict.__doc__,
            blocking=blocking,
            partitions_def=repositories,
        )
        def check(context: dg.AssetCheckExecutionContext, database: Database) -> dg.AssetCheckResult:
            with database.engine().connect() as connection:
                snapshot = current_snapshot(connection, context.partition_key)
                return verdict(connection, snapshot)

        return check

    return decorate
