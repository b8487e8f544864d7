"""From a description to the function: `python -m benchmarks.retrieval NAME=PATH ...`, each a clone.

For each function of `described_functions.yaml`, whether it is among the first five results of the search, and of a
search by BM25 over the source of all functions.
"""

import sys
import tempfile
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from benchmarks.question_peers import FunctionSearch
from benchmarks.questions import ingested
from qflow_dagster.database import embedded
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import search

LIMIT = 5
# Annotations and comments may come between the first line of a definition and its name.
LINES = 3
console = Console()


def recall(engine: Engine, snapshot: Snapshot, path: Path, functions: list[list[str]]) -> tuple[int, int]:
    """Return how many described functions our search finds among its first five results, and how many BM25 does."""
    own = peer = 0
    by_bm25 = FunctionSearch(engine, snapshot, path)
    for description, place in functions:
        wanted, _, line = place.rpartition(":")
        with engine.connect() as connection:
            hits = search.search(connection, snapshot, description, limit=LIMIT)
        own += any(hit.path == wanted and abs(hit.line - int(line)) <= LINES for hit in hits)
        peer += any(
            found == wanted and abs(first - int(line)) <= LINES
            for found, first, _ in by_bm25.search(description, LIMIT)
        )
    return own, peer


def main() -> None:
    """Print the table."""
    known = yaml.safe_load(Path(__file__).with_name("described_functions.yaml").read_text())
    paths = {name: Path(path) for name, _, path in (argument.partition("=") for argument in sys.argv[1:])}
    if not paths or set(paths) - set(known):
        raise SystemExit(f"{__doc__}\nFunctions are described of: {', '.join(known)}")
    table = Table("repository", "functions", "found", "BM25", title="Recall at 5")
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        home.chmod(0o755)
        embedded.start(home)
        try:
            for name, path in paths.items():
                engine, snapshot = ingested(embedded.url(home, f"retrieval_{name.lower()}"), path, name)
                functions = known[name]["functions"]
                own, peer = recall(engine, snapshot, path, functions)
                table.add_row(name, str(len(functions)), str(own), str(peer))
        finally:
            embedded.stop(home)
    console.print(table)


if __name__ == "__main__":
    main()
