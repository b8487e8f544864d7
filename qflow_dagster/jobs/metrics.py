"""Jobs that measure a repository; the partition is the repository."""

import dagster as dg

from qflow_dagster.assets import metrics
from qflow_dagster.jobs import run_tags

compute_metrics = dg.define_asset_job(
    "compute_metrics",
    selection=dg.AssetSelection.groups(metrics.GROUP),
    tags=run_tags.long(),
    description="Measure the repository's current snapshot.",
)

jobs = [compute_metrics]
