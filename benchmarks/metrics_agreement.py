"""How far our counts agree with radon's and lizard's: `python -m benchmarks.metrics_agreement FOLDER ...`.

Other tools by a file of theirs (`--values NAME=FILE`; lines of path, line and cyclomatic complexity with tabs between):
of shellmetrics the columns file, lineno and ccn of `shellmetrics --csv FILE ...`, of Credo what
`elixir -pa credo/_build/prod/lib/credo/ebin benchmarks/credo_complexity.exs FILE ...` prints.

Functions are matched by the line they begin on. Shown are the share of functions with the same
number, with a number at most 1 apart, and the rank correlation (Spearman), which is what
hotspots and percentiles depend on.
"""

import argparse
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from qflow_dagster.ingestion import classify, languages
from qflow_dagster.ingestion.extraction import extract
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS


class Pair(NamedTuple):
    """One function as counted by us and by another tool."""

    tool: str
    metric: str
    language: str
    place: str
    ours: int
    theirs: int


# By tool: path -> (line, cyclomatic complexity) of its functions.
Values = dict[str, dict[str, list[tuple[int, int]]]]


def values_of(file: Path) -> dict[str, list[tuple[int, int]]]:
    """Return what a tool wrote, by path."""
    values: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in file.read_text(encoding="utf-8").splitlines():
        path, line, complexity = row.split("\t")
        values[path.strip('"')].append((int(line), int(complexity)))
    return values


def compare(path: Path, values: Values | None = None) -> Iterator[Pair]:
    """Compare the values of radon (Python), lizard and others for the functions of a file with ours."""
    data = path.read_bytes()
    language = languages.detect(path.name, data[: languages.HEAD_BYTES])
    if language not in GRAMMARS or any(classify.classify(path.name)[1:3]):
        return
    facts = extract(data, language)
    if facts.parse_error_count or facts.generated:
        return
    source = data.decode(facts.encoding or "utf-8", "replace")
    symbols = [s for s in facts.symbols if s.kind in ("function", "method") and s.decisions is not None]
    starts = [s.start_line for s in symbols]
    ours = {s.start_line: s for s in symbols if starts.count(s.start_line) == 1}
    if language == "Python":
        for line, complexity in radon_complexities(source):
            if line in ours:
                own = (ours[line].decisions or 0) + 1
                yield Pair("radon", "cyclomatic", language, f"{path}:{line}", own, complexity)
    for tool, by_path in (values or {}).items():
        for line, complexity in by_path.get(str(path), ()):
            if line in ours:
                own = (ours[line].decisions or 0) + 1
                yield Pair(tool, "cyclomatic", language, f"{path}:{line}", own, complexity)
    for function in lizard_functions(path, source):
        symbol = ours.get(function.start_line)
        if symbol is None:
            continue
        place = f"{path}:{function.start_line}"
        yield Pair(
            "lizard",
            "cyclomatic",
            language,
            place,
            (symbol.decisions or 0) + 1,
            function.cyclomatic_complexity,
        )
        yield Pair("lizard", "code lines", language, place, symbol.code_lines or 0, function.nloc)
        yield Pair("lizard", "parameters", language, place, symbol.parameters or 0, function.parameter_count)


def radon_complexities(source: str) -> Iterator[tuple[int, int]]:
    """(first line, cyclomatic complexity) of each function, method and closure."""
    from radon.visitors import ComplexityVisitor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        try:
            visitor = ComplexityVisitor.from_code(source)
        except (SyntaxError, ValueError):
            return
    pending = [*visitor.functions, *(m for c in visitor.classes for m in [*c.methods, *c.inner_classes])]
    while pending:
        block = pending.pop()
        if hasattr(block, "methods"):
            pending += [*block.methods, *block.inner_classes]
        else:
            yield block.lineno, block.complexity
            pending += block.closures


def lizard_functions(path: Path, source: str) -> list:
    """Lizard's functions of a file; none where it has no reader for it, or fails."""
    import lizard

    try:
        return lizard.analyze_file.analyze_source_code(path.name, source).function_list
    except Exception:
        return []


def summary(pairs: list[Pair]) -> pd.DataFrame:
    """Per tool, metric and language: functions, shares in %, rank correlation."""
    frame = pd.DataFrame(pairs, columns=list(Pair._fields))
    frame["apart"] = (frame["ours"] - frame["theirs"]).abs()
    rows = []
    for (tool, metric, language), group in frame.groupby(["tool", "metric", "language"]):
        varies = group["ours"].nunique() > 1 and group["theirs"].nunique() > 1
        ranks = group["ours"].rank().corr(group["theirs"].rank()) if varies else np.nan
        same, near = (group["apart"] == 0).mean(), (group["apart"] <= 1).mean()
        rows.append((tool, metric, language, len(group), 100 * same, 100 * near, ranks))
    columns = ["tool", "metric", "language", "functions", "same %", "within 1 %", "rank correlation"]
    return pd.DataFrame(rows, columns=columns)


def files_of(folder: Path, count: int) -> list[Path]:
    """Return about `count` files of a folder, evenly picked."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and ".git" not in p.parts)
    return files[:: max(len(files) // count, 1)]


def main() -> None:
    """Print the table, and the functions furthest apart."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--files", type=int, default=400, help="files per folder, evenly picked")
    parser.add_argument("--apart", type=int, default=0, help="show so many functions that differ most")
    parser.add_argument("--values", action="append", default=[], help="NAME=FILE of another tool")
    options = parser.parse_args()
    values = {name: values_of(Path(file)) for name, _, file in (v.partition("=") for v in options.values)}
    pairs: list[Pair] = []
    for folder in options.folders:
        for path in files_of(folder, options.files):
            pairs += compare(path, values)
    table = Table(*summary(pairs).columns)
    for *names, functions, same, near, ranks in summary(pairs).itertuples(index=False):
        table.add_row(*names, f"{functions:,}", f"{same:.1f}", f"{near:.1f}", f"{ranks:.3f}")
    console = Console(width=110)
    console.print(table)
    for pair in sorted(pairs, key=lambda p: -abs(p.ours - p.theirs))[: options.apart]:
        console.print(*pair)


if __name__ == "__main__":
    main()
