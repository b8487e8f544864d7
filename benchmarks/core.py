"""Benchmark of the durable core beside Procrastinate and PgQueuer: `python -m benchmarks.core`.

All three on the same embedded server (fsync on), in the same run, taking turns. Creating:
one client. Draining: 1 to 8 worker processes, jobs that do nothing. "Single" is one job per
transaction or fetch, "bulk" what each offers for many at once. The core writes three hashed
history events per job meanwhile; the others write their own logs of jobs.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import URL, create_engine, text

from benchmarks.queues import SYSTEMS
from qflow_dagster.database import embedded

LATENCY_MESSAGES = 200
LATENCY_PAUSE = 0.01


def fresh_database(server: URL, system: str) -> URL:
    """Yield an empty database with the system's tables."""
    url = server.set(database=f"benchmark_{system.replace(' ', '_')}")
    with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {url.database} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {url.database}"))
    queue = SYSTEMS[system](url)
    if hasattr(queue, "install"):
        queue.install()
    return url


def start(system: str, command: str, url: URL, number: int) -> subprocess.Popen:
    """Start a process of that system that is ready to go."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.queues",
            system,
            command,
            url.render_as_string(hide_password=False),
            str(number),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen) -> None:
    """Let a ready process begin."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def rate(system: str, command: str, url: URL, number: int, jobs: int, processes: int = 1) -> float:
    """Jobs per second of `processes` clients doing `command(number)`, from start to the last one's end."""
    clients = [start(system, command, url, number) for _ in range(processes)]
    begun = time.monotonic()
    for client in clients:
        go(client)
    for client in clients:
        if client.wait() != 0:
            raise RuntimeError(f"{system} {command} ended with code {client.returncode}")
    return jobs / (time.monotonic() - begun)


def fill(system: str, url: URL, jobs: int) -> None:
    """Put `jobs` jobs into the queue, and let statistics be what they are in a queue in use."""
    SYSTEMS[system](url).create_bulk(jobs)
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))


def latencies(system: str, url: URL) -> list[float]:
    """Milliseconds from before a message is sent to its arrival at a listener that waits, sorted."""
    ear = start(system, "hear", url, LATENCY_MESSAGES)
    go(ear)
    time.sleep(2)
    SYSTEMS[system](url).send(LATENCY_MESSAGES, LATENCY_PAUSE)
    assert ear.stdout is not None
    heard = [1_000 * json.loads(ear.stdout.readline()) for _ in range(LATENCY_MESSAGES)]
    ear.kill()
    ear.wait()
    return sorted(heard)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000, help="jobs per bulk measurement (default 10,000)")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=list(SYSTEMS))
    options = parser.parse_args()
    few = max(1_000, options.jobs // 10)
    rows: dict[str, dict[str, str]] = {}

    def note(name: str, system: str, value: str) -> None:
        rows.setdefault(name, {})[system] = value
        print(f"{name}: {system} {value}", file=sys.stderr)

    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        server = embedded.url(home, "postgres")
        try:
            for system in options.systems:
                url = fresh_database(server, system)
                note("create, single", system, f"{rate(system, 'create_single', url, few, few):,.0f}/s")
                bulk = rate(system, "create_bulk", url, options.jobs, options.jobs)
                note("create, bulk of 1,000", system, f"{bulk:,.0f}/s")
            for kind, jobs in (("single", few), ("bulk", options.jobs)):
                for workers in options.workers:
                    for system in options.systems:
                        url = fresh_database(server, system)
                        fill(system, url, jobs)
                        batch = 1 if kind == "single" else SYSTEMS[system].bulk_batch
                        speed = rate(system, "drain", url, batch, jobs, workers)
                        note(f"drain, {kind}, {workers} workers", system, f"{speed:,.0f}/s")
            for system in options.systems:
                found = latencies(system, fresh_database(server, system))
                note("latency, median", system, f"{statistics.median(found):.1f} ms")
                note("latency, 95 %", system, f"{found[int(len(found) * 0.95)]:.1f} ms")
        finally:
            embedded.stop(home)
    table = Table("", *options.systems, title=f"{options.jobs:,} jobs in bulk, {few:,} single")
    for name, values in rows.items():
        table.add_row(name, *(values[system] for system in options.systems))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
