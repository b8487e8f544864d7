"""The name of a Dagster run where a workflow names its worker."""

import dagster as dg

from qflow_dagster.processes import host_name


def worker(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> str:
    """Return the name of the run of `context` as a worker."""
    return f"dagster run {context.run.run_id[:8]} on {host_name()}"
