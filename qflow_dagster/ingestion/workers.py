"""Reading blobs and extracting their facts in worker processes.

Belongs here: processing of a batch in a worker, and of blobs that crash a worker. Does not belong
here: the processes (``processes``), selection of blobs (``pipeline``), extraction of facts
(``extraction``), writing (``store``).

Workers return the facts as COPY lines, because encoding is a large part of the work of storing
them, and workers use all cores.
"""

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import trees
from qflow_dagster.ingestion.fact_lines import fact_lines
from qflow_dagster.ingestion.facts import BlobFacts
from qflow_dagster.ingestion.git import GitError
from qflow_dagster.processes import LostResult, in_processes
from qflow_dagster.safety import logs

logger = logs.logger(__name__)


class BlobTask(NamedTuple):
    """A blob to read: object id, language to read it as ('' unknown), row id, a path of it, bytes."""

    oid: str
    language: str
    row_id: int
    path: str
    size: int
    # Set after the parser crashed on it.
    lines_only: bool = False


class BlobLines(NamedTuple):
    """The result for a blob: COPY lines by table, what is missing and why, and whether that is everything."""

    task: BlobTask
    lines: dict[str, bytes]
    problem: str | None = None
    missing: bool = False


class Limits(NamedTuple):
    """Limits of extraction: maximum bytes to parse, and seconds per parse."""

    parse_limit: int
    parse_timeout: int


def extract_all(
    objects: Path, batches: Sequence[list[BlobTask]], processes: int, limits: Limits
) -> Generator[list[BlobLines]]:
    """Read and extract every batch in `processes` worker processes; yields results as they come.

    For a blob that crashes the worker, only the lines are read; if that fails too, only its size is
    stored. One that git cannot read is marked as missing.
    """
    for results in in_processes(_read_batch, (objects, limits), batches, processes, lost=_lost):
        for result in results:
            if result.problem:
                logger.warning("%s is stored without %s", result.task.path, result.problem)
        yield results


def _lost(task: BlobTask, code: int | None) -> LostResult:
    if task.lines_only:
        return LostResult(result=[_by_size(task, "syntax tree: not even its lines could be read")])
    logger.warning("%s is stored without syntax tree: the parser ended with code %s on it", task.path, code)
    return LostResult(again=task._replace(lines_only=True))


def _by_size(task: BlobTask, problem: str) -> BlobLines:
    facts = BlobFacts(language=task.language, bytes=task.size, binary=True)
    return BlobLines(task, fact_lines(task.oid, task.row_id, facts), problem)


def _read_batch(context: tuple[Path, Limits], batch: list[BlobTask]) -> list[BlobLines]:
    objects, limits = context
    results = [
        _by_size(task, f"syntax tree: it has {task.size:,} bytes")
        for task in batch
        if task.size > trees.MAX_BLOB_BYTES
    ]
    readable = [task for task in batch if task.size <= trees.MAX_BLOB_BYTES]
    return results + _read(objects, readable, limits)


def _read(objects: Path, tasks: list[BlobTask], limits: Limits) -> list[BlobLines]:
    contents = trees.read_blobs(objects, [(task.oid, task.path) for task in tasks])
    try:
        return [_extracted(task, data, limits) for task, data in zip(tasks, contents, strict=True)]
    except GitError as error:
        # Git ends at the first object that it cannot read; the others must not be affected.
        if len(tasks) > 1:
            middle = len(tasks) // 2
            return _read(objects, tasks[:middle], limits) + _read(objects, tasks[middle:], limits)
        [task] = tasks
        facts = BlobFacts(language=task.language, bytes=0, missing=True)
        return [BlobLines(task, fact_lines(task.oid, task.row_id, facts), f"content: {error}", missing=True)]


def _extracted(task: BlobTask, data: bytes, limits: Limits) -> BlobLines:
    # Imported only in the worker, because its parent needs no parser.
    from qflow_dagster.ingestion.extraction import extract

    problem = None
    if not task.lines_only:
        try:
            facts = extract(data, task.language, timeout=limits.parse_timeout, parse_limit=limits.parse_limit)
            return BlobLines(task, fact_lines(task.oid, task.row_id, facts))
        # Any error of a blob (deep recursion, no memory) must not affect the others.
        except Exception as error:
            problem = f"syntax tree: {type(error).__name__}: {error}"
    facts = extract(data, task.language, parse_limit=0)
    return BlobLines(task, fact_lines(task.oid, task.row_id, facts), problem)
