"""Lexical tokens of a source: Halstead's counts per function, and fingerprints for finding clones.

Belongs here: everything counted over tokens. One regular expression does the lexing at C
speed, on text whose comments were blanked out by their spans in the syntax tree; the counting
is vectorised.
"""

import re
import zlib
from array import array
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qflow_dagster.ingestion.extraction.grammars import LIFETIMES, Grammar
from qflow_dagster.ingestion.facts import Fingerprints

# Winnowing (Schleimer, Wilkerson, Aiken: Winnowing, SIGMOD 2003): every run of
# GRAM + WINDOW - 1 = 60 equal tokens shares a fingerprint.
GRAM = 32
WINDOW = 29
# A gram with fewer different tokens is a literal table or a list of closing brackets, not a useful clone.
# Counted in a 64-bit set by hash, so two different tokens may count once.
MIN_DISTINCT_TOKENS = 6
# Token texts cached for the next files of a grammar: about 5 MB.
MAX_VOCABULARY = 50_000

SKIPPED, OPERATOR, OPERAND = 0, 1, 2
NAME_CODE, NUMBER_CODE, STRING_CODE = 1, 2, 3
MULTIPLIER = 0x9E3779B97F4A7C15

_STRING = rb'"(?:[^"\\\n]|\\.)*"?'
_QUOTED = rb"'(?:[^'\\\n]|\\.)*'?"
_LIFETIME = rb"'(?:[^'\\\n]|\\[^\n]{1,9})'|'\w+"
_BACKTICK = rb"`(?:[^`\\]|\\[\s\S])*`?"
_TRIPLE = rb'[rRbBuUfFtT]{0,2}(?:"""[\s\S]*?(?:"""|\Z)|\'\'\'[\s\S]*?(?:\'\'\'|\Z))'
_PREFIXED = rb"[rRbBuUfFtT]{1,2}(?:" + _STRING + rb"|" + _QUOTED + rb")"
_NAME = rb"[A-Za-z_$@\x80-\xff][\w$\x80-\xff]*[?!]?(?![=\w])|[A-Za-z_$@\x80-\xff][\w$\x80-\xff]*"
_PLAIN_NAME = rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*"
# No string follows, so it is not a prefix of one; tried first, because most tokens are such.
_SURE_NAME = rb"[A-Za-z_\x80-\xff][\w\x80-\xff]*+(?![\"'])"
_NUMBER = rb"\.?\d[\w.]*"
_SYMBOL = (
    rb"[()\[\]{},;]|>>>=|<<=|>>=|===|!==|\*\*=|//=|&&=|\|\|=|\?\?=|\.\.\.|<=>|->|=>|<-|:=|::|\+\+|--|&&|\|\||\?\?|\?\.|\*\*|//|<<|>>"
    rb"|[-+*/%&|^=<>!~]=|[^\s]"
)


def _pattern(*alternatives: bytes) -> re.Pattern[bytes]:
    return re.compile(
        rb"(?:(?<![ \t\r\f\v])[ \t\r\f\v]++|(?![ \t\r\f\v]))("
        + rb"|".join((*alternatives, rb"\n", _NUMBER, _SYMBOL))
        + rb")"
    )


PYTHON = _pattern(_SURE_NAME, _TRIPLE, _PREFIXED, _PLAIN_NAME, _STRING, _QUOTED)
RUST = _pattern(_PLAIN_NAME, _STRING, _LIFETIME)
C_LIKE = _pattern(_PLAIN_NAME, _STRING, _QUOTED, _BACKTICK)
RUBY_LIKE = _pattern(_NAME, _TRIPLE, _STRING, _QUOTED, _BACKTICK)


class Lexed(NamedTuple):
    """The tokens of a file in order, including newlines, as numbers of their vocabulary.

    `owner` is the index of the innermost function that contains each token, -1 for none.
    """

    token_count: int
    ids: np.ndarray
    owner: np.ndarray
    vocabulary: "Vocabulary"
    functions: int


