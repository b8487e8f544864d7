"""SWE-QA's questions: `python -m benchmarks.swe_qa BENCHMARK NAME=PATH ...` (arXiv 2509.14635).

BENCHMARK is a clone of peng-weihan/SWE-QA-Bench, read at a fixed commit; each NAME is a clone of a repository at the
commit of `repo_commit.txt`. Prints by the first word of the questions how they end: an answer, "not known", or search
results under that name; how often a file that the reference answer names is among the first five of the search; and,
of the questions that ask for facts (`swe_qa_facts.yaml`), how many are answered right in that part.
The benchmark's questions and answers are read from its clone and are not part of this repository.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine

from benchmarks.questions import ingested, missing, quantiles
from qflow_dagster.database import embedded
from qflow_dagster.ingestion.queries import Snapshot, snapshot_paths
from qflow_dagster.knowledge import answers, search

COMMIT = "d7bf283d65f4bbdc86ead92fc130eee4986355f0"
MAX_FILES = 5
console = Console()


def read(benchmark: Path, name: str) -> list[dict[str, Any]]:
    """Return the questions about a repository, with their reference answers."""
    shown = subprocess.run(
        ["git", "-C", str(benchmark), "show", f"{COMMIT}:Benchmark/{name}.jsonl"],
        capture_output=True,
        text=True,
        check=True,
    )
    return [json.loads(line) for line in shown.stdout.splitlines() if line.strip()]


def named_files(reference: str, paths: set[str]) -> set[str]:
    """Return the files of the repository that a reference answer names, by path or by a file name that is unique."""
    named: set[str] = set()
    for word in re.findall(r"[\w./-]*\w\.\w{1,4}\b", reference):
        named |= {path for path in paths if path == word or path.endswith("/" + word.lstrip("./"))}
    return named


def first_files(engine: Engine, snapshot: Snapshot, question: str) -> list[str]:
    """Return the first five files of the search."""
    with engine.connect() as connection:
        return search.files(connection, snapshot, question, limit=MAX_FILES)


def main() -> None:
    """Print the table."""
    benchmark, *arguments = sys.argv[1:] or [""]
    if not arguments:
        raise SystemExit(__doc__)
    ends: dict[str, Counter[str]] = defaultdict(Counter)
    found: dict[str, list[int]] = {}
    times: list[float] = []
    facts: dict[str, Counter[str]] = defaultdict(Counter)
    labels = yaml.safe_load((Path(__file__).parent / "swe_qa_facts.yaml").read_text())
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        home.chmod(0o755)
        embedded.start(home)
        try:
            for name, _, path in (argument.partition("=") for argument in arguments):
                engine, snapshot = ingested(
                    embedded.url(home, f"swe_{name.replace('-', '_')}"), Path(path), name
                )
                questions = read(Path(benchmark), name)
                answered = evaluate(engine, snapshot, questions, name, ends, found, times)
                grade(questions, answered, labels.get(name, {}), facts)
        finally:
            embedded.stop(home)
    table = Table(
        "type", "questions", "answered", "in part", "not known", "search", title="SWE-QA: how questions end"
    )
    for kind, row in sorted(ends.items()):
        table.add_row(
            kind, str(row.total()), *(str(row[end]) for end in ("answer", "part", "not known", "search"))
        )
    console.print(table)
    console.print(facts_table(facts))
    for name, (right, of) in found.items():
        console.print(f"{name}: a file that the reference names is among the first five for {right} of {of}")
    console.print("median {:.0f} ms, 95 % {:.0f} ms".format(*quantiles(times)))


def evaluate(
    engine: Engine,
    snapshot: Snapshot,
    questions: list[dict[str, Any]],
    name: str,
    ends: dict[str, Counter[str]],
    found: dict[str, list[int]],
    times: list[float],
) -> list[answers.Answer]:
    """Ask the questions about a repository, and count how they end and which files are found; return the answers."""
    answered = []
    with engine.connect() as connection:
        paths = set(snapshot_paths(connection, snapshot))
    found[name] = [0, 0]
    for item in questions:
        question = item["question"].strip()
        started = time.monotonic()
        with engine.connect() as connection:
            answer = answers.answer(connection, snapshot, question)
        times.append(1_000 * (time.monotonic() - started))
        answered.append(answer)
        kind = answer.understood.kind
        end = kind if kind in ("search", "not known") else "part" if answer.understood.clause else "answer"
        ends[question.split()[0]][end] += 1
        if end in ("answer", "part"):
            console.print(f"{name}: {question}\n  {answer.words[:400]}", highlight=False)
        if named := named_files(item["answer"], paths):
            files = first_files(engine, snapshot, question)
            found[name][1] += 1
            found[name][0] += bool(named & set(files))
            if not named & set(files):
                console.print(f"{name}: {question}\n  {sorted(named)} not in {files}", highlight=False)
    return answered


def grade(
    questions: list[dict[str, Any]],
    answered: list[answers.Answer],
    labels: dict[int, dict[str, Any]],
    facts: dict[str, Counter[str]],
) -> None:
    """Count by first word which of the questions that ask for facts are answered right in that part."""
    for number, label in labels.items():
        question, answer = questions[number]["question"].strip(), answered[number]
        row = facts[question.split()[0]]
        row["questions"] += 1
        if answer.understood.kind in ("search", "not known"):
            row["honest"] += 1
            continue
        places = [f"{item.path}:{item.line}" for item in answer.evidence if item.path]
        lacking = missing(answer.words, places, label)
        row["wrong" if lacking else "right"] += 1
        if lacking:
            console.print(f"wrong: {question}: {', '.join(lacking)}", highlight=False)


def facts_table(facts: dict[str, Counter[str]]) -> Table:
    """Return the table of the questions that ask for facts, by first word."""
    table = Table("type", "ask for facts", "right", "wrong", "not known or search", title="SWE-QA: facts")
    total: Counter[str] = Counter()
    for kind, row in sorted(facts.items()):
        total.update(row)
        table.add_row(kind, *(str(row[name]) for name in ("questions", "right", "wrong", "honest")))
    table.add_row("all", *(str(total[name]) for name in ("questions", "right", "wrong", "honest")))
    return table


if __name__ == "__main__":
    main()
