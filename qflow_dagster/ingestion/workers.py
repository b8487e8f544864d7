"""Reading blobs and extracting their facts in worker processes.

Belongs here: processing of a batch in a worker, and of blobs that crash a worker. Does not belong
here: the processes (``processes``), selection of blobs (``pipeline``), extraction of facts
(``extraction``), what is kept of them (``fact_lines``).
"""

from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from qflow_dagster.ingestion import trees
from qflow_dagster.ingestion.facts import BlobFacts
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.safety import logs

logger = logs.logger(__name__)

Kept = TypeVar("Kept")


class BlobTask(NamedTuple):
    """A blob to read: object id, language to read it as ('' unknown), row id, a path of it, bytes."""

    oid: str
    language: str
    row_id: int
    path: str
    size: int
    # Set after the parser crashed on it.
    lines_only: bool = False


class Extracted(NamedTuple, Generic[Kept]):
    """The result for a blob: what was kept of its facts, what these lack and why, and whether git cannot read it."""

    task: BlobTask
    kept: Kept
    problem: str | None = None
    missing: bool = False


class Limits(NamedTuple):
    """Limits of extraction: maximum bytes to parse, and seconds per parse."""

    parse_limit: int
    parse_timeout: int


class Reading(NamedTuple, Generic[Kept]):
    """The context of workers: git's objects, limits, and a function that keeps something of the facts of a blob."""

    objects: Path
    limits: Limits
    keep: Callable[[BlobTask, BlobFacts], Kept]


def extract_all(
    reading: Reading[Kept], batches: Sequence[list[BlobTask]], processes: int
) -> Generator[list[Extracted[Kept]]]:
    """Read and extract every batch in `processes` worker processes; yields results as they come.

    For a blob that crashes the worker, only the lines are read; if that fails too, its size is all there is. One that
    git cannot read is marked as missing.
    """
    lost = partial(_lost, reading)
    for results in in_processes(_read_batch, reading, batches, processes, lost=lost):
        for result in results:
            if result.problem:
                logger.warning("%s is read without %s", result.task.path, result.problem)
        yield results


def _lost(reading: Reading[Kept], task: BlobTask, code: int | None) -> LostResult:
    if task.lines_only:
        return LostResult(result=[_by_size(reading, task, "syntax tree: not even its lines could be read")])
    logger.warning("%s is read without syntax tree: the parser ended with code %s on it", task.path, code)
    return LostResult(again=task._replace(lines_only=True))


def _by_size(reading: Reading[Kept], task: BlobTask, problem: str) -> Extracted[Kept]:
    facts = BlobFacts(language=task.language, bytes=task.size, binary=True)
    return Extracted(task, reading.keep(task, facts), problem)


def _read_batch(reading: Reading[Kept], batch: list[BlobTask]) -> list[Extracted[Kept]]:
    results = [
        _by_size(reading, task, f"syntax tree: it has {task.size:,} bytes")
        for task in batch
        if task.size > trees.MAX_BLOB_BYTES
    ]
    return results + _read(reading, [task for task in batch if task.size <= trees.MAX_BLOB_BYTES])


def _read(reading: Reading[Kept], tasks: list[BlobTask]) -> list[Extracted[Kept]]:
    contents = trees.read_blobs(reading.objects, [(task.oid, task.path) for task in tasks])
    try:
        return [_extracted(reading, task, data) for task, data in zip(tasks, contents, strict=True)]
    except GitError as error:
        # Git ends at the first object that it cannot read; the others must not be affected.
        if len(tasks) > 1:
            middle = len(tasks) // 2
            return _read(reading, tasks[:middle]) + _read(reading, tasks[middle:])
        [task] = tasks
        facts = BlobFacts(language=task.language, bytes=0, missing=True)
        return [Extracted(task, reading.keep(task, facts), f"content: {error}", missing=True)]


def _extracted(reading: Reading[Kept], task: BlobTask, data: bytes) -> Extracted[Kept]:
    # Imported only in the worker, because its parent needs no parser.
    from qflow_dagster.ingestion.extraction import extract

    problem, limits = None, reading.limits
    if not task.lines_only:
        try:
            facts = extract(data, task.language, timeout=limits.parse_timeout, parse_limit=limits.parse_limit)
            return Extracted(task, reading.keep(task, facts))
        # Any error of a blob (deep recursion, no memory) must not affect the others.
        except Exception as error:
            problem = f"syntax tree: {type(error).__name__}: {error}"
    facts = extract(data, task.language, parse_limit=0)
    return Extracted(task, reading.keep(task, facts), problem)
