"""Assets of the group `knowledge`: the index that search and answers use."""

import dagster as dg

from qflow_dagster.assets import ingestion
from qflow_dagster.assets.metadata import MAX_ROWS, ON_COMMIT, picture, table, table_metadata
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.knowledge import index, producers, requests, tables
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress

GROUP = "knowledge"
KNOWLEDGE_INDEX = dg.AssetKey([GROUP, "index"])


@dg.asset(
    key=KNOWLEDGE_INDEX,
    freshness_policy=ON_COMMIT,
    # The index follows every ingested commit, even if the ingesting job does not include this asset.
    automation_condition=dg.AutomationCondition.eager(),
    group_name=GROUP,
    deps=[ingestion.SNAPSHOT],
    partitions_def=repositories,
    kinds={"python", "postgres"},
    code_version=str(index.VERSION),
    description="Search index of the current snapshot and its commits; also raises knowledge requests.",
    metadata=table_metadata(tables.knowledge_entries),
)
def knowledge_index(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Index the blobs that are not indexed yet."""
    engine = database.engine()
    with engine.connect() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
    indexed = index.update(engine, snapshot, progress=progress)
    with engine.begin() as connection:
        raised = producers.raise_requests(connection, snapshot)
        kinds = index.kinds(connection, snapshot)
        asked = requests.find(connection, limit=1_000)
    own = [row for row in asked if row["repository"] == snapshot.repository]
    columns = ("state", "kind", "about", "seconds", "problem")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "by_kind": picture(histogram(kinds[:8], "Entries by kind")),
            "dagster/row_count": sum(number for _, number in kinds),
            **indexed._asdict(),
            "requests_raised": len(raised),
            "requests": table(own, MAX_ROWS, columns),
        },
    )


assets = [knowledge_index]
