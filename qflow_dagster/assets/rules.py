"""Assets of the group `rules`: findings of the rules in the current snapshot."""

import dagster as dg

from qflow_dagster.assets import metrics
from qflow_dagster.assets.metadata import MAX_ROWS, ON_COMMIT, picture, table, table_metadata
from qflow_dagster.assets.partitions import repositories
from qflow_dagster.evolution import findings as finding_records
from qflow_dagster.evolution import rule_engine, tables
from qflow_dagster.ingestion.queries import current_snapshot
from qflow_dagster.pictures.charts import histogram
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress

GROUP = "rules"
FINDINGS = dg.AssetKey([GROUP, "findings"])


@dg.asset(
    key=FINDINGS,
    freshness_policy=ON_COMMIT,
    group_name=GROUP,
    deps=[metrics.REPOSITORY, metrics.HOTSPOTS, metrics.FUNCTIONS],
    partitions_def=repositories,
    kinds={"python", "postgres"},
    code_version="1",
    description="Findings of the rules in the current snapshot: open, fixed, suppressed, or reopened.",
    metadata=table_metadata(tables.findings),
)
def findings(
    context: dg.AssetExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> dg.MaterializeResult:
    """Check each blob once with each rule version, and update the findings."""
    engine = database.engine()
    evaluation = rule_engine.evaluate(engine, context.partition_key, progress=progress)
    with engine.begin() as connection:
        snapshot = current_snapshot(connection, context.partition_key)
        changes = finding_records.update(connection, snapshot, evaluation)
        counted = finding_records.counts(connection, snapshot.repository_id)
        off = finding_records.off_rules(connection, snapshot.repository_id)
        worst = finding_records.find(connection, snapshot.repository_id, limit=MAX_ROWS)
    by_severity = [
        (severity, sum(row["open"] for row in counted if row["severity"] == severity))
        for severity in finding_records.SEVERITIES
    ]
    columns = ("severity", "rule", "path", "line", "message")
    return dg.MaterializeResult(
        data_version=dg.DataVersion(snapshot.commit_oid),
        metadata={
            "by_severity": picture(histogram(by_severity, "Open findings by severity")),
            "dagster/row_count": sum(count for _, count in by_severity),
            "files_evaluated": evaluation.files,
            "files_not_readable": evaluation.problems,
            "seconds": round(evaluation.seconds, 2),
            **changes,
            "rules_off": len({row["rule"] for row in off}),
            "matches_of_rules_off": sum(row["matches"] for row in off),
            "off": table(off, MAX_ROWS),
            "linter_configuration_not_read": "; ".join(evaluation.switched_off.notes) or "none",
            "worst": table(worst, MAX_ROWS, columns),
            "by_rule": table(counted, MAX_ROWS),
        },
    )


assets = [findings]
