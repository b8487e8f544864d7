"""What a change may do to comments: nothing suppressed changes, no comment is lost or moved to other code.

Belongs here: comparing the comments of a file before and after. Does not belong here: which lines a suppression
applies to (`evolution.suppressions`), refusing a location for its comments (`fixes`).
"""

import difflib
import re
from collections import Counter
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from qflow_dagster.evolution.examples import matches_in
from qflow_dagster.evolution.matchers import Match
from qflow_dagster.generation.generators.protocol import Request
from qflow_dagster.generation.preconditions.file import File

# A comment above several imports stays with those that are left.
_IMPORT = re.compile(r"(from|import|use|const|let|var)\b")


class Comment(NamedTuple):
    """A comment, and the code it describes: on its own line, or on the line below its group; 0: none."""

    text: str
    line: int
    code_line: int
    code: str


class CommentChange:
    """The comments and lines of a file before and after a change."""

    def __init__(self, request: Request, new: str) -> None:
        self.request = request
        self.before, self.after = File(request), File(replace(request, text=new))

    def suppressed_line(self) -> str | None:
        """Return which suppressed line changes, or which suppression is lost; None: neither.

        What a person or a baseline suppressed is a match of the rule without an open finding.
        """
        suppressions = self.before.source.suppressions
        changed = self._changed_lines[0]
        for suppression in suppressions.all:
            if suppression.covers(self.request.rule):
                lines = changed & set(range(suppression.first, suppression.last + 1))
                if lines:
                    return f"line {min(lines)} changes, which {suppression.text!r} covers"
        open_lines = {line for line, _ in self.request.findings}
        quiet = {match.line for match in self._matches if open_lines and match.line not in open_lines}
        if lines := changed & quiet:
            return f"line {min(lines)} changes, which has no open finding"
        if lines := changed & suppressions.lines_of_type_checkers:
            return f"line {min(lines)} changes, which the type checker ignores"
        counts = [
            Counter(one.text for one in file.source.suppressions.all) for file in (self.before, self.after)
        ]
        lost = counts[0] - counts[1]
        return f"{sorted(lost)[0]!r} is lost" if lost else None

    def lost_or_moved(self) -> str | None:
        """Return which comment is lost, or describes other code than before; None: neither."""
        after: dict[str, list[Comment]] = {}
        for comment in self._comments(self.after):
            after.setdefault(comment.text, []).append(comment)
        changed_before, changed_after = self._changed_lines
        for comment in self._comments(self.before):
            if not after.get(comment.text):
                if self._is_matched(comment):
                    continue
                return f"the comment in line {comment.line} is lost"
            # Equal comments keep their order.
            now = after[comment.text].pop(0)
            both_changed = comment.code_line in changed_before and now.code_line in changed_after
            both_import = _IMPORT.match(comment.code) and _IMPORT.match(now.code)
            if comment.code_line and comment.code != now.code and not both_changed and not both_import:
                return f"the comment in line {comment.line} would describe other code"
        return None

    @cached_property
    def _changed_lines(self) -> tuple[set[int], set[int]]:
        """The lines that differ, before and after."""
        old, new = _lines(self.before), _lines(self.after)
        # The rest alone is compared line by line: files are long, and changes small.
        same = 0
        while same < min(len(old), len(new)) and old[same] == new[same]:
            same += 1
        tail = 0
        while tail < min(len(old), len(new)) - same and old[-1 - tail] == new[-1 - tail]:
            tail += 1
        matcher = difflib.SequenceMatcher(None, old[same : len(old) - tail], new[same : len(new) - tail])
        changed: tuple[set[int], set[int]] = (set(), set())
        for kind, first, last, new_first, new_last in matcher.get_opcodes():
            if kind != "equal":
                changed[0].update(range(same + first + 1, same + last + 1))
                changed[1].update(range(same + new_first + 1, same + new_last + 1))
        return changed

    @cached_property
    def _matches(self) -> list[Match]:
        request = self.request
        if request.rule.matcher.metric is not None:
            return []
        return matches_in(request.rule, request.text, request.path, request.language, request.target)

    def _comments(self, file: File) -> list[Comment]:
        lines = _lines(file)
        comments: list[Comment] = []
        alone: dict[int, int] = {}
        spans = [
            (file.source.line_of(start), file.source.line_of(end), start, end) for start, end in file.comments
        ]
        for first, last, start, _ in spans:
            if not file.text[file.source.starts[first - 1] : start].strip():
                alone.update(dict.fromkeys(range(first, last + 1), last))
        for first, last, start, end in spans:
            line = first
            if first in alone:
                # The code below a group of comments; a blank line separates them, and a file's head describes the file.
                line = last + 1
                while line in alone:
                    line = alone[line] + 1
                top = first
                while top - 1 in alone:
                    top -= 1
                line = line if top > 1 else 0
            code = lines[line - 1] if 0 < line <= len(lines) else ""
            if first not in alone:
                code = code[: start - file.source.starts[first - 1]]
            text = " ".join(file.text[start:end].split())
            comments.append(Comment(text, first, line if code.strip() else 0, code.strip()))
        return comments

    def _is_matched(self, comment: Comment) -> bool:
        """Return whether the rule is about the comment itself."""
        spans = [span for span in self.before.comments if self.before.source.line_of(span[0]) == comment.line]
        return any(
            start <= match.start and match.end <= end for match in self._matches for start, end in spans
        )


def _lines(file: File) -> list[str]:
    return [file.text[start:end] for start, end in pairwise([*file.source.starts, len(file.text)])]