class Halstead(NamedTuple):
    """Total and distinct operators and operands (Halstead: Elements of Software Science, 1977)."""

    operators: int
    operands: int
    distinct_operators: int
    distinct_operands: int


class Vocabulary(dict[bytes, int]):
    """Numbers and classifies each token text of a grammar once; shared by all files.

    `kinds`, `codes`, `bits` and `newlines` are arrays over the numbers, complete after `classify`.
    """

    def __init__(self, keywords: frozenset[bytes]) -> None:
        super().__init__()
        self.keywords = keywords
        self.new: list[bytes] = []
        self.kinds = np.zeros(0, np.int8)
        self.codes = np.zeros(0, np.uint64)
        self.bits = np.zeros(0, np.uint64)
        self.newlines = np.zeros(0, np.int32)

    def __missing__(self, token: bytes) -> int:
        number = self[token] = len(self)
        self.new.append(token)
        return number

    def classify(self) -> None:
        """Classify the tokens that are new, all at once."""
        if not self.new:
            return
        kinds, codes = zip(*map(self._classify, self.new), strict=True)
        bits = [1 << (code * MULTIPLIER >> 58 & 63) for code in codes]
        newlines = [token.count(b"\n") if len(token) > 2 or token == b"\n" else 0 for token in self.new]
        columns = {"kinds": kinds, "codes": codes, "bits": bits, "newlines": newlines}
        for name, values in columns.items():
            before = getattr(self, name)
            setattr(self, name, np.append(before, np.array(values, before.dtype)))
        self.new.clear()

    def _classify(self, token: bytes) -> tuple[int, int]:
        first = token[:1]
        if first == b"\n":
            return SKIPPED, 0
        if token in self.keywords:
            return OPERATOR, 16 + zlib.crc32(token)
        last = token[-1:]
        if last in (b'"', b"'", b"`"):
            return OPERAND, STRING_CODE
        if first.isdigit() or (first == b"." and token[1:2].isdigit()):
            return OPERAND, NUMBER_CODE
        if first.isalpha() or first in b"_$@'" or first >= b"\x80":
            return OPERAND, NAME_CODE
        # A pair of brackets is one operator: its opening half is counted.
        return (SKIPPED if token in (b")", b"]", b"}") else OPERATOR), 16 + zlib.crc32(token)


_vocabularies: dict[str, Vocabulary] = {}


def _vocabulary(grammar: Grammar) -> Vocabulary:
    vocabulary = _vocabularies.get(grammar.name)
    if vocabulary is None or len(vocabulary) > MAX_VOCABULARY:
        vocabulary = _vocabularies[grammar.name] = Vocabulary(grammar.keywords)
    return vocabulary


def pattern_of(grammar: str) -> re.Pattern[bytes]:
    """Return the pattern of a token, which is its first group, in a grammar."""
    if grammar == "python":
        return PYTHON
    if grammar in LIFETIMES:
        return RUST
    return RUBY_LIKE if grammar in ("ruby", "elixir", "bash") else C_LIKE


def lex(code_text: bytes, grammar: Grammar, function_spans: Sequence[tuple[int, int]]) -> Lexed:
    """Lex a source whose comments are blank; `function_spans` (start, end in bytes) in order of start."""
    pattern = pattern_of(grammar.name)
    vocabulary = _vocabulary(grammar)
    number = vocabulary.__getitem__
    newline = number(b"\n")
    ids = array("i")
    owners: list[int] = []
    lengths: list[int] = []
    for start, end, owner in segments(function_spans, len(code_text)):
        token = pattern.findall(code_text, start, end)
        ids.extend(map(number, token))
        owners.append(owner)
        lengths.append(len(token))
    vocabulary.classify()
    id_array = np.frombuffer(ids, np.int32) if ids else np.zeros(0, np.int32)
    return Lexed(
        token_count=int((id_array != newline).sum()),
        ids=id_array,
        owner=np.repeat(np.array(owners, dtype=np.int32), lengths),
        vocabulary=vocabulary,
        functions=len(function_spans),
    )


