"""Worker processes that read blobs and extract their facts, and survive what blobs do to them.

Belongs here: handing out batches, noticing a worker that died or hangs, and isolating the
blob that did it. Does not belong here: which blobs are read (``pipeline``), what is found in
them (``extraction``), where it is written (``store``).

A worker is a fresh interpreter on this module, not a fork or a spawned copy: it inherits neither
threads nor connections, does not import the program that started it (Dagster: seconds), and
starts in 0.2 s. The facts come back as finished COPY lines: encoding them is a good part of the
work of storing them, and here it is done on all cores.
"""

import gc
import logging
import os
import resource
import subprocess
import sys
import time
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import connection as pipes
from pathlib import Path
from typing import NamedTuple

from qflow_dagster.ingestion import git
from qflow_dagster.ingestion.fact_lines import fact_lines
from qflow_dagster.ingestion.facts import BlobFacts

# Seconds a batch may take before its worker is held to hang: far above the sum of parse timeouts
# that a batch of ordinary blobs could use up.
STALL_SECONDS = 180.0
# Address space of a worker, in bytes: a blob that makes the parser explode ends its worker, not the machine.
WORKER_MEMORY = 3 * 1024**3
# Larger blobs are not loaded: they are listed as binary, with their size.
LARGEST_BLOB = 50 * 1024**2

ENTRY = f"import {__name__} as workers; workers.serve()"

logger = logging.getLogger(__name__)


class BlobTask(NamedTuple):
    """A blob to read: object id, language to read it as ('' unknown), row id, a path of it, bytes."""

    oid: str
    language: str
    row_id: int
    path: str
    size: int
    # Set once the parser did not survive it.
    lines_only: bool = False


class BlobLines(NamedTuple):
    """What a blob became: COPY lines by table; `problem` says why there is no syntax tree."""

    task: BlobTask
    lines: dict[str, bytes]
    problem: str | None = None


class Limits(NamedTuple):
    """What extraction may use: bytes that are parsed, seconds of one parse."""

    parse_limit: int
    parse_timeout: int


@dataclass(eq=False)
class Worker:
    """A process, our end of its pipe, the batch it has, and since when."""

    process: subprocess.Popen[bytes]
    pipe: pipes.Connection
    batch: list[BlobTask] = field(default_factory=list)
    since: float = 0.0


def extract_all(
    objects: Path, batches: Sequence[list[BlobTask]], processes: int, limits: Limits
) -> Generator[list[BlobLines]]:
    """Read and extract every batch in `processes` worker processes; yields results as they come.

    A worker that dies or hangs is replaced; its batch is tried again blob by blob. A blob that
    does it alone is read for its lines only, and if even that fails, stored by its size.

    Raises:
        GitError: an object cannot be read.
    """
    waiting = deque(batches)
    workers: list[Worker] = []
    try:
        while waiting or any(worker.batch for worker in workers):
            idle = [worker for worker in workers if not worker.batch]
            while len(idle) < len(waiting) and len(workers) < processes:
                idle.append(_start(objects, limits))
                workers.append(idle[-1])
            for worker in idle[: len(waiting)]:
                _hand_out(worker, waiting.popleft())
            busy = [worker for worker in workers if worker.batch]
            ready = pipes.wait([worker.pipe for worker in busy], timeout=STALL_SECONDS)
            for worker in busy:
                if worker.pipe in ready:
                    results = _receive(worker)
                    if results is not None:
                        # It goes on while what it found is stored.
                        if waiting:
                            _hand_out(worker, waiting.popleft())
                        yield results
                        continue
                elif time.monotonic() - worker.since < STALL_SECONDS:
                    continue
                workers.remove(worker)
                _end(worker)
                again = _isolated(worker)
                waiting.extendleft([task] for task in reversed(again))
                if not again:
                    yield [_by_size(worker.batch[0], "not even its lines could be read")]
    finally:
        for worker in workers:
            _end(worker)


