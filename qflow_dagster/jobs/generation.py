"""Jobs that generate changes; the partition is the repository."""

import dagster as dg

from qflow_dagster.assets import execution, generation, ingestion, metrics, rules
from qflow_dagster.jobs import run_tags

improve_repository = dg.define_asset_job(
    "improve_repository",
    selection=dg.AssetSelection.groups(ingestion.GROUP, metrics.GROUP, rules.GROUP, generation.GROUP)
    | dg.AssetSelection.assets(execution.WORK_ITEMS, execution.PLAN),
    tags=run_tags.long(),
    description="The improvement loop up to the approvals: ingest, measure, find, plan, generate, validate, suggest.",
)

jobs = [improve_repository]
