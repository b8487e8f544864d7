"""Benchmark of rule mining: `python -m benchmarks.mining NAME=PATH ...` (repositories on this machine).

Rules are mined again and again, as a monthly job would: at each of `--origins` days over the later part
of a history (after `--share` of its commits that changed code) from what there was until then, and
judged on what came until the next. Right, wrong, undone, gone and recall are as
`qflow_dagster.evolution.mining.verdicts` and `rolling` define them. Printed are the rules that decided
something, with how often and at how many origins, and a row for each repository.

What one commit does in many places is one decision: "by" is how many commits decided, "of each" the
mean of their own precisions, and the interval (Wilson) is of as many decisions as the clusters are worth.
"""

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import rolling_mining
from benchmarks.rolling_mining import Rolling
from qflow_dagster.evolution.confidence import wilson
from qflow_dagster.evolution.mining.mined_history import History, read_history
from qflow_dagster.evolution.mining.precision import Score
from qflow_dagster.evolution.rules import Rule

console = Console(width=200)
# 95 percent, of both sides.
TAIL = 0.975


class Measured(NamedTuple):
    """One repository."""

    name: str
    history: History
    rolling: Rolling
    # To read it.
    seconds: float


def effective(sizes: Sequence[int]) -> float:
    """How many independent decisions so many in clusters of these `sizes` are worth (Kish 1965)."""
    return sum(sizes) ** 2 / sum(size * size for size in sizes) if sizes else 0.0


def measure(name: str, objects: Path, options: argparse.Namespace) -> Measured:
    """Read one history, and mine and judge it at every origin."""
    started = time.perf_counter()
    history = read_history(objects, tip=options.tip, max_commits=options.commits, processes=options.processes)
    seconds = time.perf_counter() - started
    if not history.commits:
        raise SystemExit(f"{name}: no commit changed a file of a language that has rules")
    return rolled(name, history, seconds, options)


def rolled(name: str, history: History, seconds: float, options: argparse.Namespace) -> Measured:
    """Measure a history that is read."""
    window = timedelta(days=365.25 * options.window) if options.window else None
    origins = rolling_mining.origins_of(history, options.share, options.origins)
    result = rolling_mining.evaluate(history, origins, window=window, processes=options.processes)
    return Measured(name, history, result, seconds)


def print_rules(measured: Measured) -> None:
    """List the rules of one repository, those with most decisions first; those without any are counted."""
    offered: dict[tuple[str, str], list[tuple[Rule, Score]]] = defaultdict(list)
    for period in measured.rolling.periods:
        for mined, score in zip(period.rules, period.scores, strict=True):
            offered[mined.rule.language[0], mined.rule.title].append((mined.rule, score))
    totals = {
        key: Score(*map(sum, zip(*(score for _, score in found), strict=True)))
        for key, found in offered.items()
    }
    table = Table(title=f"{measured.name}: rules that decided something", title_justify="left")
    for column in ("rule", "origins", "right", "wrong", "undone", "gone"):
        table.add_column(column, justify="left" if column == "rule" else "right", overflow="fold")
    for key, total in sorted(totals.items(), key=lambda item: (-item[1].decided, item[0])):
        if total.decided:
            cells = (len(offered[key]), total.right, total.wrong, total.undone, total.gone)
            table.add_row(key[1].replace("[", r"\["), *map(str, cells))
    console.print(table)
    silent = sorted(key[1] for key, total in totals.items() if not total.decided)
    console.print(f"{len(silent)} rules decided nothing, for example", *silent[:12], sep="\n  ", markup=False)


def print_summary(all_measured: list[Measured], options: argparse.Namespace) -> None:
    """Print a row for each repository."""
    title = (
        f"Rules at {options.origins} origins after {options.share:.0%} of the commits, judged until the next"
    )
    table = Table(title=f"{title}; {os.cpu_count()} cores", title_justify="left")
    columns = (
        "repository",
        "commits",
        "small",
        "edits",
        "origins",
        "rules at an origin",
        "rules",
        "right",
        "wrong",
        "undone",
        "gone",
        "precision",
        "by",
        "of each",
        "95%",
        "repeated",
        "recall",
        "seconds",
    )
    for column in columns:
        table.add_column(column, justify="left" if column == "repository" else "right")
    for one in all_measured:
        periods, total = one.rolling.periods, one.rolling.total
        commits = one.rolling.commits
        worth = effective([commit.decided for commit in commits])
        good = worth * (total.precision or 0)
        low, high = wilson(good, worth, TAIL), 1 - wilson(worth - good, worth, TAIL)
        offered = [mined.rule.title for period in periods for mined in period.rules]
        recall = one.rolling.recall
        cells = (
            one.name,
            f"{len(one.history.commits):,}",
            f"{sum(commit.small for commit in one.history.commits):,}",
            f"{len(one.history.edits):,}",
            f"{len(periods)}",
            f"{len(offered) / len(periods):.1f}",
            f"{len(set(offered))}",
            f"{total.right}",
            f"{total.wrong}",
            f"{total.undone}",
            f"{total.gone}",
            "-" if total.precision is None else f"{total.precision:.3f}",
            f"{len(commits)}",
            f"{sum(commit.precision or 0 for commit in commits) / len(commits):.2f}" if commits else "-",
            f"{low:.2f}-{high:.2f}",
            f"{one.rolling.repeated:,}",
            "-" if recall is None else f"{recall:.4f}",
            f"{one.seconds:.0f} + {one.rolling.seconds:.0f}",
        )
        table.add_row(*cells)
    console.print(table)


def options() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("repositories", nargs="+", metavar="NAME=PATH")
    parser.add_argument("--tip", default="HEAD", help="where the history ends")
    parser.add_argument(
        "--share", type=float, default=0.3, help="the part of the history before the first origin"
    )
    parser.add_argument("--origins", type=int, default=30)
    parser.add_argument("--window", type=float, help="the last so many years are mined (default: all)")
    parser.add_argument("--commits", type=int, default=20_000, help="the newest commits that are read")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    return parser


def main() -> None:
    """Print the tables."""
    parser = options()
    arguments = parser.parse_args()
    done: list[Measured] = []
    for given in arguments.repositories:
        name, _, path = given.rpartition("=")
        if not name:
            parser.error(f"{given} is not NAME=PATH")
        done.append(measure(name, Path(path).resolve(), arguments))
        print_rules(done[-1])
    print_summary(done, arguments)


if __name__ == "__main__":
    main()
