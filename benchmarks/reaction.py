"""Benchmark of reaction: `python -m benchmarks.reaction [--short]`.

On a real `qflow up` with an embedded server: seconds from a decision to its commit in git and to the end of the run,
from a row in the error table to its group, and from a commit in a repository to the start of its run. With PostgreSQL,
Redis and RabbitMQ as brokers, and with Dagster's own launcher, which starts a process for each run. Then what
`qflow up` costs while nothing happens: share of a core, and memory (shared pages counted once).

`--short`: PostgreSQL as the broker alone, few decisions. What did not happen within a minute counts as infinite.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import psutil
import requests
from rich.console import Console
from rich.table import Table
from sqlalchemy import Connection, Engine, create_engine, text

from benchmarks import brokers
from benchmarks.operations import decided
from qflow_dagster.database import embedded, engine_for
from qflow_dagster.infrastructure.error_rate_tracker import Occurrence, track_errors

# As wide when its output is a file.
console = Console(width=120)
CODE = "def cheapest_{0}(prices):\n    if prices == None:\n        return {0}\n    return min(prices) + {0}\n"
# Seconds without an answer after which a reaction counts as missing.
PATIENCE = 60.0
# Seconds after the start, in which the daemon evaluates everything for the first time.
SETTLE = 15.0


def git(folder: Path, *arguments: str) -> str:
    """Run git as Ada."""
    command = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=Ada",
        "-c",
        "user.email=ada@example.org",
        *arguments,
    ]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_repository(folder: Path, files: int) -> None:
    """Make a repository with a change to propose in each file; in one package, they would be one change."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in range(files):
        package = folder / f"shop{number}"
        package.mkdir()
        (package / "pyproject.toml").write_text(f'[project]\nname = "shop{number}"\nversion = "1"\n')
        (package / "cart.py").write_text(CODE.format(number))
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "first")


