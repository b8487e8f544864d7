"""Worker processes that read blobs and extract their facts, and survive what blobs do to them.

Belongs here: handing out batches, noticing a worker that died or hangs, and isolating the
blob that did it. Does not belong here: which blobs are read (``pipeline``), what is found in
them (``extraction``), where it is written (``store``).

The facts come back as finished COPY lines: encoding them is a good part of the work of
storing them, and here it is done on all cores.
"""

import multiprocessing
import resource
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.facts import BlobFacts
from qflow_dagster.ingestion.store import fact_lines

# Seconds a batch may take before its worker is held to hang: far above the sum of parse timeouts
# that a batch of ordinary blobs could use up.
STALL_SECONDS = 180.0
# Address space of a worker, in bytes: a blob that makes the parser explode ends its worker, not the machine.
WORKER_MEMORY = 3 * 1024**3
# Larger blobs are not loaded: they are listed as binary, with their size.
LARGEST_BLOB = 50 * 1024**2


class BlobTask(NamedTuple):
    """A blob to read: object id, language to read it as ('' unknown), row id, a path of it, bytes."""

    oid: str
    language: str
    row_id: int
    path: str
    size: int


class BlobLines(NamedTuple):
    """What a blob became: COPY lines by table."""

    task: BlobTask
    lines: dict[str, bytes]


@dataclass
class Worker:
    """A process, our end of its pipe, and the batch it has."""

    process: BaseProcess
    pipe: Pipe
    batch: list[BlobTask] = field(default_factory=list)
    since: float = 0.0


@dataclass(frozen=True)
class Limits:
    """What extraction may use: bytes that are parsed, seconds of one parse."""

    parse_limit: int
    parse_timeout: float


def extract_all(
    objects: Path, batches: Sequence[list[BlobTask]], processes: int, limits: Limits
) -> Iterator[list[BlobLines]]:
    """Read and extract every batch in `processes` worker processes; yields results as they come.

    A worker that dies or hangs is replaced; its batch is tried again blob by blob, and a blob
    that does it alone is stored by its size, as unparsed.

    Raises:
        GitError: an object cannot be read.
    """
    waiting = deque(batches)
    workers: list[Worker] = []
    try:
        while waiting or any(worker.batch for worker in workers):
            while waiting and len(workers) < min(
                processes, len(waiting) + sum(bool(w.batch) for w in workers)
            ):
                workers.append(_start(objects, limits))
            for worker in workers:
                if waiting and not worker.batch:
                    _hand_out(worker, waiting.popleft())
            busy = [worker for worker in workers if worker.batch]
            ready = wait([worker.pipe for worker in busy], timeout=STALL_SECONDS)
            for worker in busy:
                if worker.pipe in ready:
                    outcome = _receive(worker)
                    if isinstance(outcome, Exception):
                        raise outcome
                    if outcome is not None:
                        yield outcome
                        continue
                elif time.monotonic() - worker.since < STALL_SECONDS:
                    continue
                _end(worker)
                workers.remove(worker)
                if len(worker.batch) == 1:
                    yield [_unparsed(worker.batch[0])]
                else:
                    waiting.extendleft([task] for task in reversed(worker.batch))
    finally:
        for worker in workers:
            _end(worker)


def _start(objects: Path, limits: Limits) -> Worker:
    # Not forked: the parent may have threads and connections that a copy must not inherit.
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, objects, limits), daemon=True)
    process.start()
    theirs.close()
    return Worker(process, ours)


def _hand_out(worker: Worker, batch: list[BlobTask]) -> None:
    worker.batch, worker.since = batch, time.monotonic()
    # A worker that died meanwhile is noticed when its pipe is read.
    with suppress(OSError):
        worker.pipe.send(batch)


def _receive(worker: Worker) -> list[BlobLines] | Exception | None:
    """The outcome of the worker's batch; None where the worker is gone."""
    try:
        outcome = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    if not isinstance(outcome, Exception):
        worker.batch = []
    return outcome


def _end(worker: Worker) -> None:
    worker.process.kill()
    worker.process.join()
    worker.pipe.close()


def _unparsed(task: BlobTask) -> BlobLines:
    facts = BlobFacts(language=task.language, bytes=task.size, binary=True)
    return BlobLines(task, fact_lines(task.oid, task.row_id, facts))


def _serve(pipe: Pipe, objects: Path, limits: Limits) -> None:
    """The worker: batches in, COPY lines out, until the pipe closes."""
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEMORY, WORKER_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(EOFError, KeyboardInterrupt, BrokenPipeError):
        while True:
            batch = pipe.recv()
            try:
                pipe.send(_extract_batch(objects, batch, limits))
            except git.GitError as error:
                pipe.send(error)


def _extract_batch(objects: Path, batch: list[BlobTask], limits: Limits) -> list[BlobLines]:
    # Imported in the worker: the parent needs no parser.
    from qflow_dagster.ingestion.extraction import extract

    results = []
    readable = [task for task in batch if task.size <= LARGEST_BLOB]
    results += [_unparsed(task) for task in batch if task.size > LARGEST_BLOB]
    oids = "".join(f"{task.oid}\n" for task in readable).encode()
    with git.stream(objects, "cat-file", "--batch", "--buffer", stdin=oids) as output:
        for task in readable:
            header = output.readline().split()
            if len(header) != 3 or header[1] != b"blob":
                raise git.GitError(
                    f"object {task.oid} of {task.path} is missing or damaged: git fsck {objects}"
                )
            data = output.read(int(header[2]))
            output.read(1)
            facts = extract(data, task.language, timeout=limits.parse_timeout, parse_limit=limits.parse_limit)
            results.append(BlobLines(task, fact_lines(task.oid, task.row_id, facts)))
    return results
