"""Benchmark of scaling: `python -m benchmarks.scaling`.

On a real `qflow up` with an embedded server and 1, 2 and 4 workers for each queue: repositories that are registered
at once, ingested, measured and searched for findings, and some changes to each made and validated, per hour; changes
that are approved at once and committed, per second. Beside it, tasks per second of as many processes on one task
graph, without Dagster. Each with the cores that were busy: where all are, more workers on this machine bring no more.
Then what a model of queues, with the rate of one worker put in, says for many: how many workers, and how long a piece
of work waits.
"""

import argparse
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL, create_engine, make_url

from benchmarks.operations import decided
from benchmarks.reaction import (
    committed_branches,
    git,
    make_repository,
    pending,
    running,
    runs,
    until,
)
from benchmarks.task_graph import ADAPTERS
from qflow_dagster.database import embedded, engine_for
from qflow_dagster.execution import task_graph, task_worker
from qflow_dagster.execution.task_definitions import TaskGraph
from qflow_dagster.ingestion import repositories

console = Console(width=120)
# What the tables are about.
REPOSITORIES, DECISIONS, TASKS = 12, 24, 6_000
# Changes that are made and validated in each new repository.
CHANGES = 2
WORKERS = (1, 2, 4)
# (unit, pieces of work per second): what the model is asked.
ASKED = (
    ("10,000 repositories, each with one change a day", "repositories", 10_000 / 86_400),
    ("10,000 repositories, each with four changes in eight hours", "repositories", 40_000 / 28_800),
    ("1,000 decisions a minute", "decisions", 1_000 / 60),
)


def qflow(home: Path, *words: str, **settings: str) -> None:
    """Run a command on a home."""
    command = [sys.executable, "-m", "qflow_dagster.cli", *words]
    environment = {**os.environ, "QFLOW_HOME": str(home), **settings}
    subprocess.run(command, env=environment, check=True, capture_output=True)


class Rate(NamedTuple):
    """Pieces of work per second, and how many cores of the machine were busy meanwhile."""

    per_second: float
    cores: float


@contextmanager
def counting(pieces: int) -> Iterator[list[Rate]]:
    """Yield a list that holds the rate at the end of the block."""
    found: list[Rate] = []
    busy, started = busy_seconds(), time.perf_counter()
    yield found
    seconds = time.perf_counter() - started
    found.append(Rate(pieces / seconds, (busy_seconds() - busy) / seconds))


def busy_seconds() -> float:
    """Return how long the cores of this machine have been busy since it was started, together."""
    times = psutil.cpu_times()
    return sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0)


def rates_of_runs(workers: int) -> tuple[Rate, Rate]:
    """Return the rates of repositories and of decisions of a `qflow up`."""
    home = Path(tempfile.mkdtemp(prefix="qb-"))
    home.chmod(0o755)
    (home / "dagster").mkdir()
    limit = "{key: dagster-celery/queue, value: long, limit: 32}"
    per_repository = "{key: dagster/partition, value: {applyLimitPerUniqueValue: true}, limit: 1}"
    drains = "{key: qflow/drain, value: {applyLimitPerUniqueValue: true}, limit: 1}"
    limits = f"tag_concurrency_limits: [{limit}, {per_repository}, {drains}]"
    (home / "dagster" / "dagster.yaml").write_text(
        f"concurrency: {{runs: {{max_concurrent_runs: 64, {limits}}}}}\n"
    )
    settings = {
        "QFLOW_WORKERS_QUICK": str(workers),
        "QFLOW_WORKERS_LONG": str(workers),
        "QFLOW_IMPROVEMENT_WAITING": str(DECISIONS),
    }
    make_repository(home / "shop", DECISIONS)
    qflow(home, "run", str(home / "shop"), "--items", str(DECISIONS), **settings)
    try:
        with running(home, settings):
            address = embedded.url(home)
            engine = engine_for(address)
            dagster = create_engine(address.set(database=f"{address.database}_dagster"))
            with engine.begin() as connection:
                approvals = pending(connection)[:DECISIONS]
            with engine.begin() as connection:
                for approval in approvals:
                    decided(connection, approval)
            with counting(len(approvals)) as deciding:
                until(lambda: committed_branches(home / "shop") >= len(approvals), 600)
            until(lambda: runs(dagster, "run_repository", "QUEUED NOT_STARTED STARTING STARTED") == 0, 600)

            before = runs(dagster, "run_repository", "SUCCESS")
            for number in range(REPOSITORIES):
                make_repository(home / f"library{number}", CHANGES)
                git(home / f"library{number}", "tag", "v1")
            with engine.begin() as connection:
                for number in range(REPOSITORIES):
                    repositories.register(connection, str(home / f"library{number}"))
                repositories.have_commits_looked_for(connection)
            with counting(REPOSITORIES) as reading:
                until(lambda: runs(dagster, "run_repository", "SUCCESS") >= before + REPOSITORIES, 1_200)
            engine.dispose()
            dagster.dispose()
    finally:
        embedded.stop(home)
        shutil.rmtree(home, ignore_errors=True)
    return reading[0], deciding[0]


