"""Assets of the group `approvals`: approvals that are pending, and those that were decided."""

import dagster as dg

from qflow_dagster.approvals import lists, tables
from qflow_dagster.assets.metadata import (
    HOURLY,
    MAX_ROWS,
    approval_link,
    links,
    picture,
    table,
    table_metadata,
)
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.settings import settings

GROUP = "approvals"
# The key is older than the group: stored materializations refer to it.
APPROVALS = dg.AssetKey(["agents", "approvals"])


@dg.asset(
    key=APPROVALS,
    freshness_policy=HOURLY,
    group_name=GROUP,
    kinds={"postgres"},
    code_version="1",
    description="Approvals: those pending a person's decision, and the status of the others.",
    metadata=table_metadata(tables.approvals),
)
def approvals(database: Database) -> dg.MaterializeResult:
    """Summarize the approvals."""
    with database.engine().connect() as connection:
        counts = lists.counts(connection)
        pending = lists.find(connection, lists.Filter(status="pending"), limit=MAX_ROWS)
    columns = ("kind", "target", "reason", "requested_by", "approvals", "required_approvals", "expires_at")
    return dg.MaterializeResult(
        metadata={
            "by_status": picture(histogram(list(counts.items()), "Approvals by status")),
            "dagster/row_count": sum(counts.values()),
            "pending": table(pending, MAX_ROWS, columns),
            "decide": links(approval_link(row["id"], f"{row['kind']} {row['target']}") for row in pending),
            "inbox": dg.MetadataValue.url(settings().inbox.address),
        }
    )


assets = [approvals]
