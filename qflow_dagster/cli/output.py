"""How results are printed: tables for people, JSON for programs, both on stdout.

Belongs here: printing shared by all nouns. Progress and errors go to stderr, not here.
"""

import getpass
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qflow_dagster.errors import UsageError

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most this many rows.")]

As = Annotated[str | None, typer.Option("--as", help="Who decides; default: the user of this system.")]

# Where nobody looks (a pipe, a log) there is no width to keep to; 80 columns would fold every path.
UNSEEN_WIDTH = 160
console = Console(highlight=False)
if not console.is_terminal and "COLUMNS" not in os.environ:
    console.width = UNSEEN_WIDTH


def actor_name(given: str | None) -> str:
    """Who acts: as given with `--as`, else the user of this system."""
    return given or getpass.getuser()


def print_json(value: Any) -> None:
    """One JSON document, times as ISO 8601."""
    typer.echo(json.dumps(value, default=_plain, ensure_ascii=False, indent=2))


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
    width = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        console.print(Text(f"{name.replace('_', ' '):<{width}}  "), Text(_cell(value)), sep="")


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
        return json.dumps(value, default=_plain, ensure_ascii=False)
    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime | date):
        return value.isoformat()
    return str(value)
