"""A case of a peer's tests, and how what we find and change in it compares with what the peer does."""

import re
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

from ast_grep_py import SgRoot

# The line of a bad place whose line the test does not state.
ANYWHERE = 0
_TOKEN = re.compile(r"[\w$]+|\+\+|--|\*\*|[^\w\s]")
_LAST_COMMA = re.compile(r",(?=\s*[)\]}])")
# By language the functions of a file with marks: one without a mark is valid code.
_FUNCTIONS = {
    "rust": ("function_item",),
    "go": ("function_declaration", "method_declaration"),
    "java": ("method_declaration", "constructor_declaration"),
    "python": ("function_definition",),
}


class Case(NamedTuple):
    """Code with the lines that the peer reports, one for each report; none: the code is valid.

    `fixed` has the texts that the peer may make of it; none: the test does not state any. `partial`: the code has
    further places of which it is not stated whether they are right.
    """

    name: str
    language: str
    code: str
    bad: tuple[int, ...] = ()
    fixed: tuple[str, ...] = ()
    path: str = "example"
    partial: bool = False


class Hunk(NamedTuple):
    """Lines of a text, from `start` up to and without `end` (from 0), and what replaces them."""

    start: int
    end: int
    text: str


class Comparison(NamedTuple):
    """How many bad places are found, the lines of other matches, and our changes that equal the peer's, or do not."""

    found: int
    missed: list[int]
    wrong: list[int]
    same: int
    different: list[tuple[int, str, str]]


def valid_parts(case: Case) -> int:
    """Return 1 for a case without a report, and otherwise how many of its functions have none."""
    if not case.bad:
        return int(not case.partial)
    kinds = _FUNCTIONS.get(case.language)
    if kinds is None or ANYWHERE in case.bad:
        return 0
    root = SgRoot(case.code, case.language).root()
    spans = [node.range() for kind in kinds for node in root.find_all(kind=kind)]
    return sum(not any(span.start.line < line <= span.end.line + 1 for line in case.bad) for span in spans)


def compare(
    case: Case, matches: Iterable[tuple[int, int]], ours: Sequence[str], reach: int = 0
) -> Comparison:
    """Compare the lines of our matches (first, last) with a case, and our text after one round of fixes, or more.

    With `reach` a match is for all places that the peer reports on its lines, or on so many lines after it.
    """
    free = sorted(matches)
    used, missed = set(), []
    # Reports that state their line choose first, and among the matches there the shortest.
    for line in sorted(case.bad, reverse=True):
        fitting = [match for match in free if line == ANYWHERE or match[0] <= line <= match[1] + reach]
        if not fitting:
            missed.append(line)
            continue
        nearest = min(fitting, key=lambda match: (match[1] - match[0], -match[0]))
        used.add(nearest)
        if not reach:
            free.remove(nearest)
    # A line that is reported may have several places.
    wrong = [
        match[0] for match in free if match not in used and match[0] not in case.bad and not case.partial
    ]
    found = len(case.bad) - len(missed)
    pairs = [(own, theirs) for own in ours for theirs in case.fixed]
    if not pairs:
        return Comparison(found, missed, wrong, 0, [])
    compared = min((_changes(case.code, *pair) for pair in pairs), key=lambda result: len(result[1]))
    return Comparison(found, missed, wrong, *compared)


def changed_lines(before: str, after: str) -> tuple[int, ...]:
    """Return the lines of a text that differ after a change; the line of an insertion is the one it follows."""
    return tuple(
        line
        for hunk in _hunks(before, after)
        for line in (range(hunk.start + 1, hunk.end + 1) if hunk.end > hunk.start else [max(hunk.start, 1)])
    )


def _changes(before: str, ours: str, theirs: str) -> tuple[int, list[tuple[int, str, str]]]:
    """Return how many of our changes are the peer's too, and (line, ours, theirs) of the others.

    Lines that the peer leaves are not compared: a match there is wrong, or has no fix there.
    """
    lines = before.splitlines(keepends=True)
    own, other = _hunks(before, ours), _hunks(before, theirs)
    same, different = 0, []
    while own:
        start, end, _ = own[0]
        while True:
            touching = [hunk for hunk in own + other if _touches(hunk, start, end)]
            region = min(hunk.start for hunk in touching), max(hunk.end for hunk in touching)
            if region == (start, end):
                break
            start, end = region
        inside = [hunk for hunk in other if start <= hunk.start and hunk.end <= end]
        our_text = _text(lines, [hunk for hunk in own if start <= hunk.start and hunk.end <= end], start, end)
        their_text = _text(lines, inside, start, end)
        own = [hunk for hunk in own if hunk.start >= end and hunk.end > end]
        if inside and _plain(our_text) == _plain(their_text):
            same += 1
        elif inside:
            different.append((start + 1, our_text, their_text))
    return same, different


def _plain(text: str) -> list[str]:
    """Return the tokens of a text, without commas after the last element."""
    return _TOKEN.findall(_LAST_COMMA.sub("", text))


def _touches(hunk: Hunk, start: int, end: int) -> bool:
    # An insertion has no line of its own: it belongs to a change that it borders on.
    insertion = hunk.start == hunk.end or start == end
    return (hunk.start < end and start < hunk.end) or (insertion and hunk.start <= end and start <= hunk.end)


def _hunks(before: str, after: str) -> list[Hunk]:
    old, new = (text.splitlines(keepends=True) for text in (before, after))
    codes = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    hunks: list[Hunk] = []
    for tag, i, j, k, m in codes:
        # As many lines as before are compared line by line.
        if tag == "replace" and j - i == m - k:
            hunks += [Hunk(i + n, i + n + 1, new[k + n]) for n in range(j - i) if old[i + n] != new[k + n]]
        elif tag != "equal":
            hunks.append(Hunk(i, j, "".join(new[k:m])))
    return hunks


def _text(lines: Sequence[str], hunks: Sequence[Hunk], start: int, end: int) -> str:
    parts, at = [], start
    for hunk in hunks:
        parts += [*lines[at : hunk.start], hunk.text]
        at = hunk.end
    return "".join([*parts, *lines[at:end]])
