"""Reading the blobs of a repository into the database, batch by batch, in worker processes.

Belongs here: selection of the blobs that are not stored, batches, and transactions that survive a restart of the
server. Does not belong here: the worker processes (``workers``), SQL (``store``), snapshots (``pipeline``).
"""

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from qflow_dagster.errors import QflowError
from qflow_dagster.ingestion import store
from qflow_dagster.ingestion.fact_lines import fact_lines
from qflow_dagster.ingestion.facts import BlobFacts
from qflow_dagster.ingestion.workers import BlobTask, Kept, Limits, Reading, extract_all
from qflow_dagster.progress import ReportProgress
from qflow_dagster.settings import settings

T = TypeVar("T")

# A batch is read, parsed and committed together: large enough for a low overhead, small enough to limit
# memory and the loss with a killed run.
BATCH_BYTES = 1_500_000
BATCH_BLOBS = 400
RECONNECT_SECONDS = (1, 2, 4, 8)
# SQL states of a server that is shutting down or starting; None: there was no response.
NOT_THERE = (None, "57P01", "57P02", "57P03")


@dataclass(frozen=True)
class BlobReader:
    """Reading of blobs of a repository into the database, in worker processes."""

    engine: Engine
    objects: Path
    report: ReportProgress
    processes: int | None

    def read(self, blobs: Iterable[tuple[str, str, str, int]]) -> int:
        """Read and store the facts of blobs (object id, language, a path, bytes) that have none yet.

        Returns their number.
        """
        required: dict[store.BlobKey, tuple[str, int]] = {}
        for oid, language, path, size in blobs:
            required.setdefault((oid, language), (path, size))
        with self.engine.begin() as connection:
            new = required.keys() - store.known_blobs(connection, required)
            ids = store.reserve_blob_ids(connection, len(new))
        tasks = [BlobTask(*key, row_id, *required[key]) for key, row_id in zip(sorted(new), ids, strict=True)]
        processed = 0
        self.report("reading files", 0, len(tasks))
        number = self.processes or settings().ingestion.processes
        with closing(extract_all(reading(self.objects, fact_lines), batches_of(tasks), number)) as extracted:
            for results in extracted:
                facts = [((r.task.oid, r.task.language), r.kept, r.missing) for r in results]
                with_reconnect(
                    self.engine, lambda connection, facts=facts: store.write_facts(connection, facts)
                )
                processed += len(results)
                self.report("reading files", processed, len(tasks))
        return len(tasks)


def reading(objects: Path, keep: Callable[[BlobTask, BlobFacts], Kept]) -> Reading[Kept]:
    """Return what workers need to read blobs within the limits that are set; `keep` is a function of a module."""
    limits = settings().ingestion
    return Reading(objects, Limits(limits.parse_limit, limits.parse_timeout), keep)


def batches_of(tasks: Sequence[BlobTask]) -> list[list[BlobTask]]:
    """Return batches of about `BATCH_BYTES`, largest blobs first, so that no large blob delays the end."""
    batches: list[list[BlobTask]] = []
    remaining = 0
    for task in sorted(tasks, key=lambda task: -task.size):
        if not batches or remaining < task.size or len(batches[-1]) == BATCH_BLOBS:
            batches.append([])
            remaining = BATCH_BYTES
        batches[-1].append(task)
        remaining -= task.size
    return batches


def with_reconnect(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Run `work` in a transaction, and repeat it on a new connection if the connection is lost.

    The transactions of this module are idempotent, so it does not matter whether the lost one was
    committed.

    Raises:
        QflowError: The database did not recover.
    """
    lost: DBAPIError | None = None
    for pause in (0, *RECONNECT_SECONDS):
        time.sleep(pause)
        try:
            with engine.begin() as connection:
                return work(connection)
        except DBAPIError as error:
            if not error.connection_invalidated and getattr(error.orig, "sqlstate", None) not in NOT_THERE:
                raise
            lost = error
    reason = str(lost and lost.orig).splitlines()[0]
    raise QflowError(
        f"the database went away and did not come back within {sum(RECONNECT_SECONDS)} s: {reason}; "
        "what was read is kept, run again when it is up"
    ) from lost
