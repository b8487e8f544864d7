"""Making text from outside safe to show: what a person reads is what is there.

Belongs here: which characters hide, reorder, overprint or look like a space, and writing them
out. Does not belong here: secrets (`redaction`), markup (each page and table escapes its own).

A repository, an error or an agent chooses the text; a terminal, a browser or a chat shows it.
Sources: Boucher and Anderson, "Trojan Source" (2021); Unicode 16, section 5.21 and the property
Default_Ignorable_Code_Point; ECMA-48 for control characters.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

# Control characters and the two separators of lines (but newline and tabulator), surrogates and
# private use, all of Default_Ignorable_Code_Point and of category Cf, blanks that are letters
# (Hangul fillers, the empty Braille cell), spaces that look like the plain one, noncharacters.
_HIDDEN = (
    "\x00-\x08\x0b-\x1f\x7f-\xa0\xad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680"
    "\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u206f\u2800\u3164\ud800-\uf8ff\ufe00-\ufe0f"
    "\ufdd0-\ufdef\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff\U000110bd\U000110cd\U00013430-\U0001343f\U00016fe4"
    "\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U0010ffff"
)
# More combining marks than any script needs overprint the lines above and below.
_MAX_MARKS = 4
_MARKS = ("Mn", "Me")
_UNSAFE = re.compile(f"[{_HIDDEN}]")
_UNSAFE_IN_LINE = re.compile(f"[\t\n{_HIDDEN}]")


def visible(text: str) -> str:
    """Return `text` with every character that hides or moves something written out, as ``<U+202E>``.

    Newlines and tabulators stay; a carriage return is written out, since it overprints its line.
    """
    return _replace(_UNSAFE, text, _written_out)


def visible_line(text: str, limit: int | None = None) -> str:
    """Return `text` as one safe line: as `visible`, newlines and tabulators written out too.

    What is longer than `limit` characters is cut, with ``…`` at the end.
    """
    line = _replace(_UNSAFE_IN_LINE, text if limit is None else text[: limit + 1], _written_out)
    return line if limit is None or len(line) <= limit else line[: limit - 1] + "…"


def without_hidden(text: str) -> str:
    """Remove every character that hides or moves something; newlines and tabulators stay."""
    return _UNSAFE.sub("", text)


def is_blank(text: str) -> bool:
    """Return whether a text shows nothing: it is empty, or has blanks and hidden characters alone."""
    return not without_hidden(text).strip()


def visible_json(value: Any, *, indent: int | None = 2, default: Callable[[Any], Any] = str) -> str:
    r"""Return `value` as JSON text that is safe on a terminal; hidden characters become ``\u`` escapes.

    It reads back as the same value.
    """
    encoded = json.dumps(value, default=default, ensure_ascii=False, indent=indent)
    # What hides, or is one mark too many, stands in a string, where an escape means the same character.
    return _replace(_UNSAFE, encoded, _escaped)


def _escaped(character: str) -> str:
    return json.dumps(character)[1:-1]


def _written_out(character: str) -> str:
    return f"<U+{ord(character):04X}>"


def _replace(unsafe: re.Pattern[str], text: str, written_out: Callable[[str], str]) -> str:
    """Return `text` with what is unsafe, and marks that are too many on one letter, as `written_out` writes them."""
    return _without_piles(unsafe.sub(lambda match: written_out(match[0]), text), written_out)


def _without_piles(text: str, written_out: Callable[[str], str]) -> str:
    """Return `text` with the marks written out that are too many on one letter."""
    if text.isascii():
        return text
    kept = []
    marks = 0
    for character in text:
        # No mark is before U+0300.
        marks = marks + 1 if character > "\u02ff" and unicodedata.category(character) in _MARKS else 0
        kept.append(character if marks <= _MAX_MARKS else written_out(character))
    return "".join(kept)


def is_formula(cell: str) -> bool:
    """Return whether a spreadsheet may take a CSV cell for a formula, also after blanks or in wide letters."""
    begin = unicodedata.normalize("NFKC", cell[:1_000]).lstrip()
    return begin.startswith(("=", "+", "-", "@")) or cell.startswith(("\t", "\r"))
