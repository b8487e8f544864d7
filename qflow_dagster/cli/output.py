"""How results are printed: tables for people, JSON for programs, both on stdout.

Belongs here: printing shared by all nouns, hidden aliases, and the acting name. Output may contain text from a
repository, an error or an agent, so everything that reaches a terminal passes the consoles here:
characters that hide or move text are written out, and brackets are plain text.
"""

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from qflow_dagster.errors import UsageError
from qflow_dagster.processes import host_name
from qflow_dagster.safety.display import visible, visible_json

if TYPE_CHECKING:
    from rich.syntax import Syntax

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most this many rows.")]

As = Annotated[
    str | None,
    typer.Option(
        "--as", help="The name to act under: your account, or the name in the token of QFLOW_IDENTITY."
    ),
]

# Columns when the output is not a terminal (a pipe, a log); the usual 80 would fold every path.
PIPE_WIDTH = 160


class SafeConsole(Console):
    """A console on which text from outside is displayed, never interpreted.

    Text is markup only if a call says `markup=True`; then the caller escapes what it inserts.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, **options})

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does. Rich itself drops some control characters silently, so texts are treated first."""
        super().print(*(visible(each) if isinstance(each, str) else each for each in objects), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does; text inside tables and pictures is treated here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


console = SafeConsole()
# Progress, problems and hints for a person, beside the result.
messages = SafeConsole(stderr=True, soft_wrap=True)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = PIPE_WIDTH


def write_file(file: Path, content: str | bytes) -> None:
    """Write a result to a file that a person names.

    Raises:
        UsageError: it cannot be written there.
    """
    try:
        file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}; give another path") from None


def actor_name(requested_name: str | None) -> str:
    """Return the name this process acts under; `requested_name` (`--as`) has to be that name.

    Raises:
        UsageError: the name is not established.
    """
    from qflow_dagster.web import identities

    return identities.established(requested_name)


def worker_name(requested_name: str | None = None) -> str:
    """Return the name of this process as a worker: who works by hand. Raises as `actor_name`."""
    return f"{actor_name(requested_name)} by hand on {host_name()}"


def print_json(value: Any, *, indent: int | None = 2) -> None:
    """Print one JSON document, with times as ISO 8601."""
    print_text(visible_json(value, default=_plain, indent=indent))


def print_text(text: str) -> None:
    """Print lines that a program reads; characters that hide or move text are written out."""
    typer.echo(visible(text))


def print_code(code: str, language: str) -> None:
    """Print a patch or a document; on a terminal in colour, with line numbers."""
    if console.is_terminal:
        console.print(code_block(code, language))
    else:
        print_text(code)


def code_block(code: str, language: str) -> "Syntax":
    """Return a patch or a document in colour, with line numbers."""
    # Imported here: most commands print no code.
    from rich.syntax import Syntax

    return Syntax(
        visible(code),
        language,
        theme="ansi_dark",
        background_color="default",
        line_numbers=True,
        word_wrap=True,
    )


def print_exactly(content: bytes) -> None:
    """Print bytes for another program (a patch for git); on a terminal, as readable text."""
    if sys.stdout.isatty():
        print_text(content.decode(errors="replace"))
        return
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def print_rows(
    rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, empty: str, title: str = ""
) -> None:
    """Print a table of `rows` (their keys are the header), or the sentence `empty` if there are none."""
    console.print(rows_table(rows, columns=columns, title=title) if rows else empty)


def rows_table(
    rows: Sequence[Mapping[str, Any]], *, columns: Sequence[str] | None = None, title: str = ""
) -> Table:
    """Return a table of `rows` (their keys are the header), without characters that hide or move text."""
    header = list(columns or rows[0])
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for name in header:
        numeric = all(isinstance(row[name], int | float | None) for row in rows)
        # Ids are copied and times compared: neither is folded.
        unfolded = name == "id" or any(isinstance(row[name], datetime) for row in rows)
        wide = name in {"path", "file", "location", "name"}
        table.add_column(
            name.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=numeric or unfolded,
            ratio=None,
            min_width=20 if wide else None,
        )
    for row in rows:
        table.add_row(*(Text(_cell(row[name])) for name in header))
    return table


def check_choice(noun: str, value: str | None, choices: Iterable[str]) -> None:
    """Refuse a filter value that can match nothing.

    Raises:
        UsageError: the value is not among the choices.
    """
    choices = list(choices)
    if value is not None and value not in choices:
        raise UsageError(f"unknown {noun} {value!r}; choose one of: {', '.join(choices)}")


def renamed(**names: str) -> dict[str, Any]:
    """Return typer context settings that keep old names of commands and options as hidden aliases.

    `renamed(go_on="resume")` accepts the old command `go-on`; of an option, name both without `--`.
    """
    current = {old.replace("_", "-"): new for old, new in names.items()}
    return {"token_normalize_func": lambda token: current.get(token, token)}


def print_fields(fields: Mapping[str, Any]) -> None:
    """Print one record as `name  value` lines."""
    console.print(fields_table(fields))


def fields_table(fields: Mapping[str, Any]) -> Table:
    """Return one record as `name  value` lines, without characters that hide or move text."""
    # Values have a column of their own, so that no line of a value can look like another field.
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name.replace("_", " "), Text(_cell(value)))
    return table


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
