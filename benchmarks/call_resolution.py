"""How calls resolve: `python -m benchmarks.call_resolution [--show N] CLONE ...`.

Prints by repository and language how many calls resolve to definitions of the repository, how many are ambiguous (the
type of the receiver is not declared, and members of the repository have the name), and how many are of what the
repository does not define. `--show` prints a random sample of calls of each language with what they resolve to, to be
checked by reading.
"""

import argparse
import random
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.ingestion import pipeline, repositories
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge.call_targets import CallResolver, Target
from qflow_dagster.knowledge.declarations import Call, Declarations


def state(target: Target) -> str:
    """Return how a call resolved."""
    return "ambiguous" if not target.certain else "resolved" if target.definitions else "external"


def resolved(engine: Engine, snapshot: Snapshot) -> list[tuple[Call, Target]]:
    """Return all calls of own code, with what they refer to."""
    with engine.connect() as connection:
        declarations = Declarations(connection, snapshot)
        resolver = CallResolver(declarations)
        calls = declarations.calls()
        resolver.prepare(calls)
        return [(call, resolver.resolve(call)) for call in calls]


def show(calls: list[tuple[Call, Target]], number: int) -> None:
    """Print a sample of calls."""
    by_state = defaultdict(list)
    for call, target in calls:
        by_state[state(target)].append((call, target))
    for name, found in sorted(by_state.items()):
        for call, target in random.Random(17).sample(found, min(number, len(found))):
            definitions = ", ".join(f"{d.name} {d.path}:{d.line}" for d in target.definitions[:4])
            print(f"{name}: {call.path}:{call.line} [{call.receiver}] {call.name} -> {definitions}")


def ingested(engine: Engine, name: str, clone: Path) -> Snapshot:
    """Ingest HEAD of a clone without its history."""
    with engine.begin() as connection:
        repositories.register(connection, str(clone), name)
    pipeline.ingest(engine, name)
    with engine.connect() as connection:
        return current_snapshot(connection, name)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clones", nargs="+", type=Path)
    parser.add_argument("--show", type=int, default=0)
    options = parser.parse_args()
    table = Table("repository", "language", "calls", "resolved %", "ambiguous %", "external %")
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        home.chmod(0o755)
        embedded.start(home)
        try:
            url = embedded.url(home, "calls")
            ensure_database(url)
            engine = engine_for(url)
            migrate(engine)
            for clone in options.clones:
                name = clone.parent.name if clone.name in ("repo", ".git") else clone.name
                add_rows(table, name, resolved(engine, ingested(engine, name, clone)), options.show)
        finally:
            embedded.stop(home)
    Console(width=110).print(table)


def add_rows(table: Table, name: str, calls: list[tuple[Call, Target]], shown: int) -> None:
    """Add a row for each language with at least a hundred calls."""
    by_language: dict[str, Counter[str]] = defaultdict(Counter)
    for call, target in calls:
        by_language[call.language][state(target)] += call.number
    for language, states in sorted(by_language.items(), key=lambda item: -item[1].total()):
        if states.total() >= 100:
            shares = (100 * states[key] / states.total() for key in ("resolved", "ambiguous", "external"))
            table.add_row(name, language, f"{states.total():,}", *(f"{share:.1f}" for share in shares))
            if shown:
                show([row for row in calls if row[0].language == language], shown)


if __name__ == "__main__":
    main()
