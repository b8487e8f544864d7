"""Symbols whose code is nearly the same as another one's when their own names are left out of account.

Copies are measured for whole repositories (`metrics`), if they are long. Here a single symbol is compared, on demand,
with those of its kind, size and language. Thresholds were chosen by reading what they find in several repositories:
shorter code must be more alike, and what has only a statement or two is not compared, because it is alike by chance.
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from sqlalchemy import text

from qflow_dagster.ingestion.queries import IN_SNAPSHOT
from qflow_dagster.knowledge.declarations import TYPES, family
from qflow_dagster.knowledge.evidence import QuestionContext
from qflow_dagster.knowledge.lookups import SymbolLocation, languages_of, short_name

# Symbols that are nearest in size; more take too long to read.
MAX_CANDIDATES = 300
MIN_TOKENS, MIN_LINES = 30, 5
# A function of this size is compared only with those of its name, and must be the same.
MIN_TOKENS_OF_COPY, MIN_LINES_OF_COPY = 20, 3
LONG = 60
# The least share of tokens that are the same but for names, and of names that are the same: of short and of long code.
_OF_SHORT, _OF_LONG = (0.95, 0.85), (0.9, 0.75)
_FUNCTIONS = ("function", "method")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class Code(NamedTuple):
    """The tokens of a symbol: their kinds (names, strings and numbers are each one kind), and as written."""

    symbol: SymbolLocation
    kinds: list[bytes]
    written: list[bytes]
    lines: int


def nearly_same(context: QuestionContext, parts: Sequence[SymbolLocation]) -> list[SymbolLocation]:
    """Return the symbols with nearly the same code as a symbol (of its parts, the longest), the most alike first."""
    symbol = max(parts, key=lambda part: part.end_line - part.line)
    language = languages_of(context.connection, context.snapshot, [symbol.path])[symbol.path]
    candidates = _candidates(context, symbol, language)
    texts = context.texts(list(dict.fromkeys([symbol.path, *(other.path for other in candidates)])))
    lines = {path: content.splitlines() for path, content in texts.items()}
    own = _code(symbol, language, lines)
    found = []
    for other in candidates:
        if not any(other.path == part.path and _overlap(other, part) for part in parts):
            likeness = _likeness(own, _code(other, language, lines))
            if likeness:
                found.append((likeness, other))
    return [other for _, other in sorted(found, key=lambda pair: -pair[0])]


def _overlap(one: SymbolLocation, other: SymbolLocation) -> bool:
    return one.line <= other.end_line and other.line <= one.end_line


def _candidates(context: QuestionContext, symbol: SymbolLocation, language: str) -> list[SymbolLocation]:
    """Return the symbols of the kind and the languages of a symbol that are nearest to it in size."""
    query = text(f"""
        SELECT f.path, s.start_line, s.kind, s.qualified_name, s.signature, s.end_line, f.oid
        FROM symbols s JOIN files f ON f.blob_id = s.blob_id JOIN blobs b ON b.id = f.blob_id
        WHERE {IN_SNAPSHOT} AND s.kind = ANY(:kinds) AND b.language = ANY(:languages)
          AND NOT f.vendored AND NOT f.generated AND NOT f.documentation
          AND s.end_line - s.start_line BETWEEN :lines * 0.6 - 2 AND :lines * 1.6 + 2
        ORDER BY (s.name <> :name), abs(s.end_line - s.start_line - :lines), f.test, f.path, s.start_line LIMIT :limit
    """)
    parameters = {
        **context.snapshot.interval,
        "kinds": list(_FUNCTIONS if symbol.kind in _FUNCTIONS else TYPES),
        "languages": list(family(language)),
        "lines": symbol.end_line - symbol.line,
        "name": short_name(symbol.name),
        "limit": MAX_CANDIDATES,
    }
    return [SymbolLocation(*row) for row in context.connection.execute(query, parameters)]


def _code(symbol: SymbolLocation, language: str, lines: dict[str, list[str]]) -> Code:
    """Return the tokens of a symbol, without comments."""
    from qflow_dagster.ingestion.extraction import comments, grammars, tokens

    source = "\n".join(lines.get(symbol.path, [])[symbol.line - 1 : symbol.end_line]).encode()
    plain = bytearray(source)
    for first, last in comments.comment_spans(source, language):
        plain[first:last] = re.sub(rb"[^\n]", b" ", source[first:last])
    grammar = grammars.grammar(language)
    kinds, written, count = [], [], 1
    for match in tokens.pattern_of(grammar.name if grammar else "").finditer(plain):
        token = match[1]
        if token == b"\n":
            count += plain[match.end() : match.end() + 1] not in (b"\n", b"")
            continue
        written.append(token)
        kinds.append(_kind(token, grammar.keywords if grammar else frozenset()))
    return Code(symbol, kinds, written, count)


def _kind(token: bytes, keywords: frozenset[bytes]) -> bytes:
    if token in keywords:
        return token
    if token[:1] in b"\"'`" or token[-1:] in b"\"'`":
        return b"string"
    if token[:1].isdigit():
        return b"0"
    return b"name" if re.match(rb"[\w$@\x80-\xff]", token) else token


def _likeness(own: Code, other: Code) -> float:
    """Return how alike two symbols are, from 0 to 1; 0 if that may be chance."""
    size = min(len(own.kinds), len(other.kinds))
    same_name = short_name(own.symbol.name) == short_name(other.symbol.name)
    if own.written == other.written and same_name:
        return float(size >= MIN_TOKENS_OF_COPY and own.lines >= MIN_LINES_OF_COPY)
    if size < MIN_TOKENS or min(own.lines, other.lines) < MIN_LINES:
        return 0
    least, least_names = _OF_LONG if size >= LONG else _OF_SHORT
    total = len(own.kinds) + len(other.kinds)
    # Quick, and never less than what follows.
    if 2 * sum((Counter(own.kinds) & Counter(other.kinds)).values()) < least * total:
        return 0
    blocks = SequenceMatcher(None, own.kinds, other.kinds, autojunk=False).get_matching_blocks()
    structure = 2 * sum(block.size for block in blocks) / total
    pairs = [
        (own.written[block.a + offset].decode(), other.written[block.b + offset].decode())
        for block in blocks
        for offset in range(block.size)
        if own.kinds[block.a + offset] == b"name"
    ]
    names, others = short_name(own.symbol.name), short_name(other.symbol.name)
    renamed = _renamed(names, others)
    same = sum(
        (first, second) == (names, others)
        or first == second
        or [renamed.get(word, word) for word in _words(first)] == _words(second)
        for first, second in pairs
    )
    share = same / len(pairs) if pairs else 0
    return structure * share if structure >= least and share >= least_names else 0


def _renamed(name: str, other: str) -> dict[str, str]:
    """Return which words of a name are others in another: `max` is `min` of MaxLength and MinLength."""
    words, others = _words(name), _words(other)
    return dict(zip(words, others, strict=True)) if len(words) == len(others) else {}


def _words(name: str) -> list[str]:
    return [word.lower() for word in _WORDS.findall(name)]
