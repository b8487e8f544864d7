"""Reading the words of blobs, in worker processes.

Belongs here: what a worker does with a batch of blobs, and what becomes of a blob that it does not
survive. Does not belong here: which blobs, and storing their words (`index`), what words are (`words`).

A worker imports this, and starts in a third of the time without a database driver.
"""

from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import trees
from qflow_dagster.knowledge import words
from qflow_dagster.knowledge.words import Entry, Symbol
from qflow_dagster.processes import Lost


class Task(NamedTuple):
    """A blob to be read: its row, object id, language, a path of it, its size and symbols."""

    blob_id: int
    oid: str
    language: str
    path: str
    size: int
    symbols: list[Symbol]


def read_batch(context: tuple[Path, float], batch: list[Task]) -> list[tuple[int, list[Entry]]]:
    """In a worker process: the entries of some blobs; the context is where they are, and seconds for a parse."""
    objects, timeout = context
    contents = trees.read_blobs(objects, [(task.oid, task.path) for task in batch])
    return [
        (task.blob_id, words.read(data, task.language, task.symbols, timeout))
        for task, data in zip(batch, contents, strict=True)
    ]


def lost(task: Task, code: int | None) -> Lost:
    """A blob that kills its reader has no words."""
    return Lost(result=[(task.blob_id, [Entry(0, 1, "module", "", "", "")])])
