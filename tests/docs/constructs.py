"""The table of constructs as Markdown; ``make docs-output`` writes it into ``docs/constructs.md``."""

import re
from collections.abc import Iterator
from pathlib import Path

from qflow_dagster.ingestion.extraction import constructs
from qflow_dagster.ingestion.extraction.constructs import Construct, Language

PAGE = Path(__file__).parents[2] / "docs" / "constructs.md"
BEGINNING = "<!-- written by make docs-output from the table of constructs -->\n"


def page() -> str:
    """Return the page as it should be: the text before the tables is kept."""
    return PAGE.read_text().partition(BEGINNING)[0] + BEGINNING + "\n".join(_tables()) + "\n"


def _tables() -> Iterator[str]:
    yield "\n## Kinds\n"
    yield "| kind | cyclomatic | cognitive | nests | source |\n| --- | --- | --- | --- | --- |"
    for kind in constructs.kinds():
        cognitive = "1 per sequence" if kind.sequence else f"{kind.cognitive}{' + nesting' * kind.nested}"
        nests = "yes" if kind.nests else ""
        yield f"| {_title(kind.name)} | {kind.cyclomatic} | {cognitive} | {nests} | {kind.source} |"
    files = (path.stem for path in constructs.FOLDER.glob("*.toml"))
    tables = [table for file in files if file != "kinds" and (table := constructs.language(file))]
    for table in sorted(tables, key=lambda table: table.title.lower()):
        yield from _table(table)


def _table(table: Language) -> Iterator[str]:
    yield f"\n## {table.title}\n\n| kind | constructs |\n| --- | --- |"
    for kind in constructs.kinds():
        names = [_shown(entry) for entry in table.constructs if entry.kind == kind.name]
        if names:
            yield f"| {_title(kind.name)} | {'; '.join(names)} |"


def _title(name: str) -> str:
    return name.replace("_", " ")


def _shown(entry: Construct) -> str:
    name = entry.name.replace("|", "\\|")
    shown = name if re.fullmatch(r"[\w ,:]+", name) else f"`{name}`"
    return f"{shown} ({entry.source})" if entry.source else shown


if __name__ == "__main__":
    PAGE.write_text(page())
