"""What a blob says in words: names taken apart, docstrings, comments, sections of a document.

Pure, and run in worker processes: the text is somebody else's. Does not belong here: storing it
(`index`).
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from qflow_dagster.ingestion.extraction import grammars, syntax, text

# Of one entry; what is longer is data, or a licence.
LONGEST = 4_000
MAX_SECTIONS = 500
DOCUMENTS = frozenset({"Markdown", "reStructuredText", "AsciiDoc", "Text", "MDX", "Org", "RDoc"})
# Comments without an end of their own words: kept out, they would answer every question about copyright.
_LICENCE = re.compile(r"copyright|licen[cs]e|all rights reserved|spdx", re.IGNORECASE)
_PARTS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_MARKS = re.compile(
    r"^[ \t]*(?:///?!?|/\*+!?|\*+/|\*|#+!?|--+|;+|%+|[rRuUbB]?\"\"\"|'''|@doc|@moduledoc)[ \t]?"
    r"|(?<!\*)\*++/[ \t]*$|\"\"\"[ \t]*$|'''[ \t]*$",
    re.MULTILINE,
)
_HEADING = re.compile(
    r"^(?:#{1,6}[ \t]+(.+?)[ \t]*#*|={1,5}[ \t]+(.+)|(\S.*)\n(?:=+|-+|~+|\^+)[ \t]*)$", re.MULTILINE
)


class Symbol(NamedTuple):
    """A symbol of the blob, as ingestion found it."""

    seq: int
    kind: str
    name: str
    qualified_name: str
    start_line: int
    end_line: int


class Entry(NamedTuple):
    """What is searched: a place (1-based line), its name, and words."""

    seq: int
    line: int
    kind: str
    name: str
    name_words: str
    words: str


def parts(identifier: str) -> str:
    """An identifier as words: itself, and what camel case, underscores and dots separate."""
    found = _PARTS.findall(identifier)
    return " ".join(dict.fromkeys([identifier.rpartition(".")[2], *(part.lower() for part in found)]))


def read(data: bytes, language: str, symbols: Sequence[Symbol], timeout: float) -> list[Entry]:
    """The entries of a blob; the first (seq 0) is the file's own."""
    encoding = text.encoding(data)
    source = text.as_utf8(data, encoding) if encoding else b""
    if language in DOCUMENTS:
        return _sections(source.decode("utf-8", "replace"))
    said: dict[int, list[str]] = {}
    found = _comments(source, language, timeout)
    for line, last, words in found:
        said.setdefault(_owner(symbols, line, last), []).append(words)
    entries = []
    for symbol in symbols:
        own = "\n".join(said.get(symbol.seq, ()))[:LONGEST]
        name = symbol.qualified_name
        entries.append(
            Entry(
                symbol.seq,
                symbol.start_line,
                symbol.kind,
                name,
                parts(name) if symbol.seq else "",
                _clean(own),
            )
        )
    if not entries or entries[0].seq != 0:
        entries.insert(0, Entry(0, 1, "module", "", "", _clean("\n".join(said.get(0, ()))[:LONGEST])))
    return entries


def _comments(source: bytes, language: str, timeout: float) -> list[tuple[int, int, str]]:
    """(first line, last line, words) of each comment and docstring; neighbours are one."""
    grammar = grammars.grammar(language)
    tree = grammar and syntax.parse(grammar, source, timeout)
    spans = (
        syntax.read(grammar, tree, source).comments
        if grammar and tree
        else text.comment_spans(source, language)
    )
    newlines = [match.start() for match in re.finditer(rb"\n", source)]
    found: list[tuple[int, int, str]] = []
    for start, end in sorted(spans):
        first, last = bisect_right(newlines, start - 1) + 1, bisect_right(newlines, max(end - 2, start)) + 1
        words = _MARKS.sub("", source[start:end].decode("utf-8", "replace")).strip()
        if found and found[-1][1] + 1 == first:
            found[-1] = (found[-1][0], last, f"{found[-1][2]}\n{words}")
        else:
            found.append((first, last, words))
    return [one for one in found if one[2] and not (one[0] <= 5 and _LICENCE.search(one[2]))]


def _owner(symbols: Sequence[Symbol], first: int, last: int) -> int:
    """The symbol a comment is about: the one it is in, innermost; or the one that begins right below it."""
    inside = below = None
    for symbol in symbols:
        if symbol.seq == 0:
            continue
        if symbol.start_line <= first <= symbol.end_line:
            inside = symbol
        elif last < symbol.start_line <= last + 2 and below is None:
            below = symbol
    if below is not None and (inside is None or below.start_line <= inside.end_line):
        return below.seq
    return inside.seq if inside is not None else 0


def _sections(document: str) -> list[Entry]:
    marks = list(_HEADING.finditer(document))[:MAX_SECTIONS]
    first = document[: marks[0].start() if marks else LONGEST]
    entries = [Entry(0, 1, "document", "", "", _clean(first[:LONGEST]))]
    for number, mark in enumerate(marks, 1):
        title = next(group for group in mark.groups() if group)[:200]
        end = marks[number].start() if number < len(marks) else len(document)
        line = document.count("\n", 0, mark.start()) + 1
        body = document[mark.end() : min(end, mark.end() + LONGEST)]
        entries.append(
            Entry(
                number,
                line,
                "section",
                _clean(title),
                parts(_clean(title)) + " " + _clean(title),
                _clean(body),
            )
        )
    return entries


def _clean(words: str) -> str:
    """Without what PostgreSQL refuses, and words too long for it."""
    kept = "".join(c if c.isprintable() or c == "\n" else " " for c in words)
    return " ".join(word for word in kept.split() if len(word) < 200)
