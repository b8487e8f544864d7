"""Highlighting of source code as HTML, in a worker process: the code is hostile, and a lexer may take forever on it.

Belongs here: what the worker does, and calling it. Workers import only this. Does not belong here: reading the code.
"""

from functools import cache
from html import escape
from typing import NamedTuple

from qflow_dagster.errors import QflowError
from qflow_dagster.processes import Pool, WorkerDiedError, WorkerTimeoutError
from qflow_dagster.safety.display import visible

# Seconds for one text, and characters of a line that are shown.
TIMEOUT, MAX_COLUMNS = 2.0, 500


class Text(NamedTuple):
    """A text to highlight, with the name of a file, which decides on the language."""

    name: str
    text: str


def lines(name: str, text: str) -> tuple[list[str], bool]:
    """Return each line of a text as HTML, and whether it is highlighted: plain if that takes too long."""
    try:
        return _pool().call(Text(name, text), TIMEOUT), True
    except (WorkerTimeoutError, WorkerDiedError, QflowError):
        return [escape(line) for line in shown_lines(text)], False


def shown_lines(text: str) -> list[str]:
    """Return the lines of a text as they are displayed: hidden characters written out, long lines cut."""
    split = visible(text.replace("\r\n", "\n")).split("\n")
    return [line if len(line) <= MAX_COLUMNS else line[:MAX_COLUMNS] + "…" for line in split]


def highlight(_context: None, batch: list[Text]) -> list[str]:
    """Return the lines of a text as HTML with Pygments' classes; run by a worker."""
    from pygments import lex
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_for_filename
    from pygments.util import ClassNotFound

    [(name, text)] = batch
    shown = shown_lines(text)
    try:
        lexer = get_lexer_for_filename(name, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return [escape(line) for line in shown]
    formatter = HtmlFormatter(nowrap=True)
    html = _Lines()
    formatter.format(lex("\n".join(shown), lexer), html)
    result = "".join(html.parts).removesuffix("\n").split("\n")
    # A lexer that loses or adds lines would put the wrong number beside each.
    return result if len(result) == len(shown) else [escape(line) for line in shown]


class _Lines:
    """A file of what the formatter writes; it closes and opens its elements at each end of a line."""

    def __init__(self) -> None:
        self.parts: list[str] = []

    def write(self, part: str) -> None:
        self.parts.append(part)


@cache
def _pool() -> Pool:
    """Return the worker, which lives as long as the server."""
    return Pool(highlight, None, 1)
