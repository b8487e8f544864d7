"""The text of a blob as index entries: names split into words, docstrings, comments, sections of documents.

Pure; runs in worker processes, because the text comes from outside. Does not belong here: storing it
(`index`).
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from qflow_dagster.ingestion.extraction import comments, grammars, syntax, text
from qflow_dagster.knowledge.words import DOCUMENTS, PARTS, Entry, Symbol, parts

# Characters of one entry; longer texts are data or licences.
MAX_ENTRY_LENGTH = 4_000
MAX_SECTIONS = 500
# Licence headers are left out: they would match every question about copyright.
_LICENCE = re.compile(r"copyright|licen[cs]e|all rights reserved|spdx", re.IGNORECASE)
_STRING = re.compile(rb"[rRuU]?[\"']")
FUNCTIONS = frozenset({"function", "method", "macro"})
_MARKS = re.compile(
    r"^[ \t]*(?:///?!?|/\*+!?|\*+/|\*|#+!?|--+|;+|%+|[rRuUbB]?\"\"\"|'''|@doc|@moduledoc)[ \t]?"
    r"|(?<!\*)\*++/[ \t]*$|\"\"\"[ \t]*$|'''[ \t]*$",
    re.MULTILINE,
)
_HEADING = re.compile(
    r"^(?:#{1,6}[ \t]+(.+?)[ \t]*#*|={1,5}[ \t]+(.+)|(\S.*)\n(?:=+|-+|~+|\^+)[ \t]*)$", re.MULTILINE
)


class Comment(NamedTuple):
    """A comment, or the string that documents a definition of Python: first and last line, and text."""

    first: int
    last: int
    words: str
    docstring: bool


def read(data: bytes, language: str, symbols: Sequence[Symbol], timeout: float) -> list[Entry]:
    """Return the entries of a blob; the first (seq 0) is that of the complete file."""
    encoding = text.encoding(data)
    source = text.as_utf8(data, encoding) if encoding else b""
    if language in DOCUMENTS:
        return _sections(source.decode("utf-8", "replace"))
    comments_by_symbol: dict[int, list[str]] = {}
    lines = source.decode("utf-8", "replace").split("\n")
    for comment in _comments(source, language, timeout):
        owner = _innermost(symbols, comment.first) if comment.docstring else _owner(symbols, comment)
        comments_by_symbol.setdefault(owner, []).append(comment.words)
        # What is left of the lines is code.
        lines[comment.first - 1 : comment.last] = [""] * (comment.last - comment.first + 1)
    entries = []
    for symbol in symbols:
        documentation = "\n".join(comments_by_symbol.get(symbol.seq, ()))[:MAX_ENTRY_LENGTH]
        name = symbol.qualified_name
        entries.append(
            Entry(
                symbol.seq,
                symbol.start_line,
                symbol.kind,
                name,
                parts(name) if symbol.seq else "",
                _clean(documentation),
                code_words(lines[symbol.start_line - 1 : symbol.end_line])
                if symbol.kind in FUNCTIONS
                else "",
            )
        )
    if not entries or entries[0].seq != 0:
        entries.insert(
            0,
            Entry(
                0, 1, "module", "", "", _clean("\n".join(comments_by_symbol.get(0, ()))[:MAX_ENTRY_LENGTH])
            ),
        )
    return entries


def code_words(lines: Sequence[str]) -> str:
    """Return the words in lines of code, each once: parts of names, and words in strings."""
    found = PARTS.findall(" ".join(lines)[: MAX_ENTRY_LENGTH * 5])
    words = dict.fromkeys(word.lower() for word in found if 2 < len(word) < 40 and not word.isdigit())
    return " ".join(words)[:MAX_ENTRY_LENGTH]


def _comments(source: bytes, language: str, timeout: float) -> list[Comment]:
    """Return each comment and docstring; adjacent comments are joined."""
    grammar = grammars.grammar(language)
    parsed = grammar and syntax.parse(grammar, source, timeout)
    spans = (
        syntax.read(grammar, parsed[0], source, parsed[1]).comments
        if grammar and parsed
        else comments.comment_spans(source, language)
    )
    newlines = [match.start() for match in re.finditer(rb"\n", source)]
    joined: list[Comment] = []
    for start, end in sorted(spans):
        first, last = bisect_right(newlines, start - 1) + 1, bisect_right(newlines, max(end - 2, start)) + 1
        comment = _MARKS.sub("", source[start:end].decode("utf-8", "replace")).strip()
        docstring = language == "Python" and bool(_STRING.match(source, start))
        above = joined[-1] if joined and not docstring else None
        if above and not above.docstring and above.last + 1 == first:
            joined[-1] = Comment(above.first, last, f"{above.words}\n{comment}", False)
        else:
            joined.append(Comment(first, last, comment, docstring))
    return [c._replace(words=kept) for c in joined if (kept := _without_licence(c))]


def _without_licence(comment: Comment) -> str:
    """Return a comment without the paragraphs at the beginning of a file that are a licence."""
    if comment.first > 5 or not _LICENCE.search(comment.words):
        return comment.words
    paragraphs = re.split(r"\n[^\S\n]*\n", comment.words)
    kept = [paragraph for paragraph in paragraphs if not _LICENCE.search(paragraph)]
    return "\n\n".join(kept) if comment.docstring else ""


def _innermost(symbols: Sequence[Symbol], line: int) -> int:
    """Return the innermost symbol around a line."""
    return max((s.seq for s in symbols if s.seq and s.start_line <= line <= s.end_line), default=0)


def _owner(symbols: Sequence[Symbol], comment: Comment) -> int:
    """Return the symbol a comment belongs to: the innermost around it, or the one that starts right below it."""
    inside = below = None
    for symbol in symbols:
        if symbol.seq == 0:
            continue
        if symbol.start_line <= comment.first <= symbol.end_line:
            inside = symbol
        elif comment.last < symbol.start_line <= comment.last + 2 and below is None:
            below = symbol
    if below is not None and (inside is None or below.start_line <= inside.end_line):
        return below.seq
    return inside.seq if inside is not None else 0


def _sections(document: str) -> list[Entry]:
    headings = list(_HEADING.finditer(document))[:MAX_SECTIONS]
    preamble = document[: headings[0].start() if headings else MAX_ENTRY_LENGTH]
    entries = [Entry(0, 1, "document", "", "", _clean(preamble[:MAX_ENTRY_LENGTH]))]
    for number, heading in enumerate(headings, 1):
        title = next(group for group in heading.groups() if group)[:200]
        end = headings[number].start() if number < len(headings) else len(document)
        line = document.count("\n", 0, heading.start()) + 1
        body = document[heading.end() : min(end, heading.end() + MAX_ENTRY_LENGTH)]
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


def _clean(source: str) -> str:
    """Remove characters that PostgreSQL refuses, and words that are too long for it."""
    printable = "".join(c if c.isprintable() or c == "\n" else " " for c in source)
    return " ".join(word for word in printable.split() if len(word) < 200)
