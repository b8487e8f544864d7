"""Benchmark of the improvement loop: `python -m benchmarks.loop REPOSITORY` (a path).

Rule evaluation beside its peers alone, on the same files with the same rules: `ast-grep scan` with
our patterns as its rule files, `ruff check` with the codes our rules name. They print what they
find; we also read blobs from git, follow suppressions, and store matches in PostgreSQL. Then
planning, and candidates generated and put to the gates, per minute (without the repository's own
tests, whose time is the repository's).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, text

from qflow_dagster.agents import self_improvement
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.evolution import findings, ruff_matcher, rule_engine
from qflow_dagster.evolution.rules import evaluated, load_rules
from qflow_dagster.execution import safe_work_planner
from qflow_dagster.generation import orchestrator
from qflow_dagster.ingestion import checkouts, history, pipeline, repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.metrics.pipeline import compute_all
from qflow_dagster.settings import settings

NAME = "benchmarked"

console = Console()


def prepare(engine: Engine, repository: Path, name: str = NAME) -> Snapshot:
    """Ingest and measure, untimed."""
    with engine.begin() as connection:
        registered = repositories.register(connection, str(repository), name)
    result = pipeline.ingest(engine, name)
    history.ingest_history(engine, registered.id, result.commit_oid)
    compute_all(engine, result.snapshot_id)
    with engine.connect() as connection:
        return current_snapshot(connection, name)


def checkout(engine: Engine, snapshot: Snapshot, folder: Path) -> int:
    """Write the files that our rules look at into `folder`, for the peers; returns how many."""
    with engine.begin() as connection:
        objects = repositories.find(connection, NAME).objects
        rules = [rule for rule in evaluated(load_rules()) if rule.matcher.metric is None]
        tasks = rule_engine.missing(connection, snapshot, rule_engine.sync(connection, rules, "py310"))
    wanted = {task.path for task in tasks if task.language}
    with checkouts.scratch(objects) as store:
        checkouts.export(store, snapshot.commit_oid, folder)
    for path in folder.rglob("*"):
        if path.is_symlink() or (path.is_file() and str(path.relative_to(folder)) not in wanted):
            path.unlink()
    return len(wanted)


def timed(command: list[str], folder: Path) -> float:
    """Seconds of a command, best of three."""
    best = float("inf")
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, capture_output=True, check=False)
        best = min(best, time.perf_counter() - started)
    return best


def ast_grep_alone(folder: Path, home: Path) -> tuple[float, int]:
    """Seconds of `ast-grep scan` with our patterns, and how many those are."""
    rules = home / "rules"
    rules.mkdir()
    count = 0
    names = {
        "javascript": "JavaScript",
        "typescript": "TypeScript",
        "tsx": "Tsx",
        "python": "Python",
        "go": "Go",
        "rust": "Rust",
        "java": "Java",
    }
    for rule in evaluated(load_rules()):
        if rule.matcher.ast_grep is None:
            continue
        for language in rule.language:
            document = {
                "id": f"{rule.id}/{language}".replace("/", "-"),
                "language": names[language],
                "message": rule.title,
                **rule.matcher.ast_grep.config(),
            }
            (rules / f"{document['id']}.yml").write_text(yaml.safe_dump(document))
            count += 1
    (home / "sgconfig.yml").write_text(yaml.safe_dump({"ruleDirs": ["rules"]}))
    program = Path(sys.executable).with_name("ast-grep")
    command = [
        str(program),
        "scan",
        "--config",
        str(home / "sgconfig.yml"),
        "--json=compact",
        "--no-ignore",
        "vcs",
        ".",
    ]
    return timed(command, folder), count


def ruff_alone(folder: Path) -> tuple[float, int]:
    """Seconds of `ruff check` with the codes of our rules, and how many those are."""
    codes = [rule.matcher.ruff for rule in evaluated(load_rules()) if rule.matcher.ruff]
    command = ruff_matcher.ruff_command(
        "--output-format",
        "json",
        "--select",
        ",".join(codes),
        "--target-version",
        "py310",
        "--no-respect-gitignore",
        ".",
    )
    return timed(command, folder), len(codes)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repository", type=Path)
    parser.add_argument("--items", type=int, default=60, help="work items to generate changes for")
    arguments = parser.parse_args()
    settings().generation.tests = "off"
    with tempfile.TemporaryDirectory(prefix="qflow-loop-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        try:
            run(home, arguments.repository.resolve(), arguments.items)
        finally:
            embedded.stop(home)


def run(home: Path, repository: Path, items: int) -> None:
    """Everything, on a server of its own."""
    url = embedded.url(home, "loop")
    ensure_database(url)
    engine = engine_for(url)
    migrate(engine)
    snapshot = prepare(engine, repository)
    folder = home / "files"
    folder.mkdir()
    files = checkout(engine, snapshot, folder)
    rows: list[tuple[str, str, float, str]] = []

    def add(what: str, rules: int | str, seconds: float) -> None:
        rows.append((what, str(rules), seconds, f"{files / seconds:,.0f}"))

    number = sum(rule.matcher.metric is None for rule in evaluated(load_rules()))
    started = time.perf_counter()
    evaluation = rule_engine.evaluate(engine, NAME)
    add("rule engine: read, evaluate, store", number, time.perf_counter() - started)
    started = time.perf_counter()
    rule_engine.evaluate(engine, NAME)
    add("the same again, nothing new", number, time.perf_counter() - started)
    seconds, count = ast_grep_alone(folder, home)
    add("ast-grep scan alone", count, seconds)
    seconds, count = ruff_alone(folder)
    add("ruff check alone", count, seconds)
    started = time.perf_counter()
    with engine.begin() as connection:
        findings.update(connection, snapshot, evaluation)
    add("findings brought up to date", "", time.perf_counter() - started)
    table = Table(title=f"{repository.name}: {files:,} files in languages with rules, {os.cpu_count()} cores")
    for column in ("what", "rules", "seconds", "files/s"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for what, rules, seconds, rate in rows:
        table.add_row(what, rules, f"{seconds:.2f}", rate)
    console.print(table)
    generate(engine, snapshot, items)


def generate(engine: Engine, snapshot: Snapshot, items: int) -> None:
    """Plan, generate, validate."""
    started = time.perf_counter()
    with engine.begin() as connection:
        planned = safe_work_planner.plan(connection, snapshot)
    planning = time.perf_counter() - started
    with engine.begin() as connection:
        orchestrator.request_generation(connection, snapshot, limit=items)
    started = time.perf_counter()
    done = orchestrator.work(
        engine, worker="benchmark", accept=lambda c, k: self_improvement.suggest(c, k) and None, limit=items
    )
    seconds = time.perf_counter() - started
    with engine.connect() as connection:
        gates = connection.execute(
            text(
                "SELECT gate, count(*) AS n, sum(seconds) AS s FROM gate_results GROUP BY gate ORDER BY s DESC"
            )
        ).all()
    table = Table(
        title=f"{planned.features:,} features planned in {planning:.2f} s; {done.items} of them worked on"
    )
    for column in ("candidates", "passed", "seconds", "candidates/minute"):
        table.add_column(column, justify="right")
    table.add_row(
        str(done.candidates), str(done.passed), f"{seconds:.1f}", f"{60 * done.candidates / seconds:,.0f}"
    )
    console.print(table)
    table = Table(title="Gates")
    for column in ("gate", "candidates", "ms each"):
        table.add_column(column, justify="left" if column == "gate" else "right")
    for gate in gates:
        table.add_row(gate.gate, str(gate.n), f"{1_000 * gate.s / gate.n:.1f}")
    console.print(table)


if __name__ == "__main__":
    main()
