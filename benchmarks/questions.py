"""Evaluation of answers: `python -m benchmarks.questions flask=PATH redis=PATH`.

Asks the questions of `questions.yaml`, whose answers were known before, and prints which were
answered right with the right evidence, and how long an answer took. Also times building the index.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from benchmarks.loop import NAME, prepare
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.evolution import findings, rule_engine
from qflow_dagster.ingestion.queries import Snapshot
from qflow_dagster.knowledge import index, requests

console = Console()


def fails(answer: dict[str, Any], question: dict[str, Any]) -> str | None:
    """Return what is missing of the known answer; None if the answer and its evidence are right."""
    missing = [words for words in question["answer"] if words.lower() not in answer["answer"].lower()]
    places = {f"{one['path']}:{one['line']}" for one in answer["evidence"]}
    places |= {str(one["path"]) for one in answer["evidence"]}
    missing += [place for place in question["evidence"] if place not in places]
    if not answer["evidence"]:
        missing.append("any evidence")
    return f"{', '.join(missing)} is not in: {answer['answer'][:200]}" if missing else None


def evaluate(engine: Engine, snapshot: Snapshot, questions: list[dict[str, Any]]) -> tuple[int, list[float]]:
    """How many are right, and the milliseconds of each answer."""
    right, times = 0, []
    for question in questions:
        started = time.monotonic()
        with engine.begin() as connection:
            id_ = requests.ask(connection, snapshot.repository, question["ask"], source="evaluation")
        requests.work(engine, worker="evaluation", among=[id_])
        with engine.connect() as connection:
            found = requests.show(connection, id_)
        times.append(1_000 * (time.monotonic() - started))
        if not found["resolutions"]:
            console.print(f"[red]no answer[/]: {question['ask']}: {found['problem']}")
            continue
        problem = fails(found["resolutions"][0]["resolution"], question)
        right += problem is None
        if problem:
            console.print(f"[red]wrong[/]: {question['ask']}: {problem}", highlight=False)
    return right, times


def main() -> None:
    """Print the table."""
    known = yaml.safe_load(Path(__file__).with_name("questions.yaml").read_text())
    given = {name: path for name, _, path in (argument.partition("=") for argument in sys.argv[1:])}
    if not given or set(given) - set(known):
        raise SystemExit(f"{__doc__}\nThere are questions about: {', '.join(known)}")
    table = Table("repository", "index", "entries", "right", "median", "slowest", title="Questions answered")
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        home.chmod(0o755)
        embedded.start(home)
        try:
            for name, path in given.items():
                url = embedded.url(home, f"questions_{name}")
                ensure_database(url)
                engine = engine_for(url)
                migrate(engine)
                snapshot = prepare(engine, Path(path))
                if snapshot.commit_oid != known[name]["commit"]:
                    console.print(
                        f"[yellow]{name} is at {snapshot.commit_oid}, the answers are of {known[name]['commit']}"
                    )
                evaluation = rule_engine.evaluate(engine, NAME)
                with engine.begin() as connection:
                    findings.update(connection, snapshot, evaluation)
                started = time.monotonic()
                indexed = index.update(engine, snapshot)
                seconds = time.monotonic() - started
                questions = known[name]["questions"]
                right, times = evaluate(engine, snapshot, questions)
                table.add_row(
                    name,
                    f"{seconds:.1f} s",
                    f"{indexed.entries:,}",
                    f"{right} of {len(questions)}",
                    f"{statistics.median(times):.0f} ms",
                    f"{max(times):.0f} ms",
                )
        finally:
            embedded.stop(home)
    console.print(table)


if __name__ == "__main__":
    main()
