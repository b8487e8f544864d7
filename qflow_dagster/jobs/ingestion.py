"""Jobs that start with the ingestion of a repository; the partition is the repository."""

import dagster as dg

from qflow_dagster.assets import execution, ingestion, knowledge, metrics, rules

ingest_repository = dg.define_asset_job(
    "ingest_repository",
    selection=dg.AssetSelection.groups(ingestion.GROUP),
    description="Reads a commit of the repository and its history.",
)
run_repository = dg.define_asset_job(
    "run_repository",
    selection=dg.AssetSelection.groups(ingestion.GROUP, metrics.GROUP)
    | dg.AssetSelection.assets(
        rules.FINDINGS, execution.WORK_ITEMS, execution.PLAN, knowledge.KNOWLEDGE_INDEX
    ),
    description="Ingest a commit of the repository, measure it, find, plan and index; nothing is generated.",
)

jobs = [ingest_repository, run_repository]
