"""Benchmark of rule mining: `python -m benchmarks.mining NAME=PATH ...` (repositories on this machine).

Rules are mined from the first part of a repository's history (`--share` of its commits that changed
code, by time) and judged on the rest, which mining never sees: precision and recall as
`qflow_dagster.evolution.mining.precision` and `verdicts` define them. For each repository a row of the
table, and the rules with what they rest on and what became of their suggestions later.
"""

import argparse
import os
import time
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from qflow_dagster.evolution import matchers
from qflow_dagster.evolution.mining import commit_selection
from qflow_dagster.evolution.mining.precision import Evaluation, evaluate
from qflow_dagster.evolution.mining.rule_miner import Mining, mine_all

console = Console(width=200)


class Measured(NamedTuple):
    """One repository: where its history was split, what was mined before and became of it after."""

    name: str
    split: datetime
    mining: Mining
    evaluation: Evaluation
    seconds: float


def measure(name: str, objects: Path, tip: str, share: float, most_commits: int, processes: int) -> Measured:
    """Mine the first `share` of the history, judge on the rest."""
    _, commits = commit_selection.read_commits(
        objects,
        tip=tip,
        chosen=tuple(matchers.LANGUAGES),
        most_commits=most_commits,
        processes=processes,
    )
    if not commits:
        raise SystemExit(f"{name}: no commit changed a file of a language that has rules")
    split = commits[int(share * len(commits))].at
    started = time.perf_counter()
    mining = mine_all(objects, tip=tip, until=split, most_commits=most_commits, processes=processes)
    seconds = time.perf_counter() - started
    evaluation = evaluate(
        objects,
        [mined.rule for mined in mining.rules],
        after=split,
        tip=tip,
        most_commits=most_commits,
        processes=processes,
    )
    return Measured(name, split, mining, evaluation, seconds)


def shown(part: float | None) -> str:
    """A share as text."""
    return "-" if part is None else f"{part:.2f}"


def print_rules(measured: Measured) -> None:
    """The rules of one repository."""
    table = Table(
        title=f"{measured.name}: rules mined up to {measured.split:%Y-%m-%d}, judged after",
        title_justify="left",
    )
    for column in ("rule", "edits", "commits", "authors", "files", "check", "later", "open"):
        table.add_column(column, justify="left" if column == "rule" else "right", overflow="fold")
    for mined, score in zip(measured.mining.rules, measured.evaluation.scores, strict=True):
        support, check = mined.support, mined.check
        table.add_row(
            mined.rule.title.replace("[", r"\["), str(support.edits), str(support.commits), str(support.authors),
            str(support.files), f"{check.right}/{check.decided}", f"{score.right}/{score.decided}", str(score.open),
        )  # fmt: skip
    console.print(table)


def print_summary(all_measured: list[Measured], share: float) -> None:
    """A row for each repository."""
    table = Table(
        title=f"Mined from the first {share:.0%} of the commits, judged on the rest; {os.cpu_count()} cores",
        title_justify="left",
    )
    columns = (
        "repository", "commits read", "small", "edits", "templates", "rules", "decided later", "precision", "repeated",
        "recall", "gone", "seconds", "commits/s",
    )  # fmt: skip
    for column in columns:
        table.add_column(column, justify="left" if column == "repository" else "right")
    for one in all_measured:
        mining, later, total = one.mining, one.evaluation, one.evaluation.total
        cells = (
            one.name,
            f"{mining.commits:,} + {later.commits:,}",
            f"{mining.small:,}",
            f"{mining.edits:,}",
            f"{mining.templates:,}",
            f"{len(mining.rules)}",
            f"{total.right} of {total.decided}",
            shown(total.precision),
            f"{later.repeated}",
            shown(later.recall),
            f"{total.gone}",
            f"{one.seconds:.0f} + {later.seconds:.0f}",
            f"{mining.commits / one.seconds:.0f}",
        )
        table.add_row(*cells)
    console.print(table)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--tip", default="HEAD", help="where the history ends")
    parser.add_argument("--share", type=float, default=0.7, help="the part of the history that is mined")
    parser.add_argument("--commits", type=int, default=20_000, help="the newest commits that are read")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    done: list[Measured] = []
    for given in arguments.repositories:
        name, _, path = given.rpartition("=")
        if not name:
            parser.error(f"{given} is not NAME=PATH")
        objects = Path(path).resolve()
        done.append(
            measure(name, objects, arguments.tip, arguments.share, arguments.commits, arguments.processes)
        )
        print_rules(done[-1])
    print_summary(done, arguments.share)


if __name__ == "__main__":
    main()
