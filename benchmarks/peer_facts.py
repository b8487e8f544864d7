"""Definitions beside universal-ctags, lines beside cloc, file by file: `python -m benchmarks.peer_facts FOLDER ...`.

Both tools are Debian's (`universal-ctags`, `cloc`). A definition of ctags is found if ours has its name and spans its
line. Lines are the same if code, comment and blank lines are. `--differing N` shows so many that differ, by language.
"""

import argparse
import json
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.metrics_agreement import files_of
from qflow_dagster.ingestion import classify, languages
from qflow_dagster.ingestion.extraction import extract
from qflow_dagster.ingestion.extraction.grammars import GRAMMARS
from qflow_dagster.ingestion.facts import BlobFacts

FUNCTIONS = {"function", "method", "member", "func", "singletonMethod", "subroutine", "macro", "delegate"}
TYPES = {"class", "interface", "struct", "enum", "trait", "module", "union", "object", "protocol"}
# What ctags calls so is no definition of code in these languages: fields, prototypes, groups of tests, parameters.
NOT = {
    ("C", "member"),
    ("C++", "member"),
    ("C", "macro"),
    ("C++", "macro"),
    ("Rust", "module"),
    ("Go", "member"),
}
# Names of what has none.
NAMELESS = ("<lambda>", "__anon", "Companion")


class Tag(NamedTuple):
    """A definition as ctags prints it."""

    name: str
    kind: str
    line: int


def facts_of(path: Path) -> BlobFacts | None:
    """Return the facts of a file in one of the languages with a grammar that is neither generated nor vendored."""
    data = path.read_bytes()
    language = languages.detect(path.name, data[: languages.HEAD_BYTES])
    if language not in GRAMMARS or any(classify.classify(path.name)[1:3]):
        return None
    facts = extract(data, language)
    return None if facts.generated or facts.binary else facts


def tags_of(files: list[Path]) -> dict[str, list[Tag]]:
    """Return the definitions of ctags by path."""
    command = [
        "ctags",
        "--output-format=json",
        "--fields=+nKl",
        "--extras=-{anonymous}",
        "-f",
        "-",
        "-L",
        "-",
    ]
    listed = "\n".join(map(str, files)).encode()
    printed = subprocess.run(command, input=listed, capture_output=True, check=True).stdout
    tags: dict[str, list[Tag]] = defaultdict(list)
    for row in map(json.loads, printed.decode("utf-8", "replace").splitlines()):
        kind = row.get("kind", "")
        named = row.get("name", "").strip() and not row["name"].startswith(NAMELESS)
        if named and kind in FUNCTIONS | TYPES and (row.get("language"), kind) not in NOT:
            tags[row["path"]].append(Tag(row["name"], kind, row["line"]))
    return tags


def lines_of(files: list[Path]) -> dict[str, tuple[int, int, int]]:
    """Return cloc's lines of code, comment and blank by path."""
    command = ["cloc", "--by-file", "--json", "--skip-uniqueness", "--quiet", "--list-file=-"]
    listed = "\n".join(map(str, files)).encode()
    printed = subprocess.run(command, input=listed, capture_output=True, check=True).stdout
    counted = json.loads(printed or b"{}")
    return {
        path: (row["code"], row["comment"], row["blank"])
        for path, row in counted.items()
        if path not in ("header", "SUM")
    }


def is_found(tag: Tag, facts: BlobFacts) -> bool:
    """Return whether one of our symbols has the name and spans the line."""
    name = last_part(tag.name)
    return any(
        symbol.start_line <= tag.line <= symbol.end_line and last_part(symbol.name) == name
        for symbol in facts.symbols
        if symbol.seq > 0
    )


def last_part(name: str) -> str:
    """Return a name without scopes, type arguments and blanks, which each tool writes in its own way."""
    while "operator" not in name and (shorter := re.sub(r"<[^<>]*>", "", name)) != name:
        name = shorter
    return re.split(r"::|\.", name.replace(" ", ""))[-1]


def compare(files: list[Path]) -> Iterator[tuple[str, str, bool, str]]:
    """Yield language, what was compared, whether it is the same, and where."""
    facts = {str(path): found for path in files if (found := facts_of(path))}
    paths = [Path(path) for path in facts]
    tags, lines = tags_of(paths), lines_of(paths)
    for path, found in facts.items():
        # Of what does not parse the peer knows no more.
        for tag in tags.get(path, ()) if not found.parse_error_count else ():
            where = f"{path}:{tag.line} {tag.kind} {tag.name}"
            yield (
                found.language,
                "functions" if tag.kind in FUNCTIONS else "types",
                is_found(tag, found),
                where,
            )
        if path in lines:
            ours = (found.code_lines, found.comment_lines, found.blank_lines)
            yield found.language, "lines", ours == lines[path], f"{path} {ours} cloc {lines[path]}"
            near = abs(ours[0] - lines[path][0]) <= max(1, lines[path][0] // 100)
            yield found.language, "code", near, f"{path} {ours} cloc {lines[path]}"


COLUMNS = ("functions", "types", "lines", "code")


def main() -> None:
    """Print the table by language, and what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--files", type=int, default=200, help="files per folder, evenly picked")
    parser.add_argument("--differing", type=int, default=0, help="show so many of each kind that differ")
    options = parser.parse_args()
    rows: dict[tuple[str, str], list[tuple[bool, str]]] = defaultdict(list)
    for folder in options.folders:
        for language, what, same, where in compare(files_of(folder, options.files)):
            rows[language, what].append((same, where))
    table = Table(
        "language",
        "functions of ctags",
        "found %",
        "types",
        "found %",
        "files",
        "lines as cloc %",
        "code ± 1 %",
    )
    console = Console(width=130)
    for language in sorted({language for language, _ in rows}):
        cells = []
        for what in COLUMNS:
            found = rows[language, what]
            share = f"{100 * sum(same for same, _ in found) / len(found):.1f}" if found else ""
            cells += [share] if what == "code" else [f"{len(found):,}", share]
        table.add_row(language, *cells)
    console.print(table)
    for (language, what), found in sorted(rows.items()):
        for where in [where for same, where in found if not same][: options.differing]:
            console.print(language, what, where, highlight=False)


if __name__ == "__main__":
    main()
