"""Comments of languages without a grammar, found by the syntax of comments and strings in ``comments.toml``.

Belongs here: the scanner. Does not belong here: what marks a comment in which language, which is data; comments of
languages with a grammar (``syntax``).

The scanner looks for whatever opens next, and reads it to its end: so a comment's marker within a string, a
here-document or another comment is none. Time is linear in the source: what is not closed is looked for once.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import ClassVar

Span = tuple[int, int]
# The end of a span, and whether it is a comment; an end of None means that nothing opens there.
Read = tuple[int | None, bool]

_CHARACTER = rb"'(?:[^'\\\n]|\\[^\n]{1,10}?)'"
_BLANKS = re.compile(rb"[ \t]*+")
_TAG_END = re.compile(rb"[^<>]*+>")


@dataclass(frozen=True)
class Syntax:
    """The marks of a language's comments and strings, as the head of ``comments.toml`` describes them."""

    line: list[str] = field(default_factory=list)
    word: list[str] = field(default_factory=list)
    start: list[str] = field(default_factory=list)
    column: list[str] = field(default_factory=list)
    block: list[list[str]] = field(default_factory=list)
    nested: list[list[str]] = field(default_factory=list)
    region: list[list[str]] = field(default_factory=list)
    string: list[str] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    quote: list[str] = field(default_factory=list)
    text: list[list[str]] = field(default_factory=list)
    raw_text: list[list[str]] = field(default_factory=list)
    doc: list[str] = field(default_factory=list)
    character: bool = False
    literal: list[str] = field(default_factory=list)
    long_bracket: bool = False
    heredoc: str = ""
    indented_comment: list[str] = field(default_factory=list)
    indented_text: list[str] = field(default_factory=list)
    rest: str = ""
    embedded: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Opening:
    """The span that an alternative of the scanner's pattern opens: how it is read, and its end."""

    kind: str
    pattern: bytes
    closing: str = ""
    comment: bool = True


def comment_spans(source: bytes, language: str) -> list[Span]:
    """Return the spans of comments in a language without a grammar, [] if its syntax is not described."""
    described = language in languages() and compiled(language)[1]
    return list(_Scanner(language).spans(source)) if described else []


def languages() -> Collection[str]:
    """Return the languages whose syntax is described."""
    return _entries().keys()


@cache
def syntax(language: str) -> Syntax:
    """Return the syntax of one of `languages`."""
    marks = tomllib.loads(_entries()[language])
    del marks["languages"]
    return Syntax(**marks)


@cache
def _entries() -> dict[str, str]:
    """Return the entry of each language as text: to parse them all would take a worker long, and it needs a few."""
    entries = Path(__file__).with_name("comments.toml").read_text(encoding="utf-8").split("[[syntax]]\n")[1:]
    return {
        language: entry
        for entry in entries
        for language in re.findall(r'"([^"]+)"', entry[: entry.index("]\n")])
    }


def _openings(syntax: Syntax) -> Iterator[Opening]:
    """Yield what may open, what decides first before the rest."""
    if syntax.rest:
        yield Opening("region", rb"^(?:%s)" % syntax.rest.encode(), r"\Z")
    for opening, closing in syntax.region:
        yield Opening("region", opening.encode(), closing)
    for tag in syntax.embedded:
        yield Opening("embedded", rb"(?i:<%s)(?=[\s>])" % tag.encode(), tag)
    for pattern in syntax.indented_comment:
        yield Opening("indented", pattern.encode())
    for pattern in syntax.indented_text:
        yield Opening("indented", pattern.encode(), comment=False)
    for pattern in syntax.literal:
        yield Opening("literal", pattern.encode(), comment=False)
    for pattern in syntax.column:
        yield Opening("line", rb"^(?:%s)" % pattern.encode())
    for pattern in syntax.start:
        yield Opening("line", rb"^[ \t]*+(?:%s)" % pattern.encode())
    if syntax.heredoc:
        yield Opening("heredoc", syntax.heredoc.encode(), comment=False)
    if syntax.long_bracket:
        yield Opening("long_bracket", rb"--\[=*+\[")
        yield Opening("long_bracket", rb"\[=*+\[", comment=False)
    if syntax.character:
        yield Opening("literal", _CHARACTER, comment=False)
    marks = [
        *(("block", *pair) for pair in syntax.block),
        *(("nested", *pair) for pair in syntax.nested),
        *(("text", *pair) for pair in syntax.text),
        *(("raw_text", *pair) for pair in syntax.raw_text),
        *(("doc", mark, mark) for mark in syntax.doc),
        *(("line", mark, "") for mark in syntax.line),
        *(("word", mark, "") for mark in syntax.word),
        *(("string", mark, mark) for mark in syntax.string),
        *(("raw", mark, mark) for mark in syntax.raw),
        *(("quote", mark, mark) for mark in syntax.quote),
    ]
    for kind, opening, closing in sorted(marks, key=lambda mark: -len(mark[1])):
        before = rb"(?<![^\s;({\[])" if kind == "word" else b""
        yield Opening(kind, before + re.escape(opening.encode()), closing)


@cache
def compiled(language: str) -> tuple[re.Pattern[bytes], list[Opening]]:
    """Return the pattern of what may open in one of `languages`, and what each of its groups opens."""
    openings = list(_openings(syntax(language)))
    alternatives = b"|".join(b"(%s)" % opening.pattern for opening in openings)
    return re.compile(alternatives, re.MULTILINE), openings


