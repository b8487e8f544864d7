"""Benchmark of the task graph engine: `python -m benchmarks.task_graph`.

Graphs of tasks that do nothing: wide (all at once, and one after all of them), deep (each after the
one before), diamond (layers of a hundred, each task after two of the layer before), and a map over
an array. Beside it, in the same run and on the same server, what stock Dagster does with as many
steps: one job with a mapped step that does nothing, in process, events in PostgreSQL. While
workers work, a sampler asks every 0.2 s what the sensor asks, and reads the workers' memory; flat
is what both are at the end as at the start.
"""

import argparse
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import dagster as dg
import psutil
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL, Engine, make_url, text

from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.execution import task_graph, task_worker
from qflow_dagster.execution.task_definitions import TaskGraph, check_tasks

console = Console()
LAYER = 100
SAMPLE = 0.2


def nothing(call: Any) -> int:
    """Do the work of every task."""
    return 1


ADAPTERS = {"python": nothing}


def shapes(count: int) -> Iterator[tuple[str, TaskGraph]]:
    """Return the graphs, of `count` tasks each."""
    one: dict[str, Any] = {"adapter": "python", "role": "coder"}
    wide = [{"name": f"t{n}", **one} for n in range(count - 1)]
    wide.append({"name": "last", "depends_on": [task["name"] for task in wide], **one})
    deep = [{"name": f"t{n}", "depends_on": [f"t{n - 1}"] if n else [], **one} for n in range(count)]
    diamond = []
    for n in range(count):
        first = n // LAYER * LAYER - LAYER
        after = [] if n < LAYER else [f"t{n - LAYER}", f"t{first + (n + 1) % LAYER}"]
        diamond.append({"name": f"t{n}", "depends_on": after, **one})
    mapped = [{"name": "all", "map": "run.items", **one}]
    for name, tasks in (("wide", wide), ("deep", deep), ("diamond", diamond)):
        yield name, TaskGraph.model_validate({"name": name, "tasks": tasks})
    items = {"items": list(range(count))}
    yield "map", TaskGraph.model_validate({"name": "map", "input": items, "tasks": mapped})


def work(url: str) -> None:
    """Run a worker process, until no task is ready."""
    engine = engine_for(make_url(url))
    while task_worker.work(engine, worker=f"benchmark {os.getpid()}", adapters=ADAPTERS, threads=2).completed:
        pass


def unfinished(engine: Engine, graph: UUID) -> bool:
    """Whether the graph runs on."""
    with engine.connect() as connection:
        status = connection.scalar(text("SELECT status FROM workflows WHERE id = :id"), {"id": graph})
    return status == "running"


