"""Lexical tokens of a source: Halstead's counts per function, and fingerprints for finding clones.

Belongs here: everything counted over tokens. One regular expression does the lexing at C
speed, on text whose comments were blanked out by their places in the syntax tree; the counting
is vectorised.
"""

import re
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from qflow_dagster.ingestion.extraction.grammars import LIFETIMES, Grammar
from qflow_dagster.ingestion.facts import Fingerprints

# Winnowing (Schleimer, Wilkerson, Aiken: Winnowing, SIGMOD 2003): every run of
# GRAM + WINDOW - 1 = 60 equal tokens shares a fingerprint.
GRAM = 32
WINDOW = 29
# A gram of fewer different tokens is a literal table or a list of closers: no clone worth naming.
FEWEST_DISTINCT = 6

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
_NUMBER = rb"\.?\d[\w.]*"
_SYMBOL = (
    rb">>>=|<<=|>>=|===|!==|\*\*=|//=|&&=|\|\|=|\?\?=|\.\.\.|<=>|->|=>|<-|:=|::|\+\+|--|&&|\|\||\?\?|\?\.|\*\*|//|<<|>>"
    rb"|[-+*/%&|^=<>!~]=|[^\s]"
)


def _pattern(*alternatives: bytes) -> re.Pattern[bytes]:
    return re.compile(rb"[ \t\r\f\v]*(" + rb"|".join((*alternatives, rb"\n", _NUMBER, _SYMBOL)) + rb")")


PYTHON = _pattern(_TRIPLE, _PREFIXED, _PLAIN_NAME, _STRING, _QUOTED)
RUST = _pattern(_PLAIN_NAME, _STRING, _LIFETIME)
C_LIKE = _pattern(_PLAIN_NAME, _STRING, _QUOTED, _BACKTICK)
RUBY_LIKE = _pattern(_NAME, _TRIPLE, _STRING, _QUOTED, _BACKTICK)


class Lexed(NamedTuple):
    """Tokens of a file in order (newlines among them), as parallel arrays over distinct texts.

    `owner` is the index of the innermost function each token lies in, -1 for none.
    """

    token_count: int
    ids: np.ndarray
    owner: np.ndarray
    kind: np.ndarray
    code: np.ndarray
    newlines: np.ndarray
    functions: int


class Halstead(NamedTuple):
    """Total and distinct operators and operands (Halstead: Elements of Software Science, 1977)."""

    operators: int
    operands: int
    distinct_operators: int
    distinct_operands: int


class _Interner(dict[bytes, int]):
    """Numbers each distinct token text, and classifies it once."""

    def __init__(self, keywords: frozenset[bytes]) -> None:
        super().__init__()
        self.keywords = keywords
        self.kinds: list[int] = []
        self.codes: list[int] = []
        self.newlines: list[int] = []

    def __missing__(self, token: bytes) -> int:
        kind, code = self._classify(token)
        number = self[token] = len(self.kinds)
        self.kinds.append(kind)
        self.codes.append(code)
        self.newlines.append(token.count(b"\n"))
        return number

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


def lex(code_text: bytes, grammar: Grammar, function_spans: Sequence[tuple[int, int]]) -> Lexed:
    """Lex a source whose comments are blank; `function_spans` (start, end in bytes) in order of start."""
    if grammar.name == "python":
        pattern = PYTHON
    elif grammar.name in LIFETIMES:
        pattern = RUST
    elif grammar.name in ("ruby", "elixir", "bash"):
        pattern = RUBY_LIKE
    else:
        pattern = C_LIKE
    interner = _Interner(grammar.keywords)
    number = interner.__getitem__
    ids: list[int] = []
    owners: list[int] = []
    lengths: list[int] = []
    for start, end, owner in segments(function_spans, len(code_text)):
        found = pattern.findall(code_text, start, end)
        ids += map(number, found)
        owners.append(owner)
        lengths.append(len(found))
    kinds = np.array(interner.kinds, dtype=np.int8)
    id_array = np.array(ids, dtype=np.int32)
    codes = np.array(interner.codes, dtype=np.uint64)
    newlines = np.array(interner.newlines, dtype=np.int32)
    newline_id = interner.get(b"\n", -1)
    return Lexed(
        token_count=int((id_array != newline_id).sum()),
        ids=id_array,
        owner=np.repeat(np.array(owners, dtype=np.int32), lengths),
        kind=kinds,
        code=codes,
        newlines=newlines,
        functions=len(function_spans),
    )


