"""Reading index entries from blobs, in worker processes.

Belongs here: what a worker does with a batch of blobs, and the result of a blob that kills its worker.
Does not belong here: which blobs, and storing entries (`index`), extracting text (`entries`).

Workers import only this: without a database driver they start in a third of the time.
"""

from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import trees
from qflow_dagster.knowledge import entries
from qflow_dagster.knowledge.entries import Entry, Symbol
from qflow_dagster.processes import LostResult


class Task(NamedTuple):
    """A blob to read: its row id, object id, language, one of its paths, size and symbols."""

    blob_id: int
    oid: str
    language: str
    path: str
    size: int
    symbols: list[Symbol]


def read_batch(context: tuple[Path, float], batch: list[Task]) -> list[tuple[int, list[Entry]]]:
    """Return the entries of some blobs; the context is the repository's objects folder, and seconds per parse."""
    objects, timeout = context
    contents = trees.read_blobs(objects, [(task.oid, task.path) for task in batch])
    return [
        (task.blob_id, entries.read(data, task.language, task.symbols, timeout))
        for task, data in zip(batch, contents, strict=True)
    ]


def lost(task: Task, code: int | None) -> LostResult:
    """Return an empty entry for a blob that killed its worker."""
    return LostResult(result=[(task.blob_id, [Entry(0, 1, "module", "", "", "")])])
