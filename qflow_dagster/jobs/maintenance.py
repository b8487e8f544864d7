"""Jobs that keep the durable core in shape."""

import dagster as dg

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
    description="Archives workflows that ended before the retention, and drops messages everybody has read.",
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
        messages = prune_messages(connection)
    context.add_output_metadata({"workflows_archived": archived, "messages_dropped": messages})


@dg.job(
    tags={"qflow/drain": "maintenance"},
    description="Seals the history of the day and archives what is past its retention.",
)
def maintain_workflows() -> None:
    """Seal first: what is archived then was sealed before."""
    prune_workflows(after=seal_histories())


jobs = [maintain_workflows]
