"""How results are printed: tables for people, JSON for programs, both on stdout.

Belongs here: printing shared by all nouns, and who acts. Whatever is printed comes from a
repository, an error or an agent sooner or later, so nothing reaches a terminal but through the
consoles here: characters that hide or move something are written out, and brackets are text.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from qflow_dagster.errors import UsageError
from qflow_dagster.safety.display import visible, visible_json

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most this many rows.")]

As = Annotated[
    str | None,
    typer.Option(
        "--as", help="Who acts: the account, or the name that the token in QFLOW_IDENTITY is signed for."
    ),
]

# Where nobody looks (a pipe, a log) there is no width to keep to; 80 columns would fold every path.
UNSEEN_WIDTH = 160


class SafeConsole(Console):
    """A console on which text from outside can only be read.

    Text is no markup unless a call says `markup=True`; then the caller escapes what it puts in.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does. Rich itself drops some control characters unseen, so texts are treated first."""
        super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; what came in as part of a table or a picture is treated here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


console = SafeConsole()
# Progress, problems and what is said to a person beside the result.
messages = SafeConsole(stderr=True, soft_wrap=True)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = UNSEEN_WIDTH


def actor_name(given: str | None) -> str:
    """Return the name this process acts under; `given` (`--as`) has to be that name.

    Raises:
        UsageError: nothing establishes the name.
    """
    from qflow_dagster.web import identities

    return identities.established(given)


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """One JSON document, times as ISO 8601."""
    print_text(visible_json(value, default=_plain, indent=indent))


def print_text(text: str) -> None:
    """Print lines that a program reads; what hides or moves something is written out."""
    typer.echo(visible(text))


def print_code(code: str, language: str) -> None:
    """Print a patch or a document: at a terminal in colour, with numbers that tell a line from one that is wrapped."""
    if not console.is_terminal:
        print_text(code)
        return
    # Imported here: most commands print no code.
    from rich.syntax import Syntax

    console.print(
        Syntax(
            visible(code),
            language,
            theme="ansi_dark",
            background_color="default",
            line_numbers=True,
            word_wrap=True,
        )
    )


def print_exactly(content: bytes) -> None:
    """Bytes for another program (a patch for git); a terminal gets them as a text that can be read."""
    if sys.stdout.isatty():
        print_text(content.decode(errors="replace"))
        return
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def print_rows(
    rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, empty: str, title: str = ""
) -> None:
    """A table of `rows` (their keys are the header), or the sentence `empty` where there is none."""
    if not rows:
        console.print(empty)
        return
    header = list(columns or rows[0])
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in header:
        numeric = all(isinstance(row[name], int | float | None) for row in rows)
        # An id is copied, a time is compared: neither is folded.
        whole = name == "id" or any(isinstance(row[name], datetime) for row in rows)
        wide = name in {"path", "file", "location", "name"}
        table.add_column(
            name.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or whole,
            ratio=None,
            min_width=20 if wide else None,
        )
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in header))
    console.print(table)


def known(what: str, given: str | None, there: Iterable[str]) -> None:
    """Refuse a filter that nothing can fit.

    Raises:
        UsageError: it is given, and not one of those there are.
    """
    there = list(there)
    if given is not None and given not in there:
        raise UsageError(f"no {what} {given!r}; there are: {', '.join(there)}")


def print_fields(fields: Mapping[str, Any]) -> None:
    """One record as `name  value` lines."""
    # A column of its own for the values: no line of theirs, broken or wrapped, can pose as another field.
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name.replace("_", " "), Text(_cell(value)))
    console.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict | list):
        return visible_json(value, default=_plain, indent=None)
    return visible(str(value))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
