"""Jobs that keep the durable core in shape."""

import dagster as dg

from qflow_dagster.infrastructure.error_records import prune_occurrences
from qflow_dagster.infrastructure.health_agent import prune_samples
from qflow_dagster.quantumflow import checkpoint, prune, prune_messages
from qflow_dagster.resources.database import Database


@dg.op(description="Seals the heads of all histories, so that one that vanishes later is found.")
def seal_histories(context: dg.OpExecutionContext, database: Database) -> None:
    """Seal what moved since the last seal."""
    with database.engine().begin() as connection:
        seal = checkpoint(connection)
    context.add_output_metadata({"seal": seal.id, "heads": seal.head_count, "hash": seal.hash.hex()})


@dg.op(
    ins={"after": dg.In(dg.Nothing)},
    description="Archives workflows that ended before the retention, and drops what is past its own.",
)
def prune_workflows(context: dg.OpExecutionContext, database: Database) -> None:
    """Archive in batches, each a transaction, until nothing is old enough."""
    archived = 0
    while True:
        with database.engine().begin() as connection:
            pruned = prune(connection)
        archived += pruned.workflows
        if not pruned.workflows:
            break
    with database.engine().begin() as connection:
        dropped = {
            "messages": prune_messages(connection),
            "occurrences": prune_occurrences(connection),
            "samples": prune_samples(connection),
        }
    context.add_output_metadata(
        {"workflows_archived": archived, **{f"{k}_dropped": n for k, n in dropped.items()}}
    )


@dg.job(
    tags={"qflow/drain": "maintenance"},
    description="Seals the history of the day and archives what is past its retention.",
)
def maintain_workflows() -> None:
    """Seal first: what is archived then was sealed before."""
    prune_workflows(after=seal_histories())


jobs = [maintain_workflows]
