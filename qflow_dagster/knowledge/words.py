"""The words of identifiers, and the parts of the search index that need no parser.

Importing the parsers takes longer than a search; what searches imports this alone.
"""

import re
from typing import NamedTuple

PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")

# Languages of prose.
DOCUMENTS = frozenset({"Markdown", "reStructuredText", "AsciiDoc", "Text", "MDX", "Org", "RDoc"})


class Symbol(NamedTuple):
    """A symbol of the blob, as ingested."""

    seq: int
    kind: str
    name: str
    qualified_name: str
    start_line: int
    end_line: int


class Entry(NamedTuple):
    """An entry of the search index: a location (1-based line), its name, its text, and the words of its code."""

    seq: int
    line: int
    kind: str
    name: str
    name_words: str
    words: str
    code_words: str = ""


def parts(identifier: str) -> str:
    """Return an identifier as words: itself, and its parts by camel case, underscores and dots."""
    pieces = PARTS.findall(identifier)
    return " ".join(dict.fromkeys([identifier.rpartition(".")[2], *(part.lower() for part in pieces)]))
