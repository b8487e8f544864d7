"""Jobs on one repository: ingest it, measure it, or both. The partition is the repository."""

import dagster as dg

from qflow_dagster.assets.coordination import KNOWLEDGE_INDEX
from qflow_dagster.assets.improvement import FINDINGS, PLAN, WORK_ITEMS

INGESTION = dg.AssetSelection.groups("ingestion")
METRICS = dg.AssetSelection.groups("metrics")

ingest_repository = dg.define_asset_job(
    "ingest_repository",
    selection=INGESTION,
    description="Read a commit of the repository and the history behind it.",
)
compute_metrics = dg.define_asset_job(
    "compute_metrics",
    selection=METRICS,
    description="Measure the repository's current snapshot.",
)
run_repository = dg.define_asset_job(
    "run_repository",
    selection=INGESTION | METRICS | dg.AssetSelection.assets(FINDINGS, WORK_ITEMS, PLAN, KNOWLEDGE_INDEX),
    description="Ingest a commit of the repository, measure it, find, plan and index; nothing is generated.",
)

jobs = [ingest_repository, compute_metrics, run_repository]