@contextmanager
def running(home: Path, settings: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run `qflow up` on a home, until its page is ready and its first evaluations are over."""
    port = brokers.free_port()
    command = [sys.executable, "-m", "qflow_dagster.cli", "up", "--port", str(port)]
    environment = {**os.environ, "QFLOW_HOME": str(home), **settings}
    up = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 180
        while True:
            try:
                if requests.get(f"http://127.0.0.1:{port}/health/ready", timeout=2).ok:
                    break
            except requests.RequestException:
                if up.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError("qflow up did not start") from None
                time.sleep(0.5)
        time.sleep(SETTLE)
        yield up
    finally:
        up.send_signal(signal.SIGINT)
        up.wait(90)


def until(holds: Callable[[], bool], patience: float = PATIENCE) -> float:
    """Return the seconds until something holds; infinity: not in time."""
    started = time.perf_counter()
    while time.perf_counter() - started < patience:
        if holds():
            return time.perf_counter() - started
        time.sleep(0.02)
    return float("inf")


def runs(dagster: Engine, job: str, statuses: str) -> int:
    """Count the runs of a job with one of some statuses."""
    query = text(
        "SELECT count(*) FROM runs WHERE pipeline_name = :job AND status = ANY(string_to_array(:s, ' '))"
    )
    with dagster.connect() as connection:
        return connection.scalar(query, {"job": job, "s": statuses}) or 0


def pending(connection: Connection) -> list[UUID]:
    """Return the approvals of edits that nobody has decided."""
    query = text("SELECT id FROM workflows WHERE type = 'edit_approval' AND status = 'pending' ORDER BY id")
    return list(connection.scalars(query))


def committed_branches(shop: Path) -> int:
    """Count the branches of changes, without a process for it, which would take time from what is measured."""
    return sum(path.is_file() for path in (shop / ".git" / "refs" / "heads" / "qflow").rglob("*"))


def is_grouped(engine: Engine, operation: str) -> bool:
    """Return whether the error of an operation is in a group."""
    query = text(
        "SELECT EXISTS (SELECT FROM error_occurrences WHERE operation = :o AND group_id IS NOT NULL)"
    )
    with engine.connect() as connection:
        return bool(connection.scalar(query, {"o": operation}))


def reactions(engine: Engine, dagster: Engine, shop: Path, count: int) -> dict[str, list[float]]:
    """Return the seconds of each kind of reaction."""
    found: dict[str, list[float]] = {name: [] for name in KINDS}
    with engine.connect() as connection:
        approvals = pending(connection)[:count]
    if len(approvals) < count:
        raise RuntimeError(
            f"{len(approvals)} of {count} changes await approval: the reaction cannot be measured"
        )
    for number, approval in enumerate(approvals):
        branches, ended = committed_branches(shop), runs(dagster, "apply_approved_edits", "SUCCESS")
        with engine.begin() as connection:
            decided(connection, approval)
        committed = until(lambda before=branches: committed_branches(shop) > before)
        rest = until(lambda before=ended: runs(dagster, "apply_approved_edits", "SUCCESS") > before)
        found["decision to commit"].append(committed)
        found["decision to end of run"].append(committed + rest)

        operation = f"shop.{number}"
        with engine.begin() as connection:
            track_errors(connection, [Occurrence(operation=operation, kind="KeyError", message="price")])
        found["error to group"].append(until(lambda operation=operation: is_grouped(engine, operation)))
    for number in range(max(2, count // 5)):
        started = runs(dagster, "run_repository", UNDER_WAY)
        (shop / "README.md").write_text(f"{number} {time.time()}\n")
        git(shop, "add", ".")
        git(shop, "commit", "--quiet", "-m", "next")
        found["commit to start of run"].append(
            until(lambda before=started: runs(dagster, "run_repository", UNDER_WAY) > before)
        )
        until(lambda: runs(dagster, "run_repository", "QUEUED NOT_STARTED STARTING STARTED") == 0)
    return found


UNDER_WAY = "STARTED SUCCESS FAILURE CANCELED"
KINDS = ("decision to commit", "decision to end of run", "error to group", "commit to start of run")


def idle(up: subprocess.Popen[bytes], home: Path, seconds: float) -> tuple[float, float]:
    """Return the percentage of a core and the MiB (shared pages counted once) of `qflow up` with its server."""
    root = psutil.Process(up.pid)
    server = psutil.Process(int((home / "pg" / "postmaster.pid").read_text().split()[0]))
    processes = {root, server, *root.children(recursive=True), *server.children(recursive=True)}

    def cpu() -> float:
        total = 0.0
        for process in processes:
            try:
                # Those that ended are in the times of their parents.
                times = process.cpu_times()
                total += times.user + times.system
            except psutil.NoSuchProcess:
                continue
        return total + server.cpu_times().children_user + server.cpu_times().children_system

    before, started = cpu(), time.monotonic()
    time.sleep(seconds)
    share = 100 * (cpu() - before) / (time.monotonic() - started)
    memory = sum(process.memory_full_info().pss for process in processes if process.is_running())
    return share, memory / 2**20


@contextmanager
def executing(wanted: str) -> Iterator[dict[str, str] | None]:
    """Yield the settings of a way to execute runs; None: what it needs is not installed."""
    if wanted in SERVERS:
        with SERVERS[wanted]() as server:
            yield {"QFLOW_WORKERS_BROKER": server.address} if server else None
    else:
        yield {} if wanted == "PostgreSQL" else {"QFLOW_WORKERS_ENABLED": "false"}


SERVERS = {"Redis": brokers.redis, "RabbitMQ": brokers.rabbitmq}


def measure(wanted: str, count: int, seconds: float, table: Table) -> None:
    """Add the row of a way to execute runs to the table."""
    with executing(wanted) as settings:
        if settings is None:
            table.add_row(wanted, *["not installed"] * (len(KINDS) + 2))
            return
        home = Path(tempfile.mkdtemp(prefix="qb-"))
        home.chmod(0o755)
        shop = home / "shop"
        make_repository(shop, count)
        command = [sys.executable, "-m", "qflow_dagster.cli", "run", str(shop), "--items", str(count)]
        # By default, fewer changes of a repository await approval at a time.
        limits = {"QFLOW_HOME": str(home), "QFLOW_IMPROVEMENT_WAITING": str(count)}
        subprocess.run(command, env={**os.environ, **limits}, check=True, capture_output=True)
        try:
            with running(home, settings) as up:
                address = embedded.url(home)
                engine = engine_for(address)
                dagster = create_engine(address.set(database=f"{address.database}_dagster"))
                quiet = idle(up, home, seconds) if seconds else None
                found = reactions(engine, dagster, shop, count)
                engine.dispose()
                dagster.dispose()
        finally:
            embedded.stop(home)
            shutil.rmtree(home, ignore_errors=True)
        cells = [f"{percentile(found[kind], 50):.1f} / {percentile(found[kind], 99):.1f}" for kind in KINDS]
        rest = [f"{quiet[0]:.1f} %", f"{quiet[1]:.0f}"] if quiet else ["", ""]
        row = [f"{wanted} ({len(found[KINDS[0]])})", *cells, *rest]
        # All ways together take half an hour: what is measured is shown at once.
        console.print("; ".join(row))
        table.add_row(*row)


def percentile(values: list[float], share: int) -> float:
    """Return a percentile, by the nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, -(-share * len(ordered) // 100) - 1)] if ordered else float("nan")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=40, help="decisions with each way to execute runs")
    parser.add_argument("--idle", type=float, default=120, help="seconds to watch it while nothing happens")
    parser.add_argument("--short", action="store_true", help="PostgreSQL alone, 8 decisions, 15 s idle")
    arguments = parser.parse_args()
    ways = ["PostgreSQL"] if arguments.short else ["PostgreSQL", *SERVERS, "a process per run"]
    count, seconds = (8, 15) if arguments.short else (arguments.decisions, arguments.idle)
    table = Table("broker (decisions)", *KINDS, "core, idle", "MiB, idle", title="Seconds: p50 / p99")
    for wanted in ways:
        measure(wanted, count, seconds, table)
    console.print(table)
    console.print(f"load of the machine at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


if __name__ == "__main__":
    main()
