"""Table of constructs: which constructs of a language count for cyclomatic and cognitive complexity, and how much.

Belongs here: reading the table, ``constructs/*.toml``. A language's file lists its constructs; ``kinds.toml`` says what
each kind adds, the same for all languages. Extraction works from this table, ``docs/constructs.md`` shows it, and tests
check that each example adds what it says. Does not belong here: counting (``structure``).
"""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

FOLDER = Path(__file__).parent / "constructs"
# Files of a grammar's patterns and constructs, where it is not one file of its name.
FILES = {
    "javascript": ("ecma", "javascript"),
    "typescript": ("ecma", "typescript"),
    "tsx": ("ecma", "typescript"),
    "cpp": ("c", "cpp"),
}


class Kind(NamedTuple):
    """The counts that constructs of a kind add to their function; the fields are explained in ``kinds.toml``."""

    name: str
    cyclomatic: int
    cognitive: int
    source: str
    nested: bool = False
    nests: bool = False
    sequence: bool = False


class Construct(NamedTuple):
    """A construct of a language: its query pattern ('' if an earlier one matches it, or nothing is counted).

    `example` is code with one more of it than `without`.
    """

    name: str
    kind: str
    example: str
    pattern: str = ""
    without: str = ""
    source: str = ""


class Language(NamedTuple):
    """The constructs of one file, and code to try them in.

    `frame` is a function and `nest` an if, both around CODE; `plain` is a statement that adds nothing.
    """

    title: str
    frame: str
    nest: str
    plain: str
    constructs: list[Construct]


def files(grammar: str) -> tuple[str, ...]:
    """Return the names of the files that describe a grammar, general ones first."""
    return FILES.get(grammar, (grammar,))


@cache
def kinds() -> list[Kind]:
    """Return the kinds of constructs."""
    return [Kind(name, **values) for name, values in _read("kinds").items()]


@cache
def language(name: str) -> Language | None:
    """Return the table in the file of that name; None if there is none."""
    if not (FOLDER / f"{name}.toml").exists():
        return None
    table = _read(name)
    return Language(**{**table, "constructs": [Construct(**entry) for entry in table["constructs"]]})


def patterns(grammar: str) -> str:
    """Return the query of all constructs of a grammar; the name of a capture is the construct's kind."""
    tables = [table for name in files(grammar) if (table := language(name))]
    return "\n".join(
        construct.pattern
        if f"@{construct.kind}" in construct.pattern
        else f"{construct.pattern} @{construct.kind}"
        for table in tables
        for construct in table.constructs
        if construct.pattern
    )


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())