@cache
def _closing_pattern(kind: str, closing: str) -> re.Pattern[bytes]:
    """Return the pattern from behind an opening to behind what closes it."""
    mark = closing.encode()
    if kind == "region":
        return re.compile(mark, re.MULTILINE)
    first, others = re.escape(mark[:1]), re.escape(mark[1:])
    if kind == "raw":
        return re.compile(rb"[^\n%s]*+%s" % (first, first))
    if kind in ("string", "quote"):
        return re.compile(rb"(?:[^\\\n%s]++|\\[\s\S])*+%s" % (first, first))
    again = rb"|%s(?!%s)" % (first, others) if others else b""
    return re.compile(rb"(?:[^\\%s]++|\\[\s\S]%s)*+%s" % (first, again, re.escape(mark)))


@cache
def _either(opening: bytes, closing: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"%s|%s" % (re.escape(opening), re.escape(closing)))


class _Scanner:
    """One pass over a source."""

    def __init__(self, language: str) -> None:
        self.syntax = syntax(language)
        self.pattern, self.openings = compiled(language)
        # Position up to which a mark is known not to be closed.
        self.unclosed: dict[str, int] = {}

    def spans(self, source: bytes) -> Iterator[Span]:
        position = 0
        while position < len(source) and (match := self.pattern.search(source, position)):
            opening = self.openings[(match.lastindex or 1) - 1]
            if opening.kind == "embedded":
                start, end = self._content(source, match, opening.closing)
                inner = _Scanner(self.syntax.embedded[opening.closing]).spans(source[start:end])
                yield from ((start + first, start + last) for first, last in inner)
            else:
                end, comment = self.readers[opening.kind](self, source, match, opening)
                if end is not None and comment:
                    yield match.start(), end
            # An opening may be empty.
            position = max(match.end() if end is None else end, match.start() + 1)

    def _line(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        end = source.find(b"\n", match.end() - match[0].endswith(b"\n"))
        return len(source) if end < 0 else end, True

    def _literal(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        return match.end(), False

    def _block(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        closing = opening.closing.encode()
        end = source.find(closing, match.end())
        return len(source) if end < 0 else end + len(closing), True

    def _nested(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        depth = 1
        for mark in _either(match[0], opening.closing.encode()).finditer(source, match.end()):
            depth += 1 if mark[0] == match[0] else -1
            if depth == 0:
                return mark.end(), True
        return len(source), True

    def _region(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        closed = _closing_pattern("region", opening.closing).search(source, match.end())
        return closed.end() if closed else len(source), True

    def _string(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        if match.start() < self.unclosed.get(opening.closing, -1):
            return None, False
        closed = _closing_pattern(opening.kind, opening.closing).match(source, match.end())
        if closed:
            return closed.end(), False
        line_end = source.find(b"\n", match.end())
        within_line = opening.kind in ("string", "raw", "quote") and line_end >= 0
        self.unclosed[opening.closing] = line_end if within_line else len(source)
        return None, False

    def _quote(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        end, _ = self._string(source, match, opening)
        return (end, False) if end is not None else self._line(source, match, opening)

    def _raw_text(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        end = self._find(source, opening.closing, match.end())
        return end, False

    def _doc(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        end, _ = self._string(source, match, opening)
        line_start = source.rfind(b"\n", 0, match.start()) + 1
        return end, not source[line_start : match.start()].strip()

    def _long_bracket(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        closing = "]" + "=" * match[0].count(b"=") + "]"
        end = self._find(source, closing, match.end())
        return len(source) if end is None and opening.comment else end, opening.comment

    def _heredoc(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        if match.start() < self.unclosed.get("heredoc", -1):
            return None, False
        names = re.findall(rb"\w+", match[0])
        closing = re.compile(rb"^[ \t]*%s\b" % names[-1], re.MULTILINE)
        closed = closing.search(source, _end_of_line(source, match.end()))
        if closed is None:
            self.unclosed["heredoc"] = len(source)
            return None, False
        return closed.end(), False

    def _indented(self, source: bytes, match: re.Match[bytes], opening: Opening) -> Read:
        line_start = source.rfind(b"\n", 0, match.start() + 1) + 1
        indentation = _indentation(source, line_start)
        end = _end_of_line(source, match.end())
        while end < len(source):
            following = _end_of_line(source, end + 1)
            if source[end + 1 : following].strip() and _indentation(source, end + 1) <= indentation:
                break
            end = following
        return end, opening.comment

    def _content(self, source: bytes, match: re.Match[bytes], tag: str) -> Span:
        """Return the span between an element's tags; an empty one, if it has no end."""
        opened = _TAG_END.match(source, match.end())
        if opened and opened.end() > self.unclosed.get(tag, -1):
            closed = _closing_pattern("region", f"(?i:</{tag})").search(source, opened.end())
            if closed:
                return opened.end(), closed.start()
            self.unclosed[tag] = len(source)
        return match.end(), match.end()

    def _find(self, source: bytes, closing: str, start: int) -> int | None:
        if start < self.unclosed.get(closing, -1):
            return None
        mark = closing.encode()
        end = source.find(mark, start)
        if end < 0:
            self.unclosed[closing] = len(source)
            return None
        return end + len(mark)

    readers: ClassVar[dict[str, Callable[["_Scanner", bytes, re.Match[bytes], Opening], Read]]] = {
        "line": _line,
        "word": _line,
        "literal": _literal,
        "block": _block,
        "nested": _nested,
        "region": _region,
        "string": _string,
        "raw": _string,
        "text": _string,
        "quote": _quote,
        "raw_text": _raw_text,
        "doc": _doc,
        "long_bracket": _long_bracket,
        "heredoc": _heredoc,
        "indented": _indented,
    }


def _end_of_line(source: bytes, position: int) -> int:
    end = source.find(b"\n", position)
    return len(source) if end < 0 else end


def _indentation(source: bytes, position: int) -> int:
    blanks = _BLANKS.match(source, position)
    return len(blanks[0]) if blanks else 0
