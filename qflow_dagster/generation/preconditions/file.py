"""A file as preconditions see it: its text, syntax tree, comments, and what the repository says of it."""

import builtins
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from ast_grep_py import SgNode

from qflow_dagster.evolution.analysis.nodes import of_kinds, span_of
from qflow_dagster.evolution.matchers import Edit, Match, Source, covering
from qflow_dagster.generation.generators.protocol import Request, Surroundings

# By which a file shows that it runs in Python 2 too: sys.version_info[0] < 3, six.PY2, #!/usr/bin/python2.
_PYTHON_2 = re.compile(
    r"\bsys\.version(?:_info)?(?:\[:?[01]\]|\.major)?\s*[=<>!]=?\s*[\"'(]*[23]\b(?!\s*,\s*[1-9])|\bPY2\b|\A#!.*\bpython2"
)


class File:
    """The file of a request, parsed on first use."""

    def __init__(self, request: Request) -> None:
        self.path, self.language, self.text = request.path, request.language, request.text
        self.rule, self.target = request.rule, request.target
        self.surroundings: Surroundings = request.surroundings
        self.embedded = request.embedded
        self.source = Source(request.text, request.path)
        # The spans of expressions whose types were asked for.
        self.wanted_types: set[tuple[int, int]] = set()

    @property
    def root(self) -> SgNode:
        """The root of its syntax tree."""
        return self.source.root(self.language)

    def node(self, match: Match) -> SgNode:
        """Return the node that a match covers."""
        return covering(self.root, match.start, match.end)

    def innermost(self, span: tuple[int, int]) -> SgNode:
        """Return the smallest named node of exactly this span, or else the one that covers it."""
        node = covering(self.root, *span)
        while True:
            inner = [child for child in node.children() if child.is_named() and span_of(child) == span]
            if not inner:
                return node
            node = inner[0]

    def captured(self, match: Match, name: str) -> str | None:
        """Return the text that a metavariable captured."""
        span = match.captures.get(name)
        return None if span is None else self.text[span[0] : span[1]]

    def type_of(self, span: tuple[int, int]) -> str | None:
        """Return the type of the expression of a span, as the type checker writes it; None: not known."""
        self.wanted_types.add(span)
        return self.surroundings.types.get(span)

    @cached_property
    def tests_for_python_2(self) -> bool:
        """Whether its first line, or a condition true in Python 2 or in Python 3 alone, says that it runs in both."""
        return _PYTHON_2.search(self.text) is not None

    @cached_property
    def names_used_outside(self) -> frozenset[str]:
        """The names of embedded code that the rest of its file uses or, on a page of HTML, other scripts may use."""
        if self.embedded is None:
            return frozenset()
        outside = self.embedded.code.names
        if self.language == "python":
            return outside - _BUILTINS
        tree = self.source.tree(self.language)
        of_page = {name for name, scopes in tree.scopes.items() if span_of(self.root) in scopes}
        named = tree.scopes.keys() | tree.written
        return (outside & named) | (of_page if self.embedded.kind == "HTML" else frozenset())

    @property
    def knows_comments(self) -> bool:
        """Whether comments of its language are read."""
        return self.language in _COMMENT_KINDS

    @cached_property
    def comments(self) -> list[tuple[int, int]]:
        """The spans of all comments, in order."""
        found = of_kinds(self.root, _COMMENT_KINDS.get(self.language, ()))
        return sorted(map(span_of, found))

    def comments_lost(self, match: Match, edits: Sequence[Edit]) -> list[int]:
        """Return the lines of comments that lie within what the edits replace and are not in the replacement."""
        lost = []
        for start, end in self.comments:
            # Some rules are about the comment itself.
            for edit in () if start <= match.start and match.end <= end else edits:
                if (
                    start < edit.end
                    and edit.start < end
                    and _plain(self.text[start:end]) not in _plain(edit.text)
                ):
                    lost.append(self.source.line_of(start))
        return lost

    def has_error(self, start: int, end: int) -> bool:
        """Return whether the parser skipped or invented something within a span."""
        return any(
            node.range().start.index < max(end, start + 1) and start <= node.range().end.index
            for node in self._errors
        )

    @cached_property
    def _errors(self) -> list[SgNode]:
        return self.root.find_all(kind="ERROR")


class Precondition(NamedTuple):
    """A precondition: what must hold (a sentence), and a check of (file, match, argument): why it does not hold."""

    sentence: str
    check: Callable[[File, Match, Any], str | None]
    # Whether the check asks for types of expressions (`File.type_of`).
    typed: bool = False


def never_mentions(file: File, match: Match, words: Sequence[str]) -> str | None:
    """Check that the file has none of these words in it, in any language."""
    found = [word for word in words if word in file.text]
    return f"the file mentions `{found[0]}`" if found else None


PRECONDITIONS = {"never-mentions": Precondition("the file has none of these words in it", never_mentions)}
_BUILTINS = frozenset(dir(builtins))


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


_COMMENT_KINDS = {
    "python": ("comment",),
    "javascript": ("comment",),
    "typescript": ("comment",),
    "tsx": ("comment",),
    "go": ("comment",),
    "rust": ("line_comment", "block_comment"),
    "java": ("line_comment", "block_comment"),
}
