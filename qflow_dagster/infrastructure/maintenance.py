"""Nightly maintenance of the database: sealing histories, archiving workflows, deleting rows past their retention."""

from sqlalchemy import Engine

from qflow_dagster.infrastructure.error_records import prune_occurrences
from qflow_dagster.infrastructure.health_states import prune_samples
from qflow_dagster.infrastructure.intake_counts import prune_sessions
from qflow_dagster.quantumflow import Seal, checkpoint, prune, prune_messages
from qflow_dagster.quantumflow.draining import batches

# Batches of archived workflows per night.
MAX_BATCHES = 1_000


def seal(engine: Engine) -> Seal:
    """Seal the heads of all histories that changed since the last seal."""
    with engine.begin() as connection:
        return checkpoint(connection)


def prune_all(engine: Engine) -> dict[str, int]:
    """Archive and delete rows past their retention; return the number of each kind.

    Workflows are archived in batches, each in a transaction of its own.
    """

    def archive_batch() -> int:
        with engine.begin() as connection:
            return prune(connection).workflows

    archived = sum(batches(archive_batch, max_batches=MAX_BATCHES))
    with engine.begin() as connection:
        return {
            "workflows_archived": archived,
            "messages_dropped": prune_messages(connection),
            "occurrences_dropped": prune_occurrences(connection),
            "sessions_dropped": prune_sessions(connection),
            "samples_dropped": prune_samples(connection),
        }
