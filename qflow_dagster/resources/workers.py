"""What a run of Dagster calls itself where a workflow names its worker."""

import dagster as dg


def worker(context: dg.AssetExecutionContext | dg.OpExecutionContext) -> str:
    """The name of the run of `context` as a worker."""
    return f"dagster run {context.run.run_id[:8]}"
