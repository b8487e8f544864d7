"""Unified diffs as pages show them: by file and line, highlighted, with the changed words of a line marked.

Belongs here: pure functions on the text of a patch. Does not belong here: templates, how a patch is made or applied.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import zip_longest
from typing import NamedTuple

from markupsafe import Markup

from qflow_dagster.safety.display import visible
from qflow_dagster.web.syntax import Stretch, highlight, render

# Longer lines, longer runs of changed lines, and what comes after so many, are shown without marked words: comparing
# takes time that grows with the square of their length.
MAX_MARKED_WORDS = 120
MAX_MARKED_RUN = 50
MAX_MARKED_LINES = 200
# Lines that have less in common are other lines, not changed ones.
MIN_SIMILARITY = 0.4


class DiffLine(NamedTuple):
    """A line of a diff as displayed on the page; `html` is its text without the sign, highlighted."""

    kind: str
    old: int | None
    new: int | None
    text: str
    html: Markup = Markup()
    # Of the header of a hunk: which gap it stands in, how many lines that hides, and the address that shows more.
    gap: int | None = None
    hidden: int = 0
    more: str = ""


class Pair(NamedTuple):
    """What stands side by side: a line before and after the change; None where one of them has no line."""

    left: DiffLine | None
    right: DiffLine | None


@dataclass
class DiffFile:
    """The changes of one file; `lines` are its lines in order, headers of hunks among them."""

    path: str
    lines: list[DiffLine] = field(default_factory=list)

    @property
    def old_path(self) -> str:
        """Return the path before the change; '' if there was none, or git quotes it."""
        names = (line.text for line in self.lines if line.kind == "header" and line.text.startswith("--- a/"))
        return next(names, "").removeprefix("--- a/").rstrip("\t")

    @property
    def added(self) -> int:
        """Return the number of added lines."""
        return sum(line.kind == "added" for line in self.lines)

    @property
    def deleted(self) -> int:
        """Return the number of deleted lines."""
        return sum(line.kind == "deleted" for line in self.lines)

    def pairs(self) -> list[Pair]:
        """Return the lines for display side by side."""
        pairs: list[Pair] = []
        for deleted, added, other in _runs(self.lines):
            pairs += [
                Pair(*(None if number is None else self.lines[number] for number in numbers))
                for numbers in zip_longest(deleted, added)
            ]
            if other is not None:
                pairs.append(Pair(self.lines[other], self.lines[other]))
        return pairs


def diff_lines(patch: str) -> list[DiffLine]:
    """Return a unified diff, line by line, with the numbers of old and new lines."""
    lines: list[DiffLine] = []
    old = new = left_old = left_new = 0
    for text in patch.removesuffix("\n").split("\n"):
        if left_old > 0 or left_new > 0:
            if text.startswith("+"):
                lines.append(DiffLine("added", None, new, text))
                new, left_new = new + 1, left_new - 1
                continue
            if text.startswith("-"):
                lines.append(DiffLine("deleted", old, None, text))
                old, left_old = old + 1, left_old - 1
                continue
            if text.startswith("\\"):
                lines.append(DiffLine("note", None, None, text))
                continue
            lines.append(DiffLine("same", old, new, text))
            old, new, left_old, left_new = old + 1, new + 1, left_old - 1, left_new - 1
            continue
        start = hunk_start(text)
        if start:
            old, left_old, new, left_new = start
            lines.append(DiffLine("hunk", None, None, text))
        else:
            lines.append(DiffLine("file" if text.startswith("diff ") else "header", None, None, text))
    return lines


def diff_files(patch: str, expand: Callable[[int, DiffFile], None] | None = None) -> list[DiffFile]:
    """Return a unified diff by file, highlighted; what stands before the first file is a file without a path.

    `expand` may add lines to each file, with its number, before that.
    """
    files: list[DiffFile] = []
    for line in diff_lines(patch):
        if line.kind == "file" or not files:
            files.append(DiffFile(_path(line.text) if line.kind == "file" else ""))
        files[-1].lines.append(line)
    for number, file in enumerate(files):
        if expand is not None:
            expand(number, file)
        file.lines = _highlighted(file)
    return files


def _path(header: str) -> str:
    """Return the path after the change from the header `diff --git a/PATH b/PATH`."""
    names = header.removeprefix("diff --git ")
    _, separator, new = names.rpartition(" b/")
    return new.strip('"') if separator else names


def _highlighted(file: DiffFile) -> list[DiffLine]:
    """Return the lines with HTML: each side of the file is highlighted by itself, then changed words are marked."""
    bodies = [
        visible(line.text[1:] if line.kind in ("added", "deleted", "same") else line.text)
        for line in file.lines
    ]
    stretches: dict[int, list[Stretch]] = {}
    for side in ("deleted", "added"):
        numbers = [i for i, line in enumerate(file.lines) if line.kind in (side, "same")]
        for number, found in zip(
            numbers, highlight("\n".join(bodies[i] for i in numbers), file.path), strict=False
        ):
            stretches[number] = found
    marks: dict[int, list[Stretch]] = {}
    for deleted, added, _ in _runs(file.lines):
        if max(len(deleted), len(added)) <= MAX_MARKED_RUN and len(marks) < 2 * MAX_MARKED_LINES:
            for before, after in zip(deleted, added, strict=False):
                marks[before], marks[after] = changed_words(bodies[before], bodies[after])
    return [
        line._replace(html=render(bodies[i], stretches.get(i, ()), marks.get(i, ())))
        for i, line in enumerate(file.lines)
    ]


def _runs(lines: Sequence[DiffLine]) -> Iterator[tuple[list[int], list[int], int | None]]:
    """Yield the numbers of deleted lines, of the added ones after them, and of the line that follows, if one does."""
    deleted: list[int] = []
    added: list[int] = []
    for number, line in enumerate(lines):
        if line.kind == "added":
            added.append(number)
        elif line.kind == "deleted" and not added:
            deleted.append(number)
        elif line.kind == "deleted":
            yield deleted, added, None
            deleted, added = [number], []
        else:
            yield deleted, added, number
            deleted, added = [], []
    yield deleted, added, None


def changed_words(before: str, after: str) -> tuple[list[Stretch], list[Stretch]]:
    """Return which stretches of two lines differ; none if they have little in common, or are long."""
    old, new = _words(before), _words(after)
    if max(len(old), len(new)) > MAX_MARKED_WORDS:
        return [], []
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    if matcher.ratio() < MIN_SIMILARITY:
        return [], []
    left: list[Stretch] = []
    right: list[Stretch] = []
    old_at, new_at = _offsets(old), _offsets(new)
    for tag, i, j, k, l in matcher.get_opcodes():  # noqa: E741
        if tag != "equal":
            if i < j:
                left.append((old_at[i], old_at[j], "changed"))
            if k < l:
                right.append((new_at[k], new_at[l], "changed"))
    return left, right


def _words(line: str) -> list[str]:
    """Split a line into words, runs of blanks, and single other characters."""
    words: list[str] = []
    previous = ""
    for character in line:
        kind = "word" if character.isalnum() or character == "_" else "blank" if character.isspace() else ""
        if kind and kind == previous:
            words[-1] += character
        else:
            words.append(character)
        previous = kind
    return words


def _offsets(words: Sequence[str]) -> list[int]:
    offsets = [0]
    for word in words:
        offsets.append(offsets[-1] + len(word))
    return offsets


def hunk_start(text: str) -> tuple[int, int, int, int] | None:
    """Return start and length of a hunk in the old and the new file, from its header."""
    parts = text.split(" ")
    if len(parts) < 4 or parts[0] != "@@" or parts[3] != "@@":
        return None
    numbers: list[int] = []
    for sign, part in zip("-+", parts[1:3], strict=True):
        start, _, length = part.removeprefix(sign).partition(",")
        if not part.startswith(sign) or not start.isdecimal() or not (length or "1").isdecimal():
            return None
        numbers += [int(start), int(length or 1)]
    return numbers[0], numbers[1], numbers[2], numbers[3]