def _start(objects: Path, limits: Limits) -> Worker:
    ours, theirs = pipes.Pipe()
    # -P and another folder: the folder we were started in may be a hostile checkout, with modules
    # named as Python's own. What we are configured with (a password) is not for a reader of hostile bytes.
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", ENTRY, str(theirs.fileno()), str(objects), *map(str, limits)],
        pass_fds=[theirs.fileno()],
        stdin=subprocess.DEVNULL,
        cwd="/",
        env={name: value for name, value in os.environ.items() if not name.startswith("QFLOW_")},
        start_new_session=True,
    )
    theirs.close()
    return Worker(process, ours)


def _hand_out(worker: Worker, batch: list[BlobTask]) -> None:
    worker.batch, worker.since = batch, time.monotonic()
    # A worker that died meanwhile is noticed when its pipe is read.
    with suppress(OSError):
        worker.pipe.send(batch)


def _receive(worker: Worker) -> list[BlobLines] | None:
    """The results of the worker's batch; None where the worker is gone."""
    try:
        outcome = worker.pipe.recv()
    except (EOFError, OSError):
        return None
    if isinstance(outcome, git.GitError):
        raise outcome
    worker.batch = []
    for result in outcome:
        if result.problem:
            logger.warning("%s is stored without syntax tree: %s", result.task.path, result.problem)
    return outcome


def _isolated(worker: Worker) -> list[BlobTask]:
    """How the batch of a worker that is gone is tried again, blob by blob; nothing if it cannot be."""
    if len(worker.batch) > 1:
        return worker.batch
    only = worker.batch[0]
    if only.lines_only:
        return []
    logger.warning(
        "%s is stored without syntax tree: the parser ended with code %s on it",
        only.path,
        worker.process.returncode,
    )
    return [only._replace(lines_only=True)]


def _end(worker: Worker) -> None:
    worker.process.kill()
    worker.process.wait()
    worker.pipe.close()


def _by_size(task: BlobTask, problem: str) -> BlobLines:
    facts = BlobFacts(language=task.language, bytes=task.size, binary=True)
    return BlobLines(task, fact_lines(task.oid, task.row_id, facts), problem)


def serve() -> None:
    """Be a worker: batches in, COPY lines out, until the pipe closes."""
    descriptor, folder, *numbers = sys.argv[1:]
    pipe, objects, limits = pipes.Connection(int(descriptor)), Path(folder), Limits(*map(int, numbers))
    # macOS knows no such limit.
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (WORKER_MEMORY, WORKER_MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # Facts have no cycles: looking for some while they pile up costs a tenth of the time.
    gc.freeze()
    gc.disable()
    with suppress(EOFError, ConnectionError):
        while True:
            gc.collect()
            batch = pipe.recv()
            try:
                pipe.send(_read_batch(objects, batch, limits))
            except git.GitError as error:
                pipe.send(error)


def _read_batch(objects: Path, batch: list[BlobTask], limits: Limits) -> list[BlobLines]:
    results = [_by_size(task, f"it has {task.size:,} bytes") for task in batch if task.size > LARGEST_BLOB]
    readable = [task for task in batch if task.size <= LARGEST_BLOB]
    oids = "".join(f"{task.oid}\n" for task in readable).encode()
    with git.stream(objects, "cat-file", "--batch", "--buffer", stdin=oids) as output:
        for task in readable:
            header = output.readline().split()
            if len(header) != 3 or header[1] != b"blob":
                raise git.GitError(
                    f"object {task.oid} of {task.path} is missing or damaged; see git -C {objects} fsck "
                    "(in a partial clone: git fetch --refetch)"
                )
            data = output.read(int(header[2]))
            output.read(1)
            results.append(_extracted(task, data, limits))
    return results


def _extracted(task: BlobTask, data: bytes, limits: Limits) -> BlobLines:
    # Imported in the worker: its parent needs no parser.
    from qflow_dagster.ingestion.extraction import extract

    problem = None
    if not task.lines_only:
        try:
            facts = extract(data, task.language, timeout=limits.parse_timeout, parse_limit=limits.parse_limit)
            return BlobLines(task, fact_lines(task.oid, task.row_id, facts))
        # Whatever one blob brings about (a recursion too deep, no memory), the others have no part in it.
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
    facts = extract(data, task.language, parse_limit=0)
    return BlobLines(task, fact_lines(task.oid, task.row_id, facts), problem)
