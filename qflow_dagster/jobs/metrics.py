"""Jobs that measure a repository; the partition is the repository."""

import dagster as dg

from qflow_dagster.assets import metrics

compute_metrics = dg.define_asset_job(
    "compute_metrics",
    selection=dg.AssetSelection.groups(metrics.GROUP),
    description="Measure the repository's current snapshot.",
)

jobs = [compute_metrics]