def do_tasks(url: str, number: int, ready: Barrier) -> None:
    """Do tasks of the graph until none is ready; what a process imports first is not counted."""
    engine = engine_for(make_url(url))
    engine.connect().close()
    ready.wait()
    task_worker.work(engine, worker=f"worker {number}", adapters=ADAPTERS)


def rate_of_tasks(url: URL, workers: int) -> Rate:
    """Return the rate of tasks of some processes on one graph whose tasks do nothing."""
    engine = engine_for(url)
    tasks = [{"name": f"t{n}", "adapter": "python", "role": "coder"} for n in range(TASKS)]
    with engine.begin() as connection:
        task_graph.submit(
            connection, TaskGraph.model_validate({"name": "wide", "tasks": tasks}), requested_by="b"
        )
    address = url.render_as_string(hide_password=False)
    spawn = multiprocessing.get_context("spawn")
    ready = spawn.Barrier(workers + 1)
    processes = [spawn.Process(target=do_tasks, args=(address, number, ready)) for number in range(workers)]
    for process in processes:
        process.start()
    ready.wait()
    with counting(TASKS) as found:
        for process in processes:
            process.join()
    engine.dispose()
    return found[0]


def erlang_c(servers: int, load: float) -> float:
    """Return the probability of having to wait in M/M/c, `load` in Erlang (arrivals times service time).

    Raises:
        ValueError: The load is not below the number of servers: the queue grows for ever.

    Source: A. K. Erlang, "Solution of some problems in the theory of probabilities of significance in automatic
    telephone exchanges", 1917; by the recursion of Erlang's B formula, which does not overflow.
    """
    if load >= servers:
        raise ValueError(f"{load} Erlang need more than {servers} servers")
    blocked = 1.0
    for number in range(1, servers + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def workers_for(arrivals: float, service: float, longest_wait: float) -> tuple[int, float]:
    """Return the fewest workers for which the mean wait is below a limit, and that wait (all in seconds)."""
    load = arrivals * service
    servers = math.floor(load) + 1
    while True:
        wait = erlang_c(servers, load) * service / (servers - load)
        if wait <= longest_wait:
            return servers, wait
        servers += 1


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=WORKERS, help="workers of each queue")
    chosen = parser.parse_args().workers
    measured = Table(
        "workers",
        "repositories/hour",
        "cores",
        "decisions/s",
        "cores",
        "tasks/s",
        "cores",
        title=f"Measured, all on one machine; cores: busy, of {os.cpu_count()}",
    )
    service: dict[str, float] = {}
    home = Path(tempfile.mkdtemp(prefix="qb-"))
    home.chmod(0o755)
    for workers in chosen:
        repositories, decisions = rates_of_runs(workers)
        tasks = rate_of_tasks(fresh_database(home, workers), workers)
        cells = (
            f"{repositories.per_second * 3600:.0f}",
            f"{repositories.cores:.1f}",
            f"{decisions.per_second:.2f}",
            f"{decisions.cores:.1f}",
            f"{tasks.per_second:.0f}",
            f"{tasks.cores:.1f}",
        )
        measured.add_row(str(workers), *cells)
        # All rows take ten minutes: what is measured is shown at once.
        console.print("; ".join((str(workers), *cells)))
        service.setdefault("repositories", workers / repositories.per_second)
        service.setdefault("decisions", workers / decisions.per_second)
    embedded.stop(home)
    shutil.rmtree(home, ignore_errors=True)
    console.print(measured)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    model = Table(
        "asked", "busy workers", "workers", "mean wait, s", title="M/M/c with the rate of the first row"
    )
    for words, unit, arrivals in ASKED:
        workers, wait = workers_for(arrivals, service[unit], longest_wait=1.0)
        model.add_row(words, f"{arrivals * service[unit]:.1f}", str(workers), f"{wait:.2f}")
    console.print(model)


def fresh_database(home: Path, workers: int) -> URL:
    """Return a new migrated database on an embedded server."""
    from benchmarks.operations import fresh

    embedded.start(home)
    fresh(home, f"tasks{workers}").dispose()
    return embedded.url(home, f"tasks{workers}")


if __name__ == "__main__":
    main()
