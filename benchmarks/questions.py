"""Evaluation of answers: `python -m benchmarks.questions NAME=PATH ...`, each a clone with its history.

Asks the questions of `questions.yaml` and `questions_established.yaml`, whose answers were established before, and
prints by repository and by kind how many were answered right with the right evidence, how many wrong, and how many
were said not to be known. Beside them what `question_peers` finds: commands of git, and a search by BM25.
"""

import statistics
import sys
import tempfile
import time
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from sqlalchemy import URL, Engine

from benchmarks.loop import prepare
from benchmarks.question_peers import FunctionSearch, git_answer
from qflow_dagster.database import embedded, engine_for, ensure_database, migrate
from qflow_dagster.errors import QflowError
from qflow_dagster.evolution import findings, rule_engine
from qflow_dagster.ingestion.queries import Snapshot, current_snapshot
from qflow_dagster.knowledge import answers, index

console = Console()
# What is said instead of an answer.
HONEST = ("not known", "search")


def missing(text: str, places: Sequence[str], question: dict[str, Any]) -> list[str]:
    """Return the words and places of the established answer that `text` and `places` lack.

    The scopes of a name may be written with dots or with `::`, and letters with accents as one character or two.
    """
    said = _plain(text)
    words = [word for word in question["answer"] if _plain(word) not in said]
    return words + [
        wanted
        for wanted in question["evidence"]
        if not any(
            place == wanted or place.startswith((f"{wanted}:", f"commit {wanted}")) for place in places
        )
    ]


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower().replace("::", "."))


def peer_is_right(text: str, places: Sequence[str], question: dict[str, Any]) -> bool:
    """Return whether a peer's output has the established answer; about what is absent, it must say nothing."""
    return not text if question["kind"] == "absent" else not missing(text, places, question)


def grade(answer: dict[str, Any], question: dict[str, Any]) -> tuple[str, str]:
    """Return whether an answer is right, partial, wrong or honest (no answer is claimed), and what is missing of it.

    One that lacks something is partial if it says itself what it may leave out. The right answer to a question about
    what does not exist is that it is not known.
    """
    if question.get("kind") == "absent":
        return ("right" if answer["kind"] == "not known" else "wrong"), answer["answer"]
    if answer["kind"] in HONEST:
        return "honest", answer["answer"]
    places = [
        f"{e['path']}:{e['line']}" if e["line"] else f"{e['path']}:" for e in answer["evidence"] if e["path"]
    ]
    places += [f"commit {e['commit']}" for e in answer["evidence"] if not e["line"]]
    lacking = missing(answer["answer"], places, question)
    if not answer["evidence"]:
        lacking.append("any evidence")
    result = "right" if not lacking else "partial" if answer["limits"] else "wrong"
    limits = f" (limits: {'; '.join(answer['limits'])})" if answer["limits"] else ""
    return result, f"{', '.join(lacking)} is not in: {answer['answer'][:300]}{limits}"


def evaluate(
    engine: Engine, snapshot: Snapshot, questions: list[dict[str, Any]]
) -> tuple[list[str], list[float]]:
    """Return the grade of each question, and the milliseconds of each answer."""
    grades, times = [], []
    for question in questions:
        started = time.monotonic()
        with engine.connect() as connection:
            answer = answers.answer(connection, snapshot, question["ask"]).as_json()
        times.append(1_000 * (time.monotonic() - started))
        result, lacking = grade(answer, question)
        grades.append(result)
        if result != "right":
            console.print(f"{result} ({answer['kind']}): {question['ask']}: {lacking}", highlight=False)
    return grades, times


def ingested(url: URL, path: Path, name: str) -> tuple[Engine, Snapshot]:
    """Ingest, measure and index a clone in the database, unless that was done before."""
    ensure_database(url)
    engine = engine_for(url)
    migrate(engine)
    try:
        with engine.connect() as connection:
            return engine, current_snapshot(connection, name)
    except QflowError:
        snapshot = prepare(engine, path, name)
    evaluation = rule_engine.evaluate(engine, name)
    with engine.begin() as connection:
        findings.update(connection, snapshot, evaluation)
    index.update(engine, snapshot)
    return engine, snapshot


def main() -> None:
    """Print the tables."""
    folder = Path(__file__).parent
    known = {
        name: data
        for file in ("questions.yaml", "questions_established.yaml")
        for name, data in yaml.safe_load((folder / file).read_text()).items()
    }
    paths = {name: Path(path) for name, _, path in (argument.partition("=") for argument in sys.argv[1:])}
    if not paths or set(paths) - set(known):
        raise SystemExit(f"{__doc__}\nThere are questions about: {', '.join(known)}")
    by_repository = Table(
        "repository", "right", "partial", "wrong", "honest", "median", "95 %", title="Questions answered"
    )
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    all_times: list[float] = []
    with tempfile.TemporaryDirectory(prefix="qflow-benchmark-", ignore_cleanup_errors=True) as temporary:
        home = Path(temporary)
        home.chmod(0o755)
        embedded.start(home)
        try:
            for name, path in paths.items():
                engine, snapshot = ingested(embedded.url(home, f"questions_{name.lower()}"), path, name)
                if snapshot.commit_oid != known[name]["commit"]:
                    raise SystemExit(f"{name} is at {snapshot.commit_oid}; check out {known[name]['commit']}")
                # The first forty have no kind.
                questions = [{"kind": "unsorted", **question} for question in known[name]["questions"]]
                grades, times = evaluate(engine, snapshot, questions)
                search = FunctionSearch(engine, snapshot, path)
                for question, result in zip(questions, grades, strict=True):
                    row = by_kind[question["kind"]]
                    row[result] += 1
                    row["questions"] += 1
                    row["git"] += peer_is_right(*git_answer(path, question), question)
                    row["bm25"] += peer_is_right(*search.answer(question["ask"]), question)
                count = Counter(grades)
                by_repository.add_row(
                    name,
                    f"{count['right']} of {len(questions)}",
                    str(count["partial"]),
                    str(count["wrong"]),
                    str(count["honest"]),
                    *(f"{value:.0f} ms" for value in quantiles(times)),
                )
                all_times += times
        finally:
            embedded.stop(home)
    console.print(by_repository)
    console.print(kinds(by_kind))
    console.print("all: median {:.0f} ms, 95 % {:.0f} ms".format(*quantiles(all_times)))


def quantiles(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    return statistics.median(times), sorted(times)[max(0, round(0.95 * len(times)) - 1)]


def kinds(rows: dict[str, Counter[str]]) -> Table:
    """Return the table by kind of question, with what the peers find."""
    table = Table("kind", "questions", "right", "partial", "wrong", "honest", "git", "BM25", title="By kind")
    total: Counter[str] = Counter()
    for kind, row in sorted(rows.items(), key=lambda item: -item[1]["questions"]):
        total.update(row)
        table.add_row(kind, *(str(row[name]) for name in COLUMNS))
    table.add_row("all", *(str(total[name]) for name in COLUMNS))
    return table


COLUMNS = ("questions", "right", "partial", "wrong", "honest", "git", "bm25")


if __name__ == "__main__":
    main()