def segments(spans: Sequence[tuple[int, int]], length: int) -> list[tuple[int, int, int]]:
    """Cut 0..length where functions begin and end: (start, end, index of the innermost function or -1)."""
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
    """Counts per function, in order, and last those of the code outside all functions."""
    owner = np.where(lexed.owner < 0, lexed.functions, lexed.owner)
    if not len(lexed.ids):
        return [Halstead(0, 0, 0, 0)] * (lexed.functions + 1)
    kind = lexed.kind[lexed.ids]
    columns = []
    for wanted in (OPERATOR, OPERAND):
        chosen = kind == wanted
        owners = owner[chosen]
        columns.append(np.bincount(owners, minlength=lexed.functions + 1))
        pairs = np.unique(owners.astype(np.int64) * len(lexed.kind) + lexed.ids[chosen])
        columns.append(np.bincount(pairs // len(lexed.kind), minlength=lexed.functions + 1))
    total_operators, operators, total_operands, operands = (column.tolist() for column in columns)
    return [
        Halstead(*counts) for counts in zip(total_operators, total_operands, operators, operands, strict=True)
    ]


def fingerprints(lexed: Lexed) -> Fingerprints | None:
    """Winnowed fingerprints of the normalised tokens; None where the file is too short for any.

    Names, numbers and strings each count as one, so renamed copies match (type-2 clones).
    """
    codes = lexed.code[lexed.ids] if len(lexed.ids) else lexed.code[:0]
    present = codes != 0
    stream = codes[present]
    if len(stream) < GRAM + WINDOW - 1:
        return None
    hashes = _gram_hashes(stream)
    windows = np.lib.stride_tricks.sliding_window_view(hashes, WINDOW)
    # The rightmost smallest of each window: robust against runs of equal hashes.
    chosen = np.unique(np.arange(len(windows)) + WINDOW - 1 - windows[:, ::-1].argmin(axis=1))
    grams = np.sort(np.lib.stride_tricks.sliding_window_view(stream, GRAM)[chosen], axis=1)
    chosen = chosen[(np.diff(grams, axis=1) != 0).sum(axis=1) + 1 >= FEWEST_DISTINCT]
    if not len(chosen):
        return None
    newlines = lexed.newlines[lexed.ids]
    line = (1 + np.cumsum(newlines) - newlines)[present]
    last = (1 + np.cumsum(newlines))[present]
    spans = np.stack([line[chosen], last[chosen + GRAM - 1]], axis=1)
    return Fingerprints(
        hashes[chosen].astype("<u8").tobytes(), chosen.astype("<u4").tobytes(), spans.astype("<u4").tobytes()
    )


def _gram_hashes(stream: np.ndarray) -> np.ndarray:
    """A polynomial hash of every run of GRAM tokens, modulo 2^64, by doubling the length each step."""
    with np.errstate(over="ignore"):
        hashes = stream * np.uint64(MULTIPLIER)
        factor = np.uint64(MULTIPLIER | 1)
        length = 1
        while length < GRAM:
            hashes = hashes[:-length] * factor + hashes[length:]
            factor = factor * factor
            length *= 2
        # Mixing, so that the smallest hash is no property of the last token.
        hashes ^= hashes >> np.uint64(31)
        hashes *= np.uint64(0xBF58476D1CE4E5B9)
        hashes ^= hashes >> np.uint64(29)
    return hashes