def segments(spans: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int, int]]:
    """Split 0..length at the bounds of functions: (start, end, index of the innermost function or -1)."""
    cuts: list[tuple[int, int, int]] = []
    stack: list[tuple[int, int]] = []
    position = 0

    def advance(to: int) -> None:
        nonlocal position
        while stack and stack[-1][0] <= to:
            end, index = stack.pop()
            if end > position:
                cuts.append((position, end, index))
                position = end
        if to > position:
            cuts.append((position, to, stack[-1][1] if stack else -1))
            position = to

    for index, (start, end) in enumerate(spans):
        advance(start)
        stack.append((end, index))
    advance(length)
    return cuts


def halstead(lexed: Lexed) -> list[Halstead]:
    """Return counts per function, in order, and last those of the code outside all functions."""
    count = lexed.functions + 1
    if not len(lexed.ids):
        return [Halstead(0, 0, 0, 0)] * count
    owner = np.where(lexed.owner < 0, lexed.functions, lexed.owner).astype(np.int64)
    kinds, size = lexed.vocabulary.kinds, len(lexed.vocabulary.kinds)
    distinct = np.sort(owner * size + lexed.ids)
    distinct = distinct[np.append(True, distinct[1:] != distinct[:-1])]
    columns = []
    for owners, kind in ((owner, kinds[lexed.ids]), (distinct // size, kinds[distinct % size])):
        both = np.bincount(owners * 3 + kind, minlength=count * 3).reshape(count, 3)
        columns += [both[:, OPERATOR].tolist(), both[:, OPERAND].tolist()]
    return [Halstead(*counts) for counts in zip(*columns, strict=True)]


def fingerprints(lexed: Lexed) -> Fingerprints | None:
    """Return winnowed fingerprints of the normalised tokens; None if the file is too short.

    All names are the same token, as are all numbers and all strings, so renamed copies match (type-2 clones).
    """
    codes = lexed.vocabulary.codes[lexed.ids]
    present = codes != 0
    stream = codes[present]
    if len(stream) < GRAM + WINDOW - 1:
        return None
    hashes = _gram_hashes(stream)
    number = len(hashes) - WINDOW + 1
    # The rightmost smallest of each window (robust against runs of equal hashes), newest first.
    windows = np.ndarray((number, WINDOW), np.uint64, hashes, (WINDOW - 1) * 8, (8, -8))
    chosen = np.arange(number) + (WINDOW - 1) - windows.argmin(axis=1)
    # The first and the last of the file too, so that copies of files are covered to their ends.
    chosen = np.unique(np.append(chosen, (0, len(hashes) - 1)))
    bits = lexed.vocabulary.bits[lexed.ids][present]
    length = 1
    while length < GRAM:
        bits = bits[:-length] | bits[length:]
        length *= 2
    chosen = chosen[np.bitwise_count(bits[chosen]) >= MIN_DISTINCT_TOKENS]
    if not len(chosen):
        return None
    newlines = lexed.vocabulary.newlines[lexed.ids]
    through = np.cumsum(newlines)
    line = (1 + through - newlines)[present]
    last = (1 + through)[present]
    spans = np.stack([line[chosen], last[chosen + GRAM - 1]], axis=1)
    return Fingerprints(
        hashes[chosen].astype("<u8").tobytes(), chosen.astype("<u4").tobytes(), spans.astype("<u4").tobytes()
    )


def _gram_hashes(stream: np.ndarray) -> np.ndarray:
    """Return a polynomial hash of every run of GRAM tokens, modulo 2^64, by doubling the length each step."""
    with np.errstate(over="ignore"):
        hashes = stream * np.uint64(MULTIPLIER)
        factor = np.uint64(MULTIPLIER | 1)
        length = 1
        while length < GRAM:
            hashes = hashes[:-length] * factor + hashes[length:]
            factor = factor * factor
            length *= 2
        # Mix the bits, so that the smallest hash does not depend mainly on the last token.
        hashes ^= hashes >> np.uint64(31)
        hashes *= np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(29)
    return hashes