def measure(url: URL, name: str, graph: TaskGraph, count: int, workers: int) -> list[str]:
    """One row: seconds to check and submit, tasks per second, the sensor's question and memory over time."""
    engine = engine_for(url)
    started = time.monotonic()
    check_tasks(graph.tasks, ADAPTERS)
    with engine.begin() as connection:
        id_ = task_graph.submit(connection, graph, requested_by="benchmark")
    submitted = time.monotonic() - started
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    context = multiprocessing.get_context("spawn")
    address = url.render_as_string(hide_password=False)
    processes = [context.Process(target=work, args=(address,)) for _ in range(workers)]
    for process in processes:
        process.start()
    with engine.connect() as connection:
        query = text("SELECT count(*) FROM workflows WHERE status = 'running' AND lease_owner IS NOT NULL")
        while not connection.scalar(query) and unfinished(engine, id_):
            connection.rollback()
            time.sleep(0.01)
    begun = time.monotonic()
    ticks: list[float] = []
    memory: list[float] = []
    while unfinished(engine, id_):
        asked = time.monotonic()
        with engine.connect() as connection:
            task_worker.useful_runs(connection)
        ticks.append(1_000 * (time.monotonic() - asked))
        memory.append(sum(psutil.Process(p.pid).memory_info().rss for p in processes if p.is_alive()) / 1e6)
        time.sleep(SAMPLE)
    seconds = time.monotonic() - begun
    for process in processes:
        process.join(60)
        process.kill()
    with engine.connect() as connection:
        done = connection.execute(
            text("""
                SELECT count(*) AS events, count(DISTINCT e.workflow_id) AS tasks FROM workflow_events e
                JOIN tasks t ON t.id = e.workflow_id WHERE t.graph_id = :id AND e.to_status = 'completed'
            """),
            {"id": id_},
        ).one()
    wanted = count + (name == "map")
    if not done.events == done.tasks == wanted:
        raise SystemExit(f"{name}: {done.events} completions of {done.tasks} tasks, {wanted} are there")
    quarter = max(len(ticks) // 4, 1)
    first, last = statistics.median(ticks[:quarter]), statistics.median(ticks[-quarter:])
    # The first look is at processes that are still starting.
    half = memory[len(memory) // 2 :]
    return [
        f"{name}, {workers}",
        f"{submitted:.1f} s",
        f"{seconds:.1f} s",
        f"{count / seconds:,.0f}",
        f"{first:.1f} / {last:.1f} ms",
        f"{half[0]:,.0f} / {half[-1]:,.0f} MB",
    ]


@dg.op(out=dg.DynamicOut(int))
def fan_out(context: dg.OpExecutionContext) -> Iterator[dg.DynamicOutput[int]]:
    """As many as the run's tag says."""
    for number in range(int(context.run.tags["steps"])):
        yield dg.DynamicOutput(number, mapping_key=str(number))


@dg.op
def step(number: int) -> int:
    """Nothing."""
    return number


@dg.job(executor_def=dg.in_process_executor)
def stock() -> None:
    """Run a mapped step."""
    fan_out().map(step)


def measure_dagster(url: URL, folder: Path, steps: int) -> list[str]:
    """Measure the same with stock Dagster, which has neither claims nor dependencies to keep."""
    address = url.set(drivername="postgresql").render_as_string(hide_password=False)
    instance = dg.DagsterInstance.from_config(str(folder)) if (folder / "dagster.yaml").exists() else None
    if instance is None:
        (folder / "dagster.yaml").write_text(
            f"storage: {{postgres: {{postgres_url: '{address}'}}}}\ntelemetry: {{enabled: false}}\n"
        )
        instance = dg.DagsterInstance.from_config(str(folder))
    with instance:
        started = time.monotonic()
        result = stock.execute_in_process(
            instance=instance,
            tags={"steps": str(steps)},
            run_config={"loggers": {"console": {"config": {"log_level": "ERROR"}}}},
        )
        seconds = time.monotonic() - started
    if not result.success:
        raise SystemExit("the run of stock Dagster failed")
    return [f"stock Dagster, {steps:,} steps", "-", f"{seconds:.1f} s", f"{steps / seconds:,.0f}", "-", "-"]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000, help="tasks per graph (default 10,000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=500, help="steps of stock Dagster (default 500)")
    options = parser.parse_args()
    table = Table(
        "graph, workers",
        "submit",
        "run",
        "tasks/s",
        "tick, first / last",
        "memory, half / end",
        title=f"Task graphs of {options.tasks:,} tasks, {os.cpu_count()} cores",
    )
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        try:
            for workers in options.workers:
                for name, graph in shapes(options.tasks):
                    url = embedded.url(home, f"benchmark_{name}_{workers}")
                    ensure_database(url)
                    migrate(engine_for(url))
                    row = measure(url, name, graph, options.tasks, workers)
                    console.print("  ".join(row))
                    table.add_row(*row)
            url = embedded.url(home, "benchmark_dagster")
            ensure_database(url)
            (home / "stock").mkdir()
            row = measure_dagster(url, home / "stock", options.steps)
            table.add_row(*row)
        finally:
            embedded.stop(home)
    console.print(table)


if __name__ == "__main__":
    main()
