"""Jobs that start with the ingestion of a repository; the partition is the repository."""

import dagster as dg

from qflow_dagster.assets import execution, ingestion, knowledge, metrics, rules
from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import queries
from qflow_dagster.jobs import run_tags
from qflow_dagster.metrics import past, pipeline
from qflow_dagster.resources.database import Database
from qflow_dagster.resources.progress import Progress

ingest_repository = dg.define_asset_job(
    "ingest_repository",
    selection=dg.AssetSelection.groups(ingestion.GROUP),
    tags=run_tags.long(),
    description="Reads a commit of the repository and its history.",
)
run_repository = dg.define_asset_job(
    "run_repository",
    selection=dg.AssetSelection.groups(ingestion.GROUP, metrics.GROUP)
    | dg.AssetSelection.assets(
        rules.FINDINGS, execution.WORK_ITEMS, execution.PLAN, knowledge.KNOWLEDGE_INDEX
    ),
    tags=run_tags.long(),
    description="Ingest a commit of the repository, measure it, find, plan and index; nothing is generated.",
)


@dg.op(description="Counts the changed lines of old commits, and measures the repositories again.")
def count_lines(
    context: dg.OpExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> None:
    """Count repository by repository until nothing is pending; what is counted is stored batch by batch."""
    engine = database.engine()
    with engine.connect() as connection:
        pending = queries.repositories_to_count(connection)
    results = [pipeline.count_lines(engine, repository_id, progress) for repository_id in pending]
    context.add_output_metadata(
        {
            "repositories": len(results),
            "commits": sum(result.counted for result in results),
            "missing": sum(result.missing for result in results),
        }
    )


@dg.op(
    description="Measures size and complexity at commits of the whole past.",
    ins={"counted": dg.In(dg.Nothing)},
)
def measure_past(
    context: dg.OpExecutionContext, database: Database, progress: dg.ResourceParam[Progress]
) -> None:
    """Measure repository by repository; one that cannot be read fails the run when the others are done.

    Raises:
        QflowError: The history of a repository cannot be read.
    """
    engine = database.engine()
    with engine.connect() as connection:
        pending = past.pending(connection)
    commits, unreadable = 0, []
    for repository_id in pending:
        try:
            commits += past.measure_past(engine, repository_id, progress)
        except QflowError as error:
            unreadable.append(error)
    context.add_output_metadata({"repositories": len(pending) - len(unreadable), "commits": commits})
    if unreadable:
        raise unreadable[0]


@dg.job(
    tags=run_tags.long("histories"),
    description="Counts changed lines of commits older than a year, and measures old commits: no first result waits.",
)
def complete_histories() -> None:
    """Complete the histories of ingested repositories."""
    measure_past(counted=count_lines())


jobs = [ingest_repository, run_repository, complete_histories]
