"""Definitions to launch from Dagster's page: a job, and an asset with partitions."""

import dagster as dg


@dg.op
def nothing() -> None:
    pass


@dg.job
def small() -> None:
    nothing()


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b"]))
def parts() -> None:
    pass


definitions = dg.Definitions(assets=[parts], jobs=[small])
